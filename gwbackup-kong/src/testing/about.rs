//! What the node says of itself.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::kinds::{KINDS, Kind, TARGETS, UPSTREAMS};
use super::node::{Mode, Node};
use super::reply::Reply;

/// The recorded answers, to which the node adds what depends on its state.
fn recorded(name: &str) -> Value {
    let all: Map<String, Value> =
        serde_json::from_str(include_str!("data/node.json")).unwrap_or_default();
    all.get(name).cloned().unwrap_or_default()
}

fn set(value: &mut Value, path: &str, new: Value) {
    if let Some(slot) = value.pointer_mut(path) {
        *slot = new;
    }
}

impl Node {
    /// `GET /`.
    pub(super) fn about(&self) -> Reply {
        let mut root = recorded("root");
        set(&mut root, "/version", self.version.clone().into());
        if self.mode == Mode::DbLess {
            set(&mut root, "/configuration/database", "off".into());
        }
        if !self.workspaces.is_empty() {
            set(&mut root, "/edition", "enterprise".into());
        }
        let plugins =
            Kind::of_schema("plugins").into_iter().flat_map(|kind| self.store.after(kind, None));
        let mut names: Vec<Value> =
            plugins.filter_map(|(_, row)| row.data().get("name").cloned()).collect();
        names.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
        names.dedup();
        set(&mut root, "/plugins/enabled_in_cluster", names.into());
        Reply::json(200, &root)
    }

    /// `GET /workspaces`.
    pub(super) fn list_workspaces(&self) -> Reply {
        let names = std::iter::once("default").chain(self.workspaces.keys().map(String::as_str));
        let workspace = |name: &str| {
            let id = Uuid::new_v5(&Uuid::NAMESPACE_DNS, name.as_bytes());
            json!({ "id": id, "name": name, "comment": null, "config": {}, "meta": {} })
        };
        let data: Vec<Value> = names.map(workspace).collect();
        Reply::json(200, &json!({ "data": data, "next": null }))
    }

    /// `GET /status`.
    pub(super) fn status(&self) -> Reply {
        match self.mode {
            Mode::Database => Reply::json(200, &recorded("status")),
            Mode::DbLess => {
                let mut status = recorded("status_dbless");
                set(&mut status, "/configuration_hash", self.loaded.0.clone().into());
                Reply::json(200, &status)
            }
        }
    }

    /// `GET /endpoints`: what this version has.
    pub(super) fn endpoints(&self) -> Reply {
        let mut all = recorded("endpoints");
        let absent: Vec<String> = KINDS
            .iter()
            .filter(|kind| kind.since > self.release())
            .map(|kind| format!("/{}", kind.path))
            .collect();
        let here = |path: &Value| {
            let path = path.as_str().unwrap_or_default();
            !absent.iter().any(|gone| {
                path.strip_prefix(gone.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
        };
        if let Some(Value::Array(paths)) = all.pointer_mut("/data") {
            paths.retain(here);
        }
        Reply::json(200, &all)
    }

    /// `GET /plugins/enabled`.
    pub(super) fn enabled() -> Reply {
        Reply::json(200, &recorded("enabled"))
    }

    /// `DELETE /cache`: workers read their credentials anew.
    pub(super) fn forget(&mut self) -> Reply {
        self.cached.clear();
        Reply::empty(204)
    }

    /// `GET /upstreams/{u}/health`. Targets are healthy, or not checked where they take no share.
    pub(super) fn health(&self, upstream: Uuid) -> Reply {
        let checked = self.store.get(UPSTREAMS, upstream).is_some_and(|row| {
            let data = row.data();
            let checks = data.get("healthchecks");
            let number =
                |path: &str| checks.and_then(|checks| checks.pointer(path)).and_then(Value::as_f64);
            let ways = [
                "/active/healthy/interval",
                "/active/unhealthy/interval",
                "/passive/healthy/successes",
                "/passive/unhealthy/http_failures",
                "/passive/unhealthy/tcp_failures",
                "/passive/unhealthy/timeouts",
            ];
            ways.into_iter().filter_map(number).any(|number| number > 0.0)
        });
        let mut targets: Vec<_> =
            self.store.children(TARGETS, "upstream", upstream, None).collect();
        targets.sort_by_key(|(_, row)| std::cmp::Reverse(row.order));
        let data: Vec<Value> = targets
            .into_iter()
            .map(|(_, row)| {
                let mut data = row.data();
                let weight = data.get("weight").and_then(Value::as_i64).unwrap_or(0);
                let state = if checked && weight > 0 { "HEALTHY" } else { "HEALTHCHECKS_OFF" };
                let target = data.get("target").and_then(Value::as_str).unwrap_or_default();
                let (host, port) = target.rsplit_once(':').unwrap_or((target, "8000"));
                let port = port.parse::<u16>().unwrap_or(8000);
                let address =
                    json!({ "ip": host, "port": port, "weight": weight, "health": state });
                let about = json!({
                    "host": host, "port": port, "dns": "A", "nodeWeight": weight,
                    "weight": { "total": weight, "available": weight, "unavailable": 0 },
                    "addresses": [address],
                });
                data.insert("data".into(), about);
                data.insert("health".into(), state.into());
                Value::Object(data)
            })
            .collect();
        let node = recorded("root").get("node_id").cloned();
        Reply::json(200, &json!({ "data": data, "next": null, "node_id": node }))
    }
}
