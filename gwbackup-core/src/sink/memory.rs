//! Objects in memory.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream;

use super::{
    Body, DeletionReceipt, Listed, Lock, ObjectMeta, ObjectName, Sink, SinkInfo, Version,
    VersionedSink,
};
use crate::clock::Timestamp;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::source::BoxStream;
use crate::task::blocking;

/// A sink in memory, for tests and trials: nothing outlives the process. Clones share their
/// content. Times, locks too, go by the context's clock.
#[derive(Clone, Default)]
pub struct MemorySink {
    name: Arc<str>,
    versioned: bool,
    retention: Option<Duration>,
    content: Arc<Mutex<Content>>,
}

#[derive(Default)]
struct Content {
    /// Oldest first; the last one counts. Without versions there is one of each.
    objects: BTreeMap<ObjectName, Vec<Stored>>,
    given: u64,
}

#[derive(Clone)]
struct Stored {
    id: u64,
    /// None in a marker.
    bytes: Option<Bytes>,
    modified: Timestamp,
    lock: Lock,
}

impl Content {
    fn current(&self, name: &ObjectName) -> Result<(&Stored, &Bytes)> {
        let last = self.objects.get(name).and_then(|all| all.last());
        last.and_then(|stored| Some((stored, stored.bytes.as_ref()?))).ok_or_else(|| absent(name))
    }

    fn version(&mut self, version: &Version) -> Result<&mut Stored> {
        let all = self.objects.get_mut(&version.name);
        let found = all.and_then(|all| all.iter_mut().find(|s| s.id.to_string() == version.id));
        found.ok_or_else(|| absent(&version.name))
    }

    /// A version that can be kept.
    fn lockable(&mut self, version: &Version) -> Result<&mut Stored> {
        let found = self.version(version)?;
        if found.bytes.is_none() {
            return Err(Error::invalid("a marker cannot be kept").on(&version.name));
        }
        Ok(found)
    }

    fn add(&mut self, name: &ObjectName, bytes: Option<Bytes>, modified: Timestamp, lock: Lock) {
        self.given += 1;
        let stored = Stored { id: self.given, bytes, modified, lock };
        self.objects.entry(name.clone()).or_default().push(stored);
    }
}

impl MemorySink {
    /// An empty sink, `memory:`.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty sink that calls itself `memory:<name>`. The name is for people: two sinks of one
    /// name share nothing.
    pub fn named(name: &str) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// The same, keeping versions, each of which can be locked.
    #[must_use]
    pub fn with_versions(mut self) -> Self {
        self.versioned = true;
        self
    }

    /// The same, keeping versions, and each object for this long from the moment of writing.
    #[must_use]
    pub fn with_retention(mut self, length: Duration) -> Self {
        self.retention = Some(length);
        self.with_versions()
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn write(&self, cx: &Context, name: &ObjectName, body: &Body, lock: Lock) -> Result<()> {
        cx.check()?;
        let bytes = match body {
            Body::Bytes(bytes) => bytes.clone(),
            Body::Spool(_) => {
                let body = body.clone();
                blocking(move || body.read(0..body.len())).await?
            }
        };
        let mut content = self.content();
        if content.current(name).is_ok() {
            return Err(Error::new(ErrorKind::AlreadyExists, "the name is taken").on(name));
        }
        let own = self.retention.and_then(|length| cx.now().checked_add(length).ok());
        let lock = Lock { until: lock.until.max(own), ..lock };
        content.add(name, Some(bytes), cx.now(), lock);
        Ok(())
    }
}

fn absent(name: &ObjectName) -> Error {
    Error::new(ErrorKind::NotFound, "there is no such object").on(name)
}

fn listing<T: Send + 'static>(found: Vec<T>) -> BoxStream<Result<T>> {
    Box::pin(stream::iter(found.into_iter().map(Ok)))
}

#[async_trait]
impl Sink for MemorySink {
    fn info(&self) -> SinkInfo {
        SinkInfo { url: self.to_string(), exclusive_create: true, local_path: None }
    }

    async fn put(&self, cx: &Context, name: &ObjectName, body: &Body) -> Result<()> {
        self.write(cx, name, body, Lock::default()).await
    }

