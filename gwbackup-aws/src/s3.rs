//! S3 as a place for backups.

mod bucket;
mod config;
mod digest;
mod transport;
mod uploads;
mod versions;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use gwbackup_core::connect::masked;
use gwbackup_core::sink::{
    Body, Listed, ObjectMeta, ObjectName, ObjectSink, Sink, SinkInfo, VersionedSink,
};
use gwbackup_core::source::BoxStream;
use gwbackup_core::{Context, Error, Result};
use object_store::RetryConfig;
use object_store::aws::{AmazonS3Builder, Checksum};
use url::Url;

use crate::signed::Signed;
use bucket::Bucket;
use digest::Checksums;
use transport::Transport;

pub(crate) use config::Protection;
pub use config::{LockMode, Retention, S3Config};

/// Bytes that are in memory while an object is written: 10,000 parts make the largest archive.
const PART: usize = 16 << 20;

/// A bucket of S3, or a prefix in it.
///
/// Objects are created by conditional writes alone, so that two writers never both succeed. Each
/// carries a SHA-256 that S3 checks, and what the configuration demands: encryption with a key of
/// KMS (an answer without it is `Refused`, and the object is taken away again), retention, a legal
/// hold. Passing faults are borne for half a minute, a store that asks for a pause for an hour.
/// Larger objects are written in parts of 16 MiB; `sweep` ends the uploads of writers that died.
///
/// In a bucket with versions a deletion hides an object and keeps its bytes until their version is
/// deleted: [`erase`](gwbackup_core::sink::erase) does that, and
/// [`VersionedSink`] is how versions are listed, kept and deleted one by
/// one. A bucket without versions has one of each object, `null`. What the configuration says of
/// retention and holds is for every object; a call can ask for more.
#[derive(Debug, Clone)]
pub struct S3Sink {
    objects: ObjectSink,
    bucket: Bucket,
    region: String,
    /// As people see it.
    url: Url,
}

impl S3Sink {
    /// The bucket that `config` names. No I/O: a bucket that is not there shows at the first call.
    /// `Invalid` when a name in it cannot be one.
    pub fn new(config: S3Config) -> Result<Self> {
        let (address, url) = (config.address()?, config.url()?);
        let S3Config { region, prefix, credentials, protection, clock, .. } = config;
        let transport = Transport::new(Signed::new(&region, credentials)?, clock, protection);
        let bucket = Bucket { transport: transport.clone(), url: address, prefix };
        let objects = objects(&bucket, &region, &url, transport)?;
        Ok(Self { objects, bucket, region, url })
    }

    /// Its objects by way of another transport.
    fn objects(&self, transport: Transport) -> Result<ObjectSink> {
        objects(&self.bucket, &self.region, &self.url, transport)
    }
}

fn objects(bucket: &Bucket, region: &str, url: &Url, transport: Transport) -> Result<ObjectSink> {
    let kms = transport.protection().kms.clone();
    let mut store = AmazonS3Builder::new()
        .with_region(region)
        .with_bucket_name(url.host_str().unwrap_or_default())
        // Whole, so that one rule says where a bucket is.
        .with_endpoint(bucket.url.as_str().trim_end_matches('/'))
        .with_virtual_hosted_style_request(true)
        .with_allow_http(true)
        .with_skip_signature(true)
        .with_crypto_provider(Arc::new(Checksums))
        .with_checksum_algorithm(Checksum::SHA256)
        .with_disable_bulk_delete(true)
        .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
        .with_http_connector(transport);
    if let Some(key) = kms {
        store = store.with_sse_kms_encryption(key);
    }
    let store = store
        .build()
        .map_err(|e| Error::invalid("this bucket cannot be addressed").on(url).with_source(e))?;
    Ok(ObjectSink::new(Arc::new(store), &bucket.prefix, masked(url))?.in_parts(PART))
}

#[async_trait]
impl Sink for S3Sink {
    fn info(&self) -> SinkInfo {
        self.objects.info()
    }

    async fn put(&self, cx: &Context, name: &ObjectName, body: &Body) -> Result<()> {
        self.objects.put(cx, name, body).await
    }

    async fn get(
        &self,
        cx: &Context,
        name: &ObjectName,
        range: Option<Range<u64>>,
    ) -> Result<Bytes> {
        self.objects.get(cx, name, range).await
    }

    async fn head(&self, cx: &Context, name: &ObjectName) -> Result<ObjectMeta> {
        self.objects.head(cx, name).await
    }

    fn list(&self, cx: &Context, prefix: &str) -> BoxStream<Result<Listed>> {
        self.objects.list(cx, prefix)
    }

    async fn delete(&self, cx: &Context, name: &ObjectName) -> Result<()> {
        self.objects.delete(cx, name).await
    }

    async fn sweep(&self, cx: &Context) -> Result<u64> {
        uploads::sweep(&self.bucket, cx).await
    }

    fn versioned(&self) -> Option<&dyn VersionedSink> {
        Some(self)
    }
}

impl fmt::Display for S3Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.objects.fmt(f)
    }
}
