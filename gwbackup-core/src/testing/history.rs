//! A history in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::history::{Asked, HistoryItem, HistoryLink, Linked, Missing, Presence};
use crate::model::{Key, Kind};

/// How late an item may be.
const LATE: Duration = Duration::from_mins(15);

/// A history that knows what a test recorded. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct MemoryHistory {
    kinds: BTreeSet<Kind>,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    items: BTreeMap<Key, Vec<HistoryItem>>,
    fails: Option<ErrorKind>,
    calls: Vec<Vec<(Key, Timestamp)>>,
}

impl MemoryHistory {
    /// One that records these kinds, and has recorded nothing.
    pub fn new(kinds: impl IntoIterator<Item = Kind>) -> Self {
        Self { kinds: kinds.into_iter().collect(), shared: Arc::default() }
    }

    /// Records a state of a resource; moments are given in their order.
    pub fn record(&self, key: &Key, captured_at: Timestamp, presence: Presence) {
        let mut shared = self.lock();
        let items = shared.items.entry(key.clone()).or_default();
        let state = (items.len() + 1).to_string();
        let events = vec![format!("event-{state}")];
        items.push(HistoryItem { id: key.to_string(), state, captured_at, presence, events });
    }

    /// From now on every question fails so; nothing lets it answer again.
    pub fn fail(&self, kind: impl Into<Option<ErrorKind>>) {
        self.lock().fails = kind.into();
    }

    /// What it was asked so far, call by call.
    pub fn calls(&self) -> Vec<Vec<(Key, Timestamp)>> {
        self.lock().calls.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for MemoryHistory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("memory-history:")
    }
}

#[async_trait]
impl HistoryLink for MemoryHistory {
    fn records(&self, kind: &Kind) -> bool {
        self.kinds.contains(kind)
    }

    async fn find(&self, cx: &Context, asked: &[Asked]) -> Result<Vec<Linked>> {
        cx.check()?;
        let mut shared = self.lock();
        let call = asked.iter().map(|one| (one.resource.key.clone(), one.at)).collect();
        shared.calls.push(call);
        if let Some(kind) = shared.fails {
            return Err(Error::new(kind, "the history does not answer"));
        }
        Ok(asked.iter().map(|one| shared.at(&one.resource.key, one.at)).collect())
    }
}

impl Shared {
    fn at(&self, key: &Key, at: Timestamp) -> Linked {
        let Some(items) = self.items.get(key) else {
            return Linked::nothing(Missing::Resource, "nothing was recorded of it");
        };
        let later = items.partition_point(|item| item.captured_at <= at);
        let item = later.checked_sub(1).and_then(|n| items.get(n)).cloned();
        let soon = |item: &&HistoryItem| item.captured_at.duration_since(at).unsigned_abs() <= LATE;
        let next = items.get(later).filter(soon).cloned();
        if item.is_none() && next.is_none() {
            return Linked::nothing(Missing::Moment, "it was recorded later");
        }
        Linked::Found { item, next }
    }
}
