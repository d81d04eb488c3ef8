//! Where another service keeps the history of a gateway's configuration.

use std::fmt::{Debug, Display};

use async_trait::async_trait;
use serde::Serialize;

use crate::clock::{Timestamp, millis};
use crate::context::Context;
use crate::error::Result;
use crate::model::{Handles, Kind, Resource};

/// A service that records what becomes of the resources of a gateway, such as AWS Config. It is
/// asked when somebody looks, never during a backup, and nothing of it is stored: such services
/// write minutes after the change, and what they wrote is found by resource and time later on.
///
/// [`Display`] gives the address, without secrets.
#[async_trait]
pub trait HistoryLink: Display + Debug + Send + Sync + 'static {
    /// Whether it can know anything of this kind. Touches no network.
    fn records(&self, kind: &Kind) -> bool;

    /// What was valid then: one answer for each question, in their order. Changes nothing, and may
    /// be dropped at any time.
    ///
    /// What is not recorded, or could not be asked, is [`Linked::Nothing`] and no error. An error
    /// means that nothing is known of any of them: the service does not answer, or refuses this
    /// identity; `Cancelled` when the context was.
    async fn find(&self, cx: &Context, asked: &[Asked]) -> Result<Vec<Linked>>;
}

/// A resource at a moment.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The resource as a backup holds it, secrets masked.
    pub resource: Resource,
    /// The resource that it lies below, where that was in the backup, secrets masked.
    pub parent: Option<Resource>,
    /// The gateway's own names then.
    pub gateway: Handles,
    /// When.
    pub at: Timestamp,
}

/// What the history has for a resource at a moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "link")]
#[non_exhaustive]
pub enum Linked {
    /// It knows the resource.
    Found {
        /// The last one that was captured then, or before.
        #[serde(skip_serializing_if = "Option::is_none")]
        item: Option<HistoryItem>,
        /// The first one that was captured afterwards, if it was as soon as this history may be late:
        /// a change shortly before the moment stands in it.
        #[serde(skip_serializing_if = "Option::is_none")]
        next: Option<HistoryItem>,
    },
    /// It has nothing.
    Nothing {
        /// Why.
        why: Missing,
        /// The same for people.
        detail: String,
    },
}

impl Linked {
    /// Nothing, for this reason.
    pub fn nothing(why: Missing, detail: impl Into<String>) -> Self {
        Self::Nothing { why, detail: detail.into() }
    }
}

/// Why a history has nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Missing {
    /// It records nothing of this kind.
    Kind,
    /// It has never seen this resource, or no longer knows that it did.
    Resource,
    /// It has seen it, but not yet then.
    Moment,
    /// It is switched off.
    Off,
    /// It could not be asked.
    Failed,
}

/// One state of a resource, as a history recorded it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HistoryItem {
    /// What the history calls the resource.
    pub id: String,
    /// What it calls this state: another state has another name.
    pub state: String,
    /// When it was captured.
    #[serde(serialize_with = "millis")]
    pub captured_at: Timestamp,
    /// Whether the resource was there.
    pub presence: Presence,
    /// What the history knows of the events that led to it, such as their ids in a log of calls.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<String>,
}

/// Whether a resource was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// It was.
    Present,
    /// It had been deleted.
    Deleted,
}
