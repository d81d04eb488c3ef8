//! The promises of [`Target`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use super::capture::{described, good, read_all};
use crate::context::Context;
use crate::error::{ErrorKind, Result};
use crate::model::{
    Action, Attempt, Change, ChangeNo, Description, Document, Effect, Key, Outcome, Presence,
    Resource, Restore, Rules, Step, StepReceipt, To, Undo, absent_places,
};
use crate::target::Target;
use crate::testing::{FixedStates, Notes};

/// Another document for the same thing that the gateway will take: each time another than the
/// given one; `None` for what cannot be changed.
pub type Edit = Box<dyn Fn(&Resource) -> Option<Document> + Send + Sync>;

/// A gateway to be written.
pub struct TargetFixture {
    /// It holds something of each kind that is to be tried, and is changed by nobody else.
    pub target: Arc<dyn Target>,
    /// How the suite comes by something to write.
    pub edit: Edit,
}

impl fmt::Debug for TargetFixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TargetFixture").field("target", &self.target).finish_non_exhaustive()
    }
}

/// Checks every promise of [`Target`] against a gateway that `make` gives, filled and its own. Of
/// each kind, one thing is changed and changed back, and one is deleted and made again.
///
/// ```
/// use std::sync::Arc;
/// use gwbackup_core::model::Document;
/// use gwbackup_core::testing::MemoryGateway;
/// use gwbackup_core::testing::conformance::{TargetFixture, target};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// target(|| async {
///     let gateway = MemoryGateway::kong_like();
///     gateway.populate(1, 30);
///     TargetFixture {
///         target: Arc::new(gateway),
///         edit: Box::new(|resource| {
///             let mut value = resource.document.to_value();
///             let revised = value["revised"].as_u64().unwrap_or(0) + 1;
///             value["revised"] = revised.into();
///             Document::from_value(&value).ok()
///         }),
///     }
/// })
/// .await;
/// # }
/// ```
///
/// # Panics
/// On the first breach.
pub async fn target<F, Fut>(make: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = TargetFixture>,
{
    target_in(&Context::new(), make).await;
}

/// The same in a given context: for a gateway that takes its time by a clock of the test.
///
/// # Panics
/// On the first breach.
pub async fn target_in<F, Fut>(cx: &Context, make: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = TargetFixture>,
{
    let cx = cx.clone();
    let TargetFixture { target, edit } = make().await;
    let description = described(&*target, &cx).await;
    let rules = Rules::new(Arc::clone(&description.schema));
    let mut trial = Trial { target: &*target, cx, description, rules, edit: &edit, steps: 0 };
    trial.arranging_and_validating().await;
    let kinds: BTreeSet<_> = trial.read().await.into_keys().map(|key| key.kind).collect();
    let mut tried = 0;
    for kind in kinds {
        let all = trial.read().await;
        let of_kind = || all.values().filter(|resource| resource.key.kind == kind);
        if let Some(resource) = of_kind().find(|resource| trial.other(resource).is_some()) {
            trial.update(resource.clone()).await;
            tried += 1;
        }
        if let Some(resource) = of_kind().find(|resource| trial.is_free(resource, &all)) {
            trial.delete_and_create(resource.clone()).await;
            tried += 1;
        }
    }
    assert!(tried > 0, "the suite needs a gateway that holds something to change");
}

struct Trial<'a> {
    target: &'a dyn Target,
    cx: Context,
    description: Description,
    rules: Rules,
    edit: &'a Edit,
    steps: u32,
}

type All = BTreeMap<Key, Resource>;

impl Trial<'_> {
    async fn read(&self) -> All {
        read_all(self.target, &self.cx, &self.description).await.resources
    }

    /// The thing with another document.
    fn other(&self, resource: &Resource) -> Option<Resource> {
        let can = self.rules.spec(&resource.key.kind).is_some_and(|spec| spec.verbs.update);
        let document = can.then(|| (self.edit)(resource)).flatten()?;
        let other = Resource { document, ..resource.clone() };
        assert!(!self.same(&other, resource), "{}: the edit changes nothing", resource.key);
        Some(other)
    }

    /// Whether it may be deleted and made again by itself.
    fn is_free(&self, resource: &Resource, all: &All) -> bool {
        let Some(spec) = self.rules.spec(&resource.key.kind) else { return false };
        let named = |other: &Resource| {
            other.parent.as_ref() == Some(&resource.key)
                || self.rules.references(other).iter().any(|reference| match &reference.to {
                    To::Resource { kinds, value, .. } => {
                        other.key != resource.key
                            && kinds.contains(&resource.key.kind)
                            && self
                                .rules
                                .handles(&self.description.handles, resource)
                                .values()
                                .any(|handle| handle == value)
                    }
                    _ => false,
                })
        };
        spec.verbs.create
            && spec.verbs.delete
            && spec.presence == Presence::Free
            && spec.restore == Restore::Always
            && resource.owner.is_none()
            && !resource.is_incomplete()
            && !all.values().any(named)
    }

    fn same(&self, a: &Resource, b: &Resource) -> bool {
        let absent: Vec<String> =
            absent_places(a).chain(absent_places(b)).map(str::to_owned).collect();
        self.rules.comparable(a, &[], &absent) == self.rules.comparable(b, &[], &absent)
    }

    fn unchanged(&self, before: &All, after: &All, promise: &str) {
        for key in after.keys() {
            assert!(before.contains_key(key), "{promise}: {key} is new");
        }
        for (key, old) in before {
            let same = after.get(key).is_some_and(|new| self.same(old, new));
            assert!(same, "{promise}: {key} is gone or changed");
        }
    }

    fn change(no: u32, resource: &Resource, action: Action) -> Change {
        Change {
            no: ChangeNo(no),
            key: resource.key.clone(),
            there: None,
            parent: resource.parent.clone(),
            action,
            undo: Undo::Exact,
            bytes: u64::try_from(resource.document.len()).unwrap_or(u64::MAX),
        }
    }

    async fn arranging_and_validating(&self) {
        let all = self.read().await;
        let mut after = all.clone();
        let mut changes = Vec::new();
        for (resource, no) in all.values().zip(0..) {
            let other = self.other(resource);
            if let Some(other) = other {
                after.insert(other.key.clone(), other);
                changes.push(Self::change(no, resource, Action::Update));
            } else if self.is_free(resource, &all) {
                after.remove(&resource.key);
                changes.push(Self::change(no, resource, Action::Delete));
            }
        }
        let groups = self.target.arrange(&self.description, &changes);
        let again = self.target.arrange(&self.description, &changes);
        assert_eq!(groups, again, "arranging the same changes must give the same groups");
        let mut numbers: Vec<ChangeNo> = groups.iter().flat_map(|g| g.changes.clone()).collect();
        numbers.sort_unstable();
        let wanted: Vec<ChangeNo> = changes.iter().map(|change| change.no).collect();
        assert!(numbers == wanted, "each change must be in exactly one group");
        assert!(groups.iter().all(|g| !g.changes.is_empty()), "a group must not be empty");
        assert!(self.target.arrange(&self.description, &[]).is_empty(), "no changes, no groups");

        let states = FixedStates::new(all.values().cloned(), after.into_values());
        let found = self.target.validate(&self.cx, &self.description, &changes, &states).await;
        let found = good(found, "a validation must answer");
        let named =
            found.iter().filter_map(|finding| finding.change).all(|no| wanted.contains(&no));
        assert!(named, "a finding must be about a change that was given");
        self.unchanged(&all, &self.read().await, "a validation must change nothing");
    }

    /// A step of this one change, as the target arranges it.
    fn step(&mut self, change: &Change) -> Step {
        self.steps += 1;
        let changes = std::slice::from_ref(change);
        let mut groups = self.target.arrange(&self.description, changes);
        assert_eq!(groups.len(), 1, "one change must make one group");
        let rewrites = groups.pop().and_then(|group| group.rewrites);
        Step {
            token: format!("conformance-{}", self.steps),
            changes: changes.to_vec(),
            rewrites,
            attempt: Attempt::First,
        }
    }

    async fn apply(&self, step: &Step, states: &FixedStates, notes: &Notes) -> Result<Outcome> {
        let receipt = self.target.apply(&self.cx, &self.description, step, states, notes).await?;
        Ok(own_outcome(step, receipt))
    }

    /// Applies a first time, then twice more, each of which must find everything done.
    async fn perform(&self, step: Step, states: &FixedStates, again_first: bool) -> Outcome {
        let key = step.changes.first().map(|c| c.key.to_string()).unwrap_or_default();
        let notes = Notes::default();
        let outcome = good(self.apply(&step, states, &notes).await, "a step must be applied");
        if let Effect::Failed(error) = &outcome.effect {
            panic!("{key}: a step must succeed: {error:?}");
        }
        let done = self.read().await;
        let mut attempts = vec![Attempt::Again { checkpoint: notes.last() }];
        if again_first {
            attempts.push(Attempt::First);
        }
        for attempt in attempts {
            let step = Step { attempt, ..step.clone() };
            let again = self.apply(&step, states, &Notes::default()).await;
            let again = good(again, "a step that is done must be accepted again");
            let there = matches!(again.effect, Effect::AlreadyThere);
            let effect = &again.effect;
            assert!(there, "{key}: a done step must be found done, not {effect:?}");
        }
        self.unchanged(&done, &self.read().await, "a second attempt must change nothing");
        outcome
    }

    async fn conflicts(&mut self, change: &Change, states: &FixedStates) {
        let step = self.step(change);
        let before = self.read().await;
        let error = self.apply(&step, states, &Notes::default()).await.err();
        let kind = error.map(|error| error.kind());
        let key = &change.key;
        let wanted = Some(ErrorKind::Conflict);
        assert_eq!(kind, wanted, "{key}: a first attempt on a third state must be a conflict");
        self.unchanged(&before, &self.read().await, "a conflict must change nothing");
    }

    async fn update(&mut self, old: Resource) {
        let Some(new) = self.other(&old) else { return };
        let key = old.key.clone();
        let all = self.read().await;
        let with = |resource: &Resource| {
            let mut all = all.clone();
            all.insert(resource.key.clone(), resource.clone());
            all.into_values()
        };
        let change = Self::change(1, &old, Action::Update);
        let states = FixedStates::new(with(&old), with(&new));
        let step = self.step(&change);
        let outcome = self.perform(step, &states, true).await;
        assert!(matches!(outcome.effect, Effect::Updated), "{key}: updated, not {outcome:?}");
        let live = self.read().await.remove(&key);
        let same = live.is_some_and(|live| self.same(&live, &new));
        assert!(same, "{key}: an update must end at the state after");

        if let Some(third) = self.other(&new).filter(|third| !self.same(third, &old)) {
            let states = FixedStates::new(with(&old), with(&third));
            self.conflicts(&change, &states).await;
        }
        let mut gone = all.clone();
        gone.remove(&key);
        let states = FixedStates::new(with(&old), gone.into_values());
        self.conflicts(&Self::change(1, &old, Action::Delete), &states).await;

        let states = FixedStates::new(with(&new), with(&old));
        let step = self.step(&change.inverted());
        self.perform(step, &states, true).await;
        self.unchanged(&all, &self.read().await, "before and after swapped must lead back");
    }

    async fn delete_and_create(&mut self, old: Resource) {
        let key = old.key.clone();
        let all = self.read().await;
        let mut rest = all.clone();
        rest.remove(&key);
        let change = Self::change(1, &old, Action::Delete);
        let states = FixedStates::new(all.clone().into_values(), rest.clone().into_values());
        let step = self.step(&change);
        let outcome = self.perform(step, &states, true).await;
        assert!(matches!(outcome.effect, Effect::Deleted), "{key}: deleted, not {outcome:?}");
        let now = self.read().await;
        assert!(!now.contains_key(&key), "{key}: a deleted thing must be gone");

        let states = FixedStates::new(rest.into_values(), all.clone().into_values());
        let by_server = self
            .rules
            .spec(&key.kind)
            .and_then(|spec| spec.handles.first())
            .is_some_and(|handle| handle.by_server);
        let step = self.step(&change.inverted());
        let outcome = self.perform(step, &states, !by_server).await;
        let made = matches!(outcome.effect, Effect::Created | Effect::Undeleted);
        assert!(made, "{key}: created or brought back, not {outcome:?}");
        let there = outcome.there.unwrap_or(key);
        let now = self.read().await;
        let same = now.get(&there).is_some_and(|live| self.same(live, &old));
        assert!(same, "{there}: a created thing must be as asked for");
        let count = |all: &All| all.keys().filter(|k| k.kind == there.kind).count();
        assert_eq!(count(&now), count(&all), "{there}: it must be there once");
    }
}

/// The outcome of the one change; each thing may be named once.
fn own_outcome(step: &Step, receipt: StepReceipt) -> Outcome {
    let mut named = BTreeSet::new();
    for outcome in &receipt.outcomes {
        assert!(named.insert(outcome.key.clone()), "{}: a receipt names it twice", outcome.key);
    }
    let own = receipt
        .outcomes
        .into_iter()
        .find(|outcome| step.changes.iter().any(|change| change.key == outcome.key));
    own.unwrap_or_else(|| panic!("a receipt must have an outcome for each change"))
}
