//! One signed exchange with a service of AWS.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use bytes::{Bytes, BytesMut};
use gwbackup_core::clock::Timestamp;
use gwbackup_core::error::{ErrorKind, Retry};
use gwbackup_core::{Error, Result};
use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode, redirect};
use serde::Deserialize;
use url::Url;

use crate::config::identities;
use crate::credentials::{Keeper, expired, has_ended};

/// Until a connection stands.
const CONNECT: Duration = Duration::from_secs(10);
/// Between two pieces of an answer.
const SILENCE: Duration = Duration::from_mins(2);
/// Bytes of one answer.
const MOST: usize = 256 << 20;

/// Speaks for one identity to the services of one region. `Debug` shows no secret.
#[derive(Debug)]
pub(crate) struct Signed {
    http: reqwest::Client,
    region: String,
    keeper: Keeper,
}

/// What is asked. Without `Debug`: a body may hold a key.
pub(crate) struct Ask {
    /// The service's name in a signature.
    pub(crate) service: &'static str,
    pub(crate) method: Method,
    pub(crate) url: Url,
    /// All of them are signed.
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// What was answered, whole. Without `Debug`, for the same reason.
pub(crate) struct Told {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Signed {
    pub(crate) fn new(region: &str, credentials: SharedCredentialsProvider) -> Result<Self> {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .tcp_nodelay(true)
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .build()
            .map_err(|e| Error::invalid("no HTTPS client can be made").with_source(e))?;
        Ok(Self { http, region: region.to_owned(), keeper: Keeper::new(credentials) })
    }

    /// Asks once. `Err` leaves open whether it did anything, except `Unauthenticated`: it did not.
    ///
    /// What is refused since the credentials have expired did nothing and is asked again, once, with
    /// fresh ones; where there are none, `Unauthenticated` says why.
    pub(crate) async fn exchange(&self, now: Timestamp, ask: &Ask) -> Result<Told> {
        let at = |error: Error| error.on(shown(&ask.url));
        let first = self.keeper.current(now).await.map_err(at)?;
        let told = self.once(now, ask, &first).await?;
        if !told.may_say_expired(ask) {
            return Ok(told);
        }
        let told = match self.keeper.instead_of(&first, now).await {
            Ok(other) => self.once(now, ask, &other).await?,
            Err(error) if told.is_expired() || has_ended(&first, now) => return Err(at(error)),
            Err(_) => return Ok(told),
        };
        if told.is_expired() { Err(at(expired())) } else { Ok(told) }
    }

    async fn once(&self, now: Timestamp, ask: &Ask, by: &Credentials) -> Result<Told> {
        let mut request = self.http.request(ask.method.clone(), ask.url.clone());
        request = request.headers(ask.headers.clone());
        for (name, value) in self.sign(now, ask, by)? {
            request = request.header(name, value);
        }
        let away = |e: reqwest::Error| unavailable(e).on(shown(&ask.url));
        let mut response = request.body(ask.body.clone()).send().await.map_err(away)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = BytesMut::new();
        while let Some(piece) = response.chunk().await.map_err(away)? {
            if body.len() + piece.len() > MOST {
                return Err(Error::invalid("the answer is larger than 256 MiB").on(shown(&ask.url)));
            }
            body.extend_from_slice(&piece);
        }
        Ok(Told { status, headers, body: body.freeze() })
    }

    fn sign(&self, now: Timestamp, ask: &Ask, by: &Credentials) -> Result<Vec<(String, String)>> {
        let broken =
            |e: &dyn std::fmt::Display| Error::invalid(format!("a call cannot be signed: {e}"));
        let identity = by.clone().into();
        let mut settings = SigningSettings::default();
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        if ask.service == "s3" {
            // The one service that takes a path as it stands.
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        }
        // The one service with one home for all regions.
        let region = if ask.service == "iam" { identities(&self.region).1 } else { &*self.region };
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(region)
            .name(ask.service)
            .time(SystemTime::from(now))
            .settings(settings)
            .build()
            .map_err(|e| broken(&e))?
            .into();
        let texts = ask.headers.iter().filter_map(|(k, v)| Some((k.as_str(), v.to_str().ok()?)));
        let body = SignableBody::Bytes(&ask.body);
        let request = SignableRequest::new(ask.method.as_str(), ask.url.as_str(), texts, body)
            .map_err(|e| broken(&e))?;
        let (signed, _) = sign(request, &parameters).map_err(|e| broken(&e))?.into_parts();
        Ok(signed.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }
}

impl Told {
    /// What a header says.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The name of the error: as the services that speak JSON say it, or those that speak XML.
    /// Empty where none is named.
    pub(crate) fn code(&self) -> String {
        #[derive(Default, Deserialize)]
        struct Said {
            #[serde(rename = "__type", alias = "code", default)]
            code: String,
        }
        let code = match self.header("x-amzn-errortype").filter(|code| !code.is_empty()) {
            Some(code) => code.to_owned(),
            None if self.body.starts_with(b"<") => element(&self.body, "Code").to_owned(),
            None => serde_json::from_slice::<Said>(&self.body).unwrap_or_default().code,
        };
        // `Name:http://...` and `namespace#Name` are both in use.
        let code = code.split(':').next().unwrap_or_default();
        code.rsplit('#').next().unwrap_or_default().to_owned()
    }

    fn is_expired(&self) -> bool {
        matches!(self.status.as_u16(), 400 | 401 | 403)
            && matches!(&*self.code(), "ExpiredToken" | "ExpiredTokenException")
    }

    /// Whether it says so, or is an answer to a HEAD, which has no body to say it with.
    fn may_say_expired(&self, ask: &Ask) -> bool {
        let is_mute = ask.method == Method::HEAD && self.status == StatusCode::BAD_REQUEST;
        is_mute || self.is_expired()
    }
}

/// The text of the first element of this name that holds only text.
pub(crate) fn element<'a>(xml: &'a [u8], name: &str) -> &'a str {
    let text = std::str::from_utf8(xml).unwrap_or_default();
    let begin = text.split_once(&format!("<{name}>")).map(|(_, rest)| rest);
    begin.and_then(|rest| rest.split_once("</")).map_or("", |(text, _)| text)
}

/// The address without what a query may hold.
pub(crate) fn shown(url: &Url) -> &str {
    url.as_str().split('?').next().unwrap_or_default()
}

fn unavailable(e: reqwest::Error) -> Error {
    let said = match &e {
        e if e.is_connect() => "the service does not answer",
        e if e.is_timeout() => "the service stopped answering",
        _ => "the connection broke before the answer was whole",
    };
    Error::new(ErrorKind::Unavailable, said).with_retry(Retry::Later).with_source(e.without_url())
}
