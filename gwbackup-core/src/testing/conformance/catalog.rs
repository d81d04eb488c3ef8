//! What a log promises.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt};
use tokio_util::sync::CancellationToken;

use crate::catalog::{Catalog, Event, EventDraft, EventKind, EventOutcome, Head};
use crate::context::Context;
use crate::error::ErrorKind;

/// Checks every promise of [`Catalog`]; panics with a sentence at the first that is broken.
///
/// `make` gives two instances that share one fresh, empty log, as two machines would: each call a
/// new log. Both must be able to append. Needs a tokio runtime; a multi-threaded one makes the race
/// of two writers a real one.
pub async fn catalog<M, F>(make: M)
where
    M: Fn() -> F,
    F: Future<Output = (Arc<dyn Catalog>, Arc<dyn Catalog>)>,
{
    empty(make().await.0).await;
    numbered_and_chained(make().await).await;
    keeps_what_it_is_given(make().await).await;
    one_draft_is_one_event(make().await).await;
    two_writers_lose_nothing(make().await).await;
    ends_when_cancelled(make().await.0).await;
}

fn draft(cx: &Context, text: &str) -> EventDraft {
    EventDraft::new(cx, EventKind::VERIFY, "backup", "conformance", EventOutcome::Success)
        .unwrap_or_else(|e| panic!("no draft can be made: {e:?}"))
        .text(text)
}

async fn append(cx: &Context, catalog: &dyn Catalog, draft: EventDraft) -> Event {
    catalog.append(cx, draft).await.unwrap_or_else(|e| panic!("append failed: {e:?}"))
}

async fn all(cx: &Context, catalog: &dyn Catalog, after: u64) -> Vec<Event> {
    let events = catalog.events(cx, after).try_collect().await;
    events.unwrap_or_else(|e| panic!("events failed: {e:?}"))
}

async fn head(cx: &Context, catalog: &dyn Catalog) -> Head {
    catalog.head(cx).await.unwrap_or_else(|e| panic!("head failed: {e:?}"))
}

fn chained(events: &[Event]) {
    let mut prev: Option<&Event> = None;
    for event in events {
        assert_eq!(
            event.prev.as_ref(),
            prev.map(|prev| &prev.digest),
            "event {} does not name the one before",
            event.seq
        );
        assert!(event.seq > prev.map_or(0, |prev| prev.seq), "numbers do not rise");
        assert_eq!(event.digest, event.file.digest(), "the digest is not that of the stored body");
        prev = Some(event);
    }
}

async fn empty(catalog: Arc<dyn Catalog>) {
    let cx = Context::new();
    let head = head(&cx, catalog.as_ref()).await;
    assert_eq!((head.seq, head.digest.as_str()), (0, ""), "an empty log has a head");
    assert!(all(&cx, catalog.as_ref(), 0).await.is_empty(), "an empty log has events");
}

async fn numbered_and_chained((a, b): (Arc<dyn Catalog>, Arc<dyn Catalog>)) {
    let cx = Context::new();
    let mut appended = Vec::new();
    for number in 0..40_u64 {
        let writer = if number % 3 == 0 { &b } else { &a };
        let event = append(&cx, writer.as_ref(), draft(&cx, "x")).await;
        assert_eq!(event.seq, number + 1, "numbers are not 1, 2, 3, ...");
        appended.push(event);
    }
    chained(&appended);
    for catalog in [&a, &b] {
        let digests =
            |events: &[Event]| events.iter().map(|e| e.digest.clone()).collect::<Vec<_>>();
        let read = all(&cx, catalog.as_ref(), 0).await;
        assert_eq!(digests(&read), digests(&appended), "events are not those appended, in order");
        for after in [1, 17, 39] {
            let later = all(&cx, catalog.as_ref(), after).await;
            let expected = appended.get(usize::try_from(after).unwrap_or_default()..);
            let expected = expected.unwrap_or_default();
            assert_eq!(digests(&later), digests(expected), "events after {after} are others");
        }
        for after in [40, 41, u64::MAX] {
            assert!(all(&cx, catalog.as_ref(), after).await.is_empty(), "events after the last");
        }
        let last = appended.last().map(|e| Head { seq: e.seq, digest: e.digest.clone() });
        assert_eq!(Some(head(&cx, catalog.as_ref()).await), last, "the head is not the last event");
    }
}

