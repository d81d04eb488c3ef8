//! A tree of tokens between YAML, JSON and documents.

use std::fmt;

use gwbackup_core::{Error, Result};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// A value; numbers as they were written.
#[derive(Clone, PartialEq)]
pub(crate) enum Node {
    /// `null`, `true`, `false` or a number, as JSON writes it.
    Token(Box<str>),
    Text(String),
    List(Vec<Self>),
    /// Members in their order, each name once.
    Map(Map),
}

pub(crate) type Map = Vec<(String, Node)>;

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Node")
    }
}

impl Node {
    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Self::Token(token) if &**token == "null")
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn members(&self) -> Option<&Map> {
        match self {
            Self::Map(members) => Some(members),
            _ => None,
        }
    }

    /// The JSON text.
    pub(crate) fn json(&self) -> String {
        let mut out = String::new();
        self.write_json(&mut out, None);
        out
    }

    /// Writes JSON; broken into lines when `indent` says how deep this value stands.
    pub(crate) fn write_json(&self, out: &mut String, indent: Option<usize>) {
        let next = indent.map(|depth| depth + 1);
        match self {
            Self::Token(token) => out.push_str(token),
            Self::Text(text) => quote(text, out),
            Self::List(items) => {
                out.push('[');
                for (n, item) in items.iter().enumerate() {
                    separate(out, n, next);
                    item.write_json(out, next);
                }
                close(out, items.is_empty(), indent);
                out.push(']');
            }
            Self::Map(members) => {
                out.push('{');
                for (n, (name, value)) in members.iter().enumerate() {
                    separate(out, n, next);
                    quote(name, out);
                    out.push_str(if indent.is_some() { ": " } else { ":" });
                    value.write_json(out, next);
                }
                close(out, members.is_empty(), indent);
                out.push('}');
            }
        }
    }

    /// The tree of a JSON text; the error names line and column, never content.
    pub(crate) fn parse_json(text: &str) -> Result<Self> {
        let raw: &RawValue = serde_json::from_str(text).map_err(|error| malformed(&error))?;
        Self::from_raw(raw)
    }

    fn from_raw(raw: &RawValue) -> Result<Self> {
        let text = raw.get();
        let inner = |error: serde_json::Error| {
            if error.is_data() {
                Error::invalid("a member stands twice in one JSON object")
            } else {
                Error::invalid("a JSON string holds half a surrogate pair")
            }
        };
        Ok(match text.as_bytes().first() {
            Some(b'"') => Self::Text(serde_json::from_str(text).map_err(inner)?),
            Some(b'[') => {
                let items: Vec<&RawValue> = serde_json::from_str(text).map_err(inner)?;
                Self::List(items.into_iter().map(Self::from_raw).collect::<Result<_>>()?)
            }
            Some(b'{') => {
                let Members(members) = serde_json::from_str(text).map_err(inner)?;
                let member = |(name, value)| Ok((name, Self::from_raw(value)?));
                Self::Map(members.into_iter().map(member).collect::<Result<_>>()?)
            }
            _ => Self::Token(text.into()),
        })
    }
}

fn malformed(error: &serde_json::Error) -> Error {
    let (line, column) = (error.line(), error.column());
    Error::invalid(format!("this is no JSON at line {line} column {column}"))
}

fn separate(out: &mut String, before: usize, indent: Option<usize>) {
    if before > 0 {
        out.push(',');
    }
    new_line(out, indent);
}

fn close(out: &mut String, empty: bool, indent: Option<usize>) {
    if !empty {
        new_line(out, indent);
    }
}

fn new_line(out: &mut String, indent: Option<usize>) {
    if let Some(depth) = indent {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    }
}

/// Appends a string token, which is valid in JSON and in YAML.
pub(crate) fn quote(text: &str, out: &mut String) {
    out.push('"');
    for (at, c) in text.char_indices() {
        match c {
            // decK would take what follows for a placeholder.
            '{' if text.get(at..).is_some_and(|rest| rest.starts_with("{{"))
                && text.get(..at).is_some_and(|before| before.ends_with('$')) =>
            {
                out.push_str("\\u007b");
            }
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // YAML takes these for breaks or refuses them; JSON allows the escape for any.
            '\0'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{feff}'
            | '\u{fffe}'
            | '\u{ffff}' => {
                let code = u32::from(c);
                out.push_str("\\u");
                out.extend(
                    [12, 8, 4, 0]
                        .map(|at| char::from_digit(code >> at & 0xf, 16).unwrap_or_default()),
                );
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

pub(crate) fn get<'a>(map: &'a Map, name: &str) -> Option<&'a Node> {
    map.iter().find(|(n, _)| n == name).map(|(_, value)| value)
}

/// Sets a member, in its place if it is there.
pub(crate) fn set(map: &mut Map, name: &str, value: Node) {
    match map.iter_mut().find(|(n, _)| n == name) {
        Some((_, old)) => *old = value,
        None => map.push((name.to_owned(), value)),
    }
}

pub(crate) fn take(map: &mut Map, name: &str) -> Option<Node> {
    let at = map.iter().position(|(n, _)| n == name)?;
    Some(map.remove(at).1)
}

struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                let mut seen = std::collections::HashSet::new();
                while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                    if !seen.insert(name.clone()) {
                        return Err(serde::de::Error::custom("a member stands twice"));
                    }
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}
