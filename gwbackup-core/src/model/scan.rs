//! Finding places in canonical text by pointer patterns, and changing them.
//!
//! One compiled [`Matcher`] answers all patterns of a kind in one pass; what no pattern leads into
//! is skipped, not parsed.

use std::ops::Range;

use super::canonical::{decode, plain_end};

/// Pointer patterns, compiled: JSON pointers in which a segment `*` stands for any member or
/// element.
#[derive(Debug, Clone, Default)]
pub(crate) struct Matcher {
    nodes: Vec<Node>,
}

#[derive(Debug, Clone, Default)]
struct Node {
    literal: Vec<(String, usize)>,
    any: Option<usize>,
    rules: Vec<usize>,
}

/// A value that a pattern names.
#[derive(Debug)]
pub(crate) struct Hit<'a> {
    /// Numbers of the patterns that name it.
    pub(crate) rules: &'a [usize],
    /// Its JSON pointer.
    pub(crate) pointer: &'a str,
    /// Its token(s).
    pub(crate) value: Range<usize>,
    /// The token of its name, if it is a member.
    pub(crate) name: Option<Range<usize>>,
}

impl Matcher {
    /// Compiles; a pattern's number is its position.
    pub(crate) fn new<S: AsRef<str>>(patterns: impl IntoIterator<Item = S>) -> Self {
        let mut matcher = Self { nodes: vec![Node::default()] };
        for (rule, pattern) in patterns.into_iter().enumerate() {
            let mut node = 0;
            for segment in segments(pattern.as_ref()) {
                node = matcher.child(node, &segment);
            }
            matcher.nodes[node].rules.push(rule);
        }
        matcher
    }

    /// Whether it has no pattern.
    pub(crate) fn is_empty(&self) -> bool {
        self.nodes.len() <= 1 && self.nodes.first().is_none_or(|root| root.rules.is_empty())
    }

    fn child(&mut self, node: usize, segment: &str) -> usize {
        let next = self.nodes.len();
        let found = if segment == "*" {
            *self.nodes[node].any.get_or_insert(next)
        } else if let Some((_, at)) = self.nodes[node].literal.iter().find(|(s, _)| s == segment) {
            *at
        } else {
            self.nodes[node].literal.push((segment.to_owned(), next));
            next
        };
        if found == next {
            self.nodes.push(Node::default());
        }
        found
    }

    /// Calls `f` for each value that a pattern names, parents before children, in text order.
    pub(crate) fn visit(&self, text: &str, mut f: impl FnMut(Hit<'_>)) {
        if self.is_empty() {
            return;
        }
        let mut walk =
            Walk { matcher: self, text, pointer: String::new(), active: vec![0], f: &mut f };
        walk.value(0, None, 0);
    }
}

struct Walk<'a, F> {
    matcher: &'a Matcher,
    text: &'a str,
    pointer: String,
    /// The nodes on which the patterns stand, a stack: those of a value lie above its parent's.
    active: Vec<usize>,
    f: &'a mut F,
}

