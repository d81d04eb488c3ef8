//! What one node is and has, as it says itself.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, future, stream};
use gwbackup_core::clock::Timestamp;
use gwbackup_core::error::ErrorKind;
use gwbackup_core::model::{
    Cause, Description, Document, Gap, HandleName, Handles, Id, Key, Kind, KindSpec, Limits,
    MemberRule, Resource, Schema,
};
use gwbackup_core::{Context, Error, Result};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::client::{Answer, Client};
use super::config::Config;
use super::entity;
use crate::schema::{ROWS, Row, schema_of};

/// One node.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) version: String,
    pub(crate) edition: String,
    pub(crate) mode: Mode,
    pub(crate) router_flavor: Option<String>,
    /// Versions of the plugins that it can run.
    pub(crate) plugins: BTreeMap<String, String>,
    /// What is read.
    pub(crate) collections: Vec<Collection>,
    /// What is not, and why.
    pub(crate) gaps: Vec<Gap>,
    /// What the address leaves out.
    pub(crate) left_out: Vec<Collection>,
    /// Rules of kinds that the table does not know.
    found: Vec<KindSpec>,
    /// Rules of plugins that the table does not know.
    plugin_rules: Vec<MemberRule>,
}

/// How a node keeps its configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// In a database of its own.
    Traditional,
    /// In a database, for data planes.
    ControlPlane,
    /// In memory, loaded from a file.
    DbLess,
}

/// One list of entities.
#[derive(Debug, Clone)]
pub(crate) struct Collection {
    pub(crate) kind: Kind,
    /// Segments of its path; for targets, what follows the upstream.
    pub(crate) path: Vec<String>,
    pub(crate) row: Option<&'static Row>,
}

impl Collection {
    /// An entity as the API gives it, but for the time it has to live: its end is kept instead.
    pub(crate) fn entity(&self, row: &RawValue, now: Timestamp) -> Result<Resource> {
        let mut document = Document::parse(row.get())?;
        let primary = self.row.map_or("id", |row| row.primary);
        let id = document.text(&format!("/{primary}")).map(std::borrow::Cow::into_owned);
        let id = id.ok_or_else(|| Error::invalid("the node gives an entity without an id"))?;
        if self.row.is_some_and(|row| row.expires)
            && let Some(left) = document.get("/ttl").and_then(|ttl| ttl.parse::<i64>().ok())
        {
            let end = now.as_second().saturating_add(left);
            document = document.with_member("/ttl", &end.to_string())?;
        }
        Ok(Resource::new(Key::new(self.kind.clone(), Id::of([id])?), document))
    }
}

#[derive(Deserialize)]
struct Root {
    version: String,
    edition: Option<String>,
    #[serde(default)]
    configuration: Configuration,
    #[serde(default)]
    plugins: Plugins,
}

#[derive(Default, Deserialize)]
struct Configuration {
    database: Option<String>,
    role: Option<String>,
    router_flavor: Option<String>,
    cluster_control_plane: Option<String>,
}

#[derive(Default, Deserialize)]
struct Plugins {
    #[serde(default)]
    available_on_server: Value,
}

#[derive(Deserialize)]
struct Endpoints {
    data: Vec<String>,
}

impl Instance {
    /// Two calls, and one for each thing that the table does not know. `Invalid` for what is no
    /// Admin API, `Unsupported` for a data plane.
    pub(crate) async fn discover(cx: &Context, client: &Client, config: &Config) -> Result<Self> {
        let (root, endpoints) = (client.root([]), client.root(["endpoints"]));
        let (root, endpoints) =
            future::try_join(client.get(cx, &root), client.get(cx, &endpoints)).await?;
        let root: Root = body(&root, config)?;
        let mode = mode(&root, config)?;
        let endpoints = match endpoints.status {
            404 => None,
            _ => Some(body::<Endpoints>(&endpoints, config)?.data),
        };
        let mut found = Self {
            version: root.version,
            edition: root.edition.unwrap_or_else(|| "unknown".to_owned()),
            mode,
            router_flavor: root.configuration.router_flavor,
            plugins: plugins(&root.plugins.available_on_server),
            collections: Vec::new(),
            gaps: Vec::new(),
            left_out: Vec::new(),
            found: Vec::new(),
            plugin_rules: Vec::new(),
        };
        found.place(cx, client, endpoints.as_deref()).await?;
        found.learn_plugins(cx, client, config).await?;
        found.leave_out(config)?;
        Ok(found)
    }

