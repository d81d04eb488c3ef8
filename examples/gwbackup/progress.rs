//! Progress of a run, on a terminal as a bar, for programs as lines.

use std::io::IsTerminal as _;
use std::sync::{Mutex, PoisonError};

use gwbackup::observe::{Observer, Progress};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::output::Output;

/// Shows one bar at a time, for the phase that the run is in.
#[derive(Debug)]
pub(crate) struct Bars {
    bar: Option<ProgressBar>,
    output: Output,
    phase: Mutex<&'static str>,
}

impl Bars {
    pub(crate) fn new(output: Output, quiet: bool) -> Self {
        let shown = !quiet && std::io::stderr().is_terminal();
        Self { bar: shown.then(ProgressBar::no_length), output, phase: Mutex::new("") }
    }

    fn enter(&self, progress: &Progress) {
        let mut phase = self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        if *phase == progress.phase {
            return;
        }
        *phase = progress.phase;
        self.output.line(&json!({ "message_type": "status", "phase": progress.phase }));
        let template = match progress.total {
            Some(_) => "{msg:>8} [{bar:30}] {pos}/{len}",
            None => "{msg:>8} {spinner} {pos}",
        };
        if let (Some(bar), Ok(style)) = (&self.bar, ProgressStyle::with_template(template)) {
            bar.set_style(style.progress_chars("=> "));
            bar.set_message(progress.phase);
        }
    }
}

impl Observer for Bars {
    fn progress(&self, progress: &Progress) {
        self.enter(progress);
        if let Some(bar) = &self.bar {
            if let Some(total) = progress.total {
                bar.set_length(total);
            }
            bar.set_position(progress.done);
        }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
