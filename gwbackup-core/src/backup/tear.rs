//! Evidence that a gateway moved while it was read, for gateways without a mark of their own.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::{BuildHasher as _, BuildHasherDefault, Hasher, RandomState};

use crate::model::{Handles, Id, Key, Reference, Resource, Role, Rules, To};

/// What one reading left open, by who names it: equal in two readings that saw the same.
pub(super) type Loose = BTreeSet<Key>;

/// Collects, while resources pass by, which names there are and which are asked for.
///
/// Names are kept as hashes: two that collide hide one tear, and invent none.
#[derive(Debug, Default)]
pub(super) struct Tear {
    gateway: Handles,
    hasher: RandomState,
    names: HashSet<u64, BuildHasherDefault<AsItIs>>,
    asked: BTreeMap<Key, Vec<Vec<u64>>>,
    loose: Loose,
}

impl Tear {
    pub(super) fn new(gateway: Handles) -> Self {
        Self { gateway, ..Self::default() }
    }

    /// A resource that was read, and whom it names.
    pub(super) fn take(&mut self, rules: &Rules, resource: &Resource, references: &[Reference]) {
        let key = &resource.key;
        // Keyed by chance, so that nobody can choose names that fall on one place.
        let hasher = &self.hasher;
        let hash_key = |key: &Key| hasher.hash_one(("key", key));
        let hash_name =
            |kind: &str, handle: &str, value: &str| hasher.hash_one((kind, handle, value));
        if !self.names.insert(hash_key(key)) {
            // Seen twice: a page moved under the reader.
            self.loose.insert(key.clone());
        }
        for (name, value) in rules.asked_handles(&self.gateway, resource) {
            self.names.insert(hash_name(key.kind.as_str(), name.as_str(), &value));
        }
        for reference in references {
            let To::Resource { kinds, handle, value, .. } = &reference.to else { continue };
            if !matches!(reference.role, Role::Owner | Role::Needs) {
                continue;
            }
            let named = |kind: &str| hash_name(kind, handle.as_str(), value);
            let mut wanted: Vec<u64> = kinds.iter().map(|kind| named(kind.as_str())).collect();
            // A whole id may be named where the last part alone is the handle.
            if let Ok(id) = Id::new(value) {
                let keys = kinds.iter().map(|kind| Key::new(kind.clone(), id.clone()));
                wanted.extend(keys.map(|key| hash_key(&key)));
            }
            if !wanted.iter().any(|name| self.names.contains(name)) {
                self.asked.entry(key.clone()).or_default().push(wanted);
            }
        }
    }

    /// The source takes back what it gave under this key.
    pub(super) fn withdraw(&mut self, key: &Key) {
        self.names.remove(&self.hasher.hash_one(("key", key)));
        self.asked.remove(key);
        self.loose.remove(key);
    }

    /// Who was read twice, or names something that was not read at all.
    pub(super) fn finish(mut self) -> Loose {
        for (key, asked) in self.asked {
            let open = |wanted: &Vec<u64>| !wanted.iter().any(|name| self.names.contains(name));
            if asked.iter().any(open) {
                self.loose.insert(key);
            }
        }
        self.loose
    }
}

/// The hasher of a set of hashes.
#[derive(Debug, Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
