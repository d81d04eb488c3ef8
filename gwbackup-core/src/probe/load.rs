//! A short load: requests at a steady rate, whatever the answers take.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use jiff::SignedDuration;
use serde::Serialize;

use super::{Caller, Expect, Request};
use crate::clock::Timestamp;
use crate::context::Context;
use crate::error::Result;
use crate::model::{Finding, Verdict};

/// Calls under way at one time; beyond that the load is not the one that was asked for.
const MOST: usize = 1024;

/// What is sent, how often, and what it must keep to.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Load {
    /// What is sent.
    pub request: Request,
    /// What counts as a good answer.
    pub expect: Expect,
    /// Requests in a second; at least 1.
    pub rate: u32,
    /// How long.
    pub duration: Duration,
    /// Most bad answers, in percent.
    pub most_errors: u8,
    /// What 95 of 100 answers must not exceed.
    pub p95: Option<Duration>,
}

/// What came of a load. Latencies count from the moment at which a request was due.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LoadReport {
    /// Requests.
    pub sent: u64,
    /// Those without a good answer.
    pub errors: u64,
    /// Half of the answers took no longer.
    pub p50_ms: u64,
    /// 95 of 100.
    pub p95_ms: u64,
    /// 99 of 100.
    pub p99_ms: u64,
    /// The slowest.
    pub max_ms: u64,
}

impl Load {
    /// `GET`-like load of a request: no bad answer is borne, and no latency is demanded.
    pub fn new(request: Request, rate: u32, duration: Duration) -> Self {
        let expect = Expect { not_status: vec![(400, 599)], ..Expect::default() };
        Self { request, expect, rate, duration, most_errors: 0, p95: None }
    }

    /// Sends it all and waits for the answers. `Cancelled` is the only error.
    pub async fn run(&self, cx: &Context, caller: &dyn Caller) -> Result<LoadReport> {
        let rate = u128::from(self.rate.max(1));
        let total = self.duration.as_nanos() * rate / 1_000_000_000;
        let began = cx.now();
        let due = |n: u128| {
            let nanos = i64::try_from(n * 1_000_000_000 / rate).unwrap_or(i64::MAX);
            began.checked_add(SignedDuration::from_nanos(nanos)).unwrap_or(Timestamp::MAX)
        };
        let mut open = FuturesUnordered::new();
        let (mut taken, mut errors) = (Vec::new(), 0);
        let mut settle = |(good, took): (bool, u64)| {
            errors += u64::from(!good);
            taken.push(took);
        };
        for n in 0..total {
            let at = due(n);
            let mut wait =
                cx.clock().sleep(at.duration_since(cx.now()).try_into().unwrap_or_default());
            loop {
                tokio::select! {
                    biased;
                    () = cx.cancellation().cancelled() => return Err(cancelled(cx)),
                    Some(ended) = open.next() => settle(ended),
                    () = &mut wait, if open.len() < MOST => break,
                }
            }
            open.push(self.one(cx, caller, at));
        }
        while let Some(ended) = open.next().await {
            settle(ended);
        }
        cx.check()?;
        taken.sort_unstable();
        // The nearest rank.
        let rank = |percent: usize| {
            let at = (taken.len() * percent).div_ceil(100).saturating_sub(1);
            taken.get(at).copied().unwrap_or_default()
        };
        let (sent, max_ms) = (taken.len() as u64, taken.last().copied().unwrap_or_default());
        let (p50_ms, p95_ms, p99_ms) = (rank(50), rank(95), rank(99));
        Ok(LoadReport { sent, errors, p50_ms, p95_ms, p99_ms, max_ms })
    }

    async fn one(&self, cx: &Context, caller: &dyn Caller, due: Timestamp) -> (bool, u64) {
        let answer = caller.call(cx, &self.request).await;
        let took = cx.now().duration_since(due).as_millis().max(0);
        let good = answer.is_ok_and(|answer| self.expect.wrong(&answer).is_none());
        (good, u64::try_from(took).unwrap_or(u64::MAX))
    }

    /// What a report makes of it.
    pub fn judge(&self, report: &LoadReport) -> Finding {
        let most = report.sent * u64::from(self.most_errors) / 100;
        let limit =
            self.p95.map_or(u64::MAX, |p95| u64::try_from(p95.as_millis()).unwrap_or(u64::MAX));
        let good = report.errors <= most && report.p95_ms <= limit && report.sent > 0;
        let verdict = if good { Verdict::Ok } else { Verdict::Failed };
        let detail = format!(
            "{} requests, {} bad; p50 {} ms, p95 {} ms, p99 {} ms, slowest {} ms",
            report.sent, report.errors, report.p50_ms, report.p95_ms, report.p99_ms, report.max_ms
        );
        let name = format!(
            "load: {}, {}/s for {} s",
            self.request.shown(),
            self.rate,
            self.duration.as_secs()
        );
        Finding::new(name, verdict, detail)
    }
}

fn cancelled(cx: &Context) -> crate::error::Error {
    let kind = crate::error::ErrorKind::Cancelled;
    cx.check().err().unwrap_or_else(|| crate::error::Error::new(kind, "the run was cancelled"))
}
