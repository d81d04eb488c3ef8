//! Calls by HTTP.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use reqwest::header::{HOST, HeaderName, HeaderValue};
use reqwest::{Client, Method, redirect};
use tokio::sync::Mutex;
use url::Url;

use super::{Caller, Request, Response, Scheme};
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};

/// Until a connection stands.
const CONNECT: Duration = Duration::from_secs(5);
/// For one call.
const WHOLE: Duration = Duration::from_secs(30);
/// Bytes of an answer that are looked at.
const MOST: usize = 64 << 10;

/// Where a data plane is.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct HttpOptions {
    /// Address of the data plane in clear, `http://HOST:PORT`.
    pub http: Option<Url>,
    /// Address of the data plane by TLS, `https://HOST:PORT`.
    pub https: Option<Url>,
    /// PEM file of authorities to trust beside the system's.
    pub ca: Option<PathBuf>,
    /// PEM file of the certificate to show where the data plane wants one, with its private key.
    pub identity: Option<PathBuf>,
}

impl HttpOptions {
    /// One address, of either scheme; `Invalid` for any other.
    pub fn at(mut self, url: Url) -> Result<Self> {
        if url.host().is_none() || !url.username().is_empty() || url.password().is_some() {
            return Err(Error::invalid(
                "a data plane is named http://HOST:PORT or https://HOST:PORT",
            ));
        }
        match url.scheme() {
            "http" => self.http = Some(url),
            "https" => self.https = Some(url),
            _ => {
                return Err(
                    Error::invalid("a data plane is called by http or https").on(url.scheme())
                );
            }
        }
        Ok(self)
    }
}

/// Calls one data plane, whatever host a request names: that goes into the `Host` header, and by TLS
/// into the server name. Follows no redirect, keeps 64 KiB of an answer, waits half a minute.
#[derive(Debug)]
pub struct HttpCaller {
    options: HttpOptions,
    client: Client,
    /// By server name.
    tls: Mutex<HashMap<String, Client>>,
}

impl HttpCaller {
    /// `Invalid` for a file that does not hold what it should; touches no network.
    pub fn new(options: HttpOptions) -> Result<Self> {
        let client = build(&options, None)?;
        Ok(Self { options, client, tls: Mutex::default() })
    }

    async fn client(&self, base: &Url, host: &str) -> Result<Client> {
        let mut known = self.tls.lock().await;
        if let Some(client) = known.get(host) {
            return Ok(client.clone());
        }
        let away = || Error::new(ErrorKind::Unavailable, "the address is not known").on(base);
        let port = base.port_or_known_default().unwrap_or(443);
        let name = base.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let mut found = tokio::net::lookup_host((name, port)).await.map_err(|_| away())?;
        let address = found.next().ok_or_else(away)?;
        let client = build(&self.options, Some((host, address)))?;
        known.insert(host.to_owned(), client.clone());
        Ok(client)
    }
}

fn build(options: &HttpOptions, resolve: Option<(&str, SocketAddr)>) -> Result<Client> {
    let mut client = Client::builder()
        .connect_timeout(CONNECT)
        .timeout(WHOLE)
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy();
    let read = |path: &Path| std::fs::read(path).map_err(|e| Error::from(e).on(path.display()));
    if let Some(path) = &options.ca {
        let pem = read(path)?;
        let found = reqwest::Certificate::from_pem_bundle(&pem).ok().filter(|all| !all.is_empty());
        let none = || Error::invalid("no PEM certificate in this file").on(path.display());
        client = client.tls_certs_merge(found.ok_or_else(none)?);
    }
    if let Some(path) = &options.identity {
        // What is wrong is not repeated: it may quote the key.
        let none = |_| {
            Error::invalid("no PEM certificate with its private key in this file")
                .on(path.display())
        };
        client = client.identity(reqwest::Identity::from_pem(&read(path)?).map_err(none)?);
    }
    if let Some((host, address)) = resolve {
        client = client.resolve(host, address);
    }
    client.build().map_err(|e| {
        Error::invalid("an HTTP client cannot be made of these settings").with_source(e)
    })
}

#[async_trait]
impl Caller for HttpCaller {
    async fn call(&self, _cx: &Context, request: &Request) -> Result<Response> {
        let base = match request.scheme {
            Scheme::Http => &self.options.http,
            Scheme::Https => &self.options.https,
        };
        let base = base.as_ref().ok_or_else(|| {
            Error::invalid("no address of the data plane is given for this scheme")
        })?;
        let unfit = || Error::invalid("this is no request that HTTP can make").on(request.shown());
        let (path, query) = match request.path.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (request.path.as_str(), None),
        };
        let mut url = base.clone();
        url.set_path(path);
        url.set_query(query);
        let host = request.host.as_deref().filter(|_| request.scheme == Scheme::Https);
        let client = match host {
            Some(host) => {
                url.set_host(Some(host)).map_err(|_| unfit())?;
                self.client(base, host).await?
            }
            None => self.client.clone(),
        };
        let method = Method::from_bytes(request.method.as_bytes()).map_err(|_| unfit())?;
        let mut call = client.request(method, url);
        if let Some(host) = request.host.as_deref().filter(|_| request.scheme == Scheme::Http) {
            call = call.header(HOST, host);
        }
        for (name, value) in &request.headers {
            let name = HeaderName::try_from(name.as_str()).map_err(|_| unfit())?;
            let mut value = HeaderValue::try_from(value.as_str()).map_err(|_| unfit())?;
            value.set_sensitive(true);
            call = call.header(name, value);
        }
        if let Some(bytes) = request.body {
            call = call.body(Bytes::from(vec![0; usize::try_from(bytes).map_err(|_| unfit())?]));
        }
        let away = |e: reqwest::Error| {
            let said = match &e {
                e if e.is_connect() => "the data plane does not answer",
                e if e.is_timeout() => "the data plane did not answer in time",
                _ => "the connection to the data plane broke",
            };
            Error::new(ErrorKind::Unavailable, said).with_source(e.without_url())
        };
        let mut answer = call.send().await.map_err(away)?;
        let status = answer.status().as_u16();
        let header = |(name, value): (&HeaderName, &HeaderValue)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let headers = answer.headers().iter().map(header).collect();
        let mut body = Vec::new();
        while body.len() < MOST
            && let Some(piece) = answer.chunk().await.map_err(away)?
        {
            body.extend_from_slice(&piece[..piece.len().min(MOST - body.len())]);
        }
        Ok(Response::new(status, headers, body))
    }
}
