//! A backup dies at every single call to a copy, or loses that call's answer.

#![allow(
    clippy::unwrap_used,
    clippy::case_sensitive_file_extension_comparisons,
    clippy::similar_names,
    reason = "a test fails by panicking, and names are our own"
)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use common::{Bench, look};
use gwbackup_core::backup::{BackupReport, BackupType};
use gwbackup_core::catalog::State;
use gwbackup_core::repository::BackupInfo;
use gwbackup_core::sink::Sink;
use gwbackup_core::testing::{Fault, Faults, FaultySink, MemoryGateway};
use gwbackup_core::verify::Depth;
use gwbackup_core::{ErrorKind, Repository, Result};

/// Longer than a deadline and the grace after it.
const LONG: Duration = Duration::from_hours(31);

async fn take(
    bench: &Bench,
    repository: &Repository,
    gateway: &MemoryGateway,
    kind: BackupType,
) -> Result<BackupReport> {
    let backup = repository.backup(Arc::new(gateway.clone())).application("shop");
    backup.environment("prod").kind(kind).run(&bench.cx).await
}

/// Every backup that is listed is whole wherever the log says so, and holds what it should.
async fn listed_is_whole(bench: &Bench, repository: &Repository) -> Vec<BackupInfo> {
    let list = repository.list(&bench.cx).await.unwrap();
    for info in &list {
        let report =
            repository.verify().backup(info).depth(Depth::Full).run(&bench.cx).await.unwrap();
        let bad = info.point().facts.copies.iter().filter(|copy| !copy.ok).count();
        assert!(report.failures.len() <= bad, "{:?} {:?}", info.point(), report.failures);
        look::backup(&bench.cx, repository, info).await.unwrap();
    }
    list
}

/// Strikes the `n`th call of a backup; false when it made fewer calls.
async fn strike(copies: usize, n: u64, kind: BackupType, fault: Fault) -> bool {
    let bench = Bench::new(copies).await;
    let gateway = MemoryGateway::kong_like();
    gateway.populate(1, 12);
    let first = take(&bench, &bench.open().await, &gateway, BackupType::Full).await.unwrap();
    gateway.populate(2, 5);

    // Calls are counted from the moment the repository is open.
    let from = Arc::new(AtomicU64::new(u64::MAX));
    let faults = Faults::when({
        let from = Arc::clone(&from);
        move |call| {
            let at = call.number.checked_sub(from.load(Ordering::SeqCst))?;
            let hit = if fault == Fault::LoseAnswer { at == n } else { at >= n };
            hit.then_some(fault)
        }
    });
    let sink = |sink| Arc::new(FaultySink::new(Arc::new(sink), faults.clone())) as Arc<dyn Sink>;
    let struck = bench.open_with(sink).await.unwrap();
    from.store(faults.calls(), Ordering::SeqCst);
    let start = faults.calls();
    let made = take(&bench, &struck, &gateway, kind).await;
    let reached = faults.calls() - start >= n;
    drop(struck);

    let repository = bench.open().await;
    assert!(repository.warnings().is_empty(), "call {n}: {:?}", repository.warnings());
    let list = listed_is_whole(&bench, &repository).await;
    assert!(list.iter().any(|info| info.id() == first.id), "call {n}");
    if let Ok(made) = &made {
        let info = list.iter().find(|info| info.id() == made.id);
        let info = info.unwrap_or_else(|| panic!("call {n}: reported and not listed"));
        assert_eq!(
            look::backup(&bench.cx, &repository, info).await.unwrap(),
            look::gateway(&gateway),
            "call {n}"
        );
    }
    for state in repository.status(&bench.cx).await.unwrap().backups.keys() {
        assert!(["Success", "Partial", "Started", "Failed"].contains(&state.as_str()));
    }

    let again = take(&bench, &repository, &gateway, kind).await.unwrap();
    assert_eq!(again.status, State::Success, "call {n}: {:?}", again.copies);

    bench.clock.advance(LONG);
    let repository = bench.open().await;
    let list = listed_is_whole(&bench, &repository).await;
    for sink in &bench.sinks {
        let left = look::left_over(&bench.cx, sink, &list).await;
        assert!(left.is_empty(), "call {n}: {left:?}");
    }
    // Opening tidies up once, and then has nothing more to say.
    let events = repository.events(&bench.cx).await.unwrap().len();
    let repository = bench.open().await;
    assert_eq!(repository.events(&bench.cx).await.unwrap().len(), events, "call {n}");
    reached
}

