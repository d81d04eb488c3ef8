//! Signed files: a body on one line, signatures on the next, stored exactly as signed.

mod strict;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::RepositoryId;
use crate::context::Context;
use crate::crypt::{PublicKey, Signature, Signer, SignerId, hex, verify};
use crate::error::{Error, Result};

/// The version of the documents that this library writes.
const FORMAT: u64 = 1;
const MAX_SIGNATURES: usize = 8;
const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// What a signed file is. Enters into the signature, so one kind never passes for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileKind {
    /// A trust document.
    Repository,
    /// The mark of a copy.
    Copy,
    /// An event of the log.
    Event,
    /// An event that waits for the log's home.
    Pending,
    /// What a backup is.
    Manifest,
    /// Wrapped keys.
    Wrap,
    /// A fold of the log.
    Checkpoint,
    /// Proof of a deletion.
    Certificate,
    /// List of a bundle's content.
    Bundle,
}

impl FileKind {
    /// As signatures and schemas write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Repository => "repository",
            Self::Copy => "copy",
            Self::Event => "event",
            Self::Pending => "pending",
            Self::Manifest => "manifest",
            Self::Wrap => "wrap",
            Self::Checkpoint => "checkpoint",
            Self::Certificate => "certificate",
            Self::Bundle => "bundle",
        }
    }

    /// The largest file that is read or written, in bytes.
    pub fn limit(self) -> usize {
        match self {
            Self::Event | Self::Pending | Self::Copy => 64 * KIB,
            Self::Wrap => 128 * KIB,
            Self::Repository | Self::Manifest | Self::Certificate => MIB,
            Self::Checkpoint | Self::Bundle => 64 * MIB,
        }
    }
}

/// Knows the keys that may sign.
pub trait Verifier {
    /// The key of this id, if it may sign files of this kind at all.
    fn key(&self, kind: FileKind, id: &SignerId) -> Option<PublicKey>;
}

/// Keys given one by one.
impl Verifier for [PublicKey] {
    fn key(&self, _: FileKind, id: &SignerId) -> Option<PublicKey> {
        self.iter().find(|key| key.id() == *id).copied()
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct SignatureEntry {
    key: SignerId,
    sig: Signature,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct SignatureLine {
    signatures: Vec<SignatureEntry>,
}

/// The members that every body begins with.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    schema: String,
    format: u64,
    #[serde(default)]
    requires: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    repository: Option<RepositoryId>,
}

#[derive(Serialize)]
struct Whole<'a, T> {
    #[serde(flatten)]
    head: Head,
    #[serde(flatten)]
    body: &'a T,
}

/// A signed file of well-formed lines. Nothing is believed of it before
/// [`verify`](Self::verify); cheap to clone.
#[derive(Debug, Clone)]
pub struct SignedFile {
    kind: FileKind,
    stored: Bytes,
    body_len: usize,
    signatures: Vec<SignatureEntry>,
}

/// A signed file with at least one good signature of a known key.
#[derive(Debug, Clone)]
pub struct Verified {
    file: SignedFile,
    signers: Vec<SignerId>,
}

impl SignedFile {
    /// Writes `body` behind the members that every document begins with, and has it signed by each
    /// of `signers`. `body` must serialise to an object without members named `schema`, `format`,
    /// `requires` or `repository`. `Invalid` for a body that readers would refuse.
    pub async fn sign<T: Serialize + Sync>(
        cx: &Context,
        kind: FileKind,
        repository: Option<&RepositoryId>,
        body: &T,
        signers: &[&dyn Signer],
    ) -> Result<Self> {
        let head = Head {
            schema: schema(kind),
            format: FORMAT,
            requires: Vec::new(),
            repository: repository.copied(),
        };
        let unfit =
            || Error::invalid("this cannot be stored as a signed document").on(kind.as_str());
        let line = serde_json::to_vec(&Whole { head, body }).map_err(|_| unfit())?;
        strict::check(&line).map_err(|_| unfit())?;
        let message = message(kind, &line);
        let mut signatures = Vec::with_capacity(signers.len());
        for signer in signers {
            let sig = signer.sign(cx, &message).await?;
            signatures.push(SignatureEntry { key: signer.public().id(), sig });
        }
        let mut stored = line;
        let body_len = stored.len();
        stored.push(b'\n');
        stored.extend(signature_line(signatures.clone())?);
        stored.push(b'\n');
        if stored.len() > kind.limit() {
            return Err(Error::invalid("the document is larger than its kind may be")
                .on(kind.as_str())
                .help(format!("at most {} bytes are stored", kind.limit())));
        }
        Ok(Self { kind, stored: stored.into(), body_len, signatures })
    }

