//! Carrying out an arrangement, forwards or backwards.

mod attempt;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::StreamExt as _;
use uuid::Uuid;

use self::attempt::{Direction, End};
use super::journal::{Became, Begin, ChangeResult, GroupResult, Journal, Record, RunStatus};
use super::world::{Progress, World};
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Action, Change, ChangeNo, Description, Handles, IdMap, Key, KindSpec, There};
use crate::plan::{Arranged, Links};
use crate::target::Target;

pub(super) use self::attempt::full_text;

/// Groups whose intents stand in one journal record: at least these, and so many for each call at
/// one time. Whoever writes fast then seldom waits for the journal.
const WAVE: usize = 64;
const ROUNDS: usize = 32;

/// A run under way.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) id: Uuid,
    pub(crate) target: Arc<dyn Target>,
    pub(crate) description: Description,
    pub(crate) world: World,
    pub(crate) journal: Journal,
    pub(crate) links: Vec<Links>,
    /// What was known before the run about where things are.
    pub(crate) kept: IdMap,
    pub(crate) state: State,
    /// Steps in a row that were given up because the target did not answer.
    pub(crate) unanswered: AtomicUsize,
}

/// Where a run stands; rebuilt from its journal.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) arranged: Arranged,
    /// The arrangement that the run began with.
    first: Arc<Arranged>,
    pub(crate) backwards: bool,
    /// Groups that need no further call.
    done: BTreeSet<usize>,
    /// Groups that were called, and perhaps did something.
    started: BTreeSet<usize>,
    /// The last note of each group.
    notes: BTreeMap<usize, serde_json::Value>,
    /// The last note about each change, of either direction.
    change_notes: BTreeMap<ChangeNo, serde_json::Value>,
    /// Resources that the vendor changed on the way.
    pub(crate) side_effects: BTreeSet<Key>,
    /// Why the run turned round, or what went wrong in a roll back.
    pub(crate) failures: Vec<String>,
    /// How the run ended, if it did.
    pub(crate) ended: Option<RunStatus>,
    /// Calls that ended well.
    pub(crate) applied: u64,
}

impl State {
    pub(crate) fn new(arranged: Arranged) -> Self {
        Self {
            first: Arc::new(arranged.clone()),
            arranged,
            backwards: false,
            done: BTreeSet::new(),
            started: BTreeSet::new(),
            notes: BTreeMap::new(),
            change_notes: BTreeMap::new(),
            side_effects: BTreeSet::new(),
            failures: Vec::new(),
            ended: None,
            applied: 0,
        }
    }

    fn turn(&mut self, why: String, arranged: Arranged) {
        self.arranged = arranged;
        self.backwards = true;
        self.done.clear();
        self.started.clear();
        self.notes.clear();
        if self.failures.last() != Some(&why) {
            self.failures.push(why);
        }
        self.ended = None;
    }

    fn note(&mut self, group: usize, note: &serde_json::Value, settling: bool) {
        let arranged = if settling { self.first.as_ref() } else { &self.arranged };
        for no in arranged.groups.get(group).map(|g| g.changes.as_slice()).unwrap_or_default() {
            self.change_notes.insert(*no, note.clone());
        }
        if !settling {
            self.notes.insert(group, note.clone());
        }
    }
}

/// The beginning of a journal.
pub(crate) fn begin(records: &[Record]) -> Result<&Begin> {
    match records.first() {
        Some(Record::Begin(begin)) => Ok(begin),
        _ => Err(Error::corrupt("the journal does not begin with its plan")),
    }
}

