//! Why Kong refused a call: what may be said of it.

use bytes::Bytes;
use gwbackup_core::Error;
use gwbackup_core::error::ErrorKind;
use serde_json::Value;

use super::client::Answer;

/// Members that one message names.
const MOST: usize = 8;

/// Kong's codes of errors.
const PRIMARY_KEY: u16 = 3;
const FOREIGN_KEY: u16 = 4;
const UNIQUE: u16 = 5;
const REFERENCED: u16 = 19;

/// A call that had no effect.
pub(super) struct Refused {
    code: u16,
    pub(super) error: Error,
    /// All that was answered. May quote what was sent: never shown.
    pub(super) body: Bytes,
}

impl Refused {
    /// Names members, never values: Kong's own message quotes what was sent.
    pub(super) fn new(answer: &Answer) -> Self {
        let refusal = answer.refusal();
        let (status, code) = (answer.status, refusal.code);
        let members = pointers(&refusal.fields);
        let named = |what: &str| {
            if members.is_empty() {
                what.to_owned()
            } else {
                format!("{what}: {}", members.join(", "))
            }
        };
        let error = match (status, code) {
            (403, _) => Error::new(ErrorKind::Denied, "the node denies it (403)"),
            (404, _) => Error::new(ErrorKind::NotFound, "the node does not have it (404)"),
            (405, _) => Error::new(ErrorKind::Unsupported, "the node does not offer it (405)"),
            (413, _) => Error::invalid("the node takes no body of this size (413)")
                .help("raise `nginx_admin_client_max_body_size` at the node"),
            (_, PRIMARY_KEY | UNIQUE) | (409, _) => {
                let what = named("the node has another with the same");
                Error::new(ErrorKind::AlreadyExists, what)
            }
            (_, FOREIGN_KEY | REFERENCED) => match by_whom(&refusal.fields) {
                Some(others) => Error::refused(format!("{others} of the node still name it")),
                None => Error::refused(named("it names something that the node does not have")),
            },
            _ => Error::invalid(named(&format!("the node refuses it ({status})"))),
        };
        Self { code, error, body: answer.body.clone() }
    }

    /// What the client understood by itself.
    pub(super) fn by_client(error: Error) -> Self {
        Self { code: 0, error, body: Bytes::new() }
    }

    /// Whether its id or one of its names is in use.
    pub(super) fn is_taken(&self) -> bool {
        matches!(self.code, PRIMARY_KEY | UNIQUE)
    }
}

/// The collection that still names an entity.
fn by_whom(fields: &Value) -> Option<&str> {
    fields.get("@referenced_by").and_then(Value::as_str).filter(|name| is_name(name))
}

/// Pointers to the members that are wrong.
fn pointers(fields: &Value) -> Vec<String> {
    let mut found = Vec::new();
    walk(fields, &mut String::new(), &mut found);
    if found.len() > MOST {
        let more = found.len() - MOST;
        found.truncate(MOST);
        found.push(format!("{more} more"));
    }
    found
}

fn walk(fields: &Value, at: &mut String, found: &mut Vec<String>) {
    match fields {
        Value::Object(members) => {
            for (name, value) in members {
                match name.as_str() {
                    "@entity" => found.push("the entity as a whole".to_owned()),
                    name if is_name(name) => step(name, value, at, found),
                    // A key of a map: it is what somebody wrote.
                    _ => step("*", value, at, found),
                }
            }
        }
        // A list says which of the elements is wrong; one of texts alone is about the member.
        Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_null()) => {
            for (n, item) in items.iter().enumerate().filter(|(_, item)| !item.is_null()) {
                step(&n.to_string(), item, at, found);
            }
        }
        _ if !at.is_empty() => found.push(at.clone()),
        _ => {}
    }
}

fn step(name: &str, value: &Value, at: &mut String, found: &mut Vec<String>) {
    let len = at.len();
    at.push('/');
    at.push_str(name);
    walk(value, at, found);
    at.truncate(len);
}

/// Whether it is a name that Kong or a plugin gave.
pub(super) fn is_name(name: &str) -> bool {
    name.len() <= 64
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'@'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(status: u16, body: &Value) -> Refused {
        Refused::new(&Answer { status, body: Bytes::from(body.to_string()) })
    }

    #[test]
    fn a_refusal_names_members_and_quotes_nothing() {
        let fields = json!({"name": "invalid value 'hush'", "config": {"minute": "hush", "x y": "hush"},
            "paths": ["hush"], "filters": [null, {"name": "hush"}], "@entity": ["hush"]});
        let body = json!({"code": 2, "message": "hush", "fields": fields});
        let text = refused(400, &body).error.to_string();
        assert!(!text.contains("hush"), "{text}");
        for part in ["/name", "/config/minute", "/config/*", "/paths", "/filters/1/name", "whole"] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn what_is_taken_and_what_is_still_named_are_told_apart() {
        let unique = refused(409, &json!({"code": 5, "fields": {"name": "hush"}}));
        assert!(unique.is_taken() && unique.error.kind() == ErrorKind::AlreadyExists);
        let primary = refused(400, &json!({"code": 3, "fields": {"id": "hush"}}));
        assert!(primary.is_taken());
        let named = refused(400, &json!({"code": 4, "fields": {"@referenced_by": "routes"}}));
        assert!(!named.is_taken() && named.error.to_string().contains("routes"));
        let html = Answer { status: 413, body: Bytes::from_static(b"<html>") };
        assert_eq!(Refused::new(&html).error.kind(), ErrorKind::Invalid);
    }
}
