//! A call fails, at every place of a long plan.

use std::sync::Arc;

use gwbackup_core::ErrorKind;
use gwbackup_core::clock::Clock as _;
use gwbackup_core::report::GoLive;
use gwbackup_core::repository::RestoreOutcome;
use gwbackup_core::restore::{ApplyOptions, RunStatus};
use gwbackup_kong::testing::{Fault, KongDouble};

use crate::bench::{at_write, importing};
use crate::scene::{Scene, rolled_back, succeeded};

/// At least so many creations, updates and deletions.
const PLAN: [usize; 3] = [15, 15, 15];

async fn every_write(
    step: usize,
    fault: impl Fn(u32) -> Option<Fault> + Send + Copy + 'static,
    check: impl Fn(&Scene, &KongDouble, &RestoreOutcome, &str),
) {
    let scene = Scene::recorded().await;
    let writes = scene.undisturbed(PLAN).await;
    assert!(writes >= 60, "{writes}");
    for k in (1..=writes).step_by(step) {
        let node = scene.drifted().await;
        at_write(&node, k, fault);
        let outcome = scene.restore(&node).await;
        check(&scene, &node, &outcome, &format!("write {k}"));
    }
}

#[tokio::test]
async fn a_refused_write_turns_the_run_round() {
    every_write(1, |n| (n == 1).then_some(Fault::Status(403)), rolled_back).await;
}

#[tokio::test]
async fn a_lost_answer_makes_nothing_twice() {
    every_write(1, |n| (n == 1).then_some(Fault::LoseAnswer), succeeded).await;
}

#[tokio::test]
async fn a_pause_is_kept_and_a_fault_that_passes_is_waited_out() {
    every_write(7, |n| (n == 1).then_some(Fault::RetryAfter(429, 3)), succeeded).await;
    every_write(7, |n| (n <= 4).then_some(Fault::Status(500)), succeeded).await;
}

#[tokio::test]
async fn every_way_to_refuse_ends_as_it_began() {
    for status in [400, 404, 405, 409, 413] {
        let scene = Scene::recorded().await;
        let node = scene.drifted().await;
        at_write(&node, 40, move |n| (n == 1).then_some(Fault::Status(status)));
        let outcome = scene.restore(&node).await;
        rolled_back(&scene, &node, &outcome, &format!("status {status}"));
    }
}

#[tokio::test]
async fn a_token_that_is_taken_away_leaves_a_run_that_can_be_carried_on() {
    let scene = Scene::recorded().await;
    let node = scene.drifted().await;
    at_write(&node, 30, |_| Some(Fault::Status(401)));
    let prepared = scene.bench.plan(scene.builder(&node)).await;
    let cx = &scene.bench.cx;
    let error = prepared.apply(cx, &ApplyOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{error:?}");
    node.calm();
    let run = scene.bench.run_of(&node).await;
    let (repository, target) = (&scene.bench.repository, Arc::new(importing(&node)));
    let outcome = repository.resume(cx, run, target, &ApplyOptions::default()).await.unwrap();
    succeeded(&scene, &node, &outcome, "resumed");
}

#[tokio::test]
async fn a_node_that_goes_away_leaves_a_run_that_can_be_carried_on() {
    let scene = Scene::recorded().await;
    let node = scene.drifted().await;
    at_write(&node, 30, |_| Some(Fault::GoAway));
    let began = scene.bench.clock.now();
    let outcome = scene.restore(&node).await;
    // Half a minute for each of those that wait side by side, since each moves the clock; of the
    // others none is tried.
    let waited = scene.bench.clock.now().duration_since(began);
    assert!(waited.as_mins() < 40, "{waited}");
    assert_eq!(outcome.report.status, RunStatus::RollbackIncomplete);
    assert_eq!(outcome.report.verdict, GoLive::NoGo);
    assert!(
        outcome.report.failures[0].contains("does not answer"),
        "{:?}",
        outcome.report.failures
    );
}

#[tokio::test]
async fn no_secret_is_told() {
    let scene = Scene::recorded().await;
    let node = scene.drifted().await;
    at_write(&node, 50, |n| (n == 1).then_some(Fault::Status(400)));
    let outcome = scene.restore(&node).await;
    let text = format!("{:?}", outcome.report);
    assert!(text.contains("the node refuses it"), "{text}");
    for (collection, member) in [("key-auths", "key"), ("basic-auths", "password")] {
        for credential in &scene.wanted[collection] {
            assert!(!text.contains(credential[member].as_str().unwrap()), "{collection}");
        }
    }
}