    /// Finds out which of the node's endpoints are lists of entities.
    async fn place(
        &mut self,
        cx: &Context,
        client: &Client,
        endpoints: Option<&[String]>,
    ) -> Result<()> {
        let has = |path: &str| endpoints.is_none_or(|all| all.iter().any(|one| one == path));
        for row in ROWS {
            let listed = match row.kind {
                "target" => has("/upstreams/{upstreams}/targets"),
                // The id of the cluster, which the API does not give.
                "parameter" => continue,
                _ => has(&format!("/{}", row.path)),
            };
            let kind = Kind::known(row.kind);
            if listed {
                let path = vec![row.path.to_owned()];
                self.collections.push(Collection { kind, path, row: Some(row) });
            } else {
                let detail = "this node does not have it".to_owned();
                self.gaps.push(gap(&kind, Cause::NotOffered, detail));
            }
        }
        let members = "/consumer_groups/{consumer_groups}/consumers";
        if endpoints.is_some_and(|all| all.iter().any(|one| one == members)) {
            let detail = "which consumers are in which group is not read".to_owned();
            let kind = Kind::known("consumer_group_consumer");
            self.gaps.push(gap(&kind, Cause::NotReadable, detail));
        }
        for (name, path) in unknown(endpoints.unwrap_or_default()) {
            let Ok(kind) = Kind::new(&name) else { continue };
            let Some(path) = path else {
                let detail = "only below other entities, which is not read".to_owned();
                self.gaps.push(gap(&kind, Cause::NotReadable, detail));
                continue;
            };
            let answer = client.get(cx, &client.at(["schemas", &name])).await?;
            let schema = if answer.is_success() { parsed(&answer.body)? } else { Value::Null };
            let alias = path.join("/");
            self.found.push(entity::kind(kind.clone(), &alias, &schema));
            self.collections.push(Collection { kind, path, row: None });
        }
        Ok(())
    }

    /// Asks for the schemas of plugins that did not come with Kong.
    async fn learn_plugins(
        &mut self,
        cx: &Context,
        client: &Client,
        config: &Config,
    ) -> Result<()> {
        let own = self.plugins.keys().filter(|name| !BUNDLED.contains(&name.as_str()));
        let own: Vec<String> = own.cloned().collect();
        let rules: Vec<Vec<MemberRule>> = stream::iter(own)
            .map(async |name: String| {
                let answer = client.get(cx, &client.at(["schemas", "plugins", &name])).await?;
                // A plugin without a schema of its own has no secret that it could mark.
                let schema = if answer.is_success() { parsed(&answer.body)? } else { Value::Null };
                Ok::<_, Error>(entity::members(&schema))
            })
            .buffered(config.connections.into())
            .try_collect()
            .await?;
        self.plugin_rules = rules.into_iter().flatten().collect();
        self.plugin_rules.retain(|rule| rule.at.starts_with("/config/"));
        Ok(())
    }

    /// Takes out what the address leaves out.
    fn leave_out(&mut self, config: &Config) -> Result<()> {
        for name in &config.without {
            let called = |c: &Collection| {
                c.kind.as_str() == name
                    || c.row.is_some_and(|row| row.collection == name || row.path == name)
                    || c.path.join("/") == *name
            };
            let Some(at) = self.collections.iter().position(called) else {
                if self.gaps.iter().any(|gap| gap.kind.as_ref().is_some_and(|k| k.as_str() == name))
                {
                    continue;
                }
                return Err(
                    Error::invalid("`without` names a kind that this node does not have").on(name)
                );
            };
            let left = self.collections.remove(at);
            let detail = "left out by the address".to_owned();
            self.gaps.push(gap(&left.kind, Cause::NotOffered, detail));
            self.left_out.push(left);
        }
        Ok(())
    }

    /// What the core is told.
    pub(crate) fn description(&self, config: &Config, imports: bool) -> Description {
        let mut handles = Handles::new();
        let mut put = |name, value: String| handles.insert(HandleName::known(name), value);
        put("edition", self.edition.clone());
        put("mode", self.mode.as_str().to_owned());
        let plugins: Vec<_> = self.plugins.iter().map(|(name, v)| format!("{name} {v}")).collect();
        put("plugins", plugins.join(", "));
        if let Some(flavor) = &self.router_flavor {
            put("router_flavor", flavor.clone());
        }
        if let Some(workspace) = &config.workspace {
            put("workspace", workspace.clone());
        }
        if !config.tags.is_empty() {
            let tags: BTreeSet<&str> = config.tags.iter().map(String::as_str).collect();
            let tags: Vec<&str> = tags.into_iter().collect();
            handles.insert(HandleName::part(), format!("tags {}", tags.join(", ")));
        }
        Description {
            product: "Kong Gateway".to_owned(),
            version: self.version.clone(),
            handles,
            schema: schema_for(self, imports).into(),
            limits: Limits { parallel_writes: config.connections, ..Limits::default() },
        }
    }
}

