//! All resources of one gateway at one moment, readable any number of times.

use std::collections::BTreeMap;
use std::fmt::Debug;

use super::capture::Gap;
use super::key::{Handles, Key};
use super::resource::Resource;
use crate::error::Result;

/// A gateway's resources at one moment: a backup, or a capture that has just been made. Reading
/// blocks; call it off the async thread.
pub trait Snapshot: Debug + Send + Sync {
    /// All resources, sorted by key.
    fn scan(&self) -> Result<Box<dyn Iterator<Item = Result<Resource>> + Send + '_>>;

    /// One resource.
    fn get(&self, key: &Key) -> Result<Option<Resource>>;

    /// What was not captured.
    fn gaps(&self) -> &[Gap];

    /// The gateway's own handles.
    fn handles(&self) -> &Handles;

    /// Whether somebody supplied the value at this pointer of a resource.
    fn is_supplied(&self, _key: &Key, _pointer: &str) -> bool {
        false
    }

    /// The handles that the gateway had when it was captured, whatever a mapping makes of them.
    fn origin(&self) -> &Handles {
        self.handles()
    }
}

/// A snapshot in memory.
#[derive(Debug, Clone, Default)]
pub struct MemorySnapshot {
    resources: BTreeMap<Key, Resource>,
    gaps: Vec<Gap>,
    handles: Handles,
}

impl MemorySnapshot {
    /// Of these resources; of two with one key the later counts.
    pub fn new(resources: impl IntoIterator<Item = Resource>) -> Self {
        let resources = resources.into_iter().map(|r| (r.key.clone(), r)).collect();
        Self { resources, gaps: Vec::new(), handles: Handles::new() }
    }

    /// The same with gaps.
    #[must_use]
    pub fn with_gaps(mut self, gaps: Vec<Gap>) -> Self {
        self.gaps = gaps;
        self
    }

    /// The same with the gateway's own handles.
    #[must_use]
    pub fn with_handles(mut self, handles: Handles) -> Self {
        self.handles = handles;
        self
    }
}

impl Snapshot for MemorySnapshot {
    fn scan(&self) -> Result<Box<dyn Iterator<Item = Result<Resource>> + Send + '_>> {
        Ok(Box::new(self.resources.values().cloned().map(Ok)))
    }

    fn get(&self, key: &Key) -> Result<Option<Resource>> {
        Ok(self.resources.get(key).cloned())
    }

    fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    fn handles(&self) -> &Handles {
        &self.handles
    }
}
