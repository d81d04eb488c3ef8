//! What the go-live report says, as a document.

use super::page::{Change, Count, Facts, NOT_MEASURED, Page, Part, Said, Tone, took};
use super::{GoLive, Reasons, RestoreReport, called, length, time};
use crate::model::{Finding, Key, Verdict};
use crate::plan::{Decision, FieldChange, Item, Summary};
use crate::policy::Span;
use crate::restore::RunStatus;

impl RestoreReport {
    pub(crate) fn page(&self) -> Page {
        let verdict = Said::new(tone_of(self.verdict), self.verdict.to_string());
        let mut page = Page::new("Go-live report", verdict);
        let Reasons { bad, doubtful, notes } = self.weigh();
        let reasons = [(Tone::Bad, bad), (Tone::Doubt, doubtful), (Tone::Plain, notes)];
        let said = reasons
            .into_iter()
            .flat_map(|(tone, all)| all.into_iter().map(move |text| Said::new(tone, text)));
        page.add(Part::List(said.collect()));
        self.identity(&mut page);
        page.heading("Plan");
        page.add(counts(&self.summary));
        page.heading("Read back");
        self.comparison(&mut page);
        page.heading("Tests");
        if self.checks.is_empty() {
            page.add(Part::Text(format!("Behaviour was {NOT_MEASURED}: no tests were asked for.")));
        } else {
            page.add(findings("test", &self.checks));
        }
        page.heading("Timings and objectives");
        page.add(Part::Timeline(self.phases.clone()));
        page.add(self.objectives());
        page.heading("Way back");
        page.add(self.way_back());
        if !self.beforehand.is_empty() {
            page.heading("Known beforehand");
            page.add(findings("about", &self.beforehand));
        }
        let failures = self.failures.iter().map(|text| Said::new(Tone::Bad, text));
        page.listed("Failures", failures.collect());
        page.listed("Left", left(&self.left));
        page.listed("Open points", self.open_points());
        page
    }

    fn identity(&self, page: &mut Page) {
        page.heading("What was restored");
        let origin = &self.origin;
        let complete = if origin.complete {
            Said::new(Tone::Good, "complete")
        } else {
            Said::new(Tone::Doubt, "a part of the gateway is missing in it")
        };
        let facts = Facts::default()
            .row("Gateway", format!("{}/{}", origin.application, origin.environment))
            .row("Product", origin.product.clone())
            .row("Backup", self.backup_name.clone())
            .known("Backup id", self.backup)
            .row("Type", origin.kind.clone())
            .row("Read from the gateway at", time(origin.taken_at))
            .row("Completeness", complete)
            .row("Resources in it", origin.resources.to_string())
            .row("Digest of its state", origin.digest.clone())
            .row("Gateway in the backup", self.source.clone())
            .row("Gateway written", self.target.clone())
            .row("Run", self.run.map_or("nothing had to be written".to_owned(), |r| r.to_string()))
            .row(
                "Why it was allowed",
                self.allowed.clone().unwrap_or_else(|| "not asked".to_owned()),
            )
            .row("Run ended", Said::new(tone_of_end(self.status), format!("{:?}", self.status)))
            .row("Calls that ended well", self.applied.to_string());
        page.add(facts.part());
    }

    fn comparison(&self, page: &mut Page) {
        let c = &self.compare;
        page.add(Part::Counts(vec![
            Count { name: "equal", value: c.equal, tone: Tone::Good },
            Count { name: "ignorable", value: c.ignorable, tone: Tone::Plain },
            Count { name: "different", value: c.different, tone: Tone::Bad },
            Count { name: "unverifiable", value: c.unverifiable, tone: Tone::Doubt },
        ]));
        for deviation in &c.differences {
            let title = format!("{}{}", deviation.key, called(deviation.name.as_ref()));
            page.add(Part::Below(Said::new(Tone::Bad, title)));
            if deviation.missing {
                page.add(Part::Text("It is missing.".to_owned()));
            }
            if !deviation.fields.is_empty() {
                page.add(changes(["should be", "is"], &deviation.fields));
            }
        }
    }

    fn objectives(&self) -> Part {
        let against = |measured: std::time::Duration, promised: Option<Span>| {
            let text = length(u64::try_from(measured.as_millis()).unwrap_or(u64::MAX));
            match promised {
                None => Said::from(format!("{text}; no objective is set")),
                Some(most) if measured > most.duration() => {
                    Said::new(Tone::Doubt, format!("{text}; more than the objective of {most}"))
                }
                Some(most) => {
                    Said::new(Tone::Good, format!("{text}; within the objective of {most}"))
                }
            }
        };
        Facts::default()
            .row("Began", time(self.started_at))
            .row("Ended", time(self.ended_at))
            .row("Took", took(self.started_at, self.ended_at))
            .row("Time to recover (RTO)", against(self.rto(), self.objectives.rto))
            .row("Age of what came back (RPO)", against(self.rpo(), self.objectives.rpo))
            .row("From outage to decision", NOT_MEASURED)
            .part()
    }

