//! What carries the requests of the crate `object_store` to S3: signatures, headers of its own,
//! pauses, and what an answer means.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use gwbackup_core::clock::{Clock, rfc3339};
use gwbackup_core::error::{ErrorKind, Retry};
use gwbackup_core::retry::Pauses;
use gwbackup_core::sink::Lock;
use gwbackup_core::{Error, Result};
use http_body_util::BodyExt as _;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};
use reqwest::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH};
use reqwest::{Method, StatusCode};
use url::Url;

use super::Protection;
use crate::signed::{Ask, Signed, Told, shown};

/// After a write that another one of the same name has got in the way of.
const AGAIN: Duration = Duration::from_millis(200);
const SSE: &str = "x-amz-server-side-encryption";
const SSE_KEY: &str = "x-amz-server-side-encryption-aws-kms-key-id";
pub(super) const CHECKSUM: HeaderName = HeaderName::from_static("x-amz-sdk-checksum-algorithm");
const MODE: HeaderName = HeaderName::from_static("x-amz-object-lock-mode");
const UNTIL: HeaderName = HeaderName::from_static("x-amz-object-lock-retain-until-date");
const HOLD: HeaderName = HeaderName::from_static("x-amz-object-lock-legal-hold");

/// Speaks to one bucket. Clones share connections.
#[derive(Debug, Clone)]
pub(super) struct Transport(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    signed: Arc<Signed>,
    clock: Arc<dyn Clock>,
    protection: Protection,
}

/// What a request does, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    /// Writes a whole object.
    Put,
    /// Begins an object in parts.
    Begin,
    /// Makes an object of parts.
    Complete,
    /// Asks or says what keeps a version.
    Lock,
    Other,
}

impl Does {
    fn of(method: &Method, url: &Url) -> Self {
        let has = |name: &str| url.query_pairs().any(|(own, _)| own == name);
        match method.as_str() {
            _ if has("retention") || has("legal-hold") => Self::Lock,
            "PUT" if !has("partNumber") => Self::Put,
            "POST" if has("uploads") => Self::Begin,
            "POST" if has("uploadId") => Self::Complete,
            _ => Self::Other,
        }
    }
}

impl Transport {
    pub(super) fn new(signed: Signed, clock: Arc<dyn Clock>, protection: Protection) -> Self {
        Self(Arc::new(Inner { signed: Arc::new(signed), clock, protection }))
    }

    /// The same for objects that are to be kept besides.
    pub(super) fn locking(&self, lock: Lock) -> Self {
        let (signed, clock) = (Arc::clone(&self.0.signed), Arc::clone(&self.0.clock));
        Self(Arc::new(Inner { signed, clock, protection: self.protection().clone().and(lock) }))
    }

    pub(super) fn protection(&self) -> &Protection {
        &self.0.protection
    }

