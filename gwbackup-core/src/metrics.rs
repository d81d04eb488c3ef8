//! What operations measure, as plain data, and who takes it.
//!
//! A repository that was given a [`MetricsRecorder`] tells it how each operation ended: backup,
//! verification, restore, drill, audit, and the overview. Names, units and labels are a closed table,
//! [`Metric`]; no label holds an id, a document, an error's text or the name of a user. What nobody
//! measured is left out, so that no series shows a guess.
//!
//! A gauge of a last success is moved by successes alone: a failing run cannot hide how old the last
//! good one is. Times are absolute, since an age would be wrong by the time somebody reads it.

mod names;

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::context::Context;
use crate::error::{Error, Result};

pub use names::{Label, Metric, Sort, Unit};

/// Characters of a label's value.
const LONGEST: usize = 250;

/// One measured value.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    metric: Metric,
    value: f64,
    labels: BTreeMap<Label, String>,
}

impl Sample {
    /// A value without labels, in the metric's unit; see [`Sort`] for what it says.
    pub fn new(metric: Metric, value: f64) -> Self {
        Self { metric, value, labels: BTreeMap::new() }
    }

    /// The same with a label. What is blank is no label; control characters become U+FFFD, and what
    /// goes beyond 250 characters is cut off.
    #[must_use]
    pub fn with(mut self, label: Label, value: &str) -> Self {
        if value.trim().is_empty() {
            self.labels.remove(&label);
            return self;
        }
        let shown = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
        self.labels.insert(label, value.chars().take(LONGEST).map(shown).collect());
        self
    }

    /// What was measured.
    pub fn metric(&self) -> Metric {
        self.metric
    }

    /// The value.
    pub fn value(&self) -> f64 {
        self.value
    }

    /// Of what, in the order of [`Label`]. Each value has 1 to 250 characters, none of them a
    /// control character.
    pub fn labels(&self) -> &BTreeMap<Label, String> {
        &self.labels
    }
}

/// `Invalid`, naming the metric, where a value is no finite number: no output knows what to do with
/// one.
pub fn check(samples: &[Sample]) -> Result<()> {
    match samples.iter().find(|sample| !sample.value.is_finite()) {
        Some(sample) => {
            Err(Error::invalid("a measured value is no finite number").on(sample.metric.name()))
        }
        None => Ok(()),
    }
}

/// Takes samples to where somebody looks at them. [`Display`](fmt::Display) names the place, without
/// secrets.
///
/// Expected kinds of error: `Invalid`, `Denied`, `Unauthenticated`, `Throttled`, `Unavailable`,
/// `Cancelled`, `Other`.
#[async_trait]
pub trait MetricsRecorder: fmt::Display + fmt::Debug + Send + Sync + 'static {
    /// Hands a batch on, in its order; everything in it was measured at `at`.
    ///
    /// On return all of it is where it should be, or an error says that a part may not be. An empty
    /// batch is no work. `Invalid` before anything was sent for a value that is no finite number
    /// ([`check`]), and `Cancelled` for a context that was cancelled before. After an error or a
    /// dropped future a part of the batch may have arrived; whoever sends it again may count twice.
    async fn record(&self, cx: &Context, at: Timestamp, samples: &[Sample]) -> Result<()>;
}
