//! Finding backups, and looking into them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use uuid::Uuid;

use super::Repository;
use super::drill::{DrillStanding, standing};
use super::metrics::{self, Named, Rehearsed};
use crate::archive::{Details, Manifest, View};
use crate::catalog::{EventKind, EventOutcome, RecoveryPoint, State};
use crate::clock::Timestamp;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Document, Key, Resource, Rules, Says, Snapshot};
use crate::plan::Selector;
use crate::policy::Span;
use crate::restore::RunStatus;
use crate::task::blocking;
use crate::vault::Found;
use crate::whole_file::FileFormat;

/// One backup.
#[derive(Debug, Clone)]
pub struct BackupInfo {
    pub(crate) point: RecoveryPoint,
    found: Arc<Found>,
}

impl BackupInfo {
    /// Its id.
    pub fn id(&self) -> Uuid {
        self.point.backup
    }

    /// Its name for people.
    pub fn name(&self) -> String {
        self.point.visible_name()
    }

    /// How it stands.
    pub fn state(&self, now: Timestamp) -> State {
        self.point.state(now)
    }

    /// What the log tells.
    pub fn point(&self) -> &RecoveryPoint {
        &self.point
    }

    /// The clear part of its manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.found.manifest
    }

    /// What its manifest says about the gateway.
    pub fn details(&self) -> &Details {
        &self.found.details
    }
}

/// A resource as it is shown.
#[derive(Debug, Clone, Serialize)]
pub struct Shown {
    /// Its kind.
    pub kind: String,
    /// Its id.
    pub id: String,
    /// Its document, secrets masked unless they were asked for.
    pub document: Box<serde_json::value::RawValue>,
    /// Places that are secret or not here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub marks: Vec<crate::model::Mark>,
}

/// A backup's content.
#[derive(Debug, Clone)]
pub struct BackupView {
    view: Arc<View>,
    rules: Rules,
}

impl BackupView {
    /// The rules of the gateway when the backup was made.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Its resources that fit one of the selectors (all, if there are none), sorted by key, each
    /// handed to `take`; ends early when that answers false. Secrets are in place where the keys
    /// may read them. Runs where it may block.
    pub async fn each(
        &self,
        selectors: &[Selector],
        mut take: impl FnMut(&Rules, Resource) -> bool + Send + 'static,
    ) -> Result<()> {
        let (view, rules, selectors) =
            (Arc::clone(&self.view), self.rules.clone(), selectors.to_vec());
        blocking(move || {
            for resource in view.scan()? {
                let resource = resource?;
                let chosen =
                    selectors.is_empty() || selectors.iter().any(|s| s.matches(&rules, &resource));
                if chosen && !take(&rules, resource) {
                    break;
                }
            }
            Ok(())
        })
        .await
    }

    /// Writes everything as one file of `format`, secrets in place where the keys may read them, and
    /// flushes. After an error what was written is of no use. `Invalid` for what the format cannot
    /// hold. Runs where it may block.
    pub async fn export(
        &self,
        format: impl FileFormat,
        mut out: impl std::io::Write + Send + 'static,
    ) -> Result<()> {
        let view = Arc::clone(&self.view);
        blocking(move || {
            format.write(&mut view.scan()?, &mut out)?;
            Ok(out.flush()?)
        })
        .await
    }

    /// Its whole content, for whoever reads where that may block.
    pub fn snapshot(&self) -> Arc<dyn Snapshot> {
        Arc::clone(&self.view) as _
    }

    /// One resource.
    pub async fn resource(&self, key: &Key) -> Result<Option<Resource>> {
        let (view, key) = (Arc::clone(&self.view), key.clone());
        blocking(move || view.get(&key)).await
    }
}

impl Shown {
    /// The form for people: secrets masked, unless `reveal`; those that the key given has no right to
    /// are masked always.
    pub fn new(resource: &Resource, reveal: bool) -> Result<Self> {
        let document = masked(resource, reveal)?;
        let document = serde_json::value::RawValue::from_string(document.as_str().to_owned())
            .map_err(|_| Error::corrupt("a stored document is no JSON").on(&resource.key))?;
        Ok(Self {
            kind: resource.key.kind.to_string(),
            id: resource.key.id.to_string(),
            document,
            marks: resource.marks.clone(),
        })
    }
}

pub(super) fn masked(resource: &Resource, reveal: bool) -> Result<Document> {
    let mask = format!("\"{}\"", crate::plan::MASK);
    let values: Vec<(String, String)> = resource
        .marks
        .iter()
        .filter(|mark| match mark.says {
            Says::Secret => !reveal,
            Says::Absent(why) => why == crate::model::Absence::Sealed,
        })
        .map(|mark| (mark.at.pointer.clone(), mask.clone()))
        .collect();
    resource.document.with_values(&values)
}

