//! Places where objects lie.

mod body;
mod name;

use std::fmt::{Debug, Display};
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;

use crate::clock::Timestamp;
use crate::context::Context;
use crate::error::Result;
use crate::source::BoxStream;

pub use body::{Body, Spool, SpoolWriter};
pub use memory::MemorySink;
pub use name::ObjectName;

/// What a sink is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkInfo {
    /// URL without user and password.
    pub url: String,
    /// Two creates of one name never both succeed, whoever makes them: the sink can be a log's
    /// home.
    pub exclusive_create: bool,
    /// Where it is a directory of this machine: keys must not lie below it.
    pub local_path: Option<std::path::PathBuf>,
}

/// What a sink says of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectMeta {
    /// Its name.
    pub name: ObjectName,
    /// Its size in bytes.
    pub size: u64,
    /// When it was written, by the store's clock.
    pub modified: Timestamp,
}

/// One entry of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listed {
    /// An object.
    Object(ObjectMeta),
    /// Something whose name no repository would give; reported, never opened.
    Foreign(String),
}

/// One place where immutable objects are kept.
///
/// Expected kinds of error of every method: `Denied`, `Unauthenticated`, `Throttled`,
/// `Unavailable`, `Cancelled`, and `Other` (a full disk).
#[async_trait]
pub trait Sink: Display + Debug + Send + Sync + 'static {
    /// What it is. No I/O.
    fn info(&self) -> SinkInfo;

    /// Writes a new object: whole and durable on return, or not at all; nobody ever sees half of
    /// it. `AlreadyExists` when the name is taken, whatever its bytes. After a lost answer the
    /// caller reads the object back. A dropped future leaves the object whole or absent.
    async fn put(&self, cx: &Context, name: &ObjectName, body: &Body) -> Result<()>;

    /// The bytes as stored; all of them, or exactly `range`. `NotFound`; `Corrupt` when the object
    /// ends before the range does (never a short answer).
    async fn get(&self, cx: &Context, name: &ObjectName, range: Option<Range<u64>>)
    -> Result<Bytes>;

    /// Size and time. `NotFound`.
    async fn head(&self, cx: &Context, name: &ObjectName) -> Result<ObjectMeta>;

    /// Everything whose name begins with `prefix` (plain text, not a folder), in any order. What is
    /// there before and after the call is listed exactly once.
    fn list(&self, cx: &Context, prefix: &str) -> BoxStream<Result<Listed>>;

    /// Deletes an object; on return it is gone for every reader. `NotFound` when it was not there.
    async fn delete(&self, cx: &Context, name: &ObjectName) -> Result<()>;
}

// Stand-ins until the sinks are merged.

mod fs {
    use std::fs::File;
    use std::io;
    use std::path::Path;

    pub(super) fn unlinked_file(_: &Path) -> io::Result<File> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn read_exact_at(_: &File, _: &mut [u8], _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

mod memory {
    use std::collections::BTreeMap;
    use std::fmt;
    use std::ops::Range;
    use std::sync::{Arc, Mutex, PoisonError};

    use async_trait::async_trait;
    use bytes::Bytes;

    use super::{Body, Listed, ObjectMeta, ObjectName, Sink, SinkInfo};
    use crate::context::Context;
    use crate::error::{Error, ErrorKind, Result};
    use crate::source::BoxStream;

    /// Objects in memory; clones share them.
    #[derive(Debug, Clone, Default)]
    pub struct MemorySink(Arc<Mutex<BTreeMap<ObjectName, Bytes>>>);

    impl MemorySink {
        /// An empty sink.
        pub fn new() -> Self {
            Self::default()
        }

        fn map(&self) -> std::sync::MutexGuard<'_, BTreeMap<ObjectName, Bytes>> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    impl fmt::Display for MemorySink {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("memory:")
        }
    }

    fn absent(name: &ObjectName) -> Error {
        Error::new(ErrorKind::NotFound, "there is no such object").on(name)
    }

    #[async_trait]
    impl Sink for MemorySink {
        fn info(&self) -> SinkInfo {
            SinkInfo { url: "memory:".into(), exclusive_create: true, local_path: None }
        }

        async fn put(&self, _: &Context, name: &ObjectName, body: &Body) -> Result<()> {
            let bytes = body.read(0..body.len())?;
            let mut map = self.map();
            if map.contains_key(name) {
                return Err(Error::new(ErrorKind::AlreadyExists, "the name is taken").on(name));
            }
            map.insert(name.clone(), bytes);
            Ok(())
        }

        async fn get(
            &self,
            _: &Context,
            name: &ObjectName,
            range: Option<Range<u64>>,
        ) -> Result<Bytes> {
            let bytes = self.map().get(name).cloned().ok_or_else(|| absent(name))?;
            match range {
                None => Ok(bytes),
                Some(range) => Body::from(bytes).read(range),
            }
        }

        async fn head(&self, cx: &Context, name: &ObjectName) -> Result<ObjectMeta> {
            let bytes = self.map().get(name).cloned().ok_or_else(|| absent(name))?;
            Ok(ObjectMeta { name: name.clone(), size: bytes.len() as u64, modified: cx.now() })
        }

        fn list(&self, cx: &Context, prefix: &str) -> BoxStream<Result<Listed>> {
            let now = cx.now();
            let found: Vec<_> = self
                .map()
                .iter()
                .filter(|(name, _)| name.as_str().starts_with(prefix))
                .map(|(name, bytes)| {
                    Ok(Listed::Object(ObjectMeta {
                        name: name.clone(),
                        size: bytes.len() as u64,
                        modified: now,
                    }))
                })
                .collect();
            Box::pin(futures_util::stream::iter(found))
        }

        async fn delete(&self, _: &Context, name: &ObjectName) -> Result<()> {
            self.map().remove(name).map(drop).ok_or_else(|| absent(name))
        }
    }
}
