//! What happens to the tour's gateway: work, disaster, sabotage; and the probes that look at it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use gwbackup::model::{
    Change, Description, Finding, Group, Revision, Scope, Step, StepReceipt, Verdict,
};
use gwbackup::source::{BoxStream, Known, Purpose, Source};
use gwbackup::target::{Check, States, StepLog, Target};
use gwbackup::{Context, Error, Result};

/// The file after a day's work: a slower service is waited for, a path moves, a consumer comes.
pub(super) fn edited(text: &str) -> Result<String> {
    let text = replaced(text, "  read_timeout: 15000\n", "  read_timeout: 45000\n")?;
    let text = replaced(&text, "  - /settle\n", "  - /settlement\n")?;
    let consumer = "consumers:\n- id: 5d1b1f0e-6f0c-4d59-9d0b-2b6f6a0c7a11\n  \
                    username: partner-nord\n  custom_id: ~\n  tags:\n  - partner\n";
    replaced(&text, "consumers:\n", consumer)
}

/// What an ended disk write leaves: everything before the first service.
pub(super) fn ruined(text: &str) -> Result<String> {
    let end = text.find("\nservices:").ok_or_else(unexpected)?;
    Ok(text[..=end].to_owned())
}

fn replaced(text: &str, from: &str, to: &str) -> Result<String> {
    if !text.contains(from) {
        return Err(unexpected());
    }
    Ok(text.replacen(from, to, 1))
}

fn unexpected() -> Error {
    Error::invalid("the tour's gateway is not as the tour left it")
}

/// A target that says it did what it was asked to, and then alters one resource.
#[derive(Debug)]
pub(super) struct Saboteur {
    inner: Arc<dyn Target>,
    file: PathBuf,
}

impl Saboteur {
    pub(super) fn new(inner: Arc<dyn Target>, file: PathBuf) -> Self {
        Self { inner, file }
    }
}

#[async_trait]
impl Source for Saboteur {
    fn address(&self) -> String {
        self.inner.address()
    }

    async fn describe(&self, cx: &Context) -> Result<Description> {
        self.inner.describe(cx).await
    }

    async fn preflight(&self, cx: &Context, to: Purpose, scope: &Scope) -> Result<Vec<Finding>> {
        self.inner.preflight(cx, to, scope).await
    }

    async fn revision(&self, cx: &Context, scope: &Scope) -> Result<Option<Revision>> {
        self.inner.revision(cx, scope).await
    }

    fn read(
        &self,
        cx: &Context,
        description: &Description,
        scope: &Scope,
        known: Option<Arc<dyn Known>>,
    ) -> BoxStream<Result<gwbackup::model::Captured>> {
        self.inner.read(cx, description, scope, known)
    }
}

#[async_trait]
impl Target for Saboteur {
    fn arrange(&self, description: &Description, changes: &[Change]) -> Vec<Group> {
        self.inner.arrange(description, changes)
    }

    async fn validate(
        &self,
        cx: &Context,
        description: &Description,
        changes: &[Change],
        states: &dyn States,
    ) -> Result<Vec<Finding>> {
        self.inner.validate(cx, description, changes, states).await
    }

    async fn apply(
        &self,
        cx: &Context,
        description: &Description,
        step: &Step,
        states: &dyn States,
        log: &dyn StepLog,
    ) -> Result<StepReceipt> {
        let receipt = self.inner.apply(cx, description, step, states, log).await?;
        let text = std::fs::read_to_string(&self.file)?;
        let altered =
            replaced(&text, "  host: \"ledger.upstream\"\n", "  host: \"attacker.example\"\n")?;
        std::fs::write(&self.file, altered)?;
        Ok(receipt)
    }
}

/// Looks at the file as text, not through the library: what the library reads and writes wrongly
/// in the same way, a comparison of its own cannot see.
#[derive(Debug)]
pub(super) struct Probe {
    file: PathBuf,
}

impl Probe {
    pub(super) fn new(file: PathBuf) -> Self {
        Self { file }
    }
}

#[async_trait]
impl Check for Probe {
    async fn run(&self, _cx: &Context, _target: &dyn Target) -> Result<Vec<Finding>> {
        look(&self.file)
    }
}

fn look(file: &Path) -> Result<Vec<Finding>> {
    let text = std::fs::read_to_string(file)?;
    let services = entries(&text, "services");
    let service = services.iter().find(|e| value(e, "name") == Some("harbor-orders"));
    let id = service.and_then(|e| value(e, "id")).unwrap_or("none");
    let of_service = |section| {
        let all = entries(&text, section);
        all.into_iter().filter(|e| value(e, "service") == Some(id)).collect::<Vec<_>>()
    };
    let (routes, plugins) = (of_service("routes"), of_service("plugins"));
    let names: Vec<&str> = routes.iter().filter_map(|e| value(e, "name")).collect();
    let all = ["orders-canary", "orders-read", "orders-write"];
    let guarded =
        |e: &Vec<&str>| value(e, "name") == Some("key-auth") && value(e, "enabled") == Some("true");
    let moved = entries(&text, "routes").iter().any(|e| e.contains(&"  - \"/settlement\""));
    let found = |subject: &str, good: bool, detail: String| {
        let verdict = if good { Verdict::Ok } else { Verdict::Failed };
        Finding::new(format!("probe: {subject}"), verdict, detail)
    };
    let host = service.and_then(|e| value(e, "host")).unwrap_or("nowhere");
    Ok(vec![
        found("orders", host == "orders.upstream", format!("harbor-orders leads to {host}")),
        found(
            "routing",
            all.iter().all(|name| names.contains(name)),
            format!("harbor-orders has the routes {}", names.join(", ")),
        ),
        found(
            "authentication",
            plugins.iter().any(guarded),
            format!("{} plugins guard harbor-orders, key-auth must be one", plugins.len()),
        ),
        found("latest change", moved, "one route must lead from /settlement".to_owned()),
    ])
}

/// The entries of a section of the file, as lines.
fn entries<'a>(text: &'a str, section: &str) -> Vec<Vec<&'a str>> {
    let mut entries: Vec<Vec<&str>> = Vec::new();
    let heading = format!("{section}:");
    let lines = text.lines().skip_while(|line| *line != heading).skip(1);
    for line in lines.take_while(|line| line.starts_with([' ', '-'])) {
        match (line.starts_with("- "), entries.last_mut()) {
            (false, Some(last)) => last.push(line),
            _ => entries.push(vec![line]),
        }
    }
    entries
}

/// A plain value of an entry.
fn value<'a>(entry: &[&'a str], name: &str) -> Option<&'a str> {
    entry.iter().find_map(|line| {
        let line = line.strip_prefix("- ").or_else(|| line.strip_prefix("  "))?;
        Some(line.strip_prefix(name)?.strip_prefix(": ")?.trim_matches('"'))
    })
}
