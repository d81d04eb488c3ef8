//! What keeps the promises of versions, and places that break one each: the suite must see it.

use std::fmt;
use std::ops::Range;
use std::panic::AssertUnwindSafe;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, future, stream};

use super::*;
use crate::clock::Timestamp;
use crate::sink::{
    DeletionReceipt, DirectorySink, Listed, MemorySink, ObjectMeta, SinkInfo, VersionedSink,
};
use crate::source::BoxStream;

fn clock() -> ManualClock {
    ManualClock::new("2026-11-22T12:00:00Z".parse().unwrap())
}

#[tokio::test]
async fn memory_keeps_its_versions() {
    versioned_sink(|| async {
        (Arc::new(MemorySink::new().with_versions()) as Arc<dyn Sink>, clock())
    })
    .await;
}

#[tokio::test]
async fn where_one_version_is_kept_an_object_is_erased_once() {
    let scratch = tempfile::tempdir().unwrap();
    let directory = DirectorySink::open(scratch.path().join("copy")).await.unwrap();
    let sinks: [Arc<dyn Sink>; 2] = [Arc::new(MemorySink::new()), Arc::new(directory)];
    for sink in sinks {
        assert!(sink.versioned().is_none());
        let place = Place::new((sink, clock()));
        place.put("log/1", b"x").await;
        let gone = erase(&place.cx, &*place.sink, &name("log/1")).await.unwrap();
        let [receipt] = &gone.deleted[..] else { panic!("one receipt: {gone:?}") };
        let told = (&receipt.name, &receipt.version, receipt.at);
        assert_eq!(told, (&name("log/1"), &None, place.clock.now()));
        let head = place.sink.head(&place.cx, &name("log/1")).await;
        assert_eq!(head.unwrap_err().kind(), ErrorKind::NotFound);
        let again = erase(&place.cx, &*place.sink, &name("log/1")).await.unwrap();
        assert!(again.deleted.is_empty() && again.kept.is_empty());
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Lie {
    None,
    ForgetsLocks,
    GetsPastLocks,
    ShortensRetention,
    LiftsNothing,
    HidesMarkers,
    OldestFirst,
    DeletesNothing,
    DeletesAll,
    ReplacesWhenLocked,
    DeafToCancellation,
}

#[derive(Debug)]
struct Liar {
    inner: MemorySink,
    lie: Lie,
}

impl Liar {
    fn cx(&self, cx: &Context) -> Context {
        match self.lie {
            Lie::DeafToCancellation => cx.uncancelled(),
            _ => cx.clone(),
        }
    }
}

impl fmt::Display for Liar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl Sink for Liar {
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
        self.inner.get(cx, name, range).await
    }

    async fn head(&self, cx: &Context, name: &ObjectName) -> Result<ObjectMeta> {
        self.inner.head(cx, name).await
    }

    fn list(&self, cx: &Context, prefix: &str) -> BoxStream<Result<Listed>> {
        self.inner.list(cx, prefix)
    }

    async fn delete(&self, cx: &Context, name: &ObjectName) -> Result<()> {
        self.inner.delete(cx, name).await
    }

    fn versioned(&self) -> Option<&dyn VersionedSink> {
        Some(self)
    }
}

#[async_trait]
impl VersionedSink for Liar {
    async fn put_locked(
        &self,
        cx: &Context,
        name: &ObjectName,
        body: &Body,
        lock: Lock,
    ) -> Result<()> {
        let cx = &self.cx(cx);
        if self.lie == Lie::ReplacesWhenLocked {
            let _ = self.inner.delete(cx, name).await;
        }
        let lock = if self.lie == Lie::ForgetsLocks { Lock::default() } else { lock };
        self.inner.put_locked(cx, name, body, lock).await
    }

    fn versions(&self, cx: &Context, prefix: &str) -> BoxStream<Result<Version>> {
        let found = self.inner.versions(&self.cx(cx), prefix);
        match self.lie {
            Lie::HidesMarkers => {
                let shown = |v: &Result<Version>| !v.as_ref().is_ok_and(|v| v.is_marker);
                Box::pin(found.filter(move |v| future::ready(shown(v))))
            }
            Lie::OldestFirst => {
                let all: Vec<_> = found.collect().now_or_never().unwrap();
                Box::pin(stream::iter(all.into_iter().rev()))
            }
            _ => found,
        }
    }

    async fn lock(&self, cx: &Context, version: &Version) -> Result<Lock> {
        self.inner.lock(&self.cx(cx), version).await
    }

    async fn extend(&self, cx: &Context, version: &Version, until: Timestamp) -> Result<Lock> {
        let lock = self.inner.extend(&self.cx(cx), version, until).await?;
        Ok(if self.lie == Lie::ShortensRetention { Lock::until(until) } else { lock })
    }

    async fn hold(&self, cx: &Context, version: &Version, on: bool) -> Result<()> {
        self.inner.hold(&self.cx(cx), version, on || self.lie == Lie::LiftsNothing).await
    }

    async fn delete_version(&self, cx: &Context, version: &Version) -> Result<DeletionReceipt> {
        let mut cx = self.cx(cx);
        match self.lie {
            Lie::GetsPastLocks => {
                let late = ManualClock::new(Timestamp::MAX);
                self.inner
                    .hold(&cx, version, false)
                    .await
                    .or_else(|e| if e.kind() == ErrorKind::Invalid { Ok(()) } else { Err(e) })?;
                cx = cx.with_clock(Arc::new(late));
            }
            Lie::DeletesNothing => return Ok(DeletionReceipt::new(version, cx.now(), None)),
            Lie::DeletesAll => {
                let all: Vec<Version> = self.inner.versions(&cx, "").try_collect().await?;
                for other in all.iter().filter(|other| *other != version) {
                    let _ = self.inner.delete_version(&cx, other).await;
                }
            }
            _ => {}
        }
        self.inner.delete_version(&cx, version).await
    }
}

#[tokio::test]
async fn every_breach_is_seen() {
    for (lie, promise) in [
        (Lie::None, ""),
        (Lie::ForgetsLocks, "kept as it was asked for"),
        (Lie::GetsPastLocks, "retention keeps it"),
        (Lie::ShortensRetention, "retention only grows"),
        (Lie::LiftsNothing, "nothing keeps it"),
        (Lie::HidesMarkers, "the newest first"),
        (Lie::OldestFirst, "the newest first"),
        (Lie::DeletesNothing, "exactly that one is gone"),
        (Lie::DeletesAll, "exactly that one is gone"),
        (Lie::ReplacesWhenLocked, "a locked write replaces nothing"),
        (Lie::DeafToCancellation, "cancelled"),
    ] {
        let make = || async {
            let inner = MemorySink::new().with_versions();
            (Arc::new(Liar { inner, lie }) as Arc<dyn Sink>, clock())
        };
        let ended = AssertUnwindSafe(versioned_sink(make)).catch_unwind().await;
        let said = match &ended {
            Ok(()) => "",
            Err(e) => e.downcast_ref::<String>().map_or("?", String::as_str),
        };
        assert!(ended.is_ok() == (lie == Lie::None), "{lie:?}");
        assert!(said.contains(promise), "{lie:?}: {said}");
    }
}
