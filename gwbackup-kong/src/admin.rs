//! A Kong node, over its Admin API.

mod client;
mod config;
mod declarative;
mod discover;
mod entity;
mod hashes;
mod hook;
mod page;
mod preflight;
mod read;
mod refusal;
mod requests;
mod source;
mod target;
mod validate;
mod write;

use std::sync::{Arc, Mutex, PoisonError};

use gwbackup_core::connect::Settings;
use gwbackup_core::model::{Rules, Schema};
use gwbackup_core::{Context, Result};
use url::Url;

use self::client::Client;
use self::config::Config;
use self::discover::Instance;
use self::hook::Program;

pub use self::hook::ImportHook;

/// A Kong node, spoken to over its Admin API; cheap to clone.
///
/// Kong 2.8 to 3.x: with a database, without one (DB-less), or a control plane. A document is what
/// the API gives, with one change: a `ttl`, which the API counts in seconds left, is stored as the
/// moment at which the entity ends, in seconds since 1970, as declarative files have it. Seconds
/// left mean nothing to whoever reads the backup later; Kong takes no time to live above
/// 100,000,000, so the two cannot be confused.
///
/// As a target: several calls at a time, one for each change. Everything keeps its id and
/// `created_at`. Hashes of passwords are put back by an import ([`ImportHook`]) or not at all: the
/// API would hash them again. A node without a database is loaded with everything at once.
#[derive(Debug, Clone)]
pub struct KongAdmin(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: Config,
    client: Client,
    /// What the node said of itself last.
    instance: Mutex<Option<Arc<Instance>>>,
    /// The rules that were compiled last.
    rules: Mutex<Option<Rules>>,
    hook: Option<Arc<dyn ImportHook>>,
}

impl KongAdmin {
    /// The node at `kong+http://HOST:8001` or `kong+https://HOST:8444`, below a path prefix if need
    /// be. Reads the files that the settings name; touches no network.
    ///
    /// In the query: `workspace=W` (Enterprise), `tags=A,B` (only entities with all of these),
    /// `without=KIND,KIND` (kinds that are left out), `connections=N` (calls at one time, 8).
    /// Settings: `token` (sent as `Kong-Admin-Token`), `headers` (a JSON object), `ca` and
    /// `client_certificate` (PEM files), `import_hook` (a JSON array: a program and its words, one
    /// of which has `{file}`).
    pub fn new(url: &Url, settings: &Settings) -> Result<Self> {
        let config = Config::new(url, settings)?;
        let client = Client::new(&config)?;
        let hook = config.import_hook.clone().map(|words| Arc::new(Program::new(words)) as _);
        Ok(Self::made_of(config, client, hook))
    }

    /// The same node, with another way to import a file than a program: for hashed credentials,
    /// which the Admin API does not take back.
    #[must_use]
    pub fn with_import_hook(self, hook: Arc<dyn ImportHook>) -> Self {
        Self::made_of(self.0.config.clone(), self.0.client.clone(), Some(hook))
    }

    fn made_of(config: Config, client: Client, hook: Option<Arc<dyn ImportHook>>) -> Self {
        let (instance, rules) = (Mutex::new(None), Mutex::new(None));
        Self(Arc::new(Inner { config, client, instance, rules, hook }))
    }

    /// A schema, compiled.
    fn rules(&self, schema: &Arc<Schema>) -> Rules {
        let mut slot = self.0.rules.lock().unwrap_or_else(PoisonError::into_inner);
        match &*slot {
            Some(rules) if Arc::ptr_eq(rules.schema(), schema) => rules.clone(),
            _ => slot.insert(Rules::new(Arc::clone(schema))).clone(),
        }
    }

    /// Asks the node what it is.
    async fn discover(&self, cx: &Context) -> Result<Arc<Instance>> {
        let found = Arc::new(Instance::discover(cx, &self.0.client, &self.0.config).await?);
        let mut slot = self.0.instance.lock().unwrap_or_else(PoisonError::into_inner);
        *slot = Some(Arc::clone(&found));
        Ok(found)
    }

    /// What the node is, as it said last; asks if it never said.
    async fn instance(&self, cx: &Context) -> Result<Arc<Instance>> {
        let known = self.0.instance.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match known {
            Some(known) => Ok(known),
            None => self.discover(cx).await,
        }
    }
}