impl Run {
    /// Takes up what a journal says.
    pub(crate) fn replay(&mut self, records: &[Record]) {
        for record in records {
            match record {
                Record::Begin(_) => {}
                Record::Intent { groups } => self.state.started.extend(groups),
                Record::Note { group, note, settling } => self.state.note(*group, note, *settling),
                Record::Results { results } => {
                    for result in results {
                        self.settle(result);
                    }
                }
                Record::Settled { results } => {
                    for result in results {
                        self.take_up(result, false);
                    }
                }
                Record::Turn { why, arranged } => self.state.turn(why.clone(), arranged.clone()),
                Record::End { status, .. } => self.state.ended = Some(*status),
            }
        }
        // What was begun and not answered may have happened.
        let open: Vec<ChangeNo> = self
            .state
            .started
            .difference(&self.state.done)
            .filter_map(|group| self.state.arranged.groups.get(*group))
            .flat_map(|group| group.changes.clone())
            .collect();
        self.world.advance(|progress| progress.doubtful.extend(open));
    }

    /// Goes on in the direction of the state until the end, turning round once if it must.
    /// `partial`: whether a complete run leaves something that the vendor offers no way for.
    pub(crate) async fn go(&mut self, cx: &Context, partial: bool) -> Result<RunStatus> {
        if !self.state.backwards {
            match self.pass(cx).await {
                Ok(None) => {
                    let status = if partial { RunStatus::Partial } else { RunStatus::Success };
                    return self.end(cx, status).await;
                }
                Ok(Some(why)) => self.turn(cx, why).await?,
                Err(e) if e.kind() == ErrorKind::Cancelled => return Ok(RunStatus::Cancelled),
                Err(e) => return Err(e),
            }
        }
        match self.back(cx).await {
            Ok(None) => self.end(cx, RunStatus::RolledBack).await,
            Ok(Some(why)) => {
                self.state.failures.push(why);
                self.end(cx, RunStatus::RollbackIncomplete).await
            }
            Err(e) if e.kind() == ErrorKind::Cancelled => Ok(RunStatus::Cancelled),
            Err(e) => Err(e),
        }
    }

    /// Undoes everything. `Some`: why something could not be undone.
    async fn back(&mut self, cx: &Context) -> Result<Option<String>> {
        if self.settle_doubts(cx).await? {
            let why = self.state.failures.last().cloned().unwrap_or_default();
            self.turn(cx, why).await?;
        }
        self.pass(cx).await
    }

    /// Finds out what became of creations that were never answered: only the same call again tells
    /// under which name a server made a thing. Whether anything came out.
    async fn settle_doubts(&mut self, cx: &Context) -> Result<bool> {
        let first = Arc::clone(&self.state.first);
        let groups = first.groups.iter().enumerate();
        let doubtful: Vec<usize> = groups
            .filter(|(_, group)| group.changes.iter().any(|no| self.is_lost(*no)))
            .map(|(n, _)| n)
            .collect();
        let mut settled = false;
        // One at a time: what is in one lane must not overlap, and there are few.
        for group in doubtful {
            cx.check()?;
            let result = match self.call(cx, &first, group, Direction::Settling).await {
                End::Result(result) => result,
                End::Interrupted(error) => return Err(error),
            };
            self.take_up(&result, false);
            settled |= result.changes.iter().any(|told| told.became != Became::Unknown);
            self.journal.write(cx, &Record::Settled { results: vec![result] }).await?;
        }
        Ok(settled)
    }

    /// Whether this change may have made something whose name nobody knows.
    fn is_lost(&self, no: ChangeNo) -> bool {
        let material = &self.world.material;
        let Some(change) = material.changes.get(&no) else { return false };
        let spec = material.rules.spec(&change.key.kind);
        matches!(change.action, Action::Create | Action::Replace)
            && spec.is_some_and(KindSpec::is_assigned_by_server)
            && self.world.progress(|p| {
                p.doubtful.contains(&no)
                    && !p.made().contains_key(&change.key)
                    && !p.remade().contains_key(change.target_key())
            })
    }