    /// Asks until it is answered for good. `Ok` is a success, a 404 of an object, a 412, or that
    /// nothing keeps a version.
    ///
    /// A call whose answer was lost is made again: all are safe to repeat, a creation because it
    /// never replaces. Where it then finds the name taken, nobody knows by whom, and `Unavailable`
    /// says so.
    pub(super) async fn ask(
        &self,
        method: Method,
        url: Url,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Result<Told> {
        let does = Does::of(&method, &url);
        self.dress(does, &mut headers);
        let ask = Ask { service: "s3", method, url, headers, body };
        let (mut pauses, mut lost) = (Pauses::new(), false);
        loop {
            let told = self.0.signed.exchange(self.0.clock.now(), &ask).await;
            let error = match told.and_then(|told| judged(told, &ask)) {
                Ok(told) if told.status == StatusCode::PRECONDITION_FAILED && lost => {
                    return Err(Error::new(
                        ErrorKind::Unavailable,
                        "an answer was lost, and the name is taken now",
                    ));
                }
                Ok(told) => return self.encrypted(does, &ask, told).await,
                Err(error) => error,
            };
            lost |= error.kind() == ErrorKind::Unavailable;
            let Some(pause) = pauses.after(&error) else { return Err(error) };
            self.0.clock.sleep(pause).await;
        }
    }

    /// What `object_store` does not know to say.
    fn dress(&self, does: Does, headers: &mut HeaderMap) {
        // The client sets it.
        headers.remove(CONTENT_LENGTH);
        if does == Does::Complete {
            headers.insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
        }
        if does == Does::Put {
            // Without naming the checksum that it carries, no object may be locked.
            headers.insert(CHECKSUM, HeaderValue::from_static("SHA256"));
        }
        if !matches!(does, Does::Put | Does::Begin) {
            return;
        }
        let protection = self.protection();
        if let Some(until) = protection.until(self.0.clock.now()) {
            headers.insert(MODE, HeaderValue::from_static(protection.written().as_str()));
            if let Ok(until) = HeaderValue::from_str(&rfc3339(until)) {
                headers.insert(UNTIL, until);
            }
        }
        if protection.hold {
            headers.insert(HOLD, HeaderValue::from_static("ON"));
        }
    }

    /// Itself, unless the store has not encrypted as it was told to; what was written is then taken
    /// away again.
    async fn encrypted(&self, does: Does, ask: &Ask, told: Told) -> Result<Told> {
        let Some(key) = self.protection().kms.as_deref() else { return Ok(told) };
        if !matches!(does, Does::Put | Does::Begin) || !told.status.is_success() {
            return Ok(told);
        }
        let text = |name: &str| told.header(name).unwrap_or_default();
        // The store names the key's ARN; an alias it resolves without a word.
        let named = text(SSE_KEY);
        let own = named == key || named.ends_with(&format!("/{key}")) || key.contains("alias/");
        if text(SSE) == "aws:kms" && own {
            return Ok(told);
        }
        let mut url = ask.url.clone();
        url.set_query(None);
        if let Some(version) = told.header("x-amz-version-id") {
            url.query_pairs_mut().append_pair("versionId", version);
        }
        if does == Does::Put {
            let (service, method) = (ask.service, Method::DELETE);
            let undo = Ask { service, method, url, headers: HeaderMap::new(), body: Bytes::new() };
            // Whether or not it can be taken away, the answer is the same.
            let _ = self.0.signed.exchange(self.0.clock.now(), &undo).await;
        }
        Err(Error::refused("the store does not encrypt with the key that is demanded")
            .help("check the key's id and region, and that the place is S3 itself"))
    }
}

/// The answer, if it is one for `object_store`; else what is wrong, in the words of this library.
fn judged(told: Told, ask: &Ask) -> Result<Told> {
    let status = told.status.as_u16();
    let refused = told.body.starts_with(b"<?xml") || told.body.starts_with(b"<Error");
    let code = if refused { told.code() } else { String::new() };
    let of_lock = Does::of(&ask.method, &ask.url) == Does::Lock && ask.method == Method::GET;
    match (status, code.as_str()) {
        // Nothing keeps it, or the bucket can keep nothing.
        (404, "NoSuchObjectLockConfiguration") | (400, "InvalidRequest") if of_lock => Ok(told),
        // The completion of an upload may fail after it was answered.
        (200..=299, "")
        | (404, "" | "NoSuchKey" | "NoSuchVersion" | "NoSuchUpload")
        | (304 | 412, _) => Ok(told),
        _ => Err(fault(status, &code, &told.headers).on(shown(&ask.url))),
    }
}

fn fault(status: u16, code: &str, headers: &HeaderMap) -> Error {
    let said = || if code.is_empty() { status.to_string() } else { code.to_owned() };
    match (status, code) {
        (409, "ConditionalRequestConflict" | "OperationAborted") => {
            Error::new(ErrorKind::Throttled, "another write of this name is under way")
                .with_retry(Retry::After(AGAIN))
        }
        (429, _) | (_, "SlowDown" | "Throttling" | "RequestLimitExceeded") => {
            Error::new(ErrorKind::Throttled, "the store asks for a pause")
        }
        (500.. | 200..=299, _) | (400, "RequestTimeout") => {
            Error::new(ErrorKind::Unavailable, format!("the store failed ({})", said()))
        }
        (_, "RequestTimeTooSkewed") => {
            Error::new(ErrorKind::Unauthenticated, "this machine's clock is wrong")
                .help("set the clock; the store accepts 15 minutes")
        }
        (401, _) | (_, "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidToken") => {
            Error::new(ErrorKind::Unauthenticated, "the store does not accept the credentials")
        }
        (403, _) => Error::new(ErrorKind::Denied, format!("the store denies it ({})", said()))
            .help("compare the rights with those of a sink, and those of the key it encrypts with"),
        (404, "NoSuchBucket") => Error::new(ErrorKind::NotFound, "there is no such bucket"),
        (416, _) => Error::corrupt("the object ends before the range does"),
        (301 | 307 | 400, _) if headers.contains_key("x-amz-bucket-region") => {
            let region = headers.get("x-amz-bucket-region").and_then(|v| v.to_str().ok());
            Error::invalid("the bucket lies in another region")
                .help(format!("write region={}", region.unwrap_or("...")))
        }
        _ => Error::invalid(format!("the store refuses it ({})", said())),
    }
}

#[async_trait]
impl HttpService for Transport {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let own = |e: Error| HttpError::new(HttpErrorKind::Unknown, e);
        let url = Url::parse(&head.uri.to_string())
            .map_err(|_| own(Error::invalid("the store's address is no URL")))?;
        let told = self.ask(head.method, url, head.headers, body).await.map_err(own)?;
        let mut response = HttpResponse::new(told.body.into());
        *response.status_mut() = told.status;
        *response.headers_mut() = told.headers;
        Ok(response)
    }
}

impl HttpConnector for Transport {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}
