//! What a node would refuse is found out before anything is written.

use gwbackup_core::ErrorKind;
use gwbackup_core::model::{Finding, Verdict};
use gwbackup_core::restore::ApplyOptions;
use gwbackup_kong::testing::KongDouble;
use serde_json::{Value, json};

use crate::bench::{Bench, admin, assert_same};

fn make(node: &KongDouble, path: &str, body: &Value) -> String {
    let (status, made) = node.request("POST", path, body);
    assert_eq!(status, 201, "{path}: {made}");
    made["id"].as_str().unwrap().to_owned()
}

fn of(findings: &[Finding], verdict: Verdict) -> Vec<&Finding> {
    findings.iter().filter(|finding| finding.verdict == verdict).collect()
}

#[tokio::test]
async fn an_older_node_without_vaults_and_keys_is_told_so() {
    let bench = Bench::new().await;
    let node = bench.node().await;
    make(&node, "/vaults", &json!({"name": "env", "prefix": "mine"}));
    let backup = bench.backup(&node).await;
    let old = bench.node_with(|builder| builder.version("2.8.0")).await;
    let prepared = bench.restore(&backup, admin(&old)).plan(&bench.cx).await.unwrap();
    assert!(prepared.plan().is_blocked());
    let error = prepared.apply(&bench.cx, &ApplyOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
}

#[tokio::test]
async fn many_plugins_are_asked_about_in_few_calls() {
    let bench = Bench::new().await;
    let node = bench.node().await;
    for n in 0..300 {
        let service = make(&node, "/services", &json!({"host": format!("h{n}.example")}));
        let config = json!({"minute": n + 1});
        let body = json!({"name": "rate-limiting", "service": {"id": service}, "config": config});
        make(&node, "/plugins", &body);
    }
    let backup = bench.backup(&node).await;
    let other = bench.node().await;
    let prepared = bench.plan(bench.restore(&backup, admin(&other))).await;
    assert_eq!(prepared.plan().summary.create, 600);
    assert!(prepared.plan().findings.is_empty(), "{:#?}", prepared.plan().findings);
    let calls = other.calls();
    let asked = calls.iter().filter(|call| call.path.starts_with("/schemas/")).count();
    assert!(asked <= 20, "{asked}");
}

#[tokio::test]
async fn references_that_kong_does_not_check_are_named() {
    let bench = Bench::new().await;
    let node = bench.node().await;
    let body = json!({"name": "key-auth", "config": {"anonymous": "nobody"}});
    make(&node, "/plugins", &body);
    let body = json!({"name": "http-log", "config": {"http_endpoint": "{vault://absent/log}"}});
    make(&node, "/plugins", &body);
    let body = json!({"name": "loggly", "config": {"key": "{vault://env/loggly}"}});
    make(&node, "/plugins", &body);
    let backup = bench.backup(&node).await;
    let before = node.state();
    let other = bench.node().await;
    let prepared = bench.plan(bench.restore(&backup, admin(&other))).await;
    let warnings = of(&prepared.plan().findings, Verdict::Warning);
    let mut subjects: Vec<&str> = warnings.iter().map(|finding| &*finding.subject).collect();
    subjects.sort_unstable();
    assert_eq!(subjects, ["consumer nobody", "vault absent"]);
    assert!(warnings.iter().all(|finding| finding.change.is_some()));
    prepared.apply(&bench.cx, &ApplyOptions::default()).await.unwrap();
    assert_same(&other.state(), &before, "they are warnings");
}
