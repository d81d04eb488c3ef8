//! Records: what the payload is made of.

use std::io::{Read, Seek};

use zstd::bulk::{Compressor, Decompressor};

use super::chunks::ChunkReader;
use crate::error::{Error, ErrorKind, Result};

/// Bytes of a record's header.
pub(super) const HEAD: usize = 12;
/// Bytes of a record, plain or stored.
pub(super) const RECORD: usize = 65 << 20;
/// Bytes of the footer.
pub(super) const FOOTER: u64 = 24;
const FOOTER_MAGIC: [u8; 4] = *b"GWBF";
const PAYLOAD_VERSION: u32 = 1;

/// What a record holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Resources,
    Index,
    Description,
    Padding,
    Secrets,
    /// Of a later version that allows to leave it out.
    Skippable,
}

impl Content {
    fn code(self) -> u8 {
        match self {
            Self::Resources => 1,
            Self::Index => 2,
            Self::Description => 3,
            Self::Padding => 4,
            Self::Secrets => 5,
            Self::Skippable => 0x80,
        }
    }

    fn from_code(code: u8) -> Result<Self> {
        Ok(match code {
            1 => Self::Resources,
            2 => Self::Index,
            3 => Self::Description,
            4 => Self::Padding,
            5 => Self::Secrets,
            0x80.. => Self::Skippable,
            _ => return Err(Error::corrupt("a record has an unknown type")),
        })
    }
}

/// A record's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) content: Content,
    pub(super) compressed: bool,
    pub(super) plain: u32,
    pub(super) stored: u32,
}

impl Head {
    /// The header of a record that is stored as it is.
    pub(super) fn stored(content: Content, length: usize) -> Result<Self> {
        let length = record_length(length)?;
        Ok(Self { content, compressed: false, plain: length, stored: length })
    }

    pub(super) fn to_bytes(self) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        bytes[0] = self.content.code();
        bytes[1] = u8::from(self.compressed);
        bytes[4..8].copy_from_slice(&self.plain.to_be_bytes());
        bytes[8..].copy_from_slice(&self.stored.to_be_bytes());
        bytes
    }

    pub(super) fn parse(bytes: [u8; HEAD]) -> Result<Self> {
        let [code, method, 0, 0, p0, p1, p2, p3, s0, s1, s2, s3] = bytes else {
            return Err(Error::corrupt("a record's header is malformed"));
        };
        let head = Self {
            content: Content::from_code(code)?,
            compressed: match method {
                0 => false,
                1 => true,
                _ => return Err(Error::corrupt("a record uses an unknown compression")),
            },
            plain: u32::from_be_bytes([p0, p1, p2, p3]),
            stored: u32::from_be_bytes([s0, s1, s2, s3]),
        };
        if head.plain as usize > RECORD || head.stored as usize > RECORD {
            return Err(Error::corrupt("a record is larger than 65 MiB"));
        }
        let as_it_is = matches!(head.content, Content::Padding | Content::Secrets);
        if (as_it_is && head.compressed) || (!head.compressed && head.plain != head.stored) {
            return Err(Error::corrupt("a record's lengths do not fit its compression"));
        }
        Ok(head)
    }

    /// Bytes of the whole record.
    pub(super) fn span(self) -> u64 {
        HEAD as u64 + u64::from(self.stored)
    }
}

/// The last bytes of the payload: where the index stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Footer {
    pub(super) index: u64,
    pub(super) length: u64,
}

impl Footer {
    pub(super) fn to_bytes(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&self.index.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.length.to_be_bytes());
        bytes[16..20].copy_from_slice(&PAYLOAD_VERSION.to_be_bytes());
        bytes[20..].copy_from_slice(&FOOTER_MAGIC);
        bytes
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        let malformed = || Error::corrupt("the archive's footer is malformed");
        let ([index, length, tail], []) = bytes.as_chunks::<8>() else { return Err(malformed()) };
        let [v0, v1, v2, v3, magic @ ..] = *tail;
        if magic != FOOTER_MAGIC {
            return Err(malformed());
        }
        match u32::from_be_bytes([v0, v1, v2, v3]) {
            PAYLOAD_VERSION => {}
            0 => return Err(malformed()),
            _ => return Err(Error::newer("the archive was written by a newer version")),
        }
        Ok(Self { index: u64::from_be_bytes(*index), length: u64::from_be_bytes(*length) })
    }
}

/// Up to which length a payload of `length` bytes is padded: the length then tells its own
/// magnitude and few bits more.
pub(super) fn padded(length: u64) -> u64 {
    let Some(exponent) = length.checked_ilog2() else { return length };
    let Some(digits) = exponent.checked_ilog2() else { return length };
    let granule = 1_u64 << exponent.saturating_sub(digits + 1).min(24);
    length.next_multiple_of(granule)
}

/// Compresses record after record with one context.
pub(super) struct Packer {
    zstd: Compressor<'static>,
    packed: Vec<u8>,
}

impl Packer {
    /// Levels 1 to 19: the higher ones use windows that readers refuse.
    pub(super) fn new(level: i32) -> Result<Self> {
        Ok(Self { zstd: Compressor::new(level.clamp(1, 19))?, packed: Vec::new() })
    }

