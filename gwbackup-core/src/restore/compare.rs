//! Whether the target holds what it should, read back after a run.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::world::World;
use crate::error::Result;
use crate::model::{Action, Key, Rules, Snapshot, Verdict};
use crate::plan::{FieldChange, Join, field_changes, label, secret_pointers, unseen};

/// Differences that a report names one by one.
const NAMED: usize = 1000;

/// What reading back found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Comparison {
    /// The same to the byte, in the target's handles.
    pub equal: u64,
    /// Different only in what moves by itself, is set by the server, or is a default.
    pub ignorable: u64,
    /// Different, missing, or there though it should be gone.
    pub different: u64,
    /// The same as far as it can be seen: a value is never readable, or was not in the backup.
    pub unverifiable: u64,
    /// The differences, at most 1,000.
    pub differences: Vec<Deviation>,
}

/// One resource that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deviation {
    /// Its key in the backup.
    #[serde(flatten)]
    pub key: Key,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether it is missing altogether.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub missing: bool,
    /// What differs (from: as it should be, to: as it is), secrets masked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldChange>,
}

impl Comparison {
    /// How it stands.
    pub fn verdict(&self) -> Verdict {
        if self.different == 0 { Verdict::Ok } else { Verdict::Failed }
    }
}

/// Holds the target's present state against what the run was to reach: the backup for a finished
/// run, the state before it for one that rolled back. `left_alone`: resources that the plan did not
/// want to write. Blocking.
pub(crate) fn compare(
    world: &World,
    now: &dyn Snapshot,
    rolled_back: bool,
    left_alone: &BTreeSet<Key>,
) -> Result<Comparison> {
    let material = &world.material;
    let rules: &Rules = &material.rules;
    let mut found = Comparison::default();
    let wanted: &dyn Snapshot =
        if rolled_back { material.live.as_ref() } else { material.backup.as_ref() };
    // Translators name nameless things by content; both sides use one index of the present state.
    let present = crate::plan::Index::build(now, rules)?;
    let ours = world.translator(rolled_back);
    let theirs =
        crate::plan::Translator::new(rules, &present, now, now.handles(), &crate::plan::InPlace);
    ours.learn_contents()?;
    theirs.learn_contents()?;
    let looked_at = wanted
        .scan()?
        .filter(|resource| !resource.as_ref().is_ok_and(|r| left_alone.contains(&r.key)));
    for pair in Join::new(looked_at, now, |key| world.now_at(key, rolled_back)) {
        let (resource, actual) = pair?;
        let Some(actual) = actual else {
            found.deviation(rules, &resource, true, Vec::new());
            continue;
        };
        let absent = unseen(rules, wanted, &resource, &actual).places;
        let (document, _) = ours.write(&resource)?;
        let attached = resource.attachments == actual.attachments;
        if document == actual.document && attached && absent.is_empty() {
            found.equal += 1;
            continue;
        }
        let (a, b) = (ours.comparable(&resource, &absent)?, theirs.comparable(&actual, &absent)?);
        if a == b && attached {
            let counter =
                if absent.is_empty() { &mut found.ignorable } else { &mut found.unverifiable };
            *counter += 1;
        } else {
            let secret = secret_pointers(rules, [(&resource, &a), (&actual, &b)]);
            let mut fields = field_changes(&a, &b, &secret);
            if !attached {
                fields.push(said("(attachments)", "as in the backup", "others"));
            }
            found.deviation(rules, &resource, false, fields);
        }
    }
    for key in gone(world, rolled_back) {
        if let Some(actual) = now.get(&key)? {
            let fields = vec![said("", "absent", "still there")];
            found.deviation(rules, &actual, false, fields);
        }
    }
    Ok(found)
}

/// What must not be there any more: what the run deleted; or what the run made, whether a roll back
/// could undo it or not.
fn gone(world: &World, rolled_back: bool) -> BTreeSet<Key> {
    let material = &world.material;
    let mut gone = world.progress(|progress| {
        let mut keys = BTreeSet::new();
        if rolled_back {
            let new = |key: &&Key| material.actual.head(key).is_none();
            keys.extend(progress.unmade.iter().filter(new).cloned());
        } else {
            let deleted = progress
                .applied
                .iter()
                .filter_map(|no| material.changes.get(no))
                .filter(|change| change.action == Action::Delete)
                .filter(|change| !material.came_back(change.no, &progress.applied));
            keys.extend(deleted.map(|change| change.target_key().clone()));
        }
        keys.retain(|key| !progress.is_made(key));
        keys
    });
    if rolled_back {
        let left: Vec<_> = world.progress(|p| p.applied.union(&p.doubtful).copied().collect());
        let left = left.iter().filter_map(|no| material.changes.get(no));
        let made =
            left.filter(|change| material.is_made(change)).map(|change| world.key_of(change));
        gone.extend(made.filter(|key| material.actual.head(key).is_none()));
    }
    gone
}

/// A difference that no member holds.
fn said(at: &str, from: &str, to: &str) -> FieldChange {
    FieldChange { at: at.to_owned(), from: Some(from.to_owned()), to: Some(to.to_owned()) }
}

/// Of what the vendor did by the way: things that are there now and should not be. Blocking.
pub(crate) fn newcomers(
    world: &World,
    now: &dyn Snapshot,
    caused: BTreeSet<Key>,
    rolled_back: bool,
) -> Result<Vec<Key>> {
    let mut left = caused;
    if left.is_empty() {
        return Ok(Vec::new());
    }
    let material = &world.material;
    let wanted = if rolled_back { &material.actual } else { &material.desired };
    for head in wanted.heads() {
        if let Some(there) = world.now_at(&head.key(), rolled_back) {
            left.remove(&there);
        }
    }
    let mut found = Vec::new();
    for key in left {
        // What was there before the run did not come with it.
        if material.actual.head(&key).is_none() && now.get(&key)?.is_some() {
            found.push(key);
        }
    }
    Ok(found)
}

impl Comparison {
    fn deviation(
        &mut self,
        rules: &Rules,
        resource: &crate::model::Resource,
        missing: bool,
        fields: Vec<FieldChange>,
    ) {
        self.different += 1;
        if self.differences.len() < NAMED {
            let (key, name) = (resource.key.clone(), label(rules, resource));
            self.differences.push(Deviation { key, name, missing, fields });
        }
    }
}
