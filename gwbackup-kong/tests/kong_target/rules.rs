//! What is peculiar to one kind or another.

use std::time::Duration;

use gwbackup_core::model::Verdict;
use gwbackup_core::plan::Existing;
use gwbackup_core::restore::RunStatus;
use gwbackup_kong::testing::{Edit, KongDouble};
use serde_json::{Value, json};

use crate::bench::{Bench, admin, admin_at, assert_same};

fn make(node: &KongDouble, path: &str, body: &Value) -> String {
    let (status, made) = node.request("POST", path, body);
    assert_eq!(status, 201, "{path}: {made}");
    made["id"].as_str().unwrap().to_owned()
}

fn call(node: &KongDouble, method: &str, path: &str, body: &Value) {
    let (status, answer) = node.request(method, path, body);
    assert!(status < 300, "{method} {path}: {answer}");
}

#[tokio::test]
async fn a_key_lives_as_long_as_it_would_have() {
    let bench = Bench::new().await;
    let node = bench.node().await;
    let ada = make(&node, "/consumers", &json!({"username": "ada"}));
    for (key, ttl) in [("short", 100), ("long", 3600)] {
        let body = json!({"key": key, "ttl": ttl, "consumer": {"id": ada}});
        make(&node, "/key-auths", &body);
    }
    make(&node, "/key-auths", &json!({"key": "for ever", "consumer": {"id": ada}}));
    let backup = bench.backup(&node).await;
    call(&node, "DELETE", &format!("/consumers/{ada}"), &Value::Null);
    bench.clock.advance(Duration::from_mins(10));
    let outcome = bench.succeed(bench.restore(&backup, admin(&node))).await;
    assert_eq!(outcome.report.summary.skipped, 1);
    let mut keys: Vec<_> = node.state()["key-auths"]
        .iter()
        .map(|key| (key["key"].as_str().unwrap().to_owned(), key["ttl"].as_i64()))
        .collect();
    keys.sort();
    assert_eq!(keys, [("for ever".to_owned(), None), ("long".to_owned(), Some(3000))]);
}

#[tokio::test]
async fn replacing_takes_no_children_along() {
    let bench = Bench::new().await;
    let node = bench.node().await;
    let ada = make(&node, "/consumers", &json!({"username": "ada"}));
    make(
        &node,
        "/basic-auths",
        &json!({"username": "ada", "password": "p", "consumer": {"id": ada}}),
    );
    let before = node.state();
    let backup = bench.backup(&node).await;
    call(&node, "PATCH", &format!("/consumers/{ada}"), &json!({"tags": ["x"]}));
    let replace = bench.restore(&backup, admin(&node)).existing(Existing::Replace);
    bench.succeed(replace).await;
    assert_same(&node.state(), &before, "the password is still there");
}

#[tokio::test]
async fn a_target_moves_with_its_upstream() {
    let bench = Bench::new().await;
    let node = bench.node().await;
    let one = make(&node, "/upstreams", &json!({"name": "one"}));
    let two = make(&node, "/upstreams", &json!({"name": "two"}));
    let body = json!({"target": "10.0.0.1:80", "weight": 7});
    let target = make(&node, &format!("/upstreams/{one}/targets"), &body);
    let before = node.state();
    let backup = bench.backup(&node).await;
    call(&node, "DELETE", &format!("/upstreams/{one}/targets/{target}"), &Value::Null);
    let body = json!({"id": target, "target": "10.0.0.1:80"});
    make(&node, &format!("/upstreams/{two}/targets"), &body);
    bench.succeed(bench.restore(&backup, admin(&node))).await;
    let mut found = node.state();
    // It was made anew elsewhere in between, and is made anew here.
    found.get_mut("targets").unwrap()[0]["created_at"] = before["targets"][0]["created_at"].clone();
    assert_same(&found, &before, "back below its upstream");
}

