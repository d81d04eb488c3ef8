//! Rehearsing a recovery.

use std::sync::Arc;
use std::time::Duration;

use super::{BackupInfo, PreparedRestore, Repository, metrics};
use crate::catalog::{
    DrillFacts, DrillVerdict, EventDraft, EventKind, EventOutcome, RecoveryPoint, State,
};
use crate::clock::Timestamp;
use crate::context::Context;
use crate::crypt::uuid_v7;
use crate::drill::{Candidate, CleanUp, DrillReport, Pick, Selection, choose};
use crate::error::{Error, ErrorKind, Result};
use crate::policy::Objectives;
use crate::report::RestoreReport;
use crate::restore::{ApplyOptions, Phases, Probing, RunStatus};
use crate::target::Target;

impl Repository {
    /// Describes a drill: a recovery point is restored to `target`, compared, probed, and taken away
    /// again. The newest one, unless said otherwise.
    pub fn drill(&self, target: Arc<dyn Target>) -> DrillBuilder {
        DrillBuilder {
            repository: self.clone(),
            target,
            pick: Pick::Latest,
            gateway: None,
            options: ApplyOptions::default(),
            probing: None,
            occupied: false,
            keep: false,
        }
    }
}

/// A drill that is about to run.
#[derive(Debug, Clone)]
#[must_use = "nothing happens before `run`"]
pub struct DrillBuilder {
    repository: Repository,
    target: Arc<dyn Target>,
    pick: Pick,
    gateway: Option<(String, String)>,
    options: ApplyOptions,
    probing: Option<Probing>,
    occupied: bool,
    keep: bool,
}

impl DrillBuilder {
    /// One by lot, of those that were committed at most `window` ago: the same seed chooses the same
    /// one again, as long as the candidates are the same.
    pub fn random(mut self, seed: u64, window: Duration) -> Self {
        self.pick = Pick::Random { seed, window };
        self
    }

    /// Only backups of this application and environment.
    pub fn gateway(
        mut self,
        application: impl Into<String>,
        environment: impl Into<String>,
    ) -> Self {
        self.gateway = Some((application.into(), environment.into()));
        self
    }

    /// Consents and further tests, as for a restore.
    pub fn options(mut self, options: ApplyOptions) -> Self {
        self.options = options;
        self
    }

    /// Probes the target's behaviour by what the backup promises.
    pub fn probing(mut self, probing: Probing) -> Self {
        self.probing = Some(probing);
        self
    }

    /// Lets the target hold something already. What is in the way is changed, and changed back.
    pub fn onto_occupied(mut self) -> Self {
        self.occupied = true;
        self
    }

    /// Leaves on the target what was restored.
    pub fn keep(mut self) -> Self {
        self.keep = true;
        self
    }

    /// Runs it, and writes into the log how it ended.
    ///
    /// `NotFound` where no recovery point fits; `Refused` for a target that is a gateway of which
    /// there are backups here, or that holds something: nothing is written then. A restore that cannot
    /// begin or fails is a drill that failed, and no error. What was made is taken away again also
    /// when the context is cancelled; a dropped future is a crash, and the target's open run can be
    /// rolled back.
    pub async fn run(self, cx: &Context) -> Result<DrillReport> {
        let ended = self.rehearse(cx).await;
        let samples = metrics::drill(self.gateway.as_ref(), ended.as_ref());
        self.repository.measured_aside(cx, samples).await;
        ended
    }

