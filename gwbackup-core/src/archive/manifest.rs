//! What is known of a backup: outside its archive (the manifest), and inside (the description).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::{Timestamp, millis};
use crate::crypt::Suite;
use crate::model::{Gap, Handles, Kind, Schema};

/// Whether all of the gateway was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Capture {
    /// Yes.
    Complete,
    /// No; the gaps say what is missing.
    Partial,
}

/// The archive that a manifest is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveRef {
    /// Its id, hex.
    pub id: String,
    /// Its object name.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// SHA-256 of its bytes, hex.
    pub sha256: String,
    /// How it is sealed.
    pub suite: Suite,
}

/// The full backup that an incremental builds on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseRef {
    /// The backup.
    pub backup: Uuid,
    /// Its archive's id, hex.
    pub archive: String,
    /// SHA-256 of that archive, hex.
    pub sha256: String,
}

/// Clear members of a manifest: what copying, counting, checking and expiring needs without a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The backup.
    pub backup: Uuid,
    /// Its archive.
    pub archive: ArchiveRef,
    /// `full`, `incremental` or `safety`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Present for an incremental.
    pub base: Option<BaseRef>,
    /// Whether all was read.
    pub capture: Capture,
    /// When the capture began.
    #[serde(serialize_with = "millis")]
    pub started_at: Timestamp,
    /// When it ended.
    #[serde(serialize_with = "millis")]
    pub ended_at: Timestamp,
    /// 1, 2, ... of this backup.
    pub revision: u32,
    /// The archive that this revision replaces, and why.
    pub replaces: Option<Replaced>,
    /// Head of the log, and number of the newest trust document, when it was written.
    pub catalog: CatalogMark,
    /// Ids of the copies that were meant to hold it.
    pub copies: Vec<String>,
    /// How long it is kept: `regular` or `safety`.
    pub keep_class: String,
    /// Everything that describes the gateway or people.
    pub sealed: crate::crypt::Sealed,
}

/// The archive that a revision replaces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replaced {
    /// Its id, hex.
    pub archive: String,
    /// `erase` or `reseal`.
    pub why: String,
}

/// A position in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogMark {
    /// Number of the last event.
    pub seq: u64,
    /// Its digest, hex.
    pub digest: String,
    /// Number of the newest trust document.
    pub trust: u64,
}

/// When and how a capture was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureWindow {
    /// `consistent` when the gateway's own mark did not move, else `fuzzy`.
    pub consistency: String,
    /// How often it was read.
    pub passes: u32,
}

/// Sealed members of a manifest; a copy stands inside the archive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Details {
    /// The backup's name for people.
    pub name: String,
    /// Whose gateway.
    pub application: String,
    /// Which stage of it.
    pub environment: String,
    /// Free tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// What people wrote about it.
    #[serde(default)]
    pub description: Option<String>,
    /// Why it was made.
    #[serde(default)]
    pub reason: Option<String>,
    /// Who made it.
    pub actor: String,
    /// The gateway's address, without secrets.
    pub gateway: String,
    /// The gateway's own names.
    pub handles: Handles,
    /// Product and version.
    pub product: String,
    /// Version of the product.
    pub version: String,
    /// Resources by kind.
    pub kinds: BTreeMap<Kind, u64>,
    /// Resources in all.
    pub resources: u64,
    /// Bytes of all documents.
    pub bytes: u64,
    /// What was not captured.
    #[serde(default)]
    pub gaps: Vec<Gap>,
    /// How many secrets are in it.
    pub secrets: u64,
    /// Whether secrets were left out on purpose.
    #[serde(default)]
    pub without_secrets: bool,
    /// Keyed digest of the whole state, hex.
    pub state_digest: String,
    /// SHA-256 of the schema, hex.
    pub schema_digest: String,
    /// How ids and kinds are formed.
    pub id_scheme: u32,
    /// How the capture was made.
    pub window: CaptureWindow,
    /// Why this is a full backup, where an incremental was possible or asked for.
    #[serde(default)]
    pub why_full: Option<String>,
    /// Program and version.
    pub software: String,
}

/// The description inside an archive.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StoredDescription {
    /// The rules of the gateway then.
    pub schema: Schema,
    /// The manifest's sealed members, so that archive and key alone describe themselves.
    pub details: Details,
}
