//! What is asked.

use serde_json::{Map, Value};
use url::form_urlencoded;

use super::reply::{Told, bad};

/// One request.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    pub(super) path: Vec<String>,
    pub(super) query: Vec<(String, String)>,
    pub(super) body: &'a [u8],
}

/// The segments of a path, decoded.
pub(super) fn segments(path: &str) -> Vec<String> {
    let decode = |part: &str| {
        let plus = part.replace('+', "%2B");
        let decoded = form_urlencoded::parse(plus.as_bytes()).next();
        decoded.map(|(name, _)| name.into_owned()).unwrap_or_default()
    };
    path.trim_matches('/')
        .split('/')
        .map(|part| decode(&part.replace('=', "%3D").replace('&', "%26")))
        .collect()
}

impl<'a> Request<'a> {
    pub(super) fn new(method: &'a str, path: &str, query: &str, body: &'a [u8]) -> Self {
        let query = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        Self { method, path: segments(path), query, body }
    }

    pub(super) fn asks(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn object(&self) -> Told<Map<String, Value>> {
        if self.body.is_empty() {
            return Ok(Map::new());
        }
        match serde_json::from_slice(self.body) {
            Ok(Value::Object(members)) => Ok(members),
            _ => Err(bad("Invalid request input")),
        }
    }

    pub(super) fn at(&self) -> String {
        joined(&self.path)
    }

    /// The address of what this lies below.
    pub(super) fn above(&self) -> String {
        let end = self.path.len().saturating_sub(1);
        joined(self.path.get(..end).unwrap_or_default())
    }
}

/// An address; an ARN in it stays one segment.
pub(super) fn joined(path: &[String]) -> String {
    let parts: Vec<String> = path.iter().map(|part| part.replace('/', "%2F")).collect();
    parts.join("/")
}
