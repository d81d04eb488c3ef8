//! The tour: everything that the library is for, on a Kong node that runs in this process and is
//! spoken to over HTTP.

mod gateway;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use gwbackup::backup::{BackupReport, BackupType};
use gwbackup::clock::Timestamp;
use gwbackup::crypt::KeyFile;
use gwbackup::model::{Finding, Verdict};
use gwbackup::report::{GoLive, RestoreReport};
use gwbackup::restore::{ApplyOptions, Plan};
use gwbackup::sink::DirectorySink;
use gwbackup::source::Purpose;
use gwbackup::target::Target;
use gwbackup::verify::Depth;
use gwbackup::{Context, Copy, Error, Repository, Result};
use serde_json::json;

use crate::cli::Quickstart;
use crate::command::restore::{describe, fields};
use crate::output::{Outcome, Output, stdout};
use crate::session::{Session, write_new};
use crate::table::{size, table};
use gateway::{Node, Probe, Saboteur};

pub(crate) async fn run(session: &Session, arguments: Quickstart) -> Result<Outcome> {
    let dir = directory(arguments.dir)?;
    if session.global.dry_run {
        return Err(Error::invalid(
            "the tour writes to its own directory only; leave --dry-run out",
        ));
    }
    let tour = Tour::new(session, dir, Node::start().await?);
    let repository = tour.prepare().await?;
    let first = tour.first_backup(&repository).await?;
    tour.change(&repository).await?;
    tour.verify(&repository).await?;
    tour.disaster()?;
    let report = tour.restore(&repository, arguments.sabotage).await?;
    tour.end(&report, &first)
}

struct Tour<'a> {
    cx: &'a Context,
    output: Output,
    dir: PathBuf,
    node: Node,
    began: Timestamp,
}

impl<'a> Tour<'a> {
    fn new(session: &'a Session, dir: PathBuf, node: Node) -> Self {
        let (cx, output) = (&session.cx, session.output);
        Self { cx, output, node, dir, began: cx.now() }
    }

    /// A line of the story.
    fn tell(&self, text: impl std::fmt::Display) {
        if self.output.json() {
            self.output.say(text);
        } else {
            stdout(&format!("{text}\n"));
        }
    }

    fn chapter(&self, number: u8, title: &str) {
        self.tell(format_args!("\n{number}. {title}"));
    }

    /// Gateway, key, repository on two directories, preflight.
    async fn prepare(&self) -> Result<Repository> {
        self.tell("gwbackup quickstart: a gateway is backed up, lost, and brought back.");
        self.tell(format_args!(
            "The gateway: {}, a double of Kong in this process",
            self.node.url()
        ));
        self.tell(format_args!("The rest is in {}", self.dir.display()));
        let keys = self.dir.join("keys");
        std::fs::create_dir_all(&keys)?;
        let path = keys.join("gwbackup.key");
        let key = Arc::new(KeyFile::generate(&path, None)?);
        let state = self.dir.join("state");
        let (mut new, mut open) = (Repository::create(), Repository::builder());
        for (name, medium) in [("copy-a", "disk"), ("copy-b", "usb-disk")] {
            let sink = Arc::new(DirectorySink::open(self.dir.join(name)).await?);
            let copy = Copy::new(sink).medium(medium);
            (new, open) = (new.copy(copy.clone()), open.copy(copy));
        }
        let made = new.key(Arc::clone(&key) as _).state(&state).run(self.cx).await?;
        made.kit.write(&keys.join("recovery-kit.txt"))?;
        key.bind(*made.id.as_bytes())?;
        let repository =
            open.key(Arc::new(KeyFile::open(&path)?)).state(&state).open(self.cx).await?;
        self.chapter(1, "A repository on two directories, and a look before the start");
        self.tell(format_args!("   repository {}...", &made.id.to_string()[..16]));
        let source = self.node.gateway()?;
        let found = repository.preflight(self.cx, &source, Purpose::Backup).await?;
        let passed = if found.is_ok() { "all good" } else { "something FAILED" };
        self.tell(format_args!("   preflight: {} checks, {passed}", found.findings.len()));
        Ok(repository)
    }

