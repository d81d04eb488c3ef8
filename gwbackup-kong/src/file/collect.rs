//! From a file's tree to resources in the Admin API's form.

use std::collections::{HashMap, HashSet};

use gwbackup_core::model::{Document, Id, Key, Kind, Resource};
use gwbackup_core::{Error, Result};
use uuid::{Uuid, uuid};

use super::settings;
use super::sugar::Sugar;
use crate::node::{Map, Node, get, set, take};
use crate::schema::{ROWS, Row};

/// The name space from which Kong derives the ids of entities without one.
const ENTITIES: Uuid = uuid!("fd02801f-0957-4a15-a55a-c8d9606f30b5");

/// Gives every resource of a declarative file to `found`.
pub(super) fn collect(root: Node, found: &mut dyn FnMut(Resource) -> Result<()>) -> Result<()> {
    let Node::Map(members) = root else { return Err(no_kong_file()) };
    if get(&members, "_format_version").is_none_or(Node::is_null) {
        return Err(no_kong_file());
    }
    let (own, members): (Map, Map) =
        members.into_iter().partition(|(name, _)| name.starts_with('_'));
    let mut file = File { sugar: Sugar::of(&own), ..File::default() };
    for (name, value) in members {
        match value {
            Node::List(items) => file.list(&name, items)?,
            value if value.is_null() => {}
            _ => {
                return Err(Error::invalid("a member of a Kong file that is no list of entities")
                    .on(shown(&name)));
            }
        }
    }
    found(settings(&Node::Map(own))?)?;
    let File { mut entities, mut other, known, .. } = file;
    for entity in &mut entities {
        entity.resolve(&known)?;
    }
    // A file may say twice, from both sides, that a consumer is in a group.
    let mut links = HashSet::new();
    for entity in entities {
        if entity.row.is_link() && !links.insert(entity.id.clone()) {
            continue;
        }
        found(resource(entity.row.kind, &entity.id, entity.members)?)?;
    }
    while let Some((kind, id, members)) = other.pop() {
        found(resource(&kind, &id, members)?)?;
    }
    Ok(())
}

fn no_kong_file() -> Error {
    Error::invalid("this is no declarative file of Kong: it has no `_format_version`")
        .help("expected is a mapping like the output of `kong config db_export` or `deck dump`")
}

/// A name as an error may show it.
fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(64).collect()
}

fn resource(kind: &str, id: &str, members: Map) -> Result<Resource> {
    let malformed = |error: Error| error.on(shown(kind));
    let key = Key::new(Kind::new(kind).map_err(malformed)?, Id::of([id]).map_err(malformed)?);
    let document = Document::parse(&Node::Map(members).json()).map_err(|e| e.on(&key))?;
    Ok(Resource::new(key, document))
}

#[derive(Default)]
struct File {
    entities: Vec<Entity>,
    /// Entities of collections that the table does not know.
    other: Vec<(String, String, Map)>,
    known: Known,
    sugar: Sugar,
}

struct Entity {
    row: &'static Row,
    id: String,
    members: Map,
}

/// What foreign keys may name: for each kind, its ids, and ids by a unique member.
#[derive(Default)]
struct Known {
    ids: HashSet<(&'static str, String)>,
    names: HashMap<(&'static str, &'static str, String), String>,
}

impl File {
    fn list(&mut self, name: &str, items: Vec<Node>) -> Result<()> {
        let row = Row::of_collection(name);
        let mut seen = HashSet::new();
        for item in items {
            let Node::Map(members) = item else {
                return Err(Error::invalid(
                    "a list of a Kong file holds something that is no entity",
                )
                .on(shown(name)));
            };
            if let Some(row) = row {
                self.entity(row, members, None)?;
                continue;
            }
            let id = id_in(&members, "id")?.unwrap_or_else(|| by_content(name, &members));
            if !seen.insert(id.clone()) {
                return Err(doubled(name, &id));
            }
            self.other.push((name.to_owned(), id, members));
        }
        Ok(())
    }

