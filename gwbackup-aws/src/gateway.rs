//! One region of one account.

use std::sync::{Arc, OnceLock};

use gwbackup_core::model::Rules;
use gwbackup_core::{Context, Result};

use crate::client::{Caller, Client};
use crate::config::{Config, partition};
use crate::quota::Quotas;
use crate::schema::schema;

/// AWS API Gateway in one region of one account; cheap to clone. Clones share connections and their
/// part of the quotas.
///
/// As a target: what lies below one API, usage plan or domain is written by one step, one call after
/// the other; several such steps run at a time. An API that is there keeps its id; what it serves
/// under a stage is made again from the stage's export, and its working copy is put right last.
#[derive(Debug, Clone)]
pub struct Aws(pub(crate) Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) client: Client,
    pub(crate) rules: Rules,
    caller: OnceLock<Caller>,
}

impl Aws {
    /// The gateway that `config` names. Touches no network. `Invalid` when no HTTPS client can be
    /// made.
    pub fn new(config: Config) -> Result<Self> {
        let quotas = Arc::new(Quotas::new(config.budget));
        Self::sharing(config, quotas)
    }

    pub(crate) fn sharing(config: Config, quotas: Arc<Quotas>) -> Result<Self> {
        let client = Client::new(config, quotas)?;
        let rules = Rules::new(schema());
        Ok(Self(Arc::new(Inner { client, rules, caller: OnceLock::new() })))
    }

    pub(crate) fn config(&self) -> &Config {
        self.0.client.config()
    }

    /// Who this is; asked once.
    pub(crate) async fn caller(&self, cx: &Context) -> Result<Caller> {
        if let Some(known) = self.0.caller.get() {
            return Ok(known.clone());
        }
        let found = self.0.client.caller(cx).await?;
        Ok(self.0.caller.get_or_init(|| found).clone())
    }

    /// The part of the world that the region belongs to, as ARNs name it.
    pub(crate) fn partition(&self) -> &'static str {
        partition(&self.config().region)
    }

    /// The name by which permissions and tags know what lies at an address.
    pub(crate) fn arn(&self, address: &[String]) -> String {
        let (region, partition) = (&self.config().region, self.partition());
        let path = address.iter().filter(|part| *part != "v2");
        let path: Vec<&str> = path.map(String::as_str).collect();
        format!("arn:{partition}:apigateway:{region}::/{}", path.join("/"))
    }
}
