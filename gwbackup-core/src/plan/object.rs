//! What speaks against changes that are right by themselves: what else they would break.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::Decision;
use super::decided::Decided;
use super::matching::Sides;
use crate::error::Result;
use crate::model::{Action, Change, ChangeNo, Key, KindSpec, Replace, Resource, Role};

/// Blocks changes that the target would refuse, or that would take something else along.
pub(super) fn object(sides: &Sides<'_>, decided: &mut Decided) -> Result<()> {
    let mut objections = held_names(decided);
    objections.extend(dependents(sides, decided)?);
    if objections.is_empty() {
        return Ok(());
    }
    for item in &mut decided.items {
        let Some(why) = objections.get(&item.key) else { continue };
        // An item of the same key may stand for one of the target's things.
        if matches!(item.decision, Decision::Do(action) if action != Action::Delete) {
            decided.summary.discount(&item.decision);
            item.decision = Decision::Blocked(why.clone());
            decided.summary.count(&item.decision);
        }
    }
    let changes = std::mem::take(&mut decided.changes);
    let links = std::mem::take(&mut decided.links);
    for (mut change, links) in changes.into_iter().zip(links) {
        if change.action == Action::Delete || !objections.contains_key(&change.key) {
            change.no = ChangeNo(u32::try_from(decided.changes.len()).unwrap_or(u32::MAX));
            decided.changes.push(change);
            decided.links.push(links);
        }
    }
    Ok(())
}

/// Blocks deletions that would take along, or that the target would refuse for, what stays.
pub(super) fn spare(sides: &Sides<'_>, decided: &mut Decided) -> Result<()> {
    let on = |wanted: fn(Action) -> bool| {
        let changes = decided.changes.iter().filter(move |change| wanted(change.action));
        changes.map(|change| change.target_key().clone()).collect::<HashSet<Key>>()
    };
    let going = on(|action| action == Action::Delete);
    if going.is_empty() {
        return Ok(());
    }
    // What is written needs what the backup says, which does not go.
    let written = on(|action| !matches!(action, Action::Delete | Action::Create));
    let mut stays: BTreeMap<Key, (Key, usize)> = BTreeMap::new();
    let mut needs: HashMap<Key, Vec<Key>> = HashMap::new();
    for resource in sides.live.scan()? {
        let resource = resource?;
        let kept = resource.owner.as_ref().is_some_and(|owner| going.contains(owner));
        if kept || written.contains(&resource.key) {
            continue;
        }
        for (above, role) in needed(sides, &resource) {
            if role == Role::Later || above == resource.key || !going.contains(&above) {
                continue;
            }
            if going.contains(&resource.key) {
                needs.entry(resource.key.clone()).or_default().push(above);
            } else {
                stays.entry(above).or_insert_with(|| (resource.key.clone(), 0)).1 += 1;
            }
        }
    }
    // What stays for that reason needs others in turn.
    let mut open: Vec<Key> = stays.keys().cloned().collect();
    while let Some(key) = open.pop() {
        for above in needs.remove(&key).into_iter().flatten() {
            let entry = stays.entry(above.clone()).or_insert_with(|| {
                open.push(above);
                (key.clone(), 0)
            });
            entry.1 += 1;
        }
    }
    for item in &mut decided.items {
        let key = item.there.as_ref().unwrap_or(&item.key);
        if let (Decision::Do(Action::Delete), Some((first, count))) =
            (&item.decision, stays.get(key))
        {
            let more = if *count > 1 { format!(" and {} more", count - 1) } else { String::new() };
            decided.summary.discount(&item.decision);
            let why = format!("{first}{more} would go with it, or forbid it, and is not to go");
            item.decision = Decision::Blocked(why);
            decided.summary.count(&item.decision);
        }
    }
    decided.retain(|c| c.action != Action::Delete || !stays.contains_key(c.target_key()));
    Ok(())
}

/// Changes that take a unique name which nothing in the plan sets free.
fn held_names(decided: &Decided) -> BTreeMap<Key, String> {
    let touched: BTreeSet<&Key> = decided
        .changes
        .iter()
        .filter(|change| !matches!(change.action, Action::Create | Action::Undelete))
        .map(Change::target_key)
        .collect();
    let mut found = BTreeMap::new();
    for (change, links) in decided.changes.iter().zip(&decided.links) {
        if let Some(holder) =
            links.claims.iter().map(|(holder, _)| holder).find(|holder| !touched.contains(holder))
        {
            let why = format!("the name is held by {holder}, which keeps it");
            found.insert(change.key.clone(), why);
        }
    }
    found
}

/// Whatever one of the target's things needs, and how.
pub(super) fn needed(sides: &Sides<'_>, resource: &Resource) -> Vec<(Key, Role)> {
    let mut found: Vec<(Key, Role)> = Vec::new();
    found.extend(resource.parent.iter().map(|parent| (parent.clone(), Role::Owner)));
    let references = sides.rules.references(resource);
    for reference in references.iter().filter(|reference| reference.role != Role::Weak) {
        let head = sides.actual.resolve(resource, reference);
        found.extend(head.map(|head| (head.key(), reference.role)));
    }
    found
}

/// Replacements that would take others along, or that others forbid.
fn dependents(sides: &Sides<'_>, decided: &Decided) -> Result<BTreeMap<Key, String>> {
    let replaced: HashMap<&Key, &Key> = decided
        .changes
        .iter()
        .filter(|change| change.action == Action::Replace)
        .map(|change| (change.target_key(), &change.key))
        .collect();
    let mut found = BTreeMap::new();
    if replaced.is_empty() {
        return Ok(found);
    }
    let actions: HashMap<&Key, Action> = decided
        .changes
        .iter()
        .filter(|change| change.action != Action::Create)
        .map(|change| (change.target_key(), change.action))
        .collect();
    let pulled: HashSet<&Key> = decided
        .changes
        .iter()
        .zip(&decided.links)
        .filter(|(_, links)| !links.falls.is_empty())
        .map(|(change, _)| change.target_key())
        .collect();
    for resource in sides.live.scan()? {
        let resource = resource?;
        let action = actions.get(&resource.key).copied();
        if action == Some(Action::Delete) || pulled.contains(&resource.key) {
            continue;
        }
        for (there, role) in needed(sides, &resource) {
            let Some(key) = replaced.get(&there).filter(|_| there != resource.key) else {
                continue;
            };
            let spec = sides.rules.spec(&there.kind);
            let renamed = spec.is_some_and(KindSpec::is_assigned_by_server);
            let first = spec.is_none_or(|spec| spec.replace == Replace::DeleteFirst);
            let written = matches!(action, Some(Action::Update | Action::Replace));
            let why = if role == Role::Owner {
                format!("it must be deleted and made again, and {} would go with it", resource.key)
            } else if (renamed && written) || (!renamed && !first) {
                continue;
            } else {
                format!("it must be deleted and made again, but {} needs it", resource.key)
            };
            found.entry((*key).clone()).or_insert(why);
        }
    }
    Ok(found)
}
