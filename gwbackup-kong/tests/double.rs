//! What the double does beside answering: faults, delays, edits by others, files, large states.
#![allow(clippy::unwrap_used, reason = "a failure here fails the test")]

use std::sync::Arc;
use std::time::Duration;

use gwbackup_core::testing::ManualClock;
use gwbackup_kong::testing::{Edit, Fault, KongDouble, Sizes};
use reqwest::{Client, Response};
use serde_json::{Value, json};

async fn get(kong: &KongDouble, path: &str) -> reqwest::Result<Response> {
    Client::new().get(format!("{}{path}", kong.url())).send().await
}

async fn page(kong: &KongDouble, path: &str) -> Value {
    serde_json::from_str(&get(kong, path).await.unwrap().text().await.unwrap()).unwrap()
}

fn export() -> &'static str {
    include_str!("fixtures/12-export.yml")
}

/// A state without what no restore can bring back.
fn comparable(kong: &KongDouble) -> Value {
    let mut state = serde_json::to_value(kong.state()).unwrap();
    for entity in
        state.as_object_mut().unwrap().values_mut().flat_map(|e| e.as_array_mut().unwrap())
    {
        entity.as_object_mut().unwrap().remove("updated_at");
    }
    state
}

#[tokio::test]
async fn a_fault_meets_the_request_that_its_rule_names_and_has_no_effect() {
    let kong = KongDouble::start().await.unwrap();
    kong.faults(|asked| match (asked.number, asked.write, asked.path) {
        (1, ..) => Some(Fault::Status(413)),
        (2, ..) => Some(Fault::Status(429)),
        (3, ..) => Some(Fault::RetryAfter(503, 7)),
        (_, 1, _) => Some(Fault::Status(500)),
        (.., "/consumers") => Some(Fault::Status(403)),
        _ => None,
    });
    let large = get(&kong, "/services").await.unwrap();
    assert_eq!(large.status(), 413);
    assert!(large.text().await.unwrap().starts_with("<html>"));
    for (status, wait) in [(429, "1"), (503, "7")] {
        let answer = get(&kong, "/services").await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["retry-after"]),
            (status, &wait.parse().unwrap())
        );
    }
    let put = Client::new().put(format!("{}/services/pay", kong.url())).body(r#"{"host":"h"}"#);
    assert_eq!(put.try_clone().unwrap().send().await.unwrap().status(), 500);
    assert!(kong.state()["services"].is_empty());
    assert_eq!(put.send().await.unwrap().status(), 200);
    assert_eq!(get(&kong, "/consumers?size=10").await.unwrap().status(), 403);
    let statuses: Vec<_> = kong.calls().into_iter().map(|call| call.status.unwrap()).collect();
    assert_eq!(statuses, [413, 429, 503, 500, 200, 403]);
    kong.calm();
    assert_eq!(get(&kong, "/consumers").await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_lost_answer_has_its_effect_and_a_broken_connection_has_none() {
    let kong = KongDouble::start().await.unwrap();
    kong.faults(|asked| match asked.path {
        "/services/kept" => Some(Fault::LoseAnswer),
        "/services/lost" => Some(Fault::Disconnect),
        _ => None,
    });
    for name in ["kept", "lost"] {
        let url = format!("{}/services/{name}", kong.url());
        assert!(Client::new().put(url).body(r#"{"host":"h"}"#).send().await.is_err());
    }
    let names: Vec<Value> = kong.state()["services"].iter().map(|s| s["name"].clone()).collect();
    assert_eq!(names, ["kept"]);
}

#[tokio::test]
async fn a_node_that_went_away_refuses_connections() {
    let kong = KongDouble::start().await.unwrap();
    kong.faults(|asked| (asked.number == 2).then_some(Fault::GoAway));
    let client = Client::new();
    let url = format!("{}/status", kong.url());
    assert_eq!(client.get(&url).send().await.unwrap().status(), 200);
    assert!(client.get(&url).send().await.is_err());
    // The listener ends in a task of its own.
    while tokio::net::TcpStream::connect(kong.url().trim_start_matches("http://")).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(client.get(&url).send().await.unwrap_err().is_connect());
    assert_eq!(kong.traffic().requests, 2);
}

#[tokio::test]
async fn others_edit_between_two_pages() {
    let kong = KongDouble::start().await.unwrap();
    let id = |n: u32| format!("{n}0000000-0000-4000-8000-000000000000");
    for n in [2, 4, 6] {
        let body = json!({ "username": format!("c{n}") });
        assert_eq!(kong.request("PUT", &format!("/consumers/{}", id(n)), &body).0, 200);
    }
    kong.edits(move |asked| match asked.number {
        2 => vec![
            Edit::new("DELETE", format!("/consumers/{}", id(2)), Value::Null),
            Edit::new("PUT", format!("/consumers/{}", id(1)), json!({ "username": "behind" })),
            Edit::new("PUT", format!("/consumers/{}", id(5)), json!({ "username": "ahead" })),
        ],
        _ => Vec::new(),
    });
    let mut seen = Vec::new();
    let mut next = Value::from("/consumers?size=1");
    while let Some(path) = next.as_str() {
        let page = page(&kong, path).await;
        seen.extend(page["data"].as_array().unwrap().iter().map(|c| c["username"].clone()));
        next = page["next"].clone();
    }
    assert_eq!(seen, ["c2", "c4", "ahead", "c6"]);
    let left: Vec<_> = kong.state()["consumers"].iter().map(|c| c["username"].clone()).collect();
    assert_eq!(left, ["behind", "c4", "ahead", "c6"]);
}

#[tokio::test]
async fn requests_at_one_moment_are_counted() {
    let kong = KongDouble::builder().page_delay(Duration::from_hours(1)).start().await.unwrap();
    let calls: Vec<_> = (0..8)
        .map(|_| tokio::spawn(Client::new().get(format!("{}/status", kong.url())).send()))
        .collect();
    while kong.traffic().most_requests < 8 {
        tokio::task::yield_now().await;
    }
    assert_eq!(kong.traffic().most_connections, 8);
    drop(kong);
    for call in calls {
        assert!(call.await.unwrap().is_err(), "a double that is gone answers nobody");
    }
}

#[tokio::test]
async fn a_key_counts_down_and_expires() {
    let clock = ManualClock::new("2026-01-01T00:00:00Z".parse().unwrap());
    let kong = KongDouble::builder().clock(Arc::new(clock.clone())).start().await.unwrap();
    kong.request("PUT", "/consumers/a", &Value::Null);
    let (status, key) = kong.request("POST", "/consumers/a/key-auth", &json!({ "ttl": 60 }));
    assert_eq!((status, &key["ttl"]), (201, &json!(60)));
    let path = format!("/key-auths/{}", key["id"].as_str().unwrap());
    clock.advance(Duration::from_millis(20_500));
    assert_eq!(kong.request("GET", &path, &Value::Null).1["ttl"], 39);
    // A change keeps the moment, a replacement forgets it.
    kong.request("PATCH", &path, &json!({ "tags": ["t"] }));
    assert_eq!(page(&kong, "/key-auths").await["data"][0]["ttl"], 39);
    clock.advance(Duration::from_secs(40));
    assert_eq!(kong.request("GET", &path, &Value::Null).0, 404);
    assert!(kong.state()["key-auths"].is_empty());
}

#[tokio::test]
async fn an_import_keeps_hashes_and_workers_hear_of_it_by_a_touch() {
    let kong = KongDouble::start().await.unwrap();
    kong.load(export()).unwrap();
    assert!(
        kong.lets_in("shopweb", "demo-password-1"),
        "the recorded hash is that of the password"
    );
    let path = "/basic-auths/shopweb";
    kong.request("PATCH", path, &json!({ "password": "another" }));
    assert!(kong.lets_in("shopweb", "another"));
    // Sending the hash through the API hashes it again.
    let hash = "6b3f045b04cc717b50019c3d997cbd3cdf282a10";
    kong.request("PATCH", path, &json!({ "password": hash }));
    assert!(!kong.lets_in("shopweb", "demo-password-1"));

    kong.import(export()).unwrap();
    assert_eq!(kong.request("GET", path, &Value::Null).1["password"], hash);
    assert!(!kong.lets_in("shopweb", "demo-password-1"), "workers go by what they read before");
    assert_eq!(kong.request("PATCH", path, &json!({ "tags": null })).0, 200);
    assert!(kong.lets_in("shopweb", "demo-password-1"));
    let refused = kong.import("_format_version: '3.0'\nservices:\n- name: x\n").unwrap_err();
    assert_eq!(refused.subject(), Some("services"));
}

#[tokio::test]
async fn a_state_comes_back_from_its_file_and_from_itself() {
    let clock = ManualClock::new("2026-11-20T13:49:40Z".parse().unwrap());
    let start = || KongDouble::builder().clock(Arc::new(clock.clone())).start();
    let (first, second, third) =
        (start().await.unwrap(), start().await.unwrap(), start().await.unwrap());
    // The import forgets expiry; the recorded state has one entity that expires.
    let recorded: Value = serde_json::from_str(include_str!("fixtures/10-state.json")).unwrap();
    first.load(&recorded.to_string()).unwrap();
    let held: usize = first.state().values().map(Vec::len).sum();
    assert_eq!(held, 103);
    for (name, entities) in recorded.as_object().unwrap() {
        for entity in entities.as_array().unwrap() {
            let own = &first.state()[name];
            let found = own.iter().find(|own| own["id"] == entity["id"]).unwrap();
            for (member, value) in entity.as_object().unwrap() {
                assert!(member == "updated_at" || found[member] == *value, "{name}/{member}");
            }
        }
    }
    second.load(&serde_json::to_string(&first.state()).unwrap()).unwrap();
    assert_eq!(comparable(&second), comparable(&first));
    third.load(&first.export()).unwrap();
    let (mut old, mut new) = (comparable(&first), comparable(&third));
    for state in [&mut old, &mut new] {
        for key in state["key-auths"].as_array_mut().unwrap() {
            key["ttl"] = Value::Null;
        }
    }
    assert_eq!(new, old);
}

#[tokio::test]
async fn a_load_that_is_refused_leaves_the_old_configuration() {
    let kong = KongDouble::builder().db_less().start().await.unwrap();
    kong.load("{\"_format_version\":\"3.0\",\"services\":[{\"name\":\"a\",\"host\":\"h\"}]}")
        .unwrap();
    let before = page(&kong, "/status").await["configuration_hash"].clone();
    assert!(kong.load("_format_version: '3.0'\nservices:\n- name: b\n").is_err());
    assert_eq!(page(&kong, "/status").await["configuration_hash"], before);
    assert_eq!(kong.state()["services"][0]["name"], "a");
}

#[tokio::test]
async fn an_older_version_lacks_what_came_later() {
    let kong = KongDouble::builder().version("2.8.4").start().await.unwrap();
    assert_eq!(page(&kong, "/").await["version"], "2.8.4");
    assert_eq!(get(&kong, "/vaults").await.unwrap().status(), 404);
    let endpoints = page(&kong, "/endpoints").await.to_string();
    assert!(endpoints.contains("\"/services\""));
    assert!(!endpoints.contains("/key-sets") && !endpoints.contains("\"/keys"));
}

#[tokio::test]
async fn large_states_are_made_and_read_page_by_page() {
    let kong = KongDouble::start().await.unwrap();
    let sizes = Sizes::around(10_000);
    kong.generate(&sizes).unwrap();
    let mut total = 0;
    let mut calls = 0;
    for collection in ["services", "routes", "consumers", "key-auths", "plugins"] {
        let mut next = Value::from(format!("/{collection}?size=1000"));
        let mut last = String::new();
        while let Some(path) = next.as_str() {
            let page = page(&kong, path).await;
            for entity in page["data"].as_array().unwrap() {
                let id = entity["id"].as_str().unwrap();
                assert!(id > last.as_str());
                id.clone_into(&mut last);
                total += 1;
            }
            calls += 1;
            next = page["next"].clone();
        }
    }
    assert_eq!((total, calls), (36_000, 36));
}

#[tokio::test]
async fn a_file_of_a_node_without_a_database_loses_what_expires_when_it_is_sent_back() {
    let clock = ManualClock::new("2026-11-20T13:49:40Z".parse().unwrap());
    let kong = KongDouble::builder().db_less().clock(Arc::new(clock)).start().await.unwrap();
    kong.load(export()).unwrap();
    assert_eq!(kong.state()["key-auths"].len(), 4);
    let config = page(&kong, "/config").await["config"].clone();
    assert_eq!(kong.request("POST", "/config", &json!({ "config": config })).0, 201);
    assert_eq!(kong.state()["key-auths"].len(), 3);
    let upstream = "{\"name\":\"u\",\"algorithm\":\"consistent-hashing\"}";
    kong.load(&format!("_format_version: '3.0'\nupstreams: [{upstream}]")).unwrap();
    assert_eq!(kong.state()["upstreams"][0]["algorithm"], "round-robin");
}

#[tokio::test]
async fn workspaces_hold_entities_of_their_own() {
    let kong = KongDouble::builder().workspaces(["team"]).start().await.unwrap();
    for name in ["a", "b"] {
        kong.request("PUT", &format!("/team/services/{name}"), &json!({ "host": "h" }));
    }
    let first = page(&kong, "/team/services?size=1").await;
    assert!(first["next"].as_str().unwrap().starts_with("/services?offset="));
    let own = format!("/team{}", first["next"].as_str().unwrap());
    assert_eq!(page(&kong, &own).await["data"].as_array().unwrap().len(), 1);
    assert!(kong.state()["services"].is_empty());
    assert_eq!(get(&kong, "/default/services").await.unwrap().status(), 200);
    assert_eq!(page(&kong, "/workspaces").await["data"][1]["name"], "team");
    assert_eq!(
        get(&KongDouble::start().await.unwrap(), "/workspaces").await.unwrap().status(),
        404
    );
}
