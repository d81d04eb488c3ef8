//! The promises of [`Sink`].

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt};
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::error::{ErrorKind, Result};
use crate::sink::{Body, Listed, ObjectName, Sink};
use crate::testing::ManualClock;

/// Checks every promise of [`Sink`] against sinks that `make` gives, each empty and its own.
///
/// Needs a tokio runtime with several threads, so that creates can race
/// (`#[tokio::test(flavor = "multi_thread")]`). Writes about 1,100 objects and 20 MiB.
pub async fn sink<F, Fut>(make: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = Arc<dyn Sink>>,
{
    absent(&*make().await).await;
    exact_bytes(&*make().await).await;
    ranges(&*make().await).await;
    create_only(&*make().await).await;
    races(make().await).await;
    names_and_prefixes(&*make().await).await;
    deletion(&*make().await).await;
    sweeping(make().await).await;
    many(&*make().await).await;
    cancellation(&*make().await).await;
}

fn name(text: &str) -> ObjectName {
    ObjectName::new(text).unwrap_or_else(|e| panic!("the suite uses a bad name: {e}"))
}

fn kind<T>(result: Result<T>, promise: &str) -> ErrorKind {
    match result {
        Ok(_) => panic!("an error was promised: {promise}"),
        Err(e) => e.kind(),
    }
}

fn good<T>(result: Result<T>, promise: &str) -> T {
    result.unwrap_or_else(|e| panic!("{promise}: {e:?}"))
}

/// Bytes that differ from place to place, so that a shifted answer shows.
fn pattern(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        })
        .collect()
}

async fn put(sink: &dyn Sink, text: &str, bytes: &[u8]) {
    let put = sink.put(&Context::new(), &name(text), &Body::from(bytes.to_vec())).await;
    good(put, "a new object is written");
}

/// Names with sizes; panics at a name that is listed twice.
async fn listed(sink: &dyn Sink, prefix: &str) -> BTreeMap<String, u64> {
    let all: Vec<_> = good(sink.list(&Context::new(), prefix).try_collect().await, "a listing");
    let mut objects = BTreeMap::new();
    for entry in all {
        match entry {
            Listed::Object(meta) => {
                let twice = objects.insert(meta.name.to_string(), meta.size).is_some();
                assert!(!twice, "{} is listed twice", meta.name);
            }
            Listed::Foreign(name) => panic!("an empty sink was promised, {name:?} is there"),
        }
    }
    objects
}

async fn absent(sink: &dyn Sink) {
    let cx = Context::new();
    for text in ["a", "a/b/c"] {
        let name = name(text);
        assert_eq!(kind(sink.head(&cx, &name).await, "head"), ErrorKind::NotFound);
        assert_eq!(kind(sink.get(&cx, &name, None).await, "get"), ErrorKind::NotFound);
        assert_eq!(kind(sink.get(&cx, &name, Some(0..1)).await, "get"), ErrorKind::NotFound);
        assert_eq!(kind(sink.delete(&cx, &name).await, "delete"), ErrorKind::NotFound);
    }
    for prefix in ["", "a", "a/b/", "no such"] {
        assert!(listed(sink, prefix).await.is_empty(), "an empty sink lists nothing");
    }
    put(sink, "a/b/c", b"1").await;
    for text in ["a/b/d", "a/b", "a/b/c/d"] {
        let get = sink.get(&cx, &name(text), None).await;
        assert_eq!(kind(get, "a part of a name is no object"), ErrorKind::NotFound, "{text}");
    }
}

async fn exact_bytes(sink: &dyn Sink) {
    let cx = Context::new();
    for len in [0, 1, 0xffff, 0x1_0000, 0x1_0001, 5 << 20] {
        let (text, bytes) = (format!("sizes/{len}"), pattern(len));
        put(sink, &text, &bytes).await;
        let meta = good(sink.head(&cx, &name(&text)).await, "head after put");
        assert_eq!(meta.name, name(&text));
        assert_eq!(meta.size, len as u64, "head tells the size");
        let stored = good(sink.get(&cx, &name(&text), None).await, "get after put");
        assert!(stored == bytes, "{len} bytes came back changed");
    }
}

