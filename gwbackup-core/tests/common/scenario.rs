//! Gateways that have drifted far from their backup, and a reader that knows nothing of the
//! library's own comparison.

#![allow(dead_code, reason = "each test uses a part")]

use std::collections::BTreeMap;
use std::sync::Arc;

use gwbackup_core::Repository;
use gwbackup_core::model::{Key, Resource};
use gwbackup_core::repository::RestoreBuilder;
use gwbackup_core::restore::ApplyOptions;
use gwbackup_core::target::Target;
use gwbackup_core::testing::MemoryGateway;
use serde_json::{Value, json};

use super::common::Bench;

/// Which gateway, and how it writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Character {
    Kong,
    Aws,
    /// AWS-like, each api by one call.
    Composite,
}

pub const ALL: [Character; 3] = [Character::Kong, Character::Aws, Character::Composite];

impl Character {
    pub fn is_aws(self) -> bool {
        self != Self::Kong
    }

    fn empty(self, name: &str) -> MemoryGateway {
        match self {
            Self::Kong => MemoryGateway::kong_like(),
            Self::Aws => MemoryGateway::aws_like(),
            Self::Composite => MemoryGateway::aws_like().with_composite(2),
        }
        .with_name(name)
    }

    /// The gateway that is backed up; the same content each time.
    pub fn original(self, name: &str) -> MemoryGateway {
        let gateway = self.empty(name);
        gateway.populate(1, if self.is_aws() { 110 } else { 120 });
        gateway
    }

    /// The same gateway after much has happened to it: things lost, changed, added.
    pub fn drifted(self, name: &str) -> MemoryGateway {
        let gateway = self.original(name);
        match self {
            Self::Kong => drift_kong(&gateway),
            Self::Aws | Self::Composite => drift_aws(&gateway),
        }
        gateway
    }
}

pub fn of_kind(gateway: &MemoryGateway, kind: &str) -> Vec<Resource> {
    gateway.resources().into_iter().filter(|r| r.key.kind.as_str() == kind).collect()
}

pub fn value(resource: &Resource) -> Value {
    serde_json::from_str(resource.document.as_str()).unwrap()
}

fn drift_kong(gateway: &MemoryGateway) {
    let set = |key: &Key, member: &str, to: Value| {
        assert!(gateway.edit(|contents| contents.set(key, member, &to)));
    };
    let services = of_kind(gateway, "service");
    for service in services.iter().take(3) {
        lose_service(gateway, service);
    }
    for service in services.iter().skip(3).take(4) {
        set(&service.key, "port", json!(1));
    }
    for route in of_kind(gateway, "route").iter().take(12) {
        set(&route.key, "paths", json!(["/moved"]));
    }
    for credential in of_kind(gateway, "credential").iter().take(6) {
        set(&credential.key, "key", json!(format!("other-{}", credential.key.id)));
    }
    let hmac = |r: &&Resource| r.document.text("/name").as_deref() == Some("hmac");
    for plugin in of_kind(gateway, "plugin").iter().filter(hmac).take(2) {
        set(&plugin.key, "config", json!({"secret": "other"}));
    }
    for n in 0..5 {
        let id = |kind: u32| format!("00000000-0000-4000-8000-0000000{kind}000{n}");
        let new = |kind: &str, parent: Option<&Key>, id: &str, body: Value| {
            gateway.create(kind, parent, Some(id), &body).unwrap()
        };
        new("service", None, &id(1), json!({"name": format!("new-{n}"), "host": "h"}));
        let service = json!({"id": id(1)});
        let route = json!({"name": format!("new-{n}"), "service": service, "paths": ["/n"]});
        new("route", None, &id(2), route);
        let plugin = json!({"name": "cors", "route": {"id": id(2)}, "config": {"secret": "s"}});
        new("plugin", None, &id(3), plugin);
        new("consumer", None, &id(4), json!({"username": format!("new-{n}")}));
        new("credential", None, &id(5), json!({"consumer": {"id": id(4)}, "key": format!("k{n}")}));
    }
}