impl<'a, F: FnMut(Hit<'_>)> Walk<'a, F> {
    /// The active nodes from `from` on.
    fn nodes(&self, from: usize) -> impl Iterator<Item = &'a Node> {
        let matcher = self.matcher;
        self.active.get(from..).unwrap_or_default().iter().map(move |n| &matcher.nodes[*n])
    }

    /// Walks the value at `at`, on which the patterns stand at the nodes from `from` on; the end of
    /// the value.
    fn value(&mut self, at: usize, name: Option<Range<usize>>, from: usize) -> usize {
        let bytes = self.text.as_bytes();
        let mut end = None;
        if self.nodes(from).any(|node| !node.rules.is_empty()) {
            let value = at..*end.insert(skip(bytes, at));
            let several: Vec<usize>;
            let rules = if let Some([one]) = self.active.get(from..) {
                &self.matcher.nodes[*one].rules
            } else {
                several = self.nodes(from).flat_map(|node| &node.rules).copied().collect();
                &several
            };
            (self.f)(Hit { rules, pointer: &self.pointer, value, name });
        }
        let leads_on = self.nodes(from).any(|node| node.any.is_some() || !node.literal.is_empty());
        match bytes.get(at) {
            Some(b'{') if leads_on => self.object(at, from),
            Some(b'[') if leads_on => self.array(at, from),
            _ => end.unwrap_or_else(|| skip(bytes, at)),
        }
    }

    fn object(&mut self, start: usize, from: usize) -> usize {
        let text = self.text;
        let bytes = text.as_bytes();
        let mut at = start + 1;
        while bytes.get(at) == Some(&b'"') {
            let name = at..skip_string(bytes, at);
            at = name.end + 1;
            let decoded = decode(text.get(name.clone()).unwrap_or_default());
            at = self.child(&decoded, at, Some(name), from);
            if bytes.get(at) == Some(&b',') {
                at += 1;
            }
        }
        at + 1
    }

    fn array(&mut self, start: usize, from: usize) -> usize {
        let bytes = self.text.as_bytes();
        let mut at = start + 1;
        let mut index = 0;
        while !matches!(bytes.get(at), None | Some(b']')) {
            at = self.child(&index.to_string(), at, None, from);
            index += 1;
            if bytes.get(at) == Some(&b',') {
                at += 1;
            }
        }
        at + 1
    }

    fn child(
        &mut self,
        segment: &str,
        at: usize,
        name: Option<Range<usize>>,
        from: usize,
    ) -> usize {
        let own = self.active.len();
        for at in from..own {
            let node = &self.matcher.nodes[self.active[at]];
            let named = node.literal.iter().filter(|(s, _)| s == segment).map(|(_, n)| *n);
            self.active.extend(named.chain(node.any));
        }
        if self.active.len() == own {
            return skip(self.text.as_bytes(), at);
        }
        let parent = self.pointer.len();
        push_segment(&mut self.pointer, segment);
        let end = self.value(at, name, own);
        self.pointer.truncate(parent);
        self.active.truncate(own);
        end
    }
}

/// The end of the value that starts at `at`, in valid canonical text.
fn skip(bytes: &[u8], at: usize) -> usize {
    match bytes.get(at) {
        Some(b'"') => skip_string(bytes, at),
        Some(b'{' | b'[') => {
            let mut depth = 0_usize;
            let mut at = at;
            loop {
                match bytes.get(at) {
                    Some(b'"') => {
                        at = skip_string(bytes, at);
                        continue;
                    }
                    Some(b'{' | b'[') => depth += 1,
                    Some(b'}' | b']') => {
                        depth -= 1;
                        if depth == 0 {
                            return at + 1;
                        }
                    }
                    Some(_) => {}
                    None => return at,
                }
                at += 1;
            }
        }
        _ => {
            let rest = bytes.get(at..).unwrap_or_default();
            at + rest.iter().position(|b| matches!(b, b',' | b'}' | b']')).unwrap_or(rest.len())
        }
    }
}

pub(super) fn skip_string(bytes: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    loop {
        at = plain_end(bytes, at);
        match bytes.get(at) {
            Some(b'"') => return at + 1,
            Some(b'\\') => at += 2,
            Some(_) => at += 1,
            None => return bytes.len(),
        }
    }
}

/// The decoded segments of a JSON pointer or pattern.
pub(crate) fn segments(pointer: &str) -> impl Iterator<Item = String> {
    pointer.split('/').skip(1).map(|s| s.replace("~1", "/").replace("~0", "~"))
}

/// Appends a raw segment to a JSON pointer.
pub(crate) fn push_segment(pointer: &mut String, segment: &str) {
    pointer.push('/');
    if segment.contains(['~', '/']) {
        pointer.push_str(&segment.replace('~', "~0").replace('/', "~1"));
    } else {
        pointer.push_str(segment);
    }
}

