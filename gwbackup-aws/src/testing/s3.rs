//! A double of S3: one bucket on a port of the loopback.
//!
//! Made from the service's published REST contract: conditional writes, ranges, lists in pages,
//! uploads in parts, versions and delete markers, Object Lock, encryption with KMS, checksums. Every
//! request has to be signed as the contract demands (scope, body's digest, `host` and all `x-amz-`
//! headers among the signed ones); whether the signature is right it cannot know.

mod bucket;
mod locks;
mod request;
mod rights;
mod uploads;
mod wire;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use gwbackup_core::Result;
use gwbackup_core::clock::{Clock, SystemClock};

use super::http::Server;
use super::iam::{Gate, Need};
use super::sessions::Sessions;
use bucket::Bucket;

/// What goes wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum S3Fault {
    /// It is answered with this status and code, and does nothing.
    Error(u16, &'static str),
    /// It does what it should, and its answer is lost.
    LoseAnswer,
}

type Rule = Box<dyn FnMut(&str, &str) -> Option<S3Fault> + Send>;

/// What the requests share.
pub(super) struct Shared {
    bucket: Mutex<Bucket>,
    rule: Mutex<Option<Rule>>,
    calls: Mutex<Vec<String>>,
    gate: Gate,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// A bucket `backups` in `eu-central-1`, served until it is dropped. Needs a tokio runtime.
#[derive(Debug)]
pub struct S3Double {
    shared: Arc<Shared>,
    server: Server,
}

/// What a double of S3 is started with.
#[derive(Debug)]
#[must_use]
pub struct S3DoubleBuilder {
    bucket: Bucket,
}

impl S3DoubleBuilder {
    /// Dates go by this clock.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.bucket.clock = clock;
        self
    }

    /// The bucket keeps versions.
    pub fn versions(mut self) -> Self {
        self.bucket.versioned = true;
        self
    }

    /// The bucket has Object Lock, and so versions.
    pub fn object_lock(mut self) -> Self {
        self.bucket.lockable = true;
        self.versions()
    }

    /// The store takes a demand for encryption and does not follow it, as some emulators do.
    pub fn without_encryption(mut self) -> Self {
        self.bucket.encrypts = false;
        self
    }

    /// Starts to serve.
    pub async fn start(self) -> Result<S3Double> {
        let shared = Arc::new(Shared {
            bucket: Mutex::new(self.bucket),
            rule: Mutex::default(),
            calls: Mutex::default(),
            gate: Gate::default(),
        });
        let own = Arc::clone(&shared);
        let server = Server::start(0, move |head, body| request::answer(&own, head, body)).await?;
        Ok(S3Double { shared, server })
    }
}

impl S3Double {
    /// The name of its bucket.
    pub const BUCKET: &'static str = "backups";
    /// Its region.
    pub const REGION: &'static str = "eu-central-1";

    /// An empty bucket without versions.
    pub fn builder() -> S3DoubleBuilder {
        S3DoubleBuilder { bucket: Bucket::new(Arc::new(SystemClock)) }
    }

    /// Starts what [`builder`](Self::builder) makes.
    pub async fn start() -> Result<Self> {
        Self::builder().start().await
    }

    /// Its address, as `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The bytes of every object that is there, by key.
    pub fn objects(&self) -> BTreeMap<String, Bytes> {
        lock(&self.shared.bucket).objects()
    }

    /// All that is known of the newest version of an object: the headers that it is answered with.
    pub fn headers(&self, key: &str) -> BTreeMap<String, String> {
        lock(&self.shared.bucket).current(key).map(|v| v.headers.clone()).unwrap_or_default()
    }

    /// Puts bytes under a key, past the network: a test's own hand.
    pub fn put(&self, key: &str, bytes: impl Into<Bytes>) {
        lock(&self.shared.bucket).put(key, bytes.into(), BTreeMap::new());
    }

    /// How many versions and delete markers there are.
    pub fn versions(&self) -> usize {
        lock(&self.shared.bucket).versions()
    }

    /// How many uploads were begun and not ended.
    pub fn uploads(&self) -> usize {
        lock(&self.shared.bucket).uploads.len()
    }

    /// Asks `rule` before every request, by method and path with query, what goes wrong with it.
    pub fn faults(&self, rule: impl FnMut(&str, &str) -> Option<S3Fault> + Send + 'static) {
        *lock(&self.shared.rule) = Some(Box::new(rule));
    }

    /// From now on nobody is let in but with these.
    pub fn admit(&self, sessions: &Sessions) {
        self.shared.gate.admit(sessions);
    }

    /// From now on `guard` decides which rights there are: a request that needs another one is
    /// denied. Replaces the guard before.
    pub fn guard(&self, guard: impl Fn(&Need) -> bool + Send + 'static) {
        self.shared.gate.guard(guard);
    }

    /// The rights that the requests so far have needed, oldest first.
    pub fn needs(&self) -> Vec<Need> {
        self.shared.gate.needs()
    }

    /// The requests so far, oldest first, as `METHOD PATH?QUERY`.
    pub fn calls(&self) -> Vec<String> {
        lock(&self.shared.calls).clone()
    }
}
