//! What a repository does, as builders that read like sentences.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use super::metrics::{self, Named};
use super::{BackupInfo, Repository};
use crate::backup::{self, BackupOptions, BackupReport, BackupType};
use crate::context::Context;
use crate::crypt::random;
use crate::error::Result;
use crate::mapping::Mapping;
use crate::model::{IdMap, Key};
use crate::plan::{Existing, PlanOptions, Selector};
use crate::policy::Objectives;
use crate::report::RestoreReport;
use crate::restore::{
    self, ApplyOptions, Approval, DependencyProbe, Order, Plan, Probing, Ready, SecretProvider,
};
use crate::source::Source;
use crate::target::{Check, Target};
use crate::verify::{self, Depth, VerifyReport};

impl Repository {
    /// Describes a backup of `source`.
    pub fn backup(&self, source: Arc<dyn Source>) -> BackupBuilder {
        BackupBuilder { repository: self.clone(), source, options: BackupOptions::default() }
    }

    /// Describes a verification.
    pub fn verify(&self) -> VerifyBuilder {
        let (repository, way) = (self.clone(), verify::Way::default());
        VerifyBuilder { repository, backups: Vec::new(), sample: None, way }
    }

    /// Describes a restore of `backup` onto `target`.
    pub fn restore(&self, backup: &BackupInfo, target: Arc<dyn Target>) -> RestoreBuilder {
        let (repository, backup) = (self.clone(), backup.clone());
        let options = PlanOptions::default();
        let (probes, secrets) = (Vec::new(), None);
        RestoreBuilder { repository, backup, target, options, probes, secrets }
    }

    /// Writes into the log that the context's actor has looked at a plan and approved it: exactly this
    /// plan, for exactly the state that it was made for.
    pub async fn approve(&self, cx: &Context, plan: &Plan) -> Result<Approval> {
        restore::approve(&self.vault, cx, plan).await
    }

    /// Goes on with a run, in the direction in which it stopped. `Refused` for one that is over;
    /// `Conflict` when its plan cannot be made again.
    pub async fn resume(
        &self,
        cx: &Context,
        run: Uuid,
        target: Arc<dyn Target>,
        options: &ApplyOptions,
    ) -> Result<RestoreOutcome> {
        let ended = self.carry_on(cx, run, target, options, false).await;
        self.restored(cx, None, ended, false).await
    }

    /// Turns a run round: the target goes back to what it was before it.
    pub async fn roll_back(
        &self,
        cx: &Context,
        run: Uuid,
        target: Arc<dyn Target>,
        options: &ApplyOptions,
    ) -> Result<RestoreOutcome> {
        let ended = self.carry_on(cx, run, target, options, true).await;
        self.restored(cx, None, ended, false).await
    }

    /// Tells how a restore ended: of backups of this gateway, or of the one that the report names.
    async fn restored(
        &self,
        cx: &Context,
        of: Option<Named>,
        ended: Result<RestoreOutcome>,
        measured: bool,
    ) -> Result<RestoreOutcome> {
        let report = ended.as_ref().map(|outcome| &outcome.report);
        self.measured_aside(cx, metrics::restore(of, report, measured)).await;
        ended
    }

    pub(super) async fn carry_on(
        &self,
        cx: &Context,
        run: Uuid,
        target: Arc<dyn Target>,
        options: &ApplyOptions,
        turn: bool,
    ) -> Result<RestoreOutcome> {
        let resumed = restore::resume(&self.vault, cx, run, target).await?;
        let about = resumed.about.clone();
        let run = Box::pin(restore::carry_on(&self.vault, cx, resumed, turn, options)).await?;
        let objectives = self.vault.policy.objectives;
        Ok(RestoreOutcome { report: RestoreReport::new(about, &run, objectives), map: run.map })
    }
}

/// A backup that is about to be taken.
#[derive(Debug, Clone)]
#[must_use = "nothing happens before `run`"]
pub struct BackupBuilder {
    repository: Repository,
    source: Arc<dyn Source>,
    options: BackupOptions,
}

impl BackupBuilder {
    /// Whose gateway it is.
    pub fn application(mut self, name: impl Into<String>) -> Self {
        self.options.application = name.into();
        self
    }

    /// Which stage of it: `prod`, `test`, ...
    pub fn environment(mut self, name: impl Into<String>) -> Self {
        self.options.environment = name.into();
        self
    }

    /// Full, incremental, or whichever fits.
    pub fn kind(mut self, kind: BackupType) -> Self {
        self.options.kind = kind;
        self
    }

    /// Only what fits one of these.
    pub fn only(mut self, selectors: impl IntoIterator<Item = Selector>) -> Self {
        self.options.only.extend(selectors);
        self
    }

