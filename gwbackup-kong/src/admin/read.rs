//! Reading a node: all lists side by side, each page by page.

mod ledger;
mod repair;
mod workspaces;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use gwbackup_core::error::ErrorKind;
use gwbackup_core::model::{
    Captured, Cause, Document, Gap, Handles, Id, Key, Kind, Resource, Role, Rules, Schema, Scope,
    To,
};
use gwbackup_core::source::BoxStream;
use gwbackup_core::{Context, Error, Result};
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use url::Url;

use self::ledger::{Ledger, Thing};
use super::KongAdmin;
use super::client::Answer;
use super::discover::{Collection, Instance, gap};
use super::page::{Page, Walk};

/// Lists that are long where a gateway is large: they begin first, since the pages of one list can
/// only be read one after the other.
const LONG: &[&str] = &["consumer", "keyauth_credential", "plugin", "route", "service", "acl"];

/// One read under way.
struct Reader {
    admin: KongAdmin,
    cx: Context,
    instance: Arc<Instance>,
    rules: Rules,
    scope: Scope,
    out: mpsc::Sender<Vec<Captured>>,
    ledger: Mutex<Ledger>,
}

/// What lies in `scope`. Begins with the first poll and ends when the stream is dropped.
pub(super) fn stream(
    admin: KongAdmin,
    cx: Context,
    schema: Arc<Schema>,
    scope: Scope,
) -> BoxStream<Result<Captured>> {
    let started = stream::once(async move {
        // Each list waits with one page until its place here is free.
        let (out, receiver) = mpsc::channel(1);
        let context = cx.clone();
        // Dropping the set ends the task, and with it those that it started.
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let instance = admin.instance(&cx).await?;
            let named =
                schema.kinds.iter().flat_map(|spec| &spec.references).flat_map(|r| &r.kinds);
            let all = &instance.collections;
            let named = named.filter_map(|kind| all.iter().position(|c| c.kind == *kind));
            let ledger = Mutex::new(Ledger::new(named));
            let rules = Rules::new(schema);
            let reader = Reader { admin, cx, instance, rules, scope, out, ledger };
            Arc::new(reader).run().await
        });
        stream::unfold((receiver, Some(tasks)), move |(mut receiver, mut tasks)| {
            let cx = context.clone();
            async move {
                let running = tasks.as_mut()?;
                if let Some(batch) = receiver.recv().await
                    && cx.check().is_ok()
                {
                    let items: Vec<_> = batch.into_iter().map(Ok).collect();
                    return Some((stream::iter(items), (receiver, tasks)));
                }
                receiver.close();
                let ended = match cx.check() {
                    Ok(()) => joined(running).await.map(drop),
                    Err(cancelled) => Err(cancelled),
                };
                let error = ended.err()?;
                Some((stream::iter(vec![Err(error)]), (receiver, None)))
            }
        })
    });
    Box::pin(started.flatten().flatten())
}

/// The result of the next task to end; nothing when none is left.
async fn joined<T: 'static>(tasks: &mut JoinSet<Result<T>>) -> Result<Option<T>> {
    match tasks.join_next().await {
        None => Ok(None),
        Some(Ok(result)) => result.map(Some),
        Some(Err(e)) => {
            Err(Error::new(ErrorKind::Other, "a part of the read ended early").with_source(e))
        }
    }
}

impl Reader {
    async fn run(self: Arc<Self>) -> Result<()> {
        if !self.scope.under.is_empty() {
            return self.single().await;
        }
        let gaps = self.instance.gaps.iter();
        let gaps = gaps.filter(|gap| gap.kind.as_ref().is_none_or(|kind| self.wants(kind)));
        self.send(gaps.cloned().map(Captured::Gap).collect()).await?;
        let mut order: Vec<(usize, &Collection)> =
            self.instance.collections.iter().enumerate().collect();
        order.sort_by_key(|(_, collection)| {
            let long = LONG.iter().position(|long| *long == collection.kind.as_str());
            long.unwrap_or(LONG.len())
        });
        let mut tasks = JoinSet::new();
        for (at, collection) in order {
            let targets = self.targets_below(collection).is_some();
            if !is_target(collection) && (targets || self.wants(&collection.kind)) {
                let reader = Arc::clone(&self);
                let workspaces = collection.kind.as_str() == "workspace";
                tasks.spawn(async move {
                    if workspaces {
                        return workspaces::read(&reader, at).await;
                    }
                    reader.collection(at).await
                });
            }
        }
        while joined(&mut tasks).await?.is_some() {}
        if self.scope.kinds.is_empty() {
            repair::run(&self).await?;
        }
        Ok(())
    }

    fn wants(&self, kind: &Kind) -> bool {
        self.scope.kinds.is_empty() || self.scope.kinds.contains(kind)
    }

