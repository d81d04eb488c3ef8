//! Signed calls: quotas, pauses, pages, and what an answer means.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_credential_types::provider::ProvideCredentials as _;
use aws_sigv4::http_request::{
    PayloadChecksumKind, SignableBody, SignableRequest, SigningSettings, sign,
};
use aws_sigv4::sign::v4;
use bytes::{Bytes, BytesMut};
use gwbackup_core::error::{ErrorKind, Retry};
use gwbackup_core::retry::{Pauses, rest};
use gwbackup_core::{Context, Error, Result};
use reqwest::{Method, redirect};
use serde_json::value::RawValue;
use tokio::sync::Semaphore;
use url::Url;

use crate::answer::Answer;
use crate::config::Config;
use crate::quota::{Quotas, Sort};

/// Until a connection stands.
const CONNECT: Duration = Duration::from_secs(10);
/// Between two pieces of an answer.
const SILENCE: Duration = Duration::from_mins(2);
/// Bytes of one answer.
const MOST: usize = 256 << 20;

/// Speaks to one region. Clones share connections and quotas.
#[derive(Debug, Clone)]
pub(crate) struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    http: reqwest::Client,
    config: Config,
    quotas: Arc<Quotas>,
    slots: Semaphore,
}

/// One call.
#[derive(Debug, Clone)]
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    pub(crate) path: Vec<&'a str>,
    pub(crate) query: Vec<(&'a str, String)>,
    pub(crate) body: Option<String>,
    /// It makes an edge-optimised API, of which there may be few.
    pub(crate) edge: bool,
}

impl<'a> Call<'a> {
    pub(crate) fn new(method: Method, path: impl IntoIterator<Item = &'a str>) -> Self {
        let path = path.into_iter().collect();
        Self { method, path, query: Vec::new(), body: None, edge: false }
    }

    pub(crate) fn get(path: impl IntoIterator<Item = &'a str>) -> Self {
        Self::new(Method::GET, path)
    }

    #[must_use]
    pub(crate) fn query(mut self, name: &'a str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    #[must_use]
    pub(crate) fn body(mut self, json: impl Into<String>) -> Self {
        self.body = Some(json.into());
        self
    }
}

/// How a list is given out page by page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paging {
    /// `limit` and `position`.
    Position,
    /// `maxResults` and `nextToken`.
    Token,
    /// All at once.
    None,
}

impl Client {
    pub(crate) fn new(config: Config, quotas: Arc<Quotas>) -> Result<Self> {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .tcp_nodelay(true)
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .build()
            .map_err(|e| Error::invalid("no HTTPS client can be made").with_source(e))?;
        let slots = Semaphore::new(config.calls.into());
        Ok(Self(Arc::new(Inner { http, config, quotas, slots })))
    }

    pub(crate) fn config(&self) -> &Config {
        &self.0.config
    }

    /// Reads, again and again while the fault may pass. Cancel safe.
    pub(crate) async fn get(&self, cx: &Context, call: Call<'_>) -> Result<Answer> {
        let mut pauses = Pauses::new();
        loop {
            let answer = tokio::select! {
                answer = self.send(cx, call.clone()) => answer.and_then(Answer::settled),
                () = cx.cancellation().cancelled() => Err(cancelled(cx)),
            };
            let Err(error) = answer else { return answer };
            let Some(pause) = pauses.after(&error) else { return Err(error) };
            rest(cx, pause).await?;
        }
    }