    /// Turns the run round: what was done, and what may have been, is to be undone.
    pub(crate) async fn turn(&mut self, cx: &Context, why: String) -> Result<()> {
        let numbers: Vec<ChangeNo> =
            self.world.progress(|p| p.applied.union(&p.doubtful).copied().collect());
        let material = &self.world.material;
        let done: Vec<Change> =
            numbers.iter().filter_map(|no| material.changes.get(no)).cloned().collect();
        let links: Vec<Links> = numbers
            .iter()
            .filter_map(|no| self.links.get(usize::try_from(no.0).ok()?))
            .cloned()
            .collect();
        let arrange = |changes: &[Change]| {
            let asked = changes.iter().filter_map(|change| self.world.asked(change.no, true));
            self.target.arrange(&self.description, &asked.collect::<Vec<_>>())
        };
        let arranged = self.state.first.backward(done, &links, &material.rules, arrange)?;
        let record = Record::Turn { why: why.clone(), arranged: arranged.clone() };
        self.journal.write(cx, &record).await?;
        self.state.turn(why, arranged);
        Ok(())
    }

    async fn end(&mut self, cx: &Context, status: RunStatus) -> Result<RunStatus> {
        let map = self.id_map();
        self.journal.write(cx, &Record::End { status, map }).await?;
        self.state.ended = Some(status);
        Ok(status)
    }

    /// Where things of the backup are in the target, as far as keys or handles differ; by the keys
    /// that the backup has.
    pub(crate) fn id_map(&self) -> IdMap {
        let material = &self.world.material;
        let mut map = self.kept.clone();
        let mut note = |key: &Key, there: &There| {
            map.entries.insert(material.wanted.original(key), there.clone());
        };
        let matched = material.matching.id_map();
        matched.entries.iter().for_each(|(key, there)| note(key, there));
        self.world.progress(|progress| {
            for (key, there) in progress.remade() {
                if let Some(own) = material.matching.own(key) {
                    note(&own, there);
                }
            }
            progress.made().iter().for_each(|(key, there)| note(key, there));
        });
        map
    }

    /// Calls every open group of the arrangement. `Some`: why a step failed for good.
    async fn pass(&mut self, cx: &Context) -> Result<Option<String>> {
        let total = self.state.arranged.groups.len() as u64;
        let mut failed = None;
        self.unanswered.store(0, Ordering::Relaxed);
        let size = WAVE.max(ROUNDS * self.parallel());
        for wave in self.state.arranged.waves.clone() {
            let open: Vec<usize> =
                wave.into_iter().filter(|group| !self.state.done.contains(group)).collect();
            for some in open.chunks(size) {
                cx.check()?;
                self.journal.write(cx, &Record::Intent { groups: some.to_vec() }).await?;
                let results = self.calls(cx, some).await;
                self.state.started.extend(some);
                let mut interrupted = None;
                let mut ended = Vec::with_capacity(results.len());
                for (_, end) in results {
                    match end {
                        End::Result(result) => ended.push(result),
                        End::Interrupted(error) => interrupted = interrupted.or(Some(error)),
                    }
                }
                let results = ended;
                for result in &results {
                    self.settle(result);
                    if failed.is_none() {
                        failed.clone_from(&result.error);
                    }
                }
                self.journal.write(cx, &Record::Results { results }).await?;
                cx.progress("apply", self.state.done.len() as u64, Some(total));
                if let Some(error) = interrupted {
                    return Err(error);
                }
                // Forwards the first failure ends the pass; backwards as much as possible is undone.
                if failed.is_some() && !self.state.backwards {
                    return Ok(failed);
                }
            }
        }
        Ok(failed)
    }