    /// The targets, if this is the list of upstreams and they are wanted.
    fn targets_below(&self, collection: &Collection) -> Option<(usize, &Collection)> {
        let mut all = self.instance.collections.iter().enumerate();
        let (at, targets) = all.find(|(_, c)| is_target(c))?;
        let wanted = collection.kind.as_str() == "upstream" && self.wants(&targets.kind);
        wanted.then_some((at, targets))
    }

    /// Reads one list, and the targets after the upstreams.
    async fn collection(&self, at: usize) -> Result<()> {
        let Some(collection) = self.instance.collections.get(at) else { return Ok(()) };
        let targets = self.targets_below(collection);
        let mut parents = Vec::new();
        let list = self.admin.0.client.at(collection.path.iter().map(String::as_str));
        let found = self.list(at, collection, list, None, |key| {
            if targets.is_some() {
                parents.push(key.clone());
            }
        });
        if let Some(gap) = self.gap_of(collection, found.await).await? {
            let mut gaps = vec![gap.clone()];
            self.ledger().unread(at);
            if let Some((at, targets)) = targets {
                self.ledger().unread(at);
                gaps.push(Gap { kind: Some(targets.kind.clone()), ..gap });
            }
            gaps.retain(|gap| gap.kind.as_ref().is_none_or(|kind| self.wants(kind)));
            return self.send(gaps.into_iter().map(Captured::Gap).collect()).await;
        }
        let Some((at, targets)) = targets else { return Ok(()) };
        let lists = stream::iter(parents).map(async |parent: Key| {
            let id = parent.id.last();
            let list = self.admin.0.client.at(["upstreams", &id, "targets"]);
            // Offsets of the list count rows, which move; those of all targets name a row.
            let by_id = self.admin.0.client.at(["upstreams", &id, "targets", "all"]);
            match self.list(at, targets, list, Some(by_id), |_| {}).await {
                // Deleted since its list was read, and its targets with it.
                Ok(Some(answer)) if answer.status == 404 => Ok(None),
                found => self.gap_of(targets, found).await,
            }
        });
        let connections = self.admin.0.config.connections.into();
        let gaps: Vec<Option<Gap>> = lists.buffer_unordered(connections).try_collect().await?;
        if let Some(gap) = gaps.into_iter().flatten().next() {
            self.ledger().unread(at);
            self.send(vec![Captured::Gap(gap)]).await?;
        }
        Ok(())
    }

    /// Reads one list to its end; the answer that ended it early. If it has more than a page, the
    /// other one is read in its place.
    async fn list(
        &self,
        at: usize,
        collection: &Collection,
        list: Url,
        mut if_long: Option<Url>,
        mut each: impl FnMut(&Key),
    ) -> Result<Option<Answer>> {
        let mut walk = Walk::new(list, &self.admin.0.config.tags);
        let mut fetch = JoinSet::new();
        self.fetch(&mut fetch, walk.first());
        while let Some(answer) = joined(&mut fetch).await? {
            if !answer.is_success() {
                return Ok(Some(answer));
            }
            let page = Page::parse(&answer.body)?;
            let next = walk.next(&page)?;
            if let Some(other) = next.as_ref().and_then(|_| if_long.take()) {
                walk = Walk::new(other, &self.admin.0.config.tags);
                self.fetch(&mut fetch, walk.first());
                continue;
            }
            if_long = None;
            if let Some(next) = next {
                self.fetch(&mut fetch, next);
                // The request goes out before this page is worked on.
                tokio::task::yield_now().await;
            }
            let mut rows = Vec::with_capacity(page.rows.len());
            for row in page.rows {
                let resource = self.resource(collection, row)?;
                if self.is_tagged(&resource.document) {
                    each(&resource.key);
                    rows.push(resource);
                }
            }
            drop(answer);
            self.note(at, &rows);
            let rows = rows.into_iter().filter(|resource| self.scope.contains(&resource.key));
            self.send(rows.map(Captured::Resource).collect()).await?;
        }
        Ok(None)
    }

    fn fetch(&self, tasks: &mut JoinSet<Result<Answer>>, url: Url) {
        let (cx, client) = (self.cx.clone(), self.admin.0.client.clone());
        tasks.spawn(async move { client.get(&cx, &url).await });
    }

    /// An entity as the API gives it, but for the time it has to live.
    fn resource(&self, collection: &Collection, row: &RawValue) -> Result<Resource> {
        let mut resource = collection.entity(row, self.cx.now())?;
        self.rules.mark(&mut resource);
        Ok(resource)
    }

    /// Whether the address asks for it. Kong filters by itself, but not everywhere.
    fn is_tagged(&self, document: &Document) -> bool {
        let wanted = &self.admin.0.config.tags;
        if wanted.is_empty() {
            return true;
        }
        let tags: Option<Vec<String>> =
            document.get("/tags").and_then(|tags| serde_json::from_str(tags).ok());
        tags.is_some_and(|tags| wanted.iter().all(|tag| tags.contains(tag)))
    }

