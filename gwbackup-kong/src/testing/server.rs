//! HTTP in front of a node.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use gwbackup_core::clock::{Clock, SystemClock};
use gwbackup_core::{Error, ErrorKind, Result};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_TYPE, HeaderName,
    HeaderValue, RETRY_AFTER, SERVER,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::api::Request;
use super::faults::{Asked, Fault, Trouble};
use super::node::Node;
use super::proxy::{Memory, Passing};
use super::reply::{Body, Reply};

/// Requests that the log keeps.
const LOG: usize = 10_000;

/// A request that was made, without its body.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Call {
    /// `GET`, `PUT`, ...
    pub method: String,
    /// Path and query as sent.
    pub path: String,
    /// The status of the answer; nothing if none was sent.
    pub status: Option<u16>,
}

/// How many requests and connections there were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traffic {
    /// All requests.
    pub requests: u64,
    /// Those that write: neither `GET` nor `HEAD`.
    pub writes: u64,
    /// The most requests that were under way at one moment.
    pub most_requests: usize,
    /// The most connections that were open at one moment.
    pub most_connections: usize,
}

#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) calls: VecDeque<Call>,
    pub(super) traffic: Traffic,
    under_way: usize,
    connections: usize,
}

/// What the tasks of a double share.
#[derive(Debug)]
pub(super) struct Shared {
    node: Mutex<Node>,
    trouble: Mutex<Trouble>,
    log: Mutex<Log>,
    /// What the proxy remembers of its callers.
    memory: Mutex<Memory>,
    /// True once nobody listens any more.
    away: watch::Sender<bool>,
    body_limit: usize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn new(node: Node, trouble: Trouble, body_limit: usize) -> Self {
        Self {
            node: Mutex::new(node),
            trouble: Mutex::new(trouble),
            log: Mutex::default(),
            memory: Mutex::default(),
            away: watch::Sender::new(false),
            body_limit,
        }
    }

    pub(super) fn node(&self) -> MutexGuard<'_, Node> {
        lock(&self.node)
    }

    pub(super) fn trouble(&self) -> MutexGuard<'_, Trouble> {
        lock(&self.trouble)
    }

    pub(super) fn log(&self) -> MutexGuard<'_, Log> {
        lock(&self.log)
    }

    pub(super) fn go_away(&self) {
        self.away.send_replace(true);
    }
}

/// What stands behind a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    Admin,
    Proxy,
}

/// Binds a port of the loopback and serves until the double is gone.
pub(super) async fn serve(shared: &Arc<Shared>, port: u16, door: Door) -> Result<SocketAddr> {
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
            tokio::spawn(connection(Arc::clone(&shared), stream, door));
        }
    });
    Ok(address)
}

async fn connection(shared: Arc<Shared>, stream: TcpStream, door: Door) {
    if door == Door::Admin {
        let mut log = shared.log();
        log.connections += 1;
        log.traffic.most_connections = log.traffic.most_connections.max(log.connections);
    }
    // Small answers leave at once; without this each waits for the client's acknowledgement.
    let _ = stream.set_nodelay(true);
    let mut away = shared.away.subscribe();
    let from = stream.peer_addr().map_or(IpAddr::from([127, 0, 0, 1]), |peer| peer.ip());
    let service = service_fn(|request| answered(&shared, request, door, from));
    let serving = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        // The client went, or an answer was lost on purpose.
        _ = serving => {}
        _ = away.wait_for(|away| *away) => {}
    }
    if door == Door::Admin {
        shared.log().connections -= 1;
    }
}

async fn answered(
    shared: &Shared,
    request: hyper::Request<Incoming>,
    door: Door,
    from: IpAddr,
) -> Result<Response<Full<Bytes>>, Lost> {
    match door {
        Door::Admin => answer(shared, request).await,
        Door::Proxy => pass(shared, request, from).await,
    }
}

