//! What a plan says, as a document.

use super::go_live::{changes, counts, findings, left};
use super::page::{Facts, Page, Part, Said, Tone};
use super::{html, length, markdown};
use crate::model::{Action, Undo};
use crate::plan::{Dependency, PlannedStep, Presence};
use crate::restore::Plan;

/// Steps that a document shows; JSON has all.
const SHOWN: usize = 2000;

impl Plan {
    /// The plan as Markdown, secrets masked; at most 2,000 steps.
    pub fn to_markdown(&self) -> String {
        markdown(&self.page())
    }

    /// The plan as one HTML page that needs nothing else, secrets masked; at most 2,000 steps.
    pub fn to_html(&self) -> String {
        html(&self.page())
    }

    fn page(&self) -> Page {
        let verdict = if self.is_blocked() {
            Said::new(Tone::Bad, "blocked")
        } else if self.is_empty() {
            Said::new(Tone::Good, "nothing to write")
        } else {
            Said::from(format!("{} resources to write", self.summary.writes()))
        };
        let mut page = Page::new("Restore plan", verdict);
        let partial = if self.backup_partial {
            Said::new(Tone::Doubt, "a part of the gateway is missing in it")
        } else {
            Said::from("complete")
        };
        let facts = Facts::default()
            .row("Backup", self.backup_name.clone())
            .row("Backup id", self.backup.to_string())
            .row("Completeness", partial)
            .row("Digest of its state", self.backup_digest.clone())
            .row("Gateway in the backup", self.source.clone())
            .row("Gateway to be written", self.target.clone())
            .row("Digest of the gateway's state", self.target_digest.clone())
            .row("Made at", self.created.clone())
            .row("What exists and differs", format!("{:?}", self.options.existing).to_lowercase())
            .row("Deletes what the backup does not know", yes(self.options.prune))
            .row("Writing takes about", length(self.estimate_ms));
        page.add(facts.part());
        page.heading("Decisions");
        page.add(counts(&self.summary));
        page.listed("Blocked", left(&self.blocked));
        if !self.findings.is_empty() {
            page.heading("Findings");
            page.add(findings("about", &self.findings));
        }
        if !self.dependencies.is_empty() {
            page.heading("Needed outside the gateway");
            page.add(outside(&self.dependencies));
        }
        let rules = self.mapping.iter().map(|rule| {
            let met = rule.resources;
            Said::from(format!("{} becomes {}: in {met} resources", rule.from, rule.to))
        });
        page.listed("Mapping", rules.collect());
        let supplied = self.supplied.iter().map(|place| Said::from(place.as_str()));
        page.listed("Secrets that were supplied", supplied.collect());
        if !self.steps.is_empty() {
            page.heading("Steps");
            page.add(table(&self.steps));
            if self.steps.len() > SHOWN {
                let more = self.steps.len() - SHOWN;
                page.add(Part::Text(format!("And {more} more: the plan as JSON has all.")));
            }
            for step in self.steps.iter().take(SHOWN).filter(|step| !step.changes.is_empty()) {
                let title = format!("{}. {}", step.n, name(step));
                page.add(Part::Below(Said::from(title)));
                page.add(changes(["is", "will be"], &step.changes));
            }
        }
        page.listed("Left", left(&self.left));
        page
    }
}

fn outside(all: &[Dependency]) -> Part {
    let row = |dependency: &Dependency| {
        let tone = match dependency.presence {
            Presence::Present => Tone::Good,
            Presence::Missing => Tone::Bad,
            Presence::Unchecked | Presence::Different | Presence::NotVisible => Tone::Doubt,
        };
        let found = match dependency.detail.as_str() {
            "" => dependency.presence.to_string(),
            detail => format!("{}: {detail}", dependency.presence),
        };
        let name = format!("{} ({})", dependency.name, dependency.class);
        let count = format!("{} resources", dependency.resources);
        vec![Said::from(name), Said::new(tone, found), Said::from(count)]
    };
    let rows = all.iter().map(row).collect();
    Part::Table { head: vec!["what", "standing", "named by"], rows }
}

fn yes(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}

fn name(step: &PlannedStep) -> String {
    let name = step.name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
    format!("{}/{}{name}", step.kind, step.id)
}

fn table(steps: &[PlannedStep]) -> Part {
    let row = |step: &PlannedStep| {
        let destroys = matches!(step.action, Action::Delete | Action::Replace);
        let tone = if destroys { Tone::Doubt } else { Tone::Plain };
        let undo = match &step.undo {
            Undo::Exact => Said::from("exactly"),
            Undo::NewHandles => Said::from("under a new id"),
            Undo::Residue => Said::from("something harmless stays"),
            Undo::Lost(_) => Said::new(Tone::Bad, "a value would be lost"),
        };
        let action = format!("{}. {}", step.n, format!("{:?}", step.action).to_lowercase());
        vec![Said::new(tone, action), Said::from(name(step)), undo]
    };
    let rows = steps.iter().take(SHOWN).map(row).collect();
    Part::Table { head: vec!["step", "resource", "can be undone"], rows }
}
