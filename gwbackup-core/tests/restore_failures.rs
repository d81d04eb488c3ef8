//! A step fails, at every place of a long plan.

#![allow(clippy::unwrap_used, reason = "a failure here fails the test")]

mod common;
#[path = "common/scenario.rs"]
mod scenario;

use std::sync::{Arc, Mutex};

use gwbackup_core::ErrorKind;
use gwbackup_core::repository::RestoreOutcome;
use gwbackup_core::restore::RunStatus;
use gwbackup_core::testing::{Fault, Faults, FaultyTarget, MemoryGateway};
use scenario::{Character, Scene, assert_same, options};

/// Which steps were begun, in order of their first attempt; and how often each was tried.
#[derive(Debug, Default)]
struct Steps(Vec<(String, u32)>);

impl Steps {
    /// The step's number, from 1, and the attempt's.
    fn count(&mut self, token: &str) -> (usize, u32) {
        if let Some(at) = self.0.iter().position(|(own, _)| own == token) {
            self.0[at].1 += 1;
            return (at + 1, self.0[at].1);
        }
        self.0.push((token.to_owned(), 1));
        (self.0.len(), 1)
    }
}

/// Faults on the `k`-th step: what each of its attempts meets.
fn at_step(
    k: usize,
    attempt: impl Fn(u32) -> Option<Fault> + Send + 'static,
) -> (Faults, Arc<Mutex<Steps>>) {
    let steps = Arc::new(Mutex::new(Steps::default()));
    let own = Arc::clone(&steps);
    let faults = Faults::when(move |call| {
        if call.operation != "apply" {
            return None;
        }
        let (step, n) = own.lock().unwrap().count(call.subject);
        if step == k { attempt(n) } else { None }
    });
    (faults, steps)
}

async fn run_with(scene: &Scene, name: &str, faults: Faults) -> (MemoryGateway, RestoreOutcome) {
    let gateway = scene.character.drifted(name);
    let target = Arc::new(FaultyTarget::new(Arc::new(gateway.clone()), faults));
    let prepared = scene.restore(target).await.plan(&scene.bench.cx).await.unwrap();
    assert!(
        !prepared.plan().is_blocked(),
        "{:?} {:?}",
        prepared.plan().blocked,
        prepared.plan().findings
    );
    let outcome = prepared.apply(&scene.bench.cx, &options()).await.unwrap();
    (gateway, outcome)
}

/// How many steps the plan has; checks that it is a plan worth breaking.
async fn undisturbed(scene: &Scene) -> usize {
    let (faults, steps) = at_step(0, |_| None);
    let gateway = scene.character.drifted("undisturbed");
    let target = Arc::new(FaultyTarget::new(Arc::new(gateway.clone()), faults));
    let restore = scene.restore(target).await;
    let prepared = restore.clone().plan(&scene.bench.cx).await.unwrap();
    let summary = prepared.plan().summary.clone();
    assert!(summary.create > 10 && summary.update > 10 && summary.delete > 10, "{summary:?}");
    assert!(summary.writes() >= 60, "{summary:?}");
    assert!(!scene.character.is_aws() || summary.replace >= 2, "{summary:?}");
    let outcome = prepared.apply(&scene.bench.cx, &options()).await.unwrap();
    assert_eq!(outcome.report.status, RunStatus::Success, "{:?}", outcome.report.failures);
    assert_eq!(outcome.report.compare.different, 0, "{:?}", outcome.report.compare.differences);
    assert_same(&scene.structure(&gateway), &scene.wanted, "undisturbed");
    let again = restore.plan(&scene.bench.cx).await.unwrap();
    assert!(again.plan().is_empty(), "{:#?}", again.plan().steps);

    steps.lock().unwrap().0.len()
}

async fn every_step(
    character: Character,
    attempt: impl Fn(u32) -> Option<Fault> + Send + Copy + 'static,
    check: impl Fn(&Scene, usize, &MemoryGateway, &RestoreOutcome),
) {
    let scene = Scene::new(character).await;
    let steps = undisturbed(&scene).await;
    for k in 1..=steps {
        let (faults, _) = at_step(k, attempt);
        let (gateway, outcome) = run_with(&scene, &format!("t{k}"), faults).await;
        check(&scene, k, &gateway, &outcome);
    }
}

fn rolled_back(scene: &Scene, k: usize, gateway: &MemoryGateway, outcome: &RestoreOutcome) {
    let when = format!("{:?}, step {k}", scene.character);
    let report = &outcome.report;
    assert_eq!(report.status, RunStatus::RolledBack, "{when}: {:?}", report.failures);
    assert_eq!(report.verdict, gwbackup_core::report::GoLive::NoGo);
    assert_eq!(report.failures.len(), 1, "{when}: {:?}", report.failures);
    assert_eq!(report.compare.different, 0, "{when}: {:?}", report.compare.differences);
    let before = scene.structure(&scene.character.drifted("before"));
    assert_same(&scene.structure(gateway), &before, &when);
}

fn succeeded(scene: &Scene, k: usize, gateway: &MemoryGateway, outcome: &RestoreOutcome) {
    let when = format!("{:?}, step {k}", scene.character);
    let report = &outcome.report;
    assert_eq!(report.status, RunStatus::Success, "{when}: {:?}", report.failures);
    assert_eq!(report.compare.different, 0, "{when}: {:?}", report.compare.differences);
    assert_same(&scene.structure(gateway), &scene.wanted, &when);
}

/// The same test on each gateway.
macro_rules! on_each {
    ($name:ident, $check:ident, $attempt:expr) => {
        mod $name {
            use super::*;

            #[tokio::test]
            async fn kong() {
                every_step(Character::Kong, $attempt, $check).await;
            }

            #[tokio::test]
            async fn aws() {
                every_step(Character::Aws, $attempt, $check).await;
            }

            #[tokio::test]
            async fn composite() {
                every_step(Character::Composite, $attempt, $check).await;
            }
        }
    };
}

on_each!(a_step_that_fails_for_good_turns_the_run_round, rolled_back, |_| {
    Some(Fault::Fail(ErrorKind::Denied))
});

on_each!(a_lost_answer_makes_nothing_twice, succeeded, |n| (n == 1).then_some(Fault::LoseAnswer));

on_each!(a_vendor_that_is_away_for_a_while_is_waited_for, succeeded, |n| {
    (n <= 4).then_some(Fault::Fail(ErrorKind::Unavailable))
});

// Six attempts are made; what a later one would find is for the roll back to find.
on_each!(a_step_that_was_done_but_never_answered_is_undone, rolled_back, |n| {
    (n <= 6).then_some(Fault::LoseAnswer)
});