fn lose_service(gateway: &MemoryGateway, service: &Resource) {
    let id = service.key.id.last().into_owned();
    let routes: Vec<Key> = of_kind(gateway, "route")
        .into_iter()
        .filter(|r| r.document.text("/service/id").as_deref() == Some(&id))
        .map(|r| r.key)
        .collect();
    let ids: Vec<String> = routes.iter().map(|key| key.id.last().into_owned()).collect();
    for plugin in of_kind(gateway, "plugin") {
        let route = plugin.document.text("/route/id").map(|id| id.into_owned());
        let owner = plugin.document.text("/service/id").map(|id| id.into_owned());
        if owner.as_deref() == Some(&id) || route.is_some_and(|route| ids.contains(&route)) {
            gateway.remove(&plugin.key);
        }
    }
    for route in &routes {
        gateway.remove(route);
    }
    gateway.remove(&service.key);
}

fn drift_aws(gateway: &MemoryGateway) {
    let set = |key: &Key, member: &str, to: Value| {
        assert!(gateway.edit(|contents| contents.set(key, member, &to)));
    };
    let apis = of_kind(gateway, "api");
    assert!(apis.len() >= 4, "{}", apis.len());
    lose_api(gateway, &apis[0].key);
    let in_api = |api: &Resource| -> Vec<Resource> {
        gateway.resources().into_iter().filter(|r| r.parent.as_ref() == Some(&api.key)).collect()
    };
    set(&apis[1].key, "name", json!("renamed"));
    for thing in in_api(&apis[1]) {
        match thing.key.kind.as_str() {
            "route" | "stage" => set(&thing.key, "comment", json!("by hand")),
            "authorizer" => set(&thing.key, "type", json!("OTHER")),
            "integration" => set(&thing.key, "uri", json!("https://elsewhere.internal")),
            _ => {}
        }
    }
    for thing in in_api(&apis[2]) {
        if matches!(thing.key.kind.as_str(), "route" | "stage") {
            gateway.remove(&thing.key);
        }
    }
    for plan in of_kind(gateway, "plan").iter().skip(1) {
        set(&plan.key, "quota", json!(100_000));
    }
    for key in of_kind(gateway, "api_key").iter().take(2) {
        set(&key.key, "value", json!(format!("rotated-{}", key.key.id)));
    }
    for n in 0..2 {
        let api = json!({"name": format!("new-{n}"), "protocol": "HTTP"});
        let api = gateway.create("api", None, None, &api).unwrap();
        let below = |kind: &str, body: Value| {
            gateway.create(kind, Some(&api), None, &body).unwrap().id.last().into_owned()
        };
        let authorizer = below("authorizer", json!({"name": "a", "type": "JWT"}));
        for twin in ["x", "y"] {
            let integration = below("integration", json!({"uri": "https://n.internal"}));
            let target = format!("integrations/{integration}");
            let route = json!({"route_key": format!("GET /{twin}"), "target": target,
                "authorizer_id": authorizer});
            below("route", route);
        }
        let deployment = below("deployment", json!({"description": "new"}));
        below("stage", json!({"name": "prod", "deployment_id": deployment}));
        let id = api.id.last().into_owned();
        let plan = json!({"name": "gold", "apis": [id], "quota": 1});
        gateway.create("plan", None, None, &plan).unwrap();
        gateway
            .create("api_key", None, None, &json!({"name": "web", "value": format!("new-{n}")}))
            .unwrap();
    }
}

/// An api goes, with what lies below it and what names it.
pub fn lose_api(gateway: &MemoryGateway, api: &Key) {
    let id = api.id.last().into_owned();
    for resource in gateway.resources() {
        let key = &resource.key;
        let names = match key.kind.as_str() {
            "domain" => resource.document.text("/api_id").as_deref() == Some(&id),
            _ => key.id.is_under(&api.id),
        };
        if key.kind.as_str() == "plan" {
            let apis: Vec<Value> = value(&resource)["apis"].as_array().unwrap().clone();
            let left: Vec<Value> = apis.iter().filter(|a| **a != id).cloned().collect();
            if left.len() != apis.len() {
                gateway.edit(|contents| contents.set(key, "apis", &Value::from(left)));
            }
        } else if names {
            gateway.remove(key);
        }
    }
    gateway.remove(api);
}

/// All that a gateway holds, in a form that two gateways share exactly if they hold the same: ids
/// that a server gave are replaced by what they stand for, and times are left out.
pub fn structure(gateway: &MemoryGateway, character: Character) -> Vec<String> {
    let mut all = if character.is_aws() { aws(gateway) } else { kong(gateway) };
    all.sort();
    all
}

