//! What of a configuration a proxy goes by.

use std::collections::{BTreeMap, BTreeSet};

use gwbackup_core::Result;
use gwbackup_core::model::{Key, Resource, Snapshot};
use serde_json::Value;

/// Credentials of one kind that are kept: one usable of each is enough.
const KEPT: usize = 200;
/// Consumers whose groups are kept.
const GROUPED: usize = 20_000;

/// A configuration, as far as a caller of the proxy notices it.
#[derive(Debug, Default)]
pub(super) struct Site {
    pub(super) routes: Vec<Route>,
    pub(super) plugins: Vec<Plugin>,
    /// By kind.
    pub(super) credentials: BTreeMap<&'static str, Vec<Value>>,
    /// By consumer.
    pub(super) groups: BTreeMap<String, BTreeSet<String>>,
    services: BTreeMap<String, Key>,
}

#[derive(Debug)]
pub(super) struct Route {
    pub(super) key: Key,
    pub(super) id: String,
    pub(super) service: Option<String>,
    pub(super) hosts: Vec<String>,
    pub(super) paths: Vec<String>,
    pub(super) methods: Vec<String>,
    pub(super) headers: Vec<(String, Vec<String>)>,
    pub(super) snis: Vec<String>,
    pub(super) protocols: Vec<String>,
    pub(super) expression: bool,
    pub(super) regex_priority: i64,
    pub(super) created_at: i64,
    name: Option<String>,
}

#[derive(Debug)]
pub(super) struct Plugin {
    pub(super) key: Key,
    pub(super) name: String,
    pub(super) enabled: bool,
    pub(super) config: Value,
    pub(super) consumer: Option<String>,
    route: Option<String>,
    service: Option<String>,
    instance: Option<String>,
    http: bool,
}

impl Site {
    pub(super) fn read(configuration: &dyn Snapshot) -> Result<Self> {
        let mut site = Self::default();
        for resource in configuration.scan()? {
            let resource = resource?;
            match resource.key.kind.as_str() {
                "route" => site.routes.push(Route::new(&resource)),
                "plugin" => site.plugins.push(Plugin::new(&resource)),
                "service" => {
                    let value = resource.document.to_value();
                    if let Some(id) = text(&value["id"]) {
                        site.services.insert(id, resource.key.clone());
                    }
                }
                "acl" if site.groups.len() < GROUPED => {
                    let value = resource.document.to_value();
                    if let (Some(consumer), Some(group)) =
                        (text(&value["consumer"]["id"]), text(&value["group"]))
                    {
                        site.groups.entry(consumer).or_default().insert(group);
                    }
                }
                kind => {
                    if let Some(kind) = KINDS.into_iter().find(|known| *known == kind) {
                        let kept = site.credentials.entry(kind).or_default();
                        if kept.len() < KEPT {
                            kept.push(resource.document.to_value());
                        }
                    }
                }
            }
        }
        Ok(site)
    }

    pub(super) fn service_key(&self, id: &str) -> Option<Key> {
        self.services.get(id).cloned()
    }

    /// The plugins in force on a route for a caller who is no consumer yet: of one name the one that
    /// names most.
    pub(super) fn over(&self, route: &Route) -> Vec<&Plugin> {
        let mut best: BTreeMap<&str, (u8, &Plugin)> = BTreeMap::new();
        for plugin in self.plugins.iter().filter(|p| p.enabled && p.http && p.consumer.is_none()) {
            let names = |of: &Option<String>, is: Option<&String>| match of {
                None => Some(false),
                Some(id) => (Some(id) == is).then_some(true),
            };
            let (Some(by_route), Some(by_service)) = (
                names(&plugin.route, Some(&route.id)),
                names(&plugin.service, route.service.as_ref()),
            ) else {
                continue;
            };
            let weight = 2 * u8::from(by_route) + u8::from(by_service);
            let slot = best.entry(&plugin.name).or_insert((weight, plugin));
            if slot.0 < weight {
                *slot = (weight, plugin);
            }
        }
        best.into_values().map(|(_, plugin)| plugin).collect()
    }
}

/// Kinds of credentials that open something.
const KINDS: [&str; 4] =
    ["keyauth_credential", "basicauth_credential", "jwt_secret", "hmacauth_credential"];

impl Route {
    fn new(resource: &Resource) -> Self {
        let value = resource.document.to_value();
        let protocols = list(&value["protocols"]);
        Self {
            key: resource.key.clone(),
            id: text(&value["id"]).unwrap_or_else(|| resource.key.id.last().into_owned()),
            name: text(&value["name"]),
            service: text(&value["service"]["id"]),
            hosts: list(&value["hosts"]),
            paths: list(&value["paths"]),
            methods: list(&value["methods"]),
            snis: list(&value["snis"]),
            headers: value["headers"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(name, values)| (name.clone(), list(values)))
                .collect(),
            expression: text(&value["expression"]).is_some(),
            protocols: if protocols.is_empty() {
                vec!["http".to_owned(), "https".to_owned()]
            } else {
                protocols
            },
            regex_priority: value["regex_priority"].as_i64().unwrap_or_default(),
            created_at: value["created_at"].as_i64().unwrap_or_default(),
        }
    }

    /// What people call it.
    pub(super) fn label(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.id)
    }
}

impl Plugin {
    fn new(resource: &Resource) -> Self {
        let mut value = resource.document.to_value();
        let protocols = list(&value["protocols"]);
        let http = |protocol: &String| matches!(protocol.as_str(), "http" | "https");
        Self {
            key: resource.key.clone(),
            name: text(&value["name"]).unwrap_or_default(),
            enabled: value["enabled"].as_bool().unwrap_or(true),
            consumer: text(&value["consumer"]["id"]),
            route: text(&value["route"]["id"]),
            service: text(&value["service"]["id"]),
            instance: text(&value["instance_name"]),
            http: protocols.is_empty() || protocols.iter().any(http),
            config: value["config"].take(),
        }
    }

    /// What people call it.
    pub(super) fn label(&self) -> String {
        match &self.instance {
            Some(instance) => format!("{} ({instance})", self.name),
            None => self.name.clone(),
        }
    }

    /// A number of its configuration.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        let value = &self.config[name];
        value.as_u64().or_else(|| {
            // Kong writes limits as numbers of any kind; a fraction is no limit that can be counted.
            let text = value.to_string();
            text.strip_suffix(".0").unwrap_or(&text).parse().ok()
        })
    }

    pub(super) fn flag(&self, name: &str, default: bool) -> bool {
        self.config[name].as_bool().unwrap_or(default)
    }

    pub(super) fn list(&self, name: &str) -> Vec<String> {
        list(&self.config[name])
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        text(&self.config[name])
    }
}

pub(super) fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

fn list(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(text).collect()
}
