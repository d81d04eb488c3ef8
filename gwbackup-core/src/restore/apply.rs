//! Carrying a plan out, from the safety backup to the report.

use std::collections::BTreeSet;
use std::sync::Arc;

use uuid::Uuid;

use super::about::EndFacts;
use super::approval::{Act, Authorizer, Request, authorize};
use super::compare::{Comparison, compare, newcomers};
use super::journal::{Record, RunStatus};
use super::phases::{Phase, Phases};
use super::plan::Plan;
use super::prepare::{Ready, capture};
use super::probing::Probing;
use super::resume::Resumed;
use super::run::{Run, full_text};
use super::world::World;
use crate::archive::Details;
use crate::backup::{self, BackupReport};
use crate::catalog::{EventDraft, EventKind, EventOutcome};
use crate::clock::Timestamp;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Finding, IdMap, Key, Verdict};
use crate::plan::Presence;
use crate::target::{Check, Target};
use crate::task::blocking;
use crate::vault::Vault;

/// Names of phases that more than one way leads through.
const WRITE: &str = "write";
const COMPARE: &str = "read back and compare";

/// What a restore may do.
#[derive(Debug, Clone, Default)]
pub struct ApplyOptions {
    /// Restore from a backup in which a part of the gateway is missing.
    pub accept_partial: bool,
    /// Destroy values that no roll back could bring back.
    pub accept_loss: bool,
    /// Restore though the policy demands a drill of the backup, and none has passed.
    pub accept_undrilled: bool,
    /// Probes of what the restored configuration promises, to run afterwards: of the backup with
    /// mapping and supplied secrets, also where a run is carried on.
    pub probing: Option<Probing>,
    /// Further tests to run afterwards.
    pub checks: Vec<Arc<dyn Check>>,
    /// Who decides whether the gateway may be written; everybody may if absent.
    pub authorizer: Option<Arc<dyn Authorizer>>,
    /// Which stage the gateway is, for that decision; that of the backup if absent.
    pub environment: Option<String>,
}

impl ApplyOptions {
    /// Asks whether this may be done; why it may.
    async fn authorized(
        &self,
        vault: &Vault,
        cx: &Context,
        act: Act,
        about: (&str, Uuid, String),
        details: &Details,
    ) -> Result<Option<String>> {
        let Some(authorizer) = &self.authorizer else { return Ok(None) };
        let (gateway, backup, subject) = about;
        let request = Request {
            act,
            actor: cx.actor().to_owned(),
            claims: cx.claims().clone(),
            reason: cx.reason().map(str::to_owned),
            gateway: gateway.to_owned(),
            environment: self.environment.clone().unwrap_or_else(|| details.environment.clone()),
            backup,
            subject,
            approvals: Vec::new(),
        };
        authorize(vault, cx, authorizer.as_ref(), request).await.map(Some)
    }
}

/// How a run went.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RunReport {
    /// The run; none when there was nothing to write.
    pub run: Option<Uuid>,
    /// How it ended.
    pub status: RunStatus,
    /// Calls to the target that ended well.
    pub applied: u64,
    /// What reading back found.
    pub compare: Comparison,
    /// The backup of the target before the run.
    pub safety: Option<Uuid>,
    /// Why the gateway could be written, where somebody had to be asked.
    pub allowed: Option<String>,
    /// Why the target could not be read back; `compare` is empty then.
    pub unread: Option<String>,
    /// Identities in the target, where they differ from those in the backup.
    pub map: IdMap,
    /// Why the run turned round, and what could not be undone.
    pub failures: Vec<String>,
    /// What came by itself with what the run made, is not in the backup, and is still there.
    pub newcomers: Vec<Key>,
    /// What the tests found.
    pub checks: Vec<Finding>,
    /// What was done when, in order.
    pub phases: Vec<Phase>,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
}