fn kong(gateway: &MemoryGateway) -> Vec<String> {
    gateway
        .resources()
        .iter()
        .map(|resource| {
            let mut value = value(resource);
            let members = value.as_object_mut().unwrap();
            members.remove("updated_at");
            for set in ["tags", "methods"] {
                if let Some(items) = members.get_mut(set).and_then(Value::as_array_mut) {
                    items.sort_by_key(ToString::to_string);
                }
            }
            format!("{} {value}", resource.key)
        })
        .collect()
}

/// Ids by name, longest way round: first those of nameless things and authorizers, then of apis.
fn aws(gateway: &MemoryGateway) -> Vec<String> {
    let resources = gateway.resources();
    let own = |resource: &Resource| {
        let mut value = value(resource);
        let members = value.as_object_mut().unwrap();
        for name in ["id", "endpoint", "created"] {
            members.remove(name);
        }
        for set in ["apis", "sources"] {
            if let Some(items) = members.get_mut(set).and_then(Value::as_array_mut) {
                items.sort_by_key(ToString::to_string);
            }
        }
        value.to_string()
    };
    let replaced = |text: &str, names: &BTreeMap<String, String>| {
        names.iter().fold(text.to_owned(), |text, (id, name)| text.replace(id, name))
    };
    let mut found = Vec::new();
    let mut apis = BTreeMap::new();
    for api in resources.iter().filter(|r| r.key.kind.as_str() == "api") {
        let id = api.key.id.last().into_owned();
        let mut names = BTreeMap::from([(id.clone(), "SELF".to_owned())]);
        let children: Vec<&Resource> =
            resources.iter().filter(|r| r.parent.as_ref() == Some(&api.key)).collect();
        for child in &children {
            if matches!(child.key.kind.as_str(), "authorizer" | "integration" | "deployment") {
                let content = replaced(&own(child), &BTreeMap::from([(id.clone(), "SELF".into())]));
                let name = format!("<{} {}>", child.key.kind, content.replace('"', "'"));
                names.insert(child.key.id.last().into_owned(), name);
            }
        }
        let mut texts: Vec<String> = children
            .iter()
            .map(|child| format!("{} {}", child.key.kind, replaced(&own(child), &names)))
            .collect();
        texts.sort();
        let whole = format!("api {} [{}]", replaced(&own(api), &names), texts.join("; "));
        apis.insert(id, format!("<{}>", whole.replace('"', "'")));
        found.push(whole);
    }
    for resource in &resources {
        let kind = resource.key.kind.as_str();
        if kind == "api" || resource.parent.as_ref().is_some_and(|p| p.kind.as_str() == "api") {
            continue;
        }
        let mut text = format!("{kind} {}", replaced(&own(resource), &apis));
        if let Some(parent) = &resource.parent {
            let parent = resources.iter().find(|r| r.key == *parent).unwrap();
            text = format!("{text} of {}", replaced(&own(parent), &apis));
        }
        found.push(text);
    }
    found
}

/// A repository with one backup of the original.
pub struct Scene {
    pub bench: Bench,
    pub repository: Repository,
    pub character: Character,
    /// What the original holds.
    pub wanted: Vec<String>,
}

impl Scene {
    pub async fn new(character: Character) -> Self {
        let bench = Bench::new(1).await;
        let repository = bench.open().await;
        let original = character.original("original");
        let source = Arc::new(original.clone());
        repository
            .backup(source)
            .application("shop")
            .environment("prod")
            .run(&bench.cx)
            .await
            .unwrap();
        let wanted = structure(&original, character);
        Self { bench, repository, character, wanted }
    }

    /// A restore of the backup that makes the target exactly so.
    pub async fn restore(&self, target: Arc<dyn Target>) -> RestoreBuilder {
        let info = self.repository.find(&self.bench.cx, "latest").await.unwrap();
        self.repository.restore(&info, target).prune(100)
    }

    pub fn structure(&self, gateway: &MemoryGateway) -> Vec<String> {
        structure(gateway, self.character)
    }
}

pub fn options() -> ApplyOptions {
    ApplyOptions { accept_loss: true, ..ApplyOptions::default() }
}

/// The same things, told apart.
pub fn assert_same(found: &[String], wanted: &[String], when: &str) {
    let missing: Vec<_> = wanted.iter().filter(|item| !found.contains(item)).collect();
    let more: Vec<_> = found.iter().filter(|item| !wanted.contains(item)).collect();
    assert!(found == wanted, "{when}: missing {missing:#?}\nunexpected {more:#?}");
}
