//! Requests to a bucket.

#![allow(clippy::format_push_string, reason = "the answers of a double are short")]

use bytes::Bytes;
use gwbackup_core::clock::rfc3339;
use http_body_util::Full;
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use url::form_urlencoded;

use super::bucket::Bucket;
use super::wire::{Ask, Reply, escaped};
use super::{S3Double, S3Fault, Shared, lock, locks, uploads};
use crate::testing::http::Answer;
use crate::testing::sessions::Refused;

/// Keys of one page: fewer than S3 gives, which the contract allows.
const PAGE: usize = 300;

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
