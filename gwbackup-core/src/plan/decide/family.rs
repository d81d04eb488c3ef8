//! What cannot stay while another thing is deleted and made again.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Decider, Decision, refuse_sealed};
use crate::error::Result;
use crate::model::{Action, Key, Replace, Resource, Role};
use crate::plan::object::needed;

impl Decider<'_> {
    /// What cannot stay while these of the target are deleted and made again: what lies below them or
    /// is owned by them, and what needs one that is deleted first; at any depth, each with those that
    /// take it along.
    pub(super) fn family(&self, roots: &BTreeSet<Key>) -> Result<BTreeMap<Key, Vec<Key>>> {
        let mut found: BTreeMap<Key, Vec<Key>> = BTreeMap::new();
        let mut newest = roots.clone();
        while !newest.is_empty() {
            let mut next = BTreeSet::new();
            for resource in self.sides.live.scan()? {
                let resource = resource?;
                let named = needed(&self.sides, &resource).into_iter();
                let named = named.filter(|(key, _)| newest.contains(key) && *key != resource.key);
                let falls = named.filter(|(key, role)| match role {
                    Role::Owner => true,
                    Role::Needs => !roots.contains(key) || self.goes_first(key),
                    Role::Later | Role::Weak => false,
                });
                for (above, _) in falls {
                    if !roots.contains(&resource.key) && !found.contains_key(&resource.key) {
                        next.insert(resource.key.clone());
                    }
                    found.entry(resource.key.clone()).or_default().push(above);
                }
            }
            newest = next;
        }
        Ok(found)
    }

    fn goes_first(&self, key: &Key) -> bool {
        let spec = self.sides.rules.spec(&key.kind);
        spec.is_some_and(|spec| spec.replace == Replace::DeleteFirst)
    }

    /// Whatever would go along with what is replaced is made again, too. What cannot be stays as it
    /// is decided, and stands in the way of the replacement.
    pub(super) fn pull(&mut self) -> Result<()> {
        let replaced = self.decided.changes.iter().filter(|c| c.action == Action::Replace);
        let roots: BTreeSet<Key> = replaced.map(|change| change.target_key().clone()).collect();
        if roots.is_empty() {
            return Ok(());
        }
        let changes = self.decided.changes.iter().enumerate();
        let changes = changes.filter(|(_, change)| change.action != Action::Create);
        let by_target: HashMap<Key, usize> =
            changes.map(|(n, change)| (change.target_key().clone(), n)).collect();
        let items = self.decided.items.iter().enumerate();
        let items: HashMap<Key, usize> = items.map(|(n, item)| (item.key.clone(), n)).collect();
        for (there, falls) in self.family(&roots)? {
            let Some((resource, actual)) = self.comes_back(&there)? else { continue };
            let item = items.get(&resource.key);
            match (by_target.get(&there), item) {
                (Some(n), Some(item)) => self.turn_into_replacement(*n, *item, &resource, &actual),
                (None, None) => {
                    refuse_sealed(&resource)?;
                    self.change(&resource, Some(&actual), Action::Replace)?;
                    let to_do = Decision::Do(Action::Replace);
                    self.decided.summary.discount(&Decision::Unchanged);
                    self.item(&resource, to_do, Some(there.clone()), Vec::new());
                    if let Some(item) = self.decided.items.last_mut() {
                        item.pulled = true;
                    }
                }
                // It is left alone for a reason of its own.
                _ => continue,
            }
            let n = by_target.get(&there).copied().unwrap_or(self.decided.links.len() - 1);
            if let Some(links) = self.decided.links.get_mut(n) {
                links.falls = falls;
            }
        }
        Ok(())
    }

    fn turn_into_replacement(
        &mut self,
        change: usize,
        item: usize,
        resource: &Resource,
        actual: &Resource,
    ) {
        let undo = self.undo(resource, Some(actual), Action::Replace);
        let decided = &mut self.decided;
        let (Some(change), Some(links), Some(item)) = (
            decided.changes.get_mut(change),
            decided.links.get_mut(change),
            decided.items.get_mut(item),
        ) else {
            return;
        };
        change.action = Action::Replace;
        change.undo = undo;
        links.names.clear();
        decided.summary.discount(&item.decision);
        item.decision = Decision::Do(Action::Replace);
        decided.summary.count(&item.decision);
    }

    /// Backup's and target's side of a thing of the target, if it can be deleted and made again.
    fn comes_back(&self, there: &Key) -> Result<Option<(Resource, Resource)>> {
        let sides = self.sides;
        let own = self.matching.own(there);
        let Some(own) = own.filter(|own| self.selected.is_none_or(|s| s.keys.contains(own))) else {
            return Ok(None);
        };
        let (resource, actual) = (sides.backup.get(&own)?, sides.live.get(there)?);
        let (Some(resource), Some(actual)) = (resource, actual) else { return Ok(None) };
        let can = sides.rules.spec(&own.kind).is_some_and(|spec| {
            spec.verbs.delete && self.creation(spec, &resource) == Ok(Action::Create)
        });
        Ok(can.then_some((resource, actual)))
    }
}