/// A request at the proxy.
async fn pass(
    shared: &Shared,
    request: hyper::Request<Incoming>,
    from: IpAddr,
) -> Result<Response<Full<Bytes>>, Lost> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Lost)?.to_bytes().len();
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let passing = Passing {
        method: head.method.as_str().to_owned(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
        from,
        body,
    };
    let passed = shared.node().pass(&mut lock(&shared.memory), &passing);
    let mut response = Response::new(Full::new(Bytes::from(passed.body)));
    *response.status_mut() =
        StatusCode::from_u16(passed.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    for (name, value) in passed.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    }
    Ok(response)
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
    {
        let mut log = shared.log();
        log.under_way += 1;
        log.traffic.most_requests = log.traffic.most_requests.max(log.under_way);
    }
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let method = request.method().as_str().to_owned();
    let reply = perform(shared, request).await;
    let mut log = shared.log();
    log.under_way -= 1;
    if log.calls.len() == LOG {
        log.calls.pop_front();
    }
    log.calls.push_back(Call { method, path, status: reply.as_ref().map(|reply| reply.status) });
    drop(log);
    reply.map(response).ok_or(Lost)
}

async fn perform(shared: &Shared, request: hyper::Request<Incoming>) -> Option<Reply> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, shared.body_limit).collect().await;
    let method = if head.method == "HEAD" { "GET" } else { head.method.as_str() };
    let fault = before(shared, method, head.uri.path());
    let delay = {
        let trouble = shared.trouble();
        if method == "GET" { trouble.page_delay } else { trouble.write_delay }
    };
    if !delay.is_zero() {
        // Not the node's clock: a test that sets that clock does not mean to stop the network.
        SystemClock.sleep(delay).await;
    }
    if fault == Some(Fault::GoAway) {
        shared.go_away();
    }
    if let Some(fault) = fault.filter(|fault| *fault != Fault::LoseAnswer) {
        return fault.reply();
    }
    let Ok(body) = body.map(http_body_util::Collected::to_bytes) else {
        return Some(Reply::too_large());
    };
    let kind = head.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.unwrap_or_default();
    let request = Request {
        method,
        path: head.uri.path(),
        query: head.uri.query().unwrap_or_default(),
        form: kind.starts_with("application/x-www-form-urlencoded"),
        json: kind.starts_with("application/json"),
        body: &body,
    };
    let reply = shared.node().handle(&request);
    fault.is_none().then_some(reply)
}

/// Counts the request, makes the edits that come before it, and says what goes wrong with it.
fn before(shared: &Shared, method: &str, path: &str) -> Option<Fault> {
    let (number, write) = {
        let traffic = &mut shared.log().traffic;
        traffic.requests += 1;
        let writes = method != "GET";
        traffic.writes += u64::from(writes);
        (traffic.requests, if writes { traffic.writes } else { 0 })
    };
    let asked = Asked { number, write, method, path };
    let mut trouble = shared.trouble();
    let edits = trouble.edits.as_mut().map(|rule| rule(&asked)).unwrap_or_default();
    let fault = trouble.faults.as_mut().and_then(|rule| rule(&asked));
    drop(trouble);
    for edit in edits {
        perform_directly(&mut shared.node(), &edit.method, &edit.path, &edit.body);
    }
    fault
}

/// A request without a network.
pub(super) fn perform_directly(node: &mut Node, method: &str, path: &str, body: &Value) -> Reply {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let text = if body.is_null() { String::new() } else { body.to_string() };
    node.handle(&Request { method, path, query, form: false, json: true, body: text.as_bytes() })
}

fn response(reply: Reply) -> Response<Full<Bytes>> {
    let (kind, body) = match reply.body {
        Body::Nothing => (None, Bytes::new()),
        Body::Json(text) => (Some("application/json; charset=utf-8"), Bytes::from(text)),
        Body::Html(text) => (Some("text/html"), Bytes::from_static(text.as_bytes())),
    };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() =
        StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(SERVER, HeaderValue::from_static("kong/3.9.1"));
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    if let Some(kind) = kind {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    if let Some(wait) = reply.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(wait));
    }
    response
}