/// The JSON pointer to the value (or to the member whose name is) at this place of canonical text.
pub(crate) fn pointer_at(text: &str, place: usize) -> String {
    let bytes = text.as_bytes();
    let mut pointer = String::new();
    let mut at = 0;
    loop {
        let (array, mut next, mut index) = (bytes.get(at) == Some(&b'['), at + 1, 0_usize);
        if !array && bytes.get(at) != Some(&b'{') {
            return pointer;
        }
        let found = loop {
            let name = next..if array { next } else { skip_string(bytes, next) };
            let value = if array { next } else { name.end + 1 };
            let end = skip(bytes, value);
            if place < end {
                break Some((name, value)).filter(|_| place >= next);
            }
            if bytes.get(end) != Some(&b',') {
                break None;
            }
            next = end + 1;
            index += 1;
        };
        let Some((name, value)) = found else { return pointer };
        if array {
            push_segment(&mut pointer, &index.to_string());
        } else {
            push_segment(&mut pointer, &decode(text.get(name.clone()).unwrap_or_default()));
        }
        if place < value {
            return pointer;
        }
        at = value;
    }
}

/// A change of canonical text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Edit {
    /// These bytes become this text.
    Replace(Range<usize>, String),
    /// This member (from its name to the end of its value) goes.
    Remove(Range<usize>),
}

impl Edit {
    fn range(&self) -> &Range<usize> {
        match self {
            Self::Replace(range, _) | Self::Remove(range) => range,
        }
    }
}

/// Applies edits; of two that overlap, the outer one counts.
pub(crate) fn apply(text: &str, mut edits: Vec<Edit>) -> String {
    edits.sort_by_key(|e| (e.range().start, std::cmp::Reverse(e.range().end)));
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for edit in edits {
        let range = edit.range().clone();
        if range.start < at {
            continue;
        }
        out.push_str(&text[at..range.start]);
        at = range.end;
        match edit {
            Edit::Replace(_, new) => out.push_str(&new),
            Edit::Remove(_) if text.as_bytes().get(at) == Some(&b',') => at += 1,
            Edit::Remove(_) if out.ends_with(',') => {
                out.pop();
            }
            Edit::Remove(_) => {}
        }
    }
    out.push_str(&text[at..]);
    out
}

/// The tokens of an array's elements.
pub(crate) fn elements(text: &str) -> Vec<&str> {
    each_element(text).collect()
}

fn each_element(text: &str) -> impl Iterator<Item = &str> {
    let bytes = text.as_bytes();
    let mut at = if bytes.first() == Some(&b'[') { 1 } else { bytes.len() };
    std::iter::from_fn(move || {
        if matches!(bytes.get(at), None | Some(b']')) {
            return None;
        }
        let (start, end) = (at, skip(bytes, at));
        at = if bytes.get(end) == Some(&b',') { end + 1 } else { end };
        text.get(start..end)
    })
}

/// The members of an object: token of the name, token of the value.
pub(crate) fn members(text: &str) -> Vec<(&str, &str)> {
    each_member(text).collect()
}

fn each_member(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let bytes = text.as_bytes();
    let mut at = if bytes.first() == Some(&b'{') { 1 } else { bytes.len() };
    std::iter::from_fn(move || {
        if bytes.get(at) != Some(&b'"') {
            return None;
        }
        let (start, name) = (at, skip(bytes, at));
        let end = skip(bytes, name + 1);
        at = if bytes.get(end) == Some(&b',') { end + 1 } else { end };
        text.get(start..name).zip(text.get(name + 1..end))
    })
}

