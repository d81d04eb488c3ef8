//! HTTP in front of the state.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use gwbackup_core::{Error, ErrorKind, Result};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::entities::{self, Request};
use super::faults::{Asked, Fault, Rule};
use super::quota::Quotas;
use super::state::{Refusal, State};

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

/// What is answered.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) code: &'static str,
    pub(super) body: Vec<u8>,
}

impl Reply {
    pub(super) fn json(status: u16, body: &Value) -> Self {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        Self { status, code: "", body }
    }
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Self {
        let body = json!({ "message": refusal.message }).to_string().into_bytes();
        Self { status: refusal.status, code: refusal.code, body }
    }
}

/// What the tasks of a double share.
pub(super) struct Shared {
    state: Mutex<State>,
    faults: Mutex<Option<Rule>>,
    log: Mutex<Vec<Call>>,
    writes: Mutex<u64>,
    quotas: Mutex<Option<Quotas>>,
    away: watch::Sender<bool>,
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
            away: watch::Sender::new(false),
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

    pub(super) fn go_away(&self) {
        self.away.send_replace(true);
    }
}

/// Binds a port of the loopback and serves until the double is gone.
pub(super) async fn serve(shared: &Arc<Shared>, port: u16) -> Result<SocketAddr> {
    let failed = |error: std::io::Error| {
        Error::new(ErrorKind::Other, "the double cannot listen on this port").with_source(error)
    };
    let listener = TcpListener::bind(("127.0.0.1", port)).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        let mut away = shared.away.subscribe();
        loop {
            let stream = tokio::select! {
                _ = away.wait_for(|away| *away) => break,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(_) => continue,
                },
            };
            tokio::spawn(connection(Arc::clone(&shared), stream));
        }
    });
    Ok(address)
}

async fn connection(shared: Arc<Shared>, stream: TcpStream) {
    // Small answers leave at once.
    let _ = stream.set_nodelay(true);
    let mut away = shared.away.subscribe();
    let service = service_fn(|request| answer(&shared, request));
    let serving = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        _ = serving => {}
        _ = away.wait_for(|away| *away) => {}
    }
}

/// An answer that was lost: hyper closes the connection on any error.
#[derive(Debug)]
struct Lost;

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the answer is lost")
    }
}

impl std::error::Error for Lost {}

async fn answer(
    shared: &Shared,
    request: hyper::Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Lost> {
    let (head, body) = request.into_parts();
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let method = head.method.as_str().to_owned();
    let signed = head.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let signed = signed.unwrap_or_default().to_owned();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let operation = {
        let state = shared.state();
        let segments = entities::segments(head.uri.path());
        let found = state.operations.iter().find(|op| op.answers(&method, &segments));
        found.map(|op| op.name.clone()).unwrap_or_default()
    };
    let reply = answered(shared, &method, &path, &operation, &signed, &body);
    let status = reply.as_ref().map(|reply| reply.status);
    shared.log().push(Call { operation, method, path, status });
    reply.map(response).ok_or(Lost)
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
    let scope = format!("/{}/", state.region);
    if !(signed.starts_with("AWS4-HMAC-SHA256 Credential=") && signed.contains(&scope)) {
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
    let reply = perform(&mut state, method, path, body);
    (fault.is_none()).then_some(reply)
}

/// A request without a network.
pub(super) fn perform(state: &mut State, method: &str, path: &str, body: &[u8]) -> Reply {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    if path == "/" {
        let account = &state.account;
        let body = format!(
            "<GetCallerIdentityResponse><GetCallerIdentityResult><Account>{account}</Account>\
             </GetCallerIdentityResult></GetCallerIdentityResponse>"
        );
        return Reply { status: 200, code: "", body: body.into_bytes() };
    }
    let request = Request::new(method, path, query, body);
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
