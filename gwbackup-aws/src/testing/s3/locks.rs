//! What keeps a version: asked, set, extended, lifted.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use gwbackup_core::clock::Timestamp;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::bucket::{Bucket, Version};
use super::wire::{Ask, Reply};

const MODE: &str = "x-amz-object-lock-mode";
const UNTIL: &str = "x-amz-object-lock-retain-until-date";
const HOLD: &str = "x-amz-object-lock-legal-hold";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Retention {
    mode: String,
    retain_until_date: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct LegalHold {
    status: String,
}

/// The version that is asked about.
fn of<'a>(bucket: &'a mut Bucket, ask: &Ask<'_>) -> Result<&'a mut Version, Reply> {
    if !bucket.lockable {
        return Err(Reply::error(400, "InvalidRequest"));
    }
    let versions = bucket.keys.get_mut(&ask.key).ok_or_else(|| Reply::error(404, "NoSuchKey"))?;
    let found = match ask.query("versionId") {
        Some(id) => versions.iter_mut().find(|version| version.id == id),
        None => versions.last_mut(),
    };
    let found = found.ok_or_else(|| Reply::error(404, "NoSuchVersion"))?;
    match found.bytes {
        Some(_) => Ok(found),
        None => Err(Reply::error(405, "MethodNotAllowed")),
    }
}

fn body<T: serde::de::DeserializeOwned>(ask: &Ask<'_>) -> Result<T, Reply> {
    let sum = BASE64.encode(Sha256::digest(ask.body));
    let is_summed = ask.header("x-amz-checksum-sha256") == Some(&sum);
    if !is_summed && ask.header("content-md5").is_none() {
        return Err(Reply::error(400, "InvalidRequest"));
    }
    quick_xml::de::from_reader(ask.body.as_ref()).map_err(|_| Reply::error(400, "MalformedXML"))
}

pub(super) fn retention(bucket: &mut Bucket, ask: &Ask<'_>) -> Result<Reply, Reply> {
    let none = || Reply::error(404, "NoSuchObjectLockConfiguration");
    let headers = &of(bucket, ask)?.headers;
    let (mode, until) = headers.get(MODE).zip(headers.get(UNTIL)).ok_or_else(none)?;
    Ok(Reply::xml(&format!(
        "<Retention><Mode>{mode}</Mode><RetainUntilDate>{until}</RetainUntilDate></Retention>"
    )))
}

pub(super) fn retain(bucket: &mut Bucket, ask: &Ask<'_>) -> Result<Reply, Reply> {
    let now = bucket.clock.now();
    let headers = &mut of(bucket, ask)?.headers;
    let asked: Retention = body(ask)?;
    if !["COMPLIANCE", "GOVERNANCE"].contains(&asked.mode.as_str()) {
        return Err(Reply::error(400, "MalformedXML"));
    }
    let time = |text: &str| text.parse::<Timestamp>().ok();
    let wanted = time(&asked.retain_until_date).ok_or_else(|| Reply::error(400, "MalformedXML"))?;
    if wanted <= now {
        return Err(Reply::error(400, "InvalidArgument"));
    }
    let own = headers.get(UNTIL).and_then(|text| time(text)).filter(|until| *until > now);
    let is_strict = headers.get(MODE).is_some_and(|mode| mode == "COMPLIANCE");
    let weakens = is_strict && asked.mode == "GOVERNANCE";
    // The right to go past governance is nobody's here.
    if own.is_some_and(|own| wanted < own || weakens) {
        return Err(Reply::error(403, "AccessDenied"));
    }
    headers.insert(MODE.to_owned(), asked.mode);
    headers.insert(UNTIL.to_owned(), asked.retain_until_date);
    Ok(Reply::new(200, Bytes::new()))
}

pub(super) fn hold(bucket: &mut Bucket, ask: &Ask<'_>) -> Result<Reply, Reply> {
    let none = || Reply::error(404, "NoSuchObjectLockConfiguration");
    let status = of(bucket, ask)?.headers.get(HOLD).ok_or_else(none)?;
    Ok(Reply::xml(&format!("<LegalHold><Status>{status}</Status></LegalHold>")))
}

pub(super) fn put_hold(bucket: &mut Bucket, ask: &Ask<'_>) -> Result<Reply, Reply> {
    let headers = &mut of(bucket, ask)?.headers;
    let asked: LegalHold = body(ask)?;
    if !["ON", "OFF"].contains(&asked.status.as_str()) {
        return Err(Reply::error(400, "MalformedXML"));
    }
    headers.insert(HOLD.to_owned(), asked.status);
    Ok(Reply::new(200, Bytes::new()))
}
