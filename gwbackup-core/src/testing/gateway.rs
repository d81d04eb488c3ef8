//! A gateway in memory, as a provider would be written for it.
//!
//! Two halves that do not trust each other: a *vendor* that keeps things, assigns ids, checks
//! references, names and verbs and refuses what is wrong; and an *adapter* ([`Source`] and
//! [`Target`](crate::target::Target)) made of a table and calls, which is the pattern for provider
//! crates. Faults strike the calls between them.

mod adapter;
mod composite;
mod json;
mod law;
mod laws;
mod seed;
mod state;
mod tables;
mod target;
mod text;
mod vendor;
mod work;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::vendor::Vendor;
pub use self::vendor::VendorCall;
use crate::error::Result;
use crate::model::{Document, HandleName, Id, Key, Kind, Resource, Rules};
use crate::testing::Faults;

/// An API gateway in memory. Clones share it.
///
/// Two characters:
///
/// * [`kong_like`](Self::kong_like): ids chosen by the client, unique names, defaults filled in, a
///   time that moves with each write, deletions that are refused or cascade.
/// * [`aws_like`](Self::aws_like): ids assigned by the server and never given twice, names that
///   repeat, nameless things, things that come with others or are always there, immutable
///   deployments, names that outlive a deletion, values that can never be read, names inside text,
///   writes below one api that must not overlap.
///
/// The `with_` methods are switches for all clones. Everything is deterministic.
///
/// ```
/// use gwbackup_core::testing::{Fault, Faults, MemoryGateway};
/// use gwbackup_core::ErrorKind;
///
/// let gateway = MemoryGateway::aws_like().with_seed(7);
/// gateway.populate(1, 50);
/// let before = gateway.resources();
///
/// // The third call to the vendor from now on is the last one that is answered.
/// gateway.faults(Faults::from_nth(4, Fault::Fail(ErrorKind::Unavailable)));
///
/// // Somebody deletes something by hand.
/// assert!(gateway.remove(&before[3].key));
/// assert_eq!(gateway.resources().len(), before.len() - 1);
/// ```
#[derive(Debug, Clone)]
pub struct MemoryGateway(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    vendor: Vendor,
    rules: Rules,
    aws: bool,
    options: Mutex<Options>,
}

#[derive(Debug, Clone)]
struct Options {
    name: String,
    /// Changes below one api that are written by one call; never if absent.
    composite: Option<usize>,
    revisions: bool,
    parallel_writes: u16,
}

impl MemoryGateway {
    fn new(name: &str, vendor: Vendor, rules: Rules, aws: bool) -> Self {
        let options = Options {
            name: name.to_owned(),
            composite: None,
            revisions: true,
            parallel_writes: if aws { 4 } else { 8 },
        };
        Self(Arc::new(Shared { vendor, rules, aws, options: Mutex::new(options) }))
    }

    /// An empty gateway whose client chooses the ids.
    ///
    /// Kinds: `service`, `route`, `consumer`, `credential` (secret), `plugin` (may name several
    /// kinds), `upstream`, `target` (below its upstream).
    pub fn kong_like() -> Self {
        let rules = Rules::new(Arc::new(tables::kong()));
        Self::new("kong-like", Vendor::new(&laws::KONG), rules, false)
    }

    /// A gateway whose server assigns the ids; it holds its `account` and nothing else.
    ///
    /// Kinds: `account` (always there), `api`, below it `authorizer`, `integration` (nameless),
    /// `route`, `model` (two are born with the api), `deployment` (immutable), `stage`; besides
    /// `plan` (a `plan_default` comes with it), `api_key` (secret), `certificate` (its private part
    /// is never given out), `domain` (a deleted one keeps its name and can be brought back).
    pub fn aws_like() -> Self {
        let rules = Rules::new(Arc::new(tables::aws()));
        Self::new("aws-like", Vendor::new(&laws::AWS), rules, true)
    }

    fn options(&self) -> MutexGuard<'_, Options> {
        self.0.options.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // ---- switches ----

    /// The gateway's name: its address becomes `memory-gateway:NAME`.
    #[must_use]
    pub fn with_name(self, name: impl Into<String>) -> Self {
        self.options().name = name.into();
        self
    }

    /// The server's ids come from another part of their sequence, so that two gateways share none.
    #[must_use]
    pub fn with_seed(self, seed: u64) -> Self {
        self.0.vendor.with(|state| state.seed = seed);
        self
    }

    /// The account that owns the AWS-like gateway: digits and letters.
    #[must_use]
    pub fn with_account(self, account: impl Into<String>) -> Self {
        let account = account.into();
        self.0.vendor.with(|state| state.account = account);
        self
    }

    /// From `threshold` changes below one api on, the AWS-like gateway writes the whole api in one
    /// step.
    #[must_use]
    pub fn with_composite(self, threshold: usize) -> Self {
        self.options().composite = Some(threshold);
        self
    }

    /// Whether resources and the whole gateway have revisions (they do, unless switched off).
    #[must_use]
    pub fn with_revisions(self, on: bool) -> Self {
        self.options().revisions = on;
        self
    }

    /// How many writes it takes at a time (4, or 8 if Kong-like).
    #[must_use]
    pub fn with_parallel_writes(self, writes: u16) -> Self {
        self.options().parallel_writes = writes.max(1);
        self
    }

    /// How many things a page of a list holds (10).
    #[must_use]
    pub fn with_page(self, items: usize) -> Self {
        self.0.vendor.set_page(items);
        self
    }

    /// Every call about this kind is denied from now on: a capture has a gap.
    ///
    /// # Panics
    /// When `kind` is no name of a kind.
    #[must_use]
    pub fn with_denied(self, kind: &'static str) -> Self {
        self.0.vendor.deny(&Kind::known(kind), true);
        self
    }

