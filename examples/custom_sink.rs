//! A place for objects of your own, and the suite that says whether it keeps a sink's promises.
//!
//! The sink here sits on a key-value store. What a store must offer is small: create a key unless it
//! exists, read, list by prefix, delete. What it offers beyond that is not needed, since a repository
//! never changes an object.
//!
//! ```text
//! cargo run --example custom_sink
//! cargo test --example custom_sink
//! ```

#![allow(clippy::print_stdout, reason = "an example tells what happens")]

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream;
use gwbackup::clock::Timestamp;
use gwbackup::crypt::Passphrase;
use gwbackup::sink::{Body, Listed, ObjectMeta, ObjectName, Sink, SinkInfo};
use gwbackup::source::BoxStream;
use gwbackup::{Context, Copy, Error, ErrorKind, Repository, Result};

/// Stands for the client of your store.
#[derive(Default)]
struct Store(Mutex<BTreeMap<String, (Bytes, Timestamp)>>);

impl Store {
    fn with<T>(&self, call: impl FnOnce(&mut BTreeMap<String, (Bytes, Timestamp)>) -> T) -> T {
        call(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A sink on it.
struct StoreSink {
    store: Store,
    table: &'static str,
}

impl StoreSink {
    fn new(table: &'static str) -> Self {
        Self { store: Store::default(), table }
    }

    fn load(&self, name: &ObjectName) -> Result<(Bytes, Timestamp)> {
        self.store.with(|rows| rows.get(name.as_str()).cloned()).ok_or_else(|| absent(name))
    }
}

fn absent(name: &ObjectName) -> Error {
    Error::new(ErrorKind::NotFound, "there is no such object").on(name)
}

#[async_trait]
impl Sink for StoreSink {
    fn info(&self) -> SinkInfo {
        // True only if the store itself decides which of two creates was first.
        SinkInfo { url: self.to_string(), exclusive_create: true, local_path: None }
    }

    async fn put(&self, cx: &Context, name: &ObjectName, body: &Body) -> Result<()> {
        cx.check()?;
        // Large bodies lie in a file: reading them blocks, so it happens off the async thread. A
        // store for large objects would send part after part instead.
        let body = body.clone();
        let bytes = tokio::task::spawn_blocking(move || body.read(0..body.len())).await;
        let bytes =
            bytes.map_err(|e| Error::new(ErrorKind::Other, "no thread").with_source(e))??;
        let row = (bytes, cx.now());
        let taken = self.store.with(|rows| {
            let free = !rows.contains_key(name.as_str());
            if free {
                rows.insert(name.to_string(), row);
            }
            !free
        });
        if taken {
            return Err(Error::new(ErrorKind::AlreadyExists, "the name is taken").on(name));
        }
        Ok(())
    }

    async fn get(
        &self,
        cx: &Context,
        name: &ObjectName,
        range: Option<Range<u64>>,
    ) -> Result<Bytes> {
        cx.check()?;
        let (bytes, _) = self.load(name)?;
        let Some(range) = range else { return Ok(bytes) };
        // Never a short answer: a store that cuts a range at the end would hide a truncation.
        let end = usize::try_from(range.end).ok().filter(|end| *end <= bytes.len());
        let start = usize::try_from(range.start).ok();
        match (start, end) {
            (Some(start), Some(end)) if start <= end => Ok(bytes.slice(start..end)),
            _ => Err(Error::corrupt("the object ends before the range does").on(name)),
        }
    }

    async fn head(&self, cx: &Context, name: &ObjectName) -> Result<ObjectMeta> {
        cx.check()?;
        let (bytes, modified) = self.load(name)?;
        Ok(ObjectMeta { name: name.clone(), size: bytes.len() as u64, modified })
    }

    fn list(&self, cx: &Context, prefix: &str) -> BoxStream<Result<Listed>> {
        if let Err(e) = cx.check() {
            return Box::pin(stream::iter([Err(e)]));
        }
        // The store may hold things of others: a name that no repository gives is reported as such.
        let entry = |(name, (bytes, modified)): (&String, &(Bytes, Timestamp))| {
            Ok(match ObjectName::new(name) {
                Ok(name) => {
                    let (size, modified) = (bytes.len() as u64, *modified);
                    Listed::Object(ObjectMeta { name, size, modified })
                }
                Err(_) => Listed::Foreign(name.clone()),
            })
        };
        let found: Vec<_> = self
            .store
            .with(|rows| rows.iter().filter(|row| row.0.starts_with(prefix)).map(entry).collect());
        Box::pin(stream::iter(found))
    }

    async fn delete(&self, cx: &Context, name: &ObjectName) -> Result<()> {
        cx.check()?;
        let row = self.store.with(|rows| rows.remove(name.as_str()));
        row.map(drop).ok_or_else(|| absent(name))
    }
}

impl fmt::Display for StoreSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "store:{}", self.table)
    }
}

impl fmt::Debug for StoreSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreSink").field("table", &self.table).finish_non_exhaustive()
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let cx = Context::new().with_actor("example");
    let sink = Arc::new(StoreSink::new("backups"));
    let key = Arc::new(Passphrase::new("correct horse battery staple")?);
    let new = Repository::create().copy(Copy::new(Arc::clone(&sink) as _).medium("store")).key(key);
    let created = new.run(&cx).await?;
    println!("repository {}", created.id);
    sink.store
        .with(|rows| rows.iter().for_each(|(name, row)| println!("{:6} {name}", row.0.len())));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    // Creates race in it, so it needs several threads.
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn it_keeps_the_promises_of_a_sink() {
        let make = || async { Arc::new(StoreSink::new("test")) as Arc<dyn Sink> };
        gwbackup::testing::conformance::sink(make).await;
    }

    #[tokio::test]
    async fn what_is_not_ours_is_reported() {
        use futures_util::TryStreamExt as _;
        let (cx, sink) = (Context::new(), StoreSink::new("test"));
        sink.store.with(|rows| rows.insert("../Odd".into(), (Bytes::new(), cx.now())));
        let listed: Vec<_> = sink.list(&cx, "").try_collect().await.unwrap();
        assert_eq!(listed, [Listed::Foreign("../Odd".into())]);
    }
}
