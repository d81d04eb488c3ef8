//! Evidence that a gateway moved while it was read, for gateways without a mark of their own.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::{BuildHasher as _, BuildHasherDefault, Hasher, RandomState};

use crate::model::{Handles, Key, Reference, Resource, Role, Rules, To};

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
        let Self { gateway, hasher, names, asked, loose } = self;
        if !names.insert(hash(hasher, key.kind.as_str(), "", key.id.as_str())) {
            // Seen twice: a page moved under the reader.
            loose.insert(key.clone());
        }
        for (name, value) in rules.asked_handles(gateway, resource) {
            names.insert(hash(hasher, key.kind.as_str(), name.as_str(), &value));
        }
        for reference in references {
            let To::Resource { kinds, handle, value, .. } = &reference.to else { continue };
            if !matches!(reference.role, Role::Owner | Role::Needs) {
                continue;
            }
            // A whole id may be named where the last part alone is the handle.
            let wanted = || {
                let ways = kinds.iter().flat_map(|kind| [(kind, handle.as_str()), (kind, "")]);
                ways.map(|(kind, handle)| hash(hasher, kind.as_str(), handle, value))
            };
            if !wanted().any(|name| names.contains(&name)) {
                asked.entry(key.clone()).or_default().push(wanted().collect());
            }
        }
    }

    /// The source takes back what it gave under this key.
    pub(super) fn withdraw(&mut self, key: &Key) {
        self.names.remove(&hash(&self.hasher, key.kind.as_str(), "", key.id.as_str()));
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

/// The hash of a name: keyed by chance, so that nobody can choose names that fall on one place. An
/// empty handle stands for the whole id.
fn hash(by: &RandomState, kind: &str, handle: &str, value: &str) -> u64 {
    by.hash_one((kind, handle, value))
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
