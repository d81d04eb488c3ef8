//! One side of a plan: which resources there are, and by which handles they are found.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use crate::crypt::{Fingerprint, fingerprint};
use crate::error::{Error, Result};
use crate::model::{
    HandleName, Handles, Id, Key, Kind, Reference, Resource, Rules, Snapshot, To, Within,
};

/// All resources of a snapshot by number, sorted by key, and an index of their handles.
///
/// A million must fit. So a resource takes its id and eight bytes, and each of its handles twenty;
/// names, values and documents stay in the snapshot.
#[derive(Default)]
pub(crate) struct Index {
    /// The ids, one after the other.
    ids: String,
    entries: Vec<Entry>,
    /// The kinds of the resources, and the number after the last of each.
    runs: Vec<(Kind, u32)>,
    /// The kinds of parents.
    parents: Vec<Kind>,
    /// Handles that the server assigns, besides the id, of those that have any.
    assigned: BTreeMap<u32, Handles>,
    /// What each handle's kind, name and value come to, and whose it is. Sorted.
    handles: Vec<(Fingerprint, u32)>,
    /// Own handles of the gateway.
    pub(crate) gateway: Handles,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Where the id ends.
    end: u32,
    /// The number of the parent's kind, from 1; 0 without a parent.
    parent: u16,
    /// How much of the id is the parent's.
    prefix: u16,
}

/// One resource of an index.
#[derive(Clone, Copy)]
pub(crate) struct Head<'a> {
    index: &'a Index,
    no: u32,
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index").field("heads", &self.entries.len()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Head<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind(), self.id())
    }
}

impl Index {
    /// Reads the snapshot once.
    pub(crate) fn build(snapshot: &dyn Snapshot, rules: &Rules) -> Result<Self> {
        let mut index = Self { gateway: snapshot.handles().clone(), ..Self::default() };
        for resource in snapshot.scan()? {
            index.add(&resource?, rules)?;
        }
        index.handles.sort_unstable();
        index.handles.shrink_to_fit();
        index.ids.shrink_to_fit();
        index.entries.shrink_to_fit();
        Ok(index)
    }

    fn add(&mut self, resource: &Resource, rules: &Rules) -> Result<()> {
        let too_many = |_| Error::refused("more resources than a plan can hold");
        resource.check()?;
        let kind = &resource.key.kind;
        let no = u32::try_from(self.entries.len()).map_err(too_many)?;
        // An id is never longer than 2,048 bytes.
        let prefix = |id: &Id| u16::try_from(id.as_str().len()).unwrap_or(u16::MAX);
        let (parent, prefix) = match &resource.parent {
            Some(parent) => (self.parent_kind(&parent.kind)?, prefix(&parent.id)),
            None => (0, 0),
        };
        self.ids.push_str(resource.key.id.as_str());
        let end = u32::try_from(self.ids.len()).map_err(too_many)?;
        self.entries.push(Entry { end, parent, prefix });
        match self.runs.last_mut().filter(|(last, _)| last == kind) {
            Some((_, end)) => *end = no + 1,
            None => self.runs.push((kind.clone(), no + 1)),
        }
        let mut handles = rules.handles(&self.gateway, resource);
        let specs = rules.spec(kind).map(|spec| spec.handles.as_slice()).unwrap_or_default();
        for spec in specs.iter().filter(|spec| spec.by_server && !spec.at.is_empty()) {
            if let Some(value) = handles.get(&spec.name) {
                let own = self.assigned.entry(no).or_default();
                own.insert(spec.name.clone(), value.clone());
            }
        }
        // The id of a thing without a parent is found by its key.
        if resource.parent.is_none() && specs.first().is_some_and(|spec| spec.at.is_empty()) {
            handles.remove(&HandleName::id());
        }
        let hashes = handles.iter().map(|(name, value)| (hash(kind, name, value), no));
        self.handles.extend(hashes);
        Ok(())
    }

    /// The number of a parent's kind, from 1.
    fn parent_kind(&mut self, kind: &Kind) -> Result<u16> {
        let at = self.parents.iter().position(|known| known == kind).unwrap_or_else(|| {
            self.parents.push(kind.clone());
            self.parents.len() - 1
        });
        u16::try_from(at + 1).map_err(|_| Error::refused("more kinds than a plan can hold"))
    }

