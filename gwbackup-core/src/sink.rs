//! Places where objects lie.

mod away;
mod body;
mod erase;
mod fs;
mod memory;
mod name;
#[cfg(feature = "object-store")]
mod object;
mod transfer;
mod versions;

use std::fmt::{Debug, Display};
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;

use crate::clock::Timestamp;
use crate::context::Context;
use crate::error::Result;
use crate::source::BoxStream;

pub(crate) use away::AwaySink;
pub use body::{Body, Spool, SpoolReader, SpoolWriter};
pub use erase::{Erasure, Kept, erase};
pub use fs::DirectorySink;
pub use memory::MemorySink;
pub use name::ObjectName;
#[cfg(feature = "object-store")]
pub use object::ObjectSink;
pub use transfer::{fetch, put_once};
pub use versions::{DeletionReceipt, Lock, Version, VersionedSink};

/// What a sink is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkInfo {
    /// URL without user and password.
    pub url: String,
    /// Two creates of one name never both succeed, whoever makes them: the sink can be a log's
    /// home.
    pub exclusive_create: bool,
    /// Where it is a directory of this machine: keys must not lie below it.
    pub local_path: Option<std::path::PathBuf>,
}

/// What a sink says of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectMeta {
    /// Its name.
    pub name: ObjectName,
    /// Its size in bytes.
    pub size: u64,
    /// When it was written, by the store's clock.
    pub modified: Timestamp,
}

/// One entry of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listed {
    /// An object.
    Object(ObjectMeta),
    /// Something whose name no repository would give; reported, never opened.
    Foreign(String),
}

/// One place where immutable objects are kept.
///
/// Expected kinds of error of every method: `Denied`, `Unauthenticated`, `Throttled`,
/// `Unavailable`, `Cancelled`, and `Other` (a full disk).
#[async_trait]
pub trait Sink: Display + Debug + Send + Sync + 'static {
    /// What it is. No I/O.
    fn info(&self) -> SinkInfo;

    /// Writes a new object: whole and durable on return, or not at all; nobody ever sees half of
    /// it. `AlreadyExists` when the name is taken, whatever its bytes. After a lost answer the
    /// caller reads the object back. A dropped future leaves the object whole or absent.
    async fn put(&self, cx: &Context, name: &ObjectName, body: &Body) -> Result<()>;

    /// The bytes as stored; all of them, or exactly `range`. `NotFound`; `Corrupt` when the object
    /// ends before the range does (never a short answer).
    async fn get(
        &self,
        cx: &Context,
        name: &ObjectName,
        range: Option<Range<u64>>,
    ) -> Result<Bytes>;

    /// Size and time. `NotFound`.
    async fn head(&self, cx: &Context, name: &ObjectName) -> Result<ObjectMeta>;

    /// Everything whose name begins with `prefix` (plain text, not a folder), in any order. What is
    /// there before and after the call is listed exactly once.
    fn list(&self, cx: &Context, prefix: &str) -> BoxStream<Result<Listed>>;

    /// Deletes an object; on return it is gone for every reader. `NotFound` when it was not there.
    /// Where the place keeps versions, the bytes stay: [`erase`] deletes for good.
    async fn delete(&self, cx: &Context, name: &ObjectName) -> Result<()>;

    /// What it can do besides, where it keeps versions and can lock them. No I/O.
    fn versioned(&self) -> Option<&dyn VersionedSink> {
        None
    }

    /// Removes what writers that died left and no reader can see: halves of objects, once nothing
    /// has been added to them for a day by the context's clock. Answers how many. Removes no object,
    /// and nothing of a living writer; may run beside writers, and any number of times. A
    /// repository calls it when it opens. The default is for places where a dead writer leaves
    /// nothing.
    async fn sweep(&self, cx: &Context) -> Result<u64> {
        cx.check().map(|()| 0)
    }
}
