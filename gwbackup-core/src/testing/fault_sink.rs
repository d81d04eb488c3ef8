//! Sinks that fail, and sinks that lie.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream;

use super::{Fault, Faults};
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::sink::{Body, Listed, ObjectMeta, ObjectName, Sink, SinkInfo};
use crate::source::BoxStream;

/// A sink whose calls meet the faults of a rule. Operations are named `put`, `get`, `head`, `list`,
/// `delete` and `sweep`; the subject is the object's name or the prefix.
#[derive(Debug, Clone)]
pub struct FaultySink {
    inner: Arc<dyn Sink>,
    faults: Faults,
}

impl FaultySink {
    /// `inner` under the rule of `faults`. A listing that meets a fault is one error, whichever
    /// fault it is.
    pub fn new(inner: Arc<dyn Sink>, faults: Faults) -> Self {
        Self { inner, faults }
    }
}

#[async_trait]
impl Sink for FaultySink {
    fn info(&self) -> SinkInfo {
        self.inner.info()
    }

    async fn put(&self, cx: &Context, name: &ObjectName, body: &Body) -> Result<()> {
        self.faults.around("put", name.as_str(), self.inner.put(cx, name, body)).await
    }

    async fn get(
        &self,
        cx: &Context,
        name: &ObjectName,
        range: Option<Range<u64>>,
    ) -> Result<Bytes> {
        self.faults.around("get", name.as_str(), self.inner.get(cx, name, range)).await
    }

    async fn head(&self, cx: &Context, name: &ObjectName) -> Result<ObjectMeta> {
        self.faults.around("head", name.as_str(), self.inner.head(cx, name)).await
    }

    fn list(&self, cx: &Context, prefix: &str) -> BoxStream<Result<Listed>> {
        let kind = match self.faults.next("list", prefix) {
            None => return self.inner.list(cx, prefix),
            Some(Fault::Fail(kind)) => kind,
            Some(Fault::LoseAnswer) => ErrorKind::Unavailable,
        };
        Box::pin(stream::iter([Err(Error::new(kind, "injected into list"))]))
    }

    async fn delete(&self, cx: &Context, name: &ObjectName) -> Result<()> {
        self.faults.around("delete", name.as_str(), self.inner.delete(cx, name)).await
    }

    async fn sweep(&self, cx: &Context) -> Result<u64> {
        self.faults.around("sweep", "", self.inner.sweep(cx)).await
    }
}

impl fmt::Display for FaultySink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

type Alter = dyn Fn(&ObjectName, &mut Vec<u8>) + Send + Sync;

/// A sink whose stored bytes were altered by someone: flipped, cut, lengthened, swapped.
///
/// What [`Sink::get`] and [`Sink::head`] tell follows the altered bytes; a listing tells the true
/// sizes. Writes and deletions pass unchanged. Every read fetches the whole object: for tests.
#[derive(Clone)]
pub struct Tampering {
    inner: Arc<dyn Sink>,
    alter: Arc<Alter>,
}

impl Tampering {
    /// `inner` as seen through `alter`, which changes the bytes of the objects it is after and
    /// leaves the others.
    pub fn new(
        inner: Arc<dyn Sink>,
        alter: impl Fn(&ObjectName, &mut Vec<u8>) + Send + Sync + 'static,
    ) -> Self {
        Self { inner, alter: Arc::new(alter) }
    }

    async fn altered(&self, cx: &Context, name: &ObjectName) -> Result<Bytes> {
        let mut bytes = self.inner.get(cx, name, None).await?.to_vec();
        (self.alter)(name, &mut bytes);
        Ok(bytes.into())
    }
}

#[async_trait]
impl Sink for Tampering {
    fn info(&self) -> SinkInfo {
        self.inner.info()
    }

    async fn put(&self, cx: &Context, name: &ObjectName, body: &Body) -> Result<()> {
        self.inner.put(cx, name, body).await
    }

    async fn get(
        &self,
        cx: &Context,
        name: &ObjectName,
        range: Option<Range<u64>>,
    ) -> Result<Bytes> {
        let bytes = self.altered(cx, name).await?;
        match range {
            None => Ok(bytes),
            Some(range) => Body::Bytes(bytes).read(range),
        }
    }

    async fn head(&self, cx: &Context, name: &ObjectName) -> Result<ObjectMeta> {
        let meta = self.inner.head(cx, name).await?;
        Ok(ObjectMeta { size: self.altered(cx, name).await?.len() as u64, ..meta })
    }

    fn list(&self, cx: &Context, prefix: &str) -> BoxStream<Result<Listed>> {
        self.inner.list(cx, prefix)
    }

    async fn delete(&self, cx: &Context, name: &ObjectName) -> Result<()> {
        self.inner.delete(cx, name).await
    }

    async fn sweep(&self, cx: &Context) -> Result<u64> {
        self.inner.sweep(cx).await
    }
}

impl fmt::Display for Tampering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl fmt::Debug for Tampering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tampering").field("inner", &self.inner).finish_non_exhaustive()
    }
}
