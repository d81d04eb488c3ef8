//! One step at work: how a change becomes calls to the vendor.
//!
//! The pattern for providers:
//!
//! * what to write comes from the view after the step, never from the change;
//! * only a first attempt looks at the state before; a later one looks at what is there and ends at
//!   the state after, whatever it finds;
//! * what the vendor refuses is an outcome; what leaves it open whether it was done is an error;
//! * a create carries a token, so that doing it again makes nothing twice;
//! * what was made is noted before the next call, and cancellation is obeyed only then;
//! * values that are not here are never cleared: they are taken from what is there.

mod view;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::state::{Done, Order, child};
use super::{MemoryGateway, tables};
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{
    Action, Attempt, Change, Effect, Key, Outcome, Presence, Replace, Resolved, Resource, Side,
    Step, StepReceipt,
};
use crate::target::{States, StepLog};

/// A step under way.
pub(super) struct Work<'a> {
    pub(super) gateway: &'a MemoryGateway,
    pub(super) cx: &'a Context,
    pub(super) step: &'a Step,
    pub(super) states: &'a dyn States,
    pub(super) log: &'a dyn StepLog,
    /// Where the things are that this step made: by their key in the backup.
    pub(super) made: BTreeMap<Key, Key>,
    /// What came by itself with things that this step made.
    pub(super) came: BTreeSet<Key>,
    outcomes: Vec<Outcome>,
    /// Effects on things that no change names.
    side: Vec<Outcome>,
}

/// What the vendor answered: done, or refused for good.
type Answer<T> = std::result::Result<T, Error>;

/// Refusals become answers; whatever leaves the matter open stays an error.
fn settle<T>(result: Result<T>) -> Result<Answer<T>> {
    use ErrorKind::{AlreadyExists, Conflict, Denied, Invalid, NotFound, Refused, Unsupported};
    match result {
        Ok(done) => Ok(Ok(done)),
        Err(error) => match error.kind() {
            AlreadyExists | Conflict | Denied | Invalid | NotFound | Refused | Unsupported => {
                Ok(Err(error))
            }
            _ => Err(error),
        },
    }
}

impl<'a> Work<'a> {
    pub(super) fn new(
        gateway: &'a MemoryGateway,
        cx: &'a Context,
        step: &'a Step,
        states: &'a dyn States,
        log: &'a dyn StepLog,
    ) -> Result<Self> {
        let mut work = Self {
            gateway,
            cx,
            step,
            states,
            log,
            made: BTreeMap::new(),
            came: BTreeSet::new(),
            outcomes: Vec::new(),
            side: Vec::new(),
        };
        if let Attempt::Again { checkpoint: Some(note) } = &step.attempt {
            work.remember(note)?;
        }
        Ok(work)
    }

    pub(super) fn finish(self) -> StepReceipt {
        let mut outcomes = self.outcomes;
        let mut named: BTreeSet<Key> = outcomes.iter().map(|o| o.key.clone()).collect();
        named.extend(outcomes.iter().filter_map(|o| o.there.clone()));
        // The last word on a thing counts.
        let mut side: Vec<Outcome> = Vec::new();
        for outcome in self.side.into_iter().rev() {
            if named.insert(outcome.key.clone()) {
                side.push(outcome);
            }
        }
        outcomes.extend(side.into_iter().rev());
        StepReceipt { outcomes }
    }

    // ---- the note between attempts ----

    /// Writes down what was made, then obeys a cancellation.
    pub(super) async fn checkpoint(&self) -> Result<()> {
        let made: Vec<_> =
            self.made.iter().map(|(k, v)| json!([k.to_string(), v.to_string()])).collect();
        let came: Vec<_> = self.came.iter().map(ToString::to_string).collect();
        self.log.checkpoint(json!({"made": made, "came": came})).await?;
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
        for item in note.get("came").and_then(Value::as_array).into_iter().flatten() {
            self.came.insert(key(Some(item))?);
        }
        Ok(())
    }