impl Ready {
    /// Everything that forbids the first write.
    fn consent(&self, options: &ApplyOptions) -> Result<()> {
        let plan = &self.plan;
        if let Some(item) = plan.blocked.first() {
            let more = match plan.blocked.len() - 1 {
                0 => String::new(),
                more => format!(" (and {more} more)"),
            };
            let message = match &item.decision {
                crate::plan::Decision::Blocked(why) => format!("blocked: {why}{more}"),
                _ => format!("it is not clear which of the target's resources it is{more}"),
            };
            return Err(Error::refused(message).on(&item.key).help(
                "see the plan; map what is named, supply what is missing, or restore a selection",
            ));
        }
        if let Some(missing) = plan.dependencies.iter().find(|d| d.presence == Presence::Missing) {
            let message = "it is missing outside the gateway, and the configuration needs it";
            return Err(Error::refused(message)
                .on(format!("{} {}", missing.class, missing.name))
                .help("provide it, map its name to another, or leave out what needs it"));
        }
        if let Some(finding) = plan.findings.iter().find(|f| f.verdict == Verdict::Failed) {
            return Err(Error::refused(format!("the target refuses: {}", finding.detail))
                .on(&finding.subject));
        }
        if plan.backup_partial && !options.accept_partial {
            return Err(Error::refused("a part of the gateway is missing in this backup")
                .on(&plan.backup_name)
                .help("choose another backup, or accept it (`--accept-partial`)"));
        }
        let environment = &self.details.environment;
        let demanded = self.vault.policy.drills.required_for.contains(environment);
        if demanded && !self.drilled && !options.accept_undrilled {
            return Err(Error::refused(
                "no drill of this backup has passed, and the policy demands one",
            )
            .on(&plan.backup_name)
            .help(
                "run `drill`, choose a backup that was drilled, or accept it \
                       (`--accept-undrilled`)",
            ));
        }
        if let Some(step) = plan.losses().next().filter(|_| !options.accept_loss) {
            return Err(Error::refused("a value that nobody could bring back would be destroyed")
                .on(format!("{}/{}", step.kind, step.id))
                .help("accept the loss (`--accept-loss`), or leave the resource out"));
        }
        Ok(())
    }

    /// Refuses when the target has moved since the plan was made.
    async fn unmoved(&self, cx: &Context) -> Result<()> {
        let scope = crate::model::Scope::everything();
        let now = self.target.revision(cx, &scope).await?;
        let moved = if let (Some(then), Some(now)) = (&self.safety.revision, &now) {
            then != now
        } else {
            let again =
                capture(&self.vault, cx, &self.target, &self.description, &self.details).await?;
            again.details.state_digest != self.safety.details.state_digest
        };
        if moved {
            return Err(Error::new(
                ErrorKind::Conflict,
                "the target has changed since the plan was made",
            )
            .on(&self.plan.target)
            .help("make a new plan"));
        }
        Ok(())
    }

    /// Carries the plan out.
    pub(crate) async fn apply(self, cx: &Context, options: &ApplyOptions) -> Result<RunReport> {
        self.consent(options)?;
        self.vault.writable()?;
        let mut phases = Phases::new(cx);
        let partial = self.plan.summary.cannot_restore > 0;
        let vault = Arc::clone(&self.vault);
        if self.plan.is_empty() {
            return self.nothing_to_do(cx, options, partial, phases).await;
        }
        let about = (self.plan.target.as_str(), self.plan.backup, self.plan.digest()?);
        let allowed = options.authorized(&vault, cx, Act::Restore, about, &self.details).await?;
        phases.begin(cx, "see that the target has not moved");
        self.unmoved(cx).await?;
        phases.begin(cx, "safety backup");
        let (mut run, begin, rest) = self.into_run(cx).await?;
        let facts = EndFacts {
            run: run.id,
            source: rest.plan.source.clone(),
            target: rest.plan.target.clone(),
            backup: begin.backup,
            safety: Some(begin.safety),
            status: RunStatus::Cancelled,
        };
        let safety = safety_backup(&vault, cx, rest.safety).await?;
        announce(&vault, cx, &facts, &rest.plan).await?;
        run.journal.write(cx, &Record::Begin(Box::new(begin))).await?;
        let id = run.id;
        phases.begin(cx, WRITE);
        run.go(cx, partial).await.map(drop).or_else(stopped).map_err(|e| interrupted(id, e))?;
        conclude(&vault, cx, run, &rest.details, &rest.left_alone, options, facts, phases)
            .await
            .map(|report| RunReport { safety: Some(safety.id), allowed, ..report })
            .map_err(|e| interrupted(id, e))
    }

