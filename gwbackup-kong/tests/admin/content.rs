//! Everything that a node holds, as it is.

use std::collections::BTreeMap;

use gwbackup_core::Context;
use gwbackup_core::model::{Captured, Key, Kind, Resource, Rules, Says, Scope};
use gwbackup_core::source::Source;
use gwbackup_core::testing::conformance::{SourceFixture, source};
use gwbackup_kong::testing::KongDouble;
use serde_json::{Value, json};
use std::sync::Arc;

use crate::common::{admin, admin_of, described, fill, fixture, quick, read, read_scope};
use futures_util::TryStreamExt as _;

#[tokio::test]
async fn the_suite_for_sources() {
    source(|| async {
        let kong = KongDouble::start().await.unwrap();
        fill(&kong);
        let source = Arc::new(admin(&kong));
        let touch = move || {
            kong.request("PUT", "/services/touched", &json!({ "host": "h" }));
        };
        let touch = Box::new(move || {
            touch();
            Box::pin(async {}) as _
        });
        SourceFixture { source, touch: Some(touch) }
    })
    .await;
}

/// Without what moves by itself: the time of the last change, and the time that is left.
fn comparable(mut entity: Value) -> Value {
    let members = entity.as_object_mut().unwrap();
    members.remove("updated_at");
    if members.get("ttl").is_some_and(Value::is_number) {
        members.remove("ttl");
    }
    entity
}

#[tokio::test]
async fn what_is_read_is_what_the_recorded_node_held() {
    let kong = KongDouble::start().await.unwrap();
    fill(&kong);
    let content = read(&admin(&kong), &quick()).await.unwrap();
    assert_eq!(content.lacks(), []);
    let recorded: BTreeMap<String, Vec<Value>> =
        serde_json::from_str(&fixture("10-state.json")).unwrap();
    let ids = |entities: &[Value]| -> BTreeMap<String, Value> {
        let id = |e: &Value| e["id"].as_str().unwrap().to_owned();
        entities.iter().map(|e| (id(e), comparable(e.clone()))).collect()
    };
    let schema = described(&admin(&kong), &quick()).await.unwrap().schema;
    let rules = Rules::new(schema);
    let mut count = 0;
    for (collection, entities) in &recorded {
        let kind = rules.kind_named(collection).unwrap();
        assert_eq!(ids(&content.of(kind.as_str())), ids(entities), "{collection}");
        count += entities.len();
    }
    assert_eq!((content.resources.len(), count), (103, 103));
}

/// Reads the recorded export through `kong-file:` and holds it against what a node gave.
async fn equals_the_export(kong: &KongDouble, db_less: bool) {
    let cx = quick();
    let description = described(&admin(kong), &cx).await.unwrap();
    let content = read(&admin(kong), &cx).await.unwrap();
    let rules = Rules::new(description.schema);
    let path = format!("{}/tests/fixtures/12-export.yml", env!("CARGO_MANIFEST_DIR"));
    let file = gwbackup_kong::open(path).unwrap();
    let about = file.describe(&cx).await.unwrap();
    let all: Vec<Captured> =
        file.read(&cx, &about, &Scope::everything(), None).try_collect().await.unwrap();
    let exported: BTreeMap<Key, Resource> = all
        .into_iter()
        .filter_map(|captured| match captured {
            Captured::Resource(resource) => Some((resource.key.clone(), resource)),
            _ => None,
        })
        .filter(|(key, _)| !["parameter", "declarative_file"].contains(&key.kind.as_str()))
        .collect();
    let form = |resource: &Resource| rules.comparable(resource, &[], &[]).as_str().to_owned();
    for (key, resource) in &exported {
        let Some(read) = content.resources.get(key) else {
            // An export gives seconds left, a load takes them for a moment long past.
            let expired = resource.document.get("/ttl").is_some_and(|ttl| ttl != "null");
            assert!(db_less && expired, "{key} is not there");
            continue;
        };
        // One file of the recordings has a host's name replaced, even inside a private key.
        let read = form(read).replace("kong-node-1", "vm");
        assert!(read == form(resource), "{key} differs");
    }
    assert!(content.resources.keys().all(|key| exported.contains_key(key)));
}

#[tokio::test]
async fn the_same_state_read_from_an_export_differs_in_nothing() {
    let kong = KongDouble::start().await.unwrap();
    fill(&kong);
    equals_the_export(&kong, false).await;
}

#[tokio::test]
async fn a_node_without_a_database_is_read_and_says_when_it_moves() {
    let kong = KongDouble::builder().db_less().start().await.unwrap();
    kong.load(&fixture("12-export.yml")).unwrap();
    let (node, cx) = (admin(&kong), quick());
    let revision = node.revision(&cx, &Scope::everything()).await.unwrap().unwrap();
    assert_eq!(revision.as_str().len(), 32);
    equals_the_export(&kong, true).await;
    let again = node.revision(&cx, &Scope::everything()).await.unwrap();
    assert_eq!(again.as_ref(), Some(&revision));
    kong.load("{\"_format_version\": \"3.0\", \"services\": [{\"host\": \"h\"}]}").unwrap();
    assert_ne!(node.revision(&cx, &Scope::everything()).await.unwrap(), Some(revision));
    let with_database = KongDouble::start().await.unwrap();
    let mark = admin(&with_database).revision(&cx, &Scope::everything()).await.unwrap();
    assert_eq!(mark, None);
}

