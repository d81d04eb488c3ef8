//! States that are given to the double as a whole: read somewhere, or made up in any size.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use gwbackup_core::{Error, Result};

use super::kinds::{KINDS, Kind};
use super::node::Node;
use super::write::{Way, Write};

/// How many entities [`generate`](super::KongDouble::generate) makes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Services, each with a host of its own.
    pub services: usize,
    /// Routes, spread over the services.
    pub routes: usize,
    /// Consumers, each with a name and a custom id.
    pub consumers: usize,
    /// Key-auth credentials, spread over the consumers.
    pub key_auths: usize,
    /// Plugins, spread over the routes: at most four for each.
    pub plugins: usize,
}

impl Sizes {
    /// The usual mix for so many consumers: as many keys and plugins, half as many routes, a tenth
    /// as many services. 10,000 are 36,000 entities.
    pub fn around(consumers: usize) -> Self {
        Self {
            services: consumers.div_ceil(10),
            routes: consumers.div_ceil(2),
            consumers,
            key_auths: consumers,
            plugins: consumers,
        }
    }
}

const PLUGINS: [(&str, &str); 4] = [
    ("key-auth", "{}"),
    ("cors", "{}"),
    ("rate-limiting", r#"{"minute":60}"#),
    ("correlation-id", "{}"),
];

impl Node {
    /// Takes in what [`state`](super::KongDouble::state) shows, hashes and all.
    pub(super) fn take_state(&mut self, state: &Map<String, Value>) -> Result<()> {
        for kind in KINDS {
            for list in
                [kind.path, kind.schema].into_iter().filter(|name| state.contains_key(*name))
            {
                let entities = state.get(list).and_then(Value::as_array);
                for entity in entities.into_iter().flatten() {
                    self.take_entity(kind, entity)?;
                }
                if kind.path == kind.schema {
                    break;
                }
            }
        }
        let known = |name: &String| {
            name.starts_with('_') || KINDS.iter().any(|k| k.path == name || k.schema == name)
        };
        match state.keys().find(|name| !known(name)) {
            Some(name) => Err(Error::invalid("the state has an unknown collection").on(name)),
            None => Ok(()),
        }
    }

    fn take_entity(&mut self, kind: &'static Kind, entity: &Value) -> Result<()> {
        let refused = |why: &str| Error::invalid(why.to_owned()).on(kind.path);
        let mut body = entity.as_object().cloned().unwrap_or_default();
        if body.get("ttl").is_some_and(Value::is_null) {
            body.remove("ttl");
        }
        if kind.schema == "certificates" {
            // They come as entities of their own.
            body.remove("snis");
        }
        let id = body.get("id").and_then(Value::as_str).and_then(super::node::as_id);
        let id = id.ok_or_else(|| refused("an entity of the state has no id"))?;
        let way = Way::File { hashes: true };
        self.write_as(kind, Write::Replace(id), body, way)
            .map(|_| ())
            .map_err(|_| refused("an entity of the state would be refused by the node"))
    }

    /// Adds entities, fast.
    pub(super) fn generate(&mut self, sizes: &Sizes) -> Result<()> {
        let services = self.many(
            "services",
            sizes.services,
            |n, _| json!({ "name": format!("service-{n:07}"), "host": format!("s{n}.internal") }),
        )?;
        let routes = self.many("routes", sizes.routes, |n, _| {
            let service = services.get(n % services.len().max(1));
            json!({
                "name": format!("route-{n:07}"),
                "paths": [format!("/r/{n}")],
                "service": service.map(|id| json!({ "id": id })),
            })
        })?;
        let consumers = self.many(
            "consumers",
            sizes.consumers,
            |n, _| json!({ "username": format!("consumer-{n:07}"), "custom_id": format!("c-{n}") }),
        )?;
        if !consumers.is_empty() {
            self.many("keyauth_credentials", sizes.key_auths, |n, own| {
                let consumer = json!({ "id": consumers[n % consumers.len()] });
                json!({ "key": format!("key-{own}"), "consumer": consumer })
            })?;
        }
        for (at, (name, config)) in PLUGINS.iter().enumerate() {
            let already = at * routes.len();
            let count = sizes.plugins.saturating_sub(already).min(routes.len());
            let config: Value = serde_json::from_str(config).unwrap_or_default();
            self.many(
                "plugins",
                count,
                |n, _| json!({ "name": name, "config": config, "route": { "id": routes[n] } }),
            )?;
        }
        Ok(())
    }

    /// The first entity goes through every check; the others are copies of it with other members.
    fn many(
        &mut self,
        schema: &str,
        count: usize,
        body: impl Fn(usize, Uuid) -> Value,
    ) -> Result<Vec<Uuid>> {
        let refused = || Error::invalid("the node refuses what was generated").on(schema);
        let kind = Kind::of_schema(schema).ok_or_else(refused)?;
        let mut ids = Vec::with_capacity(count);
        let mut copy = Map::new();
        for n in 0..count {
            let id = self.ids.uuid();
            let Value::Object(mut members) = body(n, id) else { return Err(refused()) };
            if n == 0 {
                self.write(kind, Write::Replace(id), members).map_err(|_| refused())?;
                copy = self.store.get(kind, id).map(super::store::Row::data).unwrap_or_default();
            } else {
                members.remove("config");
                copy.extend(members);
                copy.insert("id".into(), id.to_string().into());
                if self.store.conflict(kind, id, &copy).is_some() {
                    return Err(refused());
                }
                self.store.put(kind, id, &copy, None);
            }
            ids.push(id);
        }
        Ok(ids)
    }
}
