//! A double of CloudWatch: metrics that are put, on a port of the loopback.
//!
//! Made from the service's published contract: what a request may hold, which names, units, values and
//! times it takes. A request with anything else in it is refused as a whole.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use gwbackup_core::Result;
use gwbackup_core::clock::{Clock, SystemClock, Timestamp};
use http_body_util::Full;
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use super::http::Server;
use super::iam::{Gate, Need};
use super::sessions::{Refused, Sessions};

/// Bytes of a request.
const BYTES: usize = 1 << 20;
/// Values of a request.
const MOST: usize = 1000;
/// Dimensions of a value.
const DIMENSIONS: usize = 30;
/// How far back, and how far ahead.
const TIMES: [Duration; 2] = [Duration::from_hours(14 * 24), Duration::from_hours(2)];
const UNITS: &[&str] =
    &["Seconds", "Milliseconds", "Microseconds", "Bytes", "Count", "Percent", "None"];

/// A value that was put.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Datum {
    /// Whose series.
    pub namespace: String,
    /// The metric.
    pub name: String,
    /// Of what.
    pub dimensions: BTreeMap<String, String>,
    /// Its unit.
    pub unit: String,
    /// Its time, to the millisecond.
    pub at: Timestamp,
    /// The value.
    pub value: f64,
}