    async fn get(
        &self,
        cx: &Context,
        name: &ObjectName,
        range: Option<Range<u64>>,
    ) -> Result<Bytes> {
        cx.check()?;
        let bytes = self.content().current(name)?.1.clone();
        match range {
            None => Ok(bytes),
            Some(range) => Body::Bytes(bytes).read(range).map_err(|e| e.on(name)),
        }
    }

    async fn head(&self, cx: &Context, name: &ObjectName) -> Result<ObjectMeta> {
        cx.check()?;
        let content = self.content();
        let (stored, bytes) = content.current(name)?;
        Ok(ObjectMeta { name: name.clone(), size: bytes.len() as u64, modified: stored.modified })
    }

    fn list(&self, cx: &Context, prefix: &str) -> BoxStream<Result<Listed>> {
        if let Err(e) = cx.check() {
            return Box::pin(stream::iter([Err(e)]));
        }
        let content = self.content();
        let names = content.objects.keys().filter(|name| name.as_str().starts_with(prefix));
        let current = names.filter_map(|name| Some((name, content.current(name).ok()?)));
        listing(
            current
                .map(|(name, (stored, bytes))| {
                    Listed::Object(ObjectMeta {
                        name: name.clone(),
                        size: bytes.len() as u64,
                        modified: stored.modified,
                    })
                })
                .collect(),
        )
    }

    async fn delete(&self, cx: &Context, name: &ObjectName) -> Result<()> {
        cx.check()?;
        let mut content = self.content();
        content.current(name)?;
        if self.versioned {
            content.add(name, None, cx.now(), Lock::default());
        } else {
            content.objects.remove(name);
        }
        Ok(())
    }

    fn versioned(&self) -> Option<&dyn VersionedSink> {
        self.versioned.then_some(self)
    }
}

#[async_trait]
impl VersionedSink for MemorySink {
    fn keeps_for(&self) -> Option<Duration> {
        self.retention
    }

    async fn put_locked(
        &self,
        cx: &Context,
        name: &ObjectName,
        body: &Body,
        lock: Lock,
    ) -> Result<()> {
        self.write(cx, name, body, lock).await
    }

    fn versions(&self, cx: &Context, prefix: &str) -> BoxStream<Result<Version>> {
        if let Err(e) = cx.check() {
            return Box::pin(stream::iter([Err(e)]));
        }
        let content = self.content();
        let found = content.objects.iter().filter(|(name, _)| name.as_str().starts_with(prefix));
        let version = |name: &ObjectName, stored: &Stored| {
            let (name, id) = (name.clone(), stored.id.to_string());
            match &stored.bytes {
                Some(bytes) => Version::new(name, id, bytes.len() as u64, stored.modified),
                None => Version::marker(name, id, stored.modified),
            }
        };
        let all = found.flat_map(|(name, all)| all.iter().rev().map(move |s| version(name, s)));
        listing(all.collect())
    }

    async fn lock(&self, cx: &Context, version: &Version) -> Result<Lock> {
        cx.check()?;
        self.content().lockable(version).map(|stored| stored.lock)
    }

    async fn extend(&self, cx: &Context, version: &Version, until: Timestamp) -> Result<Lock> {
        cx.check()?;
        let mut content = self.content();
        let stored = content.lockable(version)?;
        stored.lock.until = stored.lock.until.max(Some(until));
        Ok(stored.lock)
    }

    async fn hold(&self, cx: &Context, version: &Version, on: bool) -> Result<()> {
        cx.check()?;
        self.content().lockable(version)?.lock.hold = on;
        Ok(())
    }

    async fn delete_version(&self, cx: &Context, version: &Version) -> Result<DeletionReceipt> {
        cx.check()?;
        let mut content = self.content();
        let stored = content.version(version)?;
        if stored.lock.keeps(cx.now()) {
            return Err(stored.lock.refusal(version));
        }
        let id = stored.id;
        if let Some(all) = content.objects.get_mut(&version.name) {
            all.retain(|stored| stored.id != id);
            if all.is_empty() {
                content.objects.remove(&version.name);
            }
        }
        Ok(DeletionReceipt::new(version, cx.now(), None))
    }
}

impl fmt::Display for MemorySink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "memory:{}", self.name)
    }
}

impl fmt::Debug for MemorySink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let objects = self.content().objects.len();
        f.debug_struct("MemorySink")
            .field("name", &self.name)
            .field("versioned", &self.versioned)
            .field("retention", &self.retention)
            .field("objects", &objects)
            .finish_non_exhaustive()
    }
}
