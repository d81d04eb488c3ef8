//! The plan of a restore as a document.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::world::World;
use crate::crypt::hex;
use crate::error::{Error, Result};
use crate::mapping::RuleUse;
use crate::model::{Finding, Key, Undo, Verdict};
use crate::plan::{
    Arranged, Dependency, FieldChange, Item, PlanOptions, PlannedStep, Room, Summary,
};

/// What a restore would do, as a value: can be printed, stored, approved.
///
/// Holds keys, digests and masked differences, never a document.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Plan {
    /// Name and version of the form.
    pub schema: String,
    /// The backup.
    pub backup: uuid::Uuid,
    /// Its name.
    pub backup_name: String,
    /// Keyed digest of its state.
    pub backup_digest: String,
    /// Whether something of the gateway is missing in it.
    pub backup_partial: bool,
    /// The gateway that it is of.
    pub source: String,
    /// The gateway that would be written.
    pub target: String,
    /// Keyed digest of the target's state when the plan was made.
    pub target_digest: String,
    /// When.
    pub created: String,
    /// How it was made.
    pub options: PlanOptions,
    /// How often each decision was taken.
    pub summary: Summary,
    /// Exactly the writes, in order.
    pub steps: Vec<PlannedStep>,
    /// Everything else that is not simply unchanged: skipped, beyond what the vendor offers.
    pub left: Vec<Item>,
    /// What stops it before its first write.
    pub blocked: Vec<Item>,
    /// What each rule of the mapping did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mapping: Vec<RuleUse>,
    /// Places whose secrets were supplied, written `kind/id#/pointer`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub supplied: Vec<String>,
    /// What the resources to write need outside the gateway.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<Dependency>,
    /// What the target's own dry run found.
    pub findings: Vec<Finding>,
    /// How long the writing takes, in milliseconds, as far as the provider can tell.
    pub estimate_ms: u64,
}

impl Plan {
    /// A digest of what it would do to which state: whoever approves it approves exactly this.
    /// `Invalid` when the plan cannot be written as JSON.
    pub fn digest(&self) -> Result<String> {
        let parts = (
            (&self.schema, self.backup, &self.backup_digest),
            (&self.target, &self.target_digest),
            (&self.options, &self.supplied, &self.steps),
        );
        let bytes = serde_json::to_vec(&parts)
            .map_err(|_| Error::invalid("the plan cannot be written as JSON"))?;
        Ok(hex::encode(&Sha256::digest(bytes)))
    }

    /// Whether it writes nothing.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Whether something stops it before its first write.
    pub fn is_blocked(&self) -> bool {
        !self.blocked.is_empty() || self.findings.iter().any(|f| f.verdict == Verdict::Failed)
    }

    /// Writes whose loss no roll back could mend.
    pub fn losses(&self) -> impl Iterator<Item = &PlannedStep> {
        self.steps.iter().filter(|step| matches!(step.undo, Undo::Lost(_)))
    }

    /// Whether another plan would do the same to the same state.
    pub fn agrees_with(&self, other: &Self) -> bool {
        self.backup == other.backup
            && self.target == other.target
            && self.target_digest == other.target_digest
            && self.steps == other.steps
    }
}

/// The writes in order, as people read them.
pub(super) fn steps(arranged: &Arranged, world: &World, items: &[Item]) -> Vec<PlannedStep> {
    let by_key: BTreeMap<&Key, &Item> = items.iter().map(|item| (&item.key, item)).collect();
    let early: BTreeMap<_, &Room> = arranged.early.iter().map(|e| (e.no, &e.what)).collect();
    let mut steps = Vec::with_capacity(arranged.changes.len());
    for (call, group) in (1..).zip(arranged.waves.iter().flatten()) {
        let Some(group) = arranged.groups.get(*group) else { continue };
        for change in group.changes.iter().filter_map(|no| world.asked(*no, false)) {
            let item = by_key.get(&change.key);
            let fields = match early.get(&change.no) {
                None => item.map(|item| item.fields.clone()).unwrap_or_default(),
                Some(Room::Removal) => Vec::new(),
                Some(Room::Rename(places)) => places
                    .iter()
                    .map(|at| FieldChange {
                        at: at.clone(),
                        from: None,
                        to: Some("(temporary)".to_owned()),
                    })
                    .collect(),
            };
            let target = change.target_key();
            steps.push(PlannedStep {
                n: u32::try_from(steps.len() + 1).unwrap_or(u32::MAX),
                action: change.action,
                kind: target.kind.to_string(),
                id: target.id.to_string(),
                name: item.and_then(|item| item.name.clone()),
                changes: fields,
                undo: change.undo.clone(),
                call,
            });
        }
    }
    steps
}
