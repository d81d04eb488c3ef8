//! One change, and the one call that makes it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::BoxFuture;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use gwbackup_core::error::ErrorKind;
use gwbackup_core::model::{
    Action, Change, Description, Effect, Kind, Outcome, Resource, Rules, Side,
};
use gwbackup_core::target::States;
use gwbackup_core::{Context, Error, Result};
use reqwest::Method;

use super::KongAdmin;
use super::client::Answer;
use super::discover::{Collection, Instance};
use super::refusal::Refused;
use super::requests::{self, Address, Update};
use crate::schema::hashed;

/// Writes the changes of one step.
pub(super) struct Writer<'a> {
    pub(super) admin: &'a KongAdmin,
    pub(super) cx: &'a Context,
    pub(super) instance: Arc<Instance>,
    pub(super) rules: Rules,
    pub(super) states: &'a dyn States,
    /// Nothing of the step was tried before.
    pub(super) first: bool,
    /// Whether a call that writes was made.
    called: AtomicBool,
}

/// What the node answered: done, or refused for good.
type Told<T> = std::result::Result<T, Refused>;

impl<'a> Writer<'a> {
    pub(super) async fn new(
        admin: &'a KongAdmin,
        cx: &'a Context,
        description: &Description,
        states: &'a dyn States,
        first: bool,
    ) -> Result<Self> {
        let instance = admin.instance(cx).await?;
        let rules = admin.rules(&description.schema);
        let called = AtomicBool::new(false);
        Ok(Self { admin, cx, instance, rules, states, first, called })
    }

    /// Brings one change to its end. What leaves open whether it was done is an error.
    pub(super) async fn write(&self, change: &Change) -> Result<Outcome> {
        let done = match change.action {
            Action::Create | Action::Undelete => self.create(change).await,
            Action::Delete => self.delete(change).await,
            _ => self.update(change).await,
        };
        match done {
            // Only a first attempt knows that nothing came of an earlier one.
            Err(error) if self.first && self.is_undone(&error) => Ok(failed(change, error)),
            done => done,
        }
    }