    async fn nothing_to_do(
        self,
        cx: &Context,
        options: &ApplyOptions,
        partial: bool,
        mut phases: Phases,
    ) -> Result<RunReport> {
        phases.begin(cx, COMPARE);
        let live = self.safety.view(&self.vault).await?;
        let (world, left_alone) = (self.world.clone(), self.left_alone.clone());
        let compare = blocking(move || compare(&world, live.as_ref(), false, &left_alone)).await?;
        let checks = tested(cx, &mut phases, options, &self.target, &self.world).await;
        let (started, phases) = (phases.started(), phases.finish(cx));
        Ok(RunReport {
            phases,
            unread: None,
            allowed: None,
            run: None,
            status: if partial { RunStatus::Partial } else { RunStatus::Success },
            applied: 0,
            compare,
            safety: None,
            map: self.kept,
            failures: Vec::new(),
            newcomers: Vec::new(),
            checks,
            started,
            ended: cx.now(),
        })
    }
}

/// An error of a run that has begun: whoever reads it must know how to go on.
fn interrupted(run: Uuid, error: Error) -> Error {
    Error::new(error.kind(), "the run was interrupted")
        .with_retry(error.retry())
        .on(run)
        .help(format!("`resume {run}` goes on, `rollback {run}` undoes"))
        .with_source(error)
}

/// A cancelled run has a report, too.
fn stopped(error: Error) -> Result<()> {
    if error.kind() == ErrorKind::Cancelled { Ok(()) } else { Err(error) }
}

async fn safety_backup(
    vault: &Vault,
    cx: &Context,
    prepared: backup::Prepared,
) -> Result<BackupReport> {
    prepared.announce(vault, cx).await?;
    backup::commit(vault, cx, prepared).await
}

async fn announce(vault: &Vault, cx: &Context, facts: &EndFacts, plan: &Plan) -> Result<()> {
    let kind = EventKind::RESTORE_START;
    let draft = EventDraft::new(cx, kind, "run", facts.run, EventOutcome::Started)?
        .count("writes", plan.summary.writes())
        .data(facts)?;
    vault.record(cx, draft).await.map(drop)
}

/// Goes on with a run, or turns it round.
pub(crate) async fn carry_on(
    vault: &Arc<Vault>,
    cx: &Context,
    resumed: Resumed,
    turn: bool,
    options: &ApplyOptions,
) -> Result<RunReport> {
    vault.writable()?;
    let mut phases = Phases::new(cx);
    let Resumed { mut run, begin, details, left_alone, partial, announced, .. } = resumed;
    let id = run.id;
    let ended = run.state.ended.filter(|_| announced);
    match (ended, turn) {
        (Some(RunStatus::Success | RunStatus::Partial | RunStatus::RolledBack), false) => {
            return Err(Error::refused("the run is over: there is nothing to carry on").on(run.id));
        }
        (Some(RunStatus::RolledBack), true) => {
            return Err(Error::refused("the run was rolled back already").on(run.id));
        }
        _ => {}
    }
    let act = if turn { Act::RollBack } else { Act::Resume };
    let about = (begin.target.as_str(), begin.backup, id.to_string());
    let allowed = options.authorized(vault, cx, act, about, &details).await?;
    phases.begin(cx, if turn { "roll back" } else { WRITE });
    if turn && !run.state.backwards {
        run.turn(cx, "asked for".to_owned()).await.map_err(|e| interrupted(id, e))?;
    }
    let facts = EndFacts {
        run: run.id,
        source: details.gateway.clone(),
        target: begin.target.clone(),
        backup: begin.backup,
        safety: Some(begin.safety),
        status: RunStatus::Cancelled,
    };
    // A run that was cut off between its last record and its report wants only the report.
    let finished = [RunStatus::Success, RunStatus::Partial, RunStatus::RolledBack];
    if !run.state.ended.is_some_and(|status| finished.contains(&status)) {
        run.go(cx, partial).await.map(drop).or_else(stopped).map_err(|e| interrupted(id, e))?;
    }
    conclude(vault, cx, run, &details, &left_alone, options, facts, phases)
        .await
        .map(|report| RunReport { safety: Some(begin.safety), allowed, ..report })
        .map_err(|e| interrupted(id, e))
}

