//! What a restore does: changes, groups, steps, receipts.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::key::{Handles, Key, Revision};
use super::place::Place;
use super::resource::{Reference, Resource};
use super::scope::Scope;
use crate::error::Error;

/// A change's number within its plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChangeNo(pub u32);

/// What happens to one resource: the unit of diff, outcome and undo. Holds no document; those stay
/// in the backup and the safety backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Its number.
    pub no: ChangeNo,
    /// The resource, by its key in the backup (for a deletion, in the target).
    pub key: Key,
    /// The same thing in the target, if it is there under another key. For a creation, where it may
    /// be already: a roll back makes again what may never have been deleted.
    pub there: Option<Key>,
    /// Its parent, where the address holds it.
    pub parent: Option<Key>,
    /// What is done.
    pub action: Action,
    /// What a roll back can bring back.
    pub undo: Undo,
    /// Size of the document, for estimates.
    pub bytes: u64,
}

impl Change {
    /// The key under which the target knows the thing at present.
    pub fn target_key(&self) -> &Key {
        self.there.as_ref().unwrap_or(&self.key)
    }

    /// The same change with before and after swapped.
    #[must_use]
    pub fn inverted(&self) -> Self {
        let action = match self.action {
            Action::Create | Action::Undelete => Action::Delete,
            Action::Delete => Action::Create,
            same @ (Action::Update | Action::Replace | Action::Reset) => same,
        };
        Self { action, ..self.clone() }
    }
}

/// What is done to a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Action {
    /// It is made.
    Create,
    /// It is changed in place.
    Update,
    /// It is deleted and made again, since an immutable member differs.
    Replace,
    /// It is deleted.
    Delete,
    /// A thing that is always there goes back to its initial state.
    Reset,
    /// A soft-deleted thing is brought back.
    Undelete,
}

/// What a roll back can bring back, from verbs and marks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Undo {
    /// Exactly what was.
    Exact,
    /// The same content under another id or host.
    NewHandles,
    /// What was, and something harmless that stays.
    Residue,
    /// Values at these places would be gone for good: needs consent.
    Lost(Vec<Place>),
}

/// Changes written by one call of [`Target::apply`](crate::target::Target::apply).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// The changes, in the order in which the call makes them.
    pub changes: Vec<ChangeNo>,
    /// This scope is written whole, so the target may read all of it.
    pub rewrites: Option<Scope>,
    /// Groups of one lane run one at a time.
    pub lane: Option<String>,
    /// How long the call takes, for the plan.
    pub estimate: Duration,
}

impl Group {
    /// One change by itself, in no lane.
    pub fn single(change: ChangeNo) -> Self {
        Self { changes: vec![change], rewrites: None, lane: None, estimate: Duration::ZERO }
    }
}

/// One call of [`Target::apply`](crate::target::Target::apply).
#[derive(Debug, Clone)]
pub struct Step {
    /// The same on every attempt: for tags, descriptions, idempotency keys.
    pub token: String,
    /// The changes.
    pub changes: Vec<Change>,
    /// This scope is written whole.
    pub rewrites: Option<Scope>,
    /// Whether it was tried before.
    pub attempt: Attempt,
}

/// Whether a step was tried before.
#[derive(Debug, Clone, PartialEq)]
pub enum Attempt {
    /// Never: the state before must hold.
    First,
    /// It may be done, half done or not done: no look at the state before.
    Again {
        /// The last note of the earlier attempt.
        checkpoint: Option<serde_json::Value>,
    },
}

/// Which of two states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Before the step.
    Before,
    /// After it.
    After,
}

/// A resource in the target's own handles.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The resource; its key is the target's where it is known, else the backup's.
    pub resource: Resource,
    /// References to things that this same step creates: their text is still the backup's.
    pub pending: Vec<Reference>,
}

/// What became of a step. One outcome per change, plus one per other resource that the vendor
/// changed on the way.
#[derive(Debug, Default)]
pub struct StepReceipt {
    /// The outcomes.
    pub outcomes: Vec<Outcome>,
}

/// What became of one resource.
#[derive(Debug)]
pub struct Outcome {
    /// Its key as the change named it ([`Change::key`]); for a side effect, its key in the target.
    pub key: Key,
    /// Its key in the target, where that differs.
    pub there: Option<Key>,
    /// What happened.
    pub effect: Effect,
    /// Handles that the server gave it.
    pub handles: Handles,
    /// Its revision now.
    pub revision: Option<Revision>,
}

impl Outcome {
    /// An outcome without news about key, handles or revision.
    pub fn new(key: Key, effect: Effect) -> Self {
        Self { key, there: None, effect, handles: Handles::new(), revision: None }
    }
}

/// What happened to one resource.
#[derive(Debug)]
#[non_exhaustive]
pub enum Effect {
    /// It was made.
    Created,
    /// It was changed.
    Updated,
    /// It was deleted.
    Deleted,
    /// It was brought back from a soft deletion.
    Undeleted,
    /// It was as it should be.
    AlreadyThere,
    /// It could not be done, and this attempt did nothing of it. What an earlier attempt did is the
    /// core's to find out.
    Failed(Error),
    /// It may have been done, whole or in part; with what went wrong, where that is known. For an
    /// error that asking again would not mend, the step is not tried again.
    Unknown(Option<Error>),
}

/// Keys and handles in the target by key in the backup; only what differs. Grows with each receipt,
/// is stored with the run, and is taken by every later plan between the same two gateways.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdMap {
    /// The entries.
    #[serde(with = "pairs")]
    pub entries: BTreeMap<Key, There>,
}

/// Where a thing of the backup is in the target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct There {
    /// Its key there.
    pub key: Key,
    /// Handles in the backup that differ.
    #[serde(default)]
    pub was: Handles,
    /// The same handles in the target.
    #[serde(default)]
    pub is: Handles,
}

/// A map with structured keys, as a JSON array of pairs.
pub(crate) mod pairs {
    use std::collections::BTreeMap;

    use serde::de::DeserializeOwned;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer, K: Serialize, V: Serialize>(
        map: &BTreeMap<K, V>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map)
    }

    pub(crate) fn deserialize<'de, D, K, V>(deserializer: D) -> Result<BTreeMap<K, V>, D::Error>
    where
        D: Deserializer<'de>,
        K: DeserializeOwned + Ord,
        V: DeserializeOwned,
    {
        Vec::deserialize(deserializer).map(|pairs: Vec<(K, V)>| pairs.into_iter().collect())
    }
}