async fn ranges(sink: &dyn Sink) {
    let cx = Context::new();
    let (object, bytes) = (name("ranges"), pattern(200_000));
    put(sink, "ranges", &bytes).await;
    for (start, end) in [
        (0, 0),
        (5, 5),
        (200_000, 200_000),
        (0, 1),
        (0, 200_000),
        (65_535, 65_537),
        (199_999, 200_000),
    ] {
        let got = sink.get(&cx, &object, Some(start as u64..end as u64)).await;
        assert!(good(got, "a range inside") == bytes[start..end], "{start}..{end} differs");
    }
    for (start, end) in [(0, 200_001), (200_000, 200_001), (300_000, 300_001), (0, u64::MAX)] {
        let got = sink.get(&cx, &object, Some(start..end)).await;
        let promise = "a range outside is never answered short";
        assert_eq!(kind(got, promise), ErrorKind::Corrupt, "{start}..{end}");
    }
}

async fn create_only(sink: &dyn Sink) {
    let cx = Context::new();
    let object = name("once/only");
    put(sink, "once/only", b"first").await;
    for again in [&b"first"[..], b"second", b""] {
        let put = sink.put(&cx, &object, &Body::from(again.to_vec())).await;
        assert_eq!(kind(put, "a taken name is refused"), ErrorKind::AlreadyExists);
    }
    assert!(good(sink.get(&cx, &object, None).await, "get") == b"first"[..], "put has replaced");
}

async fn races(sink: Arc<dyn Sink>) {
    const WRITERS: u8 = 8;
    for round in 0..20 {
        let object = name(&format!("race/{round}"));
        let writers = (0..WRITERS).map(|writer| {
            let (sink, object) = (Arc::clone(&sink), object.clone());
            tokio::spawn(async move {
                let body = Body::from(vec![writer; 10_000]);
                sink.put(&Context::new(), &object, &body).await.map(|()| writer)
            })
        });
        let mut winner = None;
        for writer in writers.collect::<Vec<_>>() {
            match writer.await {
                Ok(Ok(writer)) => {
                    assert_eq!(winner.replace(writer), None, "two creates of one name succeeded");
                }
                Ok(Err(e)) => assert_eq!(e.kind(), ErrorKind::AlreadyExists),
                Err(e) => panic!("a writer died: {e}"),
            }
        }
        let Some(winner) = winner else { panic!("no create of a free name succeeded") };
        let stored = good(sink.get(&Context::new(), &object, None).await, "get after a race");
        assert!(stored == vec![winner; 10_000], "the bytes are not the winner's");
    }
}

async fn names_and_prefixes(sink: &dyn Sink) {
    let longest = "y".repeat(120);
    let deepest = ["x"; 8].join("/");
    let widest = vec!["z".repeat(120); 8].join("/");
    let all = [
        "log/1",
        "log/10",
        "log/2",
        "log-old/1",
        "log.json",
        "logs",
        "a-._b/c.d_e-f",
        "0",
        &longest,
        &deepest,
        &widest,
    ];
    for text in all {
        put(sink, text, text.as_bytes()).await;
    }
    for prefix in
        ["", "l", "log", "log/", "log/1", "log/1/", "log-", "x/x/", "x/x/x/x/x/x/x/x", "y", "z"]
    {
        let expected: BTreeMap<_, _> = all
            .iter()
            .filter(|text| text.starts_with(prefix))
            .map(|text| ((*text).to_owned(), text.len() as u64))
            .collect();
        assert_eq!(listed(sink, prefix).await, expected, "prefix {prefix:?}");
    }
}

