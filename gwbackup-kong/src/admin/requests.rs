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
    let old = stripped(rules, live).without(absent(wanted).chain(hashed(wanted)));
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

#[cfg(test)]
mod tests {
    use gwbackup_core::model::{Absence, Id, Key, Kind, Mark};

    use super::*;

    fn entity(kind: &'static str, text: &str) -> Resource {
        let key = Key::new(Kind::known(kind), Id::new("e1").unwrap());
        Resource::new(key, Document::parse(text).unwrap())
    }

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    fn made(kind: &'static str, text: &str) -> Option<String> {
        creation(&Rules::new(crate::schema()), &entity(kind, text), now()).unwrap()
    }

    fn changed(kind: &'static str, live: &str, wanted: &str) -> Update {
        let rules = Rules::new(crate::schema());
        update(&rules, &entity(kind, live), &entity(kind, wanted), now()).unwrap().unwrap()
    }

    #[test]
    fn a_creation_says_its_id_and_nothing_that_the_node_sets() {
        for (kind, text, wanted) in [
            (
                "target",
                r#"{"id":"old","created_at":1.50,"updated_at":2.5,"tags":null,"weight":100}"#,
                r#"{"created_at":1.50,"id":"e1","tags":null,"weight":100}"#,
            ),
            (
                "certificate",
                r#"{"id":"e1","cert":"c","key":"k","snis":["a.example"]}"#,
                r#"{"cert":"c","id":"e1","key":"k"}"#,
            ),
            ("ca_certificate", r#"{"cert":"c","cert_digest":"d"}"#, r#"{"cert":"c","id":"e1"}"#),
            (
                "route",
                r#"{"regex_priority":9007199254740993,"service":{"id":"s"}}"#,
                r#"{"id":"e1","regex_priority":9007199254740993,"service":{"id":"s"}}"#,
            ),
            (
                "basicauth_credential",
                r#"{"password":"5baa61e4","username":"u"}"#,
                r#"{"id":"e1","username":"u"}"#,
            ),
            (
                "oauth2_credential",
                r#"{"client_secret":"clear","hash_secret":false}"#,
                r#"{"client_secret":"clear","hash_secret":false,"id":"e1"}"#,
            ),
        ] {
            assert_eq!(made(kind, text).as_deref(), Some(wanted), "{kind}");
        }
    }

    #[test]
    fn an_end_becomes_the_time_that_is_left() {
        let ttl = |ttl: &str| made("keyauth_credential", &format!(r#"{{"key":"k","ttl":{ttl}}}"#));
        assert_eq!(ttl("1800000060").unwrap(), r#"{"id":"e1","key":"k","ttl":60}"#);
        assert_eq!(ttl("null").unwrap(), r#"{"id":"e1","key":"k"}"#);
        assert_eq!(ttl("1799999999"), None);
        assert_eq!(ttl("3600").unwrap(), r#"{"id":"e1","key":"k","ttl":3600}"#);
    }

    #[test]
    fn an_update_replaces_the_whole_unless_that_would_lose_something() {
        let whole = changed("service", r#"{"host":"a","name":"n"}"#, r#"{"host":"b"}"#);
        assert_eq!(whole, Update::Whole(r#"{"host":"b"}"#.into()));
        for (kind, live, wanted, part) in [
            (
                "certificate",
                r#"{"cert":"a","key":"k","snis":["s"],"tags":["t"],"key_alt":null}"#,
                r#"{"cert":"b","key":"k","snis":[]}"#,
                r#"{"cert":"b","tags":null}"#,
            ),
            (
                "basicauth_credential",
                r#"{"password":"h","tags":null,"username":"a"}"#,
                r#"{"password":"h","tags":["x"],"username":"a"}"#,
                r#"{"tags":["x"]}"#,
            ),
            (
                "oauth2_credential",
                r#"{"client_secret":"$pbkdf2-sha512$x","hash_secret":true,"name":"a"}"#,
                r#"{"client_secret":"$pbkdf2-sha512$x","hash_secret":true,"name":"b"}"#,
                r#"{"name":"b"}"#,
            ),
        ] {
            assert_eq!(changed(kind, live, wanted), Update::Part(part.into()), "{kind}");
        }
    }

    #[test]
    fn what_is_not_here_is_neither_sent_nor_cleared() {
        let live = entity("plugin", r#"{"config":{"key":"hush","minute":1},"name":"p"}"#);
        let mut wanted = entity("plugin", r#"{"config":{"minute":2},"name":"p"}"#);
        wanted.marks.push(Mark::absent("/config/key", Absence::Withheld));
        let rules = Rules::new(crate::schema());
        let update = update(&rules, &live, &wanted, now()).unwrap().unwrap();
        assert_eq!(update, Update::Part(r#"{"config":{"minute":2}}"#.into()));
    }

    #[test]
    fn a_target_lies_below_its_upstream() {
        let path = ["upstreams".to_owned()];
        let target = entity("target", r#"{"upstream":{"id":"u1"}}"#);
        let address = Address::new(&path, &target).unwrap();
        let segments: Vec<&str> = address.entity().collect();
        assert_eq!(segments, ["upstreams", "u1", "targets", "e1"]);
        assert!(Address::new(&path, &entity("target", "{}")).is_err());
    }
}
