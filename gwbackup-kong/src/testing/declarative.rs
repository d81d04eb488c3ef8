//! A declarative file taken apart into entities, as the Admin API knows them.

use std::collections::HashMap;

use serde_json::{Map, Value, json};
use uuid::{Uuid, uuid};

use super::kinds::{KINDS, Kind};
use super::schema::Schemas;
use super::secret::Source;
use super::store::Link;

type Data = Map<String, Value>;

/// The name space of the ids that entities get from their names.
const ENTITIES: Uuid = uuid!("fd02801f-0957-4a15-a55a-c8d9606f30b5");

/// Where an entity stands in its file: the names of lists, each with a place in it.
pub(super) type Place = Vec<(&'static str, usize)>;

/// One entity of a file.
#[derive(Debug)]
pub(super) struct Entity {
    pub(super) kind: &'static Kind,
    pub(super) id: Uuid,
    /// With foreign keys as `{"id": ...}`.
    pub(super) body: Data,
    pub(super) place: Place,
    /// It came with its id.
    pub(super) own_id: bool,
}

/// A file.
#[derive(Debug, Default)]
pub(super) struct File {
    /// Parents before children.
    pub(super) entities: Vec<Entity>,
    /// Hashed secrets are sent as hashes.
    pub(super) keeps_hashes: bool,
    /// What else is wrong, by member.
    pub(super) errors: Data,
    /// Entities that have no collection in the Admin API.
    pub(super) others: Vec<(String, String, Value)>,
}

/// Takes files apart for one node.
pub(super) struct Reader<'a> {
    pub(super) schemas: &'a Schemas,
    pub(super) links: &'a dyn Fn(&Kind) -> Vec<Link>,
    pub(super) ids: &'a mut Source,
}

impl Reader<'_> {
    pub(super) fn read(&mut self, members: Data) -> File {
        let mut file = File::default();
        let wrong = match members.get("_format_version").and_then(Value::as_str) {
            None => Some("required field missing"),
            Some("1.1" | "2.1" | "3.0") => None,
            Some(_) => Some("expected one of: 1.1, 2.1, 3.0"),
        };
        if let Some(why) = wrong {
            file.errors.insert("_format_version".into(), why.into());
        }
        file.keeps_hashes = members.get("_transform") == Some(&Value::Bool(false));
        for (name, value) in members {
            let items = match (name.starts_with('_'), value) {
                (true, _) => continue,
                (false, Value::Array(items)) => items,
                (false, _) => Vec::new(),
            };
            match Kind::of_schema(&name) {
                Some(kind) => {
                    for (at, item) in items.into_iter().enumerate() {
                        self.entity(&mut file, kind, item, vec![(kind.schema, at)], None);
                    }
                }
                None if self.schemas.answer("entities", &name).is_some() => {
                    for item in items {
                        let key = item.get("id").or_else(|| item.get("key"));
                        let key = key.and_then(Value::as_str).unwrap_or_default().to_owned();
                        file.others.push((name.clone(), key, item));
                    }
                }
                None => {
                    file.errors.insert(name, "unknown field".into());
                }
            }
        }
        file.entities.sort_by_key(|entity| entity.kind.at);
        self.resolve(&mut file);
        file
    }

    fn entity(
        &mut self,
        file: &mut File,
        kind: &'static Kind,
        item: Value,
        place: Place,
        parent: Option<(String, Uuid)>,
    ) {
        let mut body = match item {
            Value::Object(body) => body,
            // A certificate's SNIs may stand as names alone.
            Value::String(name) => Data::from_iter([("name".to_owned(), name.into())]),
            _ => Data::new(),
        };
        if let Some((member, id)) = parent {
            body.insert(member, json!({ "id": id }));
        }
        let mut nested = Vec::new();
        for child in KINDS {
            let link = (self.links)(child).into_iter().find(|link| link.parent.at == kind.at);
            if let (Some(link), Some(Value::Array(_))) = (link, body.get(child.schema))
                && let Some(Value::Array(items)) = body.remove(child.schema)
            {
                nested.push((child, link.member, items));
            }
        }
        let given = body.get("id").and_then(Value::as_str).and_then(super::node::as_id);
        let id = given.or_else(|| self.derived(kind, &body)).unwrap_or_else(|| self.ids.uuid());
        for (child, member, items) in nested {
            for (at, item) in items.into_iter().enumerate() {
                let mut place = place.clone();
                place.push((child.schema, at));
                self.entity(file, child, item, place, Some((member.clone(), id)));
            }
        }
        file.entities.push(Entity { kind, id, body, place, own_id: given.is_some() });
    }

    /// The id that an entity gets from its name, or from what makes it unique. Where the node makes
    /// up names by itself, it makes up ids as well.
    fn derived(&self, kind: &Kind, body: &Data) -> Option<Uuid> {
        let space = Uuid::new_v5(&ENTITIES, kind.schema.as_bytes());
        let auto = |name: &str| self.schemas.base(kind).field(name).is_some_and(|f| f.auto);
        if kind.name.is_some_and(auto) {
            return None;
        }
        let text = |name: &str| match body.get(name) {
            Some(Value::String(text)) => Some(text.as_str()),
            Some(Value::Object(key)) => key.get("id").and_then(Value::as_str),
            _ => None,
        };
        let key = match (kind.schema, kind.name.and_then(text)) {
            ("plugins", _) => {
                let parts = ["name", "route", "service", "consumer"];
                let parts: Vec<&str> =
                    parts.into_iter().map(|name| text(name).unwrap_or_default()).collect();
                format!("plugins:*:{}", parts.join(":"))
            }
            ("keys", _) => format!("keys:*:{}:{}", text("kid")?, text("set").unwrap_or_default()),
            ("acls", _) => format!("acls:*:{}:{}", text("consumer")?, text("group")?),
            (
                schema @ ("basicauth_credentials" | "hmacauth_credentials" | "vaults"),
                Some(name),
            ) => {
                format!("{schema}:*:{name}")
            }
            ("targets", Some(target)) => format!("targets:*:{}:{target}", text("upstream")?),
            (_, Some(name)) => name.to_owned(),
            (_, None) => return None,
        };
        Some(Uuid::new_v5(&space, key.as_bytes()))
    }

    /// Makes foreign keys objects with the id of what they name.
    fn resolve(&self, file: &mut File) {
        let mut known: HashMap<(usize, String), Uuid> = HashMap::new();
        for entity in &file.entities {
            known.insert((entity.kind.at, entity.id.to_string()), entity.id);
            let name = entity.kind.name.and_then(|name| entity.body.get(name));
            if let Some(name) = name.and_then(Value::as_str) {
                known.entry((entity.kind.at, name.to_owned())).or_insert(entity.id);
            }
        }
        for entity in &mut file.entities {
            for link in (self.links)(entity.kind) {
                let Some(value) = entity.body.get_mut(&link.member) else { continue };
                let name = match &*value {
                    Value::String(name) => Some(name.clone()),
                    Value::Object(key) => {
                        key.values().next().and_then(Value::as_str).map(str::to_owned)
                    }
                    _ => None,
                };
                let Some(name) = name else { continue };
                *value = match known.get(&(link.parent.at, name)) {
                    Some(id) => json!({ "id": id }),
                    None => json!({}),
                };
            }
        }
    }
}