#[tokio::test]
async fn secrets_are_marked_wherever_they_stand() {
    let kong = KongDouble::start().await.unwrap();
    fill(&kong);
    let content = read(&admin(&kong), &quick()).await.unwrap();
    let secret = |kind: &str, pointer: &str| {
        let of_kind = content.resources.values().filter(|r| r.key.kind.as_str() == kind);
        of_kind.filter(|r| r.document.text(pointer).is_some()).all(|r| {
            r.marks.iter().any(|mark| mark.at.pointer == pointer && mark.says == Says::Secret)
        })
    };
    for (kind, pointer) in [
        ("certificate", "/key"),
        ("keyauth_credential", "/key"),
        ("basicauth_credential", "/password"),
        ("jwt_secret", "/secret"),
        ("hmacauth_credential", "/secret"),
        ("oauth2_credential", "/client_secret"),
        ("oauth2_token", "/access_token"),
        ("plugin", "/config/redis/password"),
        ("plugin", "/config/redis_password"),
    ] {
        assert!(secret(kind, pointer), "{kind} {pointer}");
    }
}

#[tokio::test]
async fn a_time_to_live_is_kept_as_its_end() {
    let kong = KongDouble::start().await.unwrap();
    kong.request("PUT", "/consumers/c", &json!({}));
    kong.request("POST", "/consumers/c/key-auth", &json!({ "key": "k", "ttl": 3600 }));
    let now = Context::new().now().as_second();
    let content = read(&admin(&kong), &Context::new()).await.unwrap();
    let end = content.of("keyauth_credential")[0]["ttl"].as_i64().unwrap();
    assert!((now + 3590..=now + 3610).contains(&end), "{}", end - now);
}

#[tokio::test]
async fn tags_choose_and_nested_lists_choose_too() {
    let kong = KongDouble::start().await.unwrap();
    for (method, path, body) in [
        ("PUT", "/services/a", json!({ "host": "h", "tags": ["x", "y"] })),
        ("PUT", "/services/b", json!({ "host": "h", "tags": ["x"] })),
        ("PUT", "/services/c", json!({ "host": "h" })),
        ("PUT", "/upstreams/u", json!({ "tags": ["x", "y"] })),
        ("POST", "/upstreams/u/targets", json!({ "target": "1.1.1.1:1", "tags": ["y", "x"] })),
        ("POST", "/upstreams/u/targets", json!({ "target": "2.2.2.2:2" })),
        // Its service lies outside.
        ("POST", "/services/c/routes", json!({ "paths": ["/"], "tags": ["x", "y"] })),
    ] {
        let (status, answer) = kong.request(method, path, &body);
        assert!(status < 300, "{path} {answer}");
    }
    let content = read(&admin_of(&kong, "?tags=x,y"), &quick()).await.unwrap();
    let names = |kind| content.of(kind).iter().map(|e| e["name"].clone()).collect::<Vec<_>>();
    assert_eq!(names("service"), [json!("a")]);
    assert_eq!(content.of("target").len(), 1);
    assert_eq!(content.of("route").len(), 1);
    assert_eq!(content.lacks(), []);
}

#[tokio::test]
async fn odd_names_are_only_names() {
    let kong = KongDouble::start().await.unwrap();
    for name in ["a/b", "mit leer", "kunde-ü", "100%", "?#&"] {
        let (status, _) = kong.request("POST", "/consumers", &json!({ "username": name }));
        assert_eq!(status, 201);
    }
    let content = read(&admin(&kong), &quick()).await.unwrap();
    assert_eq!(content.of("consumer").len(), 5);
    for key in content.resources.keys() {
        let one = read_scope(&admin(&kong), &quick(), &Scope::of(key.clone())).await.unwrap();
        assert_eq!(one.resources.keys().collect::<Vec<_>>(), [key]);
    }
}

#[tokio::test]
async fn a_scope_of_a_target_finds_it_below_its_upstream() {
    let kong = KongDouble::start().await.unwrap();
    fill(&kong);
    let all = read(&admin(&kong), &quick()).await.unwrap();
    let target = all.resources.keys().find(|key| key.kind.as_str() == "target").unwrap();
    let one = read_scope(&admin(&kong), &quick(), &Scope::of(target.clone())).await.unwrap();
    assert_eq!(one.resources.keys().collect::<Vec<_>>(), [target]);
    let kinds = Scope { kinds: vec![Kind::known("target")], under: Vec::new() };
    let targets = read_scope(&admin(&kong), &quick(), &kinds).await.unwrap();
    assert_eq!(targets.resources.len(), 7);
}
