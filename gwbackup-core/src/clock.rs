//! Time, as a value that is passed in: nothing in the library reads a clock by itself.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
pub use jiff::Timestamp;
use serde::Serializer;

/// The wall clock of a run.
#[async_trait]
pub trait Clock: Debug + Send + Sync + 'static {
    /// The present moment. May step backwards when the machine's clock is set.
    fn now(&self) -> Timestamp;

    /// Returns once `duration` has passed on this clock. Dropping the future cancels the wait.
    async fn sleep(&self, duration: Duration);
}

/// The machine's own clock. [`Clock::sleep`] needs a tokio runtime with time enabled.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that sleeps on the machine's clock"
    )]
    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// `time` as every stored document writes it: RFC 3339, UTC, milliseconds.
pub fn rfc3339(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// [`rfc3339`], for members of what is serialized.
pub(crate) fn millis<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*time))
}
