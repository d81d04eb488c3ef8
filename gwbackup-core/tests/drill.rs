//! Rehearsals: of random points, of a target that must not be touched, of what comes of them.

#![allow(clippy::unwrap_used, reason = "a failure here fails the test")]

mod common;
#[path = "common/page.rs"]
mod page;
#[path = "common/scenario.rs"]
mod scenario;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use common::Bench;
use gwbackup_core::catalog::{DrillVerdict, EventKind, EventOutcome};
use gwbackup_core::drill::{CleanUp, DrillReport};
use gwbackup_core::model::{Finding, Verdict};
use gwbackup_core::policy::{Drills, Objectives, Policy};
use gwbackup_core::restore::{ApplyOptions, RunStatus};
use gwbackup_core::target::{Check, Target};
use gwbackup_core::testing::MemoryGateway;
use gwbackup_core::{Context, Copy, ErrorKind, Repository, Result};
use page::look_at;
use scenario::{Character, of_kind, options};
use serde_json::json;

const MONTH: Duration = Duration::from_hours(30 * 24);

fn scratch() -> MemoryGateway {
    MemoryGateway::kong_like().with_name("scratch")
}

async fn open(bench: &Bench, policy: Policy) -> Repository {
    Repository::builder()
        .copy(Copy::new(Arc::new(bench.sinks[0].clone())))
        .key(Arc::clone(&bench.key) as _)
        .state(bench.directory.path().join("state"))
        .policy(policy)
        .open(&bench.cx)
        .await
        .unwrap()
}

/// A repository with so many backups of one gateway, an hour apart, each of another state.
async fn with_backups(bench: &Bench, count: u16) -> MemoryGateway {
    let repository = open(bench, Policy::default()).await;
    let gateway = MemoryGateway::kong_like().with_name("prod");
    gateway.populate(1, 12);
    let service = of_kind(&gateway, "service").remove(0).key;
    for n in 0..count {
        gateway.edit(|contents| contents.set(&service, "port", &json!(1000 + n)));
        let backup = repository.backup(Arc::new(gateway.clone()));
        backup.application("shop").environment("prod").run(&bench.cx).await.unwrap();
        bench.clock.advance(Duration::from_hours(1));
    }
    gateway
}

/// What counts of a drill when two are held against each other.
fn essence(report: &DrillReport) -> (uuid::Uuid, DrillVerdict, CleanUp, u64, u64) {
    let compare = &report.restore.as_ref().unwrap().compare;
    // Whether the server gives a set in the same order is its own affair.
    let same = compare.equal + compare.ignorable;
    (report.backup, report.verdict, report.clean_up, same, compare.different)
}

#[tokio::test]
async fn twenty_drills_under_the_same_seeds_give_the_same_points_and_verdicts() {
    let bench = Bench::new(1).await;
    with_backups(&bench, 12).await;
    let repository = open(&bench, Policy::default()).await;
    let mut series = Vec::new();
    for _ in 0..2 {
        let mut found = Vec::new();
        for seed in 0..20 {
            let target = scratch();
            let drill = repository.drill(Arc::new(target.clone())).random(seed, MONTH);
            let report = drill.options(options()).run(&bench.cx).await.unwrap();
            assert_eq!(report.verdict, DrillVerdict::Pass, "{:?}", report.findings);
            assert!(of_kind(&target, "service").is_empty(), "something is left");
            found.push(essence(&report));
        }
        series.push(found);
    }
    assert_eq!(series[0], series[1]);
    let points: std::collections::BTreeSet<_> = series[0].iter().map(|one| one.0).collect();
    assert!(points.len() > 5, "{points:?}");
    let events = repository.events(&bench.cx).await.unwrap();
    let drills: Vec<_> = events.iter().filter(|e| e.kind == EventKind::DRILL).collect();
    assert_eq!(drills.len(), 40);
    assert!(drills.iter().all(|e| e.outcome == EventOutcome::Success));
    assert!(repository.audit(&bench.cx).await.unwrap().ok);
}

#[tokio::test]
async fn a_drill_measures_and_reports() {
    let bench = Bench::new(1).await;
    with_backups(&bench, 3).await;
    let rpo = Some("30m".parse().unwrap());
    let objectives = Objectives { rpo, rto: Some("1h".parse().unwrap()) };
    let every = Some("30d".parse().unwrap());
    let drills = Drills { every, ..Drills::default() };
    let policy = Policy { objectives, drills, ..Policy::default() };
    let repository = open(&bench, policy).await;
    let report = repository.drill(Arc::new(scratch())).run(&bench.cx).await.unwrap();
    // The newest was taken an hour ago, and half an hour is promised.
    assert_eq!(report.verdict, DrillVerdict::PassWithFindings, "{:?}", report.findings);
    assert_eq!((report.rpo_seconds, report.rto_seconds), (3600, Some(0)));
    assert!(report.findings[0].contains("30m are promised"), "{:?}", report.findings);
    assert_eq!(report.selection.candidates, 3);
    assert_eq!(report.next_due.unwrap(), report.ended_at + jiff::SignedDuration::from_hours(720));
    let shown = look_at(&report.to_html());
    for word in ["Pass with findings", "the newest", "1 h 0 min", "the target is as it was before"]
    {
        assert!(shown.contains(word), "{word} is not in {shown}");
    }
    assert!(report.to_markdown().starts_with("# Restore test: Pass with findings"));
    let status = repository.status(&bench.cx).await.unwrap();
    let standing = &status.drills["shop/prod"];
    assert_eq!(standing.last.as_ref().unwrap().drill, report.drill);
    assert!(!standing.overdue && standing.passed == Some(report.ended_at));
    bench.clock.advance(MONTH + Duration::from_secs(1));
    let status = repository.status(&bench.cx).await.unwrap();
    assert!(status.drills["shop/prod"].overdue);
    assert!(status.warnings.iter().any(|w| w.contains("drill of shop/prod is overdue")));
}

