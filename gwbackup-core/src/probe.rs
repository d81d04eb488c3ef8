//! Probes: requests to a gateway's data plane whose answers prove that what was restored works.
//!
//! A provider makes them from a configuration ([`Target::probes`](crate::target::Target::probes));
//! a user adds some from a [`Scenario`]. They go through a [`Caller`]: [`HttpCaller`] with the
//! feature `http`, or any other. [`run`] says what came of each as a [`Finding`].
//!
//! ```
//! use gwbackup_core::probe::{Expect, Probe, Request, Topic};
//!
//! let request = Request::get("/orders").host("api.example").secret("apikey", "s3cret");
//! assert!(!format!("{request:?}").contains("s3cret"));
//! let probe = Probe::new("a known key opens", Topic::Authentication)
//!     .call(request, Expect::status(200));
//! assert!(probe.why_not().is_none());
//! ```

#[cfg(feature = "http")]
mod http;
mod load;
mod run;
mod scenario;

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::context::Context;
use crate::error::Result;
use crate::model::Key;

#[cfg(feature = "http")]
pub use http::{HttpCaller, HttpOptions};
pub use load::{Load, LoadReport};
pub use run::{Options, run};
pub use scenario::Scenario;

/// Sends a request of a probe, once: no retry, no redirect followed.
#[async_trait]
pub trait Caller: fmt::Debug + Send + Sync + 'static {
    /// What the gateway answers, whatever its status. `Unavailable` where nothing answers,
    /// `Invalid` for a request that this caller cannot make; neither holds a header's value.
    /// Cancel safe; a request that was sent may have arrived.
    async fn call(&self, cx: &Context, request: &Request) -> Result<Response>;
}

/// What a probe looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Topic {
    /// A request gets where it should.
    Routing,
    /// Who is let in.
    Authentication,
    /// What somebody may do who was let in.
    Authorisation,
    /// How often.
    RateLimit,
    /// How much at once.
    RequestSize,
    /// From which addresses.
    Address,
    /// From which web pages.
    Cors,
    /// What is answered from memory.
    Caching,
    /// Other ways of the gateway with a request.
    Transformation,
    /// What a user wants to be sure of.
    Custom,
}

/// One thing to try, and what must come of it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Probe {
    /// What it shows, for people.
    pub name: String,
    /// What it looks at.
    pub topic: Topic,
    /// The resources that it proves.
    pub proves: Vec<Key>,
    /// Whether its failure forbids going live; else it is a warning.
    pub critical: bool,
    /// It may disturb others (uses up a limit, reaches what lies behind by a method that writes):
    /// run only on demand.
    pub intrusive: bool,
    does: Does,
}

/// What a probe does.
#[derive(Debug, Clone)]
enum Does {
    Calls(Vec<Exchange>),
    Nothing(String),
}

/// A request, what must be answered, and how often it may be made until that is answered.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    pub(crate) request: Request,
    pub(crate) expect: Expect,
    pub(crate) most: u32,
}

impl Probe {
    /// A critical probe that makes no call yet.
    pub fn new(name: impl Into<String>, topic: Topic) -> Self {
        Self {
            name: name.into(),
            topic,
            proves: Vec::new(),
            critical: true,
            intrusive: false,
            does: Does::Calls(Vec::new()),
        }
    }

    /// Adds a resource that it proves.
    #[must_use]
    pub fn proves(mut self, key: &Key) -> Self {
        self.proves.push(key.clone());
        self
    }

    /// Its failure is a warning.
    #[must_use]
    pub fn uncritical(mut self) -> Self {
        self.critical = false;
        self
    }

    /// It is run only on demand.
    #[must_use]
    pub fn intrusive(mut self, is: bool) -> Self {
        self.intrusive |= is;
        self
    }

    /// Adds a call, after those before it.
    #[must_use]
    pub fn call(self, request: Request, expect: Expect) -> Self {
        self.call_until(request, expect, 1)
    }