    // ---- a first attempt looks ----

    /// `Conflict` unless the thing is as before or already as after.
    pub(super) async fn check(&self, change: &Change) -> Result<()> {
        let before = self.states.one(Side::Before, &change.key).await?;
        let after = self.states.one(Side::After, &change.key).await?;
        let live = match self.address(change, after.as_ref())? {
            Some(key) => self.gateway.look(&key).await?,
            None => None,
        };
        let born = change.action == Action::Create
            && self.spec(change)?.presence.is_born(&change.key.id.last());
        let is = |state: &Option<Resolved>| match (&live, state) {
            (None, None) => true,
            (Some(live), Some(state)) => self.same(live, &self.resolved(state).0),
            _ => false,
        };
        if born || is(&before) || is(&after) {
            return Ok(());
        }
        let error = Error::new(ErrorKind::Conflict, "it is neither as before nor as after");
        Err(error.on(change.target_key()).help("plan again"))
    }

    // ---- one change ----

    /// Brings one change to its end and keeps its outcome; whether it succeeded.
    pub(super) async fn write(&mut self, change: &Change) -> Result<bool> {
        let after = self.states.one(Side::After, &change.key).await?;
        let outcome = match (change.action, after) {
            (Action::Delete, _) | (Action::Reset, None) => self.remove(change).await?,
            (Action::Create | Action::Undelete, Some(after)) => self.create(change, &after).await?,
            (Action::Update | Action::Reset, Some(after)) => {
                let key = self.made.get(&change.key).unwrap_or(change.target_key()).clone();
                match self.gateway.look(&key).await? {
                    Some(live) => self.converge(change, &live, &after, false).await?,
                    None => failed(change, gone(&key)),
                }
            }
            (Action::Replace, Some(after)) => self.replace(change, &after).await?,
            (_, None) => {
                failed(change, Error::invalid("nothing is known to write").on(&change.key))
            }
        };
        let done = !matches!(outcome.effect, Effect::Failed(_) | Effect::Unknown(_));
        self.outcomes.push(outcome);
        Ok(done)
    }

    /// Outcomes for changes that another call took care of, or that were not tried.
    pub(super) fn conclude(&mut self, change: &Change, effect: Effect) {
        self.outcomes.push(Outcome::new(change.key.clone(), effect));
    }

    pub(super) fn last_effect(&self) -> Option<&Effect> {
        self.outcomes.last().map(|outcome| &outcome.effect)
    }

