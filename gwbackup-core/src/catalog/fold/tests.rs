use std::sync::Arc;

use futures_util::TryStreamExt;
use proptest::prelude::*;

use super::*;
use crate::catalog::{Catalog, EventDraft, Log, fixture};
use crate::context::Context;
use crate::sink::MemorySink;

const SHOP: &str = "shop";

fn id(number: u8) -> Uuid {
    Uuid::from_bytes([number; 16])
}

fn facts(name: &str) -> BackupFacts {
    BackupFacts {
        name: name.into(),
        application: SHOP.into(),
        environment: "prod".into(),
        kind: "full".into(),
        required: 2,
        capture: Some(Capture::Complete),
        ..BackupFacts::default()
    }
}

fn on(good: u32, bad: u32) -> Vec<CopyResult> {
    let result = |n, ok| CopyResult { copy: format!("c{n}"), ok, detail: None };
    (0..good).map(|n| result(n, true)).chain((good..good + bad).map(|n| result(n, false))).collect()
}

struct Book {
    log: Log,
}

impl Book {
    async fn new() -> Self {
        let trust = fixture::trust().await;
        let seal = fixture::seal(&trust);
        let log = Log::new(trust, Arc::new(MemorySink::new()));
        Self { log: log.seal(seal).signer(fixture::writer()) }
    }

    async fn write(
        &self,
        log: &Log,
        backup: u8,
        kind: EventKind,
        data: Option<&(impl Serialize + Sync)>,
    ) {
        let cx = Context::new();
        let outcome = EventOutcome::Success;
        let mut draft = EventDraft::new(&cx, kind, "backup", id(backup), outcome).unwrap();
        if let Some(data) = data {
            draft = draft.data(data).unwrap();
        }
        log.append(&cx, draft.vouch("manifest", format!("m{backup}"))).await.unwrap();
    }

    async fn start(&self, backup: u8, name: &str) {
        self.write(&self.log, backup, EventKind::BACKUP_START, Some(&facts(name))).await;
    }

    async fn commit(&self, backup: u8, name: &str, copies: Vec<CopyResult>) {
        let facts = BackupFacts { copies, ..facts(name) };
        self.write(&self.log, backup, EventKind::BACKUP_COMMIT, Some(&facts)).await;
    }

    async fn found(&self, backup: u8, kind: EventKind, copies: Vec<CopyResult>) {
        self.write(&self.log, backup, kind, Some(&CopyFacts { copies })).await;
    }

    async fn plain(&self, backup: u8, kind: EventKind) {
        self.write(&self.log, backup, kind, None::<&()>).await;
    }

    async fn fold_with(&self, log: &Log) -> CatalogState {
        let events: Vec<Event> = log.events(&Context::new(), 0).try_collect().await.unwrap();
        fold(&events).unwrap()
    }

    async fn fold(&self) -> CatalogState {
        self.fold_with(&self.log).await
    }

    async fn state(&self, backup: u8) -> State {
        self.fold().await.point(id(backup)).unwrap().state(Timestamp::UNIX_EPOCH)
    }
}

#[tokio::test]
async fn copies_and_capture_make_the_state() {
    for (good, bad, capture, expected) in [
        (2, 0, Capture::Complete, State::Success),
        (3, 1, Capture::Complete, State::Success),
        (1, 1, Capture::Complete, State::Partial),
        (2, 0, Capture::Partial, State::Partial),
        (0, 2, Capture::Complete, State::Failed),
        (0, 0, Capture::Complete, State::Failed),
    ] {
        let book = Book::new().await;
        book.start(1, "a").await;
        assert_eq!(book.state(1).await, State::Started);
        let facts = BackupFacts { copies: on(good, bad), capture: Some(capture), ..facts("a") };
        book.write(&book.log, 1, EventKind::BACKUP_COMMIT, Some(&facts)).await;
        assert_eq!(book.state(1).await, expected, "{good} good, {bad} bad, {capture:?}");
    }
}

