//! A clock that moves only when a test says so.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::SignedDuration;
use tokio::sync::watch;

use crate::clock::{Clock, Timestamp};

/// A clock that stands still until [`advance`](Self::advance) moves it; clones show one time.
///
/// An [`auto`](Self::auto) clock moves by itself whenever somebody sleeps on it, so that waits cost
/// no time; of several sleepers it serves each at once, so use it where one task waits.
#[derive(Debug, Clone)]
pub struct ManualClock {
    now: Arc<watch::Sender<Timestamp>>,
    auto: bool,
}

impl ManualClock {
    /// A clock that shows `start`.
    pub fn new(start: Timestamp) -> Self {
        Self { now: Arc::new(watch::Sender::new(start)), auto: false }
    }

    /// A clock that shows `start`, and on which sleeping takes no time: it moves the clock.
    pub fn auto(start: Timestamp) -> Self {
        Self { auto: true, ..Self::new(start) }
    }

    /// Moves the clock and wakes whoever has slept long enough. Stops at the last moment that a
    /// [`Timestamp`] can name.
    pub fn advance(&self, duration: Duration) {
        self.now.send_modify(|now| *now = later(*now, duration));
    }

    /// Sets the clock, backwards too, as an administrator might.
    pub fn set(&self, time: Timestamp) {
        self.now.send_replace(time);
    }
}

fn later(time: Timestamp, duration: Duration) -> Timestamp {
    SignedDuration::try_from(duration)
        .ok()
        .and_then(|duration| time.checked_add(duration).ok())
        .unwrap_or(Timestamp::MAX)
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.now.borrow()
    }

    async fn sleep(&self, duration: Duration) {
        let mut moved = self.now.subscribe();
        let deadline = later(*moved.borrow(), duration);
        if self.auto {
            self.now.send_modify(|now| *now = deadline.max(*now));
            // Others get their turn, as with a real sleep.
            tokio::task::yield_now().await;
        } else {
            // The sender lives as long as `self`, so waiting cannot fail.
            drop(moved.wait_for(|now| *now >= deadline).await);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn start() -> Timestamp {
        "2026-01-31T23:59:59Z".parse().unwrap()
    }

    #[tokio::test]
    async fn a_sleeper_wakes_when_its_time_has_come_and_not_before() {
        let clock = ManualClock::new(start());
        let other = clock.clone();
        let mut sleep = other.sleep(Duration::from_secs(10));
        assert!((&mut sleep).now_or_never().is_none());
        clock.advance(Duration::from_secs(9));
        assert!((&mut sleep).now_or_never().is_none());
        clock.advance(Duration::from_secs(1));
        assert!((&mut sleep).now_or_never().is_some());
        assert_eq!(clock.now().to_string(), "2026-02-01T00:00:09Z");
    }

    #[tokio::test]
    async fn an_automatic_clock_moves_by_what_was_slept() {
        let clock = ManualClock::auto(start());
        clock.sleep(Duration::from_hours(1)).await;
        assert_eq!(clock.now().to_string(), "2026-02-01T00:59:59Z");
        clock.sleep(Duration::MAX).await;
        assert_eq!(clock.now(), Timestamp::MAX);
    }
}