    /// Whether an error of a first attempt says that nothing was done.
    fn is_undone(&self, error: &Error) -> bool {
        let tried = self.called.load(Ordering::Relaxed);
        let may_pass = matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Throttled);
        is_final(error.kind()) || (!tried && may_pass)
    }

    /// Makes calls, as many at a time as the node bears; their results in the order of the calls.
    pub(super) async fn all<T>(&self, calls: Vec<BoxFuture<'_, Result<T>>>) -> Result<Vec<T>> {
        let parallel = self.admin.0.config.connections.into();
        stream::iter(calls).buffered(parallel).try_collect().await
    }

    async fn create(&self, change: &Change) -> Result<Outcome> {
        let wanted = self.wanted(change).await?;
        self.make(change, &wanted).await
    }

    /// Makes what is not there; whoever finds it there looks what it is.
    pub(super) async fn make(&self, change: &Change, wanted: &Resource) -> Result<Outcome> {
        if let Some(at) = hashed(wanted) {
            return Ok(failed(change, no_import(at)));
        }
        let address = self.address(wanted)?;
        let Some(body) = requests::creation(&self.rules, wanted, self.cx.now())? else {
            // It has expired: that it is not there is right.
            return Ok(done(change, wanted, Effect::AlreadyThere));
        };
        let list = self.admin.0.client.at(address.list());
        let Err(refused) = self.call(Method::POST, &list, Some(body)).await? else {
            return Ok(done(change, wanted, Effect::Created));
        };
        if !refused.is_taken() {
            return Ok(failed(change, refused.error));
        }
        match self.look(&address, &wanted.key.kind).await? {
            // Its name belongs to another.
            None => Ok(failed(change, refused.error)),
            Some(live) if self.same(&live, wanted) => {
                Ok(done(change, wanted, Effect::AlreadyThere))
            }
            Some(_) if self.first => Err(moved(change)),
            Some(live) => self.converge(change, &live, wanted).await,
        }
    }

    async fn update(&self, change: &Change) -> Result<Outcome> {
        let wanted = self.wanted(change).await?;
        let before = self.states.one(Side::Before, &change.key).await?.map(|b| b.resource);
        let address = self.address(&wanted)?;
        let old = before.as_ref().map(|before| self.address(before)).transpose()?;
        if let Some(old) = old.filter(|old| *old != address) {
            return self.relocate(change, &old, &wanted).await;
        }
        let Some(live) = self.look(&address, &wanted.key.kind).await? else {
            return if self.first { Err(moved(change)) } else { self.make(change, &wanted).await };
        };
        if self.same(&live, &wanted) {
            return Ok(done(change, &wanted, Effect::AlreadyThere));
        }
        if self.first && !before.is_some_and(|before| self.same(&live, &before)) {
            return Err(moved(change));
        }
        self.converge(change, &live, &wanted).await
    }

    /// A target that goes below another upstream: it is made anew, since its address names one.
    async fn relocate(&self, change: &Change, old: &Address, wanted: &Resource) -> Result<Outcome> {
        let client = &self.admin.0.client;
        if self.look(old, &wanted.key.kind).await?.is_some()
            && let Err(refused) = self.call(Method::DELETE, &client.at(old.entity()), None).await?
        {
            return Ok(failed(change, refused.error));
        }
        let outcome = self.make(change, wanted).await?;
        // The old one is gone: "nothing of it was done" would be untrue.
        let effect = match outcome.effect {
            Effect::Failed(error) => Effect::Unknown(Some(error)),
            _ => Effect::Updated,
        };
        Ok(Outcome { effect, ..outcome })
    }

    /// Makes what is there as it shall be.
    pub(super) async fn converge(
        &self,
        change: &Change,
        live: &Resource,
        wanted: &Resource,
    ) -> Result<Outcome> {
        if let Some(at) = hashed(wanted)
            && live.document.get(at) != wanted.document.get(at)
        {
            return Ok(failed(change, no_import(at)));
        }
        let address = self.address(wanted)?;
        let (method, body) = match requests::update(&self.rules, live, wanted, self.cx.now())? {
            Some(Update::Whole(body)) => (Method::PUT, body),
            Some(Update::Part(body)) => (Method::PATCH, body),
            None => return Ok(done(change, wanted, Effect::AlreadyThere)),
        };
        let at = self.admin.0.client.at(address.entity());
        Ok(match self.call(method, &at, Some(body)).await? {
            Ok(_) => done(change, wanted, Effect::Updated),
            Err(refused) => failed(change, refused.error),
        })
    }

    async fn delete(&self, change: &Change) -> Result<Outcome> {
        let before = self.states.one(Side::Before, &change.key).await?;
        let before = before.ok_or_else(|| unknown(change))?.resource;
        let address = self.address(&before)?;
        let Some(live) = self.look(&address, &before.key.kind).await? else {
            return Ok(Outcome::new(change.key.clone(), Effect::AlreadyThere));
        };
        if self.first && !self.same(&live, &before) {
            return Err(moved(change));
        }
        let at = self.admin.0.client.at(address.entity());
        Ok(match self.call(Method::DELETE, &at, None).await? {
            Ok(_) => Outcome::new(change.key.clone(), Effect::Deleted),
            Err(refused) => failed(change, refused.error),
        })
    }

    // ---- the node ----

    /// One call. `Err` leaves open whether it did anything.
    pub(super) async fn call(
        &self,
        method: Method,
        url: &url::Url,
        body: Option<String>,
    ) -> Result<Told<Answer>> {
        self.called.store(true, Ordering::Relaxed);
        match self.admin.0.client.send(method, url, body).await {
            Ok(answer) if answer.is_success() => Ok(Ok(answer)),
            Ok(answer) => Ok(Err(Refused::new(&answer))),
            Err(error) if is_final(error.kind()) => Ok(Err(Refused::by_client(error))),
            Err(error) => Err(error),
        }
    }

    /// What is there now. Asks once: it is the step that is tried again.
    pub(super) async fn look(&self, address: &Address, kind: &Kind) -> Result<Option<Resource>> {
        let url = self.admin.0.client.at(address.entity());
        let answer = self.admin.0.client.get_once(self.cx, &url).await?;
        match answer.status {
            404 => Ok(None),
            _ if answer.is_success() => {
                let row = serde_json::from_slice(&answer.body)
                    .map_err(|_| Error::invalid("what the node gives is no entity"))?;
                self.collection(kind)?.entity(row, self.cx.now()).map(Some)
            }
            _ => Err(Refused::new(&answer).error),
        }
    }

    fn collection(&self, kind: &Kind) -> Result<&Collection> {
        let found = self.instance.collections.iter().find(|c| c.kind == *kind);
        found.ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, "this node has no such collection").on(kind)
        })
    }

    pub(super) fn address(&self, resource: &Resource) -> Result<Address> {
        Address::new(&self.collection(&resource.key.kind)?.path, resource)
    }

    // ---- the states ----

    /// What a change writes.
    pub(super) async fn wanted(&self, change: &Change) -> Result<Resource> {
        let after = self.states.one(Side::After, &change.key).await?;
        after.map(|after| after.resource).ok_or_else(|| unknown(change))
    }

    /// Whether two are the same for all that can be compared.
    pub(super) fn same(&self, a: &Resource, b: &Resource) -> bool {
        let absent: Vec<String> =
            requests::absent(a).chain(requests::absent(b)).map(str::to_owned).collect();
        self.rules.comparable(a, &[], &absent) == self.rules.comparable(b, &[], &absent)
    }
}

/// Whether the same call would fail again, and has had no effect.
fn is_final(kind: ErrorKind) -> bool {
    use ErrorKind::{
        AlreadyExists, Denied, Invalid, NotFound, Refused, Unauthenticated, Unsupported,
    };
    matches!(
        kind,
        AlreadyExists | Denied | Invalid | NotFound | Refused | Unauthenticated | Unsupported
    )
}

pub(super) fn done(change: &Change, wanted: &Resource, effect: Effect) -> Outcome {
    let there = (wanted.key != change.key).then(|| wanted.key.clone());
    Outcome { there, ..Outcome::new(change.key.clone(), effect) }
}

pub(super) fn failed(change: &Change, error: Error) -> Outcome {
    Outcome::new(change.key.clone(), Effect::Failed(error))
}

pub(super) fn moved(change: &Change) -> Error {
    let error = Error::new(ErrorKind::Conflict, "it is neither as before nor as after");
    error.on(change.target_key()).help("plan again")
}

fn unknown(change: &Change) -> Error {
    Error::invalid("nothing is known about what to write").on(&change.key)
}

/// A hash is never sent: it would be hashed again.
fn no_import(at: &str) -> Error {
    let what = format!("the hash at {at} can be put back by an import alone");
    Error::new(ErrorKind::Unsupported, what).help("give the setting `import_hook`")
}