    /// Takes a file apart: size, the two lines, the signatures' form. `Corrupt` for anything else.
    pub fn parse(kind: FileKind, stored: Bytes) -> Result<Self> {
        let damaged =
            |why: &str| Error::corrupt(format!("the signed file {why}")).on(kind.as_str());
        if stored.len() > kind.limit() {
            return Err(damaged("is larger than its kind may be"));
        }
        let mut lines = stored.split(|byte| *byte == b'\n');
        let (Some(body), Some(last), Some(b""), None) =
            (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(damaged("does not have two lines"));
        };
        if !body.starts_with(b"{") || !body.ends_with(b"}") {
            return Err(damaged("has no object in its first line"));
        }
        let SignatureLine { signatures } =
            serde_json::from_slice(last).map_err(|_| damaged("has a broken second line"))?;
        if signatures.is_empty() || signatures.len() > MAX_SIGNATURES {
            return Err(damaged("does not have 1 to 8 signatures"));
        }
        let doubled = |(at, entry): (usize, &SignatureEntry)| {
            signatures.iter().skip(at + 1).any(|other| other.key == entry.key)
        };
        if signatures.iter().enumerate().any(doubled) {
            return Err(damaged("is signed twice by one key"));
        }
        // Nothing signs the second line: it has one form only, so that copies can be compared.
        if signature_line(signatures.clone())? != last {
            return Err(damaged("has a second line in an unusual form"));
        }
        let body_len = body.len();
        Ok(Self { kind, stored, body_len, signatures })
    }

    /// Checks the signatures of all keys that `keys` knows; others are passed over. `Corrupt` when
    /// one of them does not fit, or when none is known.
    pub fn verify(self, keys: &(impl Verifier + ?Sized)) -> Result<Verified> {
        let message = message(self.kind, self.body());
        let mut signers = Vec::new();
        for entry in &self.signatures {
            if let Some(public) = keys.key(self.kind, &entry.key) {
                verify(&public, &message, &entry.sig).map_err(|e| e.on(self.kind.as_str()))?;
                signers.push(entry.key);
            }
        }
        if signers.is_empty() {
            let error = Error::corrupt("no key that may sign this has signed it");
            return Err(error.on(self.kind.as_str()));
        }
        Ok(Verified { file: self, signers })
    }

    /// The members, before anything was verified: for a document that names its own keys, and for
    /// nothing else.
    pub(super) fn unverified<T: DeserializeOwned>(
        &self,
        repository: Option<&RepositoryId>,
    ) -> Result<T> {
        self.read(repository)
    }

    fn read<T: DeserializeOwned>(&self, repository: Option<&RepositoryId>) -> Result<T> {
        let kind = self.kind.as_str();
        strict::check(self.body()).map_err(|e| misread(kind, &e))?;
        let head: Head = serde_json::from_slice(self.body()).map_err(|e| misread(kind, &e))?;
        let version = head.schema.strip_prefix("gwbackup.").and_then(|s| s.strip_prefix(kind));
        let version = version.and_then(|s| s.strip_prefix('/')?.parse::<u64>().ok());
        match version {
            Some(FORMAT) if head.format == FORMAT && head.requires.is_empty() => {}
            Some(version)
                if version > FORMAT || head.format > FORMAT || !head.requires.is_empty() =>
            {
                return Err(Error::newer("written by a newer version").on(kind));
            }
            _ => return Err(Error::corrupt("the document is of another kind").on(kind)),
        }
        if head.repository.as_ref() != repository {
            return Err(Error::corrupt("the document belongs to another repository").on(kind));
        }
        serde_json::from_slice(self.body()).map_err(|e| misread(kind, &e))
    }

    /// What it is.
    pub fn kind(&self) -> FileKind {
        self.kind
    }

    /// The bytes as stored, both lines.
    pub fn stored(&self) -> &Bytes {
        &self.stored
    }

    /// The digest by which other documents name this one: SHA-256 of the first line, hex.
    pub fn digest(&self) -> String {
        hex::encode(&Sha256::digest(self.body()))
    }

    pub(super) fn body(&self) -> &[u8] {
        self.stored.get(..self.body_len).unwrap_or_default()
    }
}

impl Verified {
    /// The body as a `T`, once schema, format and repository fit; members that `T` does not know
    /// are passed over. `Corrupt` otherwise, with "newer version" where a later version of this
    /// library wrote it.
    pub fn read<T: DeserializeOwned>(&self, repository: Option<&RepositoryId>) -> Result<T> {
        self.file.read(repository)
    }

    /// Who signed, of the keys that were known.
    pub fn signers(&self) -> &[SignerId] {
        &self.signers
    }

    /// The file.
    pub fn file(&self) -> &SignedFile {
        &self.file
    }
}

fn schema(kind: FileKind) -> String {
    format!("gwbackup.{}/{FORMAT}", kind.as_str())
}

fn message(kind: FileKind, line: &[u8]) -> Vec<u8> {
    [b"gwbackup/v1/", kind.as_str().as_bytes(), b"\0", line].concat()
}

fn signature_line(signatures: Vec<SignatureEntry>) -> Result<Vec<u8>> {
    serde_json::to_vec(&SignatureLine { signatures })
        .map_err(|_| Error::invalid("the signatures cannot be written"))
}

/// The parser's own text would quote what it read.
pub(super) fn misread(what: &str, e: &serde_json::Error) -> Error {
    let why = match e.classify() {
        serde_json::error::Category::Data => "does not have the members it should",
        _ => "is no well-formed JSON",
    };
    Error::corrupt(format!("the document {why} (line {}, column {})", e.line(), e.column()))
        .on(what)
}

#[cfg(test)]
mod tests;
