//! Which call writes which entity, and what it says. No I/O.

use std::collections::BTreeMap;

use gwbackup_core::clock::Timestamp;
use gwbackup_core::model::{Document, Member, Resource, Rules, Says};
use gwbackup_core::{Error, Result};
use serde_json::value::RawValue;

use crate::schema::hashed;

/// Where one entity is: the segments of its list's path, and its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) list: Vec<String>,
    pub(super) id: String,
}

impl Address {
    /// `path` is that of the kind's list; a target's list lies below its upstream, which the
    /// document names.
    pub(super) fn new(path: &[String], resource: &Resource) -> Result<Self> {
        let key = &resource.key;
        let list = if key.kind.as_str() == "target" {
            let upstream = resource.document.text("/upstream/id");
            let upstream =
                upstream.ok_or_else(|| Error::invalid("a target without its upstream").on(key))?;
            vec!["upstreams".to_owned(), upstream.into_owned(), "targets".to_owned()]
        } else {
            path.to_vec()
        };
        Ok(Self { list, id: key.id.last().into_owned() })
    }

    /// Segments of the list's path.
    pub(super) fn list(&self) -> impl Iterator<Item = &str> {
        self.list.iter().map(String::as_str)
    }

    /// Segments of the entity's path.
    pub(super) fn entity(&self) -> impl Iterator<Item = &str> {
        self.list().chain([self.id.as_str()])
    }
}

/// How an entity that is there is changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Update {
    /// By `PUT` of the whole.
    Whole(String),
    /// By `PATCH` of what differs.
    Part(String),
}

/// What `POST` of a new entity says; `None` for one that has expired.
///
/// `PUT` would write over whatever has the id by now. This way the node itself refuses.
pub(super) fn creation(rules: &Rules, wanted: &Resource, now: Timestamp) -> Result<Option<String>> {
    let Some(body) = body(rules, wanted, now)? else { return Ok(None) };
    let id = serde_json::Value::from(wanted.key.id.last().as_ref()).to_string();
    Ok(Some(body.with_member("/id", &id)?.as_str().to_owned()))
}

/// How `live` becomes `wanted`; `None` where it has expired.
pub(super) fn update(
    rules: &Rules,
    live: &Resource,
    wanted: &Resource,
    now: Timestamp,
) -> Result<Option<Update>> {
    let (Some(new), kind) = (body(rules, wanted, now)?, wanted.key.kind.as_str()) else {
        return Ok(None);
    };
    // A whole certificate without its names would lose them; a hash that is sent is hashed again; a
    // value that is not here would be cleared.
    let in_part = kind == "certificate" || hashed(wanted).is_some() || wanted.is_incomplete();
    if !in_part {
        return Ok(Some(Update::Whole(new.as_str().to_owned())));
    }
    let old = stripped(rules, live).without(absent(wanted));
    let (new, old) = (members(&new)?, members(&old)?);
    let mut part: BTreeMap<&str, Option<&RawValue>> = BTreeMap::new();
    for (name, value) in &new {
        if old.get(name).map(|old| old.get()) != Some(value.get()) {
            part.insert(name, Some(value));
        }
    }
    for (name, value) in &old {
        if !new.contains_key(name) && name != "ttl" && value.get() != "null" {
            part.insert(name, None);
        }
    }
    if part.contains_key("hash_secret") && hashed(wanted).is_some() {
        return Err(Error::invalid("a secret that is hashed cannot change how it is kept"));
    }
    let text = serde_json::to_string(&part)
        .map_err(|_| Error::invalid("what differs cannot be written as JSON"))?;
    Ok(Some(Update::Part(text)))
}

/// What is sent of an entity, but for its id; `None` for one that has expired. A hash is left out:
/// only an import takes it as it is.
fn body(rules: &Rules, wanted: &Resource, now: Timestamp) -> Result<Option<Document>> {
    let mut body = stripped(rules, wanted);
    if let Some(at) = hashed(wanted) {
        body = body.without([at]);
    }
    match time_left(wanted, now) {
        None => Ok(Some(body.without(["/ttl"]))),
        Some(0) => Ok(None),
        Some(left) => body.with_member("/ttl", &left.to_string()).map(Some),
    }
}

/// The document without what the node sets itself and what is not here.
fn stripped(rules: &Rules, resource: &Resource) -> Document {
    let own = rules.members(resource, |m| matches!(m, Member::Volatile | Member::ReadOnly));
    let own = own.iter().filter(|at| at.as_str() != "/ttl").map(String::as_str);
    resource.document.without(own.chain(absent(resource)))
}

/// Pointers of the values that are not here.
pub(super) fn absent(resource: &Resource) -> impl Iterator<Item = &str> {
    let absent = |says| matches!(says, Says::Absent(_));
    resource.marks.iter().filter(move |m| absent(m.says)).map(|m| m.at.pointer.as_str())
}

/// A smaller number is no moment, but the seconds left at a time that nobody knows.
const MOMENTS: i64 = 100_000_000;

/// Seconds until an entity ends, 0 if it has; `None` for one that does not end.
fn time_left(resource: &Resource, now: Timestamp) -> Option<u64> {
    let end: i64 = resource.document.get("/ttl")?.split('.').next()?.parse().ok()?;
    let left = if end < MOMENTS { end } else { end - now.as_second() };
    Some(u64::try_from(left).unwrap_or(0))
}

fn members(document: &Document) -> Result<BTreeMap<String, &RawValue>> {
    serde_json::from_str(document.as_str())
        .map_err(|_| Error::invalid("an entity of Kong is an object"))
}
