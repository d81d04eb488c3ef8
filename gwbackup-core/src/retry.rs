//! Whether, how often and after what pause a failed call is made again.

use std::time::Duration;

use crate::context::Context;
use crate::error::{Error, ErrorKind, Result, Retry};

/// Attempts at a call whose failures may pass.
const ATTEMPTS: u32 = 6;
/// The longest pause of our own choice.
const LONGEST: Duration = Duration::from_mins(1);
/// The shortest pause that the other side may ask for.
const SHORTEST: Duration = Duration::from_millis(100);
/// How long in all the other side may ask for pauses.
const PATIENCE: Duration = Duration::from_hours(1);

/// The pauses of one call: 1 s, 2 s, 4 s ... up to a minute, or what the other side asked for.
///
/// A failure that may pass ends the call at the sixth attempt; being throttled does so only after an
/// hour of pauses.
#[derive(Debug, Default)]
pub struct Pauses {
    attempts: u32,
    waited: Duration,
}

impl Pauses {
    /// None so far.
    pub fn new() -> Self {
        Self::default()
    }

    /// How long to wait after `error`; `None` when the call has failed for good.
    pub fn after(&mut self, error: &Error) -> Option<Duration> {
        let patient = error.kind() == ErrorKind::Throttled && self.waited < PATIENCE;
        if error.retry() == Retry::Never || (self.attempts + 1 >= ATTEMPTS && !patient) {
            return None;
        }
        let pause = match error.retry() {
            Retry::After(asked) => asked.max(SHORTEST),
            Retry::Later | Retry::Never => {
                Duration::from_secs(1 << self.attempts.min(6)).min(LONGEST)
            }
        };
        self.attempts += 1;
        self.waited += pause;
        Some(pause)
    }
}

/// Waits on the context's clock; [`ErrorKind::Cancelled`] if it is cancelled meanwhile.
pub async fn rest(cx: &Context, pause: Duration) -> Result<()> {
    tokio::select! {
        () = cx.clock().sleep(pause) => Ok(()),
        () = cx.cancellation().cancelled() => cx.check(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passing_fault_is_tried_six_times() {
        let fault = Error::new(ErrorKind::Unavailable, "away");
        let mut pauses = Pauses::new();
        let waits: Vec<_> = std::iter::from_fn(|| pauses.after(&fault)).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16].map(Duration::from_secs));
    }

    #[test]
    fn a_lasting_fault_is_not_tried_again() {
        assert_eq!(Pauses::new().after(&Error::invalid("no")), None);
    }

    #[test]
    fn a_throttling_vendor_is_borne_for_an_hour() {
        let wait = Duration::from_mins(5);
        let busy = Error::new(ErrorKind::Throttled, "busy").with_retry(Retry::After(wait));
        let mut pauses = Pauses::new();
        assert_eq!(std::iter::from_fn(|| pauses.after(&busy)).sum::<Duration>(), PATIENCE);
    }
}