#[tokio::test]
async fn things_of_the_same_name_are_adopted_and_what_names_them_follows() {
    let bench = Bench::new().await;
    let node = bench.node().await;
    let service = make(&node, "/services", &json!({"name": "pay", "host": "pay.example"}));
    let body = json!({"name": "pay", "paths": ["/pay"], "service": {"id": service}});
    let route = make(&node, "/routes", &body);
    make(&node, "/plugins", &json!({"name": "cors", "route": {"id": route}}));
    let backup = bench.backup(&node).await;

    let other = bench.node().await;
    let there = make(&other, "/services", &json!({"name": "pay", "host": "other.example"}));
    bench.succeed(bench.restore(&backup, admin(&other)).existing(Existing::Adopt)).await;
    let state = other.state();
    assert_eq!(state["services"].len(), 1);
    assert_eq!(state["services"][0]["host"], "pay.example");
    assert_eq!(state["services"][0]["id"], *there);
    assert_eq!(state["routes"][0]["service"]["id"], *there);
    assert_eq!(state["routes"][0]["id"], *route);
    assert_eq!(state["plugins"][0]["route"]["id"], *route);
    let again = bench.plan(bench.restore(&backup, admin(&other)).existing(Existing::Adopt)).await;
    assert!(again.plan().is_empty(), "{:#?}", again.plan().steps);
}

/// Everything of the backup is there under other ids: what is known by what it belongs to is found
/// by the other's id.
#[tokio::test]
async fn what_is_known_by_what_it_belongs_to_is_found_below_adopted_things() {
    let fill = |node: &KongDouble, age: u32| {
        let service = make(node, "/services", &json!({"name": "pay", "host": "pay.example"}));
        let body = json!({"name": "pay", "paths": ["/pay"], "service": {"id": service}});
        let route = make(node, "/routes", &body);
        let ada = make(node, "/consumers", &json!({"username": "ada"}));
        let scope = json!({"name": "cors", "config": {"max_age": age}, "route": {"id": route}});
        make(node, "/plugins", &scope);
        let body = json!({"name": "rate-limiting", "config": {"minute": age},
            "service": {"id": service}, "consumer": {"id": ada}});
        make(node, "/plugins", &body);
        let body = json!({"group": "gold", "tags": [age.to_string()], "consumer": {"id": ada}});
        make(node, "/acls", &body);
        let upstream = make(node, "/upstreams", &json!({"name": "up"}));
        let body = json!({"target": "10.0.0.1:80", "weight": age});
        make(node, &format!("/upstreams/{upstream}/targets"), &body);
        let set = make(node, "/key-sets", &json!({"name": "set"}));
        let jwk = json!({"kty": "oct", "kid": "k", "k": "aHVzaA"}).to_string();
        let body = json!({"kid": "k", "set": {"id": set}, "jwk": jwk, "tags": [age.to_string()]});
        make(node, "/keys", &body);
    };
    let bench = Bench::new().await;
    let node = bench.node().await;
    fill(&node, 1);
    let backup = bench.backup(&node).await;
    let other = bench.node().await;
    fill(&other, 2);
    let ids = |node: &KongDouble| -> Vec<Value> {
        node.state().into_values().flatten().map(|entity| entity["id"].clone()).collect()
    };
    let before = ids(&other);
    let outcome = bench.succeed(bench.restore(&backup, admin(&other))).await;
    let summary = &outcome.report.summary;
    assert_eq!((summary.create, summary.update, summary.foreign), (0, 5, 0), "{summary:?}");
    assert_eq!(ids(&other), before);
    let state = other.state();
    assert_eq!(state["targets"][0]["weight"], 1);
    assert_eq!(state["acls"][0]["tags"], json!(["1"]));
    let again = bench.plan(bench.restore(&backup, admin(&other))).await;
    assert!(again.plan().is_empty(), "{:#?}", again.plan().steps);
}

/// Of what an adopted thing holds some is in the way of what comes, and gives its place up.
#[tokio::test]
async fn a_scope_below_an_adopted_thing_is_taken_from_whoever_gives_it_up() {
    let bench = Bench::new().await;
    let node = bench.node().await;
    let ada = make(&node, "/consumers", &json!({"username": "ada"}));
    let (gold, lead) = (uuid(1), uuid(2));
    for (id, group) in [(&gold, "gold"), (&lead, "lead")] {
        make(&node, "/acls", &json!({"id": id, "group": group, "consumer": {"id": ada}}));
    }
    let backup = bench.backup(&node).await;
    // The same ids with the groups exchanged, below another consumer of the name.
    let other = bench.node().await;
    let there = make(&other, "/consumers", &json!({"username": "ada"}));
    for (id, group) in [(&gold, "lead"), (&lead, "gold")] {
        make(&other, "/acls", &json!({"id": id, "group": group, "consumer": {"id": there}}));
    }
    bench.succeed(bench.restore(&backup, admin(&other))).await;
    let groups: Vec<_> = other.state()["acls"]
        .iter()
        .map(|acl| (acl["id"].clone(), acl["group"].clone(), acl["consumer"]["id"].clone()))
        .collect();
    let wanted = |id: &String, group: &str| (json!(id), json!(group), json!(there));
    assert_eq!(groups, [wanted(&gold, "gold"), wanted(&lead, "lead")]);
    let again = bench.plan(bench.restore(&backup, admin(&other))).await;
    assert!(again.plan().is_empty(), "{:#?}", again.plan().steps);
}

