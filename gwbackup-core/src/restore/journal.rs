//! What a run intends and what came of it, written before and after.

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::context::Context;
use crate::error::{Error, Result};
use crate::model::{ChangeNo, Handles, IdMap, Key};
use crate::plan::{Arranged, PlanOptions};
use crate::vault::Confidential;

/// Where a run's records are kept, in order.
#[async_trait]
pub(crate) trait RecordStore: std::fmt::Debug + Send + Sync {
    /// Durable on return; `number` counts from 1. Writing the same bytes twice is success.
    async fn append(&self, cx: &Context, number: u32, record: &[u8]) -> Result<()>;

    /// All records, in order.
    async fn load(&self, cx: &Context) -> Result<Vec<Vec<u8>>>;
}

/// One record.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "record")]
pub(crate) enum Record {
    /// The run begins.
    Begin(Box<Begin>),
    /// These groups are about to be called.
    Intent {
        /// Numbers of groups in the arrangement that is followed.
        groups: Vec<usize>,
    },
    /// A target's note.
    Note {
        /// The group.
        group: usize,
        /// The note.
        note: serde_json::Value,
        /// Whether the group is one of the first arrangement, whose doubts a roll back settles.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        settling: bool,
    },
    /// What came of the groups of the last intent.
    Results {
        /// One per group.
        results: Vec<GroupResult>,
    },
    /// What came of groups that were in doubt when the run turned round: numbers of the first
    /// arrangement.
    Settled {
        /// One per group.
        results: Vec<GroupResult>,
    },
    /// From here on back. Again when settled doubts changed what is to be undone.
    Turn {
        /// Why.
        why: String,
        /// What is undone, in which order.
        arranged: Arranged,
    },
    /// The run is over.
    End {
        /// How.
        status: RunStatus,
        /// Where things of the backup are in the target.
        map: IdMap,
    },
}

/// What a run is about.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Begin {
    pub(crate) backup: Uuid,
    pub(crate) safety: Uuid,
    /// What was supplied for this run alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) secrets: Option<Confidential>,
    pub(crate) target: String,
    pub(crate) options: PlanOptions,
    pub(crate) kept: IdMap,
    pub(crate) soft_deleted: Vec<Key>,
    pub(crate) arranged: Arranged,
}

/// What came of one group.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct GroupResult {
    pub(crate) group: usize,
    pub(crate) changes: Vec<ChangeResult>,
    /// Why the group failed for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    /// Other resources that the vendor changed on the way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) side_effects: Vec<Key>,
}

/// What came of one change.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ChangeResult {
    pub(crate) no: ChangeNo,
    pub(crate) became: Became,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) there: Option<Key>,
    #[serde(default, skip_serializing_if = "Handles::is_empty")]
    pub(crate) handles: Handles,
}

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Became {
    /// It is made.
    Done,
    /// Nothing of it is made.
    NotDone,
    /// Nobody knows.
    Unknown,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum RunStatus {
    /// Everything planned was written.
    Success,
    /// Everything that the vendor offers a way for was written; the rest is named.
    Partial,
    /// A step failed for good, and the target is again as it was.
    RolledBack,
    /// A step failed for good, and something could not be undone: `resume` goes on with that.
    RollbackIncomplete,
    /// Stopped at a safe point: `resume` goes on.
    Cancelled,
}

/// A run's journal.
#[derive(Debug)]
pub(crate) struct Journal {
    store: Arc<dyn RecordStore>,
    next: tokio::sync::Mutex<u32>,
}

impl Journal {
    /// A journal with no record yet.
    pub(crate) fn new(store: Arc<dyn RecordStore>) -> Self {
        Self { store, next: tokio::sync::Mutex::new(1) }
    }

    /// A journal with these many records.
    pub(crate) async fn load(
        cx: &Context,
        store: Arc<dyn RecordStore>,
    ) -> Result<(Self, Vec<Record>)> {
        let mut records = Vec::new();
        for bytes in store.load(cx).await? {
            let record = serde_json::from_slice(&bytes).map_err(|e| {
                Error::corrupt(format!("a journal record is no record (column {})", e.column()))
            })?;
            records.push(record);
        }
        let next = u32::try_from(records.len() + 1).unwrap_or(u32::MAX);
        Ok((Self { store, next: tokio::sync::Mutex::new(next) }, records))
    }

    /// Durable on return.
    pub(crate) async fn write(&self, cx: &Context, record: &Record) -> Result<()> {
        let bytes = serde_json::to_vec(record)
            .map_err(|_| Error::invalid("a journal record cannot be written"))?;
        let mut next = self.next.lock().await;
        self.store.append(cx, *next, &bytes).await?;
        *next += 1;
        Ok(())
    }
}
