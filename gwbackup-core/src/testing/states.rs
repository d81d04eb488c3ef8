//! Two fixed states, for trying a target without the core.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use futures_util::stream;
use serde_json::Value;

use crate::error::Result;
use crate::model::{Key, Resolved, Resource, Scope, Side};
use crate::source::BoxStream;
use crate::target::{States, StepLog};

/// The states before and after a step, given as two lists. References are taken as they stand, so
/// they must be in the target's handles; nothing is pending.
#[derive(Debug, Clone, Default)]
pub struct FixedStates {
    before: BTreeMap<Key, Resource>,
    after: BTreeMap<Key, Resource>,
}

impl FixedStates {
    /// States that hold these resources.
    pub fn new(
        before: impl IntoIterator<Item = Resource>,
        after: impl IntoIterator<Item = Resource>,
    ) -> Self {
        fn map(list: impl IntoIterator<Item = Resource>) -> BTreeMap<Key, Resource> {
            list.into_iter().map(|resource| (resource.key.clone(), resource)).collect()
        }
        Self { before: map(before), after: map(after) }
    }

    fn side(&self, side: Side) -> &BTreeMap<Key, Resource> {
        match side {
            Side::Before => &self.before,
            Side::After => &self.after,
        }
    }
}

fn resolved(resource: &Resource) -> Resolved {
    Resolved { resource: resource.clone(), pending: Vec::new() }
}

#[async_trait]
impl States for FixedStates {
    async fn one(&self, side: Side, key: &Key) -> Result<Option<Resolved>> {
        Ok(self.side(side).get(key).map(resolved))
    }

    fn read(&self, side: Side, scope: &Scope) -> BoxStream<Result<Resolved>> {
        let all = self.side(side).values().filter(|resource| scope.contains(&resource.key));
        Box::pin(stream::iter(all.map(|r| Ok(resolved(r))).collect::<Vec<_>>()))
    }
}

/// Keeps the notes of one step in memory.
#[derive(Debug, Default)]
pub struct Notes(Mutex<Vec<Value>>);

impl Notes {
    /// The last note: what the next attempt is given.
    pub fn last(&self) -> Option<Value> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).last().cloned()
    }

    /// How many notes were made.
    pub fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

#[async_trait]
impl StepLog for Notes {
    async fn checkpoint(&self, note: Value) -> Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(note);
        Ok(())
    }
}