async fn keeps_what_it_is_given((a, b): (Arc<dyn Catalog>, Arc<dyn Catalog>)) {
    let cx = Context::new().with_actor("ada").with_reason("because");
    let id = "0123456789abcdef";
    let draft = EventDraft::new(&cx, EventKind::IDMAP, "restore", id, EventOutcome::Partial)
        .and_then(|draft| draft.vouch("manifest", "aa").count("done", 3).text("t").data(&[1, 2]))
        .unwrap_or_else(|e| panic!("no draft can be made: {e:?}"));
    append(&cx, a.as_ref(), draft.clone()).await;
    let events = all(&cx, b.as_ref(), 0).await;
    let [event] = events.as_slice() else { panic!("one event was appended") };
    assert_eq!(event.id, draft.id(), "the id is another");
    assert_eq!(event.kind, EventKind::IDMAP, "the kind is another");
    assert_eq!((event.subject.kind.as_str(), event.subject.id.as_str()), ("restore", id));
    assert_eq!(event.outcome, EventOutcome::Partial, "the outcome is another");
    assert_eq!(event.vouched("manifest"), Some("aa"), "the digest is another");
    let Some(detail) = &event.detail else { panic!("the private part is gone") };
    assert_eq!(detail.actor, "ada", "the actor is another");
    assert_eq!(detail.reason.as_deref(), Some("because"), "the reason is another");
    assert_eq!(detail.text.as_deref(), Some("t"), "the text is another");
    assert_eq!(detail.counts.get("done"), Some(&3), "the count is another");
    assert_eq!(detail.data, serde_json::json!([1, 2]), "the data is other data");
}

async fn one_draft_is_one_event((a, b): (Arc<dyn Catalog>, Arc<dyn Catalog>)) {
    let cx = Context::new();
    let draft_one = draft(&cx, "one");
    let first = append(&cx, a.as_ref(), draft_one.clone()).await;
    append(&cx, b.as_ref(), draft(&cx, "two")).await;
    for catalog in [&a, &b] {
        let again = append(&cx, catalog.as_ref(), draft_one.clone()).await;
        assert_eq!(again.digest, first.digest, "the same draft became a second event");
    }
    assert_eq!(head(&cx, a.as_ref()).await.seq, 2, "the same draft was appended again");
}

async fn two_writers_lose_nothing((a, b): (Arc<dyn Catalog>, Arc<dyn Catalog>)) {
    const EACH: usize = 12;
    let cx = Context::new();
    let write = |catalog: Arc<dyn Catalog>| {
        let cx = cx.clone();
        tokio::spawn(async move {
            let mut ids = Vec::new();
            for _ in 0..EACH {
                ids.push(append(&cx, catalog.as_ref(), draft(&cx, "race")).await.id);
            }
            ids
        })
    };
    let tasks = [write(Arc::clone(&a)), write(Arc::clone(&b)), write(Arc::clone(&a))];
    let mut ids = BTreeSet::new();
    for task in tasks {
        ids.extend(task.await.unwrap_or_else(|e| panic!("a writer failed: {e}")));
    }
    for catalog in [&a, &b] {
        let events = all(&cx, catalog.as_ref(), 0).await;
        chained(&events);
        assert_eq!(events.len(), 3 * EACH, "events are lost or doubled");
        let found: BTreeSet<_> = events.iter().map(|event| event.id).collect();
        assert_eq!(found, ids, "the log holds other events than were appended");
    }
}

async fn ends_when_cancelled(catalog: Arc<dyn Catalog>) {
    let token = CancellationToken::new();
    token.cancel();
    let cx = Context::new().with_cancellation(token);
    let draft = draft(&Context::new(), "late");
    let refused = [
        catalog.append(&cx, draft).await.err(),
        catalog.head(&cx).await.err(),
        catalog.events(&cx, 0).next().await.and_then(crate::Result::err),
    ];
    for error in refused {
        assert_eq!(
            error.map(|e| e.kind()),
            Some(ErrorKind::Cancelled),
            "a cancelled context does not end the call"
        );
    }
    let head = head(&Context::new(), catalog.as_ref()).await;
    assert_eq!(head.seq, 0, "a cancelled append had an effect");
}
