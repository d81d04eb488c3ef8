//! What a read has seen, and what that names.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use gwbackup_core::model::Id;
use uuid::Uuid;

/// An entity: the place of its collection, and its id. Small, since a large gateway has millions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Thing {
    pub(super) at: u16,
    pub(super) id: Uuid,
}

impl Thing {
    /// `None` where the id is none of Kong's: then nothing refers to it.
    pub(super) fn new(at: usize, id: &Id) -> Option<Self> {
        let (at, id) = (u16::try_from(at).ok()?, Uuid::try_parse(&id.last()).ok()?);
        Some(Self { at, id })
    }
}

/// That one entity needs another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) child: Thing,
    pub(super) parent: Thing,
}

/// Everything that was read, as far as others need it, and all links.
///
/// Things are kept as hashes: two that collide hide one that is missing, and invent none.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    known: HashSet<u64>,
    links: Vec<Link>,
    /// Unique names, as hashes.
    names: HashSet<u64>,
    /// What was read under a name that another had before.
    doubled: Vec<Thing>,
    /// Collections of which nothing can be said.
    unread: HashSet<u16>,
    /// Collections that others name.
    named: HashSet<u16>,
}

impl Ledger {
    /// Of collections of which these are named by others.
    pub(super) fn new(named: impl IntoIterator<Item = usize>) -> Self {
        let named = named.into_iter().filter_map(|at| u16::try_from(at).ok()).collect();
        Self { named, ..Self::default() }
    }

    /// An entity was read: what it needs, and its names that no other of its kind can have.
    pub(super) fn read(&mut self, child: Thing, parents: Vec<Thing>, names: &[(usize, String)]) {
        for name in names {
            if !self.names.insert(hash(&(child.at, name))) {
                self.doubled.push(child);
            }
        }
        if self.named.contains(&child.at) {
            self.known.insert(hash(&child));
        }
        self.links.extend(parents.into_iter().map(|parent| Link { child, parent }));
    }

    /// This collection was not read to its end.
    pub(super) fn unread(&mut self, at: usize) {
        self.unread.extend(u16::try_from(at).ok());
    }

    /// An entity is not part of the read any more.
    pub(super) fn withdraw(&mut self, things: &HashSet<Thing>) {
        for thing in things {
            self.known.remove(&hash(thing));
        }
        self.links.retain(|link| !things.contains(&link.child));
    }

    /// What has a name that another was read with: the name moved from one to the other meanwhile.
    pub(super) fn doubled(&self) -> &[Thing] {
        &self.doubled
    }

    /// What is needed and was not read, with all that need it.
    pub(super) fn missing(&self) -> HashMap<Thing, Vec<Thing>> {
        let mut missing = HashMap::<Thing, Vec<Thing>>::new();
        for Link { child, parent } in &self.links {
            if !self.known.contains(&hash(parent)) && !self.unread.contains(&parent.at) {
                missing.entry(*parent).or_default().push(*child);
            }
        }
        missing
    }
}

fn hash(of: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thing(at: u16, id: u128) -> Thing {
        Thing { at, id: Uuid::from_u128(id) }
    }

    #[test]
    fn what_is_missing_is_named_with_what_needs_it() {
        let mut ledger = Ledger::new([0]);
        ledger.read(thing(1, 7), vec![thing(0, 1)], &[]);
        ledger.read(thing(1, 8), vec![thing(0, 2)], &[]);
        ledger.read(thing(0, 2), vec![], &[]);
        assert_eq!(ledger.missing(), HashMap::from([(thing(0, 1), vec![thing(1, 7)])]));
        ledger.withdraw(&HashSet::from([thing(1, 7), thing(0, 2)]));
        assert_eq!(ledger.missing(), HashMap::from([(thing(0, 2), vec![thing(1, 8)])]));
        ledger.unread(0);
        assert_eq!(ledger.missing(), HashMap::new());
    }

    #[test]
    fn a_name_that_stands_twice_is_told() {
        let mut ledger = Ledger::default();
        ledger.read(thing(0, 1), vec![], &[(1, "a".into()), (2, "a".into())]);
        ledger.read(thing(1, 1), vec![], &[(1, "a".into())]);
        assert_eq!(ledger.doubled(), []);
        ledger.read(thing(0, 2), vec![], &[(1, "b".into()), (2, "a".into())]);
        assert_eq!(ledger.doubled(), [thing(0, 2)]);
    }
}
