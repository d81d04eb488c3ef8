//! From gateway to report, on both characters of the gateway in memory.

#![allow(clippy::unwrap_used, reason = "a failure here fails the test")]

mod common;

use std::sync::Arc;

use common::Bench;
use gwbackup_core::Repository;
use gwbackup_core::catalog::State;
use gwbackup_core::model::Resource;
use gwbackup_core::report::GoLive;
use gwbackup_core::restore::{ApplyOptions, RunStatus};
use gwbackup_core::testing::MemoryGateway;
use gwbackup_core::verify::Depth;

async fn backup(
    bench: &Bench,
    repository: &Repository,
    gateway: &MemoryGateway,
) -> gwbackup_core::backup::BackupReport {
    repository
        .backup(Arc::new(gateway.clone()))
        .application("shop")
        .environment("prod")
        .run(&bench.cx)
        .await
        .unwrap()
}

/// What a test of its own reads: keys and documents, without what moves by itself.
fn content(gateway: &MemoryGateway) -> Vec<(String, String)> {
    let rules = gateway.rules().clone();
    let text =
        |r: Resource| (r.key.to_string(), rules.comparable(&r, &[], &[]).as_str().to_owned());
    gateway.resources().into_iter().map(text).collect()
}

#[tokio::test]
async fn a_kong_like_gateway_is_lost_and_comes_back() {
    let bench = Bench::new(2).await;
    let gateway = MemoryGateway::kong_like();
    gateway.populate(1, 200);
    let before = content(&gateway);
    let repository = bench.open().await;
    let made = backup(&bench, &repository, &gateway).await;
    assert_eq!(made.status, State::Success);
    assert_eq!(made.resources, before.len() as u64);
    let verified = repository.verify().depth(Depth::Full).run(&bench.cx).await.unwrap();
    assert!(verified.failures.is_empty(), "{verified:?}");

    gateway.clear();
    let info = repository.find(&bench.cx, "latest").await.unwrap();
    let restore = repository.restore(&info, Arc::new(gateway.clone()));
    let prepared = restore.clone().plan(&bench.cx).await.unwrap();
    assert_eq!(prepared.plan().summary.create + prepared.plan().summary.unchanged, made.resources);
    let outcome = prepared.apply(&bench.cx, &ApplyOptions::default()).await.unwrap();
    assert_eq!(outcome.report.status, RunStatus::Success, "{:?}", outcome.report.failures);
    assert_eq!(outcome.report.verdict, GoLive::Go, "{:?}", outcome.report.reasons);
    assert_eq!(content(&gateway), before);
    let again = restore.plan(&bench.cx).await.unwrap();
    assert!(again.plan().is_empty(), "{:?}", again.plan().steps);
}

#[tokio::test]
async fn an_aws_like_gateway_is_restored_into_an_empty_one() {
    let bench = Bench::new(1).await;
    let gateway = MemoryGateway::aws_like().with_name("old");
    gateway.populate(1, 120);
    let repository = bench.open().await;
    let made = backup(&bench, &repository, &gateway).await;
    let empty = MemoryGateway::aws_like().with_name("new").with_seed(77);
    let info = repository.find(&bench.cx, "latest").await.unwrap();
    let restore = repository.restore(&info, Arc::new(empty.clone()));
    let prepared = restore.clone().plan(&bench.cx).await.unwrap();
    assert!(!prepared.plan().is_blocked(), "{:?}", prepared.plan().blocked);
    let outcome = prepared.apply(&bench.cx, &ApplyOptions::default()).await.unwrap();
    assert!(
        matches!(outcome.report.status, RunStatus::Success | RunStatus::Partial),
        "{:?}",
        outcome.report.failures
    );
    assert_eq!(outcome.report.compare.different, 0, "{:?}", outcome.report.compare.differences);
    let again = restore.plan(&bench.cx).await.unwrap();
    assert!(again.plan().is_empty(), "{:#?}", again.plan().steps);
    assert!(made.resources > 50);
}

#[tokio::test]
async fn what_names_no_gateway_is_refused_before_anything_is_written() {
    let bench = Bench::new(1).await;
    let repository = bench.open().await;
    let gateway = MemoryGateway::kong_like();
    let events = repository.events(&bench.cx).await.unwrap().len();
    let long = "x".repeat(61);
    for name in ["", " ", ".", "..", "../x", "a/b", "a\\b", "a\u{7}", " a", long.as_str()] {
        for (app, env) in [(name, "prod"), ("shop", name)] {
            let backup = repository.backup(Arc::new(gateway.clone()));
            let error = backup.application(app).environment(env).run(&bench.cx).await.unwrap_err();
            assert_eq!(error.kind(), gwbackup_core::ErrorKind::Invalid, "{name:?}");
            assert!(!error.to_string().chars().any(char::is_control));
        }
    }
    assert_eq!(repository.events(&bench.cx).await.unwrap().len(), events);
}
