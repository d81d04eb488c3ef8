//! A recorder that keeps what it is told.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::metrics::{MetricsRecorder, Sample, check};

/// How a [`MemoryRecorder`] behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Mood {
    /// It keeps every batch.
    #[default]
    Willing,
    /// Every call fails with `Unavailable`.
    Away,
    /// No call ends.
    Silent,
}

#[derive(Debug, Default)]
struct Kept {
    mood: Mood,
    calls: usize,
    batches: Vec<(Timestamp, Vec<Sample>)>,
}

/// Keeps every batch in memory; clones are one recorder.
#[derive(Debug, Clone, Default)]
pub struct MemoryRecorder(Arc<Mutex<Kept>>);

impl MemoryRecorder {
    /// Without a batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on it behaves like this.
    pub fn set_mood(&self, mood: Mood) {
        self.kept().mood = mood;
    }

    /// How often it was told something, heard or not.
    pub fn calls(&self) -> usize {
        self.kept().calls
    }

    /// The batches so far, oldest first, each with its time.
    pub fn batches(&self) -> Vec<(Timestamp, Vec<Sample>)> {
        self.kept().batches.clone()
    }

    /// The batches so far, from now on forgotten.
    pub fn take(&self) -> Vec<(Timestamp, Vec<Sample>)> {
        std::mem::take(&mut self.kept().batches)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for MemoryRecorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("memory")
    }
}

#[async_trait]
impl MetricsRecorder for MemoryRecorder {
    async fn record(&self, cx: &Context, at: Timestamp, samples: &[Sample]) -> Result<()> {
        cx.check()?;
        check(samples)?;
        let mood = {
            let mut kept = self.kept();
            kept.calls += 1;
            if kept.mood == Mood::Willing && !samples.is_empty() {
                kept.batches.push((at, samples.to_vec()));
            }
            kept.mood
        };
        match mood {
            Mood::Willing => Ok(()),
            Mood::Away => Err(Error::new(ErrorKind::Unavailable, "it is away, as asked for")),
            Mood::Silent => std::future::pending().await,
        }
    }
}
