//! One signed exchange with a service of AWS.

use std::time::{Duration, SystemTime};

use aws_credential_types::provider::ProvideCredentials as _;
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
use url::Url;

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
    credentials: SharedCredentialsProvider,
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
        Ok(Self { http, region: region.to_owned(), credentials })
    }

    /// Asks once. `Err` leaves open whether it did anything.
    pub(crate) async fn exchange(&self, now: Timestamp, ask: &Ask) -> Result<Told> {
        let mut request = self.http.request(ask.method.clone(), ask.url.clone());
        request = request.headers(ask.headers.clone());
        for (name, value) in self.sign(now, ask).await? {
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

    async fn sign(&self, now: Timestamp, ask: &Ask) -> Result<Vec<(String, String)>> {
        let lacking = |e: aws_credential_types::provider::error::CredentialsError| {
            let error =
                Error::new(ErrorKind::Unauthenticated, "no valid credentials are to be had");
            error.help("log in again, or name another profile").with_source(e)
        };
        let broken =
            |e: &dyn std::fmt::Display| Error::invalid(format!("a call cannot be signed: {e}"));
        let identity = self.credentials.provide_credentials().await.map_err(lacking)?.into();
        let mut settings = SigningSettings::default();
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        if ask.service == "s3" {
            // The one service that takes a path as it stands.
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        }
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
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
