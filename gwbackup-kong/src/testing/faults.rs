//! What goes wrong, request by request, and what happens between requests.

use std::fmt;
use std::time::Duration;

use serde_json::Value;

use super::reply::Reply;

/// A request that the double is about to answer.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Asked<'a> {
    /// Its number, from 1, over all requests.
    pub number: u64,
    /// Its number, from 1, among those that write; 0 for one that reads.
    pub write: u64,
    /// `GET`, `PUT`, ...
    pub method: &'a str,
    /// The path as sent, without the query.
    pub path: &'a str,
}

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The request has no effect and gets this status, with the body that Kong, or the proxy in
    /// front of it, sends with it: 413 is HTML, 429 asks to wait one second.
    Status(u16),
    /// The request has no effect and gets this status with `Retry-After`, in seconds.
    RetryAfter(u16, u64),
    /// The request has its effect, and its answer is lost: the connection ends without one.
    LoseAnswer,
    /// The connection ends before the request has any effect.
    Disconnect,
    /// The node goes away for good: this request has no effect and no answer, and connections are
    /// refused from now on.
    GoAway,
}

impl Fault {
    pub(super) fn reply(self) -> Option<Reply> {
        let (status, wait) = match self {
            Self::Status(429) => (429, Some(1)),
            Self::Status(status) => (status, None),
            Self::RetryAfter(status, wait) => (status, Some(wait)),
            Self::LoseAnswer | Self::Disconnect | Self::GoAway => return None,
        };
        let mut reply = match status {
            401 => Reply::message(401, "Unauthorized"),
            403 => Reply::message(403, "You do not have permissions to read this resource"),
            404 => Reply::not_found(),
            405 => Reply::method_not_allowed(),
            413 => Reply::too_large(),
            429 => Reply::message(429, "API rate limit exceeded"),
            500 => Reply::message(500, "An unexpected error occurred"),
            503 => Reply::message(503, "Service unavailable"),
            other => Reply::message(other, "A fault that a test set"),
        };
        reply.retry_after = wait;
        Some(reply)
    }
}

/// A change that somebody else makes, through the same API.
#[derive(Clone)]
pub struct Edit {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) body: Value,
}

impl Edit {
    /// A request that another client makes; `Value::Null` is no body.
    pub fn new(method: impl Into<String>, path: impl Into<String>, body: Value) -> Self {
        Self { method: method.into(), path: path.into(), body }
    }
}

/// Bodies may hold secrets.
impl fmt::Debug for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Edit({} {})", self.method, self.path)
    }
}

pub(super) type FaultRule = Box<dyn FnMut(&Asked<'_>) -> Option<Fault> + Send>;
pub(super) type EditRule = Box<dyn FnMut(&Asked<'_>) -> Vec<Edit> + Send>;

/// What a test wants to happen.
#[derive(Default)]
pub(super) struct Trouble {
    pub(super) faults: Option<FaultRule>,
    pub(super) edits: Option<EditRule>,
    pub(super) page_delay: Duration,
    pub(super) write_delay: Duration,
}

impl fmt::Debug for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trouble").finish_non_exhaustive()
    }
}
