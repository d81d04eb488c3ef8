//! One tree at work: what lies below a root becomes what it shall be.
//!
//! What to write comes from the view after the step, never from the change. Only a first attempt
//! looks at the state before. What was made is noted before the next call, so that an attempt that
//! was cut off is carried on and nothing is made twice.

mod calls;
mod import;
pub(crate) mod invoke;
mod method;
mod openapi;
mod patch;
mod portal;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::TryStreamExt as _;
use gwbackup_core::error::{ErrorKind, Retry};
use gwbackup_core::model::{
    Action, Attempt, Change, Description, Effect, Gap, Key, Kind, Outcome, Resolved, Role, Scope,
    Side, Step, StepReceipt,
};
use gwbackup_core::target::{States, StepLog};
use gwbackup_core::{Context, Error, Result};
use serde_json::{Value, json};

use crate::gateway::Aws;
use crate::read::{Node, Wanted};
use crate::table::Row;

/// From so many things that differ, a REST API is written by one import.
pub(crate) const IMPORT_FROM: usize = 30;

/// Between two looks at what takes its time.
const LOOK: Duration = Duration::from_secs(15);
/// Looks at what takes its time: half an hour.
const LOOKS: usize = 120;

/// A step under way.
pub(crate) struct Work<'a> {
    aws: &'a Aws,
    cx: &'a Context,
    description: &'a Description,
    step: &'a Step,
    log: &'a dyn StepLog,
    root: Key,
    row: &'static Row,
    before: BTreeMap<Key, Resolved>,
    after: BTreeMap<Key, Resolved>,
    /// What had which id of the service's before: by its kind and id.
    numbers: BTreeMap<(&'static str, String), Key>,
    /// The change that is about a thing of the view after (or, for a deletion, before).
    changes: BTreeMap<Key, &'a Change>,
    /// What is there now.
    live: BTreeMap<Key, Node>,
    /// Where the things are that this step made: by their key in the view after.
    made: BTreeMap<Key, Key>,
    /// What this step did to things of the view.
    done: BTreeMap<Key, Effect>,
    /// The first thing that the service refused.
    refused: Option<(ErrorKind, String)>,
}

impl<'a> Work<'a> {
    pub(crate) async fn new(
        aws: &'a Aws,
        cx: &'a Context,
        description: &'a Description,
        step: &'a Step,
        states: &'a dyn States,
        log: &'a dyn StepLog,
    ) -> Result<Self> {
        let scope = step.rewrites.clone().unwrap_or_default();
        let first = scope.under.first().cloned();
        let root = first.ok_or_else(|| Error::invalid("a step of this target names its root"))?;
        let row = Row::of(&root.kind).ok_or_else(|| unknown(&root.kind))?;
        let before = view(states, Side::Before, &scope).await?;
        let after = view(states, Side::After, &scope).await?;
        let mut changes = BTreeMap::new();
        for change in &step.changes {
            let side = if change.action == Action::Delete { Side::Before } else { Side::After };
            let own = states.one(side, &change.key).await?.map(|found| found.resource.key);
            changes.insert(own.unwrap_or_else(|| change.target_key().clone()), change);
        }
        let number = |(key, state): (&Key, &Resolved)| {
            let row = Row::of(&key.kind).filter(|row| row.handle() == "server_id")?;
            let id = state.resource.document.text(&format!("/{}", row.id))?;
            Some(((row.kind, id.into_owned()), key.clone()))
        };
        let numbers = before.iter().filter_map(number).collect();
        let mut work = Self {
            numbers,
            aws,
            cx,
            description,
            step,
            log,
            root,
            row,
            before,
            after,
            changes,
            live: BTreeMap::new(),
            made: BTreeMap::new(),
            done: BTreeMap::new(),
            refused: None,
        };
        if let Attempt::Again { checkpoint: Some(note) } = &step.attempt {
            work.remember(note)?;
        }
        Ok(work)
    }

    /// Brings the tree to the state after.
    pub(crate) async fn run(mut self) -> Result<StepReceipt> {
        self.look().await?;
        if self.step.attempt == Attempt::First {
            self.check()?;
        }
        if self.wanted_root().is_none() && self.has_whole_deletion() {
            self.remove_root().await?;
            return Ok(self.finish());
        }
        if self.make_root().await? && self.make_deployments().await? {
            self.import_where_cheaper().await?;
            self.converge().await?;
            if self.refused.is_none() && matches!(self.row.kind, "rest_api" | "api") {
                self.allow().await?;
            }
        }
        Ok(self.finish())
    }

