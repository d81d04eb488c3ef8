//! A double of Kong's Admin API, for tests: real HTTP on the loopback, made from the answers of a
//! Kong Gateway 3.9.1 and judged by them.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> gwbackup_core::Result<()> {
//! use gwbackup_kong::testing::KongDouble;
//! use serde_json::json;
//!
//! let kong = KongDouble::start().await?;
//! let (status, service) = kong.request("PUT", "/services/pay", &json!({ "host": "pay.internal" }));
//! assert_eq!((status, &service["port"]), (200, &json!(80)));
//! assert!(kong.url().starts_with("http://127.0.0.1:"));
//! assert_eq!(kong.state()["services"].len(), 1);
//! # Ok(())
//! # }
//! ```

mod about;
mod api;
mod config;
mod custom;
mod declarative;
mod faults;
mod kinds;
mod list;
mod node;
mod pattern;
mod pem;
mod proxy;
mod reply;
mod schema;
mod secret;
mod seed;
mod server;
mod store;
mod validate;
mod write;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gwbackup_core::Result;
use gwbackup_core::clock::{Clock, SystemClock};
use serde_json::Value;
use uuid::Uuid;

pub use faults::{Asked, Edit, Fault};
pub use seed::Sizes;
pub use server::{Call, Traffic};

use faults::Trouble;
use node::{Mode, Node};
use reply::Body;
use server::{Door, Shared};

/// A node with an Admin API on a port of the loopback. It needs a tokio runtime, and stops when it
/// is dropped. Each double makes ids and secrets of its own.
#[derive(Debug)]
pub struct KongDouble {
    shared: Arc<Shared>,
    address: SocketAddr,
    proxy: Option<SocketAddr>,
}

/// What a double is started with.
#[derive(Debug)]
#[must_use]
pub struct KongDoubleBuilder {
    clock: Arc<dyn Clock>,
    mode: Mode,
    version: String,
    workspaces: Vec<String>,
    seed: Option<u64>,
    port: u16,
    proxy: Option<u16>,
    body_limit: usize,
    trouble: Trouble,
}

impl KongDoubleBuilder {
    /// The clock that `created_at`, `updated_at` and `ttl` go by; by default the machine's.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// A node without a database: its configuration comes and goes as one file, by `/config`.
    pub fn db_less(mut self) -> Self {
        self.mode = Mode::DbLess;
        self
    }

    /// The version that the node says it has, `3.9.1` by default. Collections that came later are
    /// not there: vaults before 3.0, keys and key sets before 3.1.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = version.into();
        self
    }

    /// A licensed node with these workspaces beside `default`: each holds entities of its own, below
    /// `/{workspace}/`. The names of SNIs and the prefixes of vaults are unique in each alone here;
    /// a real node was not at hand to record.
    pub fn workspaces<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.workspaces = names.into_iter().map(Into::into).collect();
        self
    }

    /// Makes the ids and secrets of this node repeatable.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// The port; by default the system chooses one.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Opens a proxy on this port too (0: the system chooses), in clear. It goes by the node's routes and by
    /// its plugins key-auth, basic-auth, jwt and hmac-auth (HMAC of SHA-2), acl, ip-restriction, cors,
    /// rate-limiting, request-size-limiting, proxy-cache, correlation-id and request-termination,
    /// as Kong's documentation describes them; others do nothing, and what lies behind always
    /// answers. Not judged by recordings of a real proxy.
    pub fn proxy(mut self, port: u16) -> Self {
        self.proxy = Some(port);
        self
    }

    /// The longest body that is not refused with 413; 10 MiB by default, as with Kong.
    pub fn body_limit(mut self, bytes: usize) -> Self {
        self.body_limit = bytes;
        self
    }

    /// How long each request that reads takes.
    pub fn page_delay(mut self, delay: Duration) -> Self {
        self.trouble.page_delay = delay;
        self
    }

    /// How long each request that writes takes.
    pub fn write_delay(mut self, delay: Duration) -> Self {
        self.trouble.write_delay = delay;
        self
    }

    /// Starts to serve. Fails with `Other` if the port is taken.
    pub async fn start(self) -> Result<KongDouble> {
        static DOUBLES: AtomicU64 = AtomicU64::new(1);
        let seed = self.seed.unwrap_or_else(|| DOUBLES.fetch_add(1, Ordering::Relaxed));
        let mut node = Node::new(self.clock, self.mode, self.version, seed)?;
        let empty = |name| (name, store::Store::new(&node.schemas));
        node.workspaces = self.workspaces.into_iter().map(empty).collect();
        let shared = Arc::new(Shared::new(node, self.trouble, self.body_limit));
        let address = server::serve(&shared, self.port, Door::Admin).await?;
        let proxy = match self.proxy {
            Some(port) => Some(server::serve(&shared, port, Door::Proxy).await?),
            None => None,
        };
        Ok(KongDouble { shared, address, proxy })
    }
}

impl KongDouble {
    /// A double with a database, version 3.9.1, empty.
    pub fn builder() -> KongDoubleBuilder {
        KongDoubleBuilder {
            clock: Arc::new(SystemClock),
            mode: Mode::Database,
            version: "3.9.1".into(),
            workspaces: Vec::new(),
            seed: None,
            port: 0,
            proxy: None,
            body_limit: 10 << 20,
            trouble: Trouble::default(),
        }
    }

