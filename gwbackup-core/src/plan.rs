//! What a restore would do, as a value. No I/O, no clock.

mod arrange;
mod arranged;
mod decide;
mod decided;
mod dependency;
mod diff;
mod index;
mod join;
mod matching;
mod object;
mod order;
mod policies;
mod select;
#[cfg(test)]
mod tests;
mod translate;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::mapping::Mapping;
use crate::model::{Action, IdMap, Key, Rules, Snapshot, Undo};

pub use dependency::{Dependency, Presence};
pub use diff::{FieldChange, MASK};
pub use select::Selector;

pub(crate) use arranged::{Arranged, Early, Room, with_early};
pub(crate) use decided::{Decided, Links};
pub(crate) use diff::{field_changes, secret_pointers, unseen};
pub(crate) use index::{Head, Index};
pub(crate) use join::Join;
pub(crate) use matching::{Matching, PlannedPlaces, Sides, match_pass, moved_under};
pub(crate) use policies::Policies;
pub(crate) use select::{glob, label};
pub(crate) use translate::{InPlace, Located, Places, Translator};

/// What happens to a resource that exists and differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Existing {
    /// It is changed in place.
    #[default]
    Update,
    /// It stays as it is.
    Skip,
    /// It is deleted and made again. Where the vendor changes every member in place, as Kong does,
    /// it is overwritten as a whole instead: nothing of it is left, and what belongs to it stays.
    Replace,
    /// It is changed in place, and what fits one resource by a name that is not unique is taken for
    /// it.
    Adopt,
    /// It blocks the restore.
    Fail,
}

/// How a plan is made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PlanOptions {
    /// What happens to a resource that exists and differs.
    pub existing: Existing,
    /// The same for single kinds, by name or alias.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub policies: BTreeMap<String, Existing>,
    /// Whether the target's resources that the backup does not know are deleted.
    pub prune: bool,
    /// Most deletions by `prune`, in percent of the target's resources.
    pub prune_limit: u8,
    /// Only these, and what they need. Empty: everything.
    pub only: Vec<Selector>,
    /// What things and texts of the backup are called in the target.
    #[serde(default, skip_serializing_if = "Mapping::is_empty")]
    pub mapping: Mapping,
    /// Whether secrets are supplied: then one that is missing stops the restore.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub supply: bool,
    /// The moment that it is made for, in seconds since 1970: what has ended by itself by then is not
    /// made. By default the present one.
    #[serde(default)]
    pub at: Option<i64>,
}

impl Default for PlanOptions {
    /// Update what exists, delete nothing, everything.
    fn default() -> Self {
        Self {
            existing: Existing::Update,
            policies: BTreeMap::new(),
            prune: false,
            prune_limit: 20,
            only: Vec::new(),
            mapping: Mapping::new(),
            supply: false,
            at: None,
        }
    }
}

/// What is done about one resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "decision", content = "detail")]
#[non_exhaustive]
pub enum Decision {
    /// It is written.
    Do(Action),
    /// It is as it should be.
    Unchanged,
    /// It is left alone, for this reason.
    Skipped(String),
    /// It stops the restore before its first write.
    Blocked(String),
    /// It fits several of the target's resources, or one by a name that is not unique: stops the
    /// restore before its first write.
    Ambiguous(Vec<Key>),
    /// The vendor offers no way. The restore goes on and ends as Partial.
    CannotRestore(String),
}

/// One resource that is not simply unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Its key in the backup (in the target, for a deletion).
    pub key: Key,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its key in the target, where that differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub there: Option<Key>,
    /// What is done about it.
    #[serde(flatten)]
    pub decision: Decision,
    /// What differs, secrets masked; empty for what is made or deleted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldChange>,
    /// It was not selected, but something selected needs it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pulled: bool,
}

