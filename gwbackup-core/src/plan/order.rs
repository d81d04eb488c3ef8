//! In which order the groups of a plan are written.

use std::collections::{BTreeSet, HashMap};

use super::decide::Links;
use crate::error::{Error, Result};
use crate::model::{Action, Change, ChangeNo, Group, Key, Role, Rules};

/// The groups in the order of writing, cut into waves: what stands in one wave may run at the same
/// time. `backwards`: the changes are given as they were done, and the groups undo them. `Invalid` when the groups do not hold each change exactly once, `Refused` on a cycle.
pub(crate) fn waves(
    changes: &[Change],
    links: &[Links],
    groups: &[Group],
    rules: &Rules,
    backwards: bool,
) -> Result<Vec<Vec<usize>>> {
    let group_of = owners(changes, groups)?;
    let mut before = edges(changes, links, &group_of);
    if backwards {
        before = before.into_iter().map(|(a, b, role)| (b, a, role)).collect();
    }
    let by_number: HashMap<ChangeNo, &Change> = changes.iter().map(|c| (c.no, c)).collect();
    let rank: Vec<_> = groups
        .iter()
        .map(|group| {
            let members = group.changes.iter().filter_map(|no| by_number.get(no));
            let ranks = members.map(|change| {
                let action = if backwards { change.inverted().action } else { change.action };
                weight(&change.key, action, rules)
            });
            ranks.min().unwrap_or_default()
        })
        .collect();
    let mut blockers: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); groups.len()];
    let mut soft: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); groups.len()];
    for (first, second, role) in before.into_iter().filter(|(a, b, _)| a != b) {
        let kind = if role == Role::Later { &mut soft } else { &mut blockers };
        kind[second].insert(first);
    }
    let mut open: BTreeSet<usize> = (0..groups.len()).collect();
    let mut waves = Vec::new();
    while !open.is_empty() {
        let free = |n: &usize, edges: &[BTreeSet<usize>]| edges[*n].is_disjoint(&open);
        let mut ready: Vec<usize> =
            open.iter().copied().filter(|n| free(n, &blockers) && free(n, &soft)).collect();
        if ready.is_empty() {
            // What may be added by a second write does not hold up the first.
            ready = open.iter().copied().filter(|n| free(n, &blockers)).collect();
        }
        let Some(least) = ready.iter().map(|n| rank[*n]).min() else {
            return Err(cycle(&open, groups, &by_number));
        };
        ready.retain(|n| rank[*n] == least);
        let wave = one_per_lane(ready, groups);
        for n in &wave {
            open.remove(n);
        }
        waves.push(wave);
    }
    Ok(waves)
}

/// The group of each change.
fn owners(changes: &[Change], groups: &[Group]) -> Result<HashMap<ChangeNo, usize>> {
    let mut owner = HashMap::new();
    for (n, group) in groups.iter().enumerate() {
        for change in &group.changes {
            if owner.insert(*change, n).is_some() {
                return Err(Error::invalid("the target arranged a change twice"));
            }
        }
    }
    if owner.len() != changes.len() || changes.iter().any(|c| !owner.contains_key(&c.no)) {
        return Err(Error::invalid("the target did not arrange each change"));
    }
    Ok(owner)
}

/// Which group must come before which, and how strictly.
fn edges(
    changes: &[Change],
    links: &[Links],
    group_of: &HashMap<ChangeNo, usize>,
) -> BTreeSet<(usize, usize, Role)> {
    let makes =
        |c: &&Change| matches!(c.action, Action::Create | Action::Replace | Action::Undelete);
    let made: HashMap<&Key, &Change> = changes.iter().filter(makes).map(|c| (&c.key, c)).collect();
    let removed: HashMap<&Key, &Change> = changes
        .iter()
        .filter(|c| c.action == Action::Delete)
        .map(|c| (c.target_key(), c))
        .collect();
    let there: HashMap<&Key, &Change> = changes
        .iter()
        .filter(|c| c.action != Action::Create)
        .map(|c| (c.target_key(), c))
        .collect();
    let mut found = BTreeSet::new();
    let mut edge = |first: &Change, second: &Change, role| {
        if let (Some(a), Some(b)) = (group_of.get(&first.no), group_of.get(&second.no)) {
            found.insert((*a, *b, role));
        }
    };
    for (change, links) in changes.iter().zip(links) {
        if change.action != Action::Delete {
            for (key, role) in links.needs.iter().filter(|(_, role)| *role != Role::Weak) {
                if let Some(first) = made.get(key) {
                    edge(first, change, *role);
                }
            }
            for key in &links.claims {
                if let Some(first) = there.get(key) {
                    edge(first, change, Role::Needs);
                }
            }
        }
        for key in &links.holds {
            if let Some(last) = removed.get(key) {
                edge(change, last, Role::Needs);
            }
        }
    }
    found
}

/// Writes by rank, then deletions by falling rank.
fn weight(key: &Key, action: Action, rules: &Rules) -> (bool, u16) {
    let rank = rules.spec(&key.kind).map_or(u16::MAX, |spec| spec.rank);
    match action {
        Action::Delete => (true, u16::MAX - rank),
        _ => (false, rank),
    }
}

fn one_per_lane(ready: Vec<usize>, groups: &[Group]) -> Vec<usize> {
    let mut lanes = BTreeSet::new();
    let free = |n: &usize| groups[*n].lane.as_ref().is_none_or(|lane| lanes.insert(lane.clone()));
    ready.into_iter().filter(free).collect()
}

fn cycle(open: &BTreeSet<usize>, groups: &[Group], changes: &HashMap<ChangeNo, &Change>) -> Error {
    let members = open.iter().flat_map(|n| &groups[*n].changes);
    let names: BTreeSet<String> =
        members.filter_map(|no| changes.get(no)).map(|change| change.key.to_string()).collect();
    let shown: Vec<String> = names.into_iter().take(8).collect();
    Error::refused("these resources wait for each other, so no order of writing exists")
        .on(shown.join(", "))
        .help("restore one of them by itself first (`--only`), or change its name in the target")
}