    /// Calls these groups, as many at a time as the target bears.
    async fn calls(&self, cx: &Context, groups: &[usize]) -> Vec<(usize, End)> {
        let direction = if self.state.backwards { Direction::Back } else { Direction::Forward };
        let arranged = &self.state.arranged;
        let failed = AtomicBool::new(false);
        let failed = &failed;
        let calls = groups.iter().map(|group| async move {
            // Forwards the first failure ends the pass: what it would undo need not be begun.
            if failed.load(Ordering::Relaxed) && direction == Direction::Forward {
                return (*group, self.not_begun(arranged, *group));
            }
            // Backwards each is tried: but of a target that is away nothing more can be had.
            if self.unanswered.load(Ordering::Relaxed) >= self.parallel() {
                return (*group, self.not_begun(arranged, *group));
            }
            let end = self.call(cx, arranged, *group, direction).await;
            let is_failure = match &end {
                End::Result(result) => result.error.is_some(),
                End::Interrupted(_) => true,
            };
            failed.fetch_or(is_failure, Ordering::Relaxed);
            (*group, end)
        });
        // A slow one must not keep others waiting that come after it.
        futures_util::stream::iter(calls).buffer_unordered(self.parallel()).collect().await
    }

    /// Calls at one time.
    fn parallel(&self) -> usize {
        usize::from(self.description.limits.parallel_writes.max(1))
    }

    /// Takes up a result of the arrangement that is followed.
    fn settle(&mut self, result: &GroupResult) {
        let backwards = self.state.backwards;
        if result.error.is_none() {
            self.state.done.insert(result.group);
            self.state.applied += u64::from(!backwards);
        } else if result.changes.iter().all(|told| told.became == Became::NotDone) {
            // Nothing of it is in doubt, whenever the run goes on.
            self.state.started.remove(&result.group);
        }
        self.take_up(result, backwards);
    }

    /// Takes up what became of changes.
    fn take_up(&mut self, result: &GroupResult, backwards: bool) {
        self.state.side_effects.extend(result.side_effects.iter().cloned());
        let material = Arc::clone(&self.world.material);
        self.world.advance(|progress| {
            for told in &result.changes {
                if let Some(change) = material.changes.get(&told.no) {
                    settle(progress, change, told, backwards, material.is_made(change));
                }
            }
            // What was not done may still be gone, with what took it along.
            let begun = |told: &&ChangeResult| told.became != Became::NotDone;
            let touched: Vec<ChangeNo> =
                result.changes.iter().filter(begun).map(|told| told.no).collect();
            let left = result.changes.iter().filter(|told| told.became == Became::NotDone);
            let gone = left.filter(|told| !backwards && material.may_be_gone(told.no, &touched));
            progress.doubtful.extend(gone.map(|told| told.no));
        });
    }
}

/// `made`: the change makes its resource.
fn settle(
    progress: &mut Progress,
    change: &Change,
    told: &ChangeResult,
    backwards: bool,
    made: bool,
) {
    // A way back that did nothing says nothing about the way there.
    if told.became != Became::NotDone || !backwards {
        progress.doubtful.remove(&told.no);
    }
    match (told.became, backwards) {
        (Became::Unknown, _) => {
            progress.doubtful.insert(told.no);
            if let (Some(key), false) = (&told.there, backwards) {
                progress.note_made(&change.key, made_at(key, told));
            }
        }
        (Became::NotDone, _) => {}
        (Became::Done, false) => {
            progress.applied.insert(told.no);
            let before = change.there.as_ref().filter(|_| !made);
            let there = told.there.as_ref().or(before).unwrap_or(&change.key);
            if *there != change.key || !told.handles.is_empty() {
                progress.note_made(&change.key, made_at(there, told));
            }
        }
        (Became::Done, true) => {
            progress.applied.remove(&told.no);
            if made {
                let made = progress.made().get(&change.key).map(|there| there.key.clone());
                progress.unmade.insert(made.unwrap_or_else(|| change.key.clone()));
            }
            progress.note_unmade(&change.key);
            let renewed = !made && matches!(change.action, Action::Delete | Action::Replace);
            if let (true, Some(key)) = (renewed, &told.there) {
                progress.note_remade(change.target_key(), made_at(key, told));
            }
        }
    }
}

fn made_at(key: &Key, told: &ChangeResult) -> There {
    There { key: key.clone(), was: Handles::new(), is: told.handles.clone() }
}
