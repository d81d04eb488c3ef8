//! Unique names that entities take from each other.

use std::sync::Arc;

use gwbackup_core::model::Action;
use gwbackup_core::restore::RunStatus;
use gwbackup_kong::testing::{Fault, KongDouble};
use serde_json::{Value, json};

use crate::bench::{Bench, admin, assert_same, at_write, importing, is_write};

/// An id of this kind (a digit) and number.
fn id(kind: u32, n: u32) -> String {
    format!("00000000-0000-4000-8000-0000000{kind}000{n}")
}

fn put(node: &KongDouble, path: &str, mut body: Value) {
    // Every node is filled at another moment.
    body["created_at"] = 1_700_000_000.into();
    let (status, answer) = node.request("PUT", path, &body);
    assert_eq!(status, 200, "{path}: {answer}");
}

fn patch(node: &KongDouble, path: &str, body: &Value) {
    let (status, answer) = node.request("PATCH", path, body);
    assert_eq!(status, 200, "{path}: {answer}");
}

/// What stands at `member` moves on by one of these entities, in a circle.
fn turn(node: &KongDouble, paths: &[String], members: &[&str]) {
    let get = |path: &String| node.request("GET", path, &Value::Null).1;
    let before: Vec<Value> = paths.iter().map(get).collect();
    for (path, n) in paths.iter().zip(0..) {
        let free = |member: &&str| match *member {
            "target" => ((*member).to_owned(), json!(format!("free{n}:1"))),
            _ => ((*member).to_owned(), json!(format!("free{n}.example"))),
        };
        patch(node, path, &members.iter().map(free).collect());
    }
    for (n, path) in paths.iter().enumerate() {
        let taken = &before[(n + 1) % before.len()];
        let taken = |member: &&str| ((*member).to_owned(), taken[*member].clone());
        patch(node, path, &members.iter().map(taken).collect());
    }
}

/// A node that is backed up, and what happens to it before it is restored.
struct Case {
    fill: fn(&KongDouble),
    drift: fn(&KongDouble),
    /// Whether hashes can be imported.
    imports: bool,
    /// Updates beside those of the entities that differ.
    early: usize,
}

impl Case {
    async fn drifted(&self, bench: &Bench) -> Arc<KongDouble> {
        let node = bench.node().await;
        (self.fill)(&node);
        (self.drift)(&node);
        Arc::new(node)
    }
}

/// Restores undisturbed, then with every write refused, then with every answer lost.
async fn come_back(case: Case) {
    let bench = Bench::new().await;
    let node = bench.node().await;
    (case.fill)(&node);
    let wanted = node.state();
    let backup = bench.backup(&node).await;
    let node = case.drifted(&bench).await;
    let before = node.state();
    let target = |node: &Arc<KongDouble>| if case.imports { importing(node) } else { admin(node) };

    let restore = bench.restore(&backup, target(&node));
    let prepared = bench.plan(restore.clone()).await;
    let plan = prepared.plan();
    let updates = plan.steps.iter().filter(|step| step.action == Action::Update).count();
    assert_eq!(updates, plan.steps.len());
    assert_eq!(updates as u64, plan.summary.update + case.early as u64, "{:#?}", plan.steps);
    node.forget_calls();
    bench.succeed(restore.clone()).await;
    assert_same(&node.state(), &wanted, "undisturbed");
    let calls = node.calls();
    let writes = calls.iter().filter(|call| is_write(&call.method, &call.path)).count();
    assert!(writes >= updates, "{calls:?}");
    let again = bench.plan(restore).await;
    assert!(again.plan().is_empty(), "{:#?}", again.plan().steps);

    for k in 1..=writes {
        let node = case.drifted(&bench).await;
        at_write(&node, k, |n| (n == 1).then_some(Fault::Status(403)));
        let report = bench.apply(bench.restore(&backup, target(&node))).await.report;
        let when = format!("write {k} of {writes} is refused");
        assert_eq!(report.status, RunStatus::RolledBack, "{when}: {:?}", report.failures);
        assert_eq!(report.compare.different, 0, "{when}: {:?}", report.compare.differences);
        assert_same(&node.state(), &before, &when);

        let node = case.drifted(&bench).await;
        at_write(&node, k, |n| (n == 1).then_some(Fault::LoseAnswer));
        let report = bench.apply(bench.restore(&backup, target(&node))).await.report;
        let when = format!("the answer of write {k} of {writes} is lost");
        assert_eq!(report.status, RunStatus::Success, "{when}: {:?}", report.failures);
        assert_same(&node.state(), &wanted, &when);
    }
}

fn all(collection: &str, kind: u32, count: u32) -> Vec<String> {
    (0..count).map(|n| format!("/{collection}/{}", id(kind, n))).collect()
}

fn services(node: &KongDouble) {
    for n in 0..2 {
        let body = json!({"name": format!("service-{n}"), "host": format!("h{n}.example")});
        put(node, &format!("/services/{}", id(1, n)), body);
    }
    for n in 0..3 {
        let body = json!({"name": format!("route-{n}"), "paths": [format!("/{n}")],
            "service": {"id": id(1, n % 2)}});
        put(node, &format!("/routes/{}", id(2, n)), body);
    }
}

fn consumers(node: &KongDouble) {
    for n in 0..3 {
        let own = json!({"id": id(3, n)});
        let body = json!({"username": format!("user-{n}"), "custom_id": format!("custom-{n}")});
        put(node, &format!("/consumers/{}", id(3, n)), body);
        let body = json!({"key": format!("key-{n}"), "consumer": own});
        put(node, &format!("/key-auths/{}", id(4, n)), body);
        let body = json!({"username": format!("login-{n}"), "password": "p", "consumer": own});
        put(node, &format!("/basic-auths/{}", id(5, n)), body);
    }
}