    /// Reads the tree as it is.
    async fn look(&mut self) -> Result<()> {
        let root = self.root_there();
        let id = root.id.last().into_owned();
        let found = self.aws.root(self.cx, self.row, &id).await?;
        let Some(node) = found else {
            self.live.clear();
            return Ok(());
        };
        let wanted = Wanted { scope: Scope::default(), known: None, without_exports: true };
        let tree = self.aws.tree(self.cx, node, &wanted).await?;
        // A part that cannot be read cannot be written either.
        let keys = || self.before.keys().chain(self.after.keys());
        let written =
            |gap: &&Gap| gap.kind.as_ref().is_none_or(|kind| keys().any(|key| key.kind == *kind));
        if let Some(gap) = tree.gaps.iter().find(written) {
            return Err(Error::new(ErrorKind::Denied, gap.detail.clone()).on(&root));
        }
        self.live = tree.nodes.into_iter().map(|node| (node.resource.key.clone(), node)).collect();
        Ok(())
    }

    /// `Conflict` unless everything that the step is about is as before or already as after.
    fn check(&self) -> Result<()> {
        for (key, change) in &self.changes {
            let born = change.action == Action::Create && is_born(key);
            let live = self.live.get(&self.place(key));
            let is = |state: Option<&Resolved>| match (live, state) {
                (None, None) => true,
                (Some(live), Some(state)) => self.same(live, state),
                _ => false,
            };
            // An assigned name says nothing about what a creation would find.
            if born || is(self.before.get(key)) || is(self.after.get(key)) {
                continue;
            }
            let error = Error::new(ErrorKind::Conflict, "it is neither as before nor as after");
            return Err(error.on(change.target_key()).help("plan again"));
        }
        Ok(())
    }

    // ---- the root ----

    fn wanted_root(&self) -> Option<&Resolved> {
        self.after.values().find(|state| state.resource.key.kind == self.root.kind)
    }

    fn has_whole_deletion(&self) -> bool {
        let gone = |(key, change): (&Key, &&Change)| {
            key.kind == self.root.kind && change.action == Action::Delete
        };
        self.changes.iter().any(gone)
    }

    fn root_there(&self) -> Key {
        let wanted = self.wanted_root().map(|state| &state.resource.key);
        wanted.and_then(|key| self.made.get(key)).unwrap_or(&self.root).clone()
    }

    /// The root goes with all that lies below it, by one call.
    async fn remove_root(&mut self) -> Result<()> {
        let key = self.root_there();
        let effect = match self.live.get(&key).cloned() {
            None => Effect::AlreadyThere,
            Some(node) => match self.remove(&node).await? {
                Ok(()) => {
                    self.disallow(&key.id.last()).await;
                    Effect::Deleted
                }
                Err(error) => Effect::Failed(error),
            },
        };
        let all: Vec<Key> = self.changes.keys().cloned().collect();
        for own in all {
            let effect = match &effect {
                Effect::Failed(error) if own == key => {
                    Effect::Failed(Error::new(error.kind(), error.message().to_owned()).on(&key))
                }
                Effect::Failed(error) => Effect::Failed(Error::new(
                    error.kind(),
                    "not done, since what it lies below could not be deleted",
                )),
                Effect::Deleted => Effect::Deleted,
                _ => Effect::AlreadyThere,
            };
            self.done.insert(own, effect);
        }
        Ok(())
    }

    /// Makes the root if it is not there, or anew if it has to be; whether it is there then.
    async fn make_root(&mut self) -> Result<bool> {
        let Some(wanted) = self.wanted_root().cloned() else {
            return Ok(!self.live.is_empty() || self.changes.is_empty());
        };
        let key = wanted.resource.key.clone();
        let anew = |change: &&Change| change.action == Action::Replace;
        let replaced = self.changes.get(&key).is_some_and(anew) && !self.made.contains_key(&key);
        let live = self.live.get(&self.place(&key)).cloned();
        if let Some(old) = live.as_ref().filter(|live| replaced && !self.same(live, &wanted)) {
            if let Err(error) = self.remove(old).await? {
                self.refuse(&key, error);
                return Ok(false);
            }
            self.live.clear();
        } else if live.is_some() {
            return Ok(true);
        }
        self.make(&key).await?;
        if self.refused.is_some() {
            return Ok(false);
        }
        // What came with it is there already.
        self.look().await?;
        Ok(true)
    }

