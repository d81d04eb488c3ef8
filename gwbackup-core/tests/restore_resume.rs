//! The process dies, at every place of a run, and another carries on.

#![allow(clippy::unwrap_used, reason = "a failure here fails the test")]

mod common;
#[path = "common/scenario.rs"]
mod scenario;

use std::sync::Arc;

use gwbackup_core::repository::{Repository, RestoreOutcome};
use gwbackup_core::restore::RunStatus;
use gwbackup_core::sink::Sink;
use gwbackup_core::testing::{Fault, Faults, FaultySink, FaultyTarget, MemoryGateway};
use gwbackup_core::{ErrorKind, Result};
use scenario::{Character, Scene, assert_same, options};
use uuid::Uuid;

/// The process dies with the journal's `j`-th record: no later call to the store is answered.
/// `fault` is what becomes of that record.
fn dies_at(j: u64, fault: Fault) -> Faults {
    let mut records = 0;
    let mut dead = false;
    Faults::when(move |call| {
        if dead {
            return Some(Fault::Fail(ErrorKind::Other));
        }
        records += u64::from(call.operation == "put" && call.subject.starts_with("runs/"));
        dead = records >= j;
        dead.then_some(fault)
    })
}

async fn open(scene: &Scene, faults: Faults) -> Repository {
    let wrap = |sink| Arc::new(FaultySink::new(Arc::new(sink), faults.clone())) as Arc<dyn Sink>;
    scene.bench.open_with(wrap).await.unwrap()
}

/// A restore through a store that may die; `deny`: the step that fails for good, if any.
async fn attempt(
    scene: &Scene,
    gateway: &MemoryGateway,
    faults: Faults,
    deny: Option<u64>,
) -> Result<RestoreOutcome> {
    let repository = open(scene, faults).await;
    let info = repository.find(&scene.bench.cx, "latest").await?;
    let target = denying(gateway, deny);
    let prepared = repository.restore(&info, target).prune(100).plan(&scene.bench.cx).await?;
    prepared.apply(&scene.bench.cx, &options()).await
}

/// The same step of every process fails for good.
fn denying(gateway: &MemoryGateway, deny: Option<u64>) -> Arc<FaultyTarget> {
    let inner = Arc::new(gateway.clone());
    let faults = Faults::when(move |call| {
        let step = deny.map(|n| format!("-{n}"))?;
        let hit = call.operation == "apply" && call.subject.ends_with(&step);
        hit.then_some(Fault::Fail(ErrorKind::Denied))
    });
    Arc::new(FaultyTarget::new(inner, faults))
}

async fn newest_run(repository: &Repository, scene: &Scene, name: &str) -> Option<Uuid> {
    let runs = repository.runs(&scene.bench.cx).await.unwrap();
    let target = format!("memory-gateway:{name}");
    runs.into_iter().rfind(|run| run.target == target).map(|run| run.run)
}

/// Kills the run at every record and carries it on; `deny` makes it a roll back.
async fn killed_everywhere(character: Character, fault: Fault, deny: Option<u64>, stride: usize) {
    let scene = Scene::new(character).await;
    let gateway = character.drifted("undisturbed");
    let whole = attempt(&scene, &gateway, Faults::none(), deny).await.unwrap().report;
    let end = if deny.is_some() { RunStatus::RolledBack } else { RunStatus::Success };
    assert_eq!(whole.status, end, "{:?}", whole.failures);
    let wanted = scene.structure(&gateway);
    for (killed, j) in (1_u64..).step_by(stride).enumerate() {
        let name = format!("k{j}");
        let when = format!("{character:?}, {fault:?}, record {j}");
        let gateway = character.drifted(&name);
        let first = attempt(&scene, &gateway, dies_at(j, fault), deny).await;
        let repository = scene.bench.open().await;
        let cx = &scene.bench.cx;
        let Err(_) = first else {
            assert!(killed >= 2, "{when}");
            break;
        };
        let run = newest_run(&repository, &scene, &name).await.unwrap();
        let target = denying(&gateway, deny);
        let resumed = repository.resume(cx, run, Arc::clone(&target) as _, &options()).await;
        let report = match resumed {
            Ok(outcome) => outcome.report,
            Err(error) => {
                // Before the first record nothing was written.
                assert_eq!(error.kind(), ErrorKind::Refused, "{when}: {error}");
                assert_eq!(j, 1, "{when}: {error}");
                let before = scene.structure(&character.drifted("before"));
                assert_same(&scene.structure(&gateway), &before, &when);
                assert!(repository.status(cx).await.unwrap().open_runs.is_empty());
                continue;
            }
        };
        assert_eq!(report.status, whole.status, "{when}: {:?}", report.failures);
        assert_eq!(report.verdict, whole.verdict, "{when}");
        assert_eq!(report.applied, whole.applied, "{when}");
        assert_eq!(report.compare, whole.compare, "{when}");
        assert_same(&scene.structure(&gateway), &wanted, &when);
        let again = repository.resume(cx, run, target, &options()).await;
        assert_eq!(again.unwrap_err().kind(), ErrorKind::Refused, "{when}");
        assert!(repository.status(cx).await.unwrap().open_runs.is_empty(), "{when}");
    }
}

