//! Requests to a bucket.

#![allow(clippy::format_push_string, reason = "the answers of a double are short")]

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use gwbackup_core::clock::rfc3339;
use http_body_util::Full;
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use sha2::{Digest as _, Sha256};
use url::form_urlencoded;

use super::bucket::Bucket;
use super::{S3Double, S3Fault, Shared, lock, locks, uploads};
use crate::testing::http::Answer;
use crate::testing::sessions::Refused;

/// Keys of one page: fewer than S3 gives, which the contract allows.
const PAGE: usize = 300;

/// What is answered.
#[derive(Debug)]
pub(super) struct Reply {
    status: u16,
    pub(super) headers: BTreeMap<String, String>,
    body: Bytes,
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

    fn with(mut self, name: &str, value: impl Into<String>) -> Self {
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
    query: BTreeMap<String, String>,
}

impl Ask<'_> {
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Whether it is signed as S3 demands, and its body is the one that was signed.
    fn check_signature(&self) -> Result<(), Reply> {
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

/// Answers a request, and logs it.
pub(super) fn answer(shared: &Shared, head: &Parts, body: &Bytes) -> Answer {
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    let number = {
        let mut calls = lock(&shared.calls);
        calls.push(format!("{} {path}", head.method));
        calls.len()
    };
    let fault = lock(&shared.rule).as_mut().and_then(|rule| rule(head.method.as_str(), path));
    let refused = shared.gate.refuses(head);
    let reply = match fault {
        _ if refused == Some(Refused::Expired) => Reply::error(400, "ExpiredToken"),
        _ if refused.is_some() => Reply::error(403, "InvalidAccessKeyId"),
        Some(S3Fault::Error(status, code)) => Reply::error(status, code),
        _ => performed(shared, head, body).unwrap_or_else(|refusal| refusal),
    };
    let reply = reply.with("x-amz-request-id", format!("REQUEST{number:08}"));
    (fault != Some(S3Fault::LoseAnswer)).then(|| response(head, reply))
}

fn performed(shared: &Shared, head: &Parts, body: &Bytes) -> Result<Reply, Reply> {
    let (bucket, key) = head.uri.path()[1..].split_once('/').unwrap_or((&head.uri.path()[1..], ""));
    let query = head.uri.query().unwrap_or_default();
    let query = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let ask = Ask { head, body, key: key.to_owned(), query };
    ask.check_signature()?;
    if bucket != S3Double::BUCKET {
        return Err(Reply::error(404, "NoSuchBucket"));
    }
    let bucket = &mut *lock(&shared.bucket);
    if shared.gate.lacks(super::rights::needs(bucket, &ask)).is_some() {
        return Err(Reply::error(403, "AccessDenied"));
    }
    let has = |name: &str| ask.query.contains_key(name);
    match (head.method.as_str(), key.is_empty()) {
        ("GET", true) if has("uploads") => Ok(uploads::list(bucket, &ask)),
        ("GET", true) if has("versions") => Ok(versions(bucket, &ask)),
        ("GET", true) if ask.query("list-type") == Some("2") => Ok(list(bucket, &ask)),
        ("GET", false) if has("uploadId") => uploads::parts(bucket, &ask),
        ("GET", false) if has("retention") => locks::retention(bucket, &ask),
        ("PUT", false) if has("retention") => locks::retain(bucket, &ask),
        ("GET", false) if has("legal-hold") => locks::hold(bucket, &ask),
        ("PUT", false) if has("legal-hold") => locks::put_hold(bucket, &ask),
        ("GET" | "HEAD", false) => get(bucket, &ask),
        ("PUT", false) if has("uploadId") => uploads::part(bucket, &ask),
        ("PUT", false) => put(bucket, &ask),
        ("POST", false) if has("uploads") => uploads::begin(bucket, &ask),
        ("POST", false) if has("uploadId") => uploads::complete(bucket, &ask),
        ("DELETE", false) if has("uploadId") => uploads::abort(bucket, &ask),
        ("DELETE", false) => delete(bucket, &ask),
        _ => Err(Reply::error(405, "MethodNotAllowed")),
    }
}

fn put(bucket: &mut Bucket, ask: &Ask<'_>) -> Result<Reply, Reply> {
    ask.unless_taken(bucket)?;
    let headers = ask.stored(bucket)?;
    let mut reply = Reply::new(200, Bytes::new());
    reply.headers.clone_from(&headers);
    let version = bucket.put(&ask.key, ask.body.clone(), headers);
    if bucket.versioned {
        reply = reply.with("x-amz-version-id", version);
    }
    Ok(reply.with("etag", "\"whole\""))
}

fn get(bucket: &Bucket, ask: &Ask<'_>) -> Result<Reply, Reply> {
    let found = match ask.query("versionId") {
        Some(id) => bucket.version(&ask.key, id).ok_or_else(|| Reply::error(404, "NoSuchVersion")),
        None => bucket.current(&ask.key).ok_or_else(|| Reply::error(404, "NoSuchKey")),
    }?;
    let bytes = found.bytes.clone().ok_or_else(|| Reply::error(405, "MethodNotAllowed"))?;
    let mut reply = Reply::new(200, bytes.clone());
    let size = bytes.len() as u64;
    if let Some(range) = ask.header("range").and_then(|text| text.strip_prefix("bytes=")) {
        let (first, last) = range.split_once('-').unwrap_or_default();
        let (first, last) = (first.parse::<u64>(), last.parse::<u64>());
        let (Ok(first), Ok(last)) = (first, last) else {
            return Err(Reply::error(501, "NotImplemented"));
        };
        if first >= size {
            return Err(Reply::error(416, "InvalidRange"));
        }
        let last = last.min(size - 1);
        let at = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        reply = Reply::new(206, bytes.slice(at(first)..=at(last)));
        reply = reply.with("content-range", format!("bytes {first}-{last}/{size}"));
    }
    reply.headers.extend(found.headers.clone());
    let modified = found.modified.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    Ok(reply.with("last-modified", modified).with("etag", "\"whole\""))
}

fn delete(bucket: &mut Bucket, ask: &Ask<'_>) -> Result<Reply, Reply> {
    let done = if let Some(id) = ask.query("versionId") {
        bucket.delete_version(&ask.key, id)
    } else {
        bucket.delete(&ask.key);
        true
    };
    done.then(|| Reply::new(204, Bytes::new())).ok_or_else(|| Reply::error(403, "AccessDenied"))
}

fn list(bucket: &Bucket, ask: &Ask<'_>) -> Reply {
    let prefix = ask.query("prefix").unwrap_or_default();
    let after = ask.query("continuation-token").unwrap_or_default();
    let objects = bucket.objects();
    let mut keys =
        objects.iter().filter(|(key, _)| key.starts_with(prefix) && key.as_str() > after);
    let page: Vec<_> = keys.by_ref().take(PAGE).collect();
    let more = keys.next().is_some();
    let mut text = String::from("<ListBucketResult>");
    for (key, bytes) in &page {
        let at = bucket.current(key).map(|version| rfc3339(version.modified));
        text += &format!(
            "<Contents><Key>{}</Key><LastModified>{}</LastModified><ETag>&quot;whole&quot;</ETag>\
             <Size>{}</Size></Contents>",
            escaped(key),
            at.unwrap_or_default(),
            bytes.len()
        );
    }
    text += &format!("<IsTruncated>{more}</IsTruncated>");
    if let (true, Some((key, _))) = (more, page.last()) {
        text += &format!("<NextContinuationToken>{}</NextContinuationToken>", escaped(key));
    }
    text += "</ListBucketResult>";
    Reply::xml(&text)
}

fn versions(bucket: &Bucket, ask: &Ask<'_>) -> Reply {
    let prefix = ask.query("prefix").unwrap_or_default();
    let marker = (
        ask.query("key-marker").unwrap_or_default(),
        ask.query("version-id-marker").unwrap_or_default(),
    );
    // Newest first below each key.
    let all = bucket.keys.iter().filter(|(key, _)| key.starts_with(prefix));
    let all = all.flat_map(|(key, versions)| versions.iter().rev().map(move |v| (key, v)));
    let mut all: Vec<_> = all.collect();
    if let Some(at) = all.iter().position(|(key, v)| (key.as_str(), v.id.as_str()) == marker) {
        all.drain(..=at);
    }
    let more = all.len() > PAGE;
    all.truncate(PAGE);
    let mut text = String::from("<ListVersionsResult>");
    for (key, version) in &all {
        let name = if version.bytes.is_some() { "Version" } else { "DeleteMarker" };
        let (key, id, at) = (escaped(key), &version.id, rfc3339(version.modified));
        let size = version.bytes.as_ref().map_or(0, Bytes::len);
        text += &format!(
            "<{name}><Key>{key}</Key><VersionId>{id}</VersionId>\
             <LastModified>{at}</LastModified><Size>{size}</Size></{name}>"
        );
    }
    text += &format!("<IsTruncated>{more}</IsTruncated>");
    if let (true, Some((key, version))) = (more, all.last()) {
        text += &format!(
            "<NextKeyMarker>{}</NextKeyMarker><NextVersionIdMarker>{}</NextVersionIdMarker>",
            escaped(key),
            version.id
        );
    }
    text += "</ListVersionsResult>";
    Reply::xml(&text)
}

fn response(head: &Parts, reply: Reply) -> Response<Full<Bytes>> {
    let mut response = Response::builder()
        .status(StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))
        .header("content-length", reply.body.len());
    for (name, value) in &reply.headers {
        response = response.header(name, value);
    }
    let body = if head.method == "HEAD" { Bytes::new() } else { reply.body };
    response.body(Full::new(body)).unwrap_or_default()
}
