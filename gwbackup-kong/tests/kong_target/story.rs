//! Half of a large configuration is there already, and every one of its writes goes wrong: with
//! `GWBACKUP_TEST_ALL` set, as the gates have it; else one in eight.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use gwbackup_core::ErrorKind;
use gwbackup_core::clock::Clock as _;
use gwbackup_core::plan::{Existing, Summary};
use gwbackup_core::restore::{ApplyOptions, RunStatus};
use gwbackup_kong::testing::Fault;

use crate::bench::{assert_same, at_write, importing, is_write, still, stride};
use crate::scene::{Scene, rolled_back, succeeded};

/// Creations and updates.
const PLAN: [usize; 3] = [200, 60, 0];
const WRITES: usize = 260;

#[tokio::test]
async fn each_policy_does_what_it_says() {
    let scene = Scene::half().await;
    let usual =
        Summary { create: 200, update: 60, unchanged: 140, foreign: 30, ..Summary::default() };
    for (policy, wanted) in [
        (Existing::Update, usual.clone()),
        // Kong changes everything in place: what is overwritten as a whole need not be deleted.
        (Existing::Replace, usual.clone()),
        (Existing::Adopt, usual.clone()),
        (Existing::Skip, Summary { update: 0, skipped: 60, ..usual.clone() }),
        (Existing::Fail, Summary { update: 0, blocked: 60, ..usual }),
    ] {
        let node = scene.drifted().await;
        let restore = scene.builder(&node).existing(policy);
        let prepared = restore.clone().plan(&scene.bench.cx).await.unwrap();
        assert_eq!(prepared.plan().summary, wanted, "{policy:?}");
        node.forget_calls();
        let applied = prepared.apply(&scene.bench.cx, &ApplyOptions::default()).await;
        let deleted = node.calls().iter().filter(|call| call.method == "DELETE").count();
        assert_eq!(deleted, 0, "{policy:?}");
        match policy {
            Existing::Fail => {
                assert_eq!(applied.unwrap_err().kind(), ErrorKind::Refused);
                assert_same(&node.state(), &scene.drifted, "nothing was written");
            }
            Existing::Skip => {
                assert_eq!(applied.unwrap().report.status, RunStatus::Success);
                assert_eq!(node.state()["services"][0]["retries"], 1, "it is left");
                assert_eq!(node.state()["routes"].len(), 120);
            }
            _ => {
                succeeded(&scene, &node, &applied.unwrap(), &format!("{policy:?}"));
                let again = scene.bench.plan(restore).await;
                assert!(again.plan().is_empty(), "{policy:?}: {:#?}", again.plan().steps);
            }
        }
    }
}

#[tokio::test]
async fn a_write_that_is_refused_for_good_turns_the_run_round() {
    let scene = Scene::half().await;
    assert_eq!(scene.undisturbed(PLAN).await, WRITES);
    for k in (1..=WRITES).step_by(stride()) {
        let node = scene.drifted().await;
        at_write(&node, k, |n| (n == 1).then_some(Fault::Status(403)));
        let outcome = scene.restore(&node).await;
        rolled_back(&scene, &node, &outcome, &format!("write {k}"));
    }
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_is_made_once() {
    let scene = Scene::half().await;
    for k in (1..=WRITES).step_by(stride()) {
        let node = scene.drifted().await;
        at_write(&node, k, |n| (n == 1).then_some(Fault::LoseAnswer));
        let outcome = scene.restore(&node).await;
        succeeded(&scene, &node, &outcome, &format!("write {k}"));
    }
}

/// From the `k`-th write on the node takes nothing for ten minutes.
#[tokio::test]
async fn ten_minutes_of_throttling_are_waited_out() {
    let scene = Scene::half().await;
    for k in (1..=WRITES).step_by(stride()) {
        let node = scene.drifted().await;
        let clock = scene.bench.clock.clone();
        let (mut writes, mut refused, mut end) = (0, 0, None);
        node.faults(move |asked| {
            writes += usize::from(is_write(asked.method, asked.path));
            if writes < k {
                return None;
            }
            let now = clock.now();
            let end = *end.get_or_insert(now + Duration::from_mins(10));
            refused += u32::from(now < end);
            assert!(now < end || refused > 1, "the pauses were shorter than asked for");
            (now < end).then_some(Fault::RetryAfter(429, 30))
        });
        let began = scene.bench.clock.now();
        let outcome = scene.restore(&node).await;
        succeeded(&scene, &node, &outcome, &format!("write {k}"));
        let lasted = scene.bench.clock.now().duration_since(began);
        assert!(lasted.as_mins() >= 10, "write {k}: {lasted}");
    }
}

/// The last write is refused, and so is one of those that undo the others.
#[tokio::test]
async fn a_roll_back_that_fails_says_what_is_left_and_is_finished_later() {
    let scene = Scene::half().await;
    let mut stuck = 0;
    for j in (1..WRITES).step_by(7) {
        let node = scene.drifted().await;
        let (mut writes, mut victim) = (0, None);
        node.faults(move |asked| {
            if !is_write(asked.method, asked.path) {
                return None;
            }
            writes += 1;
            if writes == WRITES + j {
                victim = Some(asked.path.to_owned());
            }
            let hit = writes == WRITES || victim.as_deref() == Some(asked.path);
            hit.then_some(Fault::Status(403))
        });
        let when = format!("write {j} back");
        let report = scene.restore(&node).await.report;
        assert_eq!(report.status, RunStatus::RollbackIncomplete, "{when}: {:?}", report.failures);
        let left: BTreeSet<String> =
            report.compare.differences.iter().map(|left| left.key.to_string()).collect();
        assert_eq!(left.len() as u64, report.compare.different, "{when}");
        // What could not be deleted may have gone with what it belongs to.
        let is_left = still(&node.state()) != still(&scene.drifted);
        assert_eq!(!left.is_empty(), is_left, "{when}: {left:?}");
        let named = report.failures.iter().any(|why| left.iter().any(|key| why.contains(key)));
        assert!(named || !is_left, "{when}: {:?} {left:?}", report.failures);
        stuck += u32::from(is_left);
        node.calm();
        let run = report.run.unwrap();
        let target = Arc::new(importing(&node));
        let repository = &scene.bench.repository;
        let options = ApplyOptions::default();
        let outcome = repository.resume(&scene.bench.cx, run, target, &options).await.unwrap();
        rolled_back(&scene, &node, &outcome, &when);
    }
    assert!(stuck >= 10, "{stuck}");
}
