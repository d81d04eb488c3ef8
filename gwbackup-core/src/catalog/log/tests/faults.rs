use std::fmt;
use std::ops::Range;

use bytes::Bytes;

use super::*;
use crate::sink::{Listed, ObjectMeta, SinkInfo};

/// A sink in memory under a rule.
#[derive(Debug, Clone)]
pub(super) struct Flaky {
    inner: MemorySink,
    faults: Faults,
}

impl Flaky {
    pub(super) fn new(inner: MemorySink, faults: Faults) -> Self {
        Self { inner, faults }
    }
}

impl fmt::Display for Flaky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("flaky:")
    }
}

#[async_trait]
impl Sink for Flaky {
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
        match self.faults.next("list", prefix) {
            None => self.inner.list(cx, prefix),
            Some(_) => Box::pin(stream::iter([Err(Error::new(ErrorKind::Unavailable, "away"))])),
        }
    }

    async fn delete(&self, cx: &Context, name: &ObjectName) -> Result<()> {
        self.faults.around("delete", name.as_str(), self.inner.delete(cx, name)).await
    }
}

fn dead(sink: &MemorySink) -> Arc<dyn Sink> {
    let faults = Faults::from_nth(1, Fault::Fail(ErrorKind::Unavailable));
    Arc::new(Flaky::new(sink.clone(), faults))
}

/// Whatever single call of the home goes wrong: the same drafts tried until they are in, by the same
/// process or by one started anew, are each in the log once, in order.
#[tokio::test]
async fn any_call_may_fail_or_lose_its_answer() {
    for fault in [Fault::LoseAnswer, Fault::Fail(ErrorKind::Unavailable)] {
        for restarts in [false, true] {
            for number in 1.. {
                let rig = Rig::new().await;
                let faults = Faults::nth(number, fault);
                let home = Flaky::new(rig.home.clone(), faults.clone());
                let open = || rig.on(Arc::new(home.clone())).mirror(Arc::new(rig.mirror.clone()));
                let mut log = open();
                let drafts = [draft("1"), draft("2"), draft("3")];
                for draft in &drafts {
                    let mut tries = 0;
                    while log.append(&Context::new(), draft.clone()).await.is_err() {
                        tries += 1;
                        assert!(tries < 3, "{fault:?} at call {number} does not pass");
                        if restarts {
                            log = open();
                        }
                    }
                }
                let events = read(&rig.mirrored()).await.unwrap();
                let ids: Vec<_> = events.iter().map(|event| event.id).collect();
                assert_eq!(
                    ids,
                    drafts.each_ref().map(EventDraft::id),
                    "{fault:?} at call {number}"
                );
                assert!(rig.mirrored().integrity(&Context::new()).await.unwrap().is_whole());
                if faults.calls() < number {
                    assert!(number > 10, "the rule was never reached");
                    break;
                }
            }
        }
    }
}

/// The process dies at each call, for good; what the next one finds is whole, and holds every event
/// whose append was answered.
#[tokio::test]
async fn the_process_may_die_at_any_call() {
    for fault in [Fault::LoseAnswer, Fault::Fail(ErrorKind::Other)] {
        for number in 1.. {
            let rig = Rig::new().await;
            let faults = Faults::from_nth(number, fault);
            let (home, mirror) = (
                Flaky::new(rig.home.clone(), faults.clone()),
                Flaky::new(rig.mirror.clone(), faults.clone()),
            );
            let log = rig.on(Arc::new(home)).mirror(Arc::new(mirror));
            let mut answered = Vec::new();
            for _ in 0..2 {
                if let Ok(event) = log.append(&Context::new(), draft("x")).await {
                    answered.push(event.digest);
                }
            }
            let next = rig.mirrored();
            let found: Vec<_> =
                read(&next).await.unwrap().into_iter().map(|event| event.digest).collect();
            assert!(answered.iter().all(|digest| found.contains(digest)), "call {number}");
            assert!(next.integrity(&Context::new()).await.unwrap().is_whole(), "call {number}");
            let count = found.len() as u64;
            assert_eq!(fill(&next, 1).await[0].seq, count + 1, "call {number}");
            if faults.calls() < number {
                break;
            }
        }
    }
}

