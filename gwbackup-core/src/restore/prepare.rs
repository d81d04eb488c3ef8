//! Making a plan against a live gateway.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use super::about::{About, is_left};
use super::dependencies::{DependencyProbe, check};
use super::desired::Desired;
use super::journal::{Begin, Journal};
use super::kept::kept_map;
use super::plan::{Plan, steps};
use super::run::{Run, State};
use super::store::VaultRecords;
use super::supply::{SecretProvider, ask};
use super::world::{Material, Progress, World};
use crate::archive::{Capture, Details, View};
use crate::backup::{self, BackupOptions, Prepared, Task};
use crate::catalog::{RecoveryPoint, State as BackupState};
use crate::clock::rfc3339;
use crate::context::Context;
use crate::crypt::uuid_v7;
use crate::error::{Error, Result};
use crate::mapping::RuleUse;
use crate::model::{Change, Description, Finding, IdMap, Key, Restore, Rules, Supplied};
use crate::plan::{
    Arranged, Decision, Dependency, Draft, Head, Item, Links, PlanOptions, Summary, draft,
    with_early,
};
use crate::source::Source;
use crate::target::Target;
use crate::task::blocking;
use crate::vault::Vault;

/// What is to be restored where.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) point: RecoveryPoint,
    pub(crate) target: Arc<dyn Target>,
    pub(crate) options: PlanOptions,
    pub(crate) probes: Vec<Arc<dyn DependencyProbe>>,
    pub(crate) secrets: Option<Arc<dyn SecretProvider>>,
}

/// A plan with everything that it takes to carry it out.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) vault: Arc<Vault>,
    pub(crate) about: About,
    pub(crate) plan: Plan,
    pub(crate) target: Arc<dyn Target>,
    pub(crate) description: Description,
    pub(crate) world: World,
    pub(crate) arranged: Arranged,
    pub(crate) links: Vec<Links>,
    pub(crate) safety: Prepared,
    pub(crate) details: Details,
    pub(crate) kept: IdMap,
    /// Resources that the plan does not want to write though they differ.
    pub(crate) left_alone: BTreeSet<Key>,
    /// Whether a drill of the backup has passed.
    pub(crate) drilled: bool,
}

/// Compares the backup with the live gateway. Writes nothing anywhere.
pub(crate) async fn prepare(vault: &Arc<Vault>, cx: &Context, order: Order) -> Result<Ready> {
    let Order { point, target, mut options, probes, secrets } = order;
    options.supply |= secrets.is_some();
    options.at.get_or_insert(cx.now().as_second());
    if !matches!(point.state(cx.now()), BackupState::Success | BackupState::Partial) {
        return Err(Error::refused("the backup did not succeed, so it cannot be restored")
            .on(point.visible_name()));
    }
    let found = vault.manifest(cx, &point).await?;
    let backup_partial = found.manifest.capture == Capture::Partial;
    if options.prune && backup_partial {
        return Err(Error::refused(
            "a part of the gateway is missing in this backup, so nothing \
                                   can be called superfluous",
        )
        .on(point.visible_name())
        .help("choose a complete backup, or restore without deleting (`--prune`)"));
    }
    let backup = vault.view_of(cx, &found).await?;
    let description = target.describe(cx).await?;
    let kept = kept_map(vault, cx, &found.details.gateway, &target.address()).await?;
    let safety = capture(vault, cx, &target, &description, &found.details).await?;
    let live = safety.view(vault).await?;
    let rules = Rules::new(Arc::clone(&description.schema));
    let mut desired = desired(backup, &rules, &options).await?;
    if let Some(provider) = &secrets {
        let supplied = ask(cx, provider.as_ref(), &desired, &rules).await?;
        desired = desired.with(supplied, &rules)?;
    }
    let supplied = desired.supplied().map(Supplied::places).unwrap_or_default();
    let mut made = {
        let (options, kept) = (options.clone(), kept.clone());
        let soft_deleted = safety.soft_deleted.clone();
        blocking(move || material(rules, desired, live, &options, &kept, &soft_deleted)).await?
    };
    let changes: Vec<Change> = made.material.changes.values().cloned().collect();
    let arrange = |changes: &[Change]| target.arrange(&description, changes);
    let arranged = Arranged::forward(changes.clone(), &made.links, &made.material.rules, arrange)?;
    made.take_early(&arranged);
    let world = World::new(Arc::new(made.material), Progress::default());
    let numbers: Vec<_> = changes.iter().map(|change| change.no).collect();
    let states = world.around(&numbers, false);
    let mut findings = target.validate(cx, &description, &changes, &states).await?;
    findings.extend(made.findings.clone());
    findings.extend(check(cx, &probes, &mut made.dependencies, target.as_ref()).await?);
    let steps = steps(&arranged, &world, &made.items);
    let about = About::new(&point, &found, target.address(), &made.summary, &made.items, &findings);
    let is_blocked =
        |item: &Item| matches!(item.decision, Decision::Blocked(_) | Decision::Ambiguous(_));
    let blocked = made.items.into_iter().filter(is_blocked).collect();
    let estimate = arranged.estimate(description.limits.parallel_writes);
    let own = about.clone();
    let plan = Plan {
        schema: "gwbackup.plan/1".to_owned(),
        backup: about.backup,
        backup_name: about.backup_name,
        backup_digest: found.details.state_digest.clone(),
        backup_partial,
        source: about.source,
        target: about.target,
        target_digest: safety.details.state_digest.clone(),
        created: rfc3339(cx.now()),
        options,
        summary: about.summary,
        steps,
        left: about.left,
        blocked,
        mapping: made.mapping,
        supplied,
        dependencies: made.dependencies,
        findings,
        estimate_ms: u64::try_from(estimate.as_millis()).unwrap_or(u64::MAX),
    };
    Ok(Ready {
        vault: Arc::clone(vault),
        about: own,
        plan,
        target,
        description,
        world,
        arranged,
        links: made.links,
        safety,
        details: found.details,
        kept,
        left_alone: made.left_alone,
        drilled: point.drill_passed.is_some(),
    })
}