    /// Starts what [`builder`](Self::builder) makes.
    pub async fn start() -> Result<Self> {
        Self::builder().start().await
    }

    /// Its address, as `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The address of its proxy, as `http://127.0.0.1:PORT`, if it has one.
    pub fn proxy_url(&self) -> Option<String> {
        self.proxy.map(|address| format!("http://{address}"))
    }

    /// Makes a request without the network, and without leaving a trace in the log: a test's own
    /// hand, and nothing ever goes wrong with it. `Value::Null` is no body, both ways.
    pub fn request(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let reply = server::perform_directly(&mut self.shared.node(), method, path, body);
        let body = match reply.body {
            Body::Nothing => Value::Null,
            Body::Json(text) => serde_json::from_str(&text).unwrap_or_default(),
            Body::Html(text) => text.into(),
        };
        (reply.status, body)
    }

    /// Everything that the node holds, in its default workspace: for each collection, under its path in the Admin API, the
    /// entities in the order of their ids, as they are answered. Empty collections are there, too.
    pub fn state(&self) -> BTreeMap<String, Vec<Value>> {
        let mut node = self.shared.node();
        let now = node.now();
        node.store.expire(now);
        let entities = |kind| {
            let rows = node.store.after(kind, None);
            let parse = |text: String| serde_json::from_str(&text).unwrap_or_default();
            rows.map(|(id, row)| parse(node.render(kind, id, row))).collect()
        };
        node.kinds().map(|kind| (kind.path.to_owned(), entities(kind))).collect()
    }

    /// Adds a state: the JSON that [`state`](Self::state) shows, with hashes as they are and `ttl`
    /// as seconds left, or a declarative file, which is taken as [`import`](Self::import) and, on a
    /// node without a database, `POST /config` take it. Fails with `Invalid` and names the
    /// collection that is refused.
    pub fn load(&self, text: &str) -> Result<()> {
        let mut node = self.shared.node();
        match serde_json::from_str(text) {
            Ok(Value::Object(state)) if !state.contains_key("_format_version") => {
                node.take_state(&state)
            }
            _ if node.mode == Mode::Database => node.import(text),
            _ => node.load_file(text),
        }
    }

    /// Adds this many entities, the same for the same seed and sizes. A million take seconds.
    pub fn generate(&self, sizes: &Sizes) -> Result<()> {
        self.shared.node().generate(sizes)
    }

    /// Does what `kong config db_import FILE` does with this text: creates and replaces entities,
    /// deletes none, keeps hashes as they are under `_transform: false`, forgets expiry. Workers
    /// still go by the old password of a credential until something touches it or the cache is
    /// emptied. Fails with `Invalid`.
    pub fn import(&self, text: &str) -> Result<()> {
        self.shared.node().import(text)
    }

    /// What `kong config db_export` writes; of a node without a database, what `GET /config` shows.
    pub fn export(&self) -> String {
        self.shared.node().export()
    }

    /// Whether the node's workers let this user in by basic authentication.
    pub fn lets_in(&self, username: &str, password: &str) -> bool {
        self.shared.node().lets_in(username, password)
    }

    /// The ids that the node gives to the next entities that come without one, in this order.
    pub fn next_ids(&self, ids: impl IntoIterator<Item = Uuid>) {
        self.shared.node().ids.give(ids);
    }

    /// Asks `rule` before every request what goes wrong with it. Replaces the rule before.
    pub fn faults(&self, rule: impl FnMut(&Asked<'_>) -> Option<Fault> + Send + 'static) {
        self.shared.trouble().faults = Some(Box::new(rule));
    }

    /// Asks `rule` before every request which edits others make first. Replaces the rule before.
    pub fn edits(&self, rule: impl FnMut(&Asked<'_>) -> Vec<Edit> + Send + 'static) {
        self.shared.trouble().edits = Some(Box::new(rule));
    }

    /// From now on nothing goes wrong, nobody else edits, and nothing takes time.
    pub fn calm(&self) {
        *self.shared.trouble() = Trouble::default();
    }

    /// How long requests that read, and requests that write, take from now on.
    pub fn delays(&self, page: Duration, write: Duration) {
        let mut trouble = self.shared.trouble();
        (trouble.page_delay, trouble.write_delay) = (page, write);
    }

    /// The node goes away: open connections end, new ones are refused.
    pub fn go_away(&self) {
        self.shared.go_away();
    }

    /// The requests so far, oldest first; of many, the last 10,000.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.log().calls.iter().cloned().collect()
    }

    /// How many requests there were so far, and how many at once.
    pub fn traffic(&self) -> Traffic {
        self.shared.log().traffic
    }

    /// Forgets the requests so far, so that counts begin anew.
    pub fn forget_calls(&self) {
        let mut log = self.shared.log();
        log.calls.clear();
        log.traffic = Traffic::default();
    }
}

impl Drop for KongDouble {
    fn drop(&mut self) {
        self.shared.go_away();
    }
}
