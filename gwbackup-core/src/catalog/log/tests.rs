use futures_util::TryStreamExt;

use super::*;
use crate::catalog::fixture::{self, draft, draft_of};
use crate::catalog::{EventKind, MemoryAnchor};
use crate::sink::{Body, MemorySink};
use crate::testing::{Fault, Faults};

mod faults;

struct Rig {
    trust: Arc<Trust>,
    seal: Arc<SmallSeal>,
    home: MemorySink,
    mirror: MemorySink,
}

impl Rig {
    async fn new() -> Self {
        let trust = fixture::trust().await;
        let seal = fixture::seal(&trust);
        Self { trust, seal, home: MemorySink::new(), mirror: MemorySink::new() }
    }

    fn on(&self, home: Arc<dyn Sink>) -> Log {
        Log::new(Arc::clone(&self.trust), home)
            .seal(Arc::clone(&self.seal))
            .signer(fixture::writer())
    }

    fn log(&self) -> Log {
        self.on(Arc::new(self.home.clone()))
    }

    fn mirrored(&self) -> Log {
        self.log().mirror(Arc::new(self.mirror.clone()))
    }
}

async fn fill(log: &Log, events: usize) -> Vec<Event> {
    let mut filled = Vec::new();
    for _ in 0..events {
        filled.push(log.append(&Context::new(), draft("x")).await.unwrap());
    }
    filled
}

async fn read(log: &Log) -> Result<Vec<Event>> {
    log.events(&Context::new(), 0).try_collect().await
}

async fn problems(log: &Log) -> Vec<Problem> {
    log.integrity(&Context::new()).await.unwrap().problems
}

async fn remove(sink: &MemorySink, seq: u64) {
    sink.delete(&Context::new(), &name(seq).unwrap()).await.unwrap();
}

async fn store(sink: &MemorySink, seq: u64, bytes: impl Into<Vec<u8>>) {
    let body = Body::from(bytes.into());
    sink.put(&Context::new(), &name(seq).unwrap(), &body).await.unwrap();
}

async fn replace(sink: &MemorySink, seq: u64, bytes: impl Into<Vec<u8>>) {
    remove(sink, seq).await;
    store(sink, seq, bytes).await;
}

async fn stored(sink: &MemorySink, seq: u64) -> Vec<u8> {
    sink.get(&Context::new(), &name(seq).unwrap(), None).await.unwrap().to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_the_contract() {
    crate::testing::conformance::catalog(|| async {
        let rig = Rig::new().await;
        (Arc::new(rig.log()) as _, Arc::new(rig.mirrored()) as _)
    })
    .await;
    crate::testing::conformance::catalog(|| async {
        let rig = Rig::new().await;
        let anchor = Arc::new(MemoryAnchor::new());
        let log = || Arc::new(rig.mirrored().anchor(Arc::clone(&anchor) as _)) as _;
        (log(), log())
    })
    .await;
}

#[tokio::test]
async fn every_flipped_bit_of_an_earlier_event_ends_the_reading() {
    let rig = Rig::new().await;
    let events = fill(&rig.log(), 3).await;
    let good = stored(&rig.home, 2).await;
    for at in (0..good.len()).step_by(7) {
        let mut bad = good.clone();
        bad[at] ^= 1;
        replace(&rig.home, 2, bad).await;
        let log = rig.log();
        let mut stream = log.events(&Context::new(), 0);
        assert_eq!(stream.next().await.unwrap().unwrap().digest, events[0].digest, "byte {at}");
        let error = stream.next().await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "byte {at}");
        assert!(stream.next().await.is_none());
        assert!(log.head(&Context::new()).await.is_err());
        assert!(log.append(&Context::new(), draft("x")).await.is_err());
        let report = log.audit(&Context::new()).await.unwrap();
        assert_eq!((report.ok, report.first_broken), (false, Some(2)), "byte {at}");
    }
}

