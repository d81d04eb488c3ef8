//! A node: what it holds and what it knows of itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use gwbackup_core::Result;
use gwbackup_core::clock::Clock;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::kinds::{KINDS, Kind, SNIS};
use super::reply::{Body, Reply};
use super::schema::Schemas;
use super::secret::Source;
use super::store::{Row, Store};

/// Where the node keeps its configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// In a database: entities are written one by one.
    Database,
    /// In memory: one declarative file at a time.
    DbLess,
}

/// A node without its network.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) schemas: Arc<Schemas>,
    pub(super) store: Store,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) ids: Source,
    pub(super) mode: Mode,
    pub(super) version: String,
    /// The hash of the loaded file, and of its text as it came.
    pub(super) loaded: (String, Option<String>),
    /// What other workspaces than the default one hold, by name. None on a node of open source.
    pub(super) workspaces: BTreeMap<String, Store>,
    /// Hashes of credentials that running workers still go by, by id.
    pub(super) cached: Map<String, Value>,
}

impl Node {
    pub(super) fn new(
        clock: Arc<dyn Clock>,
        mode: Mode,
        version: String,
        seed: u64,
    ) -> Result<Self> {
        let schemas = Schemas::load()?;
        Ok(Self {
            store: Store::new(&schemas),
            schemas,
            clock,
            ids: Source::new(seed),
            mode,
            version,
            loaded: ("0".repeat(32), None),
            workspaces: BTreeMap::new(),
            cached: Map::new(),
        })
    }

    /// Milliseconds since the epoch.
    pub(super) fn now(&self) -> i64 {
        self.clock.now().as_millisecond()
    }

    /// Major and minor version.
    pub(super) fn release(&self) -> (u32, u32) {
        let mut parts = self.version.split('.').map(|part| part.parse().unwrap_or(0));
        (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
    }

    /// The collections that this version has.
    pub(super) fn kinds(&self) -> impl Iterator<Item = &'static Kind> + use<> {
        let release = self.release();
        KINDS.iter().filter(move |kind| kind.since <= release)
    }

    /// The entity that a path names by id or by name.
    pub(super) fn find(&self, kind: &'static Kind, key: &str) -> Option<Uuid> {
        if let Some(id) = as_id(key) {
            return self.store.get(kind, id).map(|_| id);
        }
        if kind.schema == "certificates" {
            let sni = self.store.find(SNIS, "name", key)?;
            return super::store::parent(&self.store.get(SNIS, sni)?.data(), "certificate");
        }
        self.store.find(kind, kind.name?, key)
    }

    /// A row as it is answered now.
    pub(super) fn render(&self, kind: &'static Kind, id: Uuid, row: &Row) -> String {
        let mut json = row.json.to_string();
        if kind.ttl {
            let left = row.expires.map(|at| (at - self.now()).div_euclid(1000));
            match left {
                // Without a database an entity that never expires does not say so.
                None if self.mode == Mode::DbLess => {}
                None => splice(&mut json, "ttl", "null"),
                Some(left) => splice(&mut json, "ttl", &left.to_string()),
            }
        }
        if kind.schema == "certificates" {
            let names = Value::from(self.sni_names(id)).to_string();
            splice(&mut json, "snis", &names);
        }
        json
    }

    /// The names of a certificate's SNIs.
    pub(super) fn sni_names(&self, certificate: Uuid) -> Vec<String> {
        let snis = self.store.children(SNIS, "certificate", certificate, None);
        let name = |row: &Row| row.data().get("name").and_then(Value::as_str).map(str::to_owned);
        let mut names: Vec<String> = snis.filter_map(|(_, row)| name(row)).collect();
        names.sort();
        names
    }

    /// Whether a basic-auth credential has this password, as far as workers know.
    pub(super) fn lets_in(&self, username: &str, password: &str) -> bool {
        let Some(kind) = Kind::of_schema("basicauth_credentials") else { return false };
        let Some(id) = self.store.find(kind, "username", username) else { return false };
        let data = self.store.get(kind, id).map(Row::data).unwrap_or_default();
        let consumer = super::store::parent(&data, "consumer").unwrap_or_default().to_string();
        let stored = self.cached.get(&id.to_string()).or_else(|| data.get("password"));
        stored.is_some_and(|hash| *hash == super::secret::basic_auth(password, &consumer))
    }

    /// The entity as an answer, or 404.
    pub(super) fn show(&self, kind: &'static Kind, id: Uuid, status: u16) -> Reply {
        match self.store.get(kind, id) {
            Some(row) => Reply::new(status, Body::Json(self.render(kind, id, row))),
            None => Reply::not_found(),
        }
    }
}

/// A key of a path that is an id.
pub(super) fn as_id(key: &str) -> Option<Uuid> {
    (key.len() == 36).then(|| Uuid::try_parse(key).ok()).flatten()
}

/// Adds a member to the text of an object that has others.
fn splice(json: &mut String, name: &str, value: &str) {
    if json.pop() == Some('}') {
        json.push_str(",\"");
        json.push_str(name);
        json.push_str("\":");
        json.push_str(value);
        json.push('}');
    }
}