#[tokio::test]
async fn a_target_that_is_in_use_is_refused_before_anything_is_written() {
    let bench = Bench::new(1).await;
    let origin = with_backups(&bench, 1).await;
    let repository = open(&bench, Policy::default()).await;
    let writes = origin.writes().len();
    let error = repository.drill(Arc::new(origin.clone())).run(&bench.cx).await.unwrap_err();
    assert_eq!((error.kind(), origin.writes().len()), (ErrorKind::Refused, writes), "{error}");
    assert!(error.to_string().contains("backed up here"), "{error}");

    let other = Character::Kong.drifted("other");
    let (before, writes) = (scenario::structure(&other, Character::Kong), other.writes().len());
    let error = repository.drill(Arc::new(other.clone())).run(&bench.cx).await.unwrap_err();
    assert_eq!((error.kind(), other.writes().len()), (ErrorKind::Refused, writes), "{error}");
    let drill = repository.drill(Arc::new(other.clone())).onto_occupied().options(options());
    let report = drill.run(&bench.cx).await.unwrap();
    assert_eq!(report.clean_up, CleanUp::Done, "{:?}", report.left);
    assert_eq!(scenario::structure(&other, Character::Kong), before);
    let none = repository.drill(Arc::new(scratch())).gateway("shop", "test").run(&bench.cx).await;
    assert_eq!(none.unwrap_err().kind(), ErrorKind::NotFound);
}

/// A test that finds a fault.
#[derive(Debug)]
struct Finds;

#[async_trait]
impl Check for Finds {
    async fn run(&self, _cx: &Context, _target: &dyn Target) -> Result<Vec<Finding>> {
        Ok(vec![Finding::new("key-auth", Verdict::Failed, "lets everybody in")])
    }
}

#[tokio::test]
async fn a_drill_that_fails_forbids_the_restore_that_demands_one_and_one_that_passes_allows_it() {
    let bench = Bench::new(1).await;
    let origin = with_backups(&bench, 1).await;
    let drills = Drills { every: None, required_for: vec!["prod".into()] };
    let repository = open(&bench, Policy { drills, ..Policy::default() }).await;
    let backup = repository.find(&bench.cx, "latest").await.unwrap();
    let service = of_kind(&origin, "service").remove(0).key;
    origin.edit(|contents| contents.set(&service, "port", &json!(7)));
    let restore = async |accept_undrilled: bool| {
        let backup = repository.find(&bench.cx, &backup.id().to_string()).await.unwrap();
        let restore = repository.restore(&backup, Arc::new(origin.clone()));
        let options = ApplyOptions { accept_undrilled, ..options() };
        restore.plan(&bench.cx).await.unwrap().apply(&bench.cx, &options).await
    };
    assert_eq!(restore(false).await.unwrap_err().kind(), ErrorKind::Refused);
    let drill = || repository.drill(Arc::new(scratch()));
    let report = drill().options(options().check(Arc::new(Finds))).run(&bench.cx).await.unwrap();
    assert_eq!(report.verdict, DrillVerdict::Fail);
    assert!(report.findings[0].contains("lets everybody in"), "{:?}", report.findings);
    assert_eq!(report.clean_up, CleanUp::Done, "also a failed one is taken away");
    let error = restore(false).await.unwrap_err();
    assert!(error.to_string().contains("no drill"), "{error}");
    assert_eq!(drill().run(&bench.cx).await.unwrap().verdict, DrillVerdict::Pass);
    assert_eq!(restore(false).await.unwrap().report.status, RunStatus::Success);
    origin.edit(|contents| contents.set(&service, "port", &json!(8)));
    assert_eq!(restore(true).await.unwrap().report.status, RunStatus::Success);
}

#[tokio::test]
async fn what_is_left_is_named() {
    let bench = Bench::new(1).await;
    with_backups(&bench, 1).await;
    let repository = open(&bench, Policy::default()).await;
    let target = scratch();
    let report = repository.drill(Arc::new(target.clone())).keep().run(&bench.cx).await.unwrap();
    assert_eq!((report.verdict, report.clean_up), (DrillVerdict::Pass, CleanUp::Kept));
    assert!(!of_kind(&target, "service").is_empty());
}