    // ---- what lies below ----

    /// Makes, changes and removes one thing after the other.
    async fn converge(&mut self) -> Result<()> {
        for key in self.order() {
            if self.refused.is_some() {
                return Ok(());
            }
            self.write(&key).await?;
        }
        // What names things that were made after it.
        let late = |key: &Key| {
            let refs = Row::of(&key.kind).map(|row| row.refs).unwrap_or_default();
            refs.iter().any(|own| own.role == Role::Later)
        };
        for key in self.order().into_iter().filter(late) {
            if self.refused.is_none() {
                self.write(&key).await?;
            }
        }
        let surplus = self.surplus();
        for key in surplus {
            if self.refused.is_some() {
                return Ok(());
            }
            self.drop_one(&key).await?;
        }
        Ok(())
    }

    /// Keys of the view after, in the order of writing.
    fn order(&self) -> Vec<Key> {
        let rank = |key: &Key| Row::of(&key.kind).map_or(u16::MAX, |row| row.rank);
        let mut keys: Vec<Key> = self.after.keys().cloned().collect();
        keys.sort_by_key(|key| (rank(key), key.id.as_str().len(), key.clone()));
        keys
    }

    async fn write(&mut self, key: &Key) -> Result<()> {
        let Some(wanted) = self.after.get(key).cloned() else { return Ok(()) };
        let Some(live) = self.live.get(&self.place(key)).cloned() else {
            if Row::of(&key.kind).is_some_and(|row| !row.served.is_empty()) {
                if self.changes.contains_key(key) {
                    self.deploy(key).await?;
                }
                return Ok(());
            }
            // What no change names is somebody else's matter, unless it was there before.
            if self.changes.contains_key(key) || self.before.contains_key(key) {
                return self.make(key).await;
            }
            return Ok(());
        };
        if wanted.resource.owner.is_some() || self.same(&live, &wanted) {
            self.done.entry(key.clone()).or_insert(Effect::AlreadyThere);
            return Ok(());
        }
        let replaced = self.changes.get(key).is_some_and(|c| c.action == Action::Replace);
        if replaced && !self.made.contains_key(key) {
            if let Err(error) = self.remove(&live).await? {
                self.refuse(key, error);
                return Ok(());
            }
            self.live.remove(&live.resource.key);
            return self.make(key).await;
        }
        let made = matches!(self.done.get(key), Some(Effect::Created));
        self.change(key, &live).await?;
        if made && self.refused.is_none() {
            self.done.insert(key.clone(), Effect::Created);
        }
        Ok(())
    }

    /// What is there and shall not be: what the step deletes, and what came with a root that it
    /// made. In the order of going.
    fn surplus(&self) -> Vec<Key> {
        let kept: BTreeSet<Key> = self.after.keys().map(|key| self.place(key)).collect();
        let fresh = self.wanted_root().is_some_and(|r| self.made.contains_key(&r.resource.key));
        let goes = |key: &&Key| {
            let deleted = self.changes.get(*key).is_some_and(|c| c.action == Action::Delete);
            !kept.contains(*key) && (deleted || (fresh && (is_born(key) || import::is_said(key))))
        };
        let mut keys: Vec<Key> = self.live.keys().filter(goes).cloned().collect();
        let rank = |key: &Key| Row::of(&key.kind).map_or(0, |row| row.rank);
        keys.sort_by_key(|key| std::cmp::Reverse((rank(key), key.id.as_str().len(), key.clone())));
        keys
    }

    async fn drop_one(&mut self, key: &Key) -> Result<()> {
        let Some(node) = self.live.get(key).cloned() else { return Ok(()) };
        match self.remove(&node).await? {
            Ok(()) => {
                self.live.remove(key);
                self.done.insert(key.clone(), Effect::Deleted);
            }
            Err(error) => self.refuse(key, error),
        }
        Ok(())
    }

    // ---- notes and outcomes ----

