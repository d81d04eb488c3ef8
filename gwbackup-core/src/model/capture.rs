//! What a source gives: descriptions, resources, gaps, findings.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::change::ChangeNo;
use super::key::{Handles, Id, Key, Kind};
use super::resource::Resource;
use super::schema::Schema;
use crate::clock::Timestamp;

/// A gateway as it is connected: asked once at the start of each run.
#[derive(Debug, Clone)]
pub struct Description {
    /// The product's name, as the vendor writes it.
    pub product: String,
    /// Its version.
    pub version: String,
    /// The gateway's own names: region, account, project, ...
    pub handles: Handles,
    /// Its rules.
    pub schema: Arc<Schema>,
    /// Its limits.
    pub limits: Limits,
}

/// What a gateway bears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Writing calls at one time; at least 1.
    pub parallel_writes: u16,
    /// Bytes of one record; a larger one is a [`Cause::TooLarge`] gap.
    pub record: u32,
}

impl Default for Limits {
    /// One write at a time, 64 MiB.
    fn default() -> Self {
        Self { parallel_writes: 1, record: 64 << 20 }
    }
}

/// One item of a capture.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Captured {
    /// A resource.
    Resource(Resource),
    /// Exactly what [`Known`](crate::source::Known) answered true for: the stored record is copied.
    Same(Key),
    /// What was given before under this key does not hold: it is not there any more, or is given
    /// anew after this.
    Withdrawn(Key),
    /// Gone, but can be brought back; used by plans, not stored.
    SoftDeleted {
        /// What.
        key: Key,
        /// Until when.
        until: Option<Timestamp>,
    },
    /// Part of the key space of which nothing is known.
    Gap(Gap),
}

/// Part of the key space of which nothing is known: never read as empty, never a reason to delete.
/// [`Cause::NotOffered`] alone leaves a backup complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The kind; all kinds if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// The id prefix; all ids if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub under: Option<Id>,
    /// Why.
    pub cause: Cause,
    /// For people; no secret.
    pub detail: String,
}

impl Gap {
    /// Whether `key` lies in it.
    pub fn covers(&self, key: &Key) -> bool {
        self.kind.as_ref().is_none_or(|kind| *kind == key.kind)
            && self.under.as_ref().is_none_or(|prefix| key.id.is_under(prefix))
    }
}

/// Why something was not captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Cause {
    /// The identity lacks the right.
    Denied,
    /// The part did not answer.
    Unreachable,
    /// This edition, tier or mode does not have it.
    NotOffered,
    /// The vendor gives no way to read it.
    NotReadable,
    /// It is larger than a record may be.
    TooLarge,
    /// It moved while it was read, every time.
    Torn,
    /// Reading it failed for good.
    Failed,
    /// It was left out on purpose, by a selection.
    Excluded,
}

/// What a preflight, a validation or a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// A right, an endpoint, a resource, a probe.
    pub subject: String,
    /// How it stands.
    pub verdict: Verdict,
    /// For people; no secret.
    pub detail: String,
    /// The change that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<ChangeNo>,
}

impl Finding {
    /// A finding that is about no single change.
    pub fn new(subject: impl Into<String>, verdict: Verdict, detail: impl Into<String>) -> Self {
        Self { subject: subject.into(), verdict, detail: detail.into(), change: None }
    }

    /// The same, about a change.
    #[must_use]
    pub fn about(mut self, change: ChangeNo) -> Self {
        self.change = Some(change);
        self
    }
}

/// How a finding stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Worth knowing; stops nothing.
    Warning,
    /// Stops the operation before its first write.
    Failed,
    /// Could not be found out.
    Unknown,
    /// Was not tried, for the reason given. Says nothing, and stops nothing.
    NotRun,
}
