//! A request as it came, and an answer as it goes.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use hyper::http::request::Parts;
use sha2::{Digest as _, Sha256};

use super::S3Double;
use super::bucket::Bucket;

/// What is answered.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Bytes,
}

impl Reply {
    pub(super) fn new(status: u16, body: Bytes) -> Self {
        Self { status, headers: BTreeMap::new(), body }
    }

    pub(super) fn xml(text: &str) -> Self {
        let text = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{text}");
        Self::new(200, text.into()).with("content-type", "application/xml")
    }

    pub(super) fn error(status: u16, code: &str) -> Self {
        let text = format!("<Error><Code>{code}</Code><Message>{code}</Message></Error>");
        Self { status, ..Self::xml(&text) }
    }

    pub(super) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.insert(name.to_owned(), value.into());
        self
    }
}

/// One request.
#[derive(Debug)]
pub(super) struct Ask<'a> {
    pub(super) head: &'a Parts,
    pub(super) body: &'a Bytes,
    pub(super) key: String,
    pub(super) query: BTreeMap<String, String>,
}

impl Ask<'_> {
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Whether it is signed as S3 demands, and its body is the one that was signed.
    pub(super) fn check_signature(&self) -> Result<(), Reply> {
        let denied = || Reply::error(403, "AccessDenied");
        let text = self.header("authorization").ok_or_else(denied)?;
        let scope = format!("/{}/s3/aws4_request", S3Double::REGION);
        if !text.starts_with("AWS4-HMAC-SHA256 Credential=") || !text.contains(&scope) {
            return Err(Reply::error(400, "AuthorizationHeaderMalformed"));
        }
        let (_, signed) = text.split_once("SignedHeaders=").ok_or_else(denied)?;
        let signed: Vec<_> = signed.split(',').next().unwrap_or_default().split(';').collect();
        let names = self.head.headers.keys().map(hyper::header::HeaderName::as_str);
        let mut all = names.filter(|name| name.starts_with("x-amz-")).chain(["host"]);
        if !all.all(|name| signed.contains(&name)) {
            return Err(denied());
        }
        let digest = crate::kms::hex(&Sha256::digest(self.body));
        if self.header("x-amz-content-sha256") != Some(&digest) {
            return Err(Reply::error(400, "XAmzContentSHA256Mismatch"));
        }
        let sum = BASE64.encode(Sha256::digest(self.body));
        match self.header("x-amz-checksum-sha256") {
            Some(own) if own != sum => Err(Reply::error(400, "BadDigest")),
            _ => Ok(()),
        }
    }

    /// Fails where `If-None-Match: *` forbids to write.
    pub(super) fn unless_taken(&self, bucket: &Bucket) -> Result<(), Reply> {
        match self.header("if-none-match") {
            Some("*") if bucket.current(&self.key).is_some() => {
                Err(Reply::error(412, "PreconditionFailed"))
            }
            Some("*") | None => Ok(()),
            Some(_) => Err(Reply::error(501, "NotImplemented")),
        }
    }

    /// What is kept of the headers, and answered from then on.
    pub(super) fn stored(&self, bucket: &Bucket) -> Result<BTreeMap<String, String>, Reply> {
        let lock = ["mode", "retain-until-date", "legal-hold"];
        let lock = lock.map(|name| format!("x-amz-object-lock-{name}"));
        let mut kept: BTreeMap<_, _> = lock
            .iter()
            .filter_map(|name| Some((name.clone(), self.header(name)?.to_owned())))
            .collect();
        if kept.contains_key(&lock[0]) != kept.contains_key(&lock[1]) {
            return Err(Reply::error(400, "InvalidArgument"));
        }
        if !kept.is_empty() && !bucket.lockable {
            return Err(Reply::error(400, "InvalidRequest"));
        }
        let is_put = self.head.method == "PUT";
        let summed = ["content-md5", "x-amz-sdk-checksum-algorithm"];
        if !kept.is_empty() && is_put && summed.iter().all(|name| self.header(name).is_none()) {
            return Err(Reply::error(400, "InvalidRequest"));
        }
        let sse = "x-amz-server-side-encryption";
        let by = format!("{sse}-aws-kms-key-id");
        match self.header(sse) {
            Some("aws:kms") if bucket.encrypts => {
                let id = self.header(&by).unwrap_or("aws/s3");
                let arn = format!("arn:aws:kms:{}:123456789012:key/{id}", S3Double::REGION);
                kept.insert(sse.to_owned(), "aws:kms".to_owned());
                kept.insert(by, if id.starts_with("arn:") { id.to_owned() } else { arn });
            }
            _ => drop(kept.insert(sse.to_owned(), "AES256".to_owned())),
        }
        Ok(kept)
    }
}

/// A text as it stands in XML.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
