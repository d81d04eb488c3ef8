//! Calls to one node's Admin API: addresses, headers, limits, pauses, and what an answer means.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use gwbackup_core::error::{ErrorKind, Retry};
use gwbackup_core::retry::{Pauses, rest};
use gwbackup_core::{Context, Error, Result};
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Method, redirect};
use serde::Deserialize;
use tokio::sync::Semaphore;
use url::Url;

use super::config::Config;

/// Until a connection stands.
const CONNECT: Duration = Duration::from_secs(10);
/// Between two pieces of an answer.
const SILENCE: Duration = Duration::from_mins(2);
/// Bytes of one answer.
const MOST: usize = 1 << 30;

/// Speaks to one node. Clones share connections and their limit.
#[derive(Debug, Clone)]
pub(crate) struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    http: reqwest::Client,
    base: Url,
    workspace: Option<String>,
    slots: Semaphore,
}

/// What the node said, but for what no caller can make something of: those are errors.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
}

/// Why Kong refused a call.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Refusal {
    #[serde(default)]
    pub(crate) code: u16,
    #[serde(default)]
    pub(crate) message: String,
    /// What is wrong, by member. May quote what was sent: never shown whole.
    #[serde(default)]
    pub(crate) fields: serde_json::Value,
}

impl Client {
    /// Reads the files that `config` names; touches no network.
    pub(crate) fn new(config: &Config) -> Result<Self> {
        let mut http = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .tcp_nodelay(true)
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .pool_max_idle_per_host(config.connections.into())
            .default_headers(config.headers.clone());
        if let Some(path) = &config.ca {
            let pem = std::fs::read(path).map_err(|e| Error::from(e).on(path.display()))?;
            let authorities = reqwest::Certificate::from_pem_bundle(&pem)
                .ok()
                .filter(|found| !found.is_empty())
                .ok_or_else(|| {
                    Error::invalid("no PEM certificate in this file").on(path.display())
                })?;
            http = http.tls_certs_merge(authorities);
        }
        if let Some(path) = &config.client_certificate {
            let pem = std::fs::read(path).map_err(|e| Error::from(e).on(path.display()))?;
            let identity = reqwest::Identity::from_pem(&pem).map_err(|_| {
                Error::invalid("no certificate with its key, both in PEM, in this file")
                    .on(path.display())
            })?;
            http = http.identity(identity);
        }
        let http = http.build().map_err(|e| {
            Error::invalid("an HTTPS client cannot be made of these settings").with_source(e)
        })?;
        Ok(Self(Arc::new(Inner {
            http,
            base: config.base.clone(),
            workspace: config.workspace.clone(),
            slots: Semaphore::new(config.connections.into()),
        })))
    }

    /// An address below the workspace, of segments as they are: names may hold anything.
    pub(crate) fn at<'a>(&'a self, segments: impl IntoIterator<Item = &'a str>) -> Url {
        let workspace = self.0.workspace.as_deref();
        self.root(workspace.into_iter().chain(segments))
    }

    /// An address of the node itself.
    pub(crate) fn root<'a>(&self, segments: impl IntoIterator<Item = &'a str>) -> Url {
        let mut url = self.0.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    /// Reads, again and again while the fault may pass. Cancel safe.
    pub(crate) async fn get(&self, cx: &Context, url: &Url) -> Result<Answer> {
        let mut pauses = Pauses::new();
        loop {
            let error = match self.get_once(cx, url).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let Some(pause) = pauses.after(&error) else { return Err(error) };
            rest(cx, pause).await?;
        }
    }

    /// Reads. Cancel safe.
    pub(crate) async fn get_once(&self, cx: &Context, url: &Url) -> Result<Answer> {
        cx.unless_cancelled(self.send(Method::GET, url, None)).await
    }

    /// Calls once. Whether a call whose answer was lost did anything is not known.
    pub(crate) async fn send(
        &self,
        method: Method,
        url: &Url,
        json: Option<String>,
    ) -> Result<Answer> {
        let _slot = self.0.slots.acquire().await;
        let mut request = self.0.http.request(method, url.clone());
        if let Some(json) = json {
            request = request.header(CONTENT_TYPE, "application/json").body(json);
        }
        let away = |e: reqwest::Error| unavailable(e).on(shown(url));
        let mut response = request.send().await.map_err(away)?;
        let status = response.status().as_u16();
        let pause = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        if let Some(error) = fault(status, pause) {
            return Err(error.on(shown(url)));
        }
        let mut body = BytesMut::new();
        while let Some(piece) = response.chunk().await.map_err(away)? {
            if body.len() + piece.len() > MOST {
                return Err(Error::invalid("the answer is larger than 1 GiB").on(shown(url)));
            }
            body.extend_from_slice(&piece);
        }
        Ok(Answer { status, body: body.freeze() })
    }
}

impl Answer {
    /// Whether the node did it.
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Why it did not.
    pub(crate) fn refusal(&self) -> Refusal {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// The address without what a query may hold.
fn shown(url: &Url) -> &str {
    url.as_str().split('?').next().unwrap_or_default()
}

fn unavailable(e: reqwest::Error) -> Error {
    let said = match &e {
        e if e.is_connect() => "the node does not answer",
        e if e.is_timeout() => "the node stopped answering",
        _ => "the connection broke before the answer was whole",
    };
    Error::new(ErrorKind::Unavailable, said).with_source(e.without_url())
}

/// The error of a status that means the same to every caller.
fn fault(status: u16, retry_after: Option<&str>) -> Option<Error> {
    let after = retry_after.and_then(|text| text.parse().ok()).map(Duration::from_secs);
    let retry = after.map_or(Retry::Later, Retry::After);
    match status {
        401 => Some(
            Error::new(ErrorKind::Unauthenticated, "the node wants a valid token (401)")
                .help("give the setting `token`"),
        ),
        429 => Some(
            Error::new(ErrorKind::Throttled, "the node asks for a pause (429)").with_retry(retry),
        ),
        300..=399 => Some(
            Error::invalid(format!("the node sends callers elsewhere ({status})"))
                .help("give the address where the Admin API itself answers"),
        ),
        500.. => Some(
            Error::new(ErrorKind::Unavailable, format!("the node failed ({status})"))
                .with_retry(retry),
        ),
        _ => None,
    }
}
