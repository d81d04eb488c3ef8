//! Progress of a run, for whoever shows it.

use std::fmt::Debug;

/// What a run is doing at present.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Name of the phase: `capture`, `seal`, `copy`, `verify`, `match`, `apply`, `compare`, ...
    pub phase: &'static str,
    /// Units done so far (resources, bytes or steps, by phase).
    pub done: u64,
    /// Units in all, where that is known.
    pub total: Option<u64>,
}

impl Progress {
    /// `done` of `total` units of `phase`.
    pub fn new(phase: &'static str, done: u64, total: Option<u64>) -> Self {
        Self { phase, done, total }
    }
}

/// Listens to a run. Called often and from several threads: an implementation returns at once.
pub trait Observer: Debug + Send + Sync + 'static {
    /// A step forward. Holds no secret and no name of a resource.
    fn progress(&self, progress: &Progress);
}

/// Listens to nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {
    fn progress(&self, _: &Progress) {}
}
