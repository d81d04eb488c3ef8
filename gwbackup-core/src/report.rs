//! The go-live report: what a restore did, and whether traffic may go back. Also how it, and every
//! other document for people, is written.

mod go_live;
mod html;
mod markdown;
mod page;
mod planned;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::{Timestamp, millis};
use crate::model::{Finding, Key, Verdict};
use crate::plan::{Decision, Item, Summary};
use crate::policy::Objectives;
use crate::restore::{About, Comparison, Origin, Phase, RunReport, RunStatus};

pub(crate) use html::html;
pub(crate) use markdown::markdown;
pub(crate) use page::{Facts, NOT_MEASURED, Page, Part, Said, Tone, length, time};

/// Whether traffic may go back to the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum GoLive {
    /// Everything is as it should be.
    Go,
    /// Nothing is wrong, but something named must be looked at by a person.
    Conditional,
    /// Something is wrong.
    NoGo,
}

impl std::fmt::Display for GoLive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Go => "Go",
            Self::Conditional => "Conditional",
            Self::NoGo => "NoGo",
        })
    }
}

/// What a restore did, for people and programs. Holds no secret and no document.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RestoreReport {
    /// Name and version of the form.
    pub schema: String,
    /// The verdict.
    pub verdict: GoLive,
    /// What led to it.
    pub reasons: Vec<String>,
    /// The run; none when there was nothing to write.
    pub run: Option<Uuid>,
    /// How it ended.
    pub status: RunStatus,
    /// The backup.
    pub backup: Option<Uuid>,
    /// Its name.
    pub backup_name: String,
    /// The gateway that it is of.
    pub source: String,
    /// The gateway that was written.
    pub target: String,
    /// Where the configuration comes from.
    pub origin: Origin,
    /// Why the gateway could be written, where somebody had to be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed: Option<String>,
    /// What the plan decided.
    pub summary: Summary,
    /// What was known beforehand and should be looked at: what is needed outside of the gateway, what
    /// the target's own dry run found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub beforehand: Vec<Finding>,
    /// Resources that the plan left, with the reason.
    pub left: Vec<Item>,
    /// Calls to the target that ended well.
    pub applied: u64,
    /// What reading back found.
    pub compare: Comparison,
    /// Why the target could not be read back; `compare` is empty then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<String>,
    /// What the tests found.
    pub checks: Vec<Finding>,
    /// Why the run turned round, and what could not be undone.
    pub failures: Vec<String>,
    /// What came by itself with what the run made, is not in the backup, and is still there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub newcomers: Vec<Key>,
    /// The backup of the target before the run: with it the run can be turned round.
    pub safety: Option<Uuid>,
    /// What is promised about time.
    #[serde(default)]
    pub objectives: Objectives,
    /// What was done when, in order.
    #[serde(default)]
    pub phases: Vec<Phase>,
    /// When it began.
    #[serde(serialize_with = "millis")]
    pub started_at: Timestamp,
    /// When it ended.
    #[serde(serialize_with = "millis")]
    pub ended_at: Timestamp,
}

/// What led to a verdict, by weight.
#[derive(Debug, Default)]
struct Reasons {
    bad: Vec<String>,
    doubtful: Vec<String>,
    notes: Vec<String>,
}

impl RestoreReport {
    /// The report of a run.
    pub(crate) fn new(about: About, run: &RunReport, objectives: Objectives) -> Self {
        let mut report = Self {
            schema: "gwbackup.go-live/1".to_owned(),
            verdict: GoLive::Go,
            reasons: Vec::new(),
            run: run.run,
            status: run.status,
            backup: Some(about.backup),
            backup_name: about.backup_name,
            source: about.source,
            target: about.target,
            origin: about.origin,
            summary: about.summary,
            beforehand: about.findings,
            left: about.left,
            applied: run.applied,
            compare: run.compare.clone(),
            unread: run.unread.clone(),
            checks: run.checks.clone(),
            allowed: run.allowed.clone(),
            failures: run.failures.clone(),
            newcomers: run.newcomers.clone(),
            safety: run.safety,
            objectives,
            phases: run.phases.clone(),
            started_at: run.started,
            ended_at: run.ended,
        };
        let Reasons { bad, doubtful, notes } = report.weigh();
        report.verdict = match (bad.is_empty(), doubtful.is_empty()) {
            (false, _) => GoLive::NoGo,
            (true, false) => GoLive::Conditional,
            (true, true) => GoLive::Go,
        };
        report.reasons = [bad, doubtful, notes].concat();
        report
    }