/// What both sides together come to.
pub(super) struct Made {
    pub(super) material: Material,
    pub(super) items: Vec<Item>,
    pub(super) summary: Summary,
    pub(super) links: Vec<Links>,
    pub(super) left_alone: BTreeSet<Key>,
    pub(super) findings: Vec<Finding>,
    pub(super) dependencies: Vec<Dependency>,
    pub(super) mapping: Vec<RuleUse>,
}

impl Made {
    /// Takes up what the arrangement does early.
    pub(super) fn take_early(&mut self, arranged: &Arranged) {
        self.material.take_early(arranged);
        self.links = with_early(std::mem::take(&mut self.links), &arranged.early);
    }
}

/// The backup as the options let it appear, without secrets that somebody supplies.
pub(super) async fn desired(
    backup: Arc<View>,
    rules: &Rules,
    options: &PlanOptions,
) -> Result<Desired> {
    let (rules, mapping) = (rules.clone(), options.mapping.clone());
    blocking(move || Desired::new(backup, &rules, &mapping)).await
}

pub(super) fn material(
    rules: Rules,
    desired: Desired,
    live: Arc<View>,
    options: &PlanOptions,
    kept: &IdMap,
    soft_deleted: &BTreeSet<Key>,
) -> Result<Made> {
    let (options, kept) = (&desired.options(options), &desired.kept(kept));
    let none = BTreeSet::new();
    let (backup, now) = (desired.snapshot(), live.as_ref());
    let made = draft(&rules, backup.as_ref(), now, options, kept, soft_deleted, &none)?;
    let left_alone = left_alone(&made, options);
    let findings = desired.findings();
    let dependencies = made.decided.outside.dependencies();
    let mapping = desired.used();
    let (material, items, summary, links) = Material::new(rules, desired, live, made);
    Ok(Made { material, items, summary, links, left_alone, findings, dependencies, mapping })
}

/// Resources of the backup that the plan does not want to write, whatever they are.
fn left_alone(draft: &Draft, options: &PlanOptions) -> BTreeSet<Key> {
    let items = draft.decided.items.iter().filter(|item| is_left(item));
    let mut keys: BTreeSet<Key> = items.map(|item| item.key.clone()).collect();
    if !options.only.is_empty() {
        let all = draft.desired.heads().map(Head::key);
        keys.extend(all.filter(|key| !draft.selected.contains(key)));
    }
    keys
}

/// Captures the target into a spool: the actual side of the plan, and the safety backup of a run.
pub(crate) async fn capture(
    vault: &Vault,
    cx: &Context,
    target: &Arc<dyn Target>,
    description: &Description,
    details: &Details,
) -> Result<Prepared> {
    let source: Arc<dyn Source> = Arc::clone(target) as Arc<dyn Source>;
    let options = BackupOptions {
        application: details.application.clone(),
        environment: details.environment.clone(),
        ..BackupOptions::default()
    };
    let task = Task::safety(cx, &options)?;
    backup::prepare(vault, cx, &source, description, &options, task, None).await
}

impl Ready {
    /// Something that the target holds already, beyond what is always there.
    pub(crate) fn occupant(&self) -> Option<Key> {
        let material = &self.world.material;
        let counts = |head: &Head<'_>| {
            material.rules.spec(head.kind()).is_some_and(|spec| {
                let fixed = spec.presence.is_fixed(&head.key().id.last());
                spec.restore == Restore::Always && spec.verbs.delete && !fixed
            })
        };
        material.actual.heads().find(counts).map(Head::key)
    }

    /// Makes a run of it: nothing is written yet.
    pub(crate) async fn into_run(self, cx: &Context) -> Result<(Run, Begin, Unstarted)> {
        let id = uuid_v7(cx.clock().as_ref())?;
        let secrets = match self.world.material.wanted.supplied() {
            Some(supplied) => {
                let plain = supplied.to_plain()?;
                Some(self.vault.seal_confidential(cx, *id.as_bytes(), &plain).await?)
            }
            None => None,
        };
        let store = Arc::new(VaultRecords { vault: Arc::clone(&self.vault), run: id });
        let begin = Begin {
            backup: self.plan.backup,
            safety: self.safety.backup,
            secrets,
            target: self.plan.target.clone(),
            options: self.plan.options.clone(),
            kept: self.kept,
            soft_deleted: self.safety.soft_deleted.iter().cloned().collect(),
            arranged: self.arranged.clone(),
        };
        let run = Run {
            id,
            target: self.target,
            description: self.description,
            world: self.world,
            journal: Journal::new(store),
            links: self.links,
            kept: begin.kept.clone(),
            state: State::new(self.arranged),
            unanswered: AtomicUsize::new(0),
        };
        let rest = Unstarted {
            plan: self.plan,
            safety: self.safety,
            details: self.details,
            left_alone: self.left_alone,
        };
        Ok((run, begin, rest))
    }
}

/// What a run does not need, but its beginning and its report do.
#[derive(Debug)]
pub(crate) struct Unstarted {
    pub(crate) plan: Plan,
    pub(crate) safety: Prepared,
    pub(crate) details: Details,
    pub(crate) left_alone: BTreeSet<Key>,
}