async fn deletion(sink: &dyn Sink) {
    let cx = Context::new();
    put(sink, "gone/a", b"a").await;
    put(sink, "gone/b", b"b").await;
    good(sink.delete(&cx, &name("gone/a")).await, "delete");
    assert_eq!(kind(sink.head(&cx, &name("gone/a")).await, "deleted"), ErrorKind::NotFound);
    assert_eq!(kind(sink.get(&cx, &name("gone/a"), None).await, "deleted"), ErrorKind::NotFound);
    assert_eq!(kind(sink.delete(&cx, &name("gone/a")).await, "deleted"), ErrorKind::NotFound);
    assert_eq!(listed(sink, "gone/").await.into_keys().collect::<Vec<_>>(), ["gone/b"]);
    let neighbour = good(sink.get(&cx, &name("gone/b"), None).await, "its neighbour stays");
    assert_eq!(neighbour, b"b"[..]);
}

async fn sweeping(sink: Arc<dyn Sink>) {
    let cx = Context::new();
    assert_eq!(good(sink.sweep(&cx).await, "an empty sink is swept"), 0);
    let stop = CancellationToken::new();
    let sweeper = tokio::spawn({
        let (sink, stop) = (Arc::clone(&sink), stop.clone());
        async move {
            let mut rounds = 0;
            while !stop.is_cancelled() || rounds == 0 {
                let swept = good(sink.sweep(&Context::new()).await, "a sweep beside writers");
                assert_eq!(swept, 0, "a living writer is left alone");
                rounds += 1;
            }
        }
    });
    for number in 0..50 {
        put(&*sink, &format!("swept/{number}"), &pattern(100_000)).await;
    }
    stop.cancel();
    if let Err(e) = sweeper.await {
        panic!("a sweep beside writers: {e}");
    }
    let clock = ManualClock::new(cx.now());
    clock.advance(std::time::Duration::from_hours(24 * 400));
    let later = cx.with_clock(Arc::new(clock));
    assert_eq!(good(sink.sweep(&later).await, "a sweep"), 0, "every writer has cleaned up");
    assert_eq!(listed(&*sink, "").await.len(), 50, "a sweep removes no object, however old");
}

async fn many(sink: &dyn Sink) {
    for number in 0..1_000_u64 {
        put(sink, &format!("many/{}/{number:04}", number % 7), &number.to_be_bytes()).await;
    }
    let objects = listed(sink, "many/").await;
    assert_eq!(objects.len(), 1_000, "everything is listed");
    assert!(objects.values().all(|size| *size == 8));
    let some = sink.list(&Context::new(), "many/").take(3).count().await;
    assert_eq!(some, 3, "a listing may be dropped early");
}

async fn cancellation(sink: &dyn Sink) {
    put(sink, "cancel/there", b"1").await;
    let token = CancellationToken::new();
    let cx = Context::new().with_cancellation(token.clone());
    token.cancel();
    let (there, new) = (name("cancel/there"), name("cancel/new"));
    let promise = "a cancelled context stops every call";
    assert_eq!(kind(sink.put(&cx, &new, &vec![1].into()).await, promise), ErrorKind::Cancelled);
    assert_eq!(kind(sink.get(&cx, &there, None).await, promise), ErrorKind::Cancelled);
    assert_eq!(kind(sink.head(&cx, &there).await, promise), ErrorKind::Cancelled);
    assert_eq!(kind(sink.delete(&cx, &there).await, promise), ErrorKind::Cancelled);
    assert_eq!(kind(sink.sweep(&cx).await, promise), ErrorKind::Cancelled);
    let list: Result<Vec<_>> = sink.list(&cx, "").try_collect().await;
    assert_eq!(kind(list, promise), ErrorKind::Cancelled);
    assert_eq!(listed(sink, "").await.into_keys().collect::<Vec<_>>(), ["cancel/there"]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::{DirectorySink, MemorySink};

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn memory_keeps_its_promises() {
        sink(|| async { Arc::new(MemorySink::new()) as Arc<dyn Sink> }).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn a_directory_keeps_its_promises() {
        let scratch = tempfile::tempdir().unwrap();
        let number = std::sync::atomic::AtomicU32::new(0);
        sink(|| {
            let number = number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let path = scratch.path().join("roots").join(number.to_string());
            async move { Arc::new(DirectorySink::open(path).await.unwrap()) as Arc<dyn Sink> }
        })
        .await;
    }
}
