//! A double of AWS Config: what its recorder saw of API Gateway, on a port of the loopback.
//!
//! Made from the service's published model and documentation: seven types, items that come later than
//! the change, answers that cover seven days at most, the newest first.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use gwbackup_core::Result;
use gwbackup_core::clock::{Clock, Timestamp};
use hyper::http::request::Parts;
use serde_json::{Value, json};

use super::AwsDouble;
use super::http::Server;
use super::iam::{Gate, Need};
use super::json_service::{self, Wrong, asked, told};

/// Milliseconds that one answer covers.
const SPAN: i64 = 7 * 24 * 3_600_000;

/// What is recorded: lists on the way to it, type, and whether its id is an ARN.
const TYPES: &[(&[&str], &str, bool)] = &[
    (&["restapis"], "AWS::ApiGateway::RestApi", true),
    (&["restapis", "stages"], "AWS::ApiGateway::Stage", true),
    (&["restapis", "resources", "methods"], "AWS::ApiGateway::Method", false),
    (&["usageplans"], "AWS::ApiGateway::UsagePlan", false),
    (&["apis"], "AWS::ApiGatewayV2::Api", true),
    (&["apis", "stages"], "AWS::ApiGatewayV2::Stage", true),
    (&["apis", "integrations"], "AWS::ApiGatewayV2::Integration", false),
];

