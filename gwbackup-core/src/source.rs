//! Reading a gateway.

use std::fmt::Debug;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use futures_core::Stream;

use crate::context::Context;
use crate::error::Result;
use crate::model::{Captured, Description, Finding, Key, Revision, Scope};

/// An owned stream: the implementation clones its inner handle, so it can be stored and sent on.
pub type BoxStream<T> = Pin<Box<dyn Stream<Item = T> + Send + 'static>>;

/// What a preflight is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Purpose {
    /// Reading everything in scope.
    Backup,
    /// Writing everything in scope.
    Restore,
}

/// What the base of an incremental already holds.
pub trait Known: Debug + Send + Sync {
    /// Whether the stored record of `key` has this very revision.
    fn has(&self, key: &Key, revision: &Revision) -> bool;
}

/// Reads a gateway; never writes it.
///
/// Every method may be called again and several at a time. A dropped future or stream leaves
/// nothing behind. Expected kinds of error: `Unauthenticated`, `Denied` (of the whole gateway; a
/// part is a gap), `Throttled` and `Unavailable` after the implementation's own retries, `Invalid`
/// for a gateway that is not one, `Cancelled`.
#[async_trait]
pub trait Source: Debug + Send + Sync + 'static {
    /// Names the gateway for people and events: a URL without user, password or token.
    fn address(&self) -> String;

    /// Version, own handles, rules and limits of this very gateway. Asked once at the start of each
    /// run; its data is recorded in the backup.
    async fn describe(&self, cx: &Context) -> Result<Description>;

    /// Every right and endpoint that `purpose` will need, each tried without side effect. What
    /// fails is a finding; an error means that nothing could be tried.
    async fn preflight(
        &self,
        cx: &Context,
        purpose: Purpose,
        scope: &Scope,
    ) -> Result<Vec<Finding>>;

    /// Whether a read answers for what it gives as a whole: what a resource needs was read with it,
    /// nothing is given twice, and what moved under the reader is read again or a
    /// [`Torn`](crate::model::Cause::Torn) gap. Of any other source the core looks after that
    /// itself, which takes memory for each resource.
    fn is_coherent(&self) -> bool {
        false
    }

    /// A cheap mark that moves when anything in scope moves; `None` where the vendor has none.
    async fn revision(&self, cx: &Context, scope: &Scope) -> Result<Option<Revision>>;

    /// Everything in scope: any order, repeats allowed, documents lossless. A narrower scope gives
    /// exactly its part. What cannot be read is a [`Gap`](crate::model::Gap), never an absence;
    /// `Err` ends the stream. Where `known` answers true for a resource's revision, it may be
    /// answered as [`Captured::Same`]. A cancelled context ends the stream with `Cancelled`.
    fn read(
        &self,
        cx: &Context,
        description: &Description,
        scope: &Scope,
        known: Option<Arc<dyn Known>>,
    ) -> BoxStream<Result<Captured>>;
}
