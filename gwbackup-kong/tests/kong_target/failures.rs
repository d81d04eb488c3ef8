//! A call fails, at every place of a long plan.

use std::sync::Arc;

use gwbackup_core::model::Action;
use gwbackup_core::report::GoLive;
use gwbackup_core::repository::{BackupInfo, RestoreOutcome};
use gwbackup_core::restore::RunStatus;
use gwbackup_kong::testing::{Fault, KongDouble};
use serde_json::{Value, json};

use crate::bench::{Bench, State, assert_same, at_write, importing, is_write};

/// A backup of the recorded node, and how the node is by now.
struct Scene {
    bench: Bench,
    backup: BackupInfo,
    wanted: State,
    drifted: State,
}

impl Scene {
    async fn new() -> Self {
        let bench = Bench::new().await;
        let node = bench.recorded().await;
        let wanted = node.state();
        let backup = bench.backup(&node).await;
        drift(&node, &wanted);
        let drifted = node.state();
        Self { bench, backup, wanted, drifted }
    }

    async fn drifted(&self) -> Arc<KongDouble> {
        let node = self.bench.recorded().await;
        drift(&node, &self.wanted);
        assert_same(&node.state(), &self.drifted, "each node drifts alike");
        Arc::new(node)
    }

    async fn restore(&self, node: &Arc<KongDouble>) -> RestoreOutcome {
        let restore = self.bench.restore(&self.backup, importing(node)).prune(100);
        self.bench.apply(restore).await
    }

    /// How many calls write; checks that it is a plan worth breaking.
    async fn undisturbed(&self) -> usize {
        let node = self.drifted().await;
        let restore = self.bench.restore(&self.backup, importing(&node)).prune(100);
        let prepared = self.bench.plan(restore.clone()).await;
        let count = |action| prepared.plan().steps.iter().filter(|s| s.action == action).count();
        let counts = [Action::Create, Action::Update, Action::Delete].map(count);
        assert!(
            counts.iter().all(|n| *n >= 15) && counts.iter().sum::<usize>() >= 60,
            "{counts:?}"
        );
        node.forget_calls();
        self.bench.succeed(restore).await;
        assert_same(&node.state(), &self.wanted, "undisturbed");
        let writes = node.calls();
        writes.iter().filter(|call| is_write(&call.method, &call.path)).count()
    }
}

/// Things are lost, changed and added.
fn drift(node: &KongDouble, recorded: &State) {
    let call = |method: &str, path: &str, body: Value| {
        let (status, answer) = node.request(method, path, &body);
        assert!(status < 300, "{method} {path}: {status} {answer}");
    };
    let all = |collection: &str| recorded[collection].iter();
    let path = |collection: &str, entity: &Value| {
        format!("/{collection}/{}", entity["id"].as_str().unwrap())
    };
    for service in all("services").take(3) {
        for route in all("routes").filter(|route| route["service"]["id"] == service["id"]) {
            call("DELETE", &path("routes", route), Value::Null);
        }
        call("DELETE", &path("services", service), Value::Null);
    }
    call("DELETE", &path("consumers", &recorded["consumers"][0]), Value::Null);
    let there = node.state();
    for (collection, member) in [
        ("services", json!({"connect_timeout": 1})),
        ("routes", json!({"tags": ["moved"]})),
        ("consumers", json!({"tags": ["moved"]})),
        ("key-auths", json!({"key": null})),
        ("certificates", json!({"tags": ["moved"]})),
        ("upstreams", json!({"slots": 100})),
    ] {
        for entity in &there[collection] {
            let mut member = member.clone();
            if collection == "key-auths" {
                member["key"] = format!("other-{}", entity["id"].as_str().unwrap()).into();
            }
            call("PATCH", &path(collection, entity), member);
        }
    }
    for n in 0..4 {
        let id = |kind: u32| format!("00000000-0000-4000-8000-0000000{kind}000{n}");
        let put = |collection: &str, kind, mut body: Value| {
            // The clock of the bench moves on.
            body["created_at"] = 1_700_000_000.into();
            call("PUT", &format!("/{collection}/{}", id(kind)), body);
        };
        put("services", 1, json!({"name": format!("new-{n}"), "host": "h.example"}));
        put("routes", 2, json!({"paths": [format!("/n{n}")], "service": {"id": id(1)}}));
        put("plugins", 3, json!({"name": "cors", "route": {"id": id(2)}}));
        put("consumers", 4, json!({"username": format!("new-{n}")}));
        put("key-auths", 5, json!({"key": format!("new-{n}"), "consumer": {"id": id(4)}}));
    }
}

fn rolled_back(scene: &Scene, k: usize, node: &KongDouble, outcome: &RestoreOutcome) {
    let report = &outcome.report;
    assert_eq!(report.status, RunStatus::RolledBack, "write {k}: {:?}", report.failures);
    assert_eq!(report.verdict, GoLive::NoGo);
    assert_eq!(report.compare.different, 0, "write {k}: {:?}", report.compare.differences);
    assert_same(&node.state(), &scene.drifted, &format!("write {k}"));
}

fn succeeded(scene: &Scene, k: usize, node: &KongDouble, outcome: &RestoreOutcome) {
    let report = &outcome.report;
    assert_eq!(report.status, RunStatus::Success, "write {k}: {:?}", report.failures);
    assert_eq!(report.compare.different, 0, "write {k}: {:?}", report.compare.differences);
    assert_same(&node.state(), &scene.wanted, &format!("write {k}"));
}

async fn every_write(
    step: usize,
    fault: impl Fn(u32) -> Option<Fault> + Send + Copy + 'static,
    check: impl Fn(&Scene, usize, &KongDouble, &RestoreOutcome),
) {
    let scene = Scene::new().await;
    let writes = scene.undisturbed().await;
    assert!(writes >= 60, "{writes}");
    for k in (1..=writes).step_by(step) {
        let node = scene.drifted().await;
        at_write(&node, k, fault);
        let outcome = scene.restore(&node).await;
        check(&scene, k, &node, &outcome);
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
    for status in [400, 401, 404, 405, 409, 413] {
        let scene = Scene::new().await;
        let node = scene.drifted().await;
        at_write(&node, 40, move |n| (n == 1).then_some(Fault::Status(status)));
        let outcome = scene.restore(&node).await;
        rolled_back(&scene, usize::from(status), &node, &outcome);
    }
}

#[tokio::test]
async fn a_node_that_goes_away_leaves_a_run_that_can_be_carried_on() {
    let scene = Scene::new().await;
    let node = scene.drifted().await;
    at_write(&node, 30, |_| Some(Fault::GoAway));
    let outcome = scene.restore(&node).await;
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
    let scene = Scene::new().await;
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
