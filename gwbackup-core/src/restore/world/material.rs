//! What a run begins with.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::super::desired::Desired;
use crate::model::{Action, Change, ChangeNo, Key, Rules, Snapshot};
use crate::plan::{Arranged, Draft, Early, Index, Matching, Room};

/// Both snapshots of a run and what the plan knows of them. Never changes.
#[derive(Debug)]
pub(crate) struct Material {
    pub(crate) rules: Rules,
    /// The backup, as the run wants it to be.
    pub(crate) backup: Arc<dyn Snapshot>,
    pub(crate) wanted: Desired,
    pub(crate) live: Arc<dyn Snapshot>,
    pub(crate) desired: Arc<Index>,
    pub(crate) actual: Arc<Index>,
    pub(crate) matching: Matching,
    pub(crate) changes: BTreeMap<ChangeNo, Change>,
    /// Change by key in the backup, and by key in the target.
    pub(super) by_key: HashMap<Key, ChangeNo>,
    pub(super) by_target: HashMap<Key, ChangeNo>,
    /// What is made, by the first segment of its id in the backup.
    pub(super) created: HashMap<String, Vec<ChangeNo>>,
    /// What other changes would take along, by change.
    falls: HashMap<ChangeNo, Vec<ChangeNo>>,
    /// What is done ahead of a change.
    pub(super) early: HashMap<ChangeNo, Early>,
    /// What each of these is done ahead of.
    later: HashMap<ChangeNo, ChangeNo>,
}

/// The first segment of an id.
pub(super) fn root_of(key: &Key) -> &str {
    key.id.as_str().split('/').next().unwrap_or_default()
}

impl Material {
    pub(crate) fn new(
        rules: Rules,
        wanted: Desired,
        live: Arc<dyn Snapshot>,
        draft: Draft,
    ) -> (Self, Vec<crate::plan::Item>, crate::plan::Summary, Vec<crate::plan::Links>) {
        let Draft { decided, desired, actual, matching, .. } = draft;
        let mut by_key = HashMap::new();
        let mut by_target = HashMap::new();
        let mut created: HashMap<String, Vec<ChangeNo>> = HashMap::new();
        for change in &decided.changes {
            if change.action != Action::Delete {
                by_key.insert(change.key.clone(), change.no);
            }
            if matches!(change.action, Action::Create | Action::Undelete) {
                created.entry(root_of(&change.key).to_owned()).or_default().push(change.no);
            } else {
                by_target.insert(change.target_key().clone(), change.no);
            }
        }
        let mut falls = HashMap::new();
        for (change, links) in decided.changes.iter().zip(&decided.links) {
            let with: Vec<ChangeNo> =
                links.falls.iter().filter_map(|key| by_target.get(key)).copied().collect();
            if !with.is_empty() {
                falls.insert(change.no, with);
            }
        }
        let changes = decided.changes.into_iter().map(|change| (change.no, change)).collect();
        let material = Self {
            rules,
            backup: wanted.snapshot(),
            wanted,
            live,
            desired,
            actual,
            matching,
            changes,
            by_key,
            by_target,
            created,
            falls,
            early: HashMap::new(),
            later: HashMap::new(),
        };
        (material, decided.items, decided.summary, decided.links)
    }

    /// Takes up what the arrangement does early.
    pub(crate) fn take_early(&mut self, arranged: &Arranged) {
        let changes = arranged.ahead().iter();
        self.changes.extend(changes.map(|change| (change.no, change.clone())));
        self.early.extend(arranged.early.iter().map(|early| (early.of, early.clone())));
        self.later.extend(arranged.early.iter().map(|early| (early.no, early.of)));
    }

    /// The early removal that makes room for a change.
    pub(crate) fn removal(&self, of: ChangeNo) -> Option<ChangeNo> {
        let early = self.early.get(&of).filter(|early| early.what == Room::Removal);
        early.map(|early| early.no)
    }

    /// Whether what went early was made again.
    pub(crate) fn came_back(&self, early: ChangeNo, applied: &BTreeSet<ChangeNo>) -> bool {
        self.later.get(&early).is_some_and(|of| applied.contains(of))
    }

    /// Whether a change makes its resource: it was not there, or went early.
    pub(crate) fn is_made(&self, change: &Change) -> bool {
        matches!(change.action, Action::Create | Action::Undelete)
            || self.removal(change.no).is_some()
    }

    /// Whether a change that was not done may have lost its resource to another of these.
    pub(crate) fn may_be_gone(&self, no: ChangeNo, touched: &[ChangeNo]) -> bool {
        self.removal(no).is_none()
            && self.falls.get(&no).is_some_and(|with| with.iter().any(|no| touched.contains(no)))
    }
}
