//! What a configuration needs and does not hold, found by the table.

use std::ops::Range;

use super::key::{HandleName, Handles};
use super::scan::{Matcher, pointer_at};
use super::schema::OutsideSpec;
use super::text::{Unescaped, strings};
use super::{decode, resource::Resource};

/// One thing outside the gateway that a resource names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    /// What it is: `host`, `role`, ...
    pub(crate) class: String,
    /// JSON pointer to the string that names it.
    pub(crate) at: String,
    /// Its name.
    pub(crate) name: String,
    /// Handles of the gateway that the name holds.
    pub(crate) handles: Handles,
}

/// A row of the table, ready for use.
#[derive(Debug)]
pub(super) struct Compiled {
    class: String,
    at: Option<Matcher>,
    form: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    Literal(String),
    Handle(HandleName),
    Word,
    Rest,
}

impl Compiled {
    pub(super) fn new(spec: &OutsideSpec) -> Self {
        Self {
            class: spec.class.clone(),
            at: spec.at.as_ref().map(|at| Matcher::new([at])),
            form: parts(&spec.form),
        }
    }

    /// Everything of this class that the resource names.
    pub(super) fn find(&self, resource: &Resource, found: &mut Vec<Named>) {
        let text = resource.document.as_str();
        let mut look = |at: Range<usize>, pointer: Option<&str>| {
            let Some(token) = text.get(at.clone()).filter(|token| token.starts_with('"')) else {
                return;
            };
            let whole = decode(token);
            let plain = Unescaped::of(&whole);
            let whole = plain.as_ref().map_or(&*whole, |plain| plain.text.as_str());
            for (name, handles) in self.names(whole) {
                let at = pointer.map_or_else(|| pointer_at(text, at.start), str::to_owned);
                found.push(Named { class: self.class.clone(), at, name, handles });
            }
        };
        match &self.at {
            Some(matcher) => matcher.visit(text, |hit| look(hit.value, Some(hit.pointer))),
            None => strings(text).for_each(|at| look(at, None)),
        }
    }

    fn names(&self, text: &str) -> Vec<(String, Handles)> {
        if self.form.is_empty() {
            let whole = (text.to_owned(), Handles::new());
            return if text.is_empty() { Vec::new() } else { vec![whole] };
        }
        let Some(Part::Literal(first)) = self.form.first() else { return Vec::new() };
        let mut found = Vec::new();
        let mut from = 0;
        while let Some(at) = text.get(from..).and_then(|rest| rest.find(first.as_str())) {
            let start = from + at;
            let rest = text.get(start..).unwrap_or_default();
            if let Some((len, handles)) = self.beginning(rest) {
                found.push((rest.get(..len).unwrap_or_default().to_owned(), handles));
                from = start + len;
            } else {
                from = start + first.len();
            }
        }
        found
    }

    /// How much of the beginning of a text has the form.
    fn beginning(&self, text: &str) -> Option<(usize, Handles)> {
        let ends = |c: char| c.is_whitespace() || "\"'<>,;(){}[]\\&?#|".contains(c);
        let (mut at, mut handles) = (0, Handles::new());
        for part in &self.form {
            let rest = text.get(at..)?;
            let run = |stop: &dyn Fn(char) -> bool| {
                Some(rest.find(stop).unwrap_or(rest.len())).filter(|len| *len > 0)
            };
            at += match part {
                Part::Literal(literal) => {
                    rest.starts_with(literal.as_str()).then_some(literal.len())?
                }
                Part::Rest => run(&ends)?,
                Part::Word => run(&|c| ends(c) || matches!(c, ':' | '/'))?,
                Part::Handle(name) => {
                    let len = run(&|c| ends(c) || matches!(c, ':' | '/' | '.'))?;
                    handles.insert(name.clone(), rest.get(..len)?.to_owned());
                    len
                }
            };
        }
        Some((at, handles))
    }
}

fn parts(form: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut rest = form;
    while !rest.is_empty() {
        let special = rest.find(['*', '{']).unwrap_or(rest.len());
        let (literal, after) = rest.split_at(special);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal.to_owned()));
        }
        rest = after;
        if let Some(after) = rest.strip_prefix("**") {
            parts.push(Part::Rest);
            rest = after;
        } else if let Some(after) = rest.strip_prefix('*') {
            parts.push(Part::Word);
            rest = after;
        } else if let Some(inner) = rest.strip_prefix('{') {
            let (name, after) = inner.split_once('}').unwrap_or((inner, ""));
            // What is no name of a handle fits any word.
            parts.push(HandleName::new(name).map_or(Part::Word, Part::Handle));
            rest = after;
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::super::{Document, Id, Key, Kind};
    use super::*;

    fn names(spec: &OutsideSpec, document: &str) -> Vec<(String, String, String)> {
        let key = Key::new(Kind::known("thing"), Id::new("t").unwrap());
        let resource = Resource::new(key, Document::parse(document).unwrap());
        let mut found = Vec::new();
        Compiled::new(spec).find(&resource, &mut found);
        let handles = |named: &Named| {
            let all = named.handles.iter().map(|(name, value)| format!("{name}={value}"));
            all.collect::<Vec<_>>().join(" ")
        };
        found.iter().map(|named| (named.at.clone(), named.name.clone(), handles(named))).collect()
    }

    #[test]
    fn text_of_a_form_is_found_wherever_it_stands() {
        let spec = OutsideSpec::form("function", "arn:*:lambda:{region}:{account}:function:*");
        let text = r#"{"uri":"arn:aws:gw:eu-1:lambda:path/x/functions/arn:aws:lambda:eu-1:111:function:pay/invocations",
            "a":{"p":"{\"r\":\"arn:aws:lambda:us-1:222:function:x\"}"},
            "q":"to=arn%3Aaws%3Alambda%3Aeu-1%3A111%3Afunction%3Ay&z=1", "n":"arn:aws:lambda:eu-1:function:z"}"#;
        let found = names(&spec, text);
        let wanted = [
            ("/a/p", "arn:aws:lambda:us-1:222:function:x", "account=222 region=us-1"),
            ("/q", "arn:aws:lambda:eu-1:111:function:y", "account=111 region=eu-1"),
            ("/uri", "arn:aws:lambda:eu-1:111:function:pay", "account=111 region=eu-1"),
        ];
        assert_eq!(found, wanted.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned())));
        let role = OutsideSpec::form("role", "arn:*:iam::{account}:role/**");
        let found = names(&role, r#"{"r":"(arn:aws:iam::1:role/a/b)"}"#);
        assert_eq!(found[0].1, "arn:aws:iam::1:role/a/b");
    }

    #[test]
    fn a_place_names_what_stands_there() {
        let spec = OutsideSpec::at("host", "/hosts/*");
        let found = names(&spec, r#"{"hosts":["a.example",7,""],"host":"b"}"#);
        assert_eq!(found, [("/hosts/0".to_owned(), "a.example".to_owned(), String::new())]);
    }
}
