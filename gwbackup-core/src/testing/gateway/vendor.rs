//! The vendor's interface: calls that are counted, may fail, and take turns.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::law::Code;
use super::state::{Done, Order, State, Thing};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Document, Key, Kind};
use crate::testing::Faults;

/// One call that the vendor got, whether or not it was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VendorCall {
    /// `list`, `get`, `create`, `update`, `delete`, `undelete`.
    pub operation: &'static str,
    /// The resource as `kind/id`; for a list the kind; for a create the kind below its parent, as
    /// `parent > kind`, and with the client's id if it chose one.
    pub subject: String,
}

/// One page of a collection.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) items: Vec<(Key, Thing)>,
    pub(super) lingering: Vec<Key>,
    pub(super) last: bool,
}

type Hook = Box<dyn FnOnce(&mut State) + Send>;

struct Inner {
    state: State,
    faults: Faults,
    calls: Vec<VendorCall>,
    denied: BTreeSet<String>,
    /// Lanes in which a write is under way.
    busy: BTreeSet<String>,
    writes: usize,
    most_writes: usize,
    /// Items that lists gave out so far, and what happens at which of them.
    delivered: usize,
    hooks: BTreeMap<usize, Vec<Hook>>,
    page: usize,
}

/// A vendor's service.
pub(super) struct Vendor(Mutex<Inner>);

impl fmt::Debug for Vendor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vendor").finish_non_exhaustive()
    }
}

impl Vendor {
    pub(super) fn new(code: &'static Code) -> Self {
        Self(Mutex::new(Inner {
            state: State::new(code),
            faults: Faults::none(),
            calls: Vec::new(),
            denied: BTreeSet::new(),
            busy: BTreeSet::new(),
            writes: 0,
            most_writes: 0,
            delivered: 0,
            hooks: BTreeMap::new(),
            page: 10,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // ---- the interface ----

    /// The things of a kind after `after`, in the order of their ids.
    pub(super) async fn list(&self, kind: &Kind, after: Option<&Key>) -> Result<Page> {
        self.call("list", kind.to_string(), async {
            let mut inner = self.lock();
            let inner = &mut *inner;
            inner.allowed(kind)?;
            let due = inner.hooks.keys().next().map(|n| n.saturating_sub(inner.delivered));
            let most = due.map_or(inner.page, |due| due.min(inner.page));
            let mut rest = inner
                .state
                .after(kind, after.map(|key| &key.id))
                .map(|(key, thing)| (key, thing.clone()));
            let items: Vec<_> = rest.by_ref().take(most).collect();
            let last = rest.next().is_none();
            drop(rest);
            let lingering = if last { inner.state.lingering(kind) } else { Vec::new() };
            inner.delivered += items.len();
            while let Some(entry) = inner.hooks.first_entry()
                && *entry.key() <= inner.delivered
            {
                for hook in entry.remove() {
                    hook(&mut inner.state);
                }
            }
            Ok(Page { items, lingering, last })
        })
        .await
    }

    /// One thing; `None` if it is not there.
    pub(super) async fn get(&self, key: &Key) -> Result<Option<Thing>> {
        self.call("get", key.to_string(), async {
            let inner = self.lock();
            inner.allowed(&key.kind)?;
            Ok(inner.state.get(key).cloned())
        })
        .await
    }

    pub(super) async fn create(&self, order: Order<'_>) -> Result<Done> {
        let own = order.id.map(|id| format!("/{id}")).unwrap_or_default();
        let subject = match order.parent {
            Some(parent) => format!("{parent} > {}{own}", order.kind),
            None => format!("{}{own}", order.kind),
        };
        let lane = order.parent.and_then(|parent| self.lock().state.code.lane(parent));
        self.write("create", subject, order.kind, lane, |state| state.create(order)).await
    }

    pub(super) async fn update(&self, key: &Key, body: &Document) -> Result<Done> {
        self.change("update", key, |state| state.update(key, body)).await
    }

    pub(super) async fn delete(&self, key: &Key) -> Result<Done> {
        self.change("delete", key, |state| state.delete(key)).await
    }

    pub(super) async fn undelete(&self, key: &Key) -> Result<Done> {
        self.change("undelete", key, |state| state.undelete(key)).await
    }

    // ---- behind its back ----

    /// Runs `f` on the state at once: no call, no fault, no log.
    pub(super) fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.lock().state)
    }

    pub(super) fn set_faults(&self, faults: Faults) {
        self.lock().faults = faults;
    }

    pub(super) fn calls(&self) -> Vec<VendorCall> {
        self.lock().calls.clone()
    }

    pub(super) fn deny(&self, kind: &Kind, denied: bool) {
        let mut inner = self.lock();
        if denied {
            inner.denied.insert(kind.to_string());
        } else {
            inner.denied.remove(kind.as_str());
        }
    }

    pub(super) fn set_page(&self, items: usize) {
        self.lock().page = items.max(1);
    }

    pub(super) fn most_writes(&self) -> usize {
        self.lock().most_writes
    }

    /// Runs `hook` once, after lists gave out `items` more things.
    pub(super) fn at_item(&self, items: usize, hook: impl FnOnce(&mut State) + Send + 'static) {
        let mut inner = self.lock();
        let at = inner.delivered + items;
        inner.hooks.entry(at).or_default().push(Box::new(hook));
    }

    // ---- how calls run ----

    async fn call<T>(
        &self,
        operation: &'static str,
        subject: String,
        work: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        let faults = {
            let mut inner = self.lock();
            inner.calls.push(VendorCall { operation, subject: subject.clone() });
            inner.faults.clone()
        };
        faults.around(operation, &subject, work).await
    }

    async fn change(
        &self,
        operation: &'static str,
        key: &Key,
        work: impl FnOnce(&mut State) -> Result<Done> + Send,
    ) -> Result<Done> {
        let lane = self.lock().state.code.lane(key);
        self.write(operation, key.to_string(), &key.kind, lane, work).await
    }

    async fn write(
        &self,
        operation: &'static str,
        subject: String,
        kind: &Kind,
        lane: Option<String>,
        work: impl FnOnce(&mut State) -> Result<Done> + Send,
    ) -> Result<Done> {
        self.call(operation, subject, async {
            self.lock().allowed(kind)?;
            let _turn = self.turn(lane)?;
            // Whoever else is ready comes to write now, so that overlaps show.
            tokio::task::yield_now().await;
            work(&mut self.lock().state)
        })
        .await
    }

    fn turn(&self, lane: Option<String>) -> Result<Turn<'_>> {
        let mut inner = self.lock();
        if let Some(lane) = &lane
            && !inner.busy.insert(lane.clone())
        {
            let error = Error::new(ErrorKind::Conflict, "another write is under way");
            return Err(error.on(lane).help("write below one api one at a time"));
        }
        inner.writes += 1;
        inner.most_writes = inner.most_writes.max(inner.writes);
        Ok(Turn { vendor: self, lane })
    }
}

impl Inner {
    fn allowed(&self, kind: &Kind) -> Result<()> {
        if self.denied.contains(kind.as_str()) {
            return Err(Error::new(ErrorKind::Denied, "this identity may not use it").on(kind));
        }
        Ok(())
    }
}

/// A write that is under way; over when dropped, also by a caller that gave up.
struct Turn<'a> {
    vendor: &'a Vendor,
    lane: Option<String>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut inner = self.vendor.lock();
        inner.writes -= 1;
        if let Some(lane) = &self.lane {
            inner.busy.remove(lane);
        }
    }
}
