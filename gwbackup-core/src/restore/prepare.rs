//! Making a plan against a live gateway.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::dependencies::{DependencyProbe, check};
use super::desired::Desired;
use super::journal::{Begin, Journal, Record};
use super::run::{Run, State, begin};
use super::store::VaultRecords;
use super::supply::{SecretProvider, ask};
use super::world::{Material, Progress, World};
use crate::archive::{Capture, Details, View};
use crate::backup::{self, BackupOptions, Prepared, Task};
use crate::catalog::{EventDraft, EventKind, EventOutcome, RecoveryPoint, State as BackupState};
use crate::clock::{Timestamp, millis, rfc3339};
use crate::context::Context;
use crate::crypt::{hex, uuid_v7};
use crate::error::{Error, ErrorKind, Result};
use crate::mapping::RuleUse;
use crate::model::{
    Change, Description, Finding, IdMap, Key, Restore, Rules, Supplied, Undo, Verdict,
};
use crate::plan::{
    Arranged, Decision, Dependency, Draft, FieldChange, Head, Item, Links, PlanOptions,
    PlannedStep, Room, Summary, draft, with_early,
};
use crate::source::Source;
use crate::target::Target;
use crate::task::blocking;
use crate::vault::{Found, Vault};

/// What a restore would do, as a value: can be printed, stored, approved.
///
/// Holds keys, digests and masked differences, never a document.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Plan {
    /// Name and version of the form.
    pub schema: String,
    /// The backup.
    pub backup: uuid::Uuid,
    /// Its name.
    pub backup_name: String,
    /// Keyed digest of its state.
    pub backup_digest: String,
    /// Whether something of the gateway is missing in it.
    pub backup_partial: bool,
    /// The gateway that it is of.
    pub source: String,
    /// The gateway that would be written.
    pub target: String,
    /// Keyed digest of the target's state when the plan was made.
    pub target_digest: String,
    /// When.
    pub created: String,
    /// How it was made.
    pub options: PlanOptions,
    /// How often each decision was taken.
    pub summary: Summary,
    /// Exactly the writes, in order.
    pub steps: Vec<PlannedStep>,
    /// Everything else that is not simply unchanged: skipped, beyond what the vendor offers.
    pub left: Vec<Item>,
    /// What stops it before its first write.
    pub blocked: Vec<Item>,
    /// What each rule of the mapping did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mapping: Vec<RuleUse>,
    /// Places whose secrets were supplied, written `kind/id#/pointer`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub supplied: Vec<String>,
    /// What the resources to write need outside the gateway.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<Dependency>,
    /// What the target's own dry run found.
    pub findings: Vec<Finding>,
    /// How long the writing takes, in milliseconds, as far as the provider can tell.
    pub estimate_ms: u64,
}

impl Plan {
    /// A digest of what it would do to which state: whoever approves it approves exactly this.
    /// `Invalid` when the plan cannot be written as JSON.
    pub fn digest(&self) -> Result<String> {
        let parts = (
            (&self.schema, self.backup, &self.backup_digest),
            (&self.target, &self.target_digest),
            (&self.options, &self.supplied, &self.steps),
        );
        let bytes = serde_json::to_vec(&parts)
            .map_err(|_| Error::invalid("the plan cannot be written as JSON"))?;
        Ok(hex::encode(&Sha256::digest(bytes)))
    }

    /// Whether it writes nothing.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Whether something stops it before its first write.
    pub fn is_blocked(&self) -> bool {
        !self.blocked.is_empty() || self.findings.iter().any(|f| f.verdict == Verdict::Failed)
    }

    /// Writes whose loss no roll back could mend.
    pub fn losses(&self) -> impl Iterator<Item = &PlannedStep> {
        self.steps.iter().filter(|step| matches!(step.undo, Undo::Lost(_)))
    }

    /// Whether another plan would do the same to the same state.
    pub fn agrees_with(&self, other: &Self) -> bool {
        self.backup == other.backup
            && self.target == other.target
            && self.target_digest == other.target_digest
            && self.steps == other.steps
    }
}

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

struct Made {
    material: Material,
    items: Vec<Item>,
    summary: Summary,
    links: Vec<Links>,
    left_alone: BTreeSet<Key>,
    findings: Vec<Finding>,
    dependencies: Vec<Dependency>,
    mapping: Vec<RuleUse>,
}

impl Made {
    /// Takes up what the arrangement does early.
    fn take_early(&mut self, arranged: &Arranged) {
        self.material.take_early(arranged);
        self.links = with_early(std::mem::take(&mut self.links), &arranged.early);
    }
}

/// The backup as the options let it appear, without secrets that somebody supplies.
async fn desired(backup: Arc<View>, rules: &Rules, options: &PlanOptions) -> Result<Desired> {
    let (rules, mapping) = (rules.clone(), options.mapping.clone());
    blocking(move || Desired::new(backup, &rules, &mapping)).await
}

