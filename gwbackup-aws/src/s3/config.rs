//! Which bucket, as whom, and how its objects are protected.

use std::sync::Arc;
use std::time::Duration;

use aws_credential_types::provider::SharedCredentialsProvider;
use gwbackup_core::clock::{Clock, SystemClock, Timestamp};
use gwbackup_core::connect::{Settings, masked};
use gwbackup_core::sink::Lock;
use gwbackup_core::{Error, Result};
use url::Url;

use crate::config::{Identity, checked, suffix};

const FORM: &str = "write s3://BUCKET/PREFIX?region=REGION, and as needed endpoint=URL, kms=KEY, \
                    lock=governance or lock=compliance with days=N, hold=true";

/// Who may end a retention before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockMode {
    /// Those with the right to.
    Governance,
    /// Nobody, the account's owner included.
    Compliance,
}

impl LockMode {
    /// As S3 writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Governance => "GOVERNANCE",
            Self::Compliance => "COMPLIANCE",
        }
    }
}

/// For how long S3 keeps the bytes of an object, whoever asks for their deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Who may end it.
    pub mode: LockMode,
    /// From the moment of writing.
    pub days: u32,
}

/// What objects are written with.
#[derive(Debug, Clone, Default)]
pub(crate) struct Protection {
    pub(crate) kms: Option<String>,
    pub(crate) retention: Option<Retention>,
    /// Of what is locked by a call.
    pub(crate) mode: Option<LockMode>,
    /// Asked for by a call.
    pub(crate) until: Option<Timestamp>,
    pub(crate) hold: bool,
}

impl Protection {
    /// What is asked for besides.
    pub(crate) fn and(mut self, lock: Lock) -> Self {
        self.until = lock.until;
        self.hold |= lock.hold;
        self
    }

    /// Of what is locked by a call: never weaker than that of every object.
    pub(crate) fn mode(&self) -> LockMode {
        match self.retention.map(|retention| retention.mode) {
            Some(LockMode::Compliance) => LockMode::Compliance,
            own => self.mode.or(own).unwrap_or(LockMode::Governance),
        }
    }

    /// Of an object that is written now.
    pub(crate) fn written(&self) -> LockMode {
        match (self.until, self.retention) {
            (None, Some(own)) => own.mode,
            _ => self.mode(),
        }
    }

    /// For how long every object is kept.
    pub(crate) fn keeps_for(&self) -> Option<Duration> {
        self.retention.map(|retention| Duration::from_hours(24) * retention.days)
    }

    /// Until when an object is kept that is written now.
    pub(crate) fn until(&self, now: Timestamp) -> Option<Timestamp> {
        // A time beyond all calendars is the last one that they know.
        let end = |length| now.saturating_add(length).unwrap_or(Timestamp::MAX);
        self.keeps_for().map(end).max(self.until)
    }
}

/// A bucket and how it is used. `Debug` shows no secret.
#[derive(Debug, Clone)]
pub struct S3Config {
    pub(crate) bucket: String,
    pub(crate) prefix: String,
    pub(crate) region: String,
    pub(crate) endpoint: Option<Url>,
    pub(crate) credentials: SharedCredentialsProvider,
    pub(crate) protection: Protection,
    pub(crate) clock: Arc<dyn Clock>,
}

impl S3Config {
    /// This bucket of this region, whole, at the service's own endpoint.
    pub fn new(bucket: &str, region: &str, credentials: SharedCredentialsProvider) -> Self {
        Self {
            bucket: bucket.to_owned(),
            prefix: String::new(),
            region: region.to_owned(),
            endpoint: None,
            credentials,
            protection: Protection::default(),
            clock: Arc::new(SystemClock),
        }
    }

    /// The same below a prefix, which other parts of the bucket do not share.
    #[must_use]
    pub fn with_prefix(mut self, prefix: &str) -> Self {
        prefix.trim_matches('/').clone_into(&mut self.prefix);
        self
    }

    /// The same at another endpoint (a private one, an emulator, another vendor's), which finds
    /// buckets by path.
    #[must_use]
    pub fn with_endpoint(mut self, endpoint: Url) -> Self {
        self.endpoint = Some(endpoint);
        self
    }

    /// The same, demanding that S3 encrypts every object with this key of KMS: its id, its ARN, or
    /// `alias/NAME`. For an alias the answer shows that a key of KMS was used, not which.
    #[must_use]
    pub fn with_kms(mut self, key: impl Into<String>) -> Self {
        self.protection.kms = Some(key.into());
        self
    }