#[tokio::test]
async fn a_removed_event_is_a_gap() {
    let rig = Rig::new().await;
    fill(&rig.log(), 4).await;
    remove(&rig.home, 2).await;
    let error = read(&rig.log()).await.unwrap_err();
    assert_eq!((error.kind(), error.subject()), (ErrorKind::Corrupt, Some("event 2")));
}

#[tokio::test]
async fn events_cannot_change_places_or_repositories() {
    let rig = Rig::new().await;
    fill(&rig.log(), 3).await;
    let (second, third) = (stored(&rig.home, 2).await, stored(&rig.home, 3).await);
    replace(&rig.home, 2, third).await;
    replace(&rig.home, 3, second).await;
    assert_eq!(problems(&rig.log()).await, [Problem::Void(2), Problem::Void(3)]);

    let (one, other) = (Rig::new().await, Rig::new().await);
    fill(&one.log(), 2).await;
    fill(&other.log(), 1).await;
    store(&other.home, 2, stored(&one.home, 2).await).await;
    assert_eq!(problems(&other.log()).await, [Problem::Void(2)]);
}

#[tokio::test]
async fn another_copy_fills_in_for_a_damaged_home() {
    let rig = Rig::new().await;
    let events = fill(&rig.mirrored(), 3).await;
    replace(&rig.home, 2, "junk").await;
    let log = rig.mirrored();
    assert_eq!(read(&log).await.unwrap().len(), 3);
    assert_eq!(problems(&log).await, [Problem::Differs { place: 0, seq: 2 }]);
    remove(&rig.home, 3).await;
    let log = rig.mirrored();
    assert_eq!(log.head(&Context::new()).await.unwrap().digest, events[2].digest);
    assert!(problems(&log).await.contains(&Problem::HomeBehind(3)));
    assert!(!log.integrity(&Context::new()).await.unwrap().is_whole());
    assert_eq!(log.append(&Context::new(), draft("on")).await.unwrap().seq, 4);
    assert_eq!(read(&rig.mirrored()).await.unwrap().len(), 4);
}

