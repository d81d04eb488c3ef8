//! What travels through every call.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, SystemClock, Timestamp};
use crate::error::{Error, ErrorKind, Result};
use crate::observe::{Observer, Progress, Silent};

/// Who runs this, by which clock, may it go on, who listens. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Context {
    clock: Arc<dyn Clock>,
    observer: Arc<dyn Observer>,
    cancel: CancellationToken,
    actor: Arc<str>,
    reason: Option<Arc<str>>,
    claims: Arc<BTreeMap<String, String>>,
}

impl Default for Context {
    fn default() -> Self {
        Self::new()
    }
}

impl Context {
    /// The machine's clock, nobody listening, never cancelled, actor `unknown`.
    pub fn new() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            observer: Arc::new(Silent),
            cancel: CancellationToken::new(),
            actor: "unknown".into(),
            reason: None,
            claims: Arc::default(),
        }
    }

    /// The same with another clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The same with a listener.
    #[must_use]
    pub fn with_observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = observer;
        self
    }

    /// The same, ended by `token`: every operation stops at its next safe point.
    #[must_use]
    pub fn with_cancellation(mut self, token: CancellationToken) -> Self {
        self.cancel = token;
        self
    }

    /// The same, ended by nothing: for writing down what has already happened.
    #[must_use]
    pub fn uncancelled(&self) -> Self {
        self.clone().with_cancellation(CancellationToken::new())
    }

    /// Who acts; written into every event.
    #[must_use]
    pub fn with_actor(mut self, actor: impl Into<Arc<str>>) -> Self {
        self.actor = actor.into();
        self
    }

    /// Why; written into every event.
    #[must_use]
    pub fn with_reason(mut self, reason: impl Into<Arc<str>>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// The same with something that vouches for who acts, such as how they proved who they are; the
    /// caller answers for its truth.
    #[must_use]
    pub fn with_claim(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.claims).insert(name.into(), value.into());
        self
    }

    /// The clock.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The present moment by the context's clock.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Who acts.
    pub fn actor(&self) -> &str {
        &self.actor
    }

    /// Why.
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// What vouches for who acts.
    pub fn claims(&self) -> &BTreeMap<String, String> {
        &self.claims
    }

    /// The token that ends this context.
    pub fn cancellation(&self) -> &CancellationToken {
        &self.cancel
    }

    /// [`ErrorKind::Cancelled`] once the context was cancelled.
    pub fn check(&self) -> Result<()> {
        if self.cancel.is_cancelled() {
            return Err(cancelled());
        }
        Ok(())
    }

    /// What `call` answers, unless the context is cancelled first: it is dropped then, and the answer
    /// is [`ErrorKind::Cancelled`]. A context that was cancelled before does not begin the call.
    pub async fn unless_cancelled<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        self.cancel.run_until_cancelled(call).await.unwrap_or_else(|| Err(cancelled()))
    }

    /// Tells the listener.
    pub fn progress(&self, phase: &'static str, done: u64, total: Option<u64>) {
        self.observer.progress(&Progress::new(phase, done, total));
    }
}

fn cancelled() -> Error {
    Error::new(ErrorKind::Cancelled, "the run was cancelled")
}
