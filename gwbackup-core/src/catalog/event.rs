//! What happened: one entry of the log.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::Trust;
use super::signed::{FileKind, SignedFile, misread};
use super::trust::Role;
use crate::clock::{Timestamp, millis};
use crate::context::Context;
use crate::crypt::{Sealed, Signer, SignerId, SmallSeal, uuid_v7};
use crate::error::{Error, ErrorKind, Result};

/// What kind of thing happened: lower-case words joined by dots. Open: a reader keeps kinds that it
/// does not know.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventKind(Cow<'static, str>);

impl EventKind {
    /// The repository was made.
    pub const REPOSITORY_CREATE: Self = Self::known("repository.create");
    /// A backup began.
    pub const BACKUP_START: Self = Self::known("backup.start");
    /// A backup was written and read back.
    pub const BACKUP_COMMIT: Self = Self::known("backup.commit");
    /// A backup failed, as its own writer says.
    pub const BACKUP_FAIL: Self = Self::known("backup.fail");
    /// A backup that began will not be finished.
    pub const BACKUP_ABANDON: Self = Self::known("backup.abandon");
    /// Missing copies of a backup were written again.
    pub const COPY_HEAL: Self = Self::known("copy.heal");
    /// A backup was checked.
    pub const VERIFY: Self = Self::known("verify");
    /// A restore began.
    pub const RESTORE_START: Self = Self::known("restore.start");
    /// A restore ended.
    pub const RESTORE_END: Self = Self::known("restore.end");
    /// Somebody approved a plan.
    pub const RESTORE_APPROVE: Self = Self::known("restore.approve");
    /// Somebody asked whether a gateway may be written.
    pub const RESTORE_AUTHORIZE: Self = Self::known("restore.authorize");
    /// A restore of a backup was rehearsed.
    pub const DRILL: Self = Self::known("drill");
    /// Ids of two gateways were matched.
    pub const IDMAP: Self = Self::known("idmap");
    /// A backup is about to be deleted.
    pub const DELETE_INTENT: Self = Self::known("delete.intent");
    /// It will not be deleted after all.
    pub const DELETE_CANCEL: Self = Self::known("delete.cancel");
    /// It was deleted.
    pub const DELETE_DONE: Self = Self::known("delete.done");
    /// Keys were wrapped anew.
    pub const KEY_ROTATE: Self = Self::known("key.rotate");
    /// A key was destroyed.
    pub const KEY_DESTROY: Self = Self::known("key.destroy");
    /// The trust document changed.
    pub const TRUST_CHANGE: Self = Self::known("trust.change");
    /// The log was folded.
    pub const CHECKPOINT: Self = Self::known("checkpoint");
    /// An anomaly of the log was looked at and accepted.
    pub const AUDIT_ACCEPT: Self = Self::known("audit.accept");

    const fn known(name: &'static str) -> Self {
        Self(Cow::Borrowed(name))
    }

    /// A kind of this name. `Invalid` for anything but 1 to 64 of `a-z`, `_` and dots.
    pub fn new(name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        let fits = |b: u8| b.is_ascii_lowercase() || matches!(b, b'.' | b'_');
        if name.is_empty() || name.len() > 64 || !name.bytes().all(fits) {
            return Err(Error::invalid("this is no kind of event"));
        }
        Ok(Self(name.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Which roles may do it, besides an admin.
    fn roles(&self) -> &'static [Role] {
        if self.is_guarded() { &[Role::Delete] } else { &[Role::Write, Role::Delete] }
    }

    /// Whether it takes something away, so that writing alone is not enough of a right.
    pub(super) fn is_guarded(&self) -> bool {
        let taking = [Self::BACKUP_ABANDON, Self::KEY_DESTROY, Self::AUDIT_ACCEPT];
        self.as_str().starts_with("delete.") || taking.contains(self)
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum EventOutcome {
    /// It goes on.
    Started,
    /// As wished.
    Success,
    /// In part.
    Partial,
    /// Not at all.
    Failed,
    /// Somebody lacked the right.
    Denied,
    /// It was taken back.
    RolledBack,
    /// Something that a newer version says.
    #[serde(other)]
    Unknown,
}

/// What it happened to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// `backup`, `restore`, `key`, `repository`, ...
    pub kind: String,
    /// Its id. Never a name that tells something about the gateway: this part is readable.
    pub id: String,
}

/// A digest that an event vouches for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vouched {
    /// Of what: `manifest`, `wrap`, `checkpoint`, `certificate`, `trust`, ...
    pub kind: String,
    /// The digest, hex.
    pub digest: String,
}

/// A right for a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// What for.
    pub purpose: String,
    /// The number of the event that took it; absent in that event itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// How long from the event's time, in milliseconds.
    pub ttl_ms: u64,
}

/// The private part of an event, readable with the repository key. Holds no resource's id or value.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Detail {
    /// Who.
    pub actor: String,
    /// On which machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How many.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub counts: BTreeMap<String, u64>,
    /// A sentence for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// What the kind of event adds.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub data: Value,
}