#[tokio::test]
async fn services_exchange_names() {
    let drift = |node: &KongDouble| turn(node, &all("services", 1, 2), &["name"]);
    come_back(Case { fill: services, drift, imports: false, early: 1 }).await;
}

#[tokio::test]
async fn names_of_routes_go_round() {
    let drift = |node: &KongDouble| turn(node, &all("routes", 2, 3), &["name"]);
    come_back(Case { fill: services, drift, imports: false, early: 1 }).await;
}

#[tokio::test]
async fn names_of_consumers_go_round() {
    let drift = |node: &KongDouble| turn(node, &all("consumers", 3, 3), &["username"]);
    come_back(Case { fill: consumers, drift, imports: true, early: 1 }).await;
}

#[tokio::test]
async fn consumers_exchange_both_of_their_names() {
    let drift = |node: &KongDouble| turn(node, &all("consumers", 3, 2), &["username", "custom_id"]);
    come_back(Case { fill: consumers, drift, imports: true, early: 1 }).await;
}

/// The first of them is in both circles: whoever lets go of one name lets go of the other.
#[tokio::test]
async fn consumers_exchange_names_in_two_circles() {
    let drift = |node: &KongDouble| {
        turn(node, &all("consumers", 3, 2), &["username"]);
        turn(node, &all("consumers", 3, 3), &["custom_id"]);
    };
    come_back(Case { fill: consumers, drift, imports: true, early: 1 }).await;
    let drift = |node: &KongDouble| {
        turn(node, &all("consumers", 3, 2), &["username"]);
        let mut others = all("consumers", 3, 3);
        others.reverse();
        turn(node, &others, &["custom_id"]);
    };
    come_back(Case { fill: consumers, drift, imports: true, early: 1 }).await;
}

#[tokio::test]
async fn credentials_exchange_what_they_are_known_by() {
    let drift = |node: &KongDouble| turn(node, &all("key-auths", 4, 2), &["key"]);
    come_back(Case { fill: consumers, drift, imports: true, early: 1 }).await;
}

#[tokio::test]
async fn logins_exchange_their_names_and_keep_their_hashes() {
    for imports in [true, false] {
        let drift = |node: &KongDouble| turn(node, &all("basic-auths", 5, 2), &["username"]);
        come_back(Case { fill: consumers, drift, imports, early: 1 }).await;
    }
}

#[tokio::test]
async fn a_login_takes_the_name_that_another_gives_up() {
    let drift = |node: &KongDouble| {
        let [first, second, _] = <[String; 3]>::try_from(all("basic-auths", 5, 3)).unwrap();
        patch(node, &first, &json!({"username": "other"}));
        patch(node, &second, &json!({"username": "login-0"}));
    };
    come_back(Case { fill: consumers, drift, imports: true, early: 0 }).await;
}

fn upstreams(node: &KongDouble) {
    for n in 0..2 {
        put(node, &format!("/upstreams/{}", id(6, n)), json!({"name": format!("up{n}.example")}));
        for m in 0..2 {
            let body = json!({"id": id(7, n * 2 + m), "target": format!("10.0.{n}.{m}:80"),
                "created_at": 1_700_000_000});
            let path = format!("/upstreams/{}/targets", id(6, n));
            let (status, answer) = node.request("POST", &path, &body);
            assert_eq!(status, 201, "{answer}");
        }
    }
}

#[tokio::test]
async fn upstreams_exchange_names() {
    let drift = |node: &KongDouble| turn(node, &all("upstreams", 6, 2), &["name"]);
    come_back(Case { fill: upstreams, drift, imports: false, early: 1 }).await;
}

#[tokio::test]
async fn targets_exchange_addresses() {
    let drift = |node: &KongDouble| {
        turn(node, &all(&format!("upstreams/{}/targets", id(6, 0)), 7, 2), &["target"]);
    };
    come_back(Case { fill: upstreams, drift, imports: false, early: 1 }).await;
}

fn certificates(node: &KongDouble) {
    let recorded = crate::bench::recorded();
    for (n, certificate) in (0..).zip(recorded["certificates"].iter().take(2)) {
        let body = json!({"cert": certificate["cert"], "key": certificate["key"]});
        put(node, &format!("/certificates/{}", id(8, n)), body);
    }
    for (n, name) in (0..).zip(["*.a.example", "b.example"]) {
        let body = json!({"name": name, "certificate": {"id": id(8, n)}});
        put(node, &format!("/snis/{}", id(9, n)), body);
    }
}

#[tokio::test]
async fn certificates_exchange_their_snis() {
    let drift = |node: &KongDouble| {
        for (own, other) in [(0, 1), (1, 0)] {
            let body = json!({"certificate": {"id": id(8, other)}});
            patch(node, &format!("/snis/{}", id(9, own)), &body);
        }
    };
    come_back(Case { fill: certificates, drift, imports: false, early: 0 }).await;
}

#[tokio::test]
async fn snis_exchange_names() {
    let drift = |node: &KongDouble| turn(node, &all("snis", 9, 2), &["name"]);
    come_back(Case { fill: certificates, drift, imports: false, early: 1 }).await;
}

fn plugins(node: &KongDouble) {
    services(node);
    for n in 0..2 {
        let body = json!({"name": "cors", "instance_name": format!("cors-{n}"),
            "config": {"max_age": n}, "service": {"id": id(1, n)}});
        put(node, &format!("/plugins/{}", id(4, n)), body);
    }
}

#[tokio::test]
async fn plugins_exchange_their_instances_names() {
    let drift = |node: &KongDouble| turn(node, &all("plugins", 4, 2), &["instance_name"]);
    come_back(Case { fill: plugins, drift, imports: false, early: 1 }).await;
}
