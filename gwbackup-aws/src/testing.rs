//! A double of AWS API Gateway, for tests: real HTTP on the loopback, made from the service's
//! published models and documentation.
//!
//! The models under `testing/models` say of every operation of both versions of the API its verb,
//! path, members, which of them are required, and their types; they are a part of the service models
//! that AWS publishes with its SDKs under the Apache licence 2.0. The rest is the double's: names and
//! references are checked, ids are new each time, deployments are snapshots, lists have pages,
//! quotas hold on the clock that it is given.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> gwbackup_core::Result<()> {
//! use gwbackup_aws::testing::AwsDouble;
//! use serde_json::json;
//!
//! let aws = AwsDouble::start().await?;
//! let (status, api) = aws.request("POST", "/restapis", &json!({ "name": "pay" }));
//! assert_eq!((status, &api["name"]), (201, &json!("pay")));
//! assert!(aws.url().starts_with("http://127.0.0.1:"));
//! # Ok(())
//! # }
//! ```

#![allow(clippy::similar_names, reason = "a state has stages")]

mod checks;
mod cloudwatch;
mod config;
mod entities;
mod export;
mod faults;
mod functions;
mod http;
mod http_api;
mod iam;
mod import;
mod json_service;
mod kms;
mod model;
mod patch;
mod portals;
mod principal;
mod quota;
mod reply;
mod request;
mod s3;
mod server;
mod sessions;
mod state;

use std::collections::BTreeMap;
use std::sync::Arc;

use gwbackup_core::Result;
use gwbackup_core::clock::{Clock, SystemClock};
use serde_json::Value;

pub use cloudwatch::{CloudWatchDouble, Datum};
pub use config::ConfigDouble;
pub use faults::{Asked, Fault};
pub use iam::Need;
pub use kms::{KmsDouble, KmsState};
pub use s3::{S3Double, S3DoubleBuilder, S3Fault};
pub use server::Call;
pub use sessions::Sessions;

use http::Server;
use server::Shared;
use state::State;

/// One region of one account on a port of the loopback. It needs a tokio runtime, and stops when it
/// is dropped.
#[derive(Debug)]
pub struct AwsDouble {
    shared: Arc<Shared>,
    server: Server,
}

/// What a double is started with.
#[derive(Debug)]
#[must_use]
pub struct AwsDoubleBuilder {
    clock: Arc<dyn Clock>,
    account: String,
    region: String,
    seed: u64,
    quotas: bool,
    port: u16,
}

impl AwsDoubleBuilder {
    /// The clock that quotas and dates go by; by default the machine's.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The account, `123456789012` by default.
    pub fn account(mut self, account: impl Into<String>) -> Self {
        self.account = account.into();
        self
    }

    /// The region, `eu-central-1` by default.
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region = region.into();
        self
    }

    /// Two doubles of different seeds give no id in common.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The documented quotas hold: whoever is too fast is told so. Off by default.
    pub fn quotas(mut self) -> Self {
        self.quotas = true;
        self
    }

    /// The port; by default the system chooses one.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Starts to serve. Fails with `Other` if the port is taken.
    pub async fn start(self) -> Result<AwsDouble> {
        let state = State::new(self.clock, self.account, self.region, self.seed);
        let shared = Arc::new(Shared::new(state, self.quotas));
        let own = Arc::clone(&shared);
        let answer = move |head: &_, body: &_| server::answer(&own, head, body);
        let server = Server::start(self.port, answer).await?;
        Ok(AwsDouble { shared, server })
    }
}

impl AwsDouble {
    /// A double that holds what every account holds, and nothing else.
    pub fn builder() -> AwsDoubleBuilder {
        AwsDoubleBuilder {
            clock: Arc::new(SystemClock),
            account: "123456789012".to_owned(),
            region: "eu-central-1".to_owned(),
            seed: 0,
            quotas: false,
            port: 0,
        }
    }

    /// Starts what [`builder`](Self::builder) makes.
    pub async fn start() -> Result<Self> {
        Self::builder().start().await
    }

    /// Its address, as `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Makes a request without the network, quotas or a trace in the log: a test's own hand.
    /// `Value::Null` is no body, both ways.
    pub fn request(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let reply = server::perform(&mut self.shared.state(), method, path, body.as_bytes());
        (reply.status, serde_json::from_slice(&reply.body).unwrap_or_default())
    }

    /// Everything that it holds, by address, as it is stored: below each REST API its resources
    /// without methods, and each method at an address of its own. What deployments hold stands below
    /// them at `/snapshot`.
    pub fn state(&self) -> BTreeMap<String, Value> {
        self.shared.state().all()
    }

    /// What functions let others do: the statements of each function's policy, by its ARN and the
    /// statement's id.
    pub fn functions(&self) -> BTreeMap<String, BTreeMap<String, Value>> {
        self.shared.state().functions.clone()
    }

    /// Lets a web ACL guard a stage (`restapis/API/stages/STAGE`), as the firewall service does.
    pub fn set_web_acl(&self, stage: &str, arn: &str) {
        if let Some(stage) = self.shared.state().objects.get_mut(stage) {
            stage["webAclArn"] = arn.into();
        }
    }

    /// Everything goes, as in a disaster; ids that were given out are not given again.
    pub fn clear(&self) {
        self.shared.state().clear();
    }

    /// Asks `rule` before every request what goes wrong with it. Replaces the rule before.
    pub fn faults(&self, rule: impl FnMut(&Asked<'_>) -> Option<Fault> + Send + 'static) {
        *self.shared.faults() = Some(Box::new(rule));
    }

    /// From now on nothing goes wrong.
    pub fn calm(&self) {
        *self.shared.faults() = None;
    }

    /// From now on nobody is let in but with these.
    pub fn admit(&self, sessions: &Sessions) {
        self.shared.gate.admit(sessions);
    }

    /// From now on `guard` decides which rights there are: a request that needs another one is
    /// denied. Replaces the guard before.
    pub fn guard(&self, guard: impl Fn(&Need) -> bool + Send + 'static) {
        self.shared.gate.guard(guard);
    }

    /// The rights that the requests so far have needed, oldest first.
    pub fn needs(&self) -> Vec<Need> {
        self.shared.gate.needs()
    }

    /// The requests so far, oldest first.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.log().clone()
    }

    /// Forgets the requests so far, and what they needed.
    pub fn forget_calls(&self) {
        self.shared.log().clear();
        self.shared.gate.forget();
    }
}