/// A restore that was begun.
#[derive(Debug, Clone, Serialize)]
pub struct RunInfo {
    /// Its id.
    pub run: Uuid,
    /// When it began.
    pub started: Timestamp,
    /// The gateway that it writes.
    pub target: String,
    /// The backup.
    pub backup: Uuid,
    /// How it ended; none while it is under way or was cut off.
    pub status: Option<RunStatus>,
}

/// An overview of the repository.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct StatusReport {
    /// Its id.
    pub repository: String,
    /// Whether something proves that the id is the right one.
    pub proven: bool,
    /// Copies by URL: `ready`, or what is wrong.
    pub copies: BTreeMap<String, String>,
    /// How many backups there are, by state.
    pub backups: BTreeMap<String, u64>,
    /// The newest restorable backup of each application and environment.
    pub newest: BTreeMap<String, String>,
    /// How the rehearsals of each application and environment stand.
    pub drills: BTreeMap<String, DrillStanding>,
    /// Runs that are not over: `resume` or `rollback` ends them.
    pub open_runs: Vec<RunInfo>,
    /// Events in the log.
    pub events: u64,
    /// What people should know.
    pub warnings: Vec<String>,
}

impl Repository {
    /// All backups that were committed and not deleted, oldest first. Those whose manifest cannot be
    /// read on any copy are left out; [`status`](Self::status) counts them.
    pub async fn list(&self, cx: &Context) -> Result<Vec<BackupInfo>> {
        let state = self.vault.state(cx).await?;
        let mut list = Vec::new();
        for point in state.listed().filter(|point| point.committed.is_some()) {
            match self.vault.manifest(cx, point).await {
                Ok(found) => {
                    list.push(BackupInfo { point: point.clone(), found: Arc::new(found) });
                }
                Err(e) if e.kind() == ErrorKind::Cancelled => return Err(e),
                Err(e) => {
                    tracing::warn!(backup = %point.backup, error = %e, "left out of the list");
                }
            }
        }
        list.sort_by_key(|backup| backup.point.committed);
        Ok(list)
    }