#[tokio::test]
async fn looking_again_moves_the_state() {
    let book = Book::new().await;
    book.commit(1, "a", on(1, 1)).await;
    assert_eq!(book.state(1).await, State::Partial);
    book.found(1, EventKind::COPY_HEAL, on(2, 0)).await;
    assert_eq!(book.state(1).await, State::Success);
    book.found(1, EventKind::VERIFY, on(0, 1)).await;
    assert_eq!(book.state(1).await, State::Partial);
    book.found(1, EventKind::VERIFY, on(0, 2)).await;
    assert_eq!(book.state(1).await, State::Failed);
    book.found(1, EventKind::COPY_HEAL, on(2, 0)).await;
    assert_eq!(book.state(1).await, State::Success, "a wrong finding does not outlive a right one");
}

#[tokio::test]
async fn the_order_of_the_log_decides_between_abandon_and_commit() {
    let book = Book::new().await;
    for backup in [1, 2] {
        book.start(backup, "a").await;
    }
    book.plain(1, EventKind::BACKUP_ABANDON).await;
    book.commit(1, "a", on(2, 0)).await;
    book.commit(2, "a", on(2, 0)).await;
    book.plain(2, EventKind::BACKUP_ABANDON).await;
    assert_eq!(book.state(1).await, State::Failed);
    assert_eq!(book.state(2).await, State::Success);
    let state = book.fold().await;
    assert_eq!(state.point(id(1)).unwrap().version, None);
    assert_eq!(state.point(id(2)).unwrap().version, Some(1));
    assert_eq!(state.point(id(2)).unwrap().manifest.as_deref(), Some("m2"));
}

#[tokio::test]
async fn versions_and_names_are_never_given_twice() {
    let book = Book::new().await;
    for (backup, name) in [(1, "a"), (2, "a"), (3, "b")] {
        book.start(backup, name).await;
    }
    for (backup, name) in [(3, "b"), (1, "a")] {
        book.commit(backup, name, on(2, 0)).await;
    }
    book.plain(1, EventKind::DELETE_INTENT).await;
    book.plain(1, EventKind::DELETE_DONE).await;
    book.commit(2, "a", on(2, 0)).await;
    book.commit(2, "a", on(2, 0)).await;
    let state = book.fold().await;
    let told: Vec<_> = state.points().iter().map(|p| (p.visible_name(), p.version)).collect();
    assert_eq!(told, [("a".into(), Some(2)), ("a-2".into(), Some(3)), ("b".into(), Some(1))]);
    let listed: Vec<_> = state.listed().map(|p| p.backup).collect();
    assert_eq!(listed, [id(2), id(3)]);
}

#[tokio::test]
async fn deletion_can_be_called_off_before_it_happens() {
    let book = Book::new().await;
    book.commit(1, "a", on(2, 0)).await;
    book.plain(1, EventKind::DELETE_INTENT).await;
    assert_eq!(book.fold().await.listed().count(), 0);
    book.plain(1, EventKind::DELETE_CANCEL).await;
    assert_eq!(book.fold().await.listed().count(), 1);
    book.plain(1, EventKind::DELETE_DONE).await;
    book.plain(1, EventKind::DELETE_CANCEL).await;
    assert_eq!(book.fold().await.listed().count(), 0);
}

#[tokio::test]
async fn without_the_right_nothing_is_taken_away() {
    let book = Book::new().await;
    book.start(1, "a").await;
    book.commit(2, "b", on(2, 0)).await;
    let thief = book.log.clone().signer(fixture::plain_writer());
    for backup in [1, 2] {
        for kind in [
            EventKind::BACKUP_ABANDON,
            EventKind::BACKUP_FAIL,
            EventKind::DELETE_INTENT,
            EventKind::DELETE_DONE,
        ] {
            book.write(&thief, backup, kind, None::<&()>).await;
        }
    }
    assert_eq!(book.state(1).await, State::Started);
    assert_eq!(book.state(2).await, State::Success);
    assert_eq!(book.fold().await.listed().count(), 2);
    book.plain(1, EventKind::BACKUP_FAIL).await;
    assert_eq!(book.state(1).await, State::Failed);
}