    /// Writes down what was made, then obeys a cancellation.
    async fn checkpoint(&self) -> Result<()> {
        let made: Vec<_> =
            self.made.iter().map(|(k, v)| json!([k.to_string(), v.to_string()])).collect();
        self.log.checkpoint(json!({ "made": made })).await?;
        self.cx.check()
    }

    fn remember(&mut self, note: &Value) -> Result<()> {
        let key = |value: Option<&Value>| -> Result<Key> {
            let text = value.and_then(Value::as_str);
            text.ok_or_else(|| Error::corrupt("a note of a step is damaged"))?.parse()
        };
        for pair in note.get("made").and_then(Value::as_array).into_iter().flatten() {
            self.made.insert(key(pair.get(0))?, key(pair.get(1))?);
        }
        Ok(())
    }

    /// Keeps what the service refused for good.
    fn refuse(&mut self, key: &Key, error: Error) {
        self.refused = Some((error.kind(), format!("{key}: {error}")));
        // A thing of which a part is done is not as it was before.
        let effect = match self.done.get(key) {
            Some(Effect::Created | Effect::Updated | Effect::Unknown(_)) => {
                Effect::Unknown(Some(error))
            }
            _ if self.made.contains_key(key) => Effect::Unknown(Some(error)),
            _ => Effect::Failed(error),
        };
        self.done.insert(key.clone(), effect);
    }

    fn finish(mut self) -> StepReceipt {
        let mut outcomes = Vec::new();
        let changes: Vec<(Key, &Change)> =
            self.changes.iter().map(|(key, change)| (key.clone(), *change)).collect();
        for (key, change) in changes {
            let effect = self.done.remove(&key).unwrap_or_else(|| self.otherwise(&key, change));
            outcomes.push(self.outcome(&key, change, effect));
        }
        StepReceipt { outcomes }
    }

    /// What became of a change that no call was about.
    fn otherwise(&self, key: &Key, change: &Change) -> Effect {
        if let Some((kind, why)) = &self.refused {
            let error = Error::new(*kind, format!("not done, since this failed: {why}"));
            return Effect::Failed(error.on(&change.key));
        }
        let there = self.live.contains_key(&self.place(key));
        if there == (change.action != Action::Delete) {
            return Effect::AlreadyThere;
        }
        Effect::Failed(Error::invalid("nothing is known to write").on(&change.key))
    }
}

/// What the service answered: done, or refused for good.
type Told<T> = std::result::Result<T, Error>;

/// Refusals become answers; whatever leaves the matter open stays an error.
fn settle<T>(result: Result<T>) -> Result<Told<T>> {
    match result {
        Ok(done) => Ok(Ok(done)),
        Err(error) if error.retry() != Retry::Never || ends_run(error.kind()) => Err(error),
        Err(error) => Ok(Err(error)),
    }
}

/// Whether nothing more can be done, for whatever is still to do.
fn ends_run(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Cancelled | ErrorKind::Unauthenticated)
}

async fn view(states: &dyn States, side: Side, scope: &Scope) -> Result<BTreeMap<Key, Resolved>> {
    let all = states.read(side, scope);
    all.map_ok(|state| (state.resource.key.clone(), state)).try_collect().await
}

fn unknown(kind: &Kind) -> Error {
    Error::new(ErrorKind::Unsupported, "this gateway has no such kind").on(kind)
}

impl Work<'_> {
    fn outcome(&self, key: &Key, change: &Change, effect: Effect) -> Outcome {
        let mut outcome = Outcome::new(change.key.clone(), effect);
        if let Some(node) = self.live.get(&self.place(key)) {
            let live = &node.resource;
            outcome.there = (live.key != change.key).then(|| live.key.clone());
            let rules = &self.aws.0.rules;
            outcome.handles = rules.handles(&self.description.handles, live);
            if let Some(spec) = rules.spec(&live.key.kind) {
                let own = |name: &_| spec.handles.iter().find(|h| h.name == *name);
                outcome.handles.retain(|name, _| own(name).is_none_or(|h| h.by_server));
            }
        }
        outcome
    }
}

/// Whether the service makes it by itself.
fn is_born(key: &Key) -> bool {
    Row::of(&key.kind).is_some_and(|row| row.born.contains(&&*key.id.last()))
}
