//! A node without a database: everything at once, or nothing.

use gwbackup_core::ErrorKind;
use gwbackup_core::report::GoLive;
use gwbackup_core::restore::{ApplyOptions, RunStatus};
use gwbackup_kong::testing::{Fault, KongDouble};
use serde_json::{Value, json};

use crate::bench::{Bench, admin, assert_same, fixture};

async fn loaded(bench: &Bench) -> KongDouble {
    let node = bench.node_with(gwbackup_kong::testing::KongDoubleBuilder::db_less).await;
    let text = std::fs::read_to_string(fixture("12-export.yml")).unwrap();
    let (status, answer) = node.request("POST", "/config", &json!({ "config": text }));
    assert_eq!(status, 201, "{answer}");
    node
}

fn replace(node: &KongDouble, file: &Value) {
    let (status, answer) = node.request("POST", "/config", file);
    assert_eq!(status, 201, "{answer}");
}

fn other() -> Value {
    json!({"_format_version": "3.0", "services": [{"name": "else", "host": "else.example"}]})
}

#[tokio::test]
async fn everything_comes_back_in_one_load_hashes_included() {
    let bench = Bench::new().await;
    let node = loaded(&bench).await;
    let before = node.state();
    let backup = bench.backup(&node).await;
    replace(&node, &other());
    node.forget_calls();
    let outcome = bench.succeed(bench.restore(&backup, admin(&node)).prune(100)).await;
    assert_eq!(outcome.report.applied, 1);
    assert_same(&node.state(), &before, "loaded");
    let calls = node.calls();
    assert_eq!(calls.iter().filter(|call| call.path.starts_with("/config?")).count(), 1);
    let again = bench.plan(bench.restore(&backup, admin(&node))).await;
    assert!(again.plan().is_empty(), "{:#?}", again.plan().steps);
}

#[tokio::test]
async fn what_is_beyond_the_backup_stays() {
    let bench = Bench::new().await;
    let node = bench.node_with(gwbackup_kong::testing::KongDoubleBuilder::db_less).await;
    replace(&node, &other());
    let backup = bench.backup(&node).await;
    let both = json!({"_format_version": "3.0", "services": [
        {"name": "else", "host": "changed.example"}, {"name": "theirs", "host": "t.example"}]});
    replace(&node, &both);
    bench.succeed(bench.restore(&backup, admin(&node))).await;
    let mut hosts: Vec<_> =
        node.state()["services"].iter().map(|s| s["host"].as_str().unwrap().to_owned()).collect();
    hosts.sort();
    assert_eq!(hosts, ["else.example", "t.example"]);
}

#[tokio::test]
async fn a_load_that_is_refused_leaves_everything_as_it_was() {
    for (status, kind) in [(413, "size"), (400, "refuses"), (403, "denies")] {
        let bench = Bench::new().await;
        let node = loaded(&bench).await;
        let backup = bench.backup(&node).await;
        replace(&node, &other());
        let before = node.state();
        node.faults(move |asked| {
            (asked.method == "POST" && asked.path == "/config").then_some(Fault::Status(status))
        });
        let outcome = bench.apply(bench.restore(&backup, admin(&node))).await;
        assert_eq!(outcome.report.status, RunStatus::RolledBack, "{:?}", outcome.report.failures);
        assert_eq!(outcome.report.verdict, GoLive::NoGo);
        let failure = &outcome.report.failures[0];
        assert!(failure.contains(kind), "{failure}");
        assert_same(&node.state(), &before, "as it was");
    }
}

#[tokio::test]
async fn a_node_that_loads_already_is_waited_for_and_a_lost_answer_found() {
    let faults = [Fault::RetryAfter(429, 2), Fault::Status(503), Fault::LoseAnswer];
    for fault in faults {
        let bench = Bench::new().await;
        let node = loaded(&bench).await;
        let before = node.state();
        let backup = bench.backup(&node).await;
        replace(&node, &other());
        let mut first = true;
        node.faults(move |asked| {
            let load = asked.method == "POST" && asked.path == "/config";
            (load && std::mem::take(&mut first)).then_some(fault)
        });
        bench.succeed(bench.restore(&backup, admin(&node)).prune(100)).await;
        assert_same(&node.state(), &before, "loaded");
    }
}

#[tokio::test]
async fn a_node_that_somebody_else_loaded_since_the_plan_is_left_alone() {
    let bench = Bench::new().await;
    let node = loaded(&bench).await;
    let backup = bench.backup(&node).await;
    replace(&node, &other());
    let prepared = bench.plan(bench.restore(&backup, admin(&node)).prune(100)).await;
    let theirs =
        json!({"_format_version": "3.0", "services": [{"name": "x", "host": "x.example"}]});
    replace(&node, &theirs);
    let before = node.state();
    let error = prepared.apply(&bench.cx, &ApplyOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_same(&node.state(), &before, "theirs");
}
