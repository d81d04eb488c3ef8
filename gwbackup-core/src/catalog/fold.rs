//! The log read as a list of backups. Pure: the same events give the same list.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Event, EventKind, EventOutcome, Head};
use crate::archive::Capture;
use crate::clock::Timestamp;
use crate::crypt::SignerId;
use crate::error::Result;

/// How a backup stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub enum State {
    /// In progress.
    Started,
    /// Complete, on as many copies as wanted.
    Success,
    /// Usable, but something named is missing: a part of the gateway, or a copy.
    Partial,
    /// Nothing that counts.
    Failed,
}

impl State {
    /// Whether a backup in this state may get into the next. Nothing begins again; a committed one
    /// is what its copies were last found to be, so that a wrong finding does not outlive a right
    /// one.
    pub fn may_become(self, next: Self) -> bool {
        self == Self::Started || next != Self::Started
    }
}

/// How a backup stands on one copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyResult {
    /// The copy.
    pub copy: String,
    /// Whether it was read back and was right.
    pub ok: bool,
    /// What was wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Data of `verify` and `copy.heal`: what was found on the copies that were looked at.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CopyFacts {
    /// One entry per copy.
    #[serde(default)]
    pub copies: Vec<CopyResult>,
}

/// Data of `backup.start` and `backup.commit`: what is known of a backup by then.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BackupFacts {
    /// Its name for people.
    pub name: String,
    /// Whose gateway.
    pub application: String,
    /// Which stage of it.
    pub environment: String,
    /// `full`, `incremental`, `safety`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Id of its archive, hex.
    pub archive: String,
    /// The full backup that an incremental names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<Uuid>,
    /// Until when it is in progress.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// Whether all was read; in the commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capture: Option<Capture>,
    /// How it stands on each copy; in the commit.
    pub copies: Vec<CopyResult>,
    /// On how many copies it is wanted.
    pub required: u32,
    /// Resources in it.
    pub resources: u64,
    /// Size of the archive in bytes.
    pub size: u64,
}

/// How a drill ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum DrillVerdict {
    /// Everything was as it should be.
    Pass,
    /// It works, and something named should be looked at.
    PassWithFindings,
    /// It does not work.
    Fail,
}

/// Data of `drill`: how a rehearsal of a backup ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillFacts {
    /// The drill.
    pub drill: Uuid,
    /// The verdict.
    pub verdict: DrillVerdict,
    /// When it ended.
    pub ended: Timestamp,
    /// The gateway that it was restored to.
    pub target: String,
    /// How long the recovery took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rto_seconds: Option<u64>,
    /// How much would have been lost.
    pub rpo_seconds: u64,
}

/// Whether a backup is on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deletion {
    /// No.
    #[default]
    None,
    /// It was announced; nothing is deleted yet, or not everywhere.
    Intended,
    /// It is gone from one copy at least, and never comes back.
    Done,
}

/// One backup, as the log tells.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecoveryPoint {
    /// Its id.
    pub backup: Uuid,
    /// Who began it.
    pub signer: SignerId,
    /// When it began.
    pub started: Timestamp,
    /// When it was committed.
    pub committed: Option<Timestamp>,
    /// What is known of it; empty members without the repository key.
    pub facts: BackupFacts,
    /// 1, 2, ... among the commits of one application and environment; never given twice. None
    /// before the commit, and without the repository key.
    pub version: Option<u64>,
    /// 1 for the first backup of its visible name, 2 for the second, ...
    pub twin: u64,
    /// Digest of the manifest that the commit vouches for.
    pub manifest: Option<String>,
    /// Whether it is on its way out.
    pub deletion: Deletion,
    /// Its last drill.
    pub drill: Option<DrillFacts>,
    /// When the last drill of it ended that did not fail.
    pub drill_passed: Option<Timestamp>,
    /// Number of the event that last changed it.
    pub seq: u64,
    state: State,
}

impl RecoveryPoint {
    /// How it stands at the moment `now`: one that is in progress beyond its deadline has failed.
    pub fn state(&self, now: Timestamp) -> State {
        let late = self.facts.deadline.is_some_and(|deadline| deadline < now);
        if self.state == State::Started && late { State::Failed } else { self.state }
    }

    /// How many copies are known to be right.
    pub fn healthy(&self) -> usize {
        self.facts.copies.iter().filter(|copy| copy.ok).count()
    }

    /// Its name, with `-2`, `-3`, ... where another backup had it first.
    pub fn visible_name(&self) -> String {
        match self.twin {
            0 | 1 => self.facts.name.clone(),
            twin => format!("{}-{twin}", self.facts.name),
        }
    }

    fn become_(&mut self, next: State) {
        if self.state.may_become(next) {
            self.state = next;
        }
    }

    /// What the copies make of a committed backup.
    fn judge(&self) -> State {
        let healthy = self.healthy();
        if healthy == 0 {
            State::Failed
        } else if self.facts.capture == Some(Capture::Partial)
            || (healthy as u64) < u64::from(self.facts.required)
        {
            State::Partial
        } else {
            State::Success
        }
    }

    fn found(&mut self, copies: Vec<CopyResult>) {
        for new in copies {
            match self.facts.copies.iter_mut().find(|old| old.copy == new.copy) {
                Some(old) => *old = new,
                None => self.facts.copies.push(new),
            }
        }
    }
}

/// Everything that the log tells about backups.
#[derive(Debug, Clone, Default)]
pub struct CatalogState {
    points: Vec<RecoveryPoint>,
    by_id: HashMap<Uuid, usize>,
    versions: BTreeMap<(String, String), u64>,
    names: BTreeMap<(String, String, String), u64>,
    head: Option<Head>,
}