/// Type and id.
type Name = (&'static str, String);

struct Item {
    /// Milliseconds since 1970.
    captured: i64,
    status: &'static str,
}

struct Shared {
    clock: Arc<dyn Clock>,
    is_on: bool,
    all_arns: bool,
    items: BTreeMap<Name, Vec<Item>>,
    /// What the recorder saw when it looked last.
    seen: BTreeMap<Name, Value>,
    calls: Vec<Value>,
    refusals: Vec<Wrong>,
    gate: Gate,
}

/// Config of one region of one account, `eu-central-1`, served until it is dropped. Needs a tokio
/// runtime.
pub struct ConfigDouble {
    shared: Arc<Mutex<Shared>>,
    server: Server,
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ConfigDouble {
    /// Its region.
    pub const REGION: &'static str = json_service::REGION;

    /// With a recorder that has seen nothing, and goes by this clock.
    pub async fn start(clock: Arc<dyn Clock>) -> Result<Self> {
        let shared = Arc::new(Mutex::new(Shared {
            clock,
            is_on: true,
            all_arns: false,
            items: BTreeMap::new(),
            seen: BTreeMap::new(),
            calls: Vec::new(),
            refusals: Vec::new(),
            gate: Gate::default(),
        }));
        let own = Arc::clone(&shared);
        let server =
            Server::start(0, move |head, body| Some(told(performed(&mut lock(&own), head, body))));
        Ok(Self { shared, server: server.await? })
    }

    /// Its address, as `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The recorder looks at an account: what is not as it was when it looked last is captured now.
    pub fn look(&self, account: &AwsDouble) {
        let mut shared = lock(&self.shared);
        let captured = shared.clock.now().as_millisecond();
        let all_arns = shared.all_arns;
        let named = |(at, value): (String, Value)| Some((name(&at, all_arns)?, value));
        let now: BTreeMap<Name, Value> = account.state().into_iter().filter_map(named).collect();
        let before = std::mem::replace(&mut shared.seen, now.clone());
        for (name, value) in &now {
            let status = match before.get(name) {
                None => "ResourceDiscovered",
                Some(before) if before != value => "OK",
                Some(_) => continue,
            };
            shared.items.entry(name.clone()).or_default().push(Item { captured, status });
        }
        for name in before.into_keys().filter(|name| !now.contains_key(name)) {
            let status = "ResourceDeleted";
            shared.items.entry(name).or_default().push(Item { captured, status });
        }
    }

    /// Switches the recorder. What it recorded is not given out while it is off.
    pub fn switch(&self, is_on: bool) {
        lock(&self.shared).is_on = is_on;
    }

    /// From now on the id of everything that it sees is an ARN.
    pub fn name_all_by_arn(&self) {
        lock(&self.shared).all_arns = true;
    }

    /// From now on the recorder leaves out this type: it notes for each that it saw that it does.
    pub fn leave_out(&self, wanted: &str) {
        let mut shared = lock(&self.shared);
        let captured = shared.clock.now().as_millisecond();
        for (_, items) in shared.items.iter_mut().filter(|((name, _), _)| *name == wanted) {
            items.push(Item { captured, status: "ResourceNotRecorded" });
        }
    }

    /// Refuses the next calls, one with each status and code.
    pub fn refuse(&self, refusals: impl IntoIterator<Item = (u16, &'static str)>) {
        lock(&self.shared).refusals.extend(refusals);
    }

    /// From now on `guard` decides which rights there are: a request that needs another one is
    /// denied. Replaces the guard before.
    pub fn guard(&self, guard: impl Fn(&Need) -> bool + Send + 'static) {
        lock(&self.shared).gate.guard(guard);
    }

    /// The rights that the requests so far have needed, oldest first.
    pub fn needs(&self) -> Vec<Need> {
        lock(&self.shared).gate.needs()
    }

    /// The questions so far, oldest first.
    pub fn calls(&self) -> Vec<Value> {
        lock(&self.shared).calls.clone()
    }
}

impl std::fmt::Debug for ConfigDouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConfigDouble").field("server", &self.server).finish_non_exhaustive()
    }
}

/// What lies at an address of the account, if it is recorded.
fn name(at: &str, all_arns: bool) -> Option<Name> {
    let path = at.trim_start_matches("v2/");
    let parts: Vec<&str> = path.split('/').collect();
    let lists: Vec<&str> = parts.iter().step_by(2).copied().collect();
    let (_, name, is_arn) =
        TYPES.iter().find(|row| row.0 == lists && parts.len().is_multiple_of(2))?;
    let id = if *is_arn || all_arns {
        format!("arn:aws:apigateway:{}::/{path}", ConfigDouble::REGION)
    } else {
        parts.iter().skip(1).step_by(2).copied().collect::<Vec<_>>().join("|")
    };
    Some((name, id))
}

fn performed(shared: &mut Shared, head: &Parts, body: &Bytes) -> Result<Value, Wrong> {
    let (operation, ask) = asked(&shared.gate, head, body, "config", "StarlingDoveService")?;
    shared.calls.push(ask.clone());
    if !shared.refusals.is_empty() {
        return Err(shared.refusals.remove(0));
    }
    // It knows no rights on single resources.
    let need = Need::new(format!("config:{operation}"), "*");
    let need = need.when("aws:RequestedRegion", ConfigDouble::REGION);
    if shared.gate.lacks(vec![need]).is_some() {
        return Err((400, "AccessDeniedException"));
    }
    if operation != "GetResourceConfigHistory" {
        return Err((400, "UnknownOperationException"));
    }
    let text = |member: &str| ask[member].as_str().unwrap_or_default();
    let id = text("resourceId");
    let name = TYPES.iter().find(|row| row.1 == text("resourceType")).map(|row| row.1);
    let name =
        name.filter(|_| (1..=768).contains(&id.len())).ok_or((400, "ValidationException"))?;
    if ask.get("earlierTime").is_some() || ask["chronologicalOrder"] == "Forward" {
        // Nobody has needed it yet, and it must not be ignored.
        return Err((501, "UnknownToTheDouble"));
    }
    let limit = ask["limit"].as_u64().unwrap_or(0);
    if limit > 100 {
        return Err((400, "InvalidLimitException"));
    }
    let limit = if limit == 0 { 10 } else { usize::try_from(limit).unwrap_or(100) };
    if !shared.is_on {
        return Err((400, "NoAvailableConfigurationRecorderException"));
    }
    let items = shared.items.get(&(name, id.to_owned()));
    let items = items.ok_or((400, "ResourceNotDiscoveredException"))?;
    let now = shared.clock.now();
    let until = match ask["laterTime"].as_f64() {
        Some(seconds) => moment(seconds)?,
        None => now.as_millisecond(),
    };
    // A token says where the next answer begins, and how many were given out before.
    let (from, given) = match ask["nextToken"].as_str() {
        None => (until, 0),
        Some(token) => {
            let parts = token.split_once(' ');
            let parts = parts.and_then(|(at, n)| Some((at.parse().ok()?, n.parse().ok()?)));
            parts.ok_or((400, "InvalidNextTokenException"))?
        }
    };
    let all = items.iter().enumerate().rev().filter(|(_, item)| item.captured <= until);
    let left: Vec<(usize, &Item)> = all.skip(given).collect();
    let page: Vec<_> = left.iter().filter(|(_, i)| i.captured > from - SPAN).take(limit).collect();
    let next = (left.len() > page.len()).then(|| {
        let from = if page.len() == limit { from } else { from - SPAN };
        format!("{from} {}", given + page.len())
    });
    let shown = |(n, item): &&(usize, &Item)| {
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of our time fit")]
        let seconds = item.captured as f64 / 1000.0;
        json!({ "version": "1.3", "accountId": "123456789012", "resourceType": name,
            "resourceId": id, "awsRegion": ConfigDouble::REGION, "relatedEvents": [],
            "configurationItemCaptureTime": seconds, "configurationItemStatus": item.status,
            "configurationStateId": (item.captured + i64::try_from(*n).unwrap_or(0)).to_string() })
    };
    let mut answer = json!({ "configurationItems": page.iter().map(shown).collect::<Vec<_>>() });
    if let Some(next) = next {
        answer["nextToken"] = next.into();
    }
    Ok(answer)
}

fn moment(seconds: f64) -> Result<i64, Wrong> {
    #[expect(clippy::cast_possible_truncation, reason = "checked right after")]
    let millis = (seconds * 1000.0) as i64;
    let checked = Timestamp::from_millisecond(millis).map_err(|_| (400, "ValidationException"))?;
    Ok(checked.as_millisecond())
}