async fn everywhere(copies: usize, kind: BackupType, fault: Fault) {
    let mut n = 1;
    while strike(copies, n, kind, fault).await {
        n += 1;
    }
    assert!(n > 10, "a backup makes more calls than {n}");
}

const DEAD: Fault = Fault::Fail(ErrorKind::Unavailable);

#[tokio::test]
async fn one_copy_dies() {
    everywhere(1, BackupType::Auto, DEAD).await;
}

#[tokio::test]
async fn two_copies_die() {
    everywhere(2, BackupType::Full, DEAD).await;
}

#[tokio::test]
async fn one_copy_loses_an_answer() {
    everywhere(1, BackupType::Full, Fault::LoseAnswer).await;
}

#[tokio::test]
async fn two_copies_lose_an_answer() {
    everywhere(2, BackupType::Auto, Fault::LoseAnswer).await;
}

#[tokio::test]
async fn a_denied_copy_ends_a_backup_cleanly() {
    everywhere(1, BackupType::Full, Fault::Fail(ErrorKind::Denied)).await;
}

/// A sink on which one kind of call to names with this beginning fails.
fn without(sink: impl Sink, operation: &'static str, beginning: &'static str) -> Arc<dyn Sink> {
    let rule = Faults::when(move |call| {
        (call.operation == operation && call.subject.starts_with(beginning)).then_some(DEAD)
    });
    Arc::new(FaultySink::new(Arc::new(sink), rule))
}

#[tokio::test]
async fn a_copy_that_takes_nothing_makes_the_backup_partial() {
    let bench = Bench::new(2).await;
    let gateway = MemoryGateway::kong_like();
    gateway.populate(1, 12);
    let second = std::sync::atomic::AtomicBool::new(false);
    let repository = bench
        .open_with(|sink| {
            let beginning = if second.swap(true, Ordering::SeqCst) { "data/" } else { "nothing/" };
            without(sink, "put", beginning)
        })
        .await
        .unwrap();
    let made = take(&bench, &repository, &gateway, BackupType::Full).await.unwrap();
    assert_eq!(made.status, State::Partial);
    assert_eq!(made.copies.iter().map(|copy| copy.ok).collect::<Vec<_>>(), [true, false]);
    let info = repository.find(&bench.cx, "latest").await.unwrap();
    assert_eq!(info.state(bench.cx.clock().now()), State::Partial);
    let report = repository.verify().run(&bench.cx).await.unwrap();
    assert_eq!(report.failures.len(), 1, "{:?}", report.failures);
    assert_eq!(report.failures[0].kind, "missing");
    // The next opening brings the copy what it did not take.
    let repository = bench.open().await;
    let info = repository.find(&bench.cx, "latest").await.unwrap();
    assert_eq!(info.state(bench.cx.clock().now()), State::Success);
    let report = repository.verify().run(&bench.cx).await.unwrap();
    assert!(report.failures.is_empty(), "{:?}", report.failures);
}