    async fn rehearse(&self, cx: &Context) -> Result<DrillReport> {
        let vault = Arc::clone(&self.repository.vault);
        vault.writable()?;
        let mut phases = Phases::new(cx);
        phases.begin(cx, "choose the recovery point");
        let (backup, selection, rpo) = self.choose(cx).await?;
        let target = self.target.address();
        phases.begin(cx, "read the backup and the target, plan");
        let prepared = self.repository.restore(&backup, Arc::clone(&self.target)).plan(cx).await;
        let (details, manifest) = (backup.details(), backup.manifest());
        let mut report = DrillReport {
            schema: "gwbackup.drill/1".to_owned(),
            drill: uuid_v7(cx.clock().as_ref())?,
            verdict: DrillVerdict::Fail,
            findings: Vec::new(),
            selection,
            backup: backup.id(),
            backup_name: backup.name(),
            application: details.application.clone(),
            environment: details.environment.clone(),
            taken_at: manifest.started_at,
            target,
            restore: None,
            clean_up: CleanUp::NotNeeded,
            left: Vec::new(),
            objectives: vault.policy.objectives,
            rto_seconds: None,
            rpo_seconds: rpo.as_secs(),
            phases: Vec::new(),
            started_at: phases.started(),
            ended_at: cx.now(),
            next_due: None,
        };
        let restored = match prepared {
            Ok(prepared) => {
                if let (false, Some(one)) = (self.occupied, prepared.ready.occupant()) {
                    return Err(Error::refused("the target of a drill holds something already")
                        .on(one)
                        .help("give an empty one, or say that it may be changed"));
                }
                phases.begin(cx, "restore");
                self.restore(cx, prepared).await
            }
            Err(e) => Err(e),
        };
        let failed = match restored {
            Ok(restored) => {
                let took = cx.now().duration_since(report.started_at);
                report.rto_seconds = u64::try_from(took.as_secs()).ok();
                phases.begin(cx, "clean up");
                self.clean_up(&cx.uncancelled(), &restored, &mut report).await;
                report.restore = Some(restored);
                None
            }
            Err(e) if e.kind() == ErrorKind::Cancelled => return Err(e),
            Err(e) => Some(format!("the restore could not begin, or was cut off: {e}")),
        };
        report.judge(failed);
        report.phases = phases.finish(cx);
        report.ended_at = cx.now();
        report.next_due = next_due(&self.repository, report.ended_at);
        self.record(&cx.uncancelled(), &report).await?;
        Ok(report)
    }