#[tokio::test]
async fn a_fork_is_marked_and_the_longer_side_is_read() {
    let rig = Rig::new().await;
    fill(&rig.mirrored(), 2).await;
    fill(&rig.log(), 1).await;
    let longer = fill(&rig.on(Arc::new(rig.mirror.clone())), 2).await;
    let log = rig.mirrored();
    assert_eq!(read(&log).await.unwrap()[2].digest, longer[0].digest);
    assert!(problems(&log).await.contains(&Problem::Fork(3)));
    assert!(log.append(&Context::new(), draft("x")).await.is_err());
    let error = log.catch_up(&Context::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
}

#[tokio::test]
async fn squatted_numbers_are_skipped_up_to_a_limit() {
    let cx = Context::new();
    let rig = Rig::new().await;
    fill(&rig.log(), 1).await;
    store(&rig.home, 2, "junk").await;
    store(&rig.home, 3, "junk").await;
    store(&rig.home, 999_999_999_999, "junk").await;
    assert_eq!(fill(&rig.log(), 1).await[0].seq, 4);
    assert_eq!(problems(&rig.log()).await, [Problem::Void(2), Problem::Void(3)]);
    for seq in 5..=20 {
        store(&rig.home, seq, "junk").await;
    }
    assert_eq!(fill(&rig.log(), 1).await[0].seq, 21);
    for seq in 22..=38 {
        store(&rig.home, seq, "junk").await;
    }
    let open = rig.log();
    assert_eq!(open.append(&cx, draft("x")).await.unwrap_err().kind(), ErrorKind::Corrupt);
    assert!(problems(&rig.log()).await.contains(&Problem::Squatted(22)));
}

#[tokio::test]
async fn a_machine_that_saw_more_notices_a_roll_back() {
    let cx = Context::new();
    let rig = Rig::new().await;
    let anchor = Arc::new(MemoryAnchor::new());
    let seen = || rig.log().anchor(Arc::clone(&anchor) as _);
    fill(&seen(), 5).await;
    fill(&rig.log(), 1).await;
    seen().head(&cx).await.unwrap();
    for seq in [5, 6] {
        remove(&rig.home, seq).await;
    }
    let error = read(&seen()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.message().contains('4') && error.message().contains('6'), "{error}");
    assert!(seen().append(&cx, draft("x")).await.is_err());
    assert_eq!(seen().audit(&cx).await.unwrap().first_broken, Some(5));
    // A machine without a mark goes on, and the first one sees another event under a known number.
    fill(&rig.log(), 4).await;
    assert!(seen().head(&cx).await.is_err());
}

#[tokio::test]
async fn a_mirror_may_lag_and_catches_up() {
    let cx = Context::new();
    let rig = Rig::new().await;
    let flaky = Faults::when(|call| {
        (call.operation == "put" && call.number < 12).then_some(Fault::Fail(ErrorKind::Unavailable))
    });
    let mirror = faults::Flaky::new(rig.mirror.clone(), flaky);
    let log = rig.log().mirror(Arc::new(mirror));
    fill(&log, 6).await;
    let behind = log.integrity(&cx).await.unwrap().behind;
    assert!(behind[0] > 0 && behind[0] <= 6, "{behind:?}");
    assert_eq!(rig.mirrored().integrity(&cx).await.unwrap().behind, behind);
    let whole = rig.mirrored();
    assert_eq!(whole.catch_up(&cx).await.unwrap(), behind[0]);
    assert_eq!(whole.integrity(&cx).await.unwrap().behind, [0]);
    for seq in 1..=6 {
        assert_eq!(stored(&rig.mirror, seq).await, stored(&rig.home, seq).await);
    }
}

#[tokio::test]
async fn taking_away_needs_the_role() {
    let cx = Context::new();
    let rig = Rig::new().await;
    let plain = rig.log().signer(fixture::plain_writer());
    for kind in [EventKind::BACKUP_ABANDON, EventKind::DELETE_DONE, EventKind::AUDIT_ACCEPT] {
        assert!(!plain.append(&cx, draft_of(kind.clone(), "")).await.unwrap().counts, "{kind}");
        assert!(rig.log().append(&cx, draft_of(kind.clone(), "")).await.unwrap().counts, "{kind}");
    }
    assert!(plain.append(&cx, draft_of(EventKind::BACKUP_COMMIT, "")).await.unwrap().counts);
    let trust = draft_of(EventKind::TRUST_CHANGE, "");
    assert!(!plain.append(&cx, trust.clone().vouch("trust", "00")).await.unwrap().counts);
    let trust = draft_of(EventKind::TRUST_CHANGE, "").vouch("trust", rig.trust.digest());
    assert!(plain.append(&cx, trust).await.unwrap().counts);
    let report = rig.log().audit(&cx).await.unwrap();
    assert_eq!((report.events, report.ok), (9 - 1, false));
    assert_eq!(report.without_right, [1, 3, 5, 8 - 1]);
    assert_eq!(report.first_broken, None);
}

#[tokio::test]
async fn a_reader_without_keys_checks_the_chain() {
    let cx = Context::new();
    let rig = Rig::new().await;
    fill(&rig.log(), 2).await;
    let bare = Log::new(Arc::clone(&rig.trust), Arc::new(rig.home.clone()));
    let events = read(&bare).await.unwrap();
    assert!(events.iter().all(|event| event.detail.is_none() && event.counts));
    assert!(bare.audit(&cx).await.unwrap().ok);
    let error = bare.append(&cx, draft("x")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::KeyUnavailable);
    let text = String::from_utf8(stored(&rig.home, 1).await).unwrap();
    assert!(!text.contains("tester"), "the actor is readable");
}
