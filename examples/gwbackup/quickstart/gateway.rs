//! The tour's gateway, a Kong node in this process; what happens to it: work, disaster, sabotage; and
//! the probes that look at it.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use gwbackup::connect::Settings;
use gwbackup::kong::testing::KongDouble;
use gwbackup::kong::{ImportHook, KongAdmin};
use gwbackup::model::{
    Change, Description, Finding, Group, Revision, Scope, Step, StepReceipt, Verdict,
};
use gwbackup::probe::{HttpCaller, HttpOptions};
use gwbackup::restore::Probing;
use gwbackup::source::{BoxStream, Known, Purpose, Source};
use gwbackup::target::{Check, Prober, States, StepLog, Target};
use gwbackup::{Context, Error, Result};
use serde_json::{Value, json};

const CONFIGURATION: &str = include_str!("../quickstart.yml");

/// The service that the saboteur alters.
const ALTERED: &str = "ledger-payments";

/// A node: a double of Kong that answers real HTTP. What happens to it by other hands than the
/// library's happens here, without the library.
#[derive(Debug, Clone)]
pub(super) struct Node(Arc<KongDouble>);

impl Node {
    pub(super) async fn start() -> Result<Self> {
        let double = KongDouble::builder().proxy(0).start().await?;
        double.load(CONFIGURATION)?;
        Ok(Self(Arc::new(double)))
    }

    /// Where a client of its Admin API finds it.
    pub(super) fn url(&self) -> String {
        format!("kong+{}", self.0.url())
    }

    /// Probes at its proxy, made from what a backup promises.
    pub(super) fn probing(&self) -> Result<Probing> {
        let proxy = self.0.proxy_url().and_then(|url| url.parse().ok()).ok_or_else(unexpected)?;
        let caller = HttpCaller::new(HttpOptions::default().at(proxy)?)?;
        Ok(Probing::new(Arc::new(caller)))
    }

    /// The node as the library knows it. A real one would have `kong config db_import {file}` as its
    /// way to take hashed passwords back.
    pub(super) fn gateway(&self) -> Result<KongAdmin> {
        let url = url::Url::parse(&self.url()).map_err(|_| unexpected())?;
        let hook = Arc::new(self.clone());
        Ok(KongAdmin::new(&url, &Settings::new())?.with_import_hook(hook))
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let (status, answer) = self.0.request(method, path, body);
        if (200..300).contains(&status) { Ok(answer) } else { Err(unexpected().on(path)) }
    }

    /// A day's work: a slower service is waited for, a path moves, a consumer comes.
    pub(super) fn edit(&self) -> Result<()> {
        let slower = json!({ "read_timeout": 45000 });
        self.call("PATCH", "/services/harbor-orders", &slower)?;
        self.call("PATCH", "/routes/ledger-sni", &json!({ "paths": ["/settlement"] }))?;
        let partner = json!({ "username": "partner-nord", "tags": ["partner"] });
        self.call("POST", "/consumers", &partner).map(drop)
    }

    /// Somebody cleans up, on the wrong node. How many entities are left, and how many there were.
    pub(super) fn ruin(&self) -> Result<(usize, usize)> {
        let count = || self.0.state().values().map(Vec::len).sum();
        let before = count();
        for collection in ["plugins", "routes", "services", "upstreams", "consumers"] {
            for entity in self.0.state().remove(collection).unwrap_or_default() {
                let id = entity["id"].as_str().unwrap_or_default();
                self.call("DELETE", &format!("/{collection}/{id}"), &Value::Null)?;
            }
        }
        Ok((count(), before))
    }
}

fn unexpected() -> Error {
    Error::invalid("the tour's gateway is not as the tour left it")
}

#[async_trait]
impl ImportHook for Node {
    async fn import(&self, _cx: &Context, file: &Path) -> Result<()> {
        self.0.import(&std::fs::read_to_string(file)?)
    }
}

/// A target that does what it is asked to, and then alters one resource.
#[derive(Debug)]
pub(super) struct Saboteur {
    inner: KongAdmin,
    node: Node,
}

impl Saboteur {
    pub(super) fn new(inner: KongAdmin, node: Node) -> Self {
        Self { inner, node }
    }
}

