//! The first 128 bytes of an archive, and the keys that they derive.

use uuid::Uuid;

use super::{ArchiveIds, ArchiveType};
use crate::crypt::derive::{Derivation, same};
use crate::crypt::{DataKey, Suite};
use crate::error::{Error, ErrorKind, Result};

/// Bytes of a header.
pub(super) const LEN: usize = 128;
/// The part that the keys are derived from.
const CORE: usize = 96;
/// Catches transfers that take the file for text: a high bit, both line ends, an end of file.
const MAGIC: [u8; 8] = [0x89, b'G', b'W', b'B', 0x0d, 0x0a, 0x1a, 0x0a];
const FORMAT: u16 = 1;
const LOG2_CHUNK: u8 = 16;

/// What an archive says about itself in the clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// How it is sealed.
    pub suite: Suite,
    /// What it is.
    pub ids: ArchiveIds,
    /// What the data key must reproduce.
    pub commitment: [u8; 32],
    core: [u8; CORE],
}

impl Header {
    /// The header of a new archive, committed to its data key. `Invalid` when a full names a base
    /// or an incremental names none.
    pub(super) fn new(suite: Suite, ids: ArchiveIds, dek: &DataKey) -> Result<Self> {
        ids.check().map_err(Error::invalid)?;
        let mut core = [0; CORE];
        core[..8].copy_from_slice(&MAGIC);
        core[8..10].copy_from_slice(&FORMAT.to_be_bytes());
        core[10..12].copy_from_slice(&128_u16.to_be_bytes());
        core[12] = suite.code();
        core[13] = LOG2_CHUNK;
        core[14] = ids.kind.code();
        core[16..48].copy_from_slice(&ids.repository);
        core[48..64].copy_from_slice(ids.backup.as_bytes());
        core[64..80].copy_from_slice(&ids.archive);
        core[80..96].copy_from_slice(ids.base.unwrap_or_default().as_bytes());
        let commitment = Derivation::new(&core, dek).expand(&[b"gwbackup/v1/commit"])?;
        Ok(Self { suite, ids, commitment, core })
    }

    /// Reads a header. `Corrupt` when it is none, or was written by a newer version. It proves
    /// nothing until [`Archive::open`](super::Archive::open) held it against the data key.
    pub fn parse(bytes: &[u8; LEN]) -> Result<Self> {
        let mut fields = Fields(bytes);
        if fields.take() != MAGIC {
            return Err(Error::corrupt("it does not begin as an archive"));
        }
        let format = u16::from_be_bytes(fields.take());
        if format > FORMAT {
            return Err(Error::newer("the archive was written by a newer version"));
        }
        let length = u16::from_be_bytes(fields.take());
        let [suite, log2_chunk, kind, zero] = fields.take();
        if format != FORMAT || usize::from(length) != LEN || log2_chunk != LOG2_CHUNK || zero != 0 {
            return Err(Error::corrupt("the archive's header is malformed"));
        }
        let suite = Suite::from_code(suite)?;
        let ids = ArchiveIds {
            kind: ArchiveType::from_code(kind)?,
            repository: fields.take(),
            backup: Uuid::from_bytes(fields.take()),
            archive: fields.take(),
            base: Some(Uuid::from_bytes(fields.take())).filter(|base| !base.is_nil()),
        };
        ids.check().map_err(Error::corrupt)?;
        let commitment = fields.take();
        let mut core = [0; CORE];
        core.copy_from_slice(&bytes[..CORE]);
        Ok(Self { suite, ids, commitment, core })
    }

    /// The stored bytes.
    pub(super) fn to_bytes(self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        bytes[..CORE].copy_from_slice(&self.core);
        bytes[CORE..].copy_from_slice(&self.commitment);
        bytes
    }

    /// The key that seals the chunks. `KeyUnavailable` unless `dek` is the key that the header was
    /// committed to; nothing sealed is touched before that is known.
    pub(super) fn chunk_key(&self, dek: &DataKey) -> Result<DataKey> {
        let derivation = Derivation::new(&self.core, dek);
        if !same(&derivation.expand(&[b"gwbackup/v1/commit"])?, &self.commitment) {
            return Err(Error::new(ErrorKind::KeyUnavailable, "wrong key for this archive")
                .help("check that wrap and archive belong together; the archive may be damaged"));
        }
        derivation.key(&[b"gwbackup/v1/chunk"])
    }

    /// The key that seals the secrets.
    pub(super) fn secrets_key(&self, sdek: &DataKey) -> Result<DataKey> {
        Derivation::new(&self.core, sdek).key(&[b"gwbackup/v1/secrets"])
    }
}

/// Cuts fixed fields off a header; the lengths add up to it, which the tests show.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut field = [0; N];
        if let Some((bytes, rest)) = self.0.split_at_checked(N) {
            field.copy_from_slice(bytes);
            self.0 = rest;
        }
        field
    }
}
