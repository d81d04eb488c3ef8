//! A sink over any store of the crate `object_store`.

use std::error::Error as _;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, future, stream};
use object_store::path::Path;
use object_store::{GetOptions, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload};

use super::{Body, Listed, ObjectMeta, ObjectName, Sink, SinkInfo};
use crate::clock::Timestamp;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::source::BoxStream;
use crate::task::blocking;

/// Objects below a prefix of a store that can create without replacing.
///
/// What the store does about faults that may pass is its own matter; the sink makes each call once.
/// An [`Error`] of this library that the store has somewhere below its own is what comes out: a
/// transport that knows more than the store says it that way. Cancelling ends a call at once.
#[derive(Clone)]
pub struct ObjectSink {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    url: String,
    part: Option<usize>,
}

impl ObjectSink {
    /// The objects of `store` below `prefix` (which may be empty). No I/O.
    ///
    /// `url` is what people and the log see: without a secret, as [`masked`](crate::connect::masked)
    /// makes it.
    ///
    /// The store has to know [`PutMode::Create`]. `Invalid` when the prefix is no path of a store.
    pub fn new(store: Arc<dyn ObjectStore>, prefix: &str, url: impl Into<String>) -> Result<Self> {
        let url = url.into();
        let prefix = Path::parse(prefix).map_err(|_| {
            Error::invalid("this prefix is no path of a store")
                .on(&url)
                .help("write a prefix without empty parts, `.` and `..`")
        })?;
        Ok(Self { store, prefix, url, part: None })
    }

    /// The same, writing larger objects in parts of this many bytes, one in memory at a time;
    /// without it an object is in memory whole while it is written.
    ///
    /// Only for stores that refuse to complete an upload onto a taken name. What a writer that died
    /// left of an upload is the store's to remove.
    #[must_use]
    pub fn in_parts(mut self, bytes: usize) -> Self {
        self.part = Some(bytes.max(1));
        self
    }

    fn path(&self, name: &str) -> Path {
        if self.prefix.is_root() {
            return Path::from(name);
        }
        Path::from(format!("{}/{name}", self.prefix))
    }

    /// The name below the prefix.
    fn name<'a>(&self, path: &'a Path) -> &'a str {
        let path = path.as_ref();
        match path.strip_prefix(self.prefix.as_ref()) {
            Some(rest) if !self.prefix.is_root() => rest.strip_prefix('/').unwrap_or(rest),
            _ => path,
        }
    }

    async fn put_whole(&self, path: &Path, body: &Body) -> Result<()> {
        let payload = PutPayload::from(read(body, 0..body.len()).await?);
        let options = PutOptions::from(PutMode::Create);
        self.store.put_opts(path, payload, options).await.map_err(fault).map(drop)
    }

    async fn put_in_parts(&self, path: &Path, body: &Body, part: u64) -> Result<()> {
        // Saves the upload of what would be refused in the end.
        match self.store.head(path).await.map_err(fault) {
            Ok(_) => return Err(Error::new(ErrorKind::AlreadyExists, "the name is taken")),
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
        let mut upload = self.store.put_multipart(path).await.map_err(fault)?;
        let written = async {
            let mut at = 0;
            while at < body.len() {
                let end = body.len().min(at.saturating_add(part));
                upload.put_part(read(body, at..end).await?.into()).await.map_err(fault)?;
                at = end;
            }
            upload.complete().await.map_err(fault).map(drop)
        };
        let written = written.await;
        // An upload whose end is unknown is left alone: it may be an object by now.
        if written.as_ref().is_err_and(|e| e.kind() != ErrorKind::Unavailable) {
            let _ = upload.abort().await;
        }
        written
    }

    async fn fetch(&self, path: &Path, range: Range<u64>) -> Result<Bytes> {
        let short = || Error::corrupt("the object ends before the range does");
        let len = range.end.checked_sub(range.start).ok_or_else(short)?;
        if len == 0 {
            // No store knows a range without bytes.
            let size = self.store.head(path).await.map_err(fault)?.size;
            return if range.end <= size { Ok(Bytes::new()) } else { Err(short()) };
        }
        let options = GetOptions::new().with_range(Some(range.clone()));
        let got = async { self.store.get_opts(path, options).await?.bytes().await }.await;
        match got.map_err(fault) {
            Ok(bytes) if bytes.len() as u64 == len => Ok(bytes),
            Ok(_) => Err(short()),
            // Stores name a range outside in many ways.
            Err(e) if matches!(e.kind(), ErrorKind::Other | ErrorKind::Invalid) => {
                let size = self.store.head(path).await.map_err(fault)?.size;
                Err(if range.end > size { short() } else { e })
            }
            Err(e) => Err(e),
        }
    }
}

async fn read(body: &Body, range: Range<u64>) -> Result<Bytes> {
    match body {
        Body::Bytes(_) => body.read(range),
        Body::Spool(spool) => {
            let spool = spool.clone();
            blocking(move || spool.read(range)).await
        }
    }
}

fn meta(name: ObjectName, found: &object_store::ObjectMeta) -> Result<ObjectMeta> {
    let at = found.last_modified;
    let nanos = i32::try_from(at.timestamp_subsec_nanos()).unwrap_or_default();
    let modified = Timestamp::new(at.timestamp(), nanos)
        .map_err(|_| Error::corrupt("an object has an impossible time").on(&name))?;
    Ok(ObjectMeta { name, size: found.size, modified })
}