/// Folds events, given in the order of the log.
pub fn fold<'a>(events: impl IntoIterator<Item = &'a Event>) -> Result<CatalogState> {
    let mut state = CatalogState::default();
    for event in events {
        state.apply(event)?;
    }
    Ok(state)
}

impl CatalogState {
    /// Takes the next event. Events without the right to happen change nothing but the head.
    /// `Corrupt` when a sealed part is not what its kind demands; nothing is changed then.
    pub fn apply(&mut self, event: &Event) -> Result<()> {
        if event.counts
            && event.subject.kind == "backup"
            && let Ok(backup) = event.subject.id.parse()
        {
            self.backup(backup, event)?;
        }
        self.head = Some(Head { seq: event.seq, digest: event.digest.clone() });
        Ok(())
    }

    /// All backups, in the order in which they began, also failed and deleted ones.
    pub fn points(&self) -> &[RecoveryPoint] {
        &self.points
    }

    /// The backups that are shown by default: all that were not deleted and will not be.
    pub fn listed(&self) -> impl Iterator<Item = &RecoveryPoint> {
        self.points.iter().filter(|point| point.deletion == Deletion::None)
    }

    /// One backup.
    pub fn point(&self, backup: Uuid) -> Option<&RecoveryPoint> {
        self.points.get(*self.by_id.get(&backup)?)
    }

    /// The last event that was folded; none before the first.
    pub fn head(&self) -> Option<&Head> {
        self.head.as_ref()
    }

    fn backup(&mut self, backup: Uuid, event: &Event) -> Result<()> {
        let kind = &event.kind;
        if *kind == EventKind::BACKUP_START || *kind == EventKind::BACKUP_COMMIT {
            let facts = event.data::<BackupFacts>()?;
            self.begin(backup, event);
            self.told(backup, event, facts);
            return Ok(());
        }
        let copies = if *kind == EventKind::VERIFY || *kind == EventKind::COPY_HEAL {
            event.data::<Option<CopyFacts>>()?.flatten()
        } else {
            None
        };
        let drill = if *kind == EventKind::DRILL { event.data::<DrillFacts>()? } else { None };
        let Some(point) = self.by_id.get(&backup).and_then(|at| self.points.get_mut(*at)) else {
            return Ok(());
        };
        let committed = point.committed.is_some();
        if let Some(CopyFacts { copies }) = copies {
            if committed {
                point.found(copies);
                point.become_(point.judge());
            }
        } else if let Some(drill) = drill {
            // A drill is about the backup, and does not change it.
            if drill.verdict != DrillVerdict::Fail {
                point.drill_passed = point.drill_passed.max(Some(drill.ended));
            }
            point.drill = Some(drill);
            return Ok(());
        } else if *kind == EventKind::BACKUP_ABANDON
            || (*kind == EventKind::BACKUP_FAIL && event.signer == point.signer)
        {
            // What was committed first stays: the order of the log decides.
            if !committed {
                point.become_(State::Failed);
            }
        } else if *kind == EventKind::DELETE_INTENT && point.deletion == Deletion::None {
            point.deletion = Deletion::Intended;
        } else if *kind == EventKind::DELETE_CANCEL && point.deletion == Deletion::Intended {
            point.deletion = Deletion::None;
        } else if *kind == EventKind::DELETE_DONE {
            point.deletion = Deletion::Done;
        } else {
            return Ok(());
        }
        point.seq = event.seq;
        Ok(())
    }

    fn begin(&mut self, backup: Uuid, event: &Event) {
        self.by_id.entry(backup).or_insert_with(|| {
            self.points.push(RecoveryPoint {
                backup,
                signer: event.signer,
                started: event.time,
                committed: None,
                facts: BackupFacts::default(),
                version: None,
                twin: 0,
                manifest: None,
                deletion: Deletion::None,
                drill: None,
                drill_passed: None,
                seq: event.seq,
                state: State::Started,
            });
            self.points.len() - 1
        });
    }

    /// The start or commit of a backup. Only the first commit counts, and none after a failure.
    fn told(&mut self, backup: Uuid, event: &Event, facts: Option<BackupFacts>) {
        let Some(point) = self.by_id.get(&backup).and_then(|at| self.points.get_mut(*at)) else {
            return;
        };
        if point.committed.is_some() || point.state == State::Failed {
            return;
        }
        let commits = event.kind == EventKind::BACKUP_COMMIT;
        point.seq = event.seq;
        if let Some(facts) = facts {
            if point.twin == 0 {
                let facts = &facts;
                let name =
                    (facts.application.clone(), facts.environment.clone(), facts.name.clone());
                point.twin = next(&mut self.names, name);
            }
            if commits {
                let of = (facts.application.clone(), facts.environment.clone());
                point.version = Some(next(&mut self.versions, of));
            }
            point.facts = facts;
            if commits {
                point.become_(point.judge());
            }
        } else if commits {
            // Without the key the readable part has to do.
            point.become_(match event.outcome {
                EventOutcome::Success => State::Success,
                EventOutcome::Failed => State::Failed,
                _ => State::Partial,
            });
        }
        if commits {
            point.committed = Some(event.time);
            point.manifest = event.vouched("manifest").map(str::to_owned);
        }
    }
}

fn next<K: Ord>(counters: &mut BTreeMap<K, u64>, of: K) -> u64 {
    let counter = counters.entry(of).or_default();
    *counter += 1;
    *counter
}

#[cfg(test)]
mod tests;