    async fn remove(&mut self, change: &Change) -> Result<Outcome> {
        let key = self.made.get(&change.key).unwrap_or(change.target_key()).clone();
        if self.gateway.look(&key).await?.is_none() {
            return Ok(Outcome::new(change.key.clone(), Effect::AlreadyThere));
        }
        let effect = match settle(self.gateway.0.vendor.delete(&key).await)? {
            Ok(done) => {
                let reset = done.thing.is_some();
                self.note_side(done.also);
                if reset { Effect::Updated } else { Effect::Deleted }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Effect::AlreadyThere,
            Err(error) => Effect::Failed(error),
        };
        Ok(Outcome::new(change.key.clone(), effect))
    }

    async fn create(&mut self, change: &Change, after: &Resolved) -> Result<Outcome> {
        if let Some(key) = self.address(change, Some(after))?
            && let Some(live) = self.gateway.look(&key).await?
        {
            if change.there.as_ref() == Some(&live.key) {
                // It was never deleted: what names it finds it under its old name.
                self.made.insert(change.key.clone(), live.key.clone());
            }
            let outcome = self.converge(change, &live, after, false).await?;
            return Ok(self.begun(change, outcome));
        }
        self.make(change, after).await
    }

    /// "Nothing of it was done" is untrue of a thing that an earlier attempt made.
    fn begun(&self, change: &Change, outcome: Outcome) -> Outcome {
        match (self.made.get(&change.key), &outcome.effect) {
            (Some(there), Effect::Failed(_)) => Outcome {
                there: (*there != change.key).then(|| there.clone()),
                effect: Effect::Unknown(None),
                ..outcome
            },
            _ => outcome,
        }
    }

    /// Creates, and brings what the creation could not say with a second call.
    async fn make(&mut self, change: &Change, after: &Resolved) -> Result<Outcome> {
        let spec = self.spec(change)?;
        let (wanted, open) = self.resolved(after);
        let body = self.body(&wanted, None)?.without(&open);
        let parent = self.parent(&wanted);
        let last = wanted.key.id.last();
        let by_server = spec.handles.first().is_some_and(|handle| handle.by_server);
        let token = format!("{}:{}", self.step.token, change.key);
        let order = Order {
            kind: &change.key.kind,
            parent: parent.as_ref(),
            id: (!by_server).then_some(last.as_ref()),
            body: &body,
            token: Some(&token),
        };
        let done = match settle(self.gateway.0.vendor.create(order).await)? {
            Ok(done) => done,
            Err(error) if error.kind() == ErrorKind::AlreadyExists && spec.verbs.undelete => {
                return self.undelete(change, after, error).await;
            }
            Err(error) => return Ok(failed(change, error)),
        };
        let existed = done.existed;
        let mut also = done.also;
        if existed {
            // An earlier attempt made it and lost the answer, and with it what came along.
            also.extend(self.born_with(&done.key).await?);
        }
        self.made.insert(change.key.clone(), done.key.clone());
        self.came.extend(also.iter().filter(|(_, came)| *came).map(|(key, _)| key.clone()));
        self.note_side(also);
        let live = self.seen(&done.key, done.thing.as_ref());
        let Some(live) = live else { return Ok(failed(change, gone(&done.key))) };
        if open.is_empty() && !existed {
            return Ok(self.outcome(change, &live, Effect::Created));
        }
        self.checkpoint().await?;
        let outcome = self.converge(change, &live, after, !existed).await?;
        Ok(self.begun(change, outcome))
    }

    /// What the table says comes with a thing, as far as it is there.
    async fn born_with(&self, key: &Key) -> Result<Vec<(Key, bool)>> {
        let mut found = Vec::new();
        let Some(kind) = tables::born_below(&key.kind) else { return Ok(found) };
        let presence = self.gateway.0.rules.spec(&kind).map(|spec| &spec.presence);
        if let Some(Presence::Born(names)) = presence {
            for name in names {
                let born = Key::new(kind.clone(), key.id.child(name)?);
                if self.gateway.look(&born).await?.is_some() {
                    found.push((born, true));
                }
            }
        }
        Ok(found)
    }

    /// What was deleted earlier keeps its name: it is brought back, then made right.
    async fn undelete(&mut self, change: &Change, after: &Resolved, why: Error) -> Result<Outcome> {
        let (wanted, _) = self.resolved(after);
        let key = Key::new(
            wanted.key.kind.clone(),
            child(self.parent(&wanted).as_ref(), &wanted.key.id.last())?,
        );
        let done = match settle(self.gateway.0.vendor.undelete(&key).await)? {
            Ok(done) => done,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(failed(change, why)),
            Err(error) => return Ok(failed(change, error)),
        };
        let Some(live) = self.seen(&key, done.thing.as_ref()) else {
            return Ok(failed(change, gone(&key)));
        };
        let mut outcome = self.converge(change, &live, after, true).await?;
        if !matches!(outcome.effect, Effect::Unknown(_)) {
            outcome.effect = Effect::Undeleted;
        }
        Ok(outcome)
    }

    /// Makes what is there as it shall be. `begun`: this attempt made it, so a refusal leaves
    /// something behind.
    async fn converge(
        &mut self,
        change: &Change,
        live: &Resource,
        after: &Resolved,
        begun: bool,
    ) -> Result<Outcome> {
        let (wanted, _) = self.resolved(after);
        let done = |work: &Self, live: &Resource, otherwise| {
            work.outcome(change, live, if begun { Effect::Created } else { otherwise })
        };
        if self.same(live, &wanted) {
            return Ok(done(self, live, Effect::AlreadyThere));
        }
        let body = self.body(&wanted, Some(live))?;
        match settle(self.gateway.0.vendor.update(&live.key, &body).await)? {
            Ok(Done { key, thing, also, .. }) => {
                self.note_side(also);
                match self.seen(&key, thing.as_ref()) {
                    Some(live) => Ok(done(self, &live, Effect::Updated)),
                    None => Ok(failed(change, gone(&key))),
                }
            }
            Err(_) if begun => Ok(self.outcome(change, live, Effect::Unknown(None))),
            Err(error) => Ok(failed(change, error)),
        }
    }

    /// Makes it anew since something of it cannot change. Where the new one comes first, an old one
    /// that others still name stays: they are led to the new one by changes of their own.
    async fn replace(&mut self, change: &Change, after: &Resolved) -> Result<Outcome> {
        let spec = self.spec(change)?;
        let old = change.target_key().clone();
        let made = self.made.contains_key(&change.key);
        let there = self.gateway.look(&old).await?;
        if let Some(live) = there.as_ref().filter(|_| !made)
            && self.same(live, &self.resolved(after).0)
        {
            // Whatever names it in this step finds it under its old name.
            let outcome = self.outcome(change, live, Effect::AlreadyThere);
            self.made.insert(change.key.clone(), old);
            return Ok(outcome);
        }
        match spec.replace {
            Replace::Never => {
                let error = Error::new(ErrorKind::Unsupported, "this can never be replaced");
                Ok(failed(change, error.on(&change.key)))
            }
            Replace::CreateFirst => {
                let outcome = if made {
                    self.create(change, after).await?
                } else {
                    self.make(change, after).await?
                };
                if outcome.there.is_some() && there.is_some() {
                    self.checkpoint().await?;
                    if let Ok(done) = settle(self.gateway.0.vendor.delete(&old).await)? {
                        self.note_side(done.also);
                    }
                }
                Ok(outcome)
            }
            Replace::DeleteFirst if made => self.create(change, after).await,
            Replace::DeleteFirst if there.is_none() => {
                // It went along with its parent, and may have come again with that.
                let anew = Change { action: Action::Create, there: None, ..change.clone() };
                self.create(&anew, after).await
            }
            Replace::DeleteFirst => {
                if there.is_some() {
                    match settle(self.gateway.0.vendor.delete(&old).await)? {
                        Ok(done) => self.note_side(done.also),
                        Err(error) => return Ok(failed(change, error)),
                    }
                    self.checkpoint().await?;
                }
                let outcome = self.make(change, after).await?;
                // The old one is gone: "nothing of it was done" would be untrue.
                let refused = matches!(outcome.effect, Effect::Failed(_)) && there.is_some();
                let effect = if refused { Effect::Unknown(None) } else { outcome.effect };
                Ok(Outcome { effect, ..outcome })
            }
        }
    }

    // ---- effects beside the changes ----

    /// Keeps what the vendor did beside what it was asked.
    pub(super) fn note_side(&mut self, also: Vec<(Key, bool)>) {
        for (key, came) in also {
            let effect = if came { Effect::Created } else { Effect::Deleted };
            self.side.push(Outcome::new(key, effect));
        }
    }

    /// Keeps what the step itself did to a thing that no change names.
    pub(super) fn side_effect(&mut self, key: Key, effect: Effect) {
        self.side.push(Outcome::new(key, effect));
    }
}

fn failed(change: &Change, error: Error) -> Outcome {
    Outcome::new(change.key.clone(), Effect::Failed(error))
}

fn gone(key: &Key) -> Error {
    Error::new(ErrorKind::NotFound, "it is not there").on(key)
}
