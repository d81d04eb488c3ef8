//! What the double holds, by address.

use std::collections::BTreeMap;
use std::sync::Arc;

use gwbackup_core::clock::{Clock, rfc3339};
use serde_json::{Map, Value, json};

use super::model::{self, Operation};
use super::reply::{Told, missing};

#[derive(Debug)]
pub(super) struct State {
    /// By address, without a slash at either end.
    pub(super) objects: BTreeMap<String, Value>,
    /// When each link was made.
    pub(super) links: BTreeMap<String, i64>,
    /// What each function lets others do: by its ARN and the statement's id.
    pub(super) functions: BTreeMap<String, BTreeMap<String, Value>>,
    pub(super) operations: Arc<Vec<Operation>>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) account: String,
    pub(super) region: String,
    seed: u64,
    given: u64,
}

impl State {
    pub(super) fn new(clock: Arc<dyn Clock>, account: String, region: String, seed: u64) -> Self {
        let operations = Arc::new(model::load());
        let objects = BTreeMap::new();
        let mut state = Self {
            objects,
            links: BTreeMap::new(),
            functions: BTreeMap::new(),
            operations,
            clock,
            account,
            region,
            seed,
            given: 0,
        };
        state.clear();
        state
    }

    pub(super) fn clear(&mut self) {
        let account = json!({ "throttleSettings": { "burstLimit": 5000, "rateLimit": 10000.0 },
            "features": ["UsagePlans"], "apiKeyVersion": "4" });
        self.objects = BTreeMap::from([("account".to_owned(), account)]);
    }

    pub(super) fn all(&self) -> BTreeMap<String, Value> {
        self.objects.clone()
    }

    /// An id that was never given before: letters and digits.
    pub(super) fn id(&mut self, length: usize) -> String {
        self.given += 1;
        let mut n = ((self.seed << 32) | self.given).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        n ^= n >> 29;
        n = n.wrapping_mul(0xbf58_476d_1ce4_e5b9);
        n ^= n >> 32;
        let digits = b"abcdefghijklmnopqrstuvwxyz0123456789";
        let mut text = String::new();
        for place in 0..length {
            let base = if place == 0 { 26 } else { 36 };
            text.push(char::from(digits[usize::try_from(n % base).unwrap_or(0)]));
            n /= base;
        }
        text
    }

    /// The full name of what lies at a path, where it bears the account.
    pub(super) fn arn(&self, path: &str) -> String {
        format!("arn:aws:apigateway:{}:{}:{path}", self.region, self.account)
    }

    /// A secret of its own making.
    pub(super) fn secret(&mut self) -> String {
        (0..4).map(|_| self.id(10)).collect()
    }

    /// The moment, as the first version of the API writes it.
    pub(super) fn seconds(&self) -> i64 {
        self.clock.now().as_second()
    }

    /// The moment, as the second version writes it.
    pub(super) fn date(&self) -> String {
        rfc3339(self.clock.now())
    }

    pub(super) fn get(&self, at: &str) -> Told<&Value> {
        self.objects.get(at).ok_or_else(|| missing(at))
    }

    pub(super) fn has(&self, at: &str) -> bool {
        self.objects.contains_key(at)
    }

    /// What lies right below an address, in its order.
    pub(super) fn list(&self, at: &str) -> Vec<(String, Value)> {
        let prefix = format!("{at}/");
        let below = self.objects.range(prefix.clone()..);
        let below = below.take_while(|(path, _)| path.starts_with(&prefix));
        below
            .filter(|(path, _)| !path[prefix.len()..].contains('/'))
            .map(|(path, value)| (path.clone(), value.clone()))
            .collect()
    }

    /// Everything below an address, by the rest of its own.
    pub(super) fn below(&self, at: &str) -> BTreeMap<String, Value> {
        let prefix = format!("{at}/");
        let below = self.objects.range(prefix.clone()..);
        let below = below.take_while(|(path, _)| path.starts_with(&prefix));
        below.map(|(path, value)| (path[prefix.len()..].to_owned(), value.clone())).collect()
    }

    /// Removes a thing and all that lies below it.
    pub(super) fn remove(&mut self, at: &str) {
        let prefix = format!("{at}/");
        self.objects.retain(|path, _| path != at && !path.starts_with(&prefix));
    }
}

/// The members of an object.
pub(super) fn members(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

/// The text of a member.
pub(super) fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value.get(member).and_then(Value::as_str).unwrap_or_default()
}
