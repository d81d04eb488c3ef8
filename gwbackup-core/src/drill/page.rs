//! What a drill's report says, as a document.

use super::{CleanUp, DrillReport, Pick};
use crate::catalog::DrillVerdict;
use crate::policy::Span;
use crate::report::{Facts, NOT_MEASURED, Page, Part, Said, Tone, length, time};

impl DrillReport {
    pub(super) fn page(&self) -> Page {
        let (tone, word) = match self.verdict {
            DrillVerdict::Pass => (Tone::Good, "Pass"),
            DrillVerdict::PassWithFindings => (Tone::Doubt, "Pass with findings"),
            DrillVerdict::Fail => (Tone::Bad, "Fail"),
        };
        let mut page = Page::new("Restore test", Said::new(tone, word));
        let findings: Vec<Said> =
            self.findings.iter().map(|text| Said::new(tone, text.as_str())).collect();
        if !findings.is_empty() {
            page.add(Part::List(findings));
        }
        page.heading("Recovery point");
        page.add(self.point());
        page.heading("Timings and objectives");
        page.add(Part::Timeline(self.phases.clone()));
        page.add(self.objectives());
        page.heading("Clean-up");
        let (tone, word) = match self.clean_up {
            CleanUp::Done => (Tone::Good, "the target is as it was before"),
            CleanUp::NotNeeded => (Tone::Plain, "there was nothing to take back"),
            CleanUp::Kept => (Tone::Plain, "what was restored stays, as was asked for"),
            CleanUp::Failed => (Tone::Bad, "something is left on the target"),
        };
        page.add(Part::List(vec![Said::new(tone, word)]));
        page.listed(
            "Left on the target",
            self.left.iter().map(|text| Said::from(text.as_str())).collect(),
        );
        // The restore's own report stands in this one, one level below.
        if let Some(restore) = &self.restore {
            page.heading("The restore");
            page.parts.extend(restore.page().parts);
        }
        page
    }

    fn point(&self) -> Part {
        let rule = match self.selection.pick {
            Pick::Latest => "the newest".to_owned(),
            Pick::Random { seed, window } => {
                format!("by lot with seed {seed}, among those of the last {}", Span::from(window))
            }
        };
        Facts::default()
            .row("Gateway", format!("{}/{}", self.application, self.environment))
            .row("Backup", self.backup_name.clone())
            .row("Backup id", self.backup.to_string())
            .row("Read from the gateway at", time(self.taken_at))
            .row("Chosen", rule)
            .row("Candidates", self.selection.candidates.to_string())
            .row("Digest of the candidates", self.selection.candidates_digest.clone())
            .row("Restored to", self.target.clone())
            .row("Drill", self.drill.to_string())
            .part()
    }

    fn objectives(&self) -> Part {
        let against = |measured: Option<u64>, promised: Option<Span>| match (measured, promised) {
            (None, _) => Said::from(NOT_MEASURED),
            (Some(seconds), None) => Said::from(format!("{}; no objective is set", said(seconds))),
            (Some(seconds), Some(most)) if seconds > most.duration().as_secs() => Said::new(
                Tone::Doubt,
                format!("{}; more than the objective of {most}", said(seconds)),
            ),
            (Some(seconds), Some(most)) => {
                Said::new(Tone::Good, format!("{}; within the objective of {most}", said(seconds)))
            }
        };
        Facts::default()
            .row("Began", time(self.started_at))
            .row("Ended", time(self.ended_at))
            .row("Time to recover (RTO)", against(self.rto_seconds, self.objectives.rto))
            .row(
                "Changes that would have been lost (RPO)",
                against(Some(self.rpo_seconds), self.objectives.rpo),
            )
            .row("Next one is due", self.next_due.map_or("no rule says when".to_owned(), time))
            .part()
    }
}

fn said(seconds: u64) -> String {
    length(seconds.saturating_mul(1000))
}
