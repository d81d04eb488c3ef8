//! Probes, judged on a data plane: a sound restore passes; one from which a single plugin was taken
//! does not, and the plugin is named.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a failure here fails the test, and others use more of the bench"
)]

#[path = "kong_target/bench.rs"]
mod bench;

use std::sync::Arc;
use std::time::Duration;

use bench::{Bench, admin};
use gwbackup_core::model::Verdict;
use gwbackup_core::probe::{HttpCaller, HttpOptions, Options};
use gwbackup_core::report::{GoLive, RestoreReport};
use gwbackup_core::repository::BackupInfo;
use gwbackup_core::restore::{ApplyOptions, Probing};
use gwbackup_kong::testing::KongDouble;
use serde_json::{Value, json};

fn id(n: u32) -> String {
    format!("00000000-0000-4000-8000-{n:012}")
}

/// Plugins by name, each with the path of the route on which it shows.
const PLUGINS: [(&str, &str); 11] = [
    ("key-auth", "/key"),
    ("basic-auth", "/basic"),
    ("jwt", "/jwt"),
    ("hmac-auth", "/hmac"),
    ("acl", "/group"),
    ("rate-limiting", "/limited"),
    ("request-size-limiting", "/small"),
    ("ip-restriction", "/local"),
    ("cors", "/pages"),
    ("proxy-cache", "/cached"),
    ("request-termination", "/closed"),
];

fn config(plugin: &str) -> Value {
    match plugin {
        "acl" => json!({ "allow": ["gold"] }),
        "rate-limiting" => json!({ "minute": 7, "policy": "local" }),
        "request-size-limiting" => json!({ "allowed_payload_size": 2, "size_unit": "kilobytes" }),
        "ip-restriction" => json!({ "deny": ["127.0.0.0/8"] }),
        "cors" => json!({ "origins": ["https://shop.example"] }),
        "proxy-cache" => json!({ "strategy": "memory" }),
        "request-termination" => json!({ "status_code": 410, "message": "closed for good" }),
        "jwt" => json!({ "claims_to_verify": ["exp"] }),
        "hmac-auth" => json!({ "enforce_headers": ["date", "request-line"] }),
        _ => json!({}),
    }
}

/// A node with one route for each plugin, and two consumers: alice may do everything.
fn fill(node: &KongDouble) {
    let put = |path: &str, body: Value| {
        let (status, answer) = node.request("PUT", path, &body);
        assert!(status == 200, "{path}: {answer}");
    };
    put(&format!("/services/{}", id(1)), json!({ "name": "shop", "host": "shop.internal" }));
    let service = json!({ "id": id(1) });
    // Others that take requests: one for everything, and one that is asked first for some.
    put(
        &format!("/routes/{}", id(2)),
        json!({ "name": "all", "paths": ["/"], "service": service }),
    );
    let host = json!({ "name": "shop", "hosts": ["*.shop.example"], "paths": [r"~/v\d/[a-z]+$"],
        "headers": { "x-tier": ["gold"] }, "methods": ["GET", "POST"], "service": service });
    put(&format!("/routes/{}", id(3)), host);
    put(&format!("/consumers/{}", id(4)), json!({ "username": "alice" }));
    put(&format!("/consumers/{}", id(5)), json!({ "username": "bob" }));
    let alice = json!({ "id": id(4) });
    put(
        &format!("/key-auths/{}", id(6)),
        json!({ "key": "key-of-bob", "consumer": { "id": id(5) } }),
    );
    put(&format!("/key-auths/{}", id(7)), json!({ "key": "key-of-alice", "consumer": alice }));
    let basic = json!({ "username": "alice", "password": "pass-of-alice", "consumer": alice });
    put(&format!("/basic-auths/{}", id(8)), basic);
    let jwt = json!({ "key": "iss-alice", "secret": "jwt-of-alice", "consumer": alice });
    put(&format!("/jwts/{}", id(9)), jwt);
    let hmac = json!({ "username": "signer", "secret": "hmac-of-alice", "consumer": alice });
    put(&format!("/hmac-auths/{}", id(10)), hmac);
    put(&format!("/acls/{}", id(11)), json!({ "group": "gold", "consumer": alice }));
    for (n, (plugin, path)) in (0..).zip(PLUGINS) {
        let route = json!({ "id": id(100 + n) });
        put(
            &format!("/routes/{}", id(100 + n)),
            json!({ "name": path.trim_start_matches('/'), "paths": [path], "service": service }),
        );
        let body = json!({ "name": plugin, "route": route, "config": config(plugin) });
        put(&format!("/plugins/{}", id(200 + n)), body);
    }
    // Access control needs to know who calls.
    let group = PLUGINS.iter().position(|(name, _)| *name == "acl").unwrap();
    let route = json!({ "id": id(100 + u32::try_from(group).unwrap()) });
    put(&format!("/plugins/{}", id(300)), json!({ "name": "key-auth", "route": route }));
}

fn probing(node: &KongDouble) -> Probing {
    let proxy = node.proxy_url().unwrap().parse().unwrap();
    let caller = HttpCaller::new(HttpOptions::default().at(proxy).unwrap()).unwrap();
    Probing::new(Arc::new(caller))
        .from([127, 0, 0, 1].into())
        .options(Options::default().patience(Duration::from_secs(2)).intrusive())
}

/// Restores one backup onto a new node, and probes what another promises.
async fn restored(bench: &Bench, backup: &BackupInfo, promised: &BackupInfo) -> RestoreReport {
    let node = bench.node_with(|node| node.proxy(0)).await;
    // As hashed, so read; a new node takes them word by word.
    let node = Arc::new(node);
    let configuration = bench.repository.view(&bench.cx, promised).await.unwrap().snapshot();
    let options = ApplyOptions::default().check(probing(&node).of(configuration));
    let restore = bench.repository.restore(backup, Arc::new(bench::importing(&node)));
    let report = bench.plan(restore).await.apply(&bench.cx, &options).await.unwrap().report;
    assert_eq!(report.compare.different, 0, "{:#?}", report.compare.differences);
    report
}