#[tokio::test]
async fn events_wait_while_the_home_is_away() {
    let cx = Context::new();
    let rig = Rig::new().await;
    fill(&rig.mirrored(), 2).await;
    let away = rig.on(dead(&rig.home)).mirror(Arc::new(rig.mirror.clone()));
    assert_eq!(read(&away).await.unwrap().len(), 2, "the mirror still answers");
    let drafts = [draft("first"), draft("second")];
    let mut after = None;
    for draft in &drafts {
        let error = away.append(&cx, draft.clone()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        after = Some(away.defer(&cx, draft.clone(), after).await.unwrap());
    }
    // The same draft again is the same waiting event.
    away.defer(&cx, drafts[1].clone(), after).await.unwrap();
    assert_eq!(away.fold_pending(&cx).await.unwrap_err().kind(), ErrorKind::Unavailable);
    let guarded = draft_of(EventKind::DELETE_INTENT, "");
    assert_eq!(away.defer(&cx, guarded, None).await.unwrap_err().kind(), ErrorKind::Refused);

    let back = rig.mirrored();
    let folded = back.fold_pending(&cx).await.unwrap();
    assert!(folded.refused.is_empty());
    let ids: Vec<_> = folded.events.iter().map(|event| (event.seq, event.id, event.of)).collect();
    let expected: Vec<_> =
        (3..).zip(&drafts).map(|(seq, draft)| (seq, draft.id(), Some(draft.id()))).collect();
    assert_eq!(ids, expected);
    let text = folded.events[0].detail.as_ref().and_then(|detail| detail.text.clone());
    assert_eq!(text.as_deref(), Some("first"));
    assert!(back.fold_pending(&cx).await.unwrap().events.is_empty());
    assert_eq!(back.append(&cx, drafts[0].clone()).await.unwrap().seq, 3);
    let left: Vec<_> = rig.mirror.list(&cx, "pending/").try_collect().await.unwrap();
    assert!(left.is_empty());
}

#[tokio::test]
async fn what_waits_is_checked() {
    let cx = Context::new();
    let rig = Rig::new().await;
    let away = rig.on(dead(&rig.home)).mirror(Arc::new(rig.mirror.clone()));
    away.defer(&cx, draft("x"), None).await.unwrap();
    let listed: Vec<_> = rig.mirror.list(&cx, "pending/").try_collect().await.unwrap();
    let [Listed::Object(meta)] = listed.as_slice() else { panic!("one event waits") };
    let mut bytes = rig.mirror.get(&cx, &meta.name, None).await.unwrap().to_vec();
    bytes[100] ^= 1;
    rig.mirror.delete(&cx, &meta.name).await.unwrap();
    rig.mirror.put(&cx, &meta.name, &Body::from(bytes)).await.unwrap();
    let folded = rig.mirrored().fold_pending(&cx).await.unwrap();
    assert!(folded.events.is_empty());
    assert_eq!(folded.refused, [meta.name.clone()]);
    assert_eq!(read(&rig.mirrored()).await.unwrap().len(), 0);
}

#[tokio::test]
async fn the_fold_of_what_waits_may_be_cut_short() {
    for number in 1.. {
        let cx = Context::new();
        let rig = Rig::new().await;
        let away = rig.on(dead(&rig.home)).mirror(Arc::new(rig.mirror.clone()));
        for text in ["a", "b"] {
            away.defer(&cx, draft(text), None).await.unwrap();
        }
        let faults = Faults::from_nth(number, Fault::LoseAnswer);
        let home = Flaky::new(rig.home.clone(), faults.clone());
        let mirror = Flaky::new(rig.mirror.clone(), faults.clone());
        let _ = rig.on(Arc::new(home)).mirror(Arc::new(mirror)).fold_pending(&cx).await;
        rig.mirrored().fold_pending(&cx).await.unwrap();
        assert_eq!(read(&rig.mirrored()).await.unwrap().len(), 2, "call {number}");
        if faults.calls() < number {
            break;
        }
    }
}
