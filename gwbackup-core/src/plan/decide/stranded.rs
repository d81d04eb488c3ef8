//! What needs something that is not going to be there.

use std::collections::{BTreeMap, BTreeSet};

use super::{Decided, Decision};
use crate::model::{Action, Key, Role};
use crate::plan::matching::Matching;

/// Gives up changes that need what the plan does not make, and what needs those.
pub(super) fn give_up(matching: &Matching, decided: &mut Decided) {
    let is_left = |d: &Decision| matches!(d, Decision::CannotRestore(_) | Decision::Skipped(_));
    let mut absent: BTreeSet<Key> = decided
        .items
        .iter()
        .filter(|item| is_left(&item.decision) && matching.there(&item.key).is_none())
        .map(|item| item.key.clone())
        .collect();
    loop {
        let found = stranded(decided, &absent);
        if found.is_empty() {
            return;
        }
        for item in &mut decided.items {
            let Some(needed) = found.get(&item.key) else { continue };
            if matches!(item.decision, Decision::Do(action) if action != Action::Delete) {
                decided.summary.discount(&item.decision);
                let why = format!("it needs {needed}, which is not restored");
                item.decision = Decision::CannotRestore(why);
                decided.summary.count(&item.decision);
            }
        }
        decided.retain(|c| c.action == Action::Delete || !found.contains_key(&c.key));
        absent.extend(found.into_keys().filter(|key| matching.there(key).is_none()));
    }
}

/// Changes that cannot be made, each with what it lacks.
fn stranded(decided: &Decided, absent: &BTreeSet<Key>) -> BTreeMap<Key, Key> {
    if absent.is_empty() {
        return BTreeMap::new();
    }
    let must = |role: Role| matches!(role, Role::Owner | Role::Needs);
    let made = decided.changes.iter().zip(&decided.links);
    made.filter(|(change, _)| change.action != Action::Delete)
        .filter_map(|(change, links)| {
            let mut needs = links.needs.iter();
            let (lacks, _) = needs.find(|(key, role)| must(*role) && absent.contains(key))?;
            Some((change.key.clone(), lacks.clone()))
        })
        .collect()
}
