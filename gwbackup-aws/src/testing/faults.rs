//! What goes wrong, request by request.

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
    /// The operation's name in the service's model; empty where it has none.
    pub operation: &'a str,
}

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The request has no effect and gets this status and name of an error.
    Error(u16, &'static str),
    /// The request has its effect, and its answer is lost: the connection ends without one.
    LoseAnswer,
    /// The connection ends before the request has any effect.
    Disconnect,
}

impl Fault {
    /// The identity may not do it.
    pub const DENIED: Self = Self::Error(403, "AccessDeniedException");
    /// The identity's credentials have expired.
    pub const EXPIRED: Self = Self::Error(403, "ExpiredTokenException");
    /// Too many requests.
    pub const BUSY: Self = Self::Error(429, "TooManyRequestsException");
    /// A limit of the account is reached.
    pub const LIMIT: Self = Self::Error(429, "LimitExceededException");
}

pub(super) type Rule = Box<dyn FnMut(&Asked<'_>) -> Option<Fault> + Send>;
