//! Rows, and what finds them: ids in order, unique members, parents, tags, times of expiry.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;

use serde_json::{Map, Value};
use uuid::Uuid;

use super::kinds::{KINDS, Kind};
use super::schema::Schemas;

/// One entity, as it is answered but for what depends on the moment.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) json: Box<str>,
    /// When it is gone, in milliseconds since the epoch.
    pub(super) expires: Option<i64>,
    /// Later rows have higher numbers.
    pub(super) order: u64,
}

impl Row {
    pub(super) fn data(&self) -> Map<String, Value> {
        serde_json::from_str(&self.json).unwrap_or_default()
    }
}

/// A foreign key of a collection.
#[derive(Debug, Clone)]
pub(super) struct Link {
    pub(super) member: String,
    pub(super) parent: &'static Kind,
    /// The child goes with its parent; else the parent must stay.
    pub(super) cascades: bool,
}

#[derive(Debug, Default)]
struct Table {
    rows: BTreeMap<Uuid, Row>,
    unique: HashMap<Box<str>, Uuid>,
    /// Parent and child, for each of the collection's links.
    children: Vec<BTreeSet<(Uuid, Uuid)>>,
}

/// All collections.
#[derive(Debug)]
pub(super) struct Store {
    tables: Vec<Table>,
    links: Vec<Vec<Link>>,
    /// Members that are unique, alone or together.
    uniques: Vec<Vec<Vec<String>>>,
    expiries: BTreeSet<(i64, usize, Uuid)>,
    tagged: BTreeMap<Uuid, usize>,
    order: u64,
}

impl Store {
    pub(super) fn new(schemas: &Schemas) -> Self {
        let links: Vec<Vec<Link>> = KINDS
            .iter()
            .map(|kind| {
                let foreign = schemas.base(kind).foreign();
                let link = |(member, parent, cascades): (&str, &str, bool)| {
                    let parent = Kind::of_schema(parent)?;
                    Some(Link { member: member.to_owned(), parent, cascades })
                };
                foreign.filter_map(link).collect()
            })
            .collect();
        let uniques = KINDS
            .iter()
            .map(|kind| {
                let alone = schemas.base(kind).fields().filter(|(_, field)| field.unique);
                let mut all: Vec<Vec<String>> =
                    alone.map(|(name, _)| vec![name.to_owned()]).collect();
                if !kind.together.is_empty() {
                    all.push(kind.together.iter().map(|name| (*name).to_owned()).collect());
                }
                all
            })
            .collect();
        let table = |links: &Vec<Link>| Table {
            children: vec![BTreeSet::new(); links.len()],
            ..Table::default()
        };
        let tables = links.iter().map(table).collect();
        Self {
            tables,
            links,
            uniques,
            expiries: BTreeSet::new(),
            tagged: BTreeMap::new(),
            order: 0,
        }
    }

    pub(super) fn links(&self, kind: &Kind) -> &[Link] {
        &self.links[kind.at]
    }

    pub(super) fn get(&self, kind: &Kind, id: Uuid) -> Option<&Row> {
        self.tables[kind.at].rows.get(&id)
    }

    /// The row with this value of a unique member.
    pub(super) fn find(&self, kind: &Kind, member: &str, value: &str) -> Option<Uuid> {
        let mut data = Map::new();
        data.insert(member.to_owned(), Value::from(value));
        self.tables[kind.at].unique.get(&*unique_key(&[member.to_owned()], &data)?).copied()
    }

    /// Rows after this id, in the order of ids.
    pub(super) fn after(
        &self,
        kind: &Kind,
        id: Option<Uuid>,
    ) -> impl Iterator<Item = (Uuid, &Row)> {
        let from = id.map_or(Bound::Unbounded, Bound::Excluded);
        self.tables[kind.at].rows.range((from, Bound::Unbounded)).map(|(id, row)| (*id, row))
    }

    /// A parent's children after this id, in the order of ids.
    pub(super) fn children(
        &self,
        kind: &'static Kind,
        member: &str,
        parent: Uuid,
        id: Option<Uuid>,
    ) -> impl Iterator<Item = (Uuid, &Row)> {
        let at = self.links[kind.at].iter().position(|link| link.member == member);
        let table = &self.tables[kind.at];
        let from = match id {
            Some(id) => Bound::Excluded((parent, id)),
            None => Bound::Included((parent, Uuid::nil())),
        };
        at.into_iter()
            .flat_map(move |at| {
                table.children[at].range((from, Bound::Included((parent, Uuid::max()))))
            })
            .filter_map(move |(_, id)| table.rows.get(id).map(|row| (*id, row)))
    }

