//! Versions of objects, and what keeps them.

use std::collections::VecDeque;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use futures_util::stream;
use gwbackup_core::clock::Timestamp;
use gwbackup_core::error::ErrorKind;
use gwbackup_core::sink::{
    Body, DeletionReceipt, Lock, ObjectName, Sink as _, Version, VersionedSink,
};
use gwbackup_core::source::BoxStream;
use gwbackup_core::{Context, Error, Result};
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::bucket::{Bucket, parse};
use super::transport::CHECKSUM;
use super::{LockMode, S3Sink};

const CHECKSUM_SHA256: HeaderName = HeaderName::from_static("x-amz-checksum-sha256");
const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    #[serde(default)]
    is_truncated: bool,
    next_key_marker: Option<String>,
    next_version_id_marker: Option<String>,
    /// In the order of the list, which says what is newer: times have whole seconds.
    #[serde(rename = "$value", default)]
    entries: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
enum Entry {
    Version(Named),
    DeleteMarker(Named),
    #[serde(other)]
    Other,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Named {
    key: String,
    version_id: String,
    last_modified: Timestamp,
    #[serde(default)]
    size: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Retention {
    #[serde(rename = "@xmlns", default, skip_deserializing)]
    namespace: &'static str,
    mode: String,
    retain_until_date: Timestamp,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct LegalHold {
    #[serde(rename = "@xmlns", default, skip_deserializing)]
    namespace: &'static str,
    status: String,
}

impl Bucket {
    fn version(&self, found: Named, is_marker: bool) -> Option<Version> {
        let name = ObjectName::new(self.name(&found.key)?).ok()?;
        let (id, at) = (found.version_id, found.last_modified);
        Some(if is_marker {
            Version::marker(name, id, at)
        } else {
            Version::new(name, id, found.size, at)
        })
    }

    /// A page of versions, and where the next one begins.
    async fn page(&self, beginning: &str, after: &[(&str, String)]) -> Result<Listing> {
        let page: Page = self.list("versions", beginning, after).await?;
        let entries = page.entries.into_iter().filter_map(|entry| match entry {
            Entry::Version(found) => self.version(found, false),
            Entry::DeleteMarker(found) => self.version(found, true),
            Entry::Other => None,
        });
        let next = page.next_key_marker.filter(|_| page.is_truncated).map(|key| {
            let version = page.next_version_id_marker.unwrap_or_default();
            vec![("key-marker", key), ("version-id-marker", version)]
        });
        Ok((entries.collect(), next))
    }

    async fn is_there(&self, version: &Version) -> Result<bool> {
        let beginning = self.key(version.name.as_str());
        let mut after = Vec::new();
        loop {
            // Keys come in order, this one first among those that begin with it.
            let (found, next) = self.page(&beginning, &after).await?;
            if found.iter().any(|one| one.name == version.name && one.id == version.id) {
                return Ok(true);
            }
            match next.filter(|_| found.iter().all(|one| one.name == version.name)) {
                Some(next) => after = next,
                None => return Ok(false),
            }
        }
    }

    fn about(&self, version: &Version, what: &str) -> url::Url {
        let key = self.key(version.name.as_str());
        self.object(&key, &[(what, ""), ("versionId", &version.id)])
    }

    /// Until when a version is kept, and in which mode. `None` where it has no retention.
    async fn retention(&self, version: &Version) -> Result<Option<Retention>> {
        let told = self.get(self.about(version, "retention")).await?;
        told.map(|told| parse(&told.body)).transpose()
    }

    async fn lock(&self, version: &Version) -> Result<Lock> {
        let until = self.retention(version).await?.map(|found| found.retain_until_date);
        let hold = self.get(self.about(version, "legal-hold")).await?;
        let hold = hold.map(|told| parse::<LegalHold>(&told.body)).transpose()?;
        let lock = until.map_or_else(Lock::default, Lock::until);
        let is_held = hold.is_some_and(|hold| hold.status == "ON");
        Ok(if is_held { lock.with_hold() } else { lock })
    }

    /// Says what is to keep a version from now on.
    async fn keep(
        &self,
        version: &Version,
        what: &str,
        as_xml: &(impl Serialize + Sync),
    ) -> Result<()> {
        let broken = |e| Error::invalid("a lock cannot be written").with_source(e);
        let body = Bytes::from(quick_xml::se::to_string(as_xml).map_err(broken)?);
        let mut headers = HeaderMap::new();
        headers.insert(CHECKSUM, HeaderValue::from_static("SHA256"));
        if let Ok(sum) = HeaderValue::from_str(&BASE64.encode(Sha256::digest(&body))) {
            headers.insert(CHECKSUM_SHA256, sum);
        }
        let url = self.about(version, what);
        match self.ask(Method::PUT, url, headers, body).await? {
            Some(_) => Ok(()),
            None => Err(absent(version)),
        }
    }

    async fn delete_version(&self, cx: &Context, version: &Version) -> Result<DeletionReceipt> {
        // The service calls the deletion of nothing a success.
        if !self.is_there(version).await? {
            return Err(absent(version));
        }
        let key = self.key(version.name.as_str());
        let url = self.object(&key, &[("versionId", &version.id)]);
        let told = match self.delete(url).await {
            // It says no more than that it denies it, whatever the reason.
            Err(denied) if denied.kind() == ErrorKind::Denied && !version.is_marker => {
                let lock = self.lock(version).await.unwrap_or_default();
                let is_kept = lock.keeps(cx.now());
                return Err(if is_kept { lock.refusal(version) } else { denied });
            }
            told => told?,
        };
        if self.is_there(version).await? {
            let error = Error::new(ErrorKind::Other, "the store says it is deleted, and lists it");
            return Err(error.on(&version.name));
        }
        let request = told.and_then(|told| told.header("x-amz-request-id").map(str::to_owned));
        Ok(DeletionReceipt::new(version, cx.now(), request))
    }
}

type Listing = (VecDeque<Version>, Option<Vec<(&'static str, String)>>);

fn absent(version: &Version) -> Error {
    Error::new(ErrorKind::NotFound, "there is no such version").on(&version.name)
}

fn lockable(version: &Version) -> Result<()> {
    if version.is_marker {
        return Err(Error::invalid("a marker cannot be kept").on(&version.name));
    }
    Ok(())
}

#[async_trait]
impl VersionedSink for S3Sink {
    fn keeps_for(&self) -> Option<Duration> {
        self.bucket.transport.protection().keeps_for()
    }

    async fn put_locked(
        &self,
        cx: &Context,
        name: &ObjectName,
        body: &Body,
        lock: Lock,
    ) -> Result<()> {
        self.objects(self.bucket.transport.locking(lock))?.put(cx, name, body).await
    }

    fn versions(&self, cx: &Context, prefix: &str) -> BoxStream<Result<Version>> {
        let (cx, bucket, beginning) = (cx.clone(), self.bucket.clone(), self.bucket.key(prefix));
        let first: Listing = (VecDeque::new(), Some(Vec::new()));
        let all = stream::try_unfold(first, move |(mut found, mut next): Listing| {
            let (cx, bucket, beginning) = (cx.clone(), bucket.clone(), beginning.clone());
            async move {
                cx.check()?;
                loop {
                    if let Some(version) = found.pop_front() {
                        return Ok(Some((version, (found, next))));
                    }
                    let Some(after) = next.take() else { return Ok(None) };
                    (found, next) = cx.unless_cancelled(bucket.page(&beginning, &after)).await?;
                }
            }
        });
        Box::pin(all)
    }

    async fn lock(&self, cx: &Context, version: &Version) -> Result<Lock> {
        lockable(version)?;
        cx.unless_cancelled(async {
            if !self.bucket.is_there(version).await? {
                return Err(absent(version));
            }
            self.bucket.lock(version).await
        })
        .await
    }

    async fn extend(&self, cx: &Context, version: &Version, until: Timestamp) -> Result<Lock> {
        lockable(version)?;
        let bucket = &self.bucket;
        cx.unless_cancelled(async {
            let now = bucket.retention(version).await?;
            if now.as_ref().is_none_or(|now| now.retain_until_date < until) {
                let own = bucket.transport.protection().mode().as_str();
                // A mode is not weakened on the way.
                let compliance = LockMode::Compliance.as_str();
                let mode = now.map(|now| now.mode).filter(|mode| mode == compliance);
                let mode = mode.unwrap_or_else(|| own.to_owned());
                let asked = Retention { namespace: NAMESPACE, mode, retain_until_date: until };
                bucket.keep(version, "retention", &asked).await?;
            }
            bucket.lock(version).await
        })
        .await
    }

    async fn hold(&self, cx: &Context, version: &Version, on: bool) -> Result<()> {
        lockable(version)?;
        let status = if on { "ON" } else { "OFF" }.to_owned();
        let asked = LegalHold { namespace: NAMESPACE, status };
        cx.unless_cancelled(self.bucket.keep(version, "legal-hold", &asked)).await
    }

    async fn delete_version(&self, cx: &Context, version: &Version) -> Result<DeletionReceipt> {
        cx.unless_cancelled(self.bucket.delete_version(cx, version)).await
    }
}