#[async_trait]
impl Source for Saboteur {
    fn address(&self) -> String {
        self.inner.address()
    }

    async fn describe(&self, cx: &Context) -> Result<Description> {
        self.inner.describe(cx).await
    }

    async fn preflight(&self, cx: &Context, to: Purpose, scope: &Scope) -> Result<Vec<Finding>> {
        self.inner.preflight(cx, to, scope).await
    }

    async fn revision(&self, cx: &Context, scope: &Scope) -> Result<Option<Revision>> {
        self.inner.revision(cx, scope).await
    }

    fn read(
        &self,
        cx: &Context,
        description: &Description,
        scope: &Scope,
        known: Option<Arc<dyn Known>>,
    ) -> BoxStream<Result<gwbackup::model::Captured>> {
        self.inner.read(cx, description, scope, known)
    }
}

#[async_trait]
impl Target for Saboteur {
    fn prober(&self) -> Prober {
        self.inner.prober()
    }

    fn arrange(&self, description: &Description, changes: &[Change]) -> Vec<Group> {
        self.inner.arrange(description, changes)
    }

    async fn validate(
        &self,
        cx: &Context,
        description: &Description,
        changes: &[Change],
        states: &dyn States,
    ) -> Result<Vec<Finding>> {
        self.inner.validate(cx, description, changes, states).await
    }

    async fn apply(
        &self,
        cx: &Context,
        description: &Description,
        step: &Step,
        states: &dyn States,
        log: &dyn StepLog,
    ) -> Result<StepReceipt> {
        let receipt = self.inner.apply(cx, description, step, states, log).await?;
        let plugins = |change: &Change| change.key.kind.as_str() == "plugin";
        if step.changes.iter().any(plugins) {
            // By then the services are there.
            let host = json!({ "host": "attacker.example" });
            self.node.call("PATCH", &format!("/services/{ALTERED}"), &host)?;
        }
        Ok(receipt)
    }
}

/// Asks the node itself, not through the library: what the library reads and writes wrongly in the
/// same way, a comparison of its own cannot see.
#[derive(Debug)]
pub(super) struct Probe(pub(super) Node);

#[async_trait]
impl Check for Probe {
    async fn run(&self, _cx: &Context, _target: &dyn Target) -> Result<Vec<Finding>> {
        let node = &self.0;
        let list = |path: &str| -> Result<Vec<Value>> {
            match node.call("GET", path, &Value::Null)?["data"].take() {
                Value::Array(all) => Ok(all),
                _ => Err(unexpected().on(path)),
            }
        };
        let service = node.call("GET", "/services/harbor-orders", &Value::Null)?;
        let host = service["host"].as_str().unwrap_or("nowhere");
        let routes = list("/services/harbor-orders/routes")?;
        let mut names: Vec<&str> =
            routes.iter().filter_map(|route| route["name"].as_str()).collect();
        names.sort_unstable();
        let all = ["orders-canary", "orders-read", "orders-write"];
        let plugins = list("/services/harbor-orders/plugins")?;
        let guarded = plugins.iter().any(|one| one["name"] == "key-auth" && one["enabled"] == true);
        let moved = node.call("GET", "/routes/ledger-sni", &Value::Null)?;
        Ok(vec![
            found("orders", host == "orders.upstream", format!("harbor-orders leads to {host}")),
            found(
                "routing",
                all.iter().all(|name| names.contains(name)),
                format!("harbor-orders has the routes {}", names.join(", ")),
            ),
            found(
                "authentication",
                guarded,
                format!("{} plugins guard harbor-orders, key-auth must be one", plugins.len()),
            ),
            found(
                "login",
                node.0.lets_in("shopweb", "demo-password-1"),
                "a password of which the backup has nothing but the hash still opens".to_owned(),
            ),
            found(
                "latest change",
                moved["paths"] == json!(["/settlement"]),
                "one route must lead from /settlement".to_owned(),
            ),
        ])
    }
}

fn found(subject: &str, good: bool, detail: String) -> Finding {
    let verdict = if good { Verdict::Ok } else { Verdict::Failed };
    Finding::new(format!("probe: {subject}"), verdict, detail)
}