    /// Entities with tags, in the order of their ids.
    pub(super) fn tagged(&self) -> impl Iterator<Item = (Uuid, &'static Kind)> {
        self.tagged.iter().map(|(id, at)| (*id, &KINDS[*at]))
    }

    pub(super) fn is_tagged(&self, id: Uuid) -> bool {
        self.tagged.contains_key(&id)
    }

    /// The unique members in which this entity equals another.
    pub(super) fn conflict(
        &self,
        kind: &Kind,
        id: Uuid,
        data: &Map<String, Value>,
    ) -> Option<Map<String, Value>> {
        let table = &self.tables[kind.at];
        self.uniques[kind.at].iter().find_map(|members| {
            let other = table.unique.get(&*unique_key(members, data)?)?;
            let value = |name: &String| data.get(name).cloned().unwrap_or(Value::Null);
            (*other != id).then(|| members.iter().map(|name| (name.clone(), value(name))).collect())
        })
    }

    /// Stores an entity in place of the one with its id.
    pub(super) fn put(
        &mut self,
        kind: &'static Kind,
        id: Uuid,
        data: &Map<String, Value>,
        expires: Option<i64>,
    ) {
        let before = self.unlink(kind, id).map(|row| row.order);
        let order = before.unwrap_or_else(|| {
            self.order += 1;
            self.order
        });
        let table = &mut self.tables[kind.at];
        for members in &self.uniques[kind.at] {
            if let Some(key) = unique_key(members, data) {
                table.unique.insert(key, id);
            }
        }
        for (link, children) in self.links[kind.at].iter().zip(&mut table.children) {
            if let Some(parent) = parent(data, &link.member) {
                children.insert((parent, id));
            }
        }
        if data.get("tags").and_then(Value::as_array).is_some_and(|tags| !tags.is_empty()) {
            self.tagged.insert(id, kind.at);
        }
        if let Some(at) = expires {
            self.expiries.insert((at, kind.at, id));
        }
        let json = Value::Object(data.clone()).to_string().into_boxed_str();
        table.rows.insert(id, Row { json, expires, order });
    }

    /// Deletes an entity with those that go with it.
    pub(super) fn remove(&mut self, kind: &'static Kind, id: Uuid) {
        if self.unlink(kind, id).is_none() {
            return;
        }
        for child in KINDS {
            for at in 0..self.links[child.at].len() {
                if self.links[child.at][at].parent.at != kind.at {
                    continue;
                }
                let range = (id, Uuid::nil())..=(id, Uuid::max());
                let gone: Vec<Uuid> =
                    self.tables[child.at].children[at].range(range).map(|(_, id)| *id).collect();
                for id in gone {
                    self.remove(child, id);
                }
            }
        }
    }

    /// The collection whose entities keep this one from being deleted.
    pub(super) fn held_by(&self, kind: &Kind, id: Uuid) -> Option<&'static Kind> {
        KINDS.iter().find(|child| {
            self.links[child.at].iter().any(|link| {
                link.parent.at == kind.at
                    && !link.cascades
                    && self.children(child, &link.member, id, None).next().is_some()
            })
        })
    }

    /// Deletes what has expired by `now`.
    pub(super) fn expire(&mut self, now: i64) {
        while let Some((at, kind, id)) = self.expiries.first().copied()
            && at <= now
        {
            self.remove(&KINDS[kind], id);
            self.expiries.remove(&(at, kind, id));
        }
    }

    /// Takes a row out of everything.
    fn unlink(&mut self, kind: &Kind, id: Uuid) -> Option<Row> {
        let table = &mut self.tables[kind.at];
        let row = table.rows.remove(&id)?;
        let data = row.data();
        for members in &self.uniques[kind.at] {
            if let Some(key) = unique_key(members, &data) {
                table.unique.remove(&key);
            }
        }
        for (link, children) in self.links[kind.at].iter().zip(&mut table.children) {
            if let Some(parent) = parent(&data, &link.member) {
                children.remove(&(parent, id));
            }
        }
        self.tagged.remove(&id);
        if let Some(at) = row.expires {
            self.expiries.remove(&(at, kind.at, id));
        }
        Some(row)
    }
}

/// The parent that a foreign key names.
pub(super) fn parent(data: &Map<String, Value>, member: &str) -> Option<Uuid> {
    Uuid::try_parse(data.get(member)?.get("id")?.as_str()?).ok()
}

/// A unique member alone counts only when it is set; of several, nulls count as well.
fn unique_key(members: &[String], data: &Map<String, Value>) -> Option<Box<str>> {
    if let [member] = members {
        let value = data.get(member).filter(|value| !value.is_null())?;
        return Some(format!("{member}={value}").into());
    }
    let values = members.iter().map(|name| data.get(name).unwrap_or(&Value::Null).to_string());
    Some(values.collect::<Vec<_>>().join(" ").into())
}