    fn way_back(&self) -> Part {
        let way = match (self.run, self.status) {
            (None, _) => Said::from("nothing was written, so there is nothing to undo"),
            (Some(_), RunStatus::RolledBack) => Said::from("the run was rolled back"),
            (Some(run), RunStatus::RollbackIncomplete | RunStatus::Cancelled) => {
                Said::new(Tone::Bad, format!("resume {run}, or rollback {run}"))
            }
            (Some(run), _) => Said::new(Tone::Good, format!("rollback {run}")),
        };
        let safety = match (self.safety, self.run) {
            (Some(safety), _) => Said::new(Tone::Good, safety.to_string()),
            (None, None) => Said::from("not needed"),
            (None, Some(_)) => Said::new(Tone::Doubt, "none"),
        };
        Facts::default()
            .row("Safety backup of the target before the run", safety)
            .row("How to undo", way)
            .part()
    }

    /// What somebody still has to do or to say.
    fn open_points(&self) -> Vec<Said> {
        let mut open = Vec::new();
        for finding in self.checks.iter().filter(|f| f.verdict == Verdict::NotRun) {
            open.push(Said::from(format!("test by hand: {}: {}", finding.subject, finding.detail)));
        }
        for item in &self.left {
            if let Decision::CannotRestore(why) = &item.decision {
                let text = format!("{}{}: {why}", item.key, called(item.name.as_ref()));
                open.push(Said::new(Tone::Doubt, text));
            }
        }
        for finding in self.beforehand.iter().filter(|f| f.verdict != Verdict::Ok) {
            open.push(Said::from(format!("{}: {}", finding.subject, finding.detail)));
        }
        open.push(Said::from("approval and notifications: not recorded here"));
        open
    }
}

pub(crate) fn tone_of(verdict: GoLive) -> Tone {
    match verdict {
        GoLive::Go => Tone::Good,
        GoLive::Conditional => Tone::Doubt,
        GoLive::NoGo => Tone::Bad,
    }
}

fn tone_of_end(status: RunStatus) -> Tone {
    match status {
        RunStatus::Success => Tone::Good,
        RunStatus::Partial => Tone::Doubt,
        RunStatus::RolledBack | RunStatus::RollbackIncomplete | RunStatus::Cancelled => Tone::Bad,
    }
}

/// Findings, as a table.
pub(crate) fn findings(what: &'static str, all: &[Finding]) -> Part {
    let row = |finding: &Finding| {
        let (tone, word) = match finding.verdict {
            Verdict::Ok => (Tone::Good, "ok"),
            Verdict::Warning => (Tone::Doubt, "warning"),
            Verdict::Failed => (Tone::Bad, "failed"),
            Verdict::Unknown => (Tone::Doubt, "unknown"),
            Verdict::NotRun => (Tone::Plain, "not run"),
        };
        let (subject, detail) = (finding.subject.as_str(), finding.detail.as_str());
        vec![Said::from(subject), Said::new(tone, word), Said::from(detail)]
    };
    Part::Table { head: vec![what, "result", "observed"], rows: all.iter().map(row).collect() }
}

pub(crate) fn counts(s: &Summary) -> Part {
    let all = [
        ("create", s.create + s.undelete, Tone::Plain),
        ("update", s.update + s.reset, Tone::Plain),
        ("replace", s.replace, Tone::Doubt),
        ("delete", s.delete, Tone::Doubt),
        ("unchanged", s.unchanged, Tone::Good),
        ("skipped", s.skipped, Tone::Plain),
        ("blocked", s.blocked + s.ambiguous, Tone::Bad),
        ("cannot restore", s.cannot_restore, Tone::Doubt),
        ("foreign", s.foreign, Tone::Plain),
    ];
    Part::Counts(all.into_iter().map(|(name, value, tone)| Count { name, value, tone }).collect())
}

pub(crate) fn changes(sides: [&'static str; 2], fields: &[FieldChange]) -> Part {
    let side = |value: &Option<String>| value.clone().unwrap_or_else(|| "(absent)".to_owned());
    let change = |field: &FieldChange| Change {
        at: field.at.clone(),
        from: side(&field.from),
        to: side(&field.to),
    };
    Part::Changes { sides, changes: fields.iter().map(change).collect() }
}

/// Resources that a plan does not write, each with the reason.
pub(crate) fn left(items: &[Item]) -> Vec<Said> {
    let line = |item: &Item| {
        let (tone, why) = match &item.decision {
            Decision::Skipped(why) => (Tone::Plain, why.clone()),
            Decision::CannotRestore(why) => (Tone::Doubt, why.clone()),
            Decision::Blocked(why) => (Tone::Bad, why.clone()),
            Decision::Ambiguous(keys) => {
                let keys: Vec<String> = keys.iter().map(Key::to_string).collect();
                (Tone::Bad, format!("fits {}", keys.join(", ")))
            }
            Decision::Do(_) | Decision::Unchanged => (Tone::Plain, String::new()),
        };
        Said::new(tone, format!("{}{}: {why}", item.key, called(item.name.as_ref())))
    };
    items.iter().map(line).collect()
}