/// The rules of this very node: those of the table for the kinds that it has, and what it says of
/// kinds and plugins that the table does not know. `parameter` stays, so that what a file holds of
/// it can be passed over by name. `imports`: hashes can be put back past the Admin API.
pub(crate) fn schema_for(instance: &Instance, imports: bool) -> Schema {
    let has = |row: &Row| {
        let listed = |c: &Collection| c.row.is_some_and(|own| own.kind == row.kind);
        row.kind == "parameter" || instance.collections.iter().any(listed)
    };
    let keeps = imports || instance.mode == Mode::DbLess;
    schema_of(has, instance.found.clone(), &instance.plugin_rules, keeps)
}

impl Mode {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Traditional => "traditional",
            Self::ControlPlane => "control_plane",
            Self::DbLess => "db_less",
        }
    }
}

fn mode(root: &Root, config: &Config) -> Result<Mode> {
    let Configuration { database, role, cluster_control_plane, .. } = &root.configuration;
    match (role.as_deref(), database.as_deref()) {
        (Some("data_plane"), _) => {
            let at = cluster_control_plane.as_deref().unwrap_or("another host");
            Err(Error::new(
                ErrorKind::Unsupported,
                format!("this node is a data plane, whose configuration comes from {at}"),
            )
            .on(&config.address)
            .help("name the Admin API of its control plane"))
        }
        (Some("control_plane"), _) => Ok(Mode::ControlPlane),
        (_, Some("off")) => Ok(Mode::DbLess),
        _ => Ok(Mode::Traditional),
    }
}

fn body<'a, T: Deserialize<'a>>(answer: &'a Answer, config: &Config) -> Result<T> {
    let refused = |kind, what: &str| Error::new(kind, what).on(&config.address);
    match answer.status {
        403 => return Err(refused(ErrorKind::Denied, "the node denies its own description (403)")),
        _ if answer.is_success() => {}
        status => {
            let what = format!("what answers there is no Admin API of Kong ({status})");
            return Err(refused(ErrorKind::Invalid, &what).help("name its address and path prefix"));
        }
    }
    serde_json::from_slice(&answer.body).map_err(|_| {
        refused(ErrorKind::Invalid, "what answers there is no Admin API of Kong")
            .help("name its address and path prefix")
    })
}

fn parsed(body: &Bytes) -> Result<Value> {
    serde_json::from_slice(body)
        .map_err(|_| Error::invalid("the node gives a schema that is no JSON"))
}

/// Names and versions; old versions give no versions.
fn plugins(available: &Value) -> BTreeMap<String, String> {
    let version = |about: &Value| {
        about.get("version").and_then(Value::as_str).unwrap_or("unknown").to_owned()
    };
    let all = available.as_object().into_iter().flatten();
    all.map(|(name, about)| (name.clone(), version(about))).collect()
}

pub(super) fn gap(kind: &Kind, cause: Cause, detail: String) -> Gap {
    Gap { kind: Some(kind.clone()), under: None, cause, detail }
}

/// What is no configuration, by the first segment of its path: views, state of running requests,
/// the node's own tools.
const OTHER_PATHS: &[&str] = &[
    "audit",
    "cache",
    "clustering",
    "debug",
    "license",
    "proxy-cache",
    "schemas",
    "sessions",
    "status",
    "tags",
];

/// Entities that Kong's own export leaves out as well: state of running requests.
const OTHER_ENTITIES: &[&str] =
    &["clustering_data_planes", "oauth2_authorization_codes", "ratelimiting_metrics", "sessions"];

/// Collections that the table does not know: the name of their schema, and their path unless they
/// stand below other entities only. Kong makes the endpoints of an entity by one pattern, in which
/// the last placeholder is the name of its schema.
fn unknown(endpoints: &[String]) -> BTreeMap<String, Option<Vec<String>>> {
    let all: BTreeSet<&str> = endpoints.iter().map(String::as_str).collect();
    let mut found = BTreeMap::<String, Option<Vec<String>>>::new();
    for endpoint in endpoints {
        let Some((list, name)) = endpoint.rsplit_once('/') else { continue };
        let Some(name) = name.strip_prefix('{').and_then(|name| name.strip_suffix('}')) else {
            continue;
        };
        let mut segments = list.split('/').skip(1);
        let first = segments.clone().next().unwrap_or_default();
        let known = Row::of_collection(name).is_some() || OTHER_ENTITIES.contains(&name);
        // A view of plugins and the like has a placeholder that is no schema's name.
        let tool = first == "plugins" || OTHER_PATHS.contains(&first);
        if known || tool || !all.contains(list) {
            continue;
        }
        let path = found.entry(name.to_owned()).or_default();
        if segments.all(|segment| !segment.starts_with('{')) {
            *path = Some(list.split('/').skip(1).map(str::to_owned).collect());
        }
    }
    found
}