    /// Takes an entity and what is nested in it.
    fn entity(
        &mut self,
        row: &'static Row,
        mut members: Map,
        parent: Option<(&'static str, &str)>,
    ) -> Result<()> {
        if let Some((member, id)) = parent
            && get(&members, member).is_none_or(Node::is_null)
        {
            set(&mut members, member, Node::Text(id.to_owned()));
        }
        if let Err(error) = self.sugar.spell_out(row, &mut members) {
            let name = get(&members, "name").and_then(Node::text).unwrap_or("?");
            return Err(error.on(format!("{}/{}", row.kind, shown(name))));
        }
        let mut nested = memberships(row, &mut members);
        for child in ROWS {
            let Some(member) = child.parent_member(row) else { continue };
            // A certificate may also list the names of its SNIs, which are no entities.
            let entities = matches!(get(&members, child.collection),
                Some(Node::List(items)) if items.iter().any(|i| matches!(i, Node::Map(_))));
            if entities && let Some(Node::List(items)) = take(&mut members, child.collection) {
                nested.push((child, member, items));
            }
        }
        let id = match id_in(&members, row.primary)? {
            Some(id) => id,
            None => derived(row, &members),
        };
        for (child, member, items) in nested {
            for item in items {
                let Node::Map(members) = item else {
                    return Err(Error::invalid("a nested list holds something that is no entity")
                        .on(format!("{}/{}", row.kind, shown(&id))));
                };
                self.entity(child, members, Some((member, &id)))?;
            }
        }
        if !row.is_link() && !self.known.ids.insert((row.kind, id.clone())) {
            return Err(doubled(row.kind, &id));
        }
        for member in row.unique {
            if let Some(name) = get(&members, member).and_then(Node::text) {
                let name = (row.kind, *member, name.to_owned());
                self.known.names.entry(name).or_insert_with(|| id.clone());
            }
        }
        if row.primary == "id" {
            set(&mut members, "id", Node::Text(id.clone()));
        }
        self.entities.push(Entity { row, id, members });
        Ok(())
    }
}

/// The membership of consumers in groups, which decK writes into either of the two.
fn memberships(row: &Row, members: &mut Map) -> Vec<(&'static Row, &'static str, Vec<Node>)> {
    let (list, own, other) = match row.kind {
        "consumer" => ("groups", "consumer", "consumer_group"),
        "consumer_group" => ("consumers", "consumer_group", "consumer"),
        _ => return Vec::new(),
    };
    let Some(link) = Row::of_kind("consumer_group_consumer") else { return Vec::new() };
    match take(members, list) {
        Some(Node::List(items)) => {
            let links = items.into_iter().map(|item| Node::Map(vec![(other.into(), item)]));
            vec![(link, own, links.collect())]
        }
        _ => Vec::new(),
    }
}

fn doubled(kind: &str, id: &str) -> Error {
    Error::invalid("the same entity stands twice in the file")
        .on(format!("{}/{}", shown(kind), shown(id)))
        .help("remove one of the two, or give each an id of its own")
}

/// The id that an entity has itself.
fn id_in(members: &Map, primary: &str) -> Result<Option<String>> {
    match get(members, primary) {
        None => Ok(None),
        Some(value) if value.is_null() => Ok(None),
        Some(Node::Text(id)) if !id.is_empty() => Ok(Some(id.clone())),
        Some(_) => Err(Error::invalid("an entity whose id is no text")),
    }
}

/// The id of an entity without one: Kong's own where Kong derives it from unique members, so that
/// the id is the one that a running node shows; else one from the content.
///
/// Kong makes up the ids of those that it may make up a key for at each load anew: here they have one
/// from that key.
fn derived(row: &Row, members: &Map) -> String {
    let space = Uuid::new_v5(&ENTITIES, row.collection.as_bytes());
    let text = |member: &str| get(members, member).and_then(Node::text);
    let part = |member: &str| match get(members, member) {
        None => Some(""),
        Some(value) if value.is_null() => Some(""),
        Some(Node::Map(object)) => get(object, "id").and_then(Node::text),
        Some(value) => value.text(),
    };
    // Kong puts the workspace before the parts; a file has none.
    let of_list = |parts: &[&str]| format!("{}:*:{}", row.collection, parts.join(":"));
    let key = if row.together.is_empty() {
        let name = row.unique.first().and_then(|member| text(member));
        name.map(|name| if row.alone { of_list(&[name]) } else { name.to_owned() })
    } else {
        // Only some editions have groups of consumers, so that the others count without them.
        let group =
            Some("consumer_group").filter(|group| row.kind == "plugin" && part(group) != Some(""));
        let parts: Option<Vec<&str>> =
            row.together.iter().copied().chain(group).map(part).collect();
        parts.filter(|parts| parts.iter().any(|part| !part.is_empty())).map(|parts| of_list(&parts))
    };
    match key {
        Some(key) => Uuid::new_v5(&space, key.as_bytes()).to_string(),
        None => by_content(row.collection, members),
    }
}

fn by_content(collection: &str, members: &Map) -> String {
    let space = Uuid::new_v5(&ENTITIES, collection.as_bytes());
    let mut sorted = members.clone();
    sorted.sort_by(|a, b| a.0.cmp(&b.0));
    Uuid::new_v5(&space, Node::Map(sorted).json().as_bytes()).to_string()
}

impl Entity {
    /// Rewrites foreign keys to objects with the id.
    fn resolve(&mut self, known: &Known) -> Result<()> {
        for foreign in self.row.foreign {
            let Some((_, value)) = self.members.iter_mut().find(|(n, _)| n == foreign.member)
            else {
                continue;
            };
            let id = match value {
                value if value.is_null() => continue,
                Node::Text(text) => known.by_text(foreign.kind, text),
                Node::Map(members) => known.by_object(foreign.kind, members),
                _ => None,
            };
            let Some(id) = id else {
                let (member, kind) = (foreign.member, foreign.kind);
                return Err(Error::invalid(format!(
                    "`{member}` names no {kind} that the file holds"
                ))
                .on(format!("{}/{}", self.row.kind, shown(&self.id)))
                .help(format!("name a {kind} of the same file, or give its id")));
            };
            *value = Node::Map(vec![("id".into(), Node::Text(id))]);
        }
        if self.row.is_link() {
            self.id = derived(self.row, &self.members);
        }
        Ok(())
    }
}

impl Known {
    /// The id that a text means: an id of the file, a name as it stands in URLs, or a UUID of
    /// something that is elsewhere.
    fn by_text(&self, kind: &'static str, text: &str) -> Option<String> {
        if self.ids.contains(&(kind, text.to_owned())) {
            return Some(text.to_owned());
        }
        let name = Row::of_kind(kind)?.unique.first();
        name.and_then(|member| self.named(kind, member, text))
            .or_else(|| Uuid::try_parse(text).ok().map(|_| text.to_owned()))
    }

    /// The id that an object means: its own, or that of the thing with its unique member.
    fn by_object(&self, kind: &'static str, members: &Map) -> Option<String> {
        let text = |member: &str| get(members, member).and_then(Node::text);
        if let Some(id) = text("id") {
            return Some(id.to_owned());
        }
        let unique = Row::of_kind(kind)?.unique;
        unique.iter().find_map(|member| self.named(kind, member, text(member)?))
    }

    fn named(&self, kind: &'static str, member: &'static str, name: &str) -> Option<String> {
        self.names.get(&(kind, member, name.to_owned())).cloned()
    }
}