/// How often each decision was taken.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// To be made.
    pub create: u64,
    /// To be changed in place.
    pub update: u64,
    /// To be deleted and made again.
    pub replace: u64,
    /// To be deleted.
    pub delete: u64,
    /// To be reset.
    pub reset: u64,
    /// To be brought back from a soft deletion.
    pub undelete: u64,
    /// Taken for the same thing though keys differ.
    pub adopt: u64,
    /// As they should be.
    pub unchanged: u64,
    /// Left alone for a reason.
    pub skipped: u64,
    /// Stopping the restore.
    pub blocked: u64,
    /// Stopping the restore until someone says which is which.
    pub ambiguous: u64,
    /// Beyond what the vendor offers.
    pub cannot_restore: u64,
    /// In the target, unknown to the backup, and left alone.
    pub foreign: u64,
}

impl Summary {
    fn count(&mut self, decision: &Decision) {
        *self.counter(decision) += 1;
    }

    fn discount(&mut self, decision: &Decision) {
        let counter = self.counter(decision);
        *counter = counter.saturating_sub(1);
    }

    fn counter(&mut self, decision: &Decision) -> &mut u64 {
        match decision {
            Decision::Do(Action::Create) => &mut self.create,
            Decision::Do(Action::Update) => &mut self.update,
            Decision::Do(Action::Replace) => &mut self.replace,
            Decision::Do(Action::Delete) => &mut self.delete,
            Decision::Do(Action::Reset) => &mut self.reset,
            Decision::Do(Action::Undelete) => &mut self.undelete,
            Decision::Unchanged => &mut self.unchanged,
            Decision::Skipped(_) => &mut self.skipped,
            Decision::Blocked(_) => &mut self.blocked,
            Decision::Ambiguous(_) => &mut self.ambiguous,
            Decision::CannotRestore(_) => &mut self.cannot_restore,
        }
    }

    /// How many resources are written.
    pub fn writes(&self) -> u64 {
        self.create + self.update + self.replace + self.delete + self.reset + self.undelete
    }
}

/// The decisions about every resource, and the changes that follow.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) decided: Decided,
    pub(crate) desired: Arc<Index>,
    pub(crate) actual: Arc<Index>,
    pub(crate) matching: Matching,
    /// What was selected, and what that needs; empty when everything is.
    pub(crate) selected: BTreeSet<Key>,
}

/// Compares a backup with a target and decides on every resource.
///
/// `ours`: target resources that this run's own steps made by the way. They may be deleted without
/// `prune`.
pub(crate) fn draft(
    rules: &Rules,
    backup: &dyn Snapshot,
    live: &dyn Snapshot,
    options: &PlanOptions,
    kept: &IdMap,
    soft_deleted: &BTreeSet<Key>,
    ours: &BTreeSet<Key>,
) -> Result<Draft> {
    let desired = Arc::new(Index::build(backup, rules)?);
    let actual = Arc::new(Index::build(live, rules)?);
    let selected = select::closure(&options.only, rules, backup, &desired)?;
    let sides = Sides { rules, desired: &desired, actual: &actual, backup, live };
    let policies = Policies::new(options, rules)?;
    let matching = match_pass(&sides, options.mapping.identities(), kept, &policies)?;
    let known = decide::Known { selected: selected.as_ref(), soft_deleted, ours };
    let all = decide::Decider::new(sides, &matching, options, &policies, known);
    let decided = all.run()?;
    let selected = selected.map(|selected| selected.keys).unwrap_or_default();
    Ok(Draft { decided, desired, actual, matching, selected })
}

/// One write, for people and scripts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedStep {
    /// Its number, from 1, in the order of writing.
    pub n: u32,
    /// What is done.
    pub action: Action,
    /// The kind.
    pub kind: String,
    /// The id in the target, or in the backup where it is not there yet.
    pub id: String,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What differs, secrets masked.
    pub changes: Vec<FieldChange>,
    /// What a roll back can bring back.
    pub undo: Undo,
    /// Number of the call that makes it: those of one call succeed or fail together.
    pub call: u32,
}
