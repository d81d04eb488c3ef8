//! The node's proxy: which route takes a request, and what the plugins in force make of it. What
//! lies behind always answers, with what it was asked as JSON.

mod auth;
mod plugins;
mod regex;
mod router;

use std::collections::HashMap;
use std::net::IpAddr;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::kinds::Kind;
use super::node::Node;

/// A request at the proxy. Header names are in lower case.
#[derive(Debug)]
pub(super) struct Passing {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) from: IpAddr,
    pub(super) body: usize,
}

impl Passing {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// What the proxy answers.
#[derive(Debug)]
pub(super) struct Passed {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Passed {
    fn refused(status: u16, message: &str) -> Self {
        let body = json!({ "message": message, "request_id": "0".repeat(32) });
        Self { status, headers: Vec::new(), body: body.to_string() }
    }
}

/// How often each limited caller has called in each window, and what lies in the cache.
#[derive(Debug, Default)]
pub(super) struct Memory {
    counts: HashMap<(Uuid, String, &'static str, i64), f64>,
    cached: HashMap<(Uuid, String), i64>,
}

/// One entity with its id.
type Entity = (Uuid, Map<String, Value>);

impl Node {
    /// All entities of one kind.
    fn all(&self, schema: &str) -> Vec<Entity> {
        let Some(kind) = Kind::of_schema(schema) else { return Vec::new() };
        self.store.after(kind, None).map(|(id, row)| (id, row.data())).collect()
    }

    /// Takes a request as the proxy does.
    pub(super) fn pass(&mut self, memory: &mut Memory, request: &Passing) -> Passed {
        let now = self.now();
        self.store.expire(now);
        let routes = self.all("routes");
        let Some((route, data)) = router::find(&routes, request) else {
            return Passed::refused(404, "no Route matched with those values");
        };
        let protocols = texts(data.get("protocols"));
        if !protocols.is_empty() && !protocols.iter().any(|p| p == "http") {
            return Passed::refused(426, "Please use HTTPS protocol");
        }
        let service = super::store::parent(data, "service");
        let mut passage = plugins::Passage { node: self, memory, request, added: Vec::new() };
        let mut answer = passage.through(*route, service).unwrap_or_else(|| match service {
            Some(_) => Passed {
                status: 200,
                headers: vec![("via".into(), "1.1 kong/3.9.1".into())],
                body: json!({ "route": data.get("name"), "path": request.path }).to_string(),
            },
            None => Passed::refused(503, "no Service found with those values"),
        });
        answer.headers.append(&mut passage.added);
        answer
    }
}

/// The texts of a list.
fn texts(value: Option<&Value>) -> Vec<String> {
    let items = value.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}
