//! Archives: a sorted stream of lines, compressed in frames, sealed in chunks, readable at any
//! place.
//!
//! A line is one JSON object that begins with its kind and id; this module knows no more of it.
//! Secrets come apart from their lines and are sealed once more, under a key of their own.
//!
//! Writing and reading are blocking and use bounded memory: a few frames, and the index.

mod chunks;
mod entries;
mod frame;
mod header;
mod index;
pub(crate) mod line;
mod manifest;
mod marks;
mod reader;
mod record;
mod scan;
mod secrets;
mod view;
mod writer;

use std::collections::BTreeSet;

use uuid::Uuid;

use crate::error::{Error, Result};

pub use chunks::read_header;
pub use entries::Entries;
pub(crate) use entries::Position;
pub use frame::EntryRef;
pub use header::Header;
pub use index::IndexLine;
pub use manifest::{
    ArchiveRef, BaseRef, Capture, CaptureWindow, CatalogMark, Details, Manifest, Replaced,
    StoredDescription,
};
pub use reader::{Archive, Expected};
pub use secrets::{TokenDecoder, TokenEncoder};
pub use view::View;
pub(crate) use view::{Lines, Part, unread};
pub use writer::ArchiveWriter;

/// How many secret tokens a line names. `Corrupt` when the line cannot be understood.
pub type SecretCount = Box<dyn FnMut(&[u8]) -> Result<usize> + Send>;

/// Whether an archive stands alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ArchiveType {
    /// Holds everything.
    Full,
    /// Holds what differs from its base.
    Incremental,
}

impl ArchiveType {
    fn code(self) -> u8 {
        match self {
            Self::Full => 1,
            Self::Incremental => 2,
        }
    }

    fn from_code(code: u8) -> Result<Self> {
        match code {
            1 => Ok(Self::Full),
            2 => Ok(Self::Incremental),
            _ => Err(Error::corrupt("the archive's type is unknown")),
        }
    }
}

/// Which archive it is; bound to every byte of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArchiveIds {
    /// The repository.
    pub repository: [u8; 32],
    /// The backup, which stays when its archive is rewritten.
    pub backup: Uuid,
    /// This archive, random.
    pub archive: [u8; 16],
    /// The backup that an incremental builds on; `None` for a full.
    pub base: Option<Uuid>,
    /// What it is.
    pub kind: ArchiveType,
}

impl ArchiveIds {
    fn check(&self) -> Result<(), &'static str> {
        let based = self.base.is_some_and(|base| !base.is_nil());
        match self.kind {
            ArchiveType::Full if self.base.is_some() => Err("a full archive names a base"),
            ArchiveType::Incremental if !based => Err("an incremental archive names no base"),
            _ => Ok(()),
        }
    }
}

/// How an archive is written. Readers need none of it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ArchiveOptions {
    /// Whether the size is rounded up, so that it tells less; at most 12 %. On by default.
    pub padding: bool,
    /// Level of compression, 1 to 19; 1 by default.
    pub level: i32,
    /// Plain bytes after which a frame ends; 256 KiB by default, at most 512 KiB.
    pub frame: usize,
    /// Kinds that are never compressed, since their size would tell about unmarked secrets.
    pub uncompressed: BTreeSet<String>,
}

impl Default for ArchiveOptions {
    fn default() -> Self {
        Self { padding: true, level: 1, frame: 256 << 10, uncompressed: BTreeSet::new() }
    }
}

/// One line to write.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// The kind that the line names.
    pub kind: &'a str,
    /// The id that the line names.
    pub id: &'a str,
    /// The JSON object, without line feeds, each secret token replaced by `0`.
    pub line: &'a [u8],
    /// The secret tokens in order of occurrence, as [`TokenEncoder`] writes them.
    pub secrets: &'a [u8],
}

/// A finished archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sealed {
    /// Its size in bytes.
    pub size: u64,
    /// SHA-256 of all its bytes.
    pub sha256: [u8; 32],
    /// What its data key must reproduce; stands in its header and in its wrap.
    pub commitment: [u8; 32],
    /// How many lines it holds.
    pub lines: u64,
    /// Whether it holds secrets, so that its secrets key must be wrapped too.
    pub has_secrets: bool,
}

#[cfg(test)]
mod tests;
