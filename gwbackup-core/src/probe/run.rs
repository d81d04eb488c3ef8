//! Running probes, and waiting for a gateway that has not taken everything up yet.

use std::time::Duration;

use futures_util::StreamExt as _;

use super::{Caller, Exchange, Probe, shown_length};
use crate::clock::Timestamp;
use crate::context::Context;
use crate::error::{ErrorKind, Result};
use crate::model::{Finding, Verdict};

/// Between two looks at what failed.
const PAUSE: Duration = Duration::from_secs(1);
/// Probes under way at one time.
const AT_ONCE: usize = 4;

/// How probes are run.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Options {
    /// How long a failure may be one that passes: gateways take up what was written after seconds.
    pub patience: Duration,
    /// Whether probes that may disturb others are run.
    pub intrusive: bool,
}

impl Default for Options {
    /// Ten seconds of patience, nothing intrusive.
    fn default() -> Self {
        Self { patience: Duration::from_secs(10), intrusive: false }
    }
}

impl Options {
    /// The same with another patience.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The same, with those that may disturb others.
    #[must_use]
    pub fn intrusive(mut self) -> Self {
        self.intrusive = true;
        self
    }
}

/// Runs the probes and says what came of each, in their order. What failed is tried again, as a
/// whole, until the patience is over; intrusive ones come last and are tried once. A call that
/// cannot be made is a failure. `Cancelled` is the only error; between two calls nothing is held.
pub async fn run(
    cx: &Context,
    caller: &dyn Caller,
    probes: &[Probe],
    options: &Options,
) -> Result<Vec<Finding>> {
    let deadline = later(cx.now(), options.patience);
    let mut found: Vec<Option<Finding>> = probes
        .iter()
        .map(|probe| match probe.why_not() {
            Some(why) => Some(Finding::new(probe.subject(), Verdict::NotRun, why)),
            None if probe.intrusive && !options.intrusive => {
                let why = "it may disturb others, and was not asked for";
                Some(Finding::new(probe.subject(), Verdict::NotRun, why))
            }
            None => None,
        })
        .collect();
    let of = |intrusive: bool, found: &[Option<Finding>]| -> Vec<usize> {
        let open = |n: &usize| found[*n].is_none() && probes[*n].intrusive == intrusive;
        (0..probes.len()).filter(open).collect()
    };
    let mut open = of(false, &found);
    loop {
        let tried: Vec<(usize, Finding)> = futures_util::stream::iter(open.iter().copied())
            .map(|n| async move { (n, attempt(cx, caller, &probes[n]).await) })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        cx.check()?;
        open.clear();
        for (n, finding) in tried {
            if finding.verdict != Verdict::Ok {
                open.push(n);
            }
            found[n] = Some(finding);
        }
        if open.is_empty() || cx.now() >= deadline {
            break;
        }
        tokio::select! {
            () = cx.clock().sleep(PAUSE) => {}
            () = cx.cancellation().cancelled() => cx.check()?,
        }
    }
    for n in of(true, &found) {
        cx.check()?;
        found[n] = Some(attempt(cx, caller, &probes[n]).await);
    }
    Ok(found.into_iter().flatten().collect())
}

fn later(time: Timestamp, by: Duration) -> Timestamp {
    jiff::SignedDuration::try_from(by)
        .ok()
        .and_then(|by| time.checked_add(by).ok())
        .unwrap_or(Timestamp::MAX)
}

async fn attempt(cx: &Context, caller: &dyn Caller, probe: &Probe) -> Finding {
    let began = cx.now();
    let (mut calls, mut last, mut doubt) = (0_u64, 0, None);
    for exchange in probe.exchanges() {
        match until(cx, caller, exchange, &mut calls).await {
            Ok((status, doubtful)) => {
                last = status;
                if doubtful {
                    doubt = Some(status);
                }
            }
            Err(wrong) => {
                let verdict = if probe.critical { Verdict::Failed } else { Verdict::Warning };
                let detail = format!("{}: {wrong}", exchange.request.shown());
                return Finding::new(probe.subject(), verdict, detail);
            }
        }
    }
    if let Some(status) = doubt {
        let detail = format!("as configured, but what lies behind answers {status}");
        return Finding::new(probe.subject(), Verdict::Warning, detail);
    }
    let took = cx.now().duration_since(began).try_into().unwrap_or_default();
    let detail = match calls {
        1 => format!("answered {last} in {}", shown_length(took)),
        _ => format!("{calls} calls, the last answered {last}, in {}", shown_length(took)),
    };
    Finding::new(probe.subject(), Verdict::Ok, detail)
}

/// Calls until the answer is as expected: its status, and whether it is one to look at.
async fn until(
    cx: &Context,
    caller: &dyn Caller,
    exchange: &Exchange,
    calls: &mut u64,
) -> std::result::Result<(u16, bool), String> {
    let mut wrong = String::new();
    for _ in 0..exchange.most {
        let answer = tokio::select! {
            answer = caller.call(cx, &exchange.request) => answer,
            () = cx.cancellation().cancelled() => return Err("cancelled".to_owned()),
        };
        *calls += 1;
        match answer {
            Ok(answer) => match exchange.expect.wrong(&answer) {
                None => return Ok((answer.status, exchange.expect.is_doubtful(&answer))),
                Some(what) => wrong = what,
            },
            Err(e) if e.kind() == ErrorKind::Unavailable => return Err(e.to_string()),
            Err(e) => wrong = e.to_string(),
        }
    }
    Err(match exchange.most {
        1 => wrong,
        most => format!("{most} calls, none as expected: {wrong}"),
    })
}
