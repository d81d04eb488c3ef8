//! How far a run is.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::model::{ChangeNo, Key, There};

/// What has happened so far. Rebuilt from the journal.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Changes that are applied.
    pub(crate) applied: BTreeSet<ChangeNo>,
    /// Changes of which nobody knows.
    pub(crate) doubtful: BTreeSet<ChangeNo>,
    /// Where things of the backup are now, as far as this run made them.
    pub(super) made: Moved,
    /// Where things of the target are now, as far as a roll back made them again.
    pub(super) remade: Moved,
    /// Keys in the target of what the run had made and a roll back deleted again.
    pub(crate) unmade: BTreeSet<Key>,
}

impl Progress {
    /// Where things of the backup are now, as far as this run made them.
    pub(crate) fn made(&self) -> &BTreeMap<Key, There> {
        &self.made.there
    }

    /// Where things of the target are now, as far as a roll back made them again.
    pub(crate) fn remade(&self) -> &BTreeMap<Key, There> {
        &self.remade.there
    }

    pub(crate) fn note_made(&mut self, key: &Key, there: There) {
        self.made.insert(key, there);
    }

    pub(crate) fn note_unmade(&mut self, key: &Key) {
        self.made.remove(key);
    }

    /// Whether something that this run made is there now.
    pub(crate) fn is_made(&self, there: &Key) -> bool {
        self.made.own.contains_key(there) || self.remade.own.contains_key(there)
    }

    pub(crate) fn note_remade(&mut self, key: &Key, there: There) {
        self.remade.insert(key, there);
    }
}

/// Things under a new key, found by either.
#[derive(Debug, Default)]
pub(super) struct Moved {
    there: BTreeMap<Key, There>,
    pub(super) own: HashMap<Key, Key>,
}

impl Moved {
    fn insert(&mut self, key: &Key, there: There) {
        self.remove(key);
        self.own.insert(there.key.clone(), key.clone());
        self.there.insert(key.clone(), there);
    }

    fn remove(&mut self, key: &Key) {
        if let Some(there) = self.there.remove(key) {
            self.own.remove(&there.key);
        }
    }
}