    /// How long the recovery took, from its first look at the target to the end of its tests.
    pub fn rto(&self) -> std::time::Duration {
        length_between(self.started_at, self.ended_at)
    }

    /// How far back in time the configuration lies that came back.
    pub fn rpo(&self) -> std::time::Duration {
        length_between(self.origin.taken_at, self.started_at)
    }

    fn weigh(&self) -> Reasons {
        let mut found = Reasons::default();
        self.weigh_end(&mut found);
        self.weigh_comparison(&mut found);
        for finding in &self.checks {
            let text = format!("{}: {}", finding.subject, finding.detail);
            match finding.verdict {
                Verdict::Ok | Verdict::NotRun => {}
                Verdict::Failed => found.bad.push(text),
                Verdict::Warning | Verdict::Unknown => found.doubtful.push(text),
            }
        }
        self.weigh_rest(&mut found);
        for (what, measured, promised) in [
            ("the recovery took", self.rto(), self.objectives.rto),
            ("the configuration that came back is older by", self.rpo(), self.objectives.rpo),
        ] {
            if let Some(promised) = promised.filter(|promised| measured > promised.duration()) {
                let measured = length(u64::try_from(measured.as_millis()).unwrap_or(u64::MAX));
                found.doubtful.push(format!("{what} {measured}, and {promised} are promised"));
            }
        }
        if found.bad.is_empty() && found.doubtful.is_empty() {
            let compared = self.compare.equal + self.compare.ignorable;
            let all = if self.summary.skipped == 0 { "all " } else { "" };
            found.notes.push(format!("{all}{compared} resources are as in the backup"));
        }
        if self.summary.skipped > 0 {
            let count = self.summary.skipped;
            found.notes.push(format!("{count} resources were left as they are"));
        }
        match self.checks.iter().filter(|f| f.verdict == Verdict::NotRun).count() {
            0 => {}
            count => found.notes.push(format!("{count} tests were not run, each for its reason")),
        }
        found
    }

    fn weigh_end(&self, found: &mut Reasons) {
        match self.status {
            RunStatus::Success => {}
            RunStatus::Partial => {
                found.doubtful.push("some resources could not be restored".to_owned());
            }
            RunStatus::RolledBack => {
                found.bad.push("the restore failed and was rolled back".to_owned());
            }
            RunStatus::RollbackIncomplete => {
                found.bad.push("the restore failed, and the roll back is incomplete".to_owned());
            }
            RunStatus::Cancelled => {
                found.bad.push("the restore was stopped before its end".to_owned());
            }
        }
    }

    fn weigh_comparison(&self, found: &mut Reasons) {
        for deviation in self.compare.differences.iter().take(20) {
            let what = match deviation.fields.as_slice() {
                _ if deviation.missing => "is missing",
                [only] if only.at.is_empty() && only.from.as_deref() == Some("absent") => {
                    "is still there"
                }
                _ => "differs",
            };
            found.bad.push(format!("{}{} {what}", deviation.key, called(deviation.name.as_ref())));
        }
        if self.compare.different > 20 {
            found.bad.push(format!("and {} more differ", self.compare.different - 20));
        }
    }

    fn weigh_rest(&self, found: &mut Reasons) {
        let doubtful = &mut found.doubtful;
        if let Some(why) = &self.unread {
            doubtful
                .push(format!("the target could not be read back, so nothing is proven: {why}"));
        }
        if self.compare.unverifiable > 0 {
            let count = self.compare.unverifiable;
            doubtful.push(format!("{count} resources have values that cannot be read back"));
        }
        for key in &self.newcomers {
            doubtful.push(format!("{key} came by itself and is not in the backup"));
        }
        for item in &self.left {
            if let Decision::CannotRestore(why) = &item.decision {
                doubtful.push(format!("{}{}: {why}", item.key, called(item.name.as_ref())));
            }
        }
    }

    /// The report as Markdown.
    pub fn to_markdown(&self) -> String {
        markdown(&self.page())
    }

    /// The report as one HTML page that needs nothing else: no script, no request, good to print.
    pub fn to_html(&self) -> String {
        html(&self.page())
    }
}

fn length_between(from: Timestamp, to: Timestamp) -> std::time::Duration {
    to.duration_since(from).try_into().unwrap_or_default()
}

fn called(name: Option<&String>) -> String {
    name.map(|name| format!(" ({name})")).unwrap_or_default()
}