    /// Adds a tag.
    pub fn tag(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.tags.insert(name.into(), value.into());
        self
    }

    /// What people should read about it.
    pub fn description(mut self, text: impl Into<String>) -> Self {
        self.options.description = Some(text.into());
        self
    }

    /// Leaves secrets out, as marks.
    pub fn without_secrets(mut self) -> Self {
        self.options.without_secrets = true;
        self
    }

    /// Takes it, to every copy.
    ///
    /// Nothing counts before the commit: a crash leaves the repository as it was, and the next
    /// opening cleans up or completes. Dropping the future is such a crash. A part that cannot be
    /// read, or a copy that cannot be written, makes it `Partial`; an error means that there is no
    /// new backup.
    pub async fn run(self, cx: &Context) -> Result<BackupReport> {
        let started = cx.now();
        let mut ended = backup::run(&self.repository.vault, cx, self.source, &self.options).await;
        let samples = metrics::backup(&self.options, (started, cx.now()), ended.as_ref());
        let untold = self.repository.measured(cx, samples).await;
        if let Ok(report) = &mut ended {
            report.warnings.extend(untold);
        }
        ended
    }
}

/// A verification that is about to run.
#[derive(Debug, Clone)]
#[must_use = "nothing happens before `run`"]
pub struct VerifyBuilder {
    repository: Repository,
    backups: Vec<BackupInfo>,
    sample: Option<u8>,
    way: verify::Way,
}

impl VerifyBuilder {
    /// Only this one (may be said again). Without it: all that are listed.
    pub fn backup(mut self, backup: &BackupInfo) -> Self {
        self.backups.push(backup.clone());
        self
    }

    /// How deep it looks.
    pub fn depth(mut self, depth: Depth) -> Self {
        self.way.depth = depth;
        self
    }

    /// Only so many percent of them, rounded up; which ones is left to chance, so that a few looks
    /// reach all in the end.
    pub fn sample(mut self, percent: u8) -> Self {
        self.sample = Some(percent.min(100));
        self
    }

    /// Brings back what a copy has lost or damaged, from another that has it whole; also what
    /// opens the repository. What could not be brought back stays a failure. `Refused` from `run`
    /// where the repository may not be written.
    pub fn heal(mut self) -> Self {
        self.way.heal = true;
        self
    }

    /// Looks at every copy, and writes what it found into the log. Changes nothing else, unless it
    /// is to heal.
    pub async fn run(self, cx: &Context) -> Result<VerifyReport> {
        let all = self.backups.is_empty();
        let mut points: Vec<_> = if all {
            // Also those that no list shows because their manifest cannot be read any more.
            let state = self.repository.vault.state(cx).await?;
            state.listed().filter(|point| point.committed.is_some()).cloned().collect()
        } else {
            self.backups.into_iter().map(|backup| backup.point).collect()
        };
        if let Some(percent) = self.sample {
            points = some_of(points, percent)?;
        }
        let repository = &self.repository;
        let mut report = verify::run(&repository.vault, cx, &points, self.way).await?;
        let sinks = repository.vault.places.iter().map(|place| place.sink().to_string());
        let of = (all, self.sample.is_some());
        let samples =
            metrics::verify(self.way.depth, of, &sinks.collect::<Vec<_>>(), cx.now(), &report);
        report.warnings.extend(repository.measured(cx, samples).await);
        Ok(report)
    }
}

/// So many percent of these, rounded up, by chance; in the order that they had.
fn some_of<T>(all: Vec<T>, percent: u8) -> Result<Vec<T>> {
    let wanted = (all.len() * usize::from(percent)).div_ceil(100);
    let draw = |(n, one)| Ok((random::<16>()?, n, one));
    let mut drawn = all.into_iter().enumerate().map(draw).collect::<Result<Vec<_>>>()?;
    drawn.sort_by_key(|(lot, ..)| *lot);
    drawn.truncate(wanted);
    drawn.sort_by_key(|(_, n, _)| *n);
    Ok(drawn.into_iter().map(|(.., one)| one).collect())
}

/// A restore that is about to be planned.
#[derive(Debug, Clone)]
#[must_use = "nothing happens before `plan`"]
pub struct RestoreBuilder {
    repository: Repository,
    backup: BackupInfo,
    target: Arc<dyn Target>,
    options: PlanOptions,
    probes: Vec<Arc<dyn DependencyProbe>>,
    secrets: Option<Arc<dyn SecretProvider>>,
}

impl RestoreBuilder {
    /// What happens to resources that exist and differ.
    pub fn existing(mut self, policy: Existing) -> Self {
        self.options.existing = policy;
        self
    }

