//! Objects in memory.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream;

use super::{Body, Listed, ObjectMeta, ObjectName, Sink, SinkInfo};
use crate::clock::Timestamp;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::source::BoxStream;
use crate::task::blocking;

/// A sink in memory, for tests and trials: nothing outlives the process. Clones share their
/// content.
#[derive(Clone, Default)]
pub struct MemorySink {
    name: Arc<str>,
    objects: Arc<Mutex<BTreeMap<ObjectName, Stored>>>,
}

#[derive(Clone)]
struct Stored {
    bytes: Bytes,
    modified: Timestamp,
}

impl MemorySink {
    /// An empty sink, `memory:`.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty sink that calls itself `memory:<name>`. The name is for people: two sinks of one
    /// name share nothing.
    pub fn named(name: &str) -> Self {
        Self { name: name.into(), objects: Arc::default() }
    }

    fn objects(&self) -> MutexGuard<'_, BTreeMap<ObjectName, Stored>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stored(&self, name: &ObjectName) -> Result<Stored> {
        self.objects().get(name).cloned().ok_or_else(|| absent(name))
    }
}

fn absent(name: &ObjectName) -> Error {
    Error::new(ErrorKind::NotFound, "there is no such object").on(name)
}

#[async_trait]
impl Sink for MemorySink {
    fn info(&self) -> SinkInfo {
        SinkInfo { url: self.to_string(), exclusive_create: true, local_path: None }
    }

    async fn put(&self, cx: &Context, name: &ObjectName, body: &Body) -> Result<()> {
        cx.check()?;
        let bytes = match body {
            Body::Bytes(bytes) => bytes.clone(),
            Body::Spool(_) => {
                let body = body.clone();
                blocking(move || body.read(0..body.len())).await?
            }
        };
        match self.objects().entry(name.clone()) {
            Entry::Vacant(entry) => {
                entry.insert(Stored { bytes, modified: cx.now() });
                Ok(())
            }
            Entry::Occupied(_) => {
                Err(Error::new(ErrorKind::AlreadyExists, "the name is taken").on(name))
            }
        }
    }

    async fn get(
        &self,
        cx: &Context,
        name: &ObjectName,
        range: Option<Range<u64>>,
    ) -> Result<Bytes> {
        cx.check()?;
        let bytes = self.stored(name)?.bytes;
        match range {
            None => Ok(bytes),
            Some(range) => Body::Bytes(bytes).read(range).map_err(|e| e.on(name)),
        }
    }

    async fn head(&self, cx: &Context, name: &ObjectName) -> Result<ObjectMeta> {
        cx.check()?;
        let Stored { bytes, modified } = self.stored(name)?;
        Ok(ObjectMeta { name: name.clone(), size: bytes.len() as u64, modified })
    }

    fn list(&self, cx: &Context, prefix: &str) -> BoxStream<Result<Listed>> {
        if let Err(e) = cx.check() {
            return Box::pin(stream::iter([Err(e)]));
        }
        let found: Vec<_> = self
            .objects()
            .iter()
            .filter(|(name, _)| name.as_str().starts_with(prefix))
            .map(|(name, stored)| {
                Ok(Listed::Object(ObjectMeta {
                    name: name.clone(),
                    size: stored.bytes.len() as u64,
                    modified: stored.modified,
                }))
            })
            .collect();
        Box::pin(stream::iter(found))
    }

    async fn delete(&self, cx: &Context, name: &ObjectName) -> Result<()> {
        cx.check()?;
        self.objects().remove(name).map(drop).ok_or_else(|| absent(name))
    }
}

impl fmt::Display for MemorySink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "memory:{}", self.name)
    }
}

impl fmt::Debug for MemorySink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let objects = self.objects().len();
        f.debug_struct("MemorySink").field("name", &self.name).field("objects", &objects).finish()
    }
}