    // ---- what a test does to it ----

    /// From now on `faults` decides over each call to the vendor (`list`, `get`, `create`,
    /// `update`, `delete`, `undelete`), its subject being as in [`VendorCall`].
    pub fn faults(&self, faults: Faults) {
        self.0.vendor.set_faults(faults);
    }

    /// Every call that the vendor got so far.
    pub fn calls(&self) -> Vec<VendorCall> {
        self.0.vendor.calls()
    }

    /// The calls so far that write.
    pub fn writes(&self) -> Vec<VendorCall> {
        let mut calls = self.calls();
        calls.retain(|call| !matches!(call.operation, "list" | "get"));
        calls
    }

    /// The most writes that were ever under way at one time.
    pub fn most_parallel_writes(&self) -> usize {
        self.0.vendor.most_writes()
    }

    /// Everything that it holds, sorted by key, as a full capture would give it; no call, no fault.
    pub fn resources(&self) -> Vec<Resource> {
        let revisions = self.options().revisions;
        self.0.vendor.with(|state| {
            let all = state.all();
            all.map(|(key, thing)| self.view(key, thing, revisions)).collect()
        })
    }

    /// One thing, as in [`resources`](Self::resources).
    pub fn resource(&self, key: &Key) -> Option<Resource> {
        let revisions = self.options().revisions;
        self.0
            .vendor
            .with(|state| state.get(key).map(|thing| self.view(key.clone(), thing, revisions)))
    }

    /// A change by somebody else, all of it at once: without calls, faults or the vendor's rules.
    pub fn edit<T>(&self, change: impl FnOnce(&mut Contents<'_>) -> T) -> T {
        self.0.vendor.with(|state| change(&mut Contents(state)))
    }

    /// Somebody else stores this; see [`Contents::put`].
    pub fn put(&self, resource: &Resource) {
        self.edit(|contents| contents.put(resource));
    }

    /// Somebody else removes this; whether it was there.
    pub fn remove(&self, key: &Key) -> bool {
        self.edit(|contents| contents.remove(key))
    }

    /// Everything goes, as in a disaster; what is always there is as at the beginning. Ids that
    /// were given out are not given again.
    pub fn clear(&self) {
        self.0.vendor.with(state::State::clear);
    }

    /// Somebody changes it while it is read: once, right after `items` more resources were listed.
    pub fn during_read(
        &self,
        items: usize,
        change: impl FnOnce(&mut Contents<'_>) + Send + 'static,
    ) {
        self.0.vendor.at_item(items, move |state| change(&mut Contents(state)));
    }

    /// Makes one thing through the vendor's rules, without calls or faults, and gives its key.
    /// `id` is for kinds whose ids the client chooses. Refusals are the vendor's.
    pub fn create(
        &self,
        kind: &str,
        parent: Option<&Key>,
        id: Option<&str>,
        body: &serde_json::Value,
    ) -> Result<Key> {
        let kind = Kind::new(kind)?;
        let body = Document::from_value(body)?;
        let order = state::Order { kind: &kind, parent, id, body: &body, token: None };
        self.0.vendor.with(|state| state.create(order)).map(|done| done.key)
    }

    /// Fills it with about `size` more resources, the same for the same `seed`, through the
    /// vendor's rules but without calls or faults. At least one of each kind.
    ///
    /// # Panics
    /// When the vendor refuses one, as it would after a second call with the same seed.
    pub fn populate(&self, seed: u64, size: usize) {
        if let Err(error) = seed::populate(self, seed, size) {
            panic!("the seed does not fit this gateway: {error:?}");
        }
    }

    /// The compiled schema of the adapter.
    pub fn rules(&self) -> &Rules {
        &self.0.rules
    }

    /// The gateway's own handles.
    fn handles(&self) -> BTreeMap<HandleName, String> {
        if !self.0.aws {
            return BTreeMap::new();
        }
        let account = self.0.vendor.with(|state| state.account.clone());
        BTreeMap::from([
            (HandleName::known("account"), account),
            (HandleName::known("region"), "memory-1".to_owned()),
        ])
    }
}

/// What a gateway holds, open to any change: keys, references and names are not checked.
#[derive(Debug)]
pub struct Contents<'a>(&'a mut state::State);

impl Contents<'_> {
    /// All keys, sorted.
    pub fn keys(&self) -> Vec<Key> {
        self.0.all().map(|(key, _)| key).collect()
    }

    /// The document of a thing.
    pub fn get(&self, key: &Key) -> Option<Document> {
        self.0.get(key).map(|thing| thing.document.clone())
    }

    /// Stores a document under a key, over an old one; marks and revision of `resource` are
    /// ignored, its revision in the gateway moves. A value that is never given out stays.
    pub fn put(&mut self, resource: &Resource) {
        self.0.force(&resource.key, resource.parent.clone(), resource.document.clone());
    }

    /// Sets one outermost member of a document to this value; whether the thing was there.
    pub fn set(&mut self, key: &Key, member: &str, value: &serde_json::Value) -> bool {
        let Some(thing) = self.0.get(key) else { return false };
        let parent = thing.parent.clone();
        let Ok(document) = json::set(&thing.document, member, &value.to_string()) else {
            return false;
        };
        self.0.force(key, parent, document);
        true
    }

    /// Removes one thing and nothing else; whether it was there.
    pub fn remove(&mut self, key: &Key) -> bool {
        self.0.forget(key).is_some()
    }
}

/// The key of this id text in this kind.
fn key(kind: &str, id: &str) -> Result<Key> {
    Ok(Key::new(Kind::new(kind)?, Id::new(id)?))
}

#[cfg(test)]
mod steps;
#[cfg(test)]
mod suites;
#[cfg(test)]
mod tests;
