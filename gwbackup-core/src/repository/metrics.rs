//! Telling the recorders how an operation ended.

mod samples;

use std::fmt::Write as _;
use std::time::Duration;

use futures_util::future::join_all;

use super::Repository;
use crate::clock::Timestamp;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::metrics::{Label, Metric, MetricsRecorder, Sample};

pub(super) use samples::{Named, Rehearsed, audit, backup, drill, restore, status, verify};

/// How long an operation waits for its recorders, once it is over.
const PATIENCE: Duration = Duration::from_secs(30);

impl Repository {
    /// Tells every recorder; what could not be told, for people. What happened has happened: a
    /// cancelled context is no reason to keep it back, and a recorder that does not answer is left
    /// after half a minute.
    pub(super) async fn measured(&self, cx: &Context, mut samples: Vec<Sample>) -> Vec<String> {
        if self.recorders.is_empty() || samples.is_empty() {
            return Vec::new();
        }
        let version = env!("CARGO_PKG_VERSION");
        samples.push(Sample::new(Metric::BuildInfo, 1.0).with(Label::Version, version));
        let (cx, at, samples) = (cx.uncancelled(), cx.now(), samples.as_slice());
        let told = self.recorders.iter().map(|recorder| tell(recorder.as_ref(), &cx, at, samples));
        join_all(told).await.into_iter().flatten().collect()
    }

    /// The same where no report takes warnings.
    pub(super) async fn measured_aside(&self, cx: &Context, samples: Vec<Sample>) {
        for warning in self.measured(cx, samples).await {
            tracing::warn!("{warning}");
        }
    }
}

async fn tell(
    recorder: &dyn MetricsRecorder,
    cx: &Context,
    at: Timestamp,
    samples: &[Sample],
) -> Option<String> {
    let told: Result<()> = tokio::select! {
        biased;
        told = recorder.record(cx, at, samples) => told,
        () = cx.clock().sleep(PATIENCE) => {
            Err(Error::new(ErrorKind::Unavailable, "it did not answer in time"))
        }
    };
    let error = told.err()?;
    let mut text = format!("{recorder}: the metrics were not recorded: {error}");
    if let Some(help) = error.advice() {
        let _ = write!(text, " ({help})");
    }
    Some(text)
}