/// An event before it has a number.
#[derive(Debug, Clone, PartialEq)]
pub struct EventDraft {
    id: Uuid,
    time: Timestamp,
    kind: EventKind,
    subject: Subject,
    outcome: EventOutcome,
    digests: Vec<Vouched>,
    lease: Option<Lease>,
    detail: Detail,
}

impl EventDraft {
    /// Something that happens now, by the context's actor and for its reason. Keep the draft when
    /// an append fails: its id makes the next attempt the same event.
    pub fn new(
        cx: &Context,
        kind: EventKind,
        subject_kind: &str,
        subject_id: impl fmt::Display,
        outcome: EventOutcome,
    ) -> Result<Self> {
        Ok(Self {
            id: uuid_v7(cx.clock().as_ref())?,
            time: cx.now(),
            kind,
            subject: Subject { kind: subject_kind.to_owned(), id: subject_id.to_string() },
            outcome,
            digests: Vec::new(),
            lease: None,
            detail: Detail {
                actor: cx.actor().to_owned(),
                reason: cx.reason().map(str::to_owned),
                ..Detail::default()
            },
        })
    }

    /// The same, vouching for a digest.
    #[must_use]
    pub fn vouch(mut self, kind: &str, digest: impl Into<String>) -> Self {
        self.digests.push(Vouched { kind: kind.to_owned(), digest: digest.into() });
        self
    }

    /// The same, taking or renewing a lease.
    #[must_use]
    pub fn lease(mut self, lease: Lease) -> Self {
        self.lease = Some(lease);
        self
    }

    /// The same with the machine's name.
    #[must_use]
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.detail.host = Some(host.into());
        self
    }

    /// The same with a number of things.
    #[must_use]
    pub fn count(mut self, what: &str, number: u64) -> Self {
        self.detail.counts.insert(what.to_owned(), number);
        self
    }

    /// The same with a sentence.
    #[must_use]
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.detail.text = Some(text.into());
        self
    }

    /// The same with what its kind adds, sealed. `Invalid` for what is no JSON.
    pub fn data(mut self, data: &impl Serialize) -> Result<Self> {
        self.detail.data = serde_json::to_value(data)
            .map_err(|_| Error::invalid("the event's data cannot be written"))?;
        Ok(self)
    }

    /// Its id.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Its kind.
    pub fn kind(&self) -> &EventKind {
        &self.kind
    }
}

/// An event as it stands in the log: its signature is good.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Event {
    /// Its number, from 1.
    pub seq: u64,
    /// Digest of the event before; none at 1.
    pub prev: Option<String>,
    /// Its own digest, hex.
    pub digest: String,
    /// Who signed it.
    pub signer: SignerId,
    /// Whether the signer had the role for it. One without is part of the chain and changes
    /// nothing.
    pub counts: bool,
    /// Its id.
    pub id: Uuid,
    /// When it happened, by the clock of its writer.
    pub time: Timestamp,
    /// What happened.
    pub kind: EventKind,
    /// To what.
    pub subject: Subject,
    /// How it ended.
    pub outcome: EventOutcome,
    /// What it vouches for.
    pub digests: Vec<Vouched>,
    /// The lease that it takes or renews.
    pub lease: Option<Lease>,
    /// Number of the newest trust document its writer knew.
    pub trust: u64,
    /// For one that waited for the log's home: the id under which it waited.
    pub of: Option<Uuid>,
    /// Its private part, where the key is here.
    pub detail: Option<Detail>,
    /// As stored.
    pub file: SignedFile,
}

impl Event {
    /// What its kind adds, as a `T`; `None` without the key. `Corrupt` when it is something else.
    pub fn data<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        let Some(detail) = &self.detail else { return Ok(None) };
        T::deserialize(&detail.data)
            .map(Some)
            .map_err(|e| misread(self.kind.as_str(), &e).on(format!("event {}", self.seq)))
    }

    /// The digest of this kind that it vouches for.
    pub fn vouched(&self, kind: &str) -> Option<&str> {
        self.digests.iter().find(|v| v.kind == kind).map(|v| v.digest.as_str())
    }
}

/// The members of an event that do not depend on its place in the log.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Content {
    pub(super) id: Uuid,
    #[serde(serialize_with = "millis")]
    pub(super) time: Timestamp,
    #[serde(rename = "type")]
    pub(super) kind: EventKind,
    subject: Subject,
    outcome: EventOutcome,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    digests: Vec<Vouched>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lease: Option<Lease>,
    trust: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) of: Option<Uuid>,
    sealed: Sealed,
}

#[derive(Serialize, Deserialize)]
struct Numbered {
    seq: u64,
    prev: Option<String>,
    #[serde(flatten)]
    content: Content,
}

#[derive(Serialize, Deserialize)]
struct Waiting {
    after: Option<String>,
    #[serde(flatten)]
    content: Content,
}

