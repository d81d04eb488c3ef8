//! The process dies at every place of a run, and another carries on.

use std::sync::Arc;

use gwbackup_core::ErrorKind;
use gwbackup_core::restore::{ApplyOptions, RunStatus};
use gwbackup_core::testing::{Fault as StoreFault, Faults};
use gwbackup_kong::testing::{Fault, KongDouble};

use crate::bench::{assert_same, importing, is_write};
use crate::scene::Scene;

/// The process dies with the journal's `j`-th record: no later call to the store is answered.
fn dies_at(j: u64, fault: StoreFault) -> Faults {
    let (mut records, mut dead) = (0, false);
    Faults::when(move |call| {
        if dead {
            return Some(StoreFault::Fail(ErrorKind::Other));
        }
        records += u64::from(call.operation == "put" && call.subject.starts_with("runs/"));
        dead = records >= j;
        dead.then_some(fault)
    })
}

fn options() -> ApplyOptions {
    ApplyOptions { accept_loss: true, ..ApplyOptions::default() }
}

/// In every process the same write is refused.
fn deny(node: &KongDouble, path: Option<&str>) {
    let path = path.map(str::to_owned);
    node.faults(move |asked| {
        let hit = is_write(asked.method, asked.path) && path.as_deref() == Some(asked.path);
        hit.then_some(Fault::Status(403))
    });
}

/// Kills the run at every record and carries it on; `denied` makes it a roll back.
async fn killed_everywhere(fault: StoreFault, denied: Option<&str>) {
    let scene = Scene::recorded().await;
    let node = scene.drifted().await;
    deny(&node, denied);
    let whole = scene.restore(&node).await.report;
    let end = if denied.is_some() { RunStatus::RolledBack } else { RunStatus::Success };
    assert_eq!(whole.status, end, "{:?}", whole.failures);
    let wanted = if denied.is_some() { &scene.drifted } else { &scene.wanted };
    assert_same(&node.state(), wanted, "undisturbed");
    for j in 1.. {
        let when = format!("{fault:?} at record {j}");
        let node = scene.drifted().await;
        deny(&node, denied);
        let target = Arc::new(importing(&node));
        let cx = &scene.bench.cx;
        let mortal = scene.bench.mortal(dies_at(j, fault)).await;
        let backup = mortal.find(cx, "latest").await.unwrap();
        let restore = mortal.restore(&backup, Arc::clone(&target) as _).prune(100);
        let first = restore.plan(cx).await.unwrap().apply(cx, &options()).await;
        if let Ok(first) = first {
            assert_eq!(first.report.status, end, "{when}");
            assert!(j >= 6, "a run of this size writes more than {j} records");
            return;
        }
        let run = scene.bench.run_of(&node).await;
        let repository = &scene.bench.repository;
        let resumed = repository.resume(cx, run, Arc::clone(&target) as _, &options()).await;
        let report = match resumed {
            Ok(outcome) => outcome.report,
            Err(error) => {
                // Before the first record nothing was written.
                assert_eq!((error.kind(), j), (ErrorKind::Refused, 1), "{when}: {error}");
                assert_same(&node.state(), &scene.drifted, &when);
                continue;
            }
        };
        assert_eq!(report.status, end, "{when}: {:?}", report.failures);
        assert_eq!(report.verdict, whole.verdict, "{when}");
        assert_eq!(report.compare.different, 0, "{when}: {:?}", report.compare.differences);
        assert_same(&node.state(), wanted, &when);
        let again = repository.resume(cx, run, target, &options()).await;
        assert_eq!(again.unwrap_err().kind(), ErrorKind::Refused, "{when}");
    }
}

const FAIL: StoreFault = StoreFault::Fail(ErrorKind::Other);

#[tokio::test]
async fn killed_at_every_record() {
    killed_everywhere(FAIL, None).await;
}

#[tokio::test]
async fn killed_right_after_every_record() {
    killed_everywhere(StoreFault::LoseAnswer, None).await;
}

/// One of the last writes of the plan.
const LATE: &str = "/consumers/00000000-0000-4000-8000-000000040003";

#[tokio::test]
async fn killed_at_every_record_of_a_roll_back() {
    killed_everywhere(FAIL, Some(LATE)).await;
}

#[tokio::test]
async fn killed_right_after_every_record_of_a_roll_back() {
    killed_everywhere(StoreFault::LoseAnswer, Some(LATE)).await;
}