#[tokio::test]
async fn a_sound_restore_is_go_and_one_without_a_plugin_is_no_go_and_names_it() {
    let bench = Bench::new().await;
    let node = bench.node().await;
    fill(&node);
    let sound = bench.backup(&node).await;
    let report = restored(&bench, &sound, &sound).await;
    assert_eq!(report.verdict, GoLive::Go, "{:#?}", report.reasons);
    let ok = report.checks.iter().filter(|f| f.verdict == Verdict::Ok).count();
    // Per plugin one or two, and the routes.
    assert!(ok >= 11 + 13, "{ok}: {:#?}", report.checks);
    let not_run: Vec<&str> = report
        .checks
        .iter()
        .filter(|f| f.verdict == Verdict::NotRun)
        .map(|f| f.subject.as_str())
        .collect();
    assert_eq!(not_run.len(), 1, "the password of which there is a hash only: {not_run:?}");
    assert!(not_run[0].starts_with("basic-auth: a known credential"), "{not_run:?}");
    let said = format!("{report:?} {}", report.to_html());
    for secret in ["key-of-alice", "pass-of-alice", "jwt-of-alice", "hmac-of-alice", "key-of-bob"] {
        assert!(!said.contains(secret), "{secret}");
    }

    for (n, (plugin, _)) in (0..).zip(PLUGINS) {
        let path = format!("/plugins/{}", id(200 + n));
        assert_eq!(node.request("DELETE", &path, &Value::Null).0, 204);
        let short = bench.backup(&node).await;
        let report = restored(&bench, &short, &sound).await;
        assert_eq!(report.verdict, GoLive::NoGo, "{plugin}: {:#?}", report.reasons);
        let key = format!("plugin/{}", id(200 + n));
        let failed: Vec<&str> = report
            .checks
            .iter()
            .filter(|f| f.verdict == Verdict::Failed)
            .map(|f| f.subject.as_str())
            .collect();
        assert!(
            !failed.is_empty() && failed.iter().all(|s| s.contains(&key)),
            "{plugin}: {failed:#?}"
        );
        assert!(report.reasons[0].contains(plugin), "{:#?}", report.reasons);
        let route = json!({ "id": id(100 + n) });
        let body = json!({ "name": plugin, "route": route, "config": config(plugin) });
        assert_eq!(node.request("PUT", &path, &body).0, 200);
    }
}

#[tokio::test]
async fn a_route_that_is_lost_is_named() {
    let bench = Bench::new().await;
    let node = bench.node().await;
    fill(&node);
    let sound = bench.backup(&node).await;
    let path = format!("/routes/{}", id(3));
    assert_eq!(node.request("DELETE", &path, &Value::Null).0, 204);
    assert_eq!(node.request("DELETE", &format!("/routes/{}", id(2)), &Value::Null).0, 204);
    let short = bench.backup(&node).await;
    let report = restored(&bench, &short, &sound).await;
    assert_eq!(report.verdict, GoLive::NoGo);
    assert!(report.reasons[0].contains("no Route matched"), "{:#?}", report.reasons);
    let named = |n: u32| report.reasons.iter().any(|r| r.contains(&format!("route/{}", id(n))));
    assert!(named(2) && named(3), "{:#?}", report.reasons);
}

#[tokio::test]
async fn without_the_secrets_what_needs_them_is_not_run_and_says_why() {
    let bench = Bench::new().await;
    let node = bench.node_with(|node| node.proxy(0)).await;
    fill(&node);
    let run = bench.repository.backup(Arc::new(admin(&node))).without_secrets();
    run.application("shop").environment("prod").run(&bench.cx).await.unwrap();
    let backup = bench.repository.find(&bench.cx, "latest").await.unwrap();
    let configuration = bench.repository.view(&bench.cx, &backup).await.unwrap().snapshot();
    let check = probing(&node).of(configuration);
    let found = check.run(&bench.cx, &admin(&node)).await.unwrap();
    let of = |verdict: Verdict| found.iter().filter(move |f| f.verdict == verdict);
    assert_eq!(of(Verdict::Failed).count(), 0, "{found:#?}");
    let opens: Vec<_> =
        of(Verdict::NotRun).filter(|f| f.subject.contains("a known credential opens")).collect();
    assert_eq!(opens.len(), 5, "{found:#?}");
    assert!(opens.iter().all(|f| f.detail.contains("not in the backup")), "{opens:#?}");
    let stays = of(Verdict::Ok).filter(|f| f.subject.contains("nobody comes in")).count();
    assert_eq!(stays, 5, "{found:#?}");
}

#[tokio::test]
async fn a_recorded_configuration_passes_its_own_probes() {
    let bench = Bench::new().await;
    let node = bench.node_with(|node| node.proxy(0)).await;
    bench::load(&node);
    let backup = bench.backup(&node).await;
    let configuration = bench.repository.view(&bench.cx, &backup).await.unwrap().snapshot();
    let found = probing(&node).of(configuration).run(&bench.cx, &admin(&node)).await.unwrap();
    let bad: Vec<_> =
        found.iter().filter(|f| !matches!(f.verdict, Verdict::Ok | Verdict::NotRun)).collect();
    assert!(bad.is_empty(), "{bad:#?}");
    let ok = found.iter().filter(|f| f.verdict == Verdict::Ok).count();
    assert!(ok >= 10, "{ok}: {found:#?}");
}
