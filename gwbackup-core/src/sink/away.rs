//! A place that must not be used.

use std::fmt;
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;

use super::{Body, Listed, ObjectMeta, ObjectName, Sink, SinkInfo};
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::source::BoxStream;

/// Answers `Unavailable` to everything: stands in for a copy that is not there, or is not what it
/// should be.
#[derive(Debug, Clone)]
pub(crate) struct AwaySink(SinkInfo);

impl AwaySink {
    /// In place of this one.
    pub(crate) fn new(sink: &dyn Sink) -> Self {
        Self(sink.info())
    }

    /// In place of one that is not configured.
    pub(crate) fn nowhere() -> Self {
        let url = "(not configured)".to_owned();
        Self(SinkInfo { url, exclusive_create: true, local_path: None })
    }

    fn refuse<T>(&self) -> Result<T> {
        Err(Error::new(ErrorKind::Unavailable, "the copy is not available").on(self))
    }
}

impl fmt::Display for AwaySink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.url)
    }
}

#[async_trait]
impl Sink for AwaySink {
    fn info(&self) -> SinkInfo {
        self.0.clone()
    }

    async fn put(&self, _: &Context, _: &ObjectName, _: &Body) -> Result<()> {
        self.refuse()
    }

    async fn get(&self, _: &Context, _: &ObjectName, _: Option<Range<u64>>) -> Result<Bytes> {
        self.refuse()
    }

    async fn head(&self, _: &Context, _: &ObjectName) -> Result<ObjectMeta> {
        self.refuse()
    }

    fn list(&self, _: &Context, _: &str) -> BoxStream<Result<Listed>> {
        Box::pin(futures_util::stream::iter([self.refuse()]))
    }

    async fn delete(&self, _: &Context, _: &ObjectName) -> Result<()> {
        self.refuse()
    }

    async fn sweep(&self, _: &Context) -> Result<u64> {
        self.refuse()
    }
}