#[tokio::test]
async fn a_deadline_fails_what_was_never_committed() {
    let book = Book::new().await;
    let deadline = Timestamp::from_second(1000).unwrap();
    let facts = BackupFacts { deadline: Some(deadline), ..facts("a") };
    book.write(&book.log, 1, EventKind::BACKUP_START, Some(&facts)).await;
    let state = book.fold().await;
    let point = state.point(id(1)).unwrap();
    assert_eq!(point.state(deadline), State::Started);
    assert_eq!(point.state(Timestamp::from_second(1001).unwrap()), State::Failed);
}

#[tokio::test]
async fn without_the_key_the_outcome_is_known() {
    let book = Book::new().await;
    book.start(1, "a").await;
    book.commit(2, "b", on(2, 0)).await;
    let sealed = {
        let other = fixture::trust().await;
        book.log.clone().seal(fixture::seal(&other))
    };
    let state = book.fold_with(&sealed).await;
    let told: Vec<_> = state
        .points()
        .iter()
        .map(|p| (p.state(Timestamp::UNIX_EPOCH), p.version, p.visible_name()))
        .collect();
    assert_eq!(
        told,
        [(State::Started, None, String::new()), (State::Success, None, String::new())]
    );
}

const STATES: [State; 4] = [State::Started, State::Success, State::Partial, State::Failed];

#[test]
fn the_table_of_moves() {
    let moves: Vec<_> = STATES
        .into_iter()
        .flat_map(|from| STATES.map(|to| (from, to)))
        .filter(|(from, to)| from != to && from.may_become(*to))
        .collect();
    assert_eq!(
        moves,
        [
            (State::Started, State::Success),
            (State::Started, State::Partial),
            (State::Started, State::Failed),
            (State::Success, State::Partial),
            (State::Success, State::Failed),
            (State::Partial, State::Success),
            (State::Partial, State::Failed),
            (State::Failed, State::Success),
            (State::Failed, State::Partial),
        ]
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whatever happens in whatever order: only allowed moves, versions in the order of commits
    /// without gap or repeat, and a fold in pieces is the fold of the whole.
    #[test]
    fn any_history(steps in proptest::collection::vec((0..4u8, 0..8u8, 0..4u32, 0..3u32), 0..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let book = Book::new().await;
            for (backup, what, good, bad) in steps {
                match what {
                    0 => book.start(backup, "a").await,
                    1 => book.commit(backup, "a", on(good, bad)).await,
                    2 => book.found(backup, EventKind::VERIFY, on(good, bad)).await,
                    3 => book.found(backup, EventKind::COPY_HEAL, on(good, bad)).await,
                    4 => book.plain(backup, EventKind::BACKUP_ABANDON).await,
                    5 => book.plain(backup, EventKind::DELETE_INTENT).await,
                    6 => book.plain(backup, EventKind::DELETE_CANCEL).await,
                    _ => book.plain(backup, EventKind::BACKUP_FAIL).await,
                }
            }
            let events: Vec<Event> =
                book.log.events(&Context::new(), 0).try_collect().await.unwrap();
            let mut state = CatalogState::default();
            for event in &events {
                let before = state.points.clone();
                state.apply(event).unwrap();
                for (old, new) in before.iter().zip(&state.points) {
                    assert!(old.state.may_become(new.state), "{:?} {:?}", old.state, new.state);
                    assert!(old.version.is_none() || old.version == new.version);
                }
            }
            assert_eq!(state.points, fold(&events).unwrap().points);
            let mut versions: Vec<_> =
                state.points.iter().filter_map(|point| point.version).collect();
            versions.sort_unstable();
            let expected: Vec<u64> = (1..=versions.len() as u64).collect();
            assert_eq!(versions, expected);
        });
    }
}