    /// The backup that `name` means: an id, a name, `latest`, `latest:APP/ENV`, or `@TIME` (RFC
    /// 3339: the newest whose capture ended at or before that time). Safety backups answer to their
    /// id and name only. `NotFound`; `Invalid` for a malformed time.
    pub async fn find(&self, cx: &Context, name: &str) -> Result<BackupInfo> {
        let state = self.vault.state(cx).await?;
        let at = match name.strip_prefix('@') {
            None => None,
            Some(text) => Some(text.parse::<Timestamp>().map_err(|_| {
                Error::invalid("this is no time").on(text).help("write 2026-11-21T12:00:00Z")
            })?),
        };
        let gateway = match name.strip_prefix("latest:") {
            None => None,
            Some(text) => Some(
                text.split_once('/')
                    .ok_or_else(|| Error::invalid("a gateway is named APP/ENV").on(text))?,
            ),
        };
        let regular = |point: &&RecoveryPoint| {
            point.facts.kind != "safety"
                && matches!(point.state(cx.now()), State::Success | State::Partial)
        };
        let committed = || state.listed().filter(|point| point.committed.is_some());
        let point = if let Some(at) = at {
            let mut best: Option<(Timestamp, &RecoveryPoint)> = None;
            for point in committed().filter(regular) {
                let ended = match self.vault.manifest(cx, point).await {
                    Ok(found) => found.manifest.ended_at,
                    // What is whole must not be passed over for something older.
                    Err(e) if e.kind() == ErrorKind::Cancelled || e.is_newer() => return Err(e),
                    // As in a list: what cannot be read cannot be restored.
                    Err(_) => continue,
                };
                if ended <= at && best.is_none_or(|(other, _)| other <= ended) {
                    best = Some((ended, point));
                }
            }
            best.map(|(_, point)| point)
        } else if let Some((app, env)) = gateway {
            committed()
                .filter(regular)
                .filter(|p| p.facts.application == app && p.facts.environment == env)
                .max_by_key(|point| point.committed)
        } else if name == "latest" {
            committed().filter(regular).max_by_key(|point| point.committed)
        } else {
            let id = name.parse::<Uuid>().ok();
            committed().find(|p| Some(p.backup) == id || p.visible_name() == name)
        };
        let point = point.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "there is no such backup")
                .on(name)
                .help("`list` shows what there is")
        })?;
        let found = self.vault.manifest(cx, point).await?;
        Ok(BackupInfo { point: point.clone(), found: Arc::new(found) })
    }

    /// Opens a backup to look into it.
    pub async fn view(&self, cx: &Context, backup: &BackupInfo) -> Result<BackupView> {
        let view = self.vault.view_of(cx, &backup.found).await?;
        let rules = Rules::new(Arc::new(view.description().schema.clone()));
        Ok(BackupView { view, rules })
    }

    /// Every restore that was begun, oldest first.
    pub async fn runs(&self, cx: &Context) -> Result<Vec<RunInfo>> {
        let mut runs: BTreeMap<Uuid, RunInfo> = BTreeMap::new();
        for event in self.vault.events(cx).await?.iter().filter(|event| event.counts) {
            let ended = event.kind == EventKind::RESTORE_END;
            if !ended && event.kind != EventKind::RESTORE_START {
                continue;
            }
            let Some(facts) = event.data::<crate::restore::EndFacts>()? else { continue };
            let info = runs.entry(facts.run).or_insert_with(|| RunInfo {
                run: facts.run,
                started: event.time,
                target: facts.target.clone(),
                backup: facts.backup,
                status: None,
            });
            if ended && event.outcome != EventOutcome::Started {
                info.status = Some(facts.status);
            }
        }
        Ok(runs.into_values().collect())
    }

    /// An overview.
    pub async fn status(&self, cx: &Context) -> Result<StatusReport> {
        let state = self.vault.state(cx).await?;
        let mut backups = BTreeMap::new();
        let mut newest: BTreeMap<String, &RecoveryPoint> = BTreeMap::new();
        for point in state.listed() {
            let now = point.state(cx.now());
            *backups.entry(format!("{now:?}")).or_insert(0) += 1;
            let restorable = matches!(now, State::Success | State::Partial);
            if restorable && point.facts.kind != "safety" {
                let gateway = Named::of(point).to_string();
                let slot = newest.entry(gateway).or_insert(point);
                if slot.committed < point.committed {
                    *slot = point;
                }
            }
        }
        let copies = self.vault.places.iter().map(|place| {
            let standing = match &place.standing {
                super::Standing::Ready => "ready".to_owned(),
                super::Standing::Away(why) | super::Standing::Foreign(why) => why.clone(),
            };
            (place.sink().to_string(), standing)
        });
        let mut warnings = self.vault.warnings.clone();
        if self.vault.places.len() == 1 {
            warnings.push("there is one copy only; three on two media are the rule".to_owned());
        }
        let mut of_gateway: BTreeMap<Named, Vec<&RecoveryPoint>> = BTreeMap::new();
        // Also those that are gone: their drills took place.
        for point in state.points().iter().filter(|p| p.committed.is_some()) {
            if point.facts.kind != "safety" {
                of_gateway.entry(Named::of(point)).or_default().push(point);
            }
        }
        let every = self.vault.policy.drills.every.map(Span::duration);
        let drills: BTreeMap<Named, DrillStanding> = of_gateway
            .into_iter()
            .map(|(gateway, points)| (gateway, standing(points.into_iter(), every, cx.now())))
            .collect();
        for (gateway, _) in drills.iter().filter(|(_, standing)| standing.overdue) {
            warnings.push(format!("a drill of {gateway} is overdue: run `drill`"));
        }
        let over = |status: &Option<RunStatus>| {
            !matches!(status, None | Some(RunStatus::RollbackIncomplete))
        };
        let open_runs = self.runs(cx).await?.into_iter().filter(|run| !over(&run.status)).collect();
        let listed: Vec<_> = state.listed().cloned().collect();
        let wanted = (self.vault.policy.objectives, every.is_some());
        let stand = |(of, d): (&Named, &DrillStanding)| {
            (of.clone(), Rehearsed { passed: d.passed, overdue: d.overdue })
        };
        let rehearsed = drills.iter().map(stand).collect();
        let samples = metrics::status(&listed, &rehearsed, &self.vault.places, wanted, cx.now());
        warnings.extend(self.measured(cx, samples).await);
        Ok(StatusReport {
            repository: self.id().to_string(),
            proven: self.vault.proven,
            copies: copies.collect(),
            backups,
            newest: newest.into_iter().map(|(g, point)| (g, point.visible_name())).collect(),
            drills: drills.into_iter().map(|(gateway, d)| (gateway.to_string(), d)).collect(),
            open_runs,
            events: state.head().map_or(0, |head| head.seq),
            warnings,
        })
    }
}