#[derive(Default)]
struct Shared {
    data: Vec<Datum>,
    requests: Vec<usize>,
    refusals: Vec<(u16, &'static str)>,
    is_away: bool,
    gate: Gate,
}

/// One region of one account, `eu-central-1`, served until it is dropped. Needs a tokio runtime.
pub struct CloudWatchDouble {
    shared: Arc<Mutex<Shared>>,
    server: Server,
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl CloudWatchDouble {
    /// Its region.
    pub const REGION: &'static str = "eu-central-1";

    /// Without a value, by the machine's clock.
    pub async fn start() -> Result<Self> {
        Self::with_clock(Arc::new(SystemClock)).await
    }

    /// The same by another clock, which judges times.
    pub async fn with_clock(clock: Arc<dyn Clock>) -> Result<Self> {
        let shared: Arc<Mutex<Shared>> = Arc::default();
        let own = Arc::clone(&shared);
        let answered = move |head: &Parts, body: &Bytes| {
            let mut shared = lock(&own);
            (!shared.is_away).then(|| answer(&mut shared, clock.now(), head, body))
        };
        let server = Server::start(0, answered).await?;
        Ok(Self { shared, server })
    }

    /// Its address, as `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The values so far, oldest first.
    pub fn data(&self) -> Vec<Datum> {
        lock(&self.shared).data.clone()
    }

    /// How many values each request had that was taken, oldest first.
    pub fn requests(&self) -> Vec<usize> {
        lock(&self.shared).requests.clone()
    }

    /// Refuses the next requests, one with each status and code.
    pub fn refuse(&self, refusals: impl IntoIterator<Item = (u16, &'static str)>) {
        lock(&self.shared).refusals.extend(refusals);
    }

    /// From now on no request is answered, or all are again.
    pub fn set_away(&self, is_away: bool) {
        lock(&self.shared).is_away = is_away;
    }

    /// From now on nobody is let in but with these.
    pub fn admit(&self, sessions: &Sessions) {
        lock(&self.shared).gate.admit(sessions);
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
}

impl std::fmt::Debug for CloudWatchDouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CloudWatchDouble").field("server", &self.server).finish_non_exhaustive()
    }
}

type Told = Result<Value, (u16, &'static str)>;

fn answer(
    shared: &mut Shared,
    now: Timestamp,
    head: &Parts,
    body: &Bytes,
) -> Response<Full<Bytes>> {
    let (status, body) = match performed(shared, now, head, body) {
        Ok(value) => (200, value),
        Err((status, code)) => {
            let code = format!("com.amazonaws.cloudwatch.v2010_08_01#{code}");
            (status, json!({ "__type": code, "message": "said by the double" }))
        }
    };
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
}

fn performed(shared: &mut Shared, now: Timestamp, head: &Parts, body: &Bytes) -> Told {
    match shared.gate.refuses(head) {
        Some(Refused::Expired) => return Err((403, "ExpiredToken")),
        Some(Refused::Stranger) => return Err((403, "InvalidClientTokenId")),
        None => {}
    }
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let signed = header("authorization").unwrap_or_default();
    let scope = format!("/{}/monitoring/aws4_request", CloudWatchDouble::REGION);
    if !signed.contains(&scope) || !signed.contains("x-amz-target") {
        return Err((403, "SignatureDoesNotMatch"));
    }
    if header("x-amz-target") != Some("GraniteServiceVersion20100801.PutMetricData")
        || header("content-type") != Some("application/x-amz-json-1.0")
    {
        return Err((400, "UnknownOperationException"));
    }
    if !shared.refusals.is_empty() {
        return Err(shared.refusals.remove(0));
    }
    if body.len() > BYTES {
        return Err((413, "RequestEntityTooLarge"));
    }
    let ask: Value = serde_json::from_slice(body).map_err(|_| (400, "SerializationException"))?;
    let namespace = ask["Namespace"].as_str().ok_or((400, "MissingRequiredParameterException"))?;
    let need = Need::new("cloudwatch:PutMetricData", "*").when("cloudwatch:namespace", namespace);
    if shared.gate.lacks(vec![need]).is_some() {
        return Err((403, "AccessDenied"));
    }
    let list = ask["MetricData"].as_array().ok_or((400, "MissingRequiredParameterException"))?;
    let is_ours =
        plain(namespace, 255) && !namespace.starts_with(':') && !namespace.starts_with("AWS/");
    if !is_ours || list.is_empty() || list.len() > MOST {
        return Err(BAD);
    }
    let data =
        list.iter().map(|value| datum(namespace, now, value)).collect::<Result<Vec<_>, _>>()?;
    shared.requests.push(data.len());
    shared.data.extend(data);
    Ok(json!({}))
}

const BAD: (u16, &str) = (400, "InvalidParameterValueException");

/// ASCII without control characters, not blank, so long at most.
fn plain(text: &str, most: usize) -> bool {
    let fits = |b: u8| (b' '..=b'~').contains(&b);
    (1..=most).contains(&text.len()) && text.bytes().all(fits) && !text.trim().is_empty()
}

fn datum(namespace: &str, now: Timestamp, said: &Value) -> Result<Datum, (u16, &'static str)> {
    let name = said["MetricName"].as_str().filter(|name| plain(name, 255)).ok_or(BAD)?;
    let unit = said["Unit"].as_str().filter(|unit| UNITS.contains(unit)).ok_or(BAD)?;
    let value = said["Value"].as_f64().filter(|v| v.abs() <= 2_f64.powi(360)).ok_or(BAD)?;
    let time = said["Timestamp"].as_f64().ok_or(BAD)?;
    #[expect(clippy::cast_possible_truncation, reason = "a time out of range is refused next")]
    let at = Timestamp::from_millisecond((time * 1000.0).round() as i64).map_err(|_| BAD)?;
    let [back, ahead] = TIMES;
    let age = now.duration_since(at);
    if age > back.try_into().unwrap_or_default() || -age > ahead.try_into().unwrap_or_default() {
        return Err(BAD);
    }
    let mut dimensions = BTreeMap::new();
    let all = said["Dimensions"].as_array().filter(|all| all.len() <= DIMENSIONS).ok_or(BAD)?;
    for one in all {
        let name = one["Name"].as_str().filter(|n| plain(n, 255) && !n.starts_with(':'));
        let value = one["Value"].as_str().filter(|value| plain(value, 1024));
        dimensions.insert(name.ok_or(BAD)?.to_owned(), value.ok_or(BAD)?.to_owned());
    }
    if dimensions.len() != all.len() {
        return Err(BAD);
    }
    let (namespace, name, unit) = (namespace.to_owned(), name.to_owned(), unit.to_owned());
    Ok(Datum { namespace, name, dimensions, unit, at, value })
}