    /// The same, with every object retained. The bucket needs Object Lock.
    #[must_use]
    pub fn with_retention(mut self, retention: Retention) -> Self {
        self.protection.retention = Some(retention);
        self
    }

    /// The same with this mode for what is locked by a call
    /// ([`put_locked`](gwbackup_core::sink::VersionedSink::put_locked),
    /// [`extend`](gwbackup_core::sink::VersionedSink::extend)); by default, and at least, that of the
    /// retention of every object, else governance.
    #[must_use]
    pub fn with_lock_mode(mut self, mode: LockMode) -> Self {
        self.protection.mode = Some(mode);
        self
    }

    /// The same, with every object under a legal hold, which ends when somebody lifts it. The bucket
    /// needs Object Lock.
    #[must_use]
    pub fn with_hold(mut self) -> Self {
        self.protection.hold = true;
        self
    }

    /// The same by another clock: signatures, ends of retentions and pauses go by it.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Of `s3://BUCKET/PREFIX?region=REGION&endpoint=URL&kms=KEY&lock=MODE&days=N&hold=true`, where
    /// all of the query may be left out. Settings: `region`, where the URL names none. Credentials,
    /// and what is then still missing of region and endpoint, as the SDKs find them. `Invalid` when
    /// something in it cannot be. Reads files and may ask the instance it runs on.
    pub async fn from_url(url: &Url, settings: &Settings) -> Result<Self> {
        let wrong = |what: String| Error::invalid(what).on(masked(url)).help(FORM);
        let bucket = url.host_str().filter(|host| !host.is_empty());
        let bucket = bucket.ok_or_else(|| wrong("no bucket is named".to_owned()))?;
        let mut region = settings.value("region").map(str::to_owned);
        let (mut endpoint, mut mode, mut days) = (None, None, None);
        let mut protection = Protection::default();
        for (name, value) in url.query_pairs() {
            let bad = || wrong(format!("`{name}` cannot be `{value}`"));
            match &*name {
                "region" => region = Some(value.into_owned()),
                "endpoint" => endpoint = Some(Url::parse(&value).map_err(|_| bad())?),
                "kms" if !value.is_empty() => protection.kms = Some(value.into_owned()),
                "lock" if value == "governance" => mode = Some(LockMode::Governance),
                "lock" if value == "compliance" => mode = Some(LockMode::Compliance),
                "days" => days = Some(value.parse().ok().filter(|n| *n > 0).ok_or_else(bad)?),
                "hold" if value == "true" => protection.hold = true,
                "kms" | "lock" | "hold" => return Err(bad()),
                _ => return Err(wrong(format!("an S3 url knows no `{name}`"))),
            }
        }
        protection.retention = match (mode, days) {
            (Some(mode), Some(days)) => Some(Retention { mode, days }),
            (None, None) => None,
            _ => return Err(wrong("`lock` and `days` need each other".to_owned())),
        };
        let identity = Identity::find(region).await?;
        let mut config = Self::new(bucket, &identity.region, identity.credentials);
        config.endpoint = endpoint.or(identity.endpoint);
        config.protection = protection;
        Ok(config.with_prefix(url.path()))
    }

    /// The URL, without what the query says.
    pub(crate) fn url(&self) -> Result<Url> {
        let text = format!("s3://{}/{}", self.bucket, self.prefix);
        Url::parse(text.trim_end_matches('/')).map_err(|_| self.bad())
    }

    /// Where the bucket answers.
    pub(crate) fn address(&self) -> Result<Url> {
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-".contains(&b);
        if self.bucket.len() < 3 || !self.bucket.bytes().all(fits) {
            return Err(self.bad());
        }
        let own = format!("https://s3.{}.{}/", checked(&self.region)?, suffix(&self.region));
        let mut url = match &self.endpoint {
            Some(endpoint) => endpoint.clone(),
            None => Url::parse(&own).map_err(|_| self.bad())?,
        };
        // A certificate of `*.s3.REGION` is none for a name with a dot in it.
        if self.endpoint.is_none() && !self.bucket.contains('.') {
            let host = format!("{}.{}", self.bucket, url.host_str().unwrap_or_default());
            url.set_host(Some(&host)).map_err(|_| self.bad())?;
        } else if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push(&self.bucket);
        }
        Ok(url)
    }

    fn bad(&self) -> Error {
        Error::invalid("this is no name of a bucket").on(&self.bucket).help(FORM)
    }
}