    async fn back_up(&self, repository: &Repository, kind: BackupType) -> Result<BackupReport> {
        let backup = repository
            .backup(Arc::new(self.node.gateway()?))
            .application("shop")
            .environment("prod");
        let report = backup.kind(kind).tag("tour", "quickstart").run(self.cx).await?;
        let copies = report.copies.iter().filter(|copy| copy.ok).count();
        self.tell(format_args!(
            "   {}: {} resources of {} kinds; {} of configuration in {}, sealed,",
            report.name,
            report.resources,
            report.kinds.len(),
            size(report.bytes),
            size(report.stored_bytes),
        ));
        self.tell(format_args!("   written to {copies} copies and read back from each"));
        Ok(report)
    }

    async fn first_backup(&self, repository: &Repository) -> Result<BackupReport> {
        self.chapter(2, "A full backup");
        self.back_up(repository, BackupType::Full).await
    }

    /// Somebody works on the gateway; the next backup holds only what differs.
    async fn change(&self, repository: &Repository) -> Result<()> {
        self.chapter(3, "Somebody changes the gateway; an incremental backup takes the difference");
        self.node.edit()?;
        let last = repository.find(self.cx, "latest").await?;
        let found = repository.drift(self.cx, Arc::new(self.node.gateway()?), &last).await?;
        for added in &found.added {
            self.tell(format_args!("   + {} ({})", added.key, added.name.as_deref().unwrap_or("")));
        }
        for changed in &found.changed {
            let name = changed.name.as_deref().unwrap_or("");
            self.tell(format_args!("   ~ {} ({name})", changed.key));
            self.tell(fields(&changed.fields).trim_end());
        }
        self.back_up(repository, BackupType::Incremental).await.map(drop)
    }

    async fn verify(&self, repository: &Repository) -> Result<()> {
        self.chapter(4, "Both backups are opened and read in full, on both copies");
        let report = repository.verify().depth(Depth::Full).run(self.cx).await?;
        self.tell(format_args!("   {} checked, {} failed", report.checked, report.failures.len()));
        match report.failures.first() {
            None => Ok(()),
            Some(first) => Err(Error::corrupt(first.detail.clone()).on(&first.object)),
        }
    }

    /// Most of the gateway is gone.
    fn disaster(&self) -> Result<()> {
        self.chapter(5, "Disaster");
        let (left, before) = self.node.ruin()?;
        self.tell(format_args!("   {left} entities of {before} are left:"));
        self.tell("   no service, no route, no plugin, no upstream, no consumer and no credential");
        Ok(())
    }

    async fn restore(&self, repository: &Repository, sabotage: bool) -> Result<RestoreReport> {
        self.chapter(6, "A plan: what would have to be written (nothing is, so far)");
        let gateway = self.node.gateway()?;
        let target: Arc<dyn Target> = if sabotage {
            Arc::new(Saboteur::new(gateway, self.node.clone()))
        } else {
            Arc::new(gateway)
        };
        let backup = repository.find(self.cx, "latest:shop/prod").await?;
        let prepared = repository.restore(&backup, target).plan(self.cx).await?;
        self.show(prepared.plan())?;
        self.chapter(7, "The restore");
        let options = ApplyOptions::default()
            .check(Arc::new(Probe(self.node.clone())))
            .probing(self.node.probing()?);
        let report = prepared.apply(self.cx, &options).await?.report;
        self.tell(format_args!(
            "   {:?}: {} resources written, parents first, several at a time; hashed passwords",
            report.status,
            report.summary.writes(),
        ));
        self.tell(
            "   by an import, since a node would hash them again. The gateway's state before is",
        );
        self.tell("   kept as a safety backup, so that the restore itself can be turned round");
        if sabotage {
            self.tell("   (and somebody altered one resource behind the restore's back)");
        }
        self.chapter(8, "Read back, compare, probe");
        let compare = &report.compare;
        self.tell(format_args!(
            "   {} resources equal, {} different, {} that cannot be compared",
            compare.equal + compare.ignorable,
            compare.different,
            compare.unverifiable
        ));
        let own = |finding: &&Finding| finding.subject.starts_with("probe: ");
        for finding in report.checks.iter().filter(own) {
            self.tell(format_args!(
                "   {:?}: {}: {}",
                finding.verdict, finding.subject, finding.detail
            ));
        }
        let count = |verdict: Verdict| {
            report.checks.iter().filter(|f| !own(f) && f.verdict == verdict).count()
        };
        self.tell(format_args!(
            "   and through the proxy, by what the backup promises: {} passed, {} failed, {} not run",
            count(Verdict::Ok),
            count(Verdict::Failed),
            count(Verdict::NotRun)
        ));
        Ok(report)
    }