/// Reads back, tests, and writes down how it ended.
#[expect(clippy::too_many_arguments, reason = "each is one part of the report")]
async fn conclude(
    vault: &Arc<Vault>,
    cx: &Context,
    run: Run,
    details: &Details,
    left_alone: &BTreeSet<Key>,
    options: &ApplyOptions,
    mut facts: EndFacts,
    mut phases: Phases,
) -> Result<RunReport> {
    // A cancelled run still says where it stands.
    let cx = &cx.clone().with_cancellation(tokio_util::sync::CancellationToken::new());
    let status = run.state.ended.unwrap_or(RunStatus::Cancelled);
    facts.status = status;
    let map = run.id_map();
    let rolled_back = run.state.backwards;
    let mut checks = Vec::new();
    let (mut found, mut unread) = (Seen::default(), None);
    if status != RunStatus::Cancelled {
        phases.begin(cx, COMPARE);
        // What was written stays written, whether or not it can be looked at.
        match look(vault, cx, &run, details, left_alone).await {
            Ok(seen) => found = seen,
            Err(e) => unread = Some(full_text(&e)),
        }
        if !rolled_back {
            checks = tested(cx, &mut phases, options, &run.target, &run.world).await;
        }
    }
    let Seen { compare, newcomers } = found;
    let outcome = match status {
        RunStatus::Success => EventOutcome::Success,
        RunStatus::Partial => EventOutcome::Partial,
        RunStatus::RolledBack => EventOutcome::RolledBack,
        _ => EventOutcome::Failed,
    };
    if status != RunStatus::Cancelled {
        let kind = EventKind::RESTORE_END;
        let of = |fits: &dyn Fn(Verdict) -> bool| {
            checks.iter().filter(|finding| fits(finding.verdict)).count() as u64
        };
        let draft = EventDraft::new(cx, kind, "run", run.id, outcome)?
            .count("applied", run.state.applied)
            .count("equal", compare.equal)
            .count("different", compare.different)
            .count("tests", of(&|verdict| verdict != Verdict::NotRun))
            .count("tests_failed", of(&|verdict| verdict == Verdict::Failed))
            .data(&facts)?;
        vault.record(cx, draft).await?;
    }
    let (started, phases) = (phases.started(), phases.finish(cx));
    Ok(RunReport {
        phases,
        run: Some(run.id),
        status,
        applied: run.state.applied,
        compare,
        unread,
        allowed: None,
        safety: None,
        map,
        failures: run.state.failures,
        newcomers,
        checks,
        started,
        ended: cx.now(),
    })
}

/// Runs the tests. One that does not end proves nothing, and is no reason to lose the report.
async fn tested(
    cx: &Context,
    phases: &mut Phases,
    options: &ApplyOptions,
    target: &Arc<dyn Target>,
    world: &World,
) -> Vec<Finding> {
    let promised = options.probing.iter();
    let promised = promised.map(|probing| probing.of(Arc::clone(&world.material.backup)));
    let checks: Vec<Arc<dyn Check>> = promised.chain(options.checks.iter().cloned()).collect();
    if !checks.is_empty() {
        phases.begin(cx, "tests");
    }
    let mut found = Vec::new();
    for check in checks {
        match check.run(cx, target.as_ref()).await {
            Ok(findings) => found.extend(findings),
            Err(e) => {
                let detail = format!("the test did not end: {}", full_text(&e));
                found.push(Finding::new("test", Verdict::Unknown, detail));
            }
        }
    }
    found
}

/// What reading back found.
#[derive(Debug, Default)]
struct Seen {
    compare: Comparison,
    newcomers: Vec<Key>,
}

async fn look(
    vault: &Arc<Vault>,
    cx: &Context,
    run: &Run,
    details: &Details,
    left_alone: &BTreeSet<Key>,
) -> Result<Seen> {
    let now = capture(vault, cx, &run.target, &run.description, details).await?;
    let now = now.view(vault).await?;
    let world = run.world.clone();
    let rolled_back = run.state.backwards;
    let left_alone = if rolled_back { BTreeSet::new() } else { left_alone.clone() };
    let caused = run.state.side_effects.clone();
    blocking(move || {
        let newcomers = newcomers(&world, now.as_ref(), caused, rolled_back)?;
        let compare = compare(&world, now.as_ref(), rolled_back, &left_alone)?;
        Ok(Seen { compare, newcomers })
    })
    .await
}