/// What the store says, in the words of this library.
fn fault(error: object_store::Error) -> Error {
    use object_store::Error as Store;
    let mut below = error.source();
    while let Some(inner) = below {
        if let Some(own) = inner.downcast_ref::<Error>() {
            return own.again();
        }
        below = inner.source();
    }
    let (kind, message) = match &error {
        Store::NotFound { .. } => (ErrorKind::NotFound, "there is no such object"),
        Store::AlreadyExists { .. } | Store::Precondition { .. } | Store::NotModified { .. } => {
            (ErrorKind::AlreadyExists, "the name is taken")
        }
        Store::PermissionDenied { .. } => (ErrorKind::Denied, "the store refuses this"),
        Store::Unauthenticated { .. } => {
            (ErrorKind::Unauthenticated, "the store does not know who asks")
        }
        Store::NotSupported { .. } | Store::NotImplemented { .. } => {
            (ErrorKind::Unsupported, "the store cannot do this")
        }
        Store::InvalidPath { .. } => (ErrorKind::Invalid, "the store has a name that is no path"),
        _ => (ErrorKind::Other, "the store has failed"),
    };
    Error::new(kind, message).with_source(error)
}

#[async_trait]
impl Sink for ObjectSink {
    fn info(&self) -> SinkInfo {
        SinkInfo { url: self.url.clone(), exclusive_create: true, local_path: None }
    }

    async fn put(&self, cx: &Context, name: &ObjectName, body: &Body) -> Result<()> {
        let path = self.path(name.as_str());
        let put = async {
            match self.part {
                Some(part) if body.len() > part as u64 => {
                    self.put_in_parts(&path, body, part as u64).await
                }
                _ => self.put_whole(&path, body).await,
            }
        };
        cx.unless_cancelled(put).await.map_err(|e| e.or_on(name))
    }

    async fn get(
        &self,
        cx: &Context,
        name: &ObjectName,
        range: Option<Range<u64>>,
    ) -> Result<Bytes> {
        let path = self.path(name.as_str());
        let get = async {
            match range {
                Some(range) => self.fetch(&path, range).await,
                None => async { self.store.get(&path).await?.bytes().await }.await.map_err(fault),
            }
        };
        cx.unless_cancelled(get).await.map_err(|e| e.or_on(name))
    }

    async fn head(&self, cx: &Context, name: &ObjectName) -> Result<ObjectMeta> {
        let path = self.path(name.as_str());
        let head = async { self.store.head(&path).await.map_err(fault) };
        let found = cx.unless_cancelled(head).await.map_err(|e| e.or_on(name))?;
        meta(name.clone(), &found)
    }

    fn list(&self, cx: &Context, prefix: &str) -> BoxStream<Result<Listed>> {
        // Stores list folders; what of a name follows the last slash is looked at here.
        let folder = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
        let folder = if folder.is_empty() { self.prefix.clone() } else { self.path(folder) };
        let (sink, prefix) = (self.clone(), prefix.to_owned());
        let found = self.store.list((!folder.is_root()).then_some(&folder));
        let named = found.filter_map(move |found| {
            let listed = match found.map_err(fault) {
                Ok(found) => {
                    let name = sink.name(&found.location);
                    name.starts_with(&prefix).then(|| match ObjectName::new(name) {
                        Ok(name) => meta(name, &found).map(Listed::Object),
                        Err(_) => Ok(Listed::Foreign(name.to_owned())),
                    })
                }
                Err(e) => Some(Err(e.or_on(&sink.url))),
            };
            future::ready(listed)
        });
        let cx = cx.clone();
        let ended = named.take_until(cx.cancellation().clone().cancelled_owned());
        let last = stream::once(async move { cx.check().err() });
        Box::pin(ended.chain(last.filter_map(|e| future::ready(e.map(Err)))))
    }

    async fn delete(&self, cx: &Context, name: &ObjectName) -> Result<()> {
        let path = self.path(name.as_str());
        let delete = async {
            // Most stores call the deletion of nothing a success.
            self.store.head(&path).await.map_err(fault)?;
            self.store.delete(&path).await.map_err(fault)
        };
        cx.unless_cancelled(delete).await.map_err(|e| e.or_on(name))
    }
}

impl fmt::Display for ObjectSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

impl fmt::Debug for ObjectSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectSink").field("url", &self.url).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;
    use crate::testing::conformance;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn a_store_keeps_the_promises_of_a_sink() {
        for prefix in ["", "a/b"] {
            conformance::sink(|| async {
                let sink = ObjectSink::new(Arc::new(InMemory::new()), prefix, "mem:store");
                Arc::new(sink.unwrap()) as Arc<dyn Sink>
            })
            .await;
        }
    }

    #[tokio::test]
    async fn neighbours_of_the_prefix_stay_outside_and_foreign_names_are_told() {
        let store = Arc::new(InMemory::new());
        for name in ["gw/log/1", "gw/Log", "gwx/log/1", "other"] {
            store.put(&Path::from(name), PutPayload::from_static(b"x")).await.unwrap();
        }
        let sink = ObjectSink::new(store, "gw", "mem:store").unwrap();
        let all: Vec<_> = sink.list(&Context::new(), "").collect().await;
        let mut all: Vec<_> = all
            .into_iter()
            .map(|listed| match listed.unwrap() {
                Listed::Object(meta) => meta.name.to_string(),
                Listed::Foreign(name) => format!("foreign {name}"),
            })
            .collect();
        all.sort_unstable();
        assert_eq!(all, ["foreign Log", "log/1"]);
    }
}
