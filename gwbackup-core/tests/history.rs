//! One resource over all backups, and what a linked history says of it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::Bench;
use futures_util::TryStreamExt as _;
use gwbackup_core::backup::{BackupReport, BackupType};
use gwbackup_core::clock::Timestamp;
use gwbackup_core::error::ErrorKind;
use gwbackup_core::history::{Asked, HistoryItem, HistoryLink, Linked, Missing, Presence};
use gwbackup_core::model::{Handles, Key, Kind};
use gwbackup_core::repository::{Became, LinkedResource, ResourceHistory};
use gwbackup_core::sink::{ObjectName, Sink as _};
use gwbackup_core::testing::conformance::{HistoryFixture, history_link};
use gwbackup_core::testing::{MemoryGateway, MemoryHistory};
use gwbackup_core::{Context, Repository};
use serde_json::json;

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

fn kind(name: &'static str) -> Kind {
    Kind::known(name)
}

/// A gateway, its backups, and a history that records consumers two minutes after each change.
struct Scene {
    bench: Bench,
    repository: Repository,
    gateway: MemoryGateway,
    link: MemoryHistory,
    key: Key,
}

impl Scene {
    async fn new() -> Self {
        let bench = Bench::new(1).await;
        let repository = bench.open().await;
        let gateway = MemoryGateway::kong_like();
        gateway.populate(1, 30);
        let link = MemoryHistory::new([kind("consumer")]);
        let key = gateway.create("consumer", None, Some("c-1"), &json!({ "username": "ann" }));
        let scene = Self { bench, repository, gateway, link, key: key.unwrap() };
        scene.happened(Presence::Present);
        scene
    }

    /// Something was done to the resource just now; later it is recorded. An hour passes.
    fn happened(&self, presence: Presence) {
        let captured = self.bench.cx.now() + 2 * MINUTE;
        self.link.record(&self.key, captured, presence);
        self.bench.clock.advance(HOUR);
    }

    fn change(&self, name: &str) {
        assert!(self.gateway.edit(|c| c.set(&self.key, "custom_id", &json!(name))));
        self.happened(Presence::Present);
    }

    async fn backup(&self, kind: BackupType) -> BackupReport {
        self.bench.clock.advance(MINUTE);
        let run = self.repository.backup(Arc::new(self.gateway.clone()));
        run.application("shop").environment("prod").kind(kind).run(&self.bench.cx).await.unwrap()
    }

    async fn history(&self) -> ResourceHistory {
        let look = self.repository.history(self.key.clone()).link(Arc::new(self.link.clone()));
        look.run(&self.bench.cx).await.unwrap()
    }

    async fn remove_manifest(&self, backup: &BackupReport) {
        let info = self.repository.find(&self.bench.cx, &backup.id.to_string()).await.unwrap();
        let archive = &info.manifest().archive.path;
        let name = format!("{}.manifest.0001.json", archive.strip_suffix(".gwb").unwrap());
        let name = ObjectName::new(&name).unwrap();
        self.bench.sinks[0].delete(&self.bench.cx, &name).await.unwrap();
    }
}

