//! One side of a plan: which resources there are, and by which handles they are found.

use std::collections::{HashMap, HashSet};

use crate::error::Result;
use crate::model::{
    Document, HandleName, Handles, Id, Key, Kind, Reference, Resource, Rules, Snapshot, To, Within,
};

/// What is kept of a resource in memory.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) key: Key,
    pub(crate) parent: Option<Key>,
    /// Handles that the server assigns, besides the id.
    pub(crate) assigned: Handles,
    pub(crate) bytes: u64,
}

/// All heads of a snapshot, sorted by key, and an index of their handles.
#[derive(Debug)]
pub(crate) struct Index {
    heads: Vec<Head>,
    by_handle: HashMap<(Kind, HandleName, String), Vec<u32>>,
    /// Own handles of the gateway.
    pub(crate) gateway: Handles,
}

impl Index {
    /// Reads the snapshot once.
    pub(crate) fn build(snapshot: &dyn Snapshot, rules: &Rules) -> Result<Self> {
        let mut index = Self {
            heads: Vec::new(),
            by_handle: HashMap::new(),
            gateway: snapshot.handles().clone(),
        };
        for resource in snapshot.scan()? {
            index.add(&resource?, rules);
        }
        Ok(index)
    }

    fn add(&mut self, resource: &Resource, rules: &Rules) {
        let number = u32::try_from(self.heads.len()).unwrap_or(u32::MAX);
        let mut handles = rules.handles(&self.gateway, resource);
        let kind = &resource.key.kind;
        let specs = rules.spec(kind).map(|spec| spec.handles.as_slice()).unwrap_or_default();
        let mut assigned = Handles::new();
        for spec in specs.iter().filter(|spec| spec.by_server && !spec.at.is_empty()) {
            if let Some(value) = handles.get(&spec.name) {
                assigned.insert(spec.name.clone(), value.clone());
            }
        }
        // The id of a thing without a parent is found by its key.
        if resource.parent.is_none() && specs.first().is_some_and(|spec| spec.at.is_empty()) {
            handles.remove(&HandleName::id());
        }
        for (name, value) in handles {
            self.by_handle.entry((kind.clone(), name, value)).or_default().push(number);
        }
        self.heads.push(Head {
            key: resource.key.clone(),
            parent: resource.parent.clone(),
            assigned,
            bytes: resource.document.len() as u64,
        });
    }

    /// All heads, sorted by key.
    pub(crate) fn heads(&self) -> &[Head] {
        &self.heads
    }

    /// The head of a key.
    pub(crate) fn head(&self, key: &Key) -> Option<&Head> {
        let at = self.heads.binary_search_by(|head| head.key.cmp(key)).ok()?;
        self.heads.get(at)
    }

    /// Everything of `kind` that has this handle, in the order of keys.
    pub(crate) fn find<'a>(
        &'a self,
        kind: &Kind,
        handle: &HandleName,
        value: &str,
    ) -> impl Iterator<Item = &'a Head> + use<'a> {
        let indexed = self.by_handle.get(&(kind.clone(), handle.clone(), value.to_owned()));
        let by_key = (*handle == HandleName::id())
            .then(|| Id::of([value]).ok())
            .flatten()
            .and_then(|id| self.head(&Key::new(kind.clone(), id)))
            .filter(|head| head.parent.is_none());
        by_key
            .into_iter()
            .chain(indexed.into_iter().flatten().filter_map(|n| self.heads.get(*n as usize)))
    }

    /// What a reference of `from` names; `None` where it dangles or leads outside.
    ///
    /// Of several things with one handle the one counts that shares the nearest ancestor.
    pub(crate) fn resolve(&self, from: &Resource, reference: &Reference) -> Option<&Head> {
        let To::Resource { kinds, handle, value, within } = &reference.to else { return None };
        let near = |head: &&Head| match within {
            Some(ancestor) => head.key.id.is_under(&ancestor.id),
            None => true,
        };
        kinds.iter().find_map(|kind| {
            self.find(kind, handle, value)
                .filter(near)
                .max_by_key(|head| shared(&head.key.id, &from.key.id))
        })
    }
}

/// How many leading segments two ids share.
fn shared(a: &Id, b: &Id) -> usize {
    a.as_str().split('/').zip(b.as_str().split('/')).take_while(|(a, b)| a == b).count()
}

/// Where a unique handle must be looked for: the scope it is unique in.
pub(crate) fn is_in_scope(head: &Head, unique: Within, parent: Option<&Key>) -> bool {
    match unique {
        Within::Gateway => true,
        Within::Parent => head.parent.as_ref() == parent,
        Within::Nothing => false,
    }
}

/// Keys that are taken.
pub(crate) type Taken = HashSet<Key>;

/// The comparable content of a nameless thing, as a name for references to it.
pub(crate) fn content_name(document: &Document) -> String {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(document.as_str().as_bytes());
    format!("\u{1}content:{}", crate::crypt::hex::encode(&digest))
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
