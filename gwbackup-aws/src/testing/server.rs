//! HTTP in front of the state.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use serde_json::Value;

use super::entities;
use super::faults::{Asked, Fault, Rule};
use super::functions;
use super::http::Answer;
use super::iam::{self, Gate};
use super::principal;
use super::quota::Quotas;
use super::reply::{Refusal, Reply};
use super::request::{self, Request};
use super::sessions::Refused;
use super::state::State;

/// A request that was made, without its body.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Call {
    /// The operation's name in the service's model.
    pub operation: String,
    /// `GET`, `PUT`, ...
    pub method: String,
    /// Path and query as sent.
    pub path: String,
    /// The status of the answer; nothing if none was sent.
    pub status: Option<u16>,
}

/// What the tasks of a double share.
pub(super) struct Shared {
    state: Mutex<State>,
    faults: Mutex<Option<Rule>>,
    log: Mutex<Vec<Call>>,
    writes: Mutex<u64>,
    quotas: Mutex<Option<Quotas>>,
    pub(super) gate: Gate,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn new(state: State, quotas: bool) -> Self {
        Self {
            state: Mutex::new(state),
            faults: Mutex::new(None),
            log: Mutex::default(),
            writes: Mutex::new(0),
            quotas: Mutex::new(quotas.then(Quotas::default)),
            gate: Gate::default(),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    pub(super) fn faults(&self) -> MutexGuard<'_, Option<Rule>> {
        lock(&self.faults)
    }

    pub(super) fn log(&self) -> MutexGuard<'_, Vec<Call>> {
        lock(&self.log)
    }
}

/// Answers a request, and logs it.
pub(super) fn answer(shared: &Shared, head: &Parts, body: &Bytes) -> Answer {
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let method = head.method.as_str().to_owned();
    let signed = head.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let signed = signed.unwrap_or_default();
    let operation = {
        let state = shared.state();
        let segments = request::segments(head.uri.path());
        let found = state.operations.iter().find(|op| op.answers(&method, &segments));
        found.map(|op| op.name.clone()).unwrap_or_default()
    };
    let reply = match shared.gate.refuses(head) {
        Some(refused) => Some(not_let_in(refused, &path)),
        None => answered(shared, &method, &path, &operation, signed, body),
    };
    let status = reply.as_ref().map(|reply| reply.status);
    shared.log().push(Call { operation, method, path, status });
    reply.map(response)
}

fn not_let_in(refused: Refused, path: &str) -> Reply {
    let code = match refused {
        Refused::Expired => "ExpiredTokenException",
        Refused::Stranger => "UnrecognizedClientException",
    };
    if path == "/" {
        let code = code.trim_end_matches("Exception");
        let body = format!("<ErrorResponse><Error><Code>{code}</Code></Error></ErrorResponse>");
        return Reply { status: 403, code: "", body: body.into_bytes() };
    }
    Refusal { status: 403, code, message: "said by the double".to_owned() }.into()
}

fn answered(
    shared: &Shared,
    method: &str,
    path: &str,
    operation: &str,
    signed: &str,
    body: &[u8],
) -> Option<Reply> {
    let write = {
        let mut writes = lock(&shared.writes);
        *writes += u64::from(method != "GET");
        if method == "GET" { 0 } else { *writes }
    };
    let number = shared.log().len() as u64 + 1;
    let plain = path.split('?').next().unwrap_or_default();
    let asked = Asked { number, write, method, path: plain, operation };
    let fault = shared.faults().as_mut().and_then(|rule| rule(&asked));
    match fault {
        Some(Fault::Disconnect) => return None,
        Some(Fault::Error(status, code)) => {
            let message = format!("a fault that a test set ({code}) for {operation}");
            return Some(Refusal { status, code, message }.into());
        }
        Some(Fault::LoseAnswer) | None => {}
    }
    let mut state = shared.state();
    // Identities have one home for all regions.
    let own = [format!("/{}/", state.region), "/us-east-1/iam/".to_owned()];
    let is_own = own.iter().any(|scope| signed.contains(scope));
    if !(signed.starts_with("AWS4-HMAC-SHA256 Credential=") && is_own) {
        let message = "Missing Authentication Token".to_owned();
        return Some(
            Refusal { status: 403, code: "MissingAuthenticationTokenException", message }.into(),
        );
    }
    let now = state.clock.now();
    if plain != "/"
        && let Some(quotas) = lock(&shared.quotas).as_mut()
        && !quotas.take(operation, now)
    {
        let message = "Too Many Requests".to_owned();
        return Some(Refusal { status: 429, code: "TooManyRequestsException", message }.into());
    }
    if plain == "/" && !body.is_empty() {
        let reply = principal::answer(&state, &shared.gate, body);
        return fault.is_none().then_some(reply);
    }
    let asked = iam::Asked {
        region: &state.region,
        account: &state.account,
        operation,
        method,
        path: plain,
        query: path.split_once('?').map_or("", |(_, query)| query),
        body,
        there: there(&state, plain),
    };
    if let Some(lacking) = shared.gate.lacks(iam::needs(&asked)) {
        let message = format!(
            "User is not authorized to perform: {} on resource: {}",
            lacking.action, lacking.resource
        );
        return Some(Refusal { status: 403, code: "AccessDeniedException", message }.into());
    }
    let reply = perform(&mut state, method, path, body);
    (fault.is_none()).then_some(reply)
}

/// What is at a path, or what is published there.
fn there<'a>(state: &'a State, path: &str) -> Option<&'a Value> {
    let path = path.trim_matches('/').trim_end_matches("/publish");
    let domain = path.strip_prefix("v2/").filter(|path| path.starts_with("domainnames"));
    state.objects.get(domain.unwrap_or(path))
}

/// A request without a network.
pub(super) fn perform(state: &mut State, method: &str, path: &str, body: &[u8]) -> Reply {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let request = Request::new(method, path, query, body);
    if path.starts_with("/2015-03-31/functions/") {
        return functions::handle(state, &request).unwrap_or_else(Reply::from);
    }
    entities::handle(state, &request).unwrap_or_else(Reply::from)
}

fn response(reply: Reply) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(reply.body)));
    *response.status_mut() =
        StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if !reply.code.is_empty() {
        headers.insert("x-amzn-errortype", HeaderValue::from_static(reply.code));
    }
    response
}