    /// The same for one kind, by its name or one of its aliases (may be said again).
    pub fn existing_of(mut self, kind: impl Into<String>, policy: Existing) -> Self {
        self.options.policies.insert(kind.into(), policy);
        self
    }

    /// Deletes what the backup does not know, at most `limit` percent of the target's resources.
    pub fn prune(mut self, limit: u8) -> Self {
        self.options.prune = true;
        self.options.prune_limit = limit;
        self
    }

    /// Only what fits one of these, and what that needs.
    pub fn only(mut self, selectors: impl IntoIterator<Item = Selector>) -> Self {
        self.options.only.extend(selectors);
        self
    }

    /// Says which resource of the target a resource of the backup is.
    pub fn identity(mut self, backup: Key, target: Key) -> Self {
        self.options.mapping.extend([(backup, target)]);
        self
    }

    /// Several identities at once.
    pub fn identities(mut self, map: BTreeMap<Key, Key>) -> Self {
        self.options.mapping.extend(map);
        self
    }

    /// Says what things and texts of the backup are called in the target.
    pub fn mapping(mut self, mapping: Mapping) -> Self {
        self.options.mapping = mapping;
        self
    }

    /// Looks with this for what the configuration needs outside the gateway (may be said again). What
    /// is missing stops the restore before its first write.
    pub fn probe(mut self, probe: Arc<dyn DependencyProbe>) -> Self {
        self.probes.push(probe);
        self
    }

    /// Takes secrets from here: what the backup does not hold, and what shall be another. From then
    /// on a secret that is missing stops the restore before its first write. A run that is carried
    /// on later has what was supplied, for keys with the right to secrets.
    pub fn secrets(mut self, provider: Arc<dyn SecretProvider>) -> Self {
        self.secrets = Some(provider);
        self
    }

    /// Everything at once, as a stored plan says how it was made.
    pub fn options(mut self, options: PlanOptions) -> Self {
        self.options = options;
        self
    }

    /// Reads the target and compares. Writes nothing anywhere.
    ///
    /// `KeyUnavailable` when a secret is needed that the keys may not read; `Refused` when more
    /// would be deleted than the limit allows, or no order of writing exists.
    pub async fn plan(self, cx: &Context) -> Result<PreparedRestore> {
        let Self { repository, backup, target, options, probes, secrets } = self;
        let order = Order { point: backup.point, target, options, probes, secrets };
        let ready = Box::pin(restore::prepare(&repository.vault, cx, order)).await?;
        Ok(PreparedRestore { ready: Box::new(ready), repository })
    }
}

/// A plan, ready to be carried out.
#[derive(Debug)]
pub struct PreparedRestore {
    pub(super) ready: Box<Ready>,
    repository: Repository,
}

impl PreparedRestore {
    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.ready.plan
    }

    /// Carries it out: safety backup, journal, writes, roll back where a step fails for good, read
    /// back, tests, report.
    ///
    /// An error before the first write (`Refused` for what is blocked or wants consent, `Conflict`
    /// when the target moved) leaves everything as it was. A failed step is no error: the report
    /// says how the run ended. A cancelled context ends the run at its next safe point; a dropped
    /// future is a crash. [`Repository::resume`] goes on after either.
    pub async fn apply(self, cx: &Context, options: &ApplyOptions) -> Result<RestoreOutcome> {
        let (repository, origin) = (self.repository.clone(), &self.ready.about.origin);
        let of = Named::new(&origin.application, &origin.environment);
        let objectives = repository.vault.policy.objectives;
        let ended = self.apply_for(cx, options, objectives).await;
        repository.restored(cx, Some(of), ended, true).await
    }

    /// The same, held against these objectives, and nobody is told.
    pub(super) async fn apply_for(
        self,
        cx: &Context,
        options: &ApplyOptions,
        objectives: Objectives,
    ) -> Result<RestoreOutcome> {
        let about = self.ready.about.clone();
        let run = Box::pin(self.ready.apply(cx, options)).await?;
        Ok(RestoreOutcome { report: RestoreReport::new(about, &run, objectives), map: run.map })
    }
}

/// What came of a restore.
#[derive(Debug, Clone)]
pub struct RestoreOutcome {
    /// For people and programs.
    pub report: RestoreReport,
    /// Identities in the target, where they differ from those in the backup.
    pub map: IdMap,
}

impl ApplyOptions {
    /// The same, and the behaviour that the restored configuration promises is probed.
    #[must_use]
    pub fn probing(mut self, probing: Probing) -> Self {
        self.probing = Some(probing);
        self
    }

    /// The same with one more test.
    #[must_use]
    pub fn check(mut self, check: Arc<dyn Check>) -> Self {
        self.checks.push(check);
        self
    }
}
