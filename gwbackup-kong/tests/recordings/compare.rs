//! When two answers are the same.

use std::collections::HashMap;

use serde_json::Value;

/// Members whose value is the moment of the request.
const TIMES: &[&str] = &["created_at", "updated_at", "ttl"];

/// Lists whose order means nothing and changes from call to call.
const UNORDERED: &[&str] = &["enabled_in_cluster", "errors", "flattened_errors"];

/// Members that the node makes up when they are not sent.
const SECRETS: &[&str] = &["key", "secret", "client_id", "client_secret", "access_token"];

/// What the recorded node made up, and what the double made up in its place.
#[derive(Debug, Default)]
pub(crate) struct MadeUp {
    own: HashMap<String, String>,
    /// Hashes of passwords are others, because passwords or consumers have other names.
    hashes: bool,
}

impl MadeUp {
    /// Rewrites what was recorded to what the double made up.
    pub(crate) fn rewrite(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                if let Some(own) = self.own.get(text) {
                    own.clone_into(text);
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.rewrite(item)),
            Value::Object(members) => members.values_mut().for_each(|value| self.rewrite(value)),
            _ => {}
        }
    }

    /// Takes the hashes of passwords as they come.
    pub(crate) fn learn_hashes(&mut self) {
        self.hashes = true;
    }

    /// Notes the secrets that an answer shows and its request did not send.
    pub(crate) fn learn(&mut self, sent: &Value, recorded: &Value, given: &Value) {
        let hashed = |text: &str| text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit());
        if let (true, Some(old), Some(new)) =
            (self.hashes, recorded["password"].as_str(), given["password"].as_str())
            && hashed(old)
            && hashed(new)
        {
            self.own.insert(old.to_owned(), new.to_owned());
        }
        for name in SECRETS {
            let (Some(old), Some(new)) = (recorded[*name].as_str(), given[*name].as_str()) else {
                continue;
            };
            let hashed = old.starts_with("$pbkdf2-");
            if sent[*name].as_str() == Some(old) && !hashed {
                continue;
            }
            if shape(old) == shape(new) && (hashed || sent[*name].is_null()) {
                self.own.insert(old.to_owned(), new.to_owned());
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
            let met = |one: &Value| new.iter().any(|own| difference("", one, own).is_none());
            let same = old.len() == new.len() && old.iter().all(met);
            (!same).then(|| format!("{path} is {given}, not {recorded}"))
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
        // Two files of one content: the order of members differs from export to export, and so do
        // the quotes that YAML leaves to the writer.
        (Value::String(old), Value::String(new)) if name == "config" => {
            let lines = |text: &str| {
                let plain = |line: &str| line.replace(['"', '\''], "").replace(": null", ": ~");
                let bare = |line: &str| plain(line.trim().trim_start_matches("- "));
                let mut lines: Vec<String> = text.lines().map(bare).collect();
                lines.sort();
                lines
            };
            (lines(old) != lines(new)).then(|| format!("{path} is {new}, not {old}"))
        }
        (Value::String(old), Value::String(new)) if name == "configuration_hash" => {
            let empty = |hash: &str| hash.bytes().all(|byte| byte == b'0');
            let same = old.len() == new.len() && empty(old) == empty(new);
            (!same).then(|| format!("{path} is {new}, not like {old}"))
        }
        (Value::Number(_), Value::Number(_)) if name == "total_requests" => None,
        (Value::String(_), Value::String(_)) if name == "allocated_slabs" => None,
        (Value::Number(_), Value::Number(_)) if TIMES.contains(&name) => None,
        (old, new) if old == new => None,
        (old, new) => Some(format!("{path} is {new}, not {old}")),
    }
}