    /// Adds a call that is made until the answer is as expected, at most `most` times.
    #[must_use]
    pub fn call_until(mut self, request: Request, expect: Expect, most: u32) -> Self {
        if let Does::Calls(calls) = &mut self.does {
            calls.push(Exchange { request, expect, most: most.max(1) });
        }
        self
    }

    /// It cannot be run, for this reason (no secret in it).
    #[must_use]
    pub fn cannot_run(mut self, why: impl Into<String>) -> Self {
        self.does = Does::Nothing(why.into());
        self
    }

    /// Why it cannot be run, if it cannot.
    pub fn why_not(&self) -> Option<&str> {
        match &self.does {
            Does::Calls(_) => None,
            Does::Nothing(why) => Some(why),
        }
    }

    /// How many calls it makes at most.
    pub fn most_calls(&self) -> u64 {
        self.exchanges().iter().map(|exchange| u64::from(exchange.most)).sum()
    }

    pub(crate) fn exchanges(&self) -> &[Exchange] {
        match &self.does {
            Does::Calls(calls) => calls,
            Does::Nothing(_) => &[],
        }
    }

    /// How findings name it: what it shows, and the resources.
    pub(crate) fn subject(&self) -> String {
        let keys: Vec<String> = self.proves.iter().map(Key::to_string).collect();
        if keys.is_empty() {
            self.name.clone()
        } else {
            format!("{} [{}]", self.name, keys.join(", "))
        }
    }
}

/// How a request travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// In clear.
    #[default]
    Http,
    /// By TLS, with the host as server name.
    Https,
}

/// A request. `Debug` shows the names of headers and no value, and no query.
#[derive(Clone)]
#[non_exhaustive]
pub struct Request {
    /// `GET`, `POST`, ...
    pub method: String,
    /// How it travels.
    pub scheme: Scheme,
    /// The host that it asks for; by default the address that is called.
    pub host: Option<String>,
    /// Path and query.
    pub path: String,
    /// Headers by name. Any of them may hold a secret.
    pub headers: Vec<(String, String)>,
    /// How many bytes of body are sent, all zero; none means no body.
    pub body: Option<u64>,
}

impl Request {
    /// A request of this method for path and query.
    pub fn new(method: impl Into<String>, path: impl Into<String>) -> Self {
        Self {
            method: method.into(),
            scheme: Scheme::Http,
            host: None,
            path: path.into(),
            headers: Vec::new(),
            body: None,
        }
    }

    /// A `GET`.
    pub fn get(path: impl Into<String>) -> Self {
        Self::new("GET", path)
    }

    /// The same, for this host.
    #[must_use]
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.host = Some(host.into());
        self
    }

    /// The same with a header that may hold a secret.
    #[must_use]
    pub fn secret(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// How people name it: without query and headers.
    pub(crate) fn shown(&self) -> String {
        let path = self.path.split('?').next().unwrap_or_default();
        format!("{} {}{path}", self.method, self.host.as_deref().unwrap_or_default())
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Request")
            .field("request", &self.shown())
            .field("headers", &names)
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}

/// What a gateway answered. `Debug` shows no value.
#[derive(Clone)]
#[non_exhaustive]
pub struct Response {
    /// The status.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The beginning of the body.
    pub body: Vec<u8>,
}

impl Response {
    /// An answer.
    pub fn new(status: u16, headers: Vec<(String, String)>, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers, body: body.into() }
    }

    /// The first header of this name, written in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let named = |(n, _): &&(String, String)| n.eq_ignore_ascii_case(name);
        self.headers.iter().find(named).map(|(_, value)| value.as_str())
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response").field("status", &self.status).finish_non_exhaustive()
    }
}

/// What an answer must be.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Expect {
    /// One of these (first and last of a range); any if empty.
    pub status: Vec<(u16, u16)>,
    /// None of these.
    pub not_status: Vec<(u16, u16)>,
    /// As it should be, but worth a look: what lies behind does not answer, for instance.
    pub doubtful: Vec<(u16, u16)>,
    /// Headers that must be there, with this value where one is given.
    pub headers: Vec<(String, Option<String>)>,
    /// Text that the body must hold.
    pub body: Option<String>,
    /// Text that the body must not hold.
    pub not_body: Option<String>,
}

