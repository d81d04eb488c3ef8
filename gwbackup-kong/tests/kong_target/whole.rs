//! Everything that a node holds comes back.

use std::sync::Arc;

use gwbackup_core::model::Action;
use gwbackup_core::restore::RunStatus;
use serde_json::json;

use crate::bench::{Bench, admin, assert_same, empty, importing};

#[tokio::test]
async fn all_recorded_entities_come_back() {
    let bench = Bench::new().await;
    let node = Arc::new(bench.recorded().await);
    let before = node.state();
    let backup = bench.backup(&node).await;
    empty(&node);
    let target = importing(&node);
    let outcome = bench.succeed(bench.restore(&backup, target.clone())).await;
    assert_eq!(outcome.report.compare.equal + outcome.report.compare.ignorable, 103);
    assert_same(&node.state(), &before, "restored");

    let again = bench.plan(bench.restore(&backup, target)).await;
    assert!(again.plan().is_empty(), "{:#?}", again.plan().steps);
    let second = bench.backup(&node).await;
    assert_eq!(second.details().state_digest, backup.details().state_digest);
}

#[tokio::test]
async fn without_an_import_hashes_are_named_and_never_sent() {
    let bench = Bench::new().await;
    let node = bench.recorded().await;
    let before = node.state();
    let backup = bench.backup(&node).await;
    empty(&node);
    let outcome = bench.apply(bench.restore(&backup, admin(&node))).await;
    assert_eq!(outcome.report.status, RunStatus::Partial, "{:?}", outcome.report.failures);
    assert_eq!(outcome.report.compare.different, 0, "{:#?}", outcome.report.compare.differences);
    let mut wanted = before.clone();
    // The two passwords, one secret, and the token of the client that has it.
    wanted.get_mut("basic-auths").unwrap().clear();
    wanted.get_mut("oauth2").unwrap().retain(|c| c["hash_secret"] == json!(false));
    let clients: Vec<_> = wanted["oauth2"].iter().map(|c| c["id"].clone()).collect();
    let tokens = wanted.get_mut("oauth2_tokens").unwrap();
    tokens.retain(|token| clients.contains(&token["credential"]["id"]));
    assert_same(&node.state(), &wanted, "restored");
    let left: Vec<_> = outcome.report.left.iter().map(|item| item.key.to_string()).collect();
    assert_eq!(left.len(), 3, "{left:?}");
}

#[tokio::test]
async fn a_node_that_drifted_comes_back_and_only_what_differs_is_written() {
    let bench = Bench::new().await;
    let node = bench.recorded().await;
    let before = node.state();
    let backup = bench.backup(&node).await;
    let id = |collection: &str, n: usize| before[collection][n]["id"].as_str().unwrap().to_owned();
    for (method, path, body) in [
        ("PATCH", format!("/services/{}", id("services", 0)), json!({"port": 1, "tags": ["x"]})),
        ("PATCH", format!("/plugins/{}", id("plugins", 3)), json!({"enabled": false})),
        ("PATCH", format!("/certificates/{}", id("certificates", 0)), json!({"tags": ["x"]})),
        ("PATCH", format!("/basic-auths/{}", id("basic-auths", 0)), json!({"tags": ["x"]})),
        ("DELETE", format!("/snis/{}", id("snis", 0)), json!(null)),
        ("DELETE", format!("/acls/{}", id("acls", 0)), json!(null)),
    ] {
        let (status, answer) = node.request(method, &path, &body);
        assert!(status < 300, "{path}: {answer}");
    }
    node.forget_calls();
    let outcome = bench.succeed(bench.restore(&backup, admin(&node))).await;
    assert_eq!(outcome.report.applied, 6);
    assert_same(&node.state(), &before, "mended");
    let writes = |method: &str| {
        let calls = node.calls();
        let of = calls.iter().filter(|c| c.method == method && !c.path.starts_with("/schemas"));
        of.count()
    };
    assert_eq!((writes("POST"), writes("PUT"), writes("PATCH"), writes("DELETE")), (2, 2, 2, 0));
}

#[tokio::test]
async fn what_is_beyond_the_backup_stays_unless_it_is_pruned() {
    let bench = Bench::new().await;
    let node = bench.recorded().await;
    let before = node.state();
    let backup = bench.backup(&node).await;
    let make = |path: &str, body| {
        let (status, made) = node.request("POST", path, &body);
        assert_eq!(status, 201, "{made}");
        made["id"].as_str().unwrap().to_owned()
    };
    let service = make("/services", json!({"name": "foreign", "host": "f.example"}));
    let route = make("/routes", json!({"paths": ["/f"], "service": {"id": service}}));
    make("/plugins", json!({"name": "cors", "route": {"id": route}}));
    let consumer = make("/consumers", json!({"username": "foreign"}));
    make("/key-auths", json!({"key": "foreign-key", "consumer": {"id": consumer}}));
    let upstream = make("/upstreams", json!({"name": "foreign"}));
    make(&format!("/upstreams/{upstream}/targets"), json!({"target": "10.0.0.1:80"}));
    let with_foreign = node.state();
    bench.plan(bench.restore(&backup, admin(&node))).await;
    let outcome = bench.succeed(bench.restore(&backup, admin(&node))).await;
    assert_eq!(outcome.report.applied, 0);
    assert_same(&node.state(), &with_foreign, "foreign things stay");

    let pruned = bench.restore(&backup, admin(&node)).prune(50);
    let prepared = bench.plan(pruned.clone()).await;
    let steps = &prepared.plan().steps;
    assert!(steps.iter().all(|step| step.action == Action::Delete) && steps.len() == 7);
    bench.succeed(pruned).await;
    assert_same(&node.state(), &before, "pruned");
}