    /// The recovery point, how it was chosen, and what would have been lost with it.
    async fn choose(&self, cx: &Context) -> Result<(BackupInfo, Selection, Duration)> {
        let all = self.repository.list(cx).await?;
        let address = self.target.address();
        let regular = |backup: &&BackupInfo| backup.point.facts.kind != "safety";
        if let Some(own) = all.iter().filter(regular).find(|b| b.details().gateway == address) {
            return Err(Error::refused(
                "the target of a drill is a gateway that is backed up here",
            )
            .on(&address)
            .help(format!("give a scratch gateway: {} is of this one", own.name())));
        }
        let now = cx.now();
        let fits = |backup: &&BackupInfo| {
            let facts = &backup.point.facts;
            let own = (&facts.application, &facts.environment);
            self.gateway.as_ref().is_none_or(|(app, env)| own == (app, env))
                && matches!(backup.state(now), State::Success | State::Partial)
        };
        let candidate = |backup: &BackupInfo| Candidate {
            committed: backup.point.committed.unwrap_or(backup.point.started),
            taken: backup.manifest().started_at,
            backup: backup.id(),
        };
        let candidates = all.iter().filter(regular).filter(fits).map(candidate).collect();
        let (chosen, selection) = choose(candidates, self.pick, now).ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "no recovery point fits")
                .help("`list` shows what there is")
        })?;
        let found = all.iter().find(|backup| backup.id() == chosen.backup).cloned();
        let backup = found.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "the recovery point is gone").on(chosen.backup)
        })?;
        let same = |other: &&BackupInfo| {
            let (a, b) = (&other.point.facts, &backup.point.facts);
            (&a.application, &a.environment) == (&b.application, &b.environment)
        };
        let later = all.iter().filter(regular).filter(same).map(|b| b.manifest().started_at);
        let next = later.filter(|at| *at > chosen.taken).min().unwrap_or(now);
        let rpo = next.duration_since(chosen.taken).try_into().unwrap_or_default();
        Ok((backup, selection, rpo))
    }

    async fn restore(&self, cx: &Context, prepared: PreparedRestore) -> Result<RestoreReport> {
        let mut options = self.options.clone();
        options.accept_undrilled = true;
        options.probing = self.probing.clone().or(options.probing);
        // How old a point is by now says nothing about the promise: it may be one of last month.
        let outcome = prepared.apply_for(cx, &options, Objectives::default()).await?;
        Ok(outcome.report)
    }

    /// Takes away what the restore made.
    async fn clean_up(&self, cx: &Context, restored: &RestoreReport, report: &mut DrillReport) {
        let Some(run) = restored.run.filter(|_| restored.status != RunStatus::RolledBack) else {
            return;
        };
        if self.keep {
            report.clean_up = CleanUp::Kept;
            return;
        }
        let target = Arc::clone(&self.target);
        match self.repository.carry_on(cx, run, target, &ApplyOptions::default(), true).await {
            Ok(outcome) => {
                let back = outcome.report;
                let different = back.compare.differences.iter().map(|d| d.key.to_string());
                report.left.extend(different);
                report.left.extend(back.newcomers.iter().map(ToString::to_string));
                report.left.extend(back.unread.map(|why| format!("not looked at: {why}")));
                if back.status != RunStatus::RolledBack {
                    report.left.extend(back.failures);
                }
                let clean = back.status == RunStatus::RolledBack && report.left.is_empty();
                report.clean_up = if clean { CleanUp::Done } else { CleanUp::Failed };
            }
            Err(e) => {
                report.clean_up = CleanUp::Failed;
                report.left.push(format!("everything of run {run}: {e}"));
            }
        }
    }

    async fn record(&self, cx: &Context, report: &DrillReport) -> Result<()> {
        let outcome = match report.verdict {
            DrillVerdict::Pass => EventOutcome::Success,
            DrillVerdict::PassWithFindings => EventOutcome::Partial,
            DrillVerdict::Fail => EventOutcome::Failed,
        };
        let facts = DrillFacts {
            drill: report.drill,
            verdict: report.verdict,
            ended: report.ended_at,
            target: report.target.clone(),
            rto_seconds: report.rto_seconds,
            rpo_seconds: report.rpo_seconds,
        };
        let draft = EventDraft::new(cx, EventKind::DRILL, "backup", report.backup, outcome)?
            .count("candidates", report.selection.candidates)
            .count("findings", report.findings.len() as u64)
            .data(&facts)?;
        self.repository.vault.record(cx, draft).await.map(drop)
    }
}

/// When the next drill is due after one that ended then.
fn next_due(repository: &Repository, ended: Timestamp) -> Option<Timestamp> {
    let every = repository.vault.policy.drills.every?;
    ended.checked_add(jiff::SignedDuration::try_from(every.duration()).ok()?).ok()
}

/// How the rehearsals of one gateway stand.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct DrillStanding {
    /// The last drill.
    pub last: Option<DrillFacts>,
    /// When the last one ended that did not fail.
    pub passed: Option<Timestamp>,
    /// Whether the policy wants one by now.
    pub overdue: bool,
}

/// How the rehearsals stand, of the gateway that these backups are of.
pub(super) fn standing<'a>(
    points: impl Iterator<Item = &'a RecoveryPoint>,
    every: Option<Duration>,
    now: Timestamp,
) -> DrillStanding {
    let (mut last, mut passed, mut oldest): (Option<&DrillFacts>, _, Option<Timestamp>) =
        (None, None, None);
    for point in points {
        oldest = oldest.into_iter().chain(point.committed).min();
        let Some(drill) = &point.drill else { continue };
        if last.is_none_or(|other| other.ended < drill.ended) {
            last = Some(drill);
        }
        passed = passed.max(point.drill_passed);
    }
    let since = passed.or(oldest);
    let age = since.and_then(|since| Duration::try_from(now.duration_since(since)).ok());
    let overdue = every.zip(age).is_some_and(|(every, age)| age > every);
    DrillStanding { last: last.cloned(), passed, overdue }
}
