//! When a run did what.

use serde::{Deserialize, Serialize};

use crate::clock::{Timestamp, millis};
use crate::context::Context;

/// One part of a run, by the run's clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phase {
    /// What was done.
    pub name: String,
    /// When it began.
    #[serde(serialize_with = "millis")]
    pub started_at: Timestamp,
    /// When it ended.
    #[serde(serialize_with = "millis")]
    pub ended_at: Timestamp,
}

/// The phases of a run under way: each ends where the next begins.
#[derive(Debug)]
pub(crate) struct Phases {
    started: Timestamp,
    done: Vec<Phase>,
    open: Option<(&'static str, Timestamp)>,
}

impl Phases {
    pub(crate) fn new(cx: &Context) -> Self {
        Self { started: cx.now(), done: Vec::new(), open: None }
    }

    /// When the first began.
    pub(crate) fn started(&self) -> Timestamp {
        self.started
    }

    pub(crate) fn begin(&mut self, cx: &Context, name: &'static str) {
        self.end(cx);
        self.open = Some((name, cx.now()));
    }

    fn end(&mut self, cx: &Context) {
        if let Some((name, started_at)) = self.open.take() {
            self.done.push(Phase { name: name.to_owned(), started_at, ended_at: cx.now() });
        }
    }

    /// All of them, in order.
    pub(crate) fn finish(mut self, cx: &Context) -> Vec<Phase> {
        self.end(cx);
        self.done
    }
}