const FAIL: Fault = Fault::Fail(ErrorKind::Other);

macro_rules! on_each {
    ($name:ident, $fault:expr, $deny:expr, $stride:expr) => {
        mod $name {
            use super::*;

            #[tokio::test]
            async fn kong() {
                killed_everywhere(Character::Kong, $fault, $deny, $stride).await;
            }

            #[tokio::test]
            async fn aws() {
                killed_everywhere(Character::Aws, $fault, $deny, $stride).await;
            }

            #[tokio::test]
            async fn composite() {
                killed_everywhere(Character::Composite, $fault, $deny, $stride).await;
            }
        }
    };
}

on_each!(killed_at_every_record, FAIL, None, 1);
on_each!(killed_right_after_a_record, Fault::LoseAnswer, None, 3);
on_each!(killed_at_every_record_of_a_roll_back, FAIL, Some(9), 1);

/// The vendor stops answering in the middle of a run, and comes back for the one that carries on.
async fn vendor_dies(character: Character, fault: Fault, stride: usize) {
    let scene = Scene::new(character).await;
    let cx = &scene.bench.cx;
    let before = scene.structure(&character.drifted("before"));
    for (undone, k) in (2_u64..).step_by(stride).enumerate() {
        let name = format!("v{k}");
        let when = format!("{character:?}, {fault:?}, call {k}");
        let gateway = character.drifted(&name);
        let target = Arc::new(gateway.clone());
        let prepared = scene.restore(Arc::clone(&target) as _).await.plan(cx).await.unwrap();
        let faults = Faults::from_nth(k, fault);
        gateway.faults(faults.clone());
        let first = prepared.apply(cx, &options()).await;
        gateway.faults(Faults::none());
        if faults.calls() < k {
            assert!(undone > 3, "{when}");
            break;
        }
        let run = newest_run(&scene.repository, &scene, &name).await.unwrap();
        let resumed = scene.repository.resume(cx, run, target, &options()).await;
        let status = match (&first, resumed) {
            (_, Ok(resumed)) => resumed.report.status,
            // Nothing had to be undone, or all was written: then there is nothing to carry on.
            (Ok(first), Err(error)) => {
                assert_eq!(error.kind(), ErrorKind::Refused, "{when}: {error}");
                first.report.status
            }
            (Err(first), Err(error)) => panic!("{when}: {first}, then {error}"),
        };
        if status == RunStatus::Success {
            // Only the reading back met the fault.
            assert_same(&scene.structure(&gateway), &scene.wanted, &when);
            break;
        }
        assert_eq!(status, RunStatus::RolledBack, "{when}");
        assert_same(&scene.structure(&gateway), &before, &when);
    }
}

#[tokio::test]
async fn a_vendor_that_dies_meets_a_roll_back_when_it_is_back() {
    vendor_dies(Character::Aws, Fault::Fail(ErrorKind::Unavailable), 31).await;
    vendor_dies(Character::Kong, Fault::Fail(ErrorKind::Unavailable), 31).await;
}

#[tokio::test]
async fn a_vendor_whose_answers_are_lost_meets_a_roll_back_when_it_is_back() {
    vendor_dies(Character::Aws, Fault::LoseAnswer, 29).await;
    vendor_dies(Character::Composite, Fault::LoseAnswer, 29).await;
}

/// Whoever is no more let in can neither go on nor turn round: the run stays as it is.
async fn not_let_in(character: Character) {
    let scene = Scene::new(character).await;
    let gateway = character.drifted("undisturbed");
    let whole = attempt(&scene, &gateway, Faults::none(), None).await.unwrap().report;
    let wanted = scene.structure(&gateway);
    for nth in [1_u64, 3, 6] {
        let when = format!("{character:?}, step {nth}");
        let gateway = character.drifted(&format!("n{nth}"));
        let mut steps = 0;
        let faults = Faults::when(move |call| {
            steps += u64::from(call.operation == "apply");
            let hit = call.operation == "apply" && steps >= nth;
            hit.then_some(Fault::Fail(ErrorKind::Unauthenticated))
        });
        let repository = scene.bench.open().await;
        let cx = &scene.bench.cx;
        let info = repository.find(cx, "latest").await.unwrap();
        let target = Arc::new(FaultyTarget::new(Arc::new(gateway.clone()), faults));
        let plan = repository.restore(&info, target).prune(100).plan(cx).await.unwrap();
        let error = plan.apply(cx, &options()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{when}: {error:?}");
        let open = repository.status(cx).await.unwrap().open_runs;
        assert_eq!(open.len(), 1, "{when}");
        let target = denying(&gateway, None);
        let outcome = repository.resume(cx, open[0].run, target, &options()).await.unwrap();
        assert_eq!(outcome.report.status, RunStatus::Success, "{when}");
        assert_eq!(outcome.report.applied, whole.applied, "{when}");
        assert_same(&scene.structure(&gateway), &wanted, &when);
    }
}

mod credentials_that_end_leave_a_run_to_be_resumed {
    use super::*;

    #[tokio::test]
    async fn kong() {
        not_let_in(Character::Kong).await;
    }

    #[tokio::test]
    async fn aws() {
        not_let_in(Character::Aws).await;
    }
}