/// Writes and reads the entries of one repository's log.
#[derive(Debug, Clone)]
pub(super) struct Scribe {
    pub(super) trust: Arc<Trust>,
    pub(super) signer: Option<Arc<dyn Signer>>,
    pub(super) seal: Option<Arc<SmallSeal>>,
}

impl Scribe {
    pub(super) fn signer(&self) -> Result<&dyn Signer> {
        self.signer.as_deref().ok_or_else(|| {
            Error::new(ErrorKind::KeyUnavailable, "the log can only be read: no signer is here")
        })
    }

    /// Seals what is private in `draft`.
    pub(super) fn content(&self, draft: EventDraft) -> Result<Content> {
        let seal = self.seal.as_ref().ok_or_else(|| {
            Error::new(ErrorKind::KeyUnavailable, "the repository key is not here")
        })?;
        let plain = serde_json::to_vec(&draft.detail)
            .map_err(|_| Error::invalid("the event's data cannot be written"))?;
        Ok(Content {
            sealed: seal.seal(FileKind::Event.as_str(), draft.id.as_bytes(), &plain)?,
            id: draft.id,
            time: draft.time,
            kind: draft.kind,
            subject: draft.subject,
            outcome: draft.outcome,
            digests: draft.digests,
            lease: draft.lease,
            trust: self.trust.number(),
            of: None,
        })
    }

    /// The event of this content at one place of the chain, signed; as a reader would see it.
    pub(super) async fn event(
        &self,
        cx: &Context,
        seq: u64,
        prev: Option<String>,
        content: Content,
    ) -> Result<Event> {
        let body = Numbered { seq, prev, content };
        let file = self.sign(cx, FileKind::Event, &body).await?;
        self.read(file.stored().clone(), seq)
    }

    /// Content that waits for a number, signed.
    pub(super) async fn waiting(
        &self,
        cx: &Context,
        after: Option<String>,
        content: Content,
    ) -> Result<SignedFile> {
        self.sign(cx, FileKind::Pending, &Waiting { after, content }).await
    }

    async fn sign(
        &self,
        cx: &Context,
        kind: FileKind,
        body: &(impl Serialize + Sync),
    ) -> Result<SignedFile> {
        let repository = Some(self.trust.repository());
        SignedFile::sign(cx, kind, repository, body, &[self.signer()?]).await
    }

    /// Takes a stored event of number `seq`. Whether it follows the one before is the chain's
    /// matter. `Corrupt` for anything else.
    pub(super) fn read(&self, stored: Bytes, seq: u64) -> Result<Event> {
        let verified = SignedFile::parse(FileKind::Event, stored)?.verify(self.trust.as_ref())?;
        let Numbered { seq: own, prev, content } = verified.read(Some(self.trust.repository()))?;
        if own != seq || (seq == 1) != prev.is_none() {
            return Err(
                Error::corrupt("the event belongs elsewhere in the log").on(format!("event {seq}"))
            );
        }
        let [signer] = verified.signers() else {
            return Err(
                Error::corrupt("an event has exactly one signer").on(format!("event {seq}"))
            );
        };
        let counts = self.trust.allows(signer, content.kind.roles(), seq) && self.vouches(&content);
        Ok(Event {
            seq,
            prev,
            digest: verified.file().digest(),
            signer: *signer,
            counts,
            detail: self.detail(&content),
            id: content.id,
            time: content.time,
            kind: content.kind,
            subject: content.subject,
            outcome: content.outcome,
            digests: content.digests,
            lease: content.lease,
            trust: content.trust,
            of: content.of,
            file: verified.file().clone(),
        })
    }

    /// Takes content that waits, of a signer who may write it; with the digest that it names as the
    /// one before, and its own.
    pub(super) fn read_waiting(&self, stored: Bytes) -> Result<(Content, Option<String>, String)> {
        let verified = SignedFile::parse(FileKind::Pending, stored)?.verify(self.trust.as_ref())?;
        let Waiting { content, after } = verified.read(Some(self.trust.repository()))?;
        let may = |signer| self.trust.allows(signer, content.kind.roles(), u64::MAX);
        if !verified.signers().iter().any(may) {
            return Err(Error::corrupt("the signer of the waiting event may not write it"));
        }
        Ok((content, after, verified.file().digest()))
    }

    /// A change of trust counts only with the digest of a document that is in the chain.
    fn vouches(&self, content: &Content) -> bool {
        content.kind != EventKind::TRUST_CHANGE
            || content.digests.iter().any(|v| v.kind == "trust" && self.trust.holds(&v.digest))
    }

    fn detail(&self, content: &Content) -> Option<Detail> {
        let seal = self.seal.as_ref()?;
        let plain = seal.open(FileKind::Event.as_str(), content.id.as_bytes(), &content.sealed);
        // The chain stands without it: a destroyed epoch must not break the log.
        serde_json::from_slice(&plain.ok()?).ok()
    }
}