/// The plugins that come with Kong, whose secret members are in the table.
const BUNDLED: &[&str] = &[
    "acl",
    "acme",
    "ai-prompt-decorator",
    "ai-prompt-guard",
    "ai-prompt-template",
    "ai-proxy",
    "ai-request-transformer",
    "ai-response-transformer",
    "aws-lambda",
    "azure-functions",
    "basic-auth",
    "bot-detection",
    "correlation-id",
    "cors",
    "datadog",
    "file-log",
    "grpc-gateway",
    "grpc-web",
    "hmac-auth",
    "http-log",
    "ip-restriction",
    "jwt",
    "key-auth",
    "ldap-auth",
    "loggly",
    "oauth2",
    "opentelemetry",
    "post-function",
    "pre-function",
    "prometheus",
    "proxy-cache",
    "rate-limiting",
    "redirect",
    "request-size-limiting",
    "request-termination",
    "request-transformer",
    "response-ratelimiting",
    "response-transformer",
    "session",
    "standard-webhooks",
    "statsd",
    "syslog",
    "tcp-log",
    "udp-log",
    "zipkin",
];

#[cfg(test)]
mod tests {
    use gwbackup_core::connect::Settings;
    use url::Url;

    use super::*;

    fn config() -> Config {
        Config::new(&Url::parse("kong+http://h").unwrap(), &Settings::new()).unwrap()
    }

    fn root(role: &str, database: &str) -> Root {
        let text = format!(
            r#"{{"version":"3.9.1","configuration":{{"role":"{role}","database":"{database}",
                "cluster_control_plane":"cp.internal:8005"}},
                "plugins":{{"available_on_server":[]}}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_data_plane_names_where_its_configuration_comes_from() {
        assert_eq!(mode(&root("traditional", "postgres"), &config()).unwrap(), Mode::Traditional);
        assert_eq!(
            mode(&root("control_plane", "postgres"), &config()).unwrap(),
            Mode::ControlPlane
        );
        assert_eq!(mode(&root("traditional", "off"), &config()).unwrap(), Mode::DbLess);
        let error = mode(&root("data_plane", "off"), &config()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.message().contains("cp.internal:8005"));
    }

    #[test]
    fn every_endpoint_of_the_recorded_node_is_known() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/recordings/00-server.json");
        let all: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let all = all.as_array().unwrap().iter();
        let found = all.clone().find(|x| x["request"]["path"] == "/endpoints").unwrap();
        let endpoints: Endpoints =
            serde_json::from_value(found["response"]["body"].clone()).unwrap();
        assert_eq!(unknown(&endpoints.data), BTreeMap::new());
    }

    #[test]
    fn an_endpoint_that_the_table_does_not_know_is_placed_or_named() {
        let endpoints = [
            "/my-things",
            "/my-things/{my_things}",
            "/my-things/{my_things}/parts",
            "/my-things/{my_things}/parts/{my_parts}",
            "/rbac/users",
            "/rbac/users/{rbac_users}",
            "/services/{services}/my-things",
            "/services/{services}/my-things/{my_things}",
            "/cache/{key}",
        ];
        let path = |path: &[&str]| Some(path.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>());
        let expected = [
            ("my_parts", None),
            ("my_things", path(&["my-things"])),
            ("rbac_users", path(&["rbac", "users"])),
        ];
        let expected = expected.into_iter().map(|(name, path)| (name.to_owned(), path)).collect();
        assert_eq!(unknown(&endpoints.map(str::to_owned)), expected);
    }

    #[test]
    fn plugins_of_old_versions_have_no_versions() {
        let old = serde_json::json!({ "acl": true, "own": { "version": "1.2", "priority": 3 } });
        let found = plugins(&old);
        assert_eq!((&*found["acl"], &*found["own"]), ("unknown", "1.2"));
        assert!(plugins(&serde_json::json!([])).is_empty(), "an empty table of Lua");
    }
}