    /// Calls once. `Err` leaves open whether it did anything.
    pub(crate) async fn send(&self, cx: &Context, call: Call<'_>) -> Result<Answer> {
        let sort = Sort::of(&call.method, &call.path).edge(call.edge);
        if !self.0.config.unpaced {
            self.0.quotas.turn(cx, sort).await?;
        }
        let _slot = self.0.slots.acquire().await;
        let mut url = self.0.config.endpoint.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(&call.path);
        }
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&call.query);
        }
        let answer = self.exchange(cx, "apigateway", call.method, url, call.body).await?;
        if let Some(pause) = answer.pause() {
            self.0.quotas.hold(cx, sort, pause);
        }
        Ok(answer)
    }

    /// The account that the credentials belong to.
    pub(crate) async fn account(&self, cx: &Context) -> Result<String> {
        let mut pauses = Pauses::new();
        let answer = loop {
            let body = "Action=GetCallerIdentity&Version=2011-06-15".to_owned();
            let url = self.0.config.sts.clone();
            let answer = self.exchange(cx, "sts", Method::POST, url, Some(body)).await;
            match answer.and_then(Answer::settled) {
                Ok(answer) => break answer.success()?,
                Err(error) => {
                    let pause = pauses.after(&error).ok_or(error)?;
                    rest(cx, pause).await?;
                }
            }
        };
        let text = String::from_utf8_lossy(&answer);
        let account = text.split_once("<Account>").and_then(|(_, rest)| rest.split_once('<'));
        let account = account.map(|(account, _)| account.to_owned());
        account.ok_or_else(|| Error::invalid("the identity service names no account"))
    }

    /// Every element of a list, as it was sent.
    pub(crate) async fn list(
        &self,
        cx: &Context,
        call: Call<'_>,
        paging: Paging,
    ) -> Result<Vec<Box<RawValue>>> {
        let mut all = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let mut call = call.clone();
            match paging {
                Paging::Position => call = call.query("limit", "500"),
                Paging::Token => call = call.query("maxResults", "500"),
                Paging::None => {}
            }
            if let Some(next) = next.take() {
                let name = if paging == Paging::Token { "nextToken" } else { "position" };
                call = call.query(name, next);
            }
            let page = self.get(cx, call).await?.page()?;
            all.extend(page.items);
            match page.next {
                Some(token) if paging != Paging::None => next = Some(token),
                _ => return Ok(all),
            }
        }
    }

    async fn exchange(
        &self,
        cx: &Context,
        service: &'static str,
        method: Method,
        url: Url,
        body: Option<String>,
    ) -> Result<Answer> {
        let kind =
            if service == "sts" { "application/x-www-form-urlencoded" } else { "application/json" };
        let signed = self.sign(cx, service, &method, &url, body.as_deref()).await?;
        let mut request =
            self.0.http.request(method, url.clone()).header("accept", "application/json");
        for (name, value) in signed {
            request = request.header(name, value);
        }
        if let Some(body) = body {
            request = request.header("content-type", kind).body(body);
        }
        let away = |e: reqwest::Error| unavailable(e).on(shown(&url));
        let mut response = request.send().await.map_err(away)?;
        let head = (response.status().as_u16(), response.headers().clone());
        let mut body = BytesMut::new();
        while let Some(piece) = response.chunk().await.map_err(away)? {
            if body.len() + piece.len() > MOST {
                return Err(Error::invalid("the answer is larger than 256 MiB").on(shown(&url)));
            }
            body.extend_from_slice(&piece);
        }
        Ok(Answer::new(head.0, &head.1, body.freeze(), shown(&url).to_owned()))
    }

    async fn sign(
        &self,
        cx: &Context,
        service: &'static str,
        method: &Method,
        url: &Url,
        body: Option<&str>,
    ) -> Result<Vec<(String, String)>> {
        let lacking = |e: aws_credential_types::provider::error::CredentialsError| {
            let error =
                Error::new(ErrorKind::Unauthenticated, "no valid credentials are to be had");
            error.help("log in again, or name another profile").with_source(e)
        };
        let credentials = self.0.config.credentials.provide_credentials().await.map_err(lacking)?;
        let identity = credentials.into();
        let mut settings = SigningSettings::default();
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        let time = SystemTime::from(cx.now());
        let broken =
            |e: &dyn std::fmt::Display| Error::invalid(format!("a call cannot be signed: {e}"));
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.0.config.region)
            .name(service)
            .time(time)
            .settings(settings)
            .build()
            .map_err(|e| broken(&e))?
            .into();
        let body = SignableBody::Bytes(body.unwrap_or_default().as_bytes());
        let request = SignableRequest::new(method.as_str(), url.as_str(), std::iter::empty(), body)
            .map_err(|e| broken(&e))?;
        let (signed, _) = sign(request, &parameters).map_err(|e| broken(&e))?.into_parts();
        Ok(signed.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }
}

/// The address without what a query may hold.
fn shown(url: &Url) -> &str {
    url.as_str().split('?').next().unwrap_or_default()
}

fn cancelled(cx: &Context) -> Error {
    cx.check().err().unwrap_or_else(|| Error::new(ErrorKind::Cancelled, "the run was cancelled"))
}

fn unavailable(e: reqwest::Error) -> Error {
    let said = match &e {
        e if e.is_connect() => "the service does not answer",
        e if e.is_timeout() => "the service stopped answering",
        _ => "the connection broke before the answer was whole",
    };
    Error::new(ErrorKind::Unavailable, said).with_retry(Retry::Later).with_source(e.without_url())
}

/// One page of a list.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) items: Vec<Box<RawValue>>,
    pub(crate) next: Option<String>,
}

/// The whole of an answer, for those who know what to make of it.
pub(crate) type Body = Bytes;
