use serde_json::json;

use super::*;
use crate::error::ErrorKind;

fn refusal(result: Result<Key>) -> ErrorKind {
    result.unwrap_err().kind()
}

fn delete(gateway: &MemoryGateway, key: &Key) -> Result<usize> {
    gateway.0.vendor.with(|state| state.delete(key)).map(|done| done.also.len())
}

fn update(gateway: &MemoryGateway, key: &Key, body: &serde_json::Value) -> Result<()> {
    let body = Document::from_value(body).unwrap();
    gateway.0.vendor.with(|state| state.update(key, &body)).map(drop)
}

#[test]
fn kong_refuses_what_breaks_its_rules() {
    let gateway = MemoryGateway::kong_like();
    let service = json!({"name": "a", "host": "h"});
    let first = gateway.create("service", None, Some("s1"), &service).unwrap();
    let again =
        |id, body: serde_json::Value| refusal(gateway.create("service", None, Some(id), &body));
    assert_eq!(again("s1", json!({"name": "b", "host": "h"})), ErrorKind::AlreadyExists);
    assert_eq!(again("s2", service.clone()), ErrorKind::AlreadyExists);
    assert_eq!(again("s2", json!({"name": "b"})), ErrorKind::Invalid);
    assert_eq!(again("s2", json!({"id": "s3", "host": "h"})), ErrorKind::Invalid);
    assert_eq!(refusal(gateway.create("sni", None, Some("x"), &json!({}))), ErrorKind::NotFound);
    let route = |service: &str| json!({"paths": ["/"], "service": {"id": service}});
    let dangling = gateway.create("route", None, Some("r1"), &route("none"));
    assert_eq!(refusal(dangling), ErrorKind::Invalid);
    gateway.create("route", None, Some("r1"), &route("s1")).unwrap();
    assert_eq!(delete(&gateway, &first).unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(refusal(gateway.create("target", None, None, &json!({}))), ErrorKind::Invalid);
}

#[test]
fn kong_fills_in_defaults_and_cascades() {
    let gateway = MemoryGateway::kong_like();
    let service = gateway.create("service", None, Some("s1"), &json!({"host": "h"})).unwrap();
    let document = gateway.resource(&service).unwrap().document;
    assert_eq!((document.get("/port"), document.get("/id")), (Some("80"), Some("\"s1\"")));
    let stamp = |gateway: &MemoryGateway| {
        let resource = gateway.resource(&service).unwrap();
        (resource.document.get("/updated_at").unwrap().to_owned(), resource.revision)
    };
    let before = stamp(&gateway);
    update(&gateway, &service, &json!({"host": "h"})).unwrap();
    assert_ne!(stamp(&gateway), before);

    let consumer = json!({"username": "u"});
    let consumer = gateway.create("consumer", None, Some("c1"), &consumer).unwrap();
    let credential = json!({"consumer": {"id": "c1"}, "key": "k"});
    let credential = gateway.create("credential", None, Some("k1"), &credential).unwrap();
    assert_eq!(gateway.resource(&credential).unwrap().marks.len(), 1);
    assert_eq!(delete(&gateway, &consumer).unwrap(), 1);
    assert!(gateway.resource(&credential).is_none());
}

#[test]
fn aws_assigns_ids_and_never_twice() {
    let gateway = MemoryGateway::aws_like();
    let make = || gateway.create("api", None, None, &json!({"name": "same"})).unwrap();
    let (a, b) = (make(), make());
    assert_ne!(a, b);
    assert_eq!(delete(&gateway, &a).unwrap(), 2, "the two models that were born with it go too");
    gateway.clear();
    let c = make();
    assert!(c != a && c != b);
    let other = MemoryGateway::aws_like().with_seed(1);
    assert_ne!(other.create("api", None, None, &json!({"name": "same"})).unwrap(), a);
    let account = super::key("account", "account").unwrap();
    assert!(gateway.resource(&account).is_some());
}

#[test]
fn aws_refuses_what_breaks_its_rules() {
    let gateway = MemoryGateway::aws_like();
    let api = gateway.create("api", None, None, &json!({"name": "n"})).unwrap();
    let below = |kind: &str, body| gateway.create(kind, Some(&api), None, &body);
    let authorizer = json!({"name": "jwt", "type": "JWT"});
    below("authorizer", authorizer.clone()).unwrap();
    assert_eq!(refusal(below("authorizer", authorizer)), ErrorKind::AlreadyExists);
    let integration = below("integration", json!({"uri": "u"})).unwrap();
    let integration = integration.id.last().into_owned();
    let route = |target: String| json!({"route_key": "GET /", "target": target});
    assert_eq!(refusal(below("route", route(integration.clone()))), ErrorKind::Invalid);
    below("route", route(format!("integrations/{integration}"))).unwrap();
    let deployment = below("deployment", json!({"description": "d"})).unwrap();
    assert_eq!(
        gateway.resource(&deployment).unwrap().document.get("/snapshot"),
        Some(r#"{"GET /":"u"}"#)
    );
    let changed = update(&gateway, &deployment, &json!({"description": "e"}));
    assert_eq!(changed.unwrap_err().kind(), ErrorKind::Unsupported);
    let stage = json!({"name": "prod", "deployment_id": deployment.id.last()});
    below("stage", stage).unwrap();
    assert_eq!(delete(&gateway, &deployment).unwrap_err().kind(), ErrorKind::Conflict);
    let plan = json!({"name": "p", "apis": [api.id.as_str()]});
    let plan = gateway.create("plan", None, None, &plan).unwrap();
    assert_eq!(delete(&gateway, &api).unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(delete(&gateway, &plan).unwrap(), 1, "its default goes too");
    delete(&gateway, &api).unwrap();

    let foreign = json!({"name": "n", "policy": "arn:gw:42:restapis/zzz"});
    assert_eq!(refusal(gateway.create("api", None, None, &foreign)), ErrorKind::Invalid);
    let protocol = gateway.create("api", None, None, &json!({"name": "n"})).unwrap();
    let changed = update(&gateway, &protocol, &json!({"name": "n", "protocol": "WS"}));
    assert_eq!(changed.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(
        refusal(gateway.create("certificate", None, None, &json!({"body": "b"}))),
        ErrorKind::Invalid
    );
    assert_eq!(refusal(gateway.create("account", None, None, &json!({}))), ErrorKind::Unsupported);
}

#[test]
fn a_deleted_domain_keeps_its_name() {
    let gateway = MemoryGateway::aws_like();
    let api = gateway.create("api", None, None, &json!({"name": "n"})).unwrap();
    let body = json!({"name": "d.example", "api_id": api.id.as_str()});
    let domain = gateway.create("domain", None, None, &body).unwrap();
    delete(&gateway, &domain).unwrap();
    assert_eq!(refusal(gateway.create("domain", None, None, &body)), ErrorKind::AlreadyExists);
    gateway.0.vendor.with(|state| state.undelete(&domain)).unwrap();
    assert!(gateway.resource(&domain).is_some());
}

#[test]
fn what_is_hidden_is_kept_and_never_given_out() {
    let gateway = MemoryGateway::aws_like();
    let body = json!({"name": "c", "body": "b", "private_key": "hush"});
    let key = gateway.create("certificate", None, None, &body).unwrap();
    update(&gateway, &key, &json!({"name": "c2", "body": "b"})).unwrap();
    let resource = gateway.resource(&key).unwrap();
    assert!(!resource.document.as_str().contains("hush"));
    assert!(resource.is_incomplete());
}

#[test]
fn population_is_the_same_for_the_same_seed_and_about_as_large_as_asked() {
    for make in [MemoryGateway::kong_like as fn() -> MemoryGateway, MemoryGateway::aws_like] {
        let fill = |seed| {
            let gateway = make();
            gateway.populate(seed, 200);
            gateway.resources()
        };
        let all = fill(7);
        assert!((200..240).contains(&all.len()), "{}", all.len());
        assert_eq!(all, fill(7));
        assert_ne!(all, fill(8));
        let gateway = make();
        let kinds = |all: &[Resource]| -> std::collections::BTreeSet<Kind> {
            all.iter().map(|r| r.key.kind.clone()).collect()
        };
        assert_eq!(kinds(&all).len(), gateway.rules().schema().kinds.len());
    }
}