fn uuid(n: u32) -> String {
    format!("00000000-0000-4000-8000-00000000000{n}")
}

#[tokio::test]
async fn a_plugin_of_the_same_scope_is_the_same_plugin() {
    let bench = Bench::new().await;
    let node = bench.node().await;
    make(&node, "/plugins", &json!({"name": "cors", "config": {"max_age": 1}}));
    let backup = bench.backup(&node).await;
    let other = bench.node().await;
    let there = make(&other, "/plugins", &json!({"name": "cors", "config": {"max_age": 2}}));
    bench.succeed(bench.restore(&backup, admin(&other))).await;
    let plugins = &other.state()["plugins"];
    assert_eq!((plugins.len(), &plugins[0]["config"]["max_age"]), (1, &json!(1)));
    assert_eq!(plugins[0]["id"], *there);
}

#[tokio::test]
async fn somebody_elses_edit_between_plan_and_write_is_a_conflict() {
    let bench = Bench::new().await;
    let node = bench.recorded().await;
    let before = node.state();
    let backup = bench.backup(&node).await;
    let service = format!("/services/{}", before["services"][0]["id"].as_str().unwrap());
    call(&node, "PATCH", &service, &json!({"port": 1}));
    let path = service.clone();
    let mut reads = 0;
    node.edits(move |asked| {
        // The first look at this very service is the one of its step.
        let look = asked.method == "GET" && asked.path == path;
        reads += u32::from(look);
        let edit = || Edit::new("PATCH", path.clone(), json!({"port": 2}));
        if look && reads == 1 { vec![edit()] } else { Vec::new() }
    });
    let outcome = bench.apply(bench.restore(&backup, admin(&node))).await;
    assert_eq!(outcome.report.status, RunStatus::RolledBack, "{:?}", outcome.report.failures);
    assert_eq!(node.request("GET", &service, &Value::Null).1["port"], 2, "it is theirs");
}

#[tokio::test]
async fn a_filter_by_tags_touches_nothing_outside() {
    let bench = Bench::new().await;
    let node = bench.node().await;
    make(&node, "/services", &json!({"name": "in", "host": "h.example", "tags": ["a"]}));
    make(&node, "/services", &json!({"name": "out", "host": "h.example", "tags": ["b"]}));
    let backup = bench.backup_of(admin_at(&node, "?tags=a")).await;
    let before = node.state();
    let gone = make(&node, "/consumers", &json!({"username": "new", "tags": ["a"]}));
    make(&node, "/consumers", &json!({"username": "theirs"}));
    let outcome =
        bench.succeed(bench.restore(&backup, admin_at(&node, "?tags=a")).prune(100)).await;
    assert_eq!(outcome.report.summary.delete, 1);
    assert_eq!(node.state()["consumers"].len(), 1);
    assert_eq!(node.state()["services"], before["services"]);

    // A child that the filter hides would go with its parent.
    let body = json!({"id": gone, "username": "again", "tags": ["a"]});
    make(&node, "/consumers", &body);
    make(&node, "/key-auths", &json!({"key": "hidden", "consumer": {"id": gone}}));
    let restore = bench.restore(&backup, admin_at(&node, "?tags=a")).prune(100);
    let plan = restore.plan(&bench.cx).await.unwrap();
    let findings = &plan.plan().findings;
    let failed: Vec<_> = findings.iter().filter(|f| f.verdict == Verdict::Failed).collect();
    assert_eq!(failed.len(), 1, "{findings:#?}");
    assert!(failed[0].detail.contains("keyauth_credential/"), "{}", failed[0].detail);
    assert!(failed[0].change.is_some());
}
