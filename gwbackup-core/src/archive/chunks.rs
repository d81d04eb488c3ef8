//! Sealing a payload in chunks of 64 KiB, so that any part can be read and no part can be moved,
//! left out or cut off.

use std::io::{Read, Seek, SeekFrom, Write};

use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::header::{Header, LEN as HEADER};
use crate::crypt::{Cipher, DataKey, TAG, cipher};
use crate::error::{Error, Result};

/// Plain bytes of a chunk; the last one may be shorter.
pub(super) const CHUNK: usize = 1 << 16;
const CHUNK_BYTES: u64 = 1 << 16;

const SEALED: u64 = CHUNK_BYTES + 16;
/// Bytes of the largest archive that is written or read.
const ARCHIVE: u64 = 64 << 30;

/// The nonce of a chunk or of a secrets record.
pub(super) fn nonce(counter: u64, last: bool) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[3..11].copy_from_slice(&counter.to_be_bytes());
    nonce[11] = u8::from(last);
    nonce
}

/// Size and digest of what was written.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) size: u64,
    pub(super) sha256: [u8; 32],
}

/// Payload in, header and sealed chunks out. One buffer, used again for each chunk.
pub(super) struct ChunkWriter<W> {
    out: W,
    digest: Sha256,
    cipher: &'static dyn Cipher,
    key: DataKey,
    counter: u64,
    size: u64,
    /// Held back until more follows: only then is it known not to be the last.
    pending: Vec<u8>,
}

impl<W: Write> ChunkWriter<W> {
    pub(super) fn new(mut out: W, header: &Header, dek: &DataKey) -> Result<Self> {
        let key = header.chunk_key(dek)?;
        let bytes = header.to_bytes();
        out.write_all(&bytes)?;
        Ok(Self {
            out,
            digest: Sha256::new_with_prefix(bytes),
            cipher: cipher(header.suite),
            key,
            counter: 0,
            size: HEADER as u64,
            pending: Vec::with_capacity(CHUNK + TAG),
        })
    }