    /// Header and stored bytes of a record: compressed if that is asked for and shorter.
    pub(super) fn pack<'a>(
        &'a mut self,
        content: Content,
        plain: &'a [u8],
        compress: bool,
    ) -> Result<(Head, &'a [u8])> {
        let head = Head::stored(content, plain.len())?;
        if compress {
            self.packed.clear();
            self.packed.reserve(zstd::zstd_safe::compress_bound(plain.len()));
            self.zstd.compress_to_buffer(plain, &mut self.packed)?;
            if self.packed.len() < plain.len() {
                let stored = record_length(self.packed.len())?;
                return Ok((Head { compressed: true, stored, ..head }, &self.packed));
            }
        }
        Ok((head, plain))
    }
}

fn record_length(length: usize) -> Result<u32> {
    u32::try_from(length)
        .ok()
        .filter(|_| length <= RECORD)
        .ok_or_else(|| Error::invalid("a record would be larger than 65 MiB"))
}

/// The header of the record at `at`.
pub(super) fn read_head<R: Read + Seek>(
    chunks: &mut ChunkReader<R>,
    at: u64,
    buffer: &mut Vec<u8>,
) -> Result<Head> {
    chunks.read(at, HEAD, buffer)?;
    match <[u8; HEAD]>::try_from(buffer.as_slice()) {
        Ok(bytes) => Head::parse(bytes),
        Err(_) => Err(Error::corrupt("a record is cut off")),
    }
}

/// Reads record after record with one context and one buffer.
pub(super) struct Unpacker {
    zstd: Decompressor<'static>,
    stored: Vec<u8>,
}

impl Unpacker {
    pub(super) fn new() -> Result<Self> {
        Ok(Self { zstd: Decompressor::new()?, stored: Vec::new() })
    }

    /// Replaces the content of `plain` by that of the record at `at`, whose header is `head`.
    pub(super) fn content<R: Read + Seek>(
        &mut self,
        chunks: &mut ChunkReader<R>,
        at: u64,
        head: Head,
        plain: &mut Vec<u8>,
    ) -> Result<()> {
        let (at, stored) = (at.saturating_add(HEAD as u64), head.stored as usize);
        if !head.compressed {
            return chunks.read(at, stored, plain);
        }
        chunks.read(at, stored, &mut self.stored)?;
        decompress(&mut self.zstd, &self.stored, head.plain as usize, plain)
    }
}

/// Decompresses in one go, which needs no window: memory is bounded by `plain` alone.
pub(super) fn decompress(
    zstd: &mut Decompressor<'_>,
    packed: &[u8],
    plain: usize,
    into: &mut Vec<u8>,
) -> Result<()> {
    let malformed = || Error::corrupt("a record does not decompress to what it declares");
    into.clear();
    into.try_reserve(plain).map_err(|e| {
        Error::new(ErrorKind::Other, "not enough memory for a record").with_source(e)
    })?;
    let written = zstd.decompress_to_buffer(packed, into).map_err(|_| malformed())?;
    if written == plain { Ok(()) } else { Err(malformed()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn heads_come_back_and_malformed_ones_do_not() {
        let head = Head { content: Content::Index, compressed: true, plain: 9, stored: 7 };
        assert_eq!(head.to_bytes(), [2, 1, 0, 0, 0, 0, 0, 9, 0, 0, 0, 7]);
        assert_eq!(Head::parse(head.to_bytes()).unwrap(), head);
        for bad in [
            [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1],
            [6, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1],
            [1, 2, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1],
            [1, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 1],
            [1, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 1],
            [4, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1],
            [5, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1],
            [1, 1, 0, 0, 5, 0, 0, 0, 0, 0, 0, 1],
            [1, 1, 0, 0, 0, 0, 0, 1, 5, 0, 0, 0],
        ] {
            assert_eq!(Head::parse(bad).unwrap_err().kind(), ErrorKind::Corrupt, "{bad:?}");
        }
        let later = Head::parse([0x91, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1]).unwrap();
        assert_eq!(later.content, Content::Skippable);
    }

    #[test]
    fn footers_come_back_and_malformed_ones_do_not() {
        let footer = Footer { index: 1 << 33, length: 77 };
        let bytes = footer.to_bytes();
        assert_eq!(Footer::parse(&bytes).unwrap(), footer);
        for at in 16..24 {
            let mut changed = bytes;
            changed[at] ^= 1;
            assert!(Footer::parse(&changed).is_err());
        }
        assert!(Footer::parse(&bytes[1..]).is_err());
    }

    /// The examples of the paper's reference code, and by hand.
    #[test]
    fn padding_of_known_lengths() {
        assert_eq!([0, 1, 2, 7, 8].map(padded), [0, 1, 2, 7, 8]);
        // 9 = 0b1001: exponent 3, two digits of it: granule 2.
        assert_eq!(padded(9), 10);
        // 1000: exponent 9, four digits: granule 32.
        assert_eq!(padded(1000), 1024);
        // 150,000: exponent 17, five digits: granule 4096.
        assert_eq!(padded(150_000), 37 * 4096);
        assert_eq!(padded((1 << 35) + 1), (1 << 35) + (1 << 24));
    }

    proptest! {
        #[test]
        fn padding_costs_little_and_is_stable(length in 0_u64..(64 << 30)) {
            let to = padded(length);
            prop_assert!(to >= length);
            prop_assert!((to - length) * 100 <= length * 12);
            prop_assert_eq!(padded(to), to);
        }
    }
}
