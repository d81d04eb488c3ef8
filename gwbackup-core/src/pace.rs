//! Keeping to a vendor's quota.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::SignedDuration;

use crate::clock::Timestamp;
use crate::context::Context;
use crate::error::Result;
use crate::retry::rest;

/// A token bucket on the context's clock: one turn every so often, and a few at once after a pause.
///
/// Turns are given in the order in which they are asked for. Share one among all who share a quota.
/// All who ask must go by one clock.
#[derive(Debug)]
pub struct Pace {
    every: SignedDuration,
    /// How far ahead of its turn a call may go.
    slack: SignedDuration,
    /// When the next turn is due; `None` before the first.
    next: Mutex<Option<Timestamp>>,
}

impl Pace {
    /// One turn each `every`, and `burst` (at least one) at once after a pause.
    pub fn new(every: Duration, burst: u32) -> Self {
        let every = SignedDuration::try_from(every).unwrap_or(SignedDuration::MAX);
        let more = i32::try_from(burst.saturating_sub(1)).unwrap_or(i32::MAX);
        Self {
            every,
            slack: every.checked_mul(more).unwrap_or(SignedDuration::MAX),
            next: Mutex::default(),
        }
    }

    /// Waits for a turn. `Cancelled` when the context is cancelled meanwhile; the turn is then lost,
    /// as it is when the future is dropped.
    pub async fn turn(&self, cx: &Context) -> Result<()> {
        cx.check()?;
        match self.take(cx.now()) {
            Some(pause) => rest(cx, pause).await,
            None => Ok(()),
        }
    }

    /// Nobody gets a turn for this long: the vendor asked for a pause.
    pub fn hold(&self, cx: &Context, pause: Duration) {
        let until = SignedDuration::try_from(pause).ok().and_then(|p| cx.now().checked_add(p).ok());
        let until = until.and_then(|until| until.checked_add(self.slack).ok());
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        *next = (*next).max(until);
    }

    /// Books the next turn; how long it is until then.
    fn take(&self, now: Timestamp) -> Option<Duration> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let due = next.map_or(now, |next| next.max(now));
        *next = Some(due.checked_add(self.every).unwrap_or(Timestamp::MAX));
        let wait = due.duration_since(now).saturating_sub(self.slack);
        Duration::try_from(wait).ok().filter(|wait| !wait.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_burst_goes_at_once_and_then_one_at_a_time() {
        let pace = Pace::new(Duration::from_secs(2), 3);
        let waits: Vec<_> = (0..5).map(|_| pace.take(at(0))).collect();
        assert_eq!(waits, [None, None, None, Some(secs(2)), Some(secs(4))]);
        // Whoever comes later waits for those before, and a long pause fills the bucket again.
        assert_eq!(pace.take(at(1)), Some(secs(5)));
        let waits: Vec<_> = (0..4).map(|_| pace.take(at(100))).collect();
        assert_eq!(waits, [None, None, None, Some(secs(2))]);
    }

    #[test]
    fn a_pause_that_the_vendor_asks_for_holds_for_all() {
        let pace = Pace::new(Duration::from_secs(1), 5);
        let clock = crate::testing::ManualClock::new(at(0));
        let cx = Context::new().with_clock(std::sync::Arc::new(clock));
        pace.hold(&cx, Duration::from_secs(30));
        assert_eq!((pace.take(at(0)), pace.take(at(0))), (Some(secs(30)), Some(secs(31))));
    }
}
