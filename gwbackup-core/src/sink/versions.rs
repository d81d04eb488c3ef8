//! Stores that keep versions of objects, and keep them from being deleted.

use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;

use super::{Body, ObjectName, Sink};
use crate::clock::{Timestamp, rfc3339};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::source::BoxStream;

/// What keeps a version of an object, whoever asks for its deletion.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Lock {
    /// Its retention: until this moment by the store's clock. The moment may be over.
    pub until: Option<Timestamp>,
    /// A legal hold, which ends when somebody lifts it.
    pub hold: bool,
}

impl Lock {
    /// A retention until this moment.
    pub fn until(moment: Timestamp) -> Self {
        Self { until: Some(moment), hold: false }
    }

    /// The same, and a legal hold.
    #[must_use]
    pub fn with_hold(mut self) -> Self {
        self.hold = true;
        self
    }

    /// Whether it keeps anything at this moment.
    pub fn keeps(&self, now: Timestamp) -> bool {
        self.hold || self.until.is_some_and(|until| until > now)
    }

    /// What a deletion is refused with while this keeps the version.
    pub fn refusal(&self, version: &Version) -> Error {
        let (what, help) = match (self.until, self.hold) {
            (_, true) => ("a legal hold keeps it".to_owned(), "have the hold lifted, if it may be"),
            (Some(until), false) => {
                (format!("its retention keeps it until {}", rfc3339(until)), "delete it then")
            }
            (None, false) => ("the store keeps it".to_owned(), "look at the rules of the place"),
        };
        Error::refused(what).on(&version.name).help(help)
    }
}

/// One version of an object, or the marker of a deletion, which hides what is older.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Version {
    /// The object's name.
    pub name: ObjectName,
    /// The store's id of this version among those of the name.
    pub id: String,
    /// Its size in bytes; 0 of a marker.
    pub size: u64,
    /// When it was written, by the store's clock.
    pub modified: Timestamp,
    /// Whether it is a marker.
    pub is_marker: bool,
}

impl Version {
    /// An object's bytes as they are or were.
    pub fn new(name: ObjectName, id: impl Into<String>, size: u64, modified: Timestamp) -> Self {
        Self { name, id: id.into(), size, modified, is_marker: false }
    }

    /// The marker of a deletion.
    pub fn marker(name: ObjectName, id: impl Into<String>, modified: Timestamp) -> Self {
        Self { is_marker: true, ..Self::new(name, id, 0, modified) }
    }
}

/// What shows that something was deleted for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DeletionReceipt {
    /// The object's name.
    pub name: ObjectName,
    /// The version; none where the store keeps one only, and does not name it.
    pub version: Option<String>,
    /// When the store was found without it, by the clock of the run.
    pub at: Timestamp,
    /// By which name the store's own log knows the deletion, if it said one.
    pub request: Option<String>,
}

impl DeletionReceipt {
    /// Of a version that is gone since `at`.
    pub fn new(of: &Version, at: Timestamp, request: Option<String>) -> Self {
        Self { name: of.name.clone(), version: Some(of.id.clone()), at, request }
    }
}

/// A sink that keeps versions and can lock each of them: what it can do beside [`Sink`].
///
/// [`Sink::delete`] hides an object of such a store behind a marker; its bytes stay until their
/// version is deleted. Errors are those of a [`Sink`], and what each method says.
#[async_trait]
pub trait VersionedSink: Sink {
    /// For how long it keeps each object by itself, from the moment of writing, if it does. No I/O.
    fn keeps_for(&self) -> Option<Duration> {
        None
    }

    /// As [`Sink::put`], and the store keeps the object under `lock`, or under what it keeps all
    /// objects under, whichever is longer, from the moment at which it is there. `Invalid` or
    /// `Unsupported` when the place cannot lock; nothing is written then.
    async fn put_locked(
        &self,
        cx: &Context,
        name: &ObjectName,
        body: &Body,
        lock: Lock,
    ) -> Result<()>;

    /// Every version of every object whose name begins with `prefix`, and every marker; of one name
    /// the newest first. What has a name that no repository would give is left out.
    fn versions(&self, cx: &Context, prefix: &str) -> BoxStream<Result<Version>>;

    /// What keeps a version. `NotFound` when there is no such version; `Invalid` for a marker, which
    /// nothing can keep.
    async fn lock(&self, cx: &Context, version: &Version) -> Result<Lock>;

    /// Keeps a version until this moment, or for as long as it is kept already, if that is longer:
    /// retention only ever grows. Answers what keeps it then. Errors as of [`lock`](Self::lock).
    async fn extend(&self, cx: &Context, version: &Version, until: Timestamp) -> Result<Lock>;

    /// Puts a version under a legal hold, or lifts it. Errors as of [`lock`](Self::lock).
    async fn hold(&self, cx: &Context, version: &Version, on: bool) -> Result<()>;

    /// Deletes exactly this version or marker for good, and looks whether it is gone. `Refused` while
    /// a lock keeps it, saying which; nothing is ever done to get past one. `NotFound` when it was
    /// not there. After a lost answer a second call says `NotFound`.
    async fn delete_version(&self, cx: &Context, version: &Version) -> Result<DeletionReceipt>;
}