    pub(super) fn write(&mut self, mut payload: &[u8]) -> Result<()> {
        while !payload.is_empty() {
            if self.pending.len() == CHUNK {
                self.seal(false)?;
            }
            let (now, later) = payload.split_at(payload.len().min(CHUNK - self.pending.len()));
            self.pending.extend_from_slice(now);
            payload = later;
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<(W, Written)> {
        self.seal(true)?;
        self.out.flush()?;
        let written = Written { size: self.size, sha256: self.digest.finalize().into() };
        Ok((self.out, written))
    }

    fn seal(&mut self, last: bool) -> Result<()> {
        self.cipher.seal(&self.key, &nonce(self.counter, last), &mut self.pending)?;
        self.size += self.pending.len() as u64;
        if self.size > ARCHIVE {
            return Err(Error::invalid("the archive would be larger than 64 GiB")
                .help("back up fewer kinds at a time"));
        }
        self.digest.update(&self.pending);
        self.out.write_all(&self.pending)?;
        self.pending.clear();
        self.counter += 1;
        Ok(())
    }
}

/// Reads the payload at any place. The length was proven when this exists: the last chunk opened
/// as the last one.
pub(super) struct ChunkReader<R> {
    input: R,
    /// Where `input` stands; `None` after an error.
    position: Option<u64>,
    cipher: &'static dyn Cipher,
    key: DataKey,
    chunks: u64,
    payload: u64,
    current: Option<u64>,
    plain: Zeroizing<Vec<u8>>,
}

/// The header of an archive that begins at the start of `input`. Blocking. `Corrupt` when there is
/// none, or one of a newer version. Nothing is proven by it: only the key can.
pub fn read_header<R: Read + Seek>(input: &mut R) -> Result<Header> {
    let mut bytes = [0; HEADER];
    input.seek(SeekFrom::Start(0))?;
    input.read_exact(&mut bytes).map_err(cut_off)?;
    Header::parse(&bytes)
}

impl<R: Read + Seek> ChunkReader<R> {
    /// `size` is what the archive must have. `KeyUnavailable` for a wrong key, before anything
    /// sealed is touched; `Corrupt` for another size, or when the last chunk does not open as such.
    pub(super) fn open(mut input: R, size: u64, header: &Header, dek: &DataKey) -> Result<Self> {
        let key = header.chunk_key(dek)?;
        if input.seek(SeekFrom::End(0))? != size {
            return Err(Error::corrupt("the archive has another size than expected"));
        }
        let sealed = size.saturating_sub(HEADER as u64);
        let chunks = sealed.div_ceil(SEALED);
        let tags = chunks * TAG as u64;
        // The final chunk holds at least one byte besides its tag.
        if sealed == 0 || (sealed - 1) % SEALED < TAG as u64 {
            return Err(Error::corrupt("the archive is cut off"));
        }
        if size > ARCHIVE {
            return Err(Error::corrupt("the archive is larger than 64 GiB"));
        }
        let mut reader = Self {
            input,
            position: None,
            cipher: cipher(header.suite),
            key,
            chunks,
            payload: sealed - tags,
            current: None,
            plain: Zeroizing::new(Vec::with_capacity(CHUNK + TAG)),
        };
        reader.load(chunks - 1)?;
        Ok(reader)
    }

    /// Bytes of the payload.
    pub(super) fn payload(&self) -> u64 {
        self.payload
    }

    /// Opens every chunk that holds some of the `length` bytes from `at`.
    pub(super) fn check(&mut self, at: u64, length: u64) -> Result<()> {
        let end = self.end(at, length)?;
        for index in at / CHUNK_BYTES..end.div_ceil(CHUNK_BYTES) {
            self.load(index)?;
        }
        Ok(())
    }

    /// Where a range ends; `Corrupt` beyond the payload.
    fn end(&self, at: u64, length: u64) -> Result<u64> {
        let end = at.checked_add(length).filter(|end| *end <= self.payload);
        end.ok_or_else(|| Error::corrupt("a record reaches beyond the archive"))
    }

    /// Replaces the content of `into` by `length` bytes from `at`. `Corrupt` beyond the end, before
    /// anything is allocated.
    pub(super) fn read(&mut self, at: u64, length: usize, into: &mut Vec<u8>) -> Result<()> {
        into.clear();
        let mut at = at;
        let end = self.end(at, length as u64)?;
        into.reserve(length);
        while at < end {
            self.load(at / CHUNK_BYTES)?;
            // Both remainders are below the size of a chunk.
            let from = usize::try_from(at % CHUNK_BYTES).unwrap_or(CHUNK);
            let left = usize::try_from(end - at).unwrap_or(CHUNK);
            let part = self.plain.get(from..).unwrap_or_default();
            let part = part.get(..left).unwrap_or(part);
            if part.is_empty() {
                return Err(Error::corrupt("a chunk is shorter than it must be"));
            }
            into.extend_from_slice(part);
            at += part.len() as u64;
        }
        Ok(())
    }

    fn load(&mut self, index: u64) -> Result<()> {
        if self.current == Some(index) {
            return Ok(());
        }
        self.current = None;
        let last = index + 1 == self.chunks;
        let start = HEADER as u64 + index * SEALED;
        let length = if last { self.payload - index * CHUNK_BYTES } else { CHUNK_BYTES };
        let length = usize::try_from(length).unwrap_or(CHUNK).min(CHUNK) + TAG;
        if self.position.take() != Some(start) {
            self.input.seek(SeekFrom::Start(start))?;
        }
        self.plain.resize(length, 0);
        self.input.read_exact(&mut self.plain).map_err(cut_off)?;
        self.position = Some(start + length as u64);
        self.cipher.open(&self.key, &nonce(index, last), &mut self.plain).map_err(|_| {
            Error::corrupt(format!("chunk {index} of the archive is damaged"))
                .help("read another copy, and let this one be repaired")
        })?;
        self.current = Some(index);
        Ok(())
    }
}

fn cut_off(e: std::io::Error) -> Error {
    match e.kind() {
        std::io::ErrorKind::UnexpectedEof => Error::corrupt("the archive is cut off"),
        _ => e.into(),
    }
}

#[cfg(test)]
mod tests;