    /// How many resources there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// All heads, sorted by key.
    pub(crate) fn heads(&self) -> impl Iterator<Item = Head<'_>> + Clone {
        (0..).take(self.len()).map(|no| Head { index: self, no })
    }

    /// All heads of a kind, sorted by key.
    pub(crate) fn heads_of(&self, kind: &Kind) -> impl Iterator<Item = Head<'_>> {
        let (first, end) = self.run(kind).unwrap_or_default();
        (first..end).map(|no| Head { index: self, no })
    }

    /// The numbers of a kind: the first, and the one after the last.
    fn run(&self, kind: &Kind) -> Option<(u32, u32)> {
        let at = self.runs.binary_search_by(|(known, _)| known.cmp(kind)).ok()?;
        let first = at.checked_sub(1).and_then(|before| self.runs.get(before));
        Some((first.map_or(0, |run| run.1), self.runs.get(at)?.1))
    }

    /// The head of this number, which must be one of this index.
    pub(crate) fn at(&self, no: u32) -> Head<'_> {
        Head { index: self, no }
    }

    /// The head of a key.
    pub(crate) fn head(&self, key: &Key) -> Option<Head<'_>> {
        self.named(&key.kind, key.id.as_str())
    }

    /// The head of the key that another index has under a number.
    pub(crate) fn same_as(&self, head: Head<'_>) -> Option<Head<'_>> {
        self.named(head.kind(), head.id())
    }

    fn named(&self, kind: &Kind, id: &str) -> Option<Head<'_>> {
        let (mut low, mut high) = self.run(kind)?;
        while low < high {
            let middle = low + (high - low) / 2;
            match self.at(middle).id().cmp(id) {
                Ordering::Less => low = middle + 1,
                Ordering::Equal => return Some(self.at(middle)),
                Ordering::Greater => high = middle,
            }
        }
        None
    }

    /// Everything of `kind` that has this handle, in the order of keys.
    pub(crate) fn find<'a>(
        &'a self,
        kind: &Kind,
        handle: &HandleName,
        value: &str,
    ) -> impl Iterator<Item = Head<'a>> + use<'a> {
        let wanted = hash(kind, handle, value);
        let first = self.handles.partition_point(|(hash, _)| *hash < wanted);
        let indexed = self.handles.iter().skip(first).take_while(move |(hash, _)| *hash == wanted);
        let by_key = (*handle == HandleName::id())
            .then(|| Id::of([value]).ok())
            .flatten()
            .and_then(|id| self.named(kind, id.as_str()))
            .filter(|head| head.parent().is_none());
        by_key.into_iter().chain(indexed.map(|(_, no)| self.at(*no)))
    }

    /// What a reference of `from` names; `None` where it dangles or leads outside.
    ///
    /// Of several things with one handle the one counts that shares the nearest ancestor.
    pub(crate) fn resolve(&self, from: &Resource, reference: &Reference) -> Option<Head<'_>> {
        let To::Resource { kinds, handle, value, within } = &reference.to else { return None };
        let near = |head: &Head<'_>| match within {
            Some(ancestor) => head.is_under(&ancestor.id),
            None => true,
        };
        kinds.iter().find_map(|kind| {
            self.find(kind, handle, value)
                .filter(near)
                .max_by_key(|head| shared(head.id(), from.key.id.as_str()))
        })
    }
}

impl<'a> Head<'a> {
    /// Its number in its index.
    pub(crate) fn no(self) -> u32 {
        self.no
    }