    /// A few lines on the screen, all of it in a file.
    fn show(&self, plan: &Plan) -> Result<()> {
        let path = self.dir.join("plan.txt");
        write_new(&path, &describe(plan))?;
        let mut kinds: Vec<(&str, u32)> = Vec::new();
        for step in &plan.steps {
            match kinds.iter_mut().find(|(kind, _)| *kind == step.kind) {
                Some((_, count)) => *count += 1,
                None => kinds.push((&step.kind, 1)),
            }
        }
        let cells: Vec<String> = kinds.iter().map(|(kind, n)| format!("{n} {kind}")).collect();
        for line in cells.chunks(5) {
            self.tell(format_args!("   {}", line.join(", ")));
        }
        let s = &plan.summary;
        self.tell(format_args!(
            "   create {}, update {}, delete {}; {} are as they should be",
            s.create, s.update, s.delete, s.unchanged
        ));
        self.tell(format_args!("   each write, in order: {}", path.display()));
        Ok(())
    }

    fn end(&self, report: &RestoreReport, first: &BackupReport) -> Result<Outcome> {
        let text = serde_json::to_string_pretty(report)
            .map_err(|_| Error::invalid("the report cannot be written as JSON"))?;
        let (markdown, machine) = (self.dir.join("report.md"), self.dir.join("report.json"));
        write_new(&markdown, &report.to_markdown())?;
        write_new(&machine, &text)?;
        let page = self.dir.join("report.html");
        write_new(&page, &report.to_html())?;
        let took = self.cx.now().duration_since(self.began).as_millis();
        self.tell(format_args!(
            "\nThe tour took {}.{:03} s. Look around:",
            took / 1000,
            took % 1000
        ));
        let here = |name: &str| self.dir.join(name).display().to_string();
        self.tell(table(
            &["  FILE", "IS"],
            &[
                vec![format!("  {}", page.display()), "the go-live report; also .md, .json".into()],
                vec![format!("  {}", here("copy-a")), "one copy; the other is copy-b".into()],
                vec![format!("  {}", here("keys")), "the key, and the recovery kit".into()],
            ],
        ));
        self.tell(format_args!(
            "  gwbackup list --repo {} --repo {} --key {} --state {}",
            here("copy-a"),
            here("copy-b"),
            here("keys/gwbackup.key"),
            here("state"),
        ));
        let mut last = String::from("\n");
        for reason in &report.reasons {
            last += &format!("   {reason}\n");
        }
        for deviation in &report.compare.differences {
            last += &format!("   {}, expected -> found:\n", deviation.key);
            last += &fields(&deviation.fields);
        }
        last += &format!("Verdict: {}\n", report.verdict);
        if self.output.json() {
            self.output.say(last.trim_end());
        }
        let result = json!({
            "verdict": report.verdict,
            "report": report,
            "directory": self.dir,
            "full_backup": first.id,
            "milliseconds": u64::try_from(took).unwrap_or_default(),
        });
        let code = u8::from(report.verdict == GoLive::NoGo);
        Ok(Outcome::new(&result, last)?.with_code(code))
    }
}

/// An empty directory: the one that was named, or a new one that stays.
fn directory(given: Option<PathBuf>) -> Result<PathBuf> {
    let Some(dir) = given else {
        let made = tempfile::Builder::new().prefix("gwbackup-quickstart-").tempdir()?;
        return Ok(made.keep());
    };
    std::fs::create_dir_all(&dir).map_err(|e| Error::from(e).on(dir.display()))?;
    if std::fs::read_dir(&dir)?.next().is_some() {
        return Err(Error::refused("the directory is not empty")
            .on(dir.display())
            .help("name a new one: nothing is overwritten"));
    }
    absolute(&dir)
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|e| Error::from(e).on(path.display()))
}
