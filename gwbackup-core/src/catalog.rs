//! The log of everything that was done: index and audit trail in one.

mod chain;
mod event;
#[cfg(test)]
pub(crate) mod fixture;
mod fold;
mod ids;
mod local;
mod log;
mod memory;
mod signed;
pub(crate) mod store;
mod trust;

use std::fmt::Debug;

use async_trait::async_trait;

use crate::context::Context;
use crate::error::Result;
use crate::source::BoxStream;

pub use chain::Problem;
pub use event::{Detail, Event, EventDraft, EventKind, EventOutcome, Lease, Subject, Vouched};
pub use fold::{
    BackupFacts, CatalogState, CopyFacts, CopyResult, Deletion, DrillFacts, DrillVerdict,
    RecoveryPoint, State, fold,
};
pub use ids::{CopyId, RepositoryId};
pub use local::{FileAnchor, Marks, MemoryAnchor, TrustAnchor};
pub use log::{AuditReport, Folded, Integrity, Log};
pub use memory::MemoryCatalog;
pub use signed::{FileKind, SignedFile, Verified, Verifier};
pub use trust::{
    CopyEntry, CopyMark, Home, Role, Roots, SignerEntry, SignerState, Trust, TrustDocument, Until,
};

/// Position in the log: the number of the last event and the digest of its stored body.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Head {
    /// Number of the last event; 0 before the first.
    pub seq: u64,
    /// Its digest, hex; empty before the first.
    pub digest: String,
}

/// An append-only, chained log of events.
#[async_trait]
pub trait Catalog: Debug + Send + Sync + 'static {
    /// Appends one event after whatever is the head by then; durable, numbered and chained on
    /// return. Appending a draft whose id is already in the log returns the event that is there (a
    /// lost answer makes no second one). `Unavailable` while the log's home is away.
    async fn append(&self, cx: &Context, draft: EventDraft) -> Result<Event>;

    /// The events with a number above `after`, in order, each checked (signature, chain). Ends with
    /// `Corrupt` where the chain breaks.
    fn events(&self, cx: &Context, after: u64) -> BoxStream<Result<Event>>;

    /// The last event's position.
    async fn head(&self, cx: &Context) -> Result<Head>;
}
