//! The promises of [`VersionedSink`], and of [`erase`] on top of it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock as _;
use crate::context::Context;
use crate::error::{ErrorKind, Result};
use crate::sink::{Body, Lock, ObjectName, Sink, Version, VersionedSink, erase};
use crate::testing::ManualClock;

const DAY: Duration = Duration::from_hours(24);

/// Checks every promise of [`VersionedSink`] against sinks that `make` gives, each empty and its
/// own, with the clock by which the store's locks go. The promises of [`Sink`] are for
/// [`sink`](super::sink).
///
/// # Panics
/// On the first breach.
pub async fn versioned_sink<F, Fut>(make: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = (Arc<dyn Sink>, ManualClock)>,
{
    hidden_bytes(&Place::new(make().await)).await;
    one_version_goes(&Place::new(make().await)).await;
    retention_ends(&Place::new(make().await)).await;
    retention_grows(&Place::new(make().await)).await;
    holds(&Place::new(make().await)).await;
    markers_are_not_kept(&Place::new(make().await)).await;
    erased(&Place::new(make().await)).await;
    prefixes(&Place::new(make().await)).await;
    cancelled(&Place::new(make().await)).await;
}

struct Place {
    sink: Arc<dyn Sink>,
    clock: ManualClock,
    cx: Context,
}

fn name(text: &str) -> ObjectName {
    ObjectName::new(text).unwrap_or_else(|e| panic!("the suite uses a bad name: {e}"))
}

fn good<T>(result: Result<T>, promise: &str) -> T {
    result.unwrap_or_else(|e| panic!("{promise}: {e:?}"))
}

fn kind<T>(result: Result<T>, promise: &str) -> ErrorKind {
    match result {
        Ok(_) => panic!("an error was promised: {promise}"),
        Err(e) => e.kind(),
    }
}

impl Place {
    fn new((sink, clock): (Arc<dyn Sink>, ManualClock)) -> Self {
        let cx = Context::new().with_clock(Arc::new(clock.clone()));
        Self { sink, clock, cx }
    }

    fn own(&self) -> &dyn VersionedSink {
        let Some(own) = self.sink.versioned() else { panic!("the sink must keep versions") };
        own
    }

    async fn put(&self, text: &str, bytes: &'static [u8]) {
        let put = self.sink.put(&self.cx, &name(text), &Body::from(bytes.to_vec())).await;
        good(put, "a free name is written");
    }

    async fn put_locked(&self, text: &str, lock: Lock) -> Version {
        let (object, body) = (name(text), Body::from(b"kept".to_vec()));
        good(self.own().put_locked(&self.cx, &object, &body, lock).await, "a locked write");
        self.newest(text).await
    }

    async fn versions(&self, prefix: &str) -> Vec<Version> {
        good(self.own().versions(&self.cx, prefix).try_collect().await, "versions are listed")
    }

    async fn newest(&self, text: &str) -> Version {
        let all = self.versions(text).await;
        let Some(newest) = all.into_iter().find(|version| version.name == name(text)) else {
            panic!("{text} must be among the versions");
        };
        newest
    }

    /// In `days`, with a moment to spare.
    fn in_days(&self, days: u32) -> crate::clock::Timestamp {
        let at = self.clock.now() + DAY * days;
        // Stores keep whole milliseconds or seconds.
        at.round(jiff::Unit::Second).unwrap_or(at)
    }

    async fn delete(&self, version: &Version) -> Result<()> {
        self.own().delete_version(&self.cx, version).await.map(drop)
    }
}

async fn hidden_bytes(place: &Place) {
    let (sink, cx, object) = (&place.sink, &place.cx, name("log/1"));
    place.put("log/1", b"first").await;
    let first = place.newest("log/1").await;
    assert!(!first.is_marker && first.size == 5 && !first.id.is_empty());
    good(sink.delete(cx, &object).await, "a deletion hides");
    assert_eq!(kind(sink.get(cx, &object, None).await, "it is hidden"), ErrorKind::NotFound);
    place.put("log/1", b"second!").await;
    let all = place.versions("log/1").await;
    let shape: Vec<_> = all.iter().map(|v| (v.is_marker, v.size)).collect();
    assert_eq!(shape, [(false, 7), (true, 0), (false, 5)], "versions, the newest first");
    assert_eq!(all[2], first, "a version stays what it is");
    let got = good(sink.get(cx, &object, None).await, "the newest is what is read");
    assert_eq!(got, b"second!"[..]);
}

async fn one_version_goes(place: &Place) {
    let (sink, cx, object) = (&place.sink, &place.cx, name("log/1"));
    place.put("log/1", b"first").await;
    good(sink.delete(cx, &object).await, "a deletion hides");
    place.put("log/1", b"second").await;
    let all = place.versions("log/1").await;
    let receipt = good(place.own().delete_version(cx, &all[2]).await, "an old version goes");
    assert_eq!(receipt.version.as_ref(), Some(&all[2].id), "a receipt names the version");
    assert_eq!(receipt.name, object, "a receipt names the object");
    assert_eq!(place.versions("log/1").await, all[..2], "exactly that one is gone");
    let again = place.delete(&all[2]).await;
    assert_eq!(kind(again, "it is gone already"), ErrorKind::NotFound);
    good(place.delete(&all[0]).await, "the newest version goes");
    let got = sink.get(cx, &object, None).await;
    assert_eq!(kind(got, "the marker counts again"), ErrorKind::NotFound);
    good(place.delete(&all[1]).await, "a marker goes");
    assert!(place.versions("").await.is_empty(), "nothing is left");
}

async fn retention_ends(place: &Place) {
    let until = place.in_days(10);
    let version = place.put_locked("data/a", Lock::until(until)).await;
    let lock = good(place.own().lock(&place.cx, &version).await, "a lock is told");
    assert_eq!(lock, Lock::until(until), "it is kept as it was asked for");
    assert_eq!(kind(place.delete(&version).await, "retention keeps it"), ErrorKind::Refused);
    // Hidden it may be, gone it is not.
    good(place.sink.delete(&place.cx, &version.name).await, "a deletion hides");
    assert!(place.versions("data/a").await.contains(&version), "the bytes are still there");
    place.clock.advance(DAY * 11);
    good(place.delete(&version).await, "retention is over");
    assert!(!place.versions("data/a").await.contains(&version), "the version is gone");
}

async fn retention_grows(place: &Place) {
    let (own, cx) = (place.own(), &place.cx);
    place.put("data/a", b"free").await;
    let version = place.newest("data/a").await;
    assert_eq!(good(own.lock(cx, &version).await, "no lock is told"), Lock::default());
    let (near, far) = (place.in_days(5), place.in_days(20));
    for (asked, kept) in [(near, near), (far, far), (near, far)] {
        let lock = good(own.extend(cx, &version, asked).await, "retention is set");
        assert_eq!(lock.until, Some(kept), "retention only grows");
        assert_eq!(good(own.lock(cx, &version).await, "a lock is told").until, Some(kept));
    }
    place.clock.advance(DAY * 6);
    assert_eq!(kind(place.delete(&version).await, "the longer one counts"), ErrorKind::Refused);
    let (object, body) = (name("data/a"), Body::from(b"new".to_vec()));
    let taken = own.put_locked(cx, &object, &body, Lock::until(far)).await;
    assert_eq!(kind(taken, "a locked write replaces nothing"), ErrorKind::AlreadyExists);
    let mut none = version.clone();
    none.name = name("data/none");
    assert_eq!(kind(own.lock(cx, &none).await, "no such version"), ErrorKind::NotFound);
    assert_eq!(kind(own.extend(cx, &none, far).await, "no such version"), ErrorKind::NotFound);
    assert_eq!(kind(own.hold(cx, &none, true).await, "no such version"), ErrorKind::NotFound);
}

async fn holds(place: &Place) {
    let (own, cx) = (place.own(), &place.cx);
    let version = place.put_locked("data/a", Lock::default().with_hold()).await;
    let lock = good(own.lock(cx, &version).await, "a lock is told");
    assert_eq!(lock, Lock::default().with_hold());
    place.clock.advance(DAY * 4000);
    assert_eq!(kind(place.delete(&version).await, "a hold has no end"), ErrorKind::Refused);
    good(own.hold(cx, &version, false).await, "a hold is lifted");
    good(own.hold(cx, &version, true).await, "a hold is set");
    assert_eq!(kind(place.delete(&version).await, "a hold keeps it"), ErrorKind::Refused);
    good(own.hold(cx, &version, false).await, "a hold is lifted");
    good(own.hold(cx, &version, false).await, "lifting is safe to repeat");
    good(place.delete(&version).await, "nothing keeps it");
}

async fn markers_are_not_kept(place: &Place) {
    let (own, cx) = (place.own(), &place.cx);
    place.put("log/1", b"x").await;
    good(place.sink.delete(cx, &name("log/1")).await, "a deletion hides");
    let marker = place.newest("log/1").await;
    assert!(marker.is_marker, "a deletion leaves a marker");
    let until = place.in_days(1);
    assert_eq!(kind(own.lock(cx, &marker).await, "a marker"), ErrorKind::Invalid);
    assert_eq!(kind(own.extend(cx, &marker, until).await, "a marker"), ErrorKind::Invalid);
    assert_eq!(kind(own.hold(cx, &marker, true).await, "a marker"), ErrorKind::Invalid);
}

async fn erased(place: &Place) {
    let (cx, object) = (&place.cx, name("log/1"));
    let gone = good(erase(cx, &*place.sink, &object).await, "nothing is erased at once");
    assert!(gone.deleted.is_empty() && gone.kept.is_empty());
    place.put("log/1", b"a").await;
    place.put("log/10", b"a neighbour").await;
    good(place.sink.delete(cx, &object).await, "a deletion hides");
    let until = place.in_days(3);
    let kept = place.put_locked("log/1", Lock::until(until)).await;
    good(place.sink.delete(cx, &object).await, "a deletion hides");
    place.put("log/1", b"b").await;
    let before: Vec<_> = place.versions("log/1").await;
    let before: Vec<_> = before.into_iter().filter(|v| v.name == object).collect();

    let first = good(erase(cx, &*place.sink, &object).await, "what is free is erased");
    let ids: Vec<_> = first.deleted.iter().filter_map(|r| r.version.clone()).collect();
    let free: Vec<_> = before.iter().rev().filter(|v| **v != kept).map(|v| v.id.clone()).collect();
    assert_eq!(ids, free, "all that no lock keeps goes, the oldest first");
    assert_eq!(first.kept.len(), 1);
    assert_eq!((&first.kept[0].version, first.kept[0].lock), (&kept, Lock::until(until)));

    place.clock.advance(DAY * 4);
    let second = good(erase(cx, &*place.sink, &object).await, "the rest is erased");
    assert!(second.kept.is_empty() && second.deleted.len() == 1);
    let left: Vec<_> = place.versions("").await.into_iter().map(|v| v.name).collect();
    assert_eq!(left, [name("log/10")], "its neighbour stays");
}

async fn prefixes(place: &Place) {
    for text in ["log/1", "log/2", "log.json", "data/a", "logs"] {
        place.put(text, b"x").await;
        good(place.sink.delete(&place.cx, &name(text)).await, "a deletion hides");
    }
    for (prefix, wanted) in [("", 10), ("log", 8), ("log/", 4), ("data/a", 2), ("x", 0)] {
        assert_eq!(place.versions(prefix).await.len(), wanted, "prefix {prefix:?}");
    }
}

async fn cancelled(place: &Place) {
    let version = place.put_locked("log/1", Lock::default()).await;
    let token = CancellationToken::new();
    let cx = place.cx.clone().with_cancellation(token.clone());
    token.cancel();
    let (own, promise) = (place.own(), "a cancelled context stops every call");
    let (object, body) = (name("log/2"), Body::from(b"x".to_vec()));
    let put = own.put_locked(&cx, &object, &body, Lock::default()).await;
    assert_eq!(kind(put, promise), ErrorKind::Cancelled);
    assert_eq!(kind(own.lock(&cx, &version).await, promise), ErrorKind::Cancelled);
    let extend = own.extend(&cx, &version, place.in_days(1)).await;
    assert_eq!(kind(extend, promise), ErrorKind::Cancelled);
    assert_eq!(kind(own.hold(&cx, &version, true).await, promise), ErrorKind::Cancelled);
    assert_eq!(kind(own.delete_version(&cx, &version).await, promise), ErrorKind::Cancelled);
    let list: Result<Vec<_>> = own.versions(&cx, "").try_collect().await;
    assert_eq!(kind(list, promise), ErrorKind::Cancelled);
    assert_eq!(place.versions("").await, [version], "nothing has changed");
}

#[cfg(test)]
mod tests;