    /// Writes down what was read, what it needs and what it is called.
    fn note(&self, at: usize, rows: &[Resource]) {
        let noted: Vec<_> = rows
            .iter()
            .filter_map(|resource| {
                let thing = Thing::new(at, &resource.key.id)?;
                Some((thing, self.links(resource), self.names(resource)))
            })
            .collect();
        let mut ledger = self.ledger();
        for (thing, links, names) in noted {
            ledger.read(thing, links, &names);
        }
    }

    /// Its names that no other of its kind can have.
    fn names(&self, resource: &Resource) -> Vec<(usize, String)> {
        let mut handles = self.rules.handles(&Handles::new(), resource);
        let unique = self.rules.unique_handles(&resource.key.kind).enumerate();
        unique
            .filter(|(_, handle)| !handle.at.is_empty())
            .filter_map(|(n, handle)| Some((n, handles.remove(&handle.name)?)))
            .collect()
    }

    /// The things that must be there if this one is.
    fn links(&self, resource: &Resource) -> Vec<Thing> {
        let needed = self.rules.references(resource).into_iter();
        let needed = needed.filter(|r| matches!(r.role, Role::Owner | Role::Needs));
        needed
            .filter_map(|reference| {
                let To::Resource { kinds, value, .. } = reference.to else { return None };
                let all = &self.instance.collections;
                let at = all.iter().position(|c| kinds.first() == Some(&c.kind))?;
                Thing::new(at, &Id::of([value]).ok()?)
            })
            .collect()
    }

    /// What it means that a list did not come to its end; `Err` when nothing can be read any more.
    async fn gap_of(
        &self,
        collection: &Collection,
        ended: Result<Option<Answer>>,
    ) -> Result<Option<Gap>> {
        let (cause, detail) = match ended {
            Ok(None) => return Ok(None),
            Ok(Some(answer)) => refused(&answer),
            Err(e) => match e.kind() {
                ErrorKind::Unavailable => {
                    // One list that fails for good, or the node that has gone?
                    self.admin.0.client.get(&self.cx, &self.admin.0.client.root([])).await?;
                    (Cause::Unreachable, e.to_string())
                }
                ErrorKind::Invalid => (Cause::Failed, e.to_string()),
                _ => return Err(e),
            },
        };
        Ok(Some(gap(&collection.kind, cause, detail)))
    }

    /// Reads what the scope names one by one.
    async fn single(&self) -> Result<()> {
        for key in &self.scope.under {
            let found = self.instance.collections.iter().find(|c| c.kind == key.kind);
            let Some(collection) = found else { continue };
            if !self.scope.contains(key) {
                continue;
            }
            if is_target(collection) {
                // It stands below an upstream that the key does not name.
                let all = &self.instance.collections;
                if let Some(upstreams) = all.iter().position(|c| c.kind.as_str() == "upstream") {
                    self.collection(upstreams).await?;
                }
                continue;
            }
            match self.one(collection, &key.id).await {
                Ok(Ok(resource)) => self.send(vec![Captured::Resource(resource)]).await?,
                Ok(Err(answer)) if answer.status == 404 => {}
                ended => {
                    let ended = ended.map(Result::err);
                    if let Some(mut gap) = self.gap_of(collection, ended).await? {
                        gap.under = Some(key.id.clone());
                        self.send(vec![Captured::Gap(gap)]).await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// One entity by its id, or why not.
    async fn one(&self, collection: &Collection, id: &Id) -> Result<Result<Resource, Answer>> {
        let last = id.last();
        let path = collection.path.iter().map(String::as_str).chain([&*last]);
        let answer = self.admin.0.client.get(&self.cx, &self.admin.0.client.at(path)).await?;
        if !answer.is_success() {
            return Ok(Err(answer));
        }
        let row: &RawValue = serde_json::from_slice(&answer.body)
            .map_err(|_| Error::invalid("what the node gives is no entity"))?;
        self.resource(collection, row).map(Ok)
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn send(&self, batch: Vec<Captured>) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        let gone = || Error::new(ErrorKind::Cancelled, "nobody waits for this any more");
        self.out.send(batch).await.map_err(|_| gone())
    }
}

fn is_target(collection: &Collection) -> bool {
    collection.kind.as_str() == "target"
}

/// Why a list is not there, by the answer that came instead.
pub(super) fn refused(answer: &Answer) -> (Cause, String) {
    let refusal = answer.refusal();
    let said: String = refusal.message.chars().filter(|c| !c.is_control()).take(200).collect();
    match answer.status {
        403 => (Cause::Denied, "the node denies it to this identity (403)".to_owned()),
        404 => (Cause::NotOffered, "this node does not have it (404)".to_owned()),
        // A sentence instead of an error with a code: the mode or edition does not have it.
        400 if refusal.code == 0 && !said.is_empty() => (Cause::NotOffered, said),
        status => (
            Cause::Failed,
            format!("the node refuses to list it ({status}) {said}").trim_end().to_owned(),
        ),
    }
}