fn material(
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

/// Whether the plan leaves this resource though it is not as in the backup.
fn is_left(item: &Item) -> bool {
    matches!(item.decision, Decision::Skipped(_) | Decision::CannotRestore(_))
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

/// What a run is about, for its report.
#[derive(Debug, Clone)]
pub(crate) struct About {
    pub(crate) backup: uuid::Uuid,
    pub(crate) backup_name: String,
    pub(crate) source: String,
    pub(crate) target: String,
    pub(crate) summary: Summary,
    pub(crate) left: Vec<Item>,
    /// What a person should know that the target or the plan found beforehand.
    pub(crate) findings: Vec<Finding>,
    pub(crate) origin: Origin,
}

/// Where a restored configuration comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Origin {
    /// Whose gateway.
    pub application: String,
    /// Which stage of it.
    pub environment: String,
    /// `full`, `incremental` or `safety`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether all of the gateway was read.
    pub complete: bool,
    /// When it began to be read: what changed later is lost.
    #[serde(serialize_with = "millis")]
    pub taken_at: Timestamp,
    /// Keyed digest of its state.
    pub digest: String,
    /// Product and version.
    pub product: String,
    /// Resources in it.
    pub resources: u64,
}

impl About {
    fn new(
        point: &RecoveryPoint,
        found: &Found,
        target: String,
        summary: &Summary,
        items: &[Item],
        findings: &[Finding],
    ) -> Self {
        let Found { manifest, details, .. } = found;
        let origin = Origin {
            application: details.application.clone(),
            environment: details.environment.clone(),
            kind: manifest.kind.clone(),
            complete: manifest.capture == Capture::Complete,
            taken_at: manifest.started_at,
            digest: details.state_digest.clone(),
            product: format!("{} {}", details.product, details.version),
            resources: details.resources,
        };
        Self {
            backup: point.backup,
            backup_name: point.visible_name(),
            source: details.gateway.clone(),
            target,
            summary: summary.clone(),
            left: items.iter().filter(|item| is_left(item)).cloned().collect(),
            findings: findings.to_vec(),
            origin,
        }
    }
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

/// The writes in order, as people read them.
fn steps(arranged: &Arranged, world: &World, items: &[Item]) -> Vec<PlannedStep> {
    let by_key: BTreeMap<&Key, &Item> = items.iter().map(|item| (&item.key, item)).collect();
    let early: BTreeMap<_, &Room> = arranged.early.iter().map(|e| (e.no, &e.what)).collect();
    let mut steps = Vec::with_capacity(arranged.changes.len());
    for (call, group) in (1..).zip(arranged.waves.iter().flatten()) {
        let Some(group) = arranged.groups.get(*group) else { continue };
        for change in group.changes.iter().filter_map(|no| world.asked(*no, false)) {
            let item = by_key.get(&change.key);
            let fields = match early.get(&change.no) {
                None => item.map(|item| item.fields.clone()).unwrap_or_default(),
                Some(Room::Removal) => Vec::new(),
                Some(Room::Rename(places)) => places
                    .iter()
                    .map(|at| FieldChange {
                        at: at.clone(),
                        from: None,
                        to: Some("(temporary)".to_owned()),
                    })
                    .collect(),
            };
            let target = change.target_key();
            steps.push(PlannedStep {
                n: u32::try_from(steps.len() + 1).unwrap_or(u32::MAX),
                action: change.action,
                kind: target.kind.to_string(),
                id: target.id.to_string(),
                name: item.and_then(|item| item.name.clone()),
                changes: fields,
                undo: change.undo.clone(),
                call,
            });
        }
    }
    steps
}

/// What a restore's end leaves in the log.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct EndFacts {
    pub(crate) run: uuid::Uuid,
    pub(crate) source: String,
    pub(crate) target: String,
    pub(crate) backup: uuid::Uuid,
    pub(crate) safety: Option<uuid::Uuid>,
    pub(crate) status: super::RunStatus,
}

/// The identities that the last runs between these two gateways found or made.
async fn kept_map(vault: &Arc<Vault>, cx: &Context, source: &str, target: &str) -> Result<IdMap> {
    let events = match vault.events(cx).await {
        Ok(events) => events,
        Err(e) if e.kind() == ErrorKind::Unavailable => return Ok(IdMap::default()),
        Err(e) => return Err(e),
    };
    for event in events.iter().rev().filter(|e| e.counts && e.kind == EventKind::RESTORE_END) {
        let Some(facts) = event.data::<EndFacts>()? else { continue };
        if facts.source != source || facts.target != target {
            continue;
        }
        let store = VaultRecords { vault: Arc::clone(vault), run: facts.run };
        let records = match Journal::load(cx, Arc::new(store)).await {
            Ok((_, records)) => records,
            // A journal that is gone says nothing; an older one may.
            Err(e) if e.kind() == ErrorKind::NotFound => continue,
            Err(e) => return Err(e),
        };
        if let Some(Record::End { map, .. }) = records.last() {
            return Ok(map.clone());
        }
    }
    Ok(IdMap::default())
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

/// A run as its journal left it.
pub(crate) struct Resumed {
    pub(crate) run: Run,
    pub(crate) begin: Begin,
    pub(crate) details: Details,
    pub(crate) about: About,
    pub(crate) left_alone: BTreeSet<Key>,
    /// Whether the plan leaves something that the vendor offers no way for.
    pub(crate) partial: bool,
    /// Whether the log tells of its end.
    pub(crate) announced: bool,
}

/// Takes up a run from its journal.
pub(crate) async fn resume(
    vault: &Arc<Vault>,
    cx: &Context,
    id: uuid::Uuid,
    target: Arc<dyn Target>,
) -> Result<Resumed> {
    let store = Arc::new(VaultRecords { vault: Arc::clone(vault), run: id });
    let told = told_of(vault, cx, id).await?;
    let (journal, records) = match Journal::load(cx, store).await {
        Err(e) if e.kind() == ErrorKind::NotFound => {
            return Err(never_begun(vault, cx, told).await?.unwrap_or(e));
        }
        loaded => loaded?,
    };
    let begin = begin(&records)?.clone();
    if begin.target != target.address() {
        return Err(Error::refused("the run is about another gateway")
            .on(&begin.target)
            .help("give the gateway that the run was started on"));
    }
    let state = vault.state(cx).await?;
    let known = |backup: uuid::Uuid| {
        state.point(backup).ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "a backup that the run needs is gone").on(backup)
        })
    };
    let found = vault.manifest(cx, known(begin.backup)?).await?;
    let backup = vault.view_of(cx, &found).await?;
    let live = vault.view(cx, known(begin.safety)?).await?;
    let description = target.describe(cx).await?;
    let rules = Rules::new(Arc::clone(&description.schema));
    let mut desired = desired(backup, &rules, &begin.options).await?;
    if let Some(sealed) = &begin.secrets {
        let plain = vault.open_confidential(cx, *id.as_bytes(), sealed).await?;
        desired = desired.with(Supplied::from_plain(&plain)?, &rules)?;
    }
    let mut made = {
        let begin = begin.clone();
        blocking(move || {
            let soft_deleted = begin.soft_deleted.iter().cloned().collect();
            material(rules, desired, live, &begin.options, &begin.kept, &soft_deleted)
        })
        .await?
    };
    let same = made.material.changes.values().eq(begin.arranged.planned());
    if !same {
        return Err(Error::new(
            ErrorKind::Conflict,
            "the plan of the run cannot be made again: the provider's rules have changed",
        )
        .on(id)
        .help("use the version that began the run, or restore the safety backup"));
    }
    made.take_early(&begin.arranged);
    let world = World::new(Arc::new(made.material), Progress::default());
    let point = known(begin.backup)?;
    let target_address = begin.target.clone();
    let about =
        About::new(point, &found, target_address, &made.summary, &made.items, &made.findings);
    let left_alone = made.left_alone;
    let partial = made.summary.cannot_restore > 0;
    let mut run = Run {
        id,
        target,
        description,
        world,
        journal,
        links: made.links,
        kept: begin.kept.clone(),
        state: State::new(begin.arranged.clone()),
        unanswered: AtomicUsize::new(0),
    };
    run.replay(&records);
    let announced =
        told.is_some_and(|(ended, facts)| ended && Some(facts.status) == run.state.ended);
    let details = found.details;
    Ok(Resumed { run, begin, details, about, left_alone, partial, announced })
}

