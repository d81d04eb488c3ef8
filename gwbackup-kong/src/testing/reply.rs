//! Answers, and the bodies of refusals.

use serde_json::{Map, Value, json};

use super::validate::Errors;

/// What goes back to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Body,
    /// Seconds to wait before the next try.
    pub(super) retry_after: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Body {
    Nothing,
    Json(String),
    Html(&'static str),
}

/// The proxy in front of the node has this to say about bodies that are too long.
const TOO_LARGE: &str = "<html>\r\n<head><title>413 Request Entity Too Large</title></head>\r\n\
    <body>\r\n<center><h1>413 Request Entity Too Large</h1></center>\r\n</body>\r\n</html>\r\n";

impl Reply {
    pub(super) fn new(status: u16, body: Body) -> Self {
        Self { status, body, retry_after: None }
    }

    pub(super) fn json(status: u16, body: &Value) -> Self {
        Self::new(status, Body::Json(body.to_string()))
    }

    /// An answer without a body.
    pub(super) fn empty(status: u16) -> Self {
        Self::new(status, Body::Nothing)
    }

    /// A sentence.
    pub(super) fn message(status: u16, message: &str) -> Self {
        Self::json(status, &json!({ "message": message }))
    }

    pub(super) fn not_found() -> Self {
        Self::message(404, "Not found")
    }

    pub(super) fn method_not_allowed() -> Self {
        Self::message(405, "Method not allowed")
    }

    pub(super) fn too_large() -> Self {
        Self::new(413, Body::Html(TOO_LARGE))
    }

    /// Code 2: the entity does not meet its schema.
    pub(super) fn schema_violation(errors: Errors) -> Self {
        let said = sentences(&errors);
        let many = if said.len() == 1 { String::new() } else { format!("{} ", said.len()) };
        let plural = if said.len() == 1 { "" } else { "s" };
        let message = format!("{many}schema violation{plural} ({})", said.join("; "));
        Self::coded(400, 2, "schema violation", &message, Some(Value::Object(errors)))
    }

    /// Code 3.
    pub(super) fn primary_key(id: &str) -> Self {
        let key = json!({ "id": id });
        let message = format!("primary key violation on key '{}'", lua(&key));
        Self::coded(400, 3, "primary key violation", &message, Some(key))
    }

    /// Code 4: a foreign key that leads nowhere.
    pub(super) fn no_parent(member: &str, id: &str, schema: &str) -> Self {
        let key = json!({ "id": id });
        let message = format!(
            "the foreign key '{}' does not reference an existing '{schema}' entity.",
            lua(&key)
        );
        Self::coded(400, 4, "foreign key violation", &message, Some(json!({ member: key })))
    }

    /// Code 4: children keep their parent.
    pub(super) fn has_children(schema: &str, child: &str) -> Self {
        let message = format!("an existing '{child}' entity references this '{schema}' entity");
        let fields = json!({ "@referenced_by": child });
        Self::coded(400, 4, "foreign key violation", &message, Some(fields))
    }

    /// Code 5.
    pub(super) fn unique(key: Map<String, Value>) -> Self {
        let key = Value::Object(key);
        let message = format!("UNIQUE violation detected on '{}'", lua(&key));
        Self::coded(409, 5, "unique constraint violation", &message, Some(key))
    }

    /// Code 6.
    pub(super) fn absent(member: &str, key: &str) -> Self {
        let fields = json!({ member: key });
        let with = if member == "id" { "primary key " } else { "" };
        let message = format!("could not find the entity with {with}'{}'", lua(&fields));
        Self::coded(404, 6, "not found", &message, Some(fields))
    }

    /// Code 7.
    pub(super) fn bad_offset(offset: &str, why: &str) -> Self {
        let message = format!("'{offset}' is not a valid offset: {why}");
        Self::coded(400, 7, "invalid offset", &message, None)
    }

    /// Code 9.
    pub(super) fn bad_size(why: &str) -> Self {
        Self::coded(400, 9, "invalid size", &format!("size must be {why}"), None)
    }

    /// Code 10.
    pub(super) fn bad_name(why: &str) -> Self {
        Self::coded(400, 10, "invalid unique name", why, None)
    }

    /// Code 11.
    pub(super) fn bad_tags(why: &str) -> Self {
        let message = format!("invalid option (tags: {why})");
        let body = json!({
            "code": 11, "name": "invalid options", "message": message, "options": { "tags": why },
        });
        Self::json(400, &body)
    }

    /// Code 12: a write to a node without a database.
    pub(super) fn no_database(what: &str) -> Self {
        let message = format!("cannot {what} when not using a database");
        Self::coded(405, 12, "operation unsupported", &message, None)
    }

    /// Code 13: a parent's name that nobody has.
    pub(super) fn unresolved(member: &str, name: &str, value: &str, schema: &str) -> Self {
        let why = format!(
            "the foreign key cannot be resolved with '{}' for an existing '{schema}' entity",
            lua(&json!({ name: value }))
        );
        let message = format!("foreign key unresolved ({member}.{name}: {why})");
        let fields = json!({ member: { name: why } });
        Self::coded(400, 13, "foreign keys unresolved", &message, Some(fields))
    }

    /// Code 19: a CA certificate that services list.
    pub(super) fn ca_in_use(id: &str, service: &str) -> Self {
        let message =
            format!("ca certificate {id} is still referenced by services (id = {service})");
        Self::coded(400, 19, "referenced by others", &message, None)
    }

    pub(super) fn coded(
        status: u16,
        code: u32,
        name: &str,
        message: &str,
        fields: Option<Value>,
    ) -> Self {
        let mut body = json!({ "code": code, "name": name, "message": message });
        if let (Some(fields), Some(members)) = (fields, body.as_object_mut()) {
            members.insert("fields".into(), fields);
        }
        Self::json(status, &body)
    }
}

/// Every complaint with the path of its member, in the order of the members.
fn sentences(errors: &Errors) -> Vec<String> {
    fn walk(path: &str, value: &Value, said: &mut Vec<String>) {
        let below = |name: &str| {
            if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
        };
        match value {
            Value::String(why) if path.is_empty() => said.push(why.clone()),
            Value::String(why) => said.push(format!("{path}: {why}")),
            Value::Array(all) => {
                for (n, why) in all.iter().enumerate() {
                    walk(&below(&(n + 1).to_string()), why, said);
                }
            }
            Value::Object(members) => {
                for (name, value) in members {
                    match value {
                        Value::Array(all) if name == "@entity" => {
                            said.extend(all.iter().filter_map(Value::as_str).map(str::to_owned));
                        }
                        _ => walk(&below(name), value, said),
                    }
                }
            }
            _ => {}
        }
    }
    let mut said = Vec::new();
    walk("", &Value::Object(errors.clone()), &mut said);
    said
}

/// A value as Kong prints its tables: `{id="x",service=null}`.
pub(super) fn lua(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let members: Vec<String> =
                members.iter().map(|(name, value)| format!("{name}={}", lua(value))).collect();
            format!("{{{}}}", members.join(","))
        }
        Value::Array(items) => {
            format!("{{{}}}", items.iter().map(lua).collect::<Vec<_>>().join(","))
        }
        Value::String(text) => format!("\"{text}\""),
        other => other.to_string(),
    }
}
