//! Nodes that have drifted far from their backup.

use std::sync::Arc;

use gwbackup_core::model::Action;
use gwbackup_core::report::GoLive;
use gwbackup_core::repository::{BackupInfo, RestoreBuilder, RestoreOutcome};
use gwbackup_core::restore::RunStatus;
use gwbackup_kong::testing::KongDouble;
use serde_json::{Value, json};

use crate::bench::{Bench, State, assert_same, importing, is_write};

/// A backup of a node, and how the node is by now.
pub struct Scene {
    pub bench: Bench,
    pub backup: BackupInfo,
    pub wanted: State,
    pub drifted: State,
    /// Whether the restore deletes what the backup does not know.
    prune: bool,
}

impl Scene {
    async fn of(
        node: KongDouble,
        bench: Bench,
        drift: fn(&KongDouble, &State),
        prune: bool,
    ) -> Self {
        let wanted = node.state();
        let backup = bench.backup(&node).await;
        drift(&node, &wanted);
        let drifted = node.state();
        Self { bench, backup, wanted, drifted, prune }
    }

    /// The recorded node after much has happened to it, to be made exactly as it was.
    pub async fn recorded() -> Self {
        let bench = Bench::new().await;
        Self::of(bench.recorded().await, bench, drift, true).await
    }

    /// 400 entities, of which 100 are as they were, 60 differ, 40 are there under other ids, and 200
    /// are gone; and 30 that the backup does not know.
    pub async fn half() -> Self {
        let bench = Bench::new().await;
        let node = bench.node().await;
        four_hundred(&node);
        Self::of(node, bench, lose_half, false).await
    }

    /// One more node that has drifted so.
    pub async fn drifted(&self) -> Arc<KongDouble> {
        let node = self.bench.node().await;
        node.load(&serde_json::to_string(&self.drifted).unwrap()).unwrap();
        assert_same(&node.state(), &self.drifted, "each node drifts alike");
        Arc::new(node)
    }

    pub fn builder(&self, node: &Arc<KongDouble>) -> RestoreBuilder {
        let restore = self.bench.restore(&self.backup, importing(node));
        if self.prune { restore.prune(100) } else { restore }
    }

    pub async fn restore(&self, node: &Arc<KongDouble>) -> RestoreOutcome {
        self.bench.apply(self.builder(node)).await
    }

    /// How many calls write; checks that it is a plan of so many changes of each kind.
    pub async fn undisturbed(&self, wanted: [usize; 3]) -> usize {
        let node = self.drifted().await;
        let prepared = self.bench.plan(self.builder(&node)).await;
        let count = |action| prepared.plan().steps.iter().filter(|s| s.action == action).count();
        let counts = [Action::Create, Action::Update, Action::Delete].map(count);
        assert!(counts.iter().zip(wanted).all(|(n, wanted)| *n >= wanted), "{counts:?}");
        node.forget_calls();
        let outcome = self.restore(&node).await;
        succeeded(self, &node, &outcome, "undisturbed");
        let again = self.bench.plan(self.builder(&node)).await;
        assert!(again.plan().is_empty(), "{:#?}", again.plan().steps);
        let writes = node.calls();
        writes.iter().filter(|call| is_write(&call.method, &call.path)).count()
    }

    /// What a finished restore leaves.
    pub fn is_restored(&self, node: &KongDouble, when: &str) {
        let mut wanted = self.wanted.clone();
        if !self.prune {
            adopt(&mut wanted, &self.drifted);
        }
        assert_same(&node.state(), &wanted, when);
    }
}

pub fn rolled_back(scene: &Scene, node: &KongDouble, outcome: &RestoreOutcome, when: &str) {
    let report = &outcome.report;
    assert_eq!(report.status, RunStatus::RolledBack, "{when}: {:?}", report.failures);
    assert_eq!(report.verdict, GoLive::NoGo);
    assert_eq!(report.compare.different, 0, "{when}: {:?}", report.compare.differences);
    assert_same(&node.state(), &scene.drifted, when);
}

pub fn succeeded(scene: &Scene, node: &KongDouble, outcome: &RestoreOutcome, when: &str) {
    let report = &outcome.report;
    assert_eq!(report.status, RunStatus::Success, "{when}: {:?}", report.failures);
    assert_eq!(report.compare.different, 0, "{when}: {:?}", report.compare.differences);
    scene.is_restored(node, when);
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

/// An id of this kind (a digit) and number.
fn id(kind: u32, n: u32) -> String {
    format!("00000000-0000-4000-8000-0000000{kind}{n:04}")
}

fn put(node: &KongDouble, collection: &str, id: &str, mut body: Value) {
    body["created_at"] = 1_700_000_000.into();
    let (status, answer) = node.request("PUT", &format!("/{collection}/{id}"), &body);
    assert_eq!(status, 200, "{collection}: {answer}");
}

fn four_hundred(node: &KongDouble) {
    for n in 0..60 {
        let body = json!({"name": format!("service-{n}"), "host": format!("h{n}.example")});
        put(node, "services", &id(1, n), body);
    }
    for n in 0..120 {
        let body = json!({"name": format!("route-{n}"), "paths": [format!("/{n}")],
            "service": {"id": id(1, n / 2)}});
        put(node, "routes", &id(2, n), body);
    }
    for n in 0..80 {
        put(node, "consumers", &id(3, n), json!({"username": format!("user-{n}")}));
        let body = json!({"key": format!("key-{n}"), "consumer": {"id": id(3, n)}});
        put(node, "key-auths", &id(4, n), body);
    }
    for n in 0..60 {
        let body =
            json!({"name": "cors", "config": {"max_age": n}, "route": {"id": id(2, 40 + n)}});
        put(node, "plugins", &id(5, n), body);
    }
}

fn lose_half(node: &KongDouble, _: &State) {
    let call = |method: &str, path: String, body: Value| {
        let (status, answer) = node.request(method, &path, &body);
        assert!(status < 300, "{method} {path}: {status} {answer}");
    };
    for n in 0..40 {
        call("PATCH", format!("/services/{}", id(1, n)), json!({"retries": 1}));
    }
    for n in 0..20 {
        call("PATCH", format!("/key-auths/{}", id(4, n)), json!({"key": format!("other-{n}")}));
    }
    // With 60 plugins.
    for n in 20..120 {
        call("DELETE", format!("/routes/{}", id(2, n)), Value::Null);
    }
    // Each with its key.
    for n in 40..80 {
        call("DELETE", format!("/consumers/{}", id(3, n)), Value::Null);
        put(node, "consumers", &id(6, n), json!({"username": format!("user-{n}")}));
    }
    for n in 0..30 {
        let body = json!({"name": format!("foreign-{n}"), "host": "f.example"});
        put(node, "services", &id(7, n), body);
    }
}

/// What a restore makes of [`four_hundred`] where half of it is there under other ids, and what was
/// not the backup's stays.
fn adopt(wanted: &mut State, drifted: &State) {
    let text = serde_json::to_string(wanted).unwrap();
    let text = (40..80).fold(text, |text, n| text.replace(&id(3, n), &id(6, n)));
    *wanted = serde_json::from_str(&text).unwrap();
    let foreign = drifted["services"].iter();
    let foreign = foreign.filter(|s| s["name"].as_str().is_some_and(|n| n.starts_with("foreign")));
    wanted.get_mut("services").unwrap().extend(foreign.cloned());
}