/// What the log last told of a run, and whether that was an end.
async fn told_of(vault: &Vault, cx: &Context, run: uuid::Uuid) -> Result<Option<(bool, EndFacts)>> {
    for event in vault.events(cx).await?.iter().rev().filter(|event| event.counts) {
        let ended = event.kind == EventKind::RESTORE_END;
        if !ended && event.kind != EventKind::RESTORE_START {
            continue;
        }
        if let Some(facts) = event.data::<EndFacts>()?.filter(|facts| facts.run == run) {
            return Ok(Some((ended, facts)));
        }
    }
    Ok(None)
}

/// Closes a run that was announced and never got as far as its journal.
async fn never_begun(
    vault: &Vault,
    cx: &Context,
    told: Option<(bool, EndFacts)>,
) -> Result<Option<Error>> {
    let Some((ended, facts)) = told else { return Ok(None) };
    if !ended {
        vault.writable()?;
        let kind = EventKind::RESTORE_END;
        let draft =
            EventDraft::new(cx, kind, "run", facts.run, EventOutcome::Failed)?.data(&facts)?;
        vault.record(cx, draft).await?;
    }
    let error =
        Error::refused("the run was cut off before its first write: the target is as it was");
    Ok(Some(error.on(facts.run).help("make a new plan")))
}
