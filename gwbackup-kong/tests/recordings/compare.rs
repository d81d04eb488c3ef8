//! When two answers are the same.

use std::collections::HashMap;

use serde_json::Value;

/// Members whose value is the moment of the request.
const TIMES: &[&str] = &["created_at", "updated_at", "ttl"];

/// Lists whose order means nothing and changes from call to call.
const UNORDERED: &[&str] = &["enabled_in_cluster"];

/// Members that the node makes up when they are not sent.
const SECRETS: &[&str] = &["key", "secret", "client_id", "client_secret", "access_token"];

/// What the recorded node made up, and what the double made up in its place.
#[derive(Debug, Default)]
pub(crate) struct MadeUp(HashMap<String, String>);

impl MadeUp {
    /// Rewrites what was recorded to what the double made up.
    pub(crate) fn rewrite(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                if let Some(own) = self.0.get(text) {
                    own.clone_into(text);
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.rewrite(item)),
            Value::Object(members) => members.values_mut().for_each(|value| self.rewrite(value)),
            _ => {}
        }
    }

    /// Notes the secrets that an answer shows and its request did not send.
    pub(crate) fn learn(&mut self, sent: &Value, recorded: &Value, given: &Value) {
        for name in SECRETS {
            let (Some(old), Some(new)) = (recorded[*name].as_str(), given[*name].as_str()) else {
                continue;
            };
            let hashed = old.starts_with("$pbkdf2-");
            if sent[*name].as_str() == Some(old) && !hashed {
                continue;
            }
            if shape(old) == shape(new) && (hashed || sent[*name].is_null()) {
                self.0.insert(old.to_owned(), new.to_owned());
            }
        }
    }
}

/// A secret's length, and where it has which marks.
fn shape(text: &str) -> (usize, String) {
    let head: String = text.chars().take(28).collect();
    let hashed = text.starts_with("$pbkdf2-");
    (text.len(), if hashed { head } else { String::new() })
}

/// The first difference between a recorded answer and the double's, if any.
pub(crate) fn difference(path: &str, recorded: &Value, given: &Value) -> Option<String> {
    let name = path.rsplit('/').next().unwrap_or_default();
    match (recorded, given) {
        (Value::Object(old), Value::Object(new)) => {
            let missing = old.keys().find(|name| !new.contains_key(*name));
            let surplus = new.keys().find(|name| !old.contains_key(*name));
            if let Some(name) = missing {
                return Some(format!("{path} lacks {name}"));
            }
            if let Some(name) = surplus {
                return Some(format!("{path} has {name}, too"));
            }
            old.iter()
                .find_map(|(name, old)| difference(&format!("{path}/{name}"), old, &new[name]))
        }
        (Value::Array(old), Value::Array(new)) if UNORDERED.contains(&name) => {
            let sorted = |items: &[Value]| {
                let mut items: Vec<String> = items.iter().map(Value::to_string).collect();
                items.sort();
                items
            };
            (sorted(old) != sorted(new)).then(|| format!("{path} has other items"))
        }
        (Value::Array(old), Value::Array(new)) => {
            if old.len() != new.len() {
                return Some(format!("{path} has {} items, not {}", new.len(), old.len()));
            }
            let pairs = old.iter().zip(new).enumerate();
            pairs
                .into_iter()
                .find_map(|(n, (old, new))| difference(&format!("{path}/{n}"), old, new))
        }
        (Value::Number(_), Value::Number(_)) if TIMES.contains(&name) => None,
        (old, new) if old == new => None,
        (old, new) => Some(format!("{path} is {new}, not {old}")),
    }
}