    pub(crate) fn kind(self) -> &'a Kind {
        let run = self.index.runs.partition_point(|(_, end)| *end <= self.no);
        &self.index.runs[run].0
    }

    fn entry(self) -> Entry {
        self.index.entries[self.no as usize]
    }

    /// The escaped id.
    pub(crate) fn id(self) -> &'a str {
        let start = self.no.checked_sub(1).map_or(0, |before| self.index.at(before).entry().end);
        &self.index.ids[start as usize..self.entry().end as usize]
    }

    pub(crate) fn key(self) -> Key {
        Key::new(self.kind().clone(), Id::stored(self.id()))
    }

    /// Whether this is its key.
    pub(crate) fn is(self, key: &Key) -> bool {
        (self.kind(), self.id()) == (&key.kind, key.id.as_str())
    }

    /// Kind and id of the parent.
    fn above(self) -> Option<(&'a Kind, &'a str)> {
        let Entry { parent, prefix, .. } = self.entry();
        let kind = usize::from(parent).checked_sub(1)?;
        Some((&self.index.parents[kind], &self.id()[..usize::from(prefix)]))
    }

    pub(crate) fn parent(self) -> Option<Key> {
        self.above().map(|(kind, id)| Key::new(kind.clone(), Id::stored(id)))
    }

    /// Whether its parent is this, or it has none as this says.
    pub(crate) fn is_child_of(self, parent: Option<&Key>) -> bool {
        self.above() == parent.map(|parent| (&parent.kind, parent.id.as_str()))
    }

    /// Handles that the server assigned, besides the id.
    pub(crate) fn assigned(self) -> Option<&'a Handles> {
        self.index.assigned.get(&self.no)
    }

    fn is_under(self, ancestor: &Id) -> bool {
        let rest = self.id().strip_prefix(ancestor.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

fn hash(kind: &Kind, handle: &HandleName, value: &str) -> Fingerprint {
    fingerprint([kind.as_str(), handle.as_str(), value].map(str::as_bytes))
}

/// How many leading segments two ids share.
fn shared(a: &str, b: &str) -> usize {
    a.split('/').zip(b.split('/')).take_while(|(a, b)| a == b).count()
}

/// Where a unique handle must be looked for: the scope it is unique in.
pub(crate) fn is_in_scope(head: Head<'_>, unique: Within, parent: Option<&Key>) -> bool {
    match unique {
        Within::Gateway => true,
        Within::Parent => head.is_child_of(parent),
        Within::Nothing => false,
    }
}

/// Whether a handle's value is taken from the target when it is written there: ids, and whatever
/// the server assigns. Other names are part of what is restored.
pub(crate) fn is_assigned(rules: &Rules, kind: &Kind, handle: &HandleName) -> bool {
    *handle == HandleName::id()
        || rules
            .spec(kind)
            .and_then(|spec| spec.handles.iter().find(|h| h.name == *handle))
            .is_some_and(|spec| spec.by_server)
}

// A million resources of two sides must fit.
const _: () = assert!(size_of::<Entry>() == 8 && size_of::<(Fingerprint, u32)>() == 20);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{HandleSpec, KindSpec, MemorySnapshot, Schema};

    fn key(text: &str) -> Key {
        text.parse().unwrap()
    }

    fn rules() -> Rules {
        let name = |unique| HandleSpec {
            name: HandleName::known("name"),
            at: vec!["/name".to_owned()],
            unique,
            by_server: false,
        };
        let mut api = KindSpec::new(Kind::known("api"), 1);
        api.handles.push(name(Within::Nothing));
        let mut route = KindSpec::new(Kind::known("route"), 2);
        route.handles.push(name(Within::Parent));
        let kinds = vec![api, route];
        Rules::new(std::sync::Arc::new(Schema { kinds, ..Schema::default() }))
    }

    fn index(things: &[(&str, Option<&str>, &str)]) -> Result<Index> {
        let things = things.iter().map(|(at, parent, name)| {
            let document = crate::model::Document::parse(&format!(r#"{{"name":"{name}"}}"#));
            let parent = parent.map(key);
            Resource { parent, ..Resource::new(key(at), document.unwrap()) }
        });
        Index::build(&MemorySnapshot::new(things), &rules())
    }

    #[test]
    fn everything_is_found_by_key_and_by_handle() {
        let things = [
            ("api/a", None, "shop"),
            ("api/ab", None, "shop"),
            ("api/b", None, "other"),
            ("route/a/1", Some("api/a"), "get"),
            ("route/ab/1", Some("api/ab"), "get"),
            ("route/ab/2", Some("api/ab"), "put"),
            ("route/c", None, "loose"),
        ];
        let index = index(&things).unwrap();
        let found: Vec<String> = index.heads().map(|head| head.key().to_string()).collect();
        assert_eq!(found, things.map(|thing| thing.0));
        for (at, parent, _) in things {
            let head = index.head(&key(at)).unwrap();
            assert!(head.is(&key(at)));
            assert_eq!(head.parent(), parent.map(key));
            assert!(head.is_child_of(parent.map(key).as_ref()));
            assert!(!head.is_child_of(Some(&key("api/b"))));
        }
        for missing in ["api/a/1", "api/0", "api/c", "route/a", "zone/a", "aaa/a"] {
            assert!(index.head(&key(missing)).is_none(), "{missing}");
        }
        let named = |kind, handle, value| -> Vec<String> {
            let (kind, handle) = (Kind::known(kind), HandleName::known(handle));
            index.find(&kind, &handle, value).map(|head| head.key().to_string()).collect()
        };
        assert_eq!(named("api", "name", "shop"), ["api/a", "api/ab"]);
        assert_eq!(named("route", "name", "get"), ["route/a/1", "route/ab/1"]);
        assert_eq!(named("route", "id", "1"), ["route/a/1", "route/ab/1"]);
        assert_eq!(named("route", "id", "c"), ["route/c"]);
        assert_eq!(named("api", "id", "ab"), ["api/ab"]);
        assert!(named("api", "name", "get").is_empty() && named("api", "id", "1").is_empty());
        let kinds = index.heads_of(&Kind::known("route")).map(Head::id).collect::<Vec<_>>();
        assert_eq!(kinds, ["a/1", "ab/1", "ab/2", "c"]);
    }

    #[test]
    fn a_parent_that_the_id_does_not_name_is_refused() {
        assert!(index(&[("route/a/1", Some("api/b"), "x")]).is_err());
        assert!(index(&[("route/ab/1", Some("api/a"), "x")]).is_err());
    }
}