/// The token(s) of the value at a JSON pointer.
pub(crate) fn find<'a>(text: &'a str, pointer: &str) -> Option<&'a str> {
    if !pointer.is_empty() && !pointer.starts_with('/') {
        return None;
    }
    segments(pointer).try_fold(text, |value, segment| {
        if value.starts_with('[') {
            let index: usize = segment.parse().ok()?;
            each_element(value).nth(index).filter(|_| index.to_string() == segment)
        } else {
            each_member(value).find(|(name, _)| decode(name) == segment).map(|(_, value)| value)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"a/b":1,"list":[{"x":"]"},{"x":{"y":2}},3],"o":{"x":"\"}"}}"#;

    fn hits(patterns: &[&str]) -> Vec<(String, String, Vec<usize>)> {
        let mut found = Vec::new();
        Matcher::new(patterns).visit(TEXT, |hit| {
            found.push((hit.pointer.to_owned(), TEXT[hit.value].to_owned(), hit.rules.to_vec()));
        });
        found
    }

    #[test]
    fn patterns_find_exactly_what_serde_json_finds() {
        let value: serde_json::Value = serde_json::from_str(TEXT).unwrap();
        let found = hits(&["/a~1b", "/list/*/x", "/*/x", "/list/1/x/y", "", "/none", "/o/x"]);
        for (pointer, token, _) in &found {
            assert_eq!(value.pointer(pointer).unwrap().to_string(), *token, "{pointer}");
        }
        let pointers: Vec<_> = found.iter().map(|(p, ..)| p.as_str()).collect();
        assert_eq!(pointers, ["", "/a~1b", "/list/0/x", "/list/1/x", "/list/1/x/y", "/o/x"]);
        assert_eq!(found[5].2, [6, 2]);
    }

    #[test]
    fn removing_members_leaves_valid_text() {
        for remove in [vec!["/a~1b"], vec!["/o"], vec!["/a~1b", "/list"], vec!["/*"], vec!["/o/x"]]
        {
            let mut edits = Vec::new();
            Matcher::new(&remove).visit(TEXT, |hit| {
                edits.push(Edit::Remove(hit.name.unwrap().start..hit.value.end));
            });
            let text = apply(TEXT, edits);
            let mut wanted: serde_json::Value = serde_json::from_str(TEXT).unwrap();
            let map = wanted.as_object_mut().unwrap();
            for pattern in remove {
                match pattern {
                    "/*" => map.clear(),
                    "/o/x" => map["o"].as_object_mut().unwrap().clear(),
                    other => drop(map.remove(&other[1..].replace("~1", "/"))),
                }
            }
            assert_eq!(text, wanted.to_string());
        }
    }

    #[test]
    fn each_place_has_its_pointer() {
        for (what, pointer) in [
            ("\"a/b\"", "/a~1b"),
            ("1,", "/a~1b"),
            ("\"]\"", "/list/0/x"),
            ("2}", "/list/1/x/y"),
            ("3]", "/list/2"),
            ("\"\\\"}\"", "/o/x"),
        ] {
            assert_eq!(pointer_at(TEXT, TEXT.find(what).unwrap()), pointer, "{what}");
        }
        assert_eq!(pointer_at("\"x\"", 0), "");
        assert_eq!(pointer_at("{}", 0), "");
    }

    #[test]
    fn splitting_gives_whole_tokens() {
        assert_eq!(elements(r#"[1,"a,]",[2,3],{}]"#), ["1", r#""a,]""#, "[2,3]", "{}"]);
        assert_eq!(members(r#"{"a":[1],"b,":"}"}"#), [("\"a\"", "[1]"), ("\"b,\"", "\"}\"")]);
        assert!(elements("[]").is_empty() && members("{}").is_empty());
    }

    #[test]
    fn one_pointer_finds_what_serde_json_finds() {
        let value: serde_json::Value = serde_json::from_str(TEXT).unwrap();
        let there = ["", "/a~1b", "/list", "/list/0/x", "/list/1/x/y", "/list/2", "/o", "/o/x"];
        let not_there = ["/", "/*", "/list/3", "/list/-", "/list/01", "/list/x", "/o/x/0", "list"];
        for pointer in there.into_iter().chain(not_there) {
            let wanted = value.pointer(pointer).map(ToString::to_string);
            assert_eq!(find(TEXT, pointer), wanted.as_deref(), "{pointer}");
            assert_eq!(wanted.is_some(), there.contains(&pointer), "{pointer}");
        }
    }
}