fn item(linked: Option<&Linked>) -> &HistoryItem {
    match linked {
        Some(Linked::Found { item: Some(item), .. }) => item,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_resource_is_followed_through_all_backups() {
    let scene = Scene::new().await;
    let mut made = vec![scene.backup(BackupType::Full).await];
    scene.change("a");
    made.push(scene.backup(BackupType::Incremental).await);
    // Another one changes: this one is the same.
    let other = scene.gateway.create("consumer", None, Some("c-2"), &json!({ "username": "bob" }));
    made.push(scene.backup(BackupType::Incremental).await);
    // Nothing changes at all.
    made.push(scene.backup(BackupType::Full).await);
    let thing = scene.gateway.resource(&scene.key).unwrap();
    scene.gateway.remove(&scene.key);
    scene.happened(Presence::Deleted);
    made.push(scene.backup(BackupType::Incremental).await);
    made.push(scene.backup(BackupType::Full).await);
    scene.gateway.put(&thing);
    scene.happened(Presence::Present);
    made.push(scene.backup(BackupType::Incremental).await);
    assert_eq!(made[1].kind, "incremental");

    let found = scene.history().await;
    assert_eq!(found.unread, []);
    let told: Vec<_> = found
        .versions
        .iter()
        .map(|v| (v.became, v.first.backup, v.last.backup, v.backups, v.resource.is_some()))
        .collect();
    let id = |n: usize| made[n].id;
    let wanted = [
        (Became::New, id(0), id(0), 1, true),
        (Became::Changed, id(1), id(3), 3, true),
        (Became::Gone, id(4), id(5), 2, false),
        (Became::New, id(6), id(6), 1, true),
    ];
    assert_eq!(told, wanted);
    let items: Vec<_> = found.versions.iter().map(|v| item(v.history.as_ref())).collect();
    let states: Vec<_> = items.iter().map(|i| (i.state.as_str(), i.presence)).collect();
    let [present, deleted] = [Presence::Present, Presence::Deleted];
    assert_eq!(states, [("1", present), ("2", present), ("3", deleted), ("4", present)]);
    let text = found.versions[1].resource.as_ref().unwrap().document.get();
    assert!(text.contains(r#""custom_id":"a""#), "{text}");
    let fields: Vec<_> = found.versions.iter().map(|v| v.changes.as_slice()).collect();
    let [[], [field], [], []] = &fields[..] else { panic!("{fields:?}") };
    assert_eq!((field.at.as_str(), field.to.as_deref()), ("/custom_id", Some(r#""a""#)));
    assert_eq!(scene.link.calls().len(), 1, "all versions in one call");

    // One that came later, alone.
    let later = scene.repository.history(other.unwrap()).run(&scene.bench.cx).await.unwrap();
    assert_eq!(later.versions.len(), 1);
    let only = &later.versions[0];
    assert_eq!((only.became, only.first.backup, only.backups), (Became::New, id(2), 5));
    assert!(only.history.is_none(), "no link was given");
}

#[tokio::test]
async fn a_change_right_before_a_backup_stands_in_the_next_item() {
    let scene = Scene::new().await;
    scene.backup(BackupType::Full).await;
    let captured = scene.bench.cx.now() + 2 * MINUTE;
    scene.gateway.edit(|c| c.set(&scene.key, "custom_id", &json!("hot")));
    scene.link.record(&scene.key, captured, Presence::Present);
    scene.backup(BackupType::Incremental).await;
    let found = scene.history().await;
    let Some(Linked::Found { item: Some(item), next: Some(next) }) = &found.versions[1].history
    else {
        panic!("{:?}", found.versions[1].history);
    };
    assert_eq!((item.state.as_str(), next.state.as_str()), ("1", "2"));
    assert_eq!(next.captured_at, captured);
}

#[tokio::test]
async fn what_cannot_be_read_is_named_and_concludes_nothing() {
    let scene = Scene::new().await;
    scene.backup(BackupType::Full).await;
    scene.change("a");
    let lost = scene.backup(BackupType::Full).await;
    let denied = scene.gateway.clone().with_denied("consumer");
    scene.bench.clock.advance(MINUTE);
    let run = scene.repository.backup(Arc::new(denied)).application("shop").environment("prod");
    let partial = run.kind(BackupType::Full).run(&scene.bench.cx).await.unwrap();
    scene.remove_manifest(&lost).await;

    let found = scene.history().await;
    let told: Vec<_> = found.versions.iter().map(|v| (v.became, v.backups)).collect();
    assert_eq!(told, [(Became::New, 1)], "an unread part is no absence");
    let unread: Vec<_> = found.unread.iter().map(|unread| unread.backup).collect();
    assert_eq!(unread, [lost.id, partial.id]);
    assert!(found.unread.iter().all(|unread| !unread.why.is_empty() && !unread.name.is_empty()));
}

#[tokio::test]
async fn what_no_backup_holds_is_not_found() {
    let scene = Scene::new().await;
    let only = scene.backup(BackupType::Full).await;
    let stranger = Key::new(kind("consumer"), gwbackup_core::model::Id::new("nobody").unwrap());
    let look = || scene.repository.history(stranger.clone()).link(Arc::new(scene.link.clone()));
    let error = look().run(&scene.bench.cx).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(error.subject(), Some("consumer/nobody"));
    assert!(error.advice().unwrap().contains("show"), "{error:?}");
    assert!(scene.link.calls().is_empty(), "there is nothing to ask");
    scene.remove_manifest(&only).await;
    let error = look().run(&scene.bench.cx).await.unwrap_err();
    assert!(error.advice().unwrap().contains("1 backups tell nothing"), "{error:?}");
}

#[tokio::test]
async fn what_holds_the_same_is_not_fetched_again() {
    let scene = Scene::new().await;
    scene.backup(BackupType::Full).await;
    let same = scene.backup(BackupType::Full).await;
    let info = scene.repository.find(&scene.bench.cx, &same.id.to_string()).await.unwrap();
    let archive = ObjectName::new(&info.manifest().archive.path).unwrap();
    scene.bench.sinks[0].delete(&scene.bench.cx, &archive).await.unwrap();
    scene.change("a");
    scene.backup(BackupType::Full).await;
    let found = scene.history().await;
    assert_eq!(found.unread, []);
    let told: Vec<_> = found.versions.iter().map(|v| (v.became, v.backups)).collect();
    assert_eq!(told, [(Became::New, 2), (Became::Changed, 1)]);
}

#[tokio::test]
async fn two_gateways_have_two_histories() {
    let scene = Scene::new().await;
    scene.backup(BackupType::Full).await;
    let other = MemoryGateway::kong_like().with_name("test");
    other.create("consumer", None, Some("c-1"), &json!({ "username": "ann" })).unwrap();
    let run = scene.repository.backup(Arc::new(other)).application("shop").environment("test");
    run.run(&scene.bench.cx).await.unwrap();
    scene.backup(BackupType::Full).await;
    let stages = |found: &ResourceHistory| -> Vec<_> {
        let of =
            |v: &gwbackup_core::repository::Version| (v.environment.clone(), v.became, v.backups);
        found.versions.iter().map(of).collect()
    };
    let prod = ("prod".to_owned(), Became::New, 2);
    let test = ("test".to_owned(), Became::New, 1);
    assert_eq!(stages(&scene.history().await), [prod, test.clone()]);
    let look = scene.repository.history(scene.key.clone()).gateway("shop", "test");
    assert_eq!(stages(&look.run(&scene.bench.cx).await.unwrap()), [test]);
}

#[tokio::test]
async fn a_link_that_fails_is_an_answer() {
    let scene = Scene::new().await;
    scene.backup(BackupType::Full).await;
    let info = scene.repository.find(&scene.bench.cx, "latest").await.unwrap();
    for failure in [ErrorKind::Unavailable, ErrorKind::Denied, ErrorKind::Unauthenticated] {
        scene.link.fail(failure);
        let found = scene.history().await;
        let nothing = |linked: &Linked| matches!(linked, Linked::Nothing { why: Missing::Failed, detail } if !detail.is_empty());
        assert!(nothing(found.versions[0].history.as_ref().unwrap()), "{found:?}");
        let all = linked(&scene, &info).await;
        assert!(!all.is_empty() && all.iter().all(|one| nothing(&one.history)));
    }
    // A kind that is not recorded is not asked for.
    let calls = scene.link.calls().len();
    let credential =
        scene.gateway.resources().into_iter().find(|r| r.key.kind == kind("credential"));
    let look = scene.repository.history(credential.unwrap().key).link(Arc::new(scene.link.clone()));
    let found = look.run(&scene.bench.cx).await.unwrap();
    let Some(Linked::Nothing { why: Missing::Kind, .. }) = found.versions[0].history else {
        panic!("{found:?}");
    };
    assert_eq!(scene.link.calls().len(), calls);
}

async fn linked(
    scene: &Scene,
    backup: &gwbackup_core::repository::BackupInfo,
) -> Vec<LinkedResource> {
    let link = Arc::new(scene.link.clone());
    let found = scene.repository.linked(&scene.bench.cx, backup, &[], link).await.unwrap();
    found.try_collect().await.unwrap()
}

#[tokio::test]
async fn all_links_of_a_backup_are_found_in_batches() {
    let scene = Scene::new().await;
    for n in 0..150 {
        let id = format!("many-{n:03}");
        scene.gateway.create("consumer", None, Some(&id), &json!({ "username": id })).unwrap();
    }
    scene.backup(BackupType::Full).await;
    let info = scene.repository.find(&scene.bench.cx, "latest").await.unwrap();
    let found = linked(&scene, &info).await;
    let consumers: Vec<Key> = scene.gateway.resources().into_iter().map(|r| r.key).collect();
    let consumers: Vec<&Key> = consumers.iter().filter(|k| k.kind == kind("consumer")).collect();
    assert_eq!(found.iter().map(|one| &one.key).collect::<Vec<_>>(), consumers);
    let known: Vec<_> = found.iter().filter(|one| one.key == scene.key).collect();
    assert_eq!(item(Some(&known[0].history)).state, "1");
    let sizes: Vec<usize> = scene.link.calls().iter().map(Vec::len).collect();
    assert_eq!(sizes.iter().sum::<usize>(), consumers.len());
    assert!(sizes.len() > 2 && sizes.iter().all(|size| *size <= 64), "{sizes:?}");
    let at = scene.link.calls()[0][0].1;
    assert_eq!(at, info.manifest().ended_at);
}

#[tokio::test]
async fn a_link_is_never_told_a_secret() {
    let scene = Scene::new().await;
    let link = MemoryHistory::new([kind("credential")]);
    let told = Told { inner: link, documents: std::sync::Mutex::default() };
    let told = Arc::new(told);
    scene.backup(BackupType::Full).await;
    let info = scene.repository.find(&scene.bench.cx, "latest").await.unwrap();
    let found = scene.repository.linked(&scene.bench.cx, &info, &[], Arc::clone(&told) as _).await;
    let found: Vec<LinkedResource> = found.unwrap().try_collect().await.unwrap();
    let look = scene.repository.history(found[0].key.clone()).link(Arc::clone(&told) as _);
    let versions = look.run(&scene.bench.cx).await.unwrap();
    let shown = versions.versions[0].resource.as_ref().unwrap().document.get().to_owned();
    let mut documents = told.documents.lock().unwrap().clone();
    documents.push(shown);
    let secrets = scene.gateway.resources().into_iter().flat_map(|resource| {
        let places: Vec<String> = resource.marks.iter().map(|m| m.at.pointer.clone()).collect();
        let value: serde_json::Value = serde_json::from_str(resource.document.as_str()).unwrap();
        let texts = places.iter().filter_map(|at| value.pointer(at)?.as_str().map(str::to_owned));
        texts.collect::<Vec<_>>()
    });
    let secrets: Vec<String> = secrets.filter(|secret| secret.len() > 5).collect();
    assert!(!secrets.is_empty() && documents.len() >= 3);
    for document in documents {
        assert!(!secrets.iter().any(|secret| document.contains(secret)), "{document}");
    }
}

/// Keeps what it is told.
#[derive(Debug)]
struct Told {
    inner: MemoryHistory,
    documents: std::sync::Mutex<Vec<String>>,
}

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait::async_trait]
impl HistoryLink for Told {
    fn records(&self, kind: &Kind) -> bool {
        self.inner.records(kind)
    }

    async fn find(&self, cx: &Context, asked: &[Asked]) -> gwbackup_core::Result<Vec<Linked>> {
        let both = asked.iter().flat_map(|one| one.parent.iter().chain([&one.resource]));
        let texts = both.map(|resource| resource.document.as_str().to_owned());
        self.documents.lock().unwrap().extend(texts);
        self.inner.find(cx, asked).await
    }
}

// ---- the suite ----

fn times() -> Vec<Timestamp> {
    let first: Timestamp = "2026-11-01T12:00:00Z".parse().unwrap();
    (0..4).map(|day| first + Duration::from_hours(24 * day)).collect()
}

/// Runs the suite over a link that `wrap` makes of a true one.
async fn suite(wrap: impl Fn(MemoryHistory) -> Arc<dyn HistoryLink>) {
    let gateway = MemoryGateway::kong_like();
    let asked = |id: &str| {
        let key = gateway.create("consumer", None, Some(id), &json!({ "username": id })).unwrap();
        let (resource, gateway) = (gateway.resource(&key).unwrap(), Handles::new());
        Asked { resource, parent: None, gateway, at: "2026-10-01T12:00:00Z".parse().unwrap() }
    };
    let (known, stranger) = (asked("ann"), asked("bob"));
    let link = MemoryHistory::new([kind("consumer")]);
    let captured = times();
    for (n, moment) in captured.iter().enumerate() {
        let is_last = n + 1 == captured.len();
        let presence = if is_last { Presence::Deleted } else { Presence::Present };
        link.record(&known.resource.key, *moment, presence);
    }
    let link = wrap(link);
    let unrecorded = kind("route");
    let fixture = HistoryFixture { link: link.as_ref(), known, captured, stranger, unrecorded };
    history_link(&fixture).await;
}

#[tokio::test]
async fn the_history_in_memory_keeps_the_promises_of_a_link() {
    suite(|link| Arc::new(link)).await;
}

#[derive(Debug, Clone, Copy)]
enum Lie {
    EveryKind,
    OneStateForAll,
    NeverDeleted,
    LosesAnswers,
    Sorts,
    FromTheFuture,
    KnowsStrangers,
    DeafToCancellation,
    NoNext,
}

#[derive(Debug)]
struct Liar(MemoryHistory, Lie);

impl std::fmt::Display for Liar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

#[async_trait::async_trait]
impl HistoryLink for Liar {
    fn records(&self, kind: &Kind) -> bool {
        matches!(self.1, Lie::EveryKind) || self.0.records(kind)
    }

    async fn find(&self, cx: &Context, asked: &[Asked]) -> gwbackup_core::Result<Vec<Linked>> {
        let mut asked = asked.to_vec();
        let cx = if matches!(self.1, Lie::DeafToCancellation) { &cx.uncancelled() } else { cx };
        match self.1 {
            Lie::Sorts => asked.sort_by_key(|one| one.at),
            Lie::FromTheFuture => asked.iter_mut().for_each(|one| one.at += 7 * HOUR),
            Lie::KnowsStrangers => {
                if let [first, others @ ..] = &mut asked[..] {
                    for one in others {
                        one.resource.clone_from(&first.resource);
                    }
                }
            }
            _ => {}
        }
        let mut found = self.0.find(cx, &asked).await?;
        if matches!(self.1, Lie::LosesAnswers) {
            found.dedup();
            found.truncate(4);
        }
        for linked in &mut found {
            let Linked::Found { item, next } = linked else { continue };
            match (self.1, item.as_mut()) {
                (Lie::OneStateForAll, Some(item)) => "same".clone_into(&mut item.state),
                (Lie::NeverDeleted, Some(item)) => item.presence = Presence::Present,
                (Lie::NoNext, None) => *linked = Linked::nothing(Missing::Moment, "later"),
                (Lie::NoNext, _) => *next = None,
                _ => {}
            }
        }
        Ok(found)
    }
}

#[tokio::test]
async fn the_suite_sees_every_broken_promise() {
    for lie in [
        Lie::EveryKind,
        Lie::OneStateForAll,
        Lie::NeverDeleted,
        Lie::LosesAnswers,
        Lie::Sorts,
        Lie::FromTheFuture,
        Lie::KnowsStrangers,
        Lie::DeafToCancellation,
        Lie::NoNext,
    ] {
        let run = tokio::spawn(suite(move |link| Arc::new(Liar(link, lie))));
        assert!(run.await.is_err_and(|e| e.is_panic()), "{lie:?} was not seen");
    }
}
