//! The operations of both versions of the API, from their models.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::reply::{Refusal, bad};

/// One operation.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) name: String,
    pub(super) second: bool,
    pub(super) status: u16,
    method: String,
    path: Vec<String>,
    members: Vec<Member>,
}

/// Name on the wire, place, type, whether it is required.
#[derive(Debug, Deserialize)]
struct Member(String, String, String, bool);

#[derive(Deserialize)]
struct Wire(String, String, u16, Vec<Member>);

/// All operations.
pub(super) fn load() -> Vec<Operation> {
    let mut all = Vec::new();
    for (second, text) in
        [(false, include_str!("models/v1.json")), (true, include_str!("models/v2.json"))]
    {
        let found: BTreeMap<String, Wire> = serde_json::from_str(text).unwrap_or_default();
        all.extend(found.into_iter().map(|(name, Wire(method, uri, status, members))| {
            let path = uri.trim_start_matches('/').split('/').map(str::to_owned).collect();
            Operation { name, second, status, method, path, members }
        }));
    }
    // What names more of its path goes first.
    all.sort_by_key(|operation| operation.path.iter().filter(|part| part.starts_with('{')).count());
    all
}

impl Operation {
    pub(super) fn answers(&self, method: &str, path: &[String]) -> bool {
        let fits = |(part, own): (&String, &String)| part.starts_with('{') || part == own;
        self.method == method
            && self.path.len() == path.len()
            && self.path.iter().zip(path).all(fits)
    }

    /// Refuses a body that lacks a required member, or has one of another type.
    pub(super) fn check(&self, body: &Map<String, Value>) -> Result<(), Refusal> {
        for Member(name, place, kind, required) in &self.members {
            if place != "body" || kind == "blob" {
                continue;
            }
            let fits = match (body.get(name), kind.as_str()) {
                (None | Some(Value::Null), _) => !required,
                (Some(value), "string" | "timestamp") => value.is_string(),
                (Some(value), "integer" | "long") => value.is_i64(),
                (Some(value), "double" | "float") => value.is_number(),
                (Some(value), "boolean") => value.is_boolean(),
                (Some(value), "list") => value.is_array(),
                (Some(value), _) => value.is_object(),
            };
            if !fits {
                return Err(bad(&format!("Invalid request input: {name} of {}", self.name)));
            }
        }
        Ok(())
    }
}
