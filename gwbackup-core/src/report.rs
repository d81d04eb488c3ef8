//! The go-live report: what a restore did, and whether traffic may go back.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::{Timestamp, millis, rfc3339};
use crate::model::{Finding, Key, Verdict};
use crate::plan::{Decision, Item, Summary};
use crate::restore::{About, Comparison, RunReport, RunStatus};

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
    /// Why the gateway could be written, where somebody had to be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed: Option<String>,
    /// What the plan decided.
    pub summary: Summary,
    /// Resources that the plan left, with the reason.
    pub left: Vec<Item>,
    /// Calls to the target that ended well.
    pub applied: u64,
    /// What reading back found.
    pub compare: Comparison,
    /// What the tests found.
    pub checks: Vec<Finding>,
    /// Why the run turned round, and what could not be undone.
    pub failures: Vec<String>,
    /// What came by itself with what the run made, is not in the backup, and is still there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub newcomers: Vec<Key>,
    /// The backup of the target before the run: with it the run can be turned round.
    pub safety: Option<Uuid>,
    /// When it began.
    #[serde(serialize_with = "millis")]
    pub started_at: Timestamp,
    /// When it ended.
    #[serde(serialize_with = "millis")]
    pub ended_at: Timestamp,
}

impl RestoreReport {
    /// The report of a run.
    pub(crate) fn new(about: About, run: &RunReport) -> Self {
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
            summary: about.summary,
            left: about.left,
            applied: run.applied,
            compare: run.compare.clone(),
            checks: run.checks.clone(),
            allowed: run.allowed.clone(),
            failures: run.failures.clone(),
            newcomers: run.newcomers.clone(),
            safety: run.safety,
            started_at: run.started,
            ended_at: run.ended,
        };
        report.judge(run.unread.as_deref());
        report
    }

    /// `unread`: why the target could not be read back.
    fn judge(&mut self, unread: Option<&str>) {
        let mut bad = Vec::new();
        let mut doubtful = Vec::new();
        match self.status {
            RunStatus::Success => {}
            RunStatus::Partial => doubtful.push("some resources could not be restored".to_owned()),
            RunStatus::RolledBack => bad.push("the restore failed and was rolled back".to_owned()),
            RunStatus::RollbackIncomplete => {
                bad.push("the restore failed, and the roll back is incomplete".to_owned());
            }
            RunStatus::Cancelled => bad.push("the restore was stopped before its end".to_owned()),
        }
        for deviation in self.compare.differences.iter().take(20) {
            let what = match deviation.fields.as_slice() {
                _ if deviation.missing => "is missing",
                [only] if only.at.is_empty() && only.from.as_deref() == Some("absent") => {
                    "is still there"
                }
                _ => "differs",
            };
            bad.push(format!("{}{} {what}", deviation.key, called(deviation.name.as_ref())));
        }
        if self.compare.different > 20 {
            bad.push(format!("and {} more differ", self.compare.different - 20));
        }
        for finding in &self.checks {
            let text = format!("{}: {}", finding.subject, finding.detail);
            match finding.verdict {
                Verdict::Ok => {}
                Verdict::Failed => bad.push(text),
                Verdict::Warning | Verdict::Unknown => doubtful.push(text),
            }
        }
        if let Some(why) = unread {
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
        self.verdict = match (bad.is_empty(), doubtful.is_empty()) {
            (false, _) => GoLive::NoGo,
            (true, false) => GoLive::Conditional,
            (true, true) => GoLive::Go,
        };
        self.reasons = bad;
        self.reasons.append(&mut doubtful);
        if self.reasons.is_empty() {
            let compared = self.compare.equal + self.compare.ignorable;
            let all = if self.summary.skipped == 0 { "all " } else { "" };
            self.reasons.push(format!("{all}{compared} resources are as in the backup"));
        }
        if self.summary.skipped > 0 {
            let count = self.summary.skipped;
            self.reasons.push(format!("{count} resources were left as they are"));
        }
    }

    /// The report as Markdown.
    pub fn to_markdown(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = self.write_markdown(&mut text);
        text
    }

    fn write_markdown(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "# Go-live report: {}\n", self.verdict)?;
        for reason in &self.reasons {
            writeln!(out, "- {}", plain(reason))?;
        }
        writeln!(out, "\n| | |\n|---|---|")?;
        let row = |out: &mut String, name: &str, value: &str| {
            if value.is_empty() { Ok(()) } else { writeln!(out, "| {name} | {} |", plain(value)) }
        };
        row(out, "Backup", &self.backup_name)?;
        row(out, "Backup id", &text_of(self.backup))?;
        row(out, "Gateway in the backup", &self.source)?;
        row(out, "Gateway written", &self.target)?;
        row(out, "Run", &text_of(self.run))?;
        row(out, "Allowed", self.allowed.as_deref().unwrap_or_default())?;
        row(out, "Run ended", &format!("{:?}", self.status))?;
        row(out, "Safety backup", &text_of(self.safety))?;
        row(out, "Began", &rfc3339(self.started_at))?;
        row(out, "Ended", &rfc3339(self.ended_at))?;
        row(out, "Took", &took(self.started_at, self.ended_at))?;
        let s = &self.summary;
        writeln!(out, "\n## Plan\n")?;
        writeln!(
            out,
            "| create | update | replace | delete | unchanged | skipped | cannot restore | foreign |"
        )?;
        writeln!(out, "|---:|---:|---:|---:|---:|---:|---:|---:|")?;
        writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            s.create + s.undelete,
            s.update + s.reset,
            s.replace,
            s.delete,
            s.unchanged,
            s.skipped,
            s.cannot_restore,
            s.foreign
        )?;
        let c = &self.compare;
        writeln!(out, "\n## Read back\n")?;
        writeln!(out, "| equal | ignorable | different | unverifiable |\n|---:|---:|---:|---:|")?;
        writeln!(out, "| {} | {} | {} | {} |", c.equal, c.ignorable, c.different, c.unverifiable)?;
        for deviation in &c.differences {
            let name = called(deviation.name.as_ref());
            writeln!(out, "\n### {}{}\n", plain(&deviation.key.to_string()), plain(&name))?;
            if deviation.missing {
                writeln!(out, "It is missing.")?;
            }
            for field in &deviation.fields {
                let (from, to) = (field.from.as_deref(), field.to.as_deref());
                let (from, to) = (from.unwrap_or("(absent)"), to.unwrap_or("(absent)"));
                writeln!(out, "- `{}`: should be `{}`, is `{}`", field.at, code(from), code(to))?;
            }
        }
        if !self.checks.is_empty() {
            writeln!(out, "\n## Tests\n\n| test | result | |\n|---|---|---|")?;
            for f in &self.checks {
                let (subject, detail) = (plain(&f.subject), plain(&f.detail));
                writeln!(out, "| {subject} | {:?} | {detail} |", f.verdict)?;
            }
        }
        if !self.failures.is_empty() {
            writeln!(out, "\n## Failures\n")?;
            for failure in &self.failures {
                writeln!(out, "- {}", plain(failure))?;
            }
        }
        if !self.left.is_empty() {
            writeln!(out, "\n## Left\n")?;
            for item in &self.left {
                let why = match &item.decision {
                    Decision::Skipped(why) | Decision::CannotRestore(why) => why.as_str(),
                    _ => "",
                };
                let name = called(item.name.as_ref());
                writeln!(
                    out,
                    "- {}{}: {}",
                    plain(&item.key.to_string()),
                    plain(&name),
                    plain(why)
                )?;
            }
        }
        Ok(())
    }
}

fn called(name: Option<&String>) -> String {
    name.map(|name| format!(" ({name})")).unwrap_or_default()
}

fn text_of(id: Option<Uuid>) -> String {
    id.map(|id| id.to_string()).unwrap_or_default()
}

fn took(from: Timestamp, to: Timestamp) -> String {
    let millis = to.duration_since(from).as_millis();
    format!("{}.{:03} s", millis / 1000, millis % 1000)
}

/// Text that Markdown takes as it is.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' => out.push(' '),
            '|' | '*' | '_' | '`' | '<' | '>' | '[' | ']' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            _ => out.push(c),
        }
    }
    out
}

fn code(text: &str) -> String {
    text.replace('`', "'").replace('\n', " ")
}