impl Expect {
    /// Exactly this status.
    pub fn status(status: u16) -> Self {
        Self { status: vec![(status, status)], ..Self::default() }
    }

    /// Anything but these.
    pub fn not(status: &[u16]) -> Self {
        Self { not_status: status.iter().map(|s| (*s, *s)).collect(), ..Self::default() }
    }

    /// The same, and this header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: Option<String>) -> Self {
        self.headers.push((name.into(), value));
        self
    }

    /// The same, and nothing like this in the body.
    #[must_use]
    pub fn without(mut self, text: impl Into<String>) -> Self {
        self.not_body = Some(text.into());
        self
    }

    /// The same, and a look where one of these (first and last) comes.
    #[must_use]
    pub fn doubtful(mut self, first: u16, last: u16) -> Self {
        self.doubtful.push((first, last));
        self
    }

    /// What is wrong with an answer; nothing if it is as expected.
    fn wrong(&self, answer: &Response) -> Option<String> {
        let within = |ranges: &[(u16, u16)]| {
            ranges.iter().any(|(first, last)| (*first..=*last).contains(&answer.status))
        };
        if !self.status.is_empty() && !within(&self.status) || within(&self.not_status) {
            return Some(format!("answered {}, expected was {}", answer.status, self.wanted()));
        }
        for (name, value) in &self.headers {
            match (answer.header(name), value) {
                (None, _) => {
                    return Some(format!("answered {} without the header {name}", answer.status));
                }
                (Some(is), Some(wanted)) if is != wanted => {
                    return Some(format!("the header {name} is not {wanted}"));
                }
                _ => {}
            }
        }
        let text = String::from_utf8_lossy(&answer.body);
        if let Some(part) = self.body.as_ref().filter(|part| !text.contains(part.as_str())) {
            return Some(format!("answered {} without {part:?} in the body", answer.status));
        }
        if let Some(part) = self.not_body.as_ref().filter(|part| text.contains(part.as_str())) {
            return Some(format!("answered {}: {part}", answer.status));
        }
        None
    }

    fn is_doubtful(&self, answer: &Response) -> bool {
        self.doubtful.iter().any(|(first, last)| (*first..=*last).contains(&answer.status))
    }

    fn wanted(&self) -> String {
        let list = |ranges: &[(u16, u16)]| {
            let texts: Vec<String> = ranges
                .iter()
                .map(|(a, b)| if a == b { a.to_string() } else { format!("{a} to {b}") })
                .collect();
            texts.join(" or ")
        };
        match (self.status.is_empty(), self.not_status.is_empty()) {
            (false, _) => list(&self.status),
            (true, false) => format!("anything but {}", list(&self.not_status)),
            (true, true) => "any answer".to_owned(),
        }
    }
}

/// What whoever makes probes from a configuration is told.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Ask {
    /// The moment for which tokens and signatures are made.
    pub at: Timestamp,
    /// Whether the data plane can be called in clear.
    pub http: bool,
    /// Whether it can be called by TLS.
    pub https: bool,
    /// The address by which the gateway knows the caller, where that is known.
    pub from: Option<IpAddr>,
    /// How many probes are made; those beyond are counted in one that is not run.
    pub most: usize,
    /// The most calls that one probe may make.
    pub most_calls: u32,
    /// The largest body that one may send, in bytes.
    pub most_bytes: u64,
}

impl Ask {
    /// For this moment, in clear only: at most 500 probes, 100 calls and 16 MiB each.
    pub fn new(at: Timestamp) -> Self {
        Self {
            at,
            http: true,
            https: false,
            from: None,
            most: 500,
            most_calls: 100,
            most_bytes: 16 << 20,
        }
    }
}

/// How long an answer took, as people say it.
fn shown_length(length: Duration) -> String {
    format!("{} ms", length.as_millis())
}