#[tokio::test]
async fn a_manifest_without_its_event_is_committed_at_the_next_opening() {
    for copies in [1, 2] {
        let bench = Bench::new(copies).await;
        let gateway = MemoryGateway::kong_like();
        gateway.populate(1, 12);
        // From the moment a manifest is written nothing else can be.
        let after = Arc::new(AtomicU64::new(0));
        let repository = bench
            .open_with(|sink| {
                let after = Arc::clone(&after);
                let rule = Faults::when(move |call| {
                    let seen = after.load(Ordering::SeqCst) > 0;
                    if call.operation == "put" && call.subject.contains(".manifest.") {
                        after.fetch_add(1, Ordering::SeqCst);
                        return None;
                    }
                    (seen && call.operation == "put").then_some(DEAD)
                });
                Arc::new(FaultySink::new(Arc::new(sink), rule))
            })
            .await
            .unwrap();
        take(&bench, &repository, &gateway, BackupType::Full).await.unwrap_err();
        if copies == 2 {
            // The other copy never got it.
            let all = look::objects(&bench.cx, &bench.sinks[1]).await;
            let name = all.keys().find(|name| name.contains(".manifest.")).unwrap();
            let name = gwbackup_core::sink::ObjectName::new(name).unwrap();
            bench.sinks[1].delete(&bench.cx, &name).await.unwrap();
        }
        let repository = bench.open().await;
        let list = listed_is_whole(&bench, &repository).await;
        assert_eq!(list.len(), 1);
        assert_eq!(list[0].state(bench.cx.clock().now()), State::Success);
        assert_eq!(
            look::backup(&bench.cx, &repository, &list[0]).await.unwrap(),
            look::gateway(&gateway)
        );
        let commits = repository.events(&bench.cx).await.unwrap();
        let commits = commits.iter().filter(|e| e.kind.as_str() == "backup.commit").count();
        assert_eq!(commits, 1);
    }
}

#[tokio::test]
async fn while_the_home_is_away_a_backup_commits_and_waits_for_its_number() {
    let bench = Bench::new(2).await;
    let gateway = MemoryGateway::kong_like();
    gateway.populate(1, 12);
    let home = std::sync::atomic::AtomicBool::new(true);
    let repository = bench
        .open_with(|sink| {
            let rule = if home.swap(false, Ordering::SeqCst) {
                Faults::when(|_| Some(DEAD))
            } else {
                Faults::none()
            };
            Arc::new(FaultySink::new(Arc::new(sink), rule))
        })
        .await
        .unwrap();
    let made = take(&bench, &repository, &gateway, BackupType::Full).await.unwrap();
    assert_eq!((made.status, made.version), (State::Partial, None));
    assert!(repository.list(&bench.cx).await.unwrap().is_empty(), "it has no event yet");
    let waiting = look::objects(&bench.cx, &bench.sinks[1]).await;
    assert_eq!(waiting.keys().filter(|name| name.starts_with("pending/")).count(), 2);

    let repository = bench.open().await;
    let list = listed_is_whole(&bench, &repository).await;
    assert_eq!(list.len(), 1);
    assert_eq!(list[0].point().version, Some(1));
    for sink in &bench.sinks {
        let names = look::objects(&bench.cx, sink).await;
        assert!(!names.keys().any(|name| name.starts_with("pending/")));
    }
}

#[tokio::test]
async fn a_writer_that_was_given_up_commits_nothing() {
    let bench = Bench::new(1).await;
    let gateway = MemoryGateway::kong_like();
    gateway.populate(1, 12);
    // The writer sleeps while its archive is read back, until somebody has cleared it away.
    let clock = bench.clock.clone();
    let slept = Arc::new(AtomicU64::new(0));
    let repository = bench
        .open_with(|sink| {
            let (clock, slept) = (clock.clone(), Arc::clone(&slept));
            let rule = Faults::when(move |call| {
                let archive = call.operation == "get" && call.subject.ends_with(".gwb");
                if archive && slept.fetch_add(1, Ordering::SeqCst) == 0 {
                    clock.advance(LONG);
                }
                None
            });
            Arc::new(FaultySink::new(Arc::new(sink), rule))
        })
        .await
        .unwrap();
    let error = take(&bench, &repository, &gateway, BackupType::Full).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    bench.clock.advance(LONG);
    let repository = bench.open().await;
    assert!(repository.list(&bench.cx).await.unwrap().is_empty());
    assert!(look::left_over(&bench.cx, &bench.sinks[0], &[]).await.is_empty());
}
