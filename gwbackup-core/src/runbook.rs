//! Checklists of a backup and of a restore: each step done, open or not applicable, with what shows
//! it. Made from the log, the manifest and the report; nobody ticks them by hand.

use serde::Serialize;

use crate::report::{Page, Part, Said, Tone, html, markdown};

/// How a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Standing {
    /// It was done, and it was well.
    Done,
    /// It was done, and something is wrong.
    Failed,
    /// It was not done, or nothing shows that it was.
    Open,
    /// There is nothing to do.
    NotApplicable,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What is to be done.
    pub name: String,
    /// How it stands.
    pub standing: Standing,
    /// What shows it, or what is missing.
    pub evidence: String,
}

/// A checklist. Holds no secret and no document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Runbook {
    /// Name and version of the form.
    pub schema: String,
    /// What it is about.
    pub title: String,
    /// The steps, in their order.
    pub steps: Vec<Step>,
}

impl Runbook {
    pub(crate) fn new(title: impl Into<String>) -> Self {
        Self { schema: "gwbackup.runbook/1".to_owned(), title: title.into(), steps: Vec::new() }
    }

    pub(crate) fn step(&mut self, name: &str, standing: Standing, evidence: impl Into<String>) {
        self.steps.push(Step { name: name.to_owned(), standing, evidence: evidence.into() });
    }

    /// A step that is done if it is, and else stands so.
    pub(crate) fn done_if(
        &mut self,
        name: &str,
        is: bool,
        otherwise: Standing,
        evidence: impl Into<String>,
    ) {
        self.step(name, if is { Standing::Done } else { otherwise }, evidence);
    }

    /// How many steps are neither done nor without anything to do.
    pub fn open(&self) -> usize {
        let open = |step: &&Step| matches!(step.standing, Standing::Open | Standing::Failed);
        self.steps.iter().filter(open).count()
    }

    /// The checklist as Markdown.
    pub fn to_markdown(&self) -> String {
        markdown(&self.page())
    }

    /// The checklist as one HTML page that needs nothing else.
    pub fn to_html(&self) -> String {
        html(&self.page())
    }

    fn page(&self) -> Page {
        let failed = self.steps.iter().any(|step| step.standing == Standing::Failed);
        let verdict = match (failed, self.open()) {
            (true, _) => Said::new(Tone::Bad, "something is wrong"),
            (false, 0) => Said::new(Tone::Good, "all done"),
            (false, open) => Said::new(Tone::Doubt, format!("{open} open")),
        };
        let mut page = Page::new(self.title.as_str(), verdict);
        let row = |(n, step): (usize, &Step)| {
            let (tone, word) = match step.standing {
                Standing::Done => (Tone::Good, "done"),
                Standing::Failed => (Tone::Bad, "failed"),
                Standing::Open => (Tone::Doubt, "open"),
                Standing::NotApplicable => (Tone::Plain, "not applicable"),
            };
            let name = format!("{n}. {}", step.name);
            vec![Said::from(name), Said::new(tone, word), Said::from(step.evidence.as_str())]
        };
        let rows = (1..).zip(&self.steps).map(row).collect();
        page.add(Part::Table { head: vec!["step", "standing", "evidence"], rows });
        page
    }
}
