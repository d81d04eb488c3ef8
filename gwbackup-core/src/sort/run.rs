//! One sorted run in a sealed spool file.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use super::{Head, key};
use crate::crypt::{Aes256Gcm, Cipher as _, DataKey, TAG};
use crate::error::{Error, Result};
use crate::sink::{Spool, SpoolWriter};

/// Plain bytes of a sealed block.
const BLOCK: usize = 64 << 10;
/// Bytes of a stored [`Head`].
const HEAD: usize = 12;

/// Seals blocks under a key of its own; every block has its own number, which is its nonce.
#[derive(Clone)]
pub(super) struct RunSeal {
    key: Arc<DataKey>,
    next: u64,
}

impl RunSeal {
    pub(super) fn new() -> Result<Self> {
        Ok(Self { key: Arc::new(DataKey::generate()?), next: 0 })
    }

    /// The same key, to open with.
    pub(super) fn again(&self) -> Self {
        self.clone()
    }

    /// A run to write. Runs are written one after the other.
    pub(super) fn start(&mut self, directory: &Path) -> Result<RunWriter<'_>> {
        let first = self.next;
        let spool = Spool::create(directory)?;
        Ok(RunWriter { seal: self, spool, first, len: 0, block: Vec::with_capacity(BLOCK + TAG) })
    }

    fn seal(&mut self, block: &mut Vec<u8>) -> Result<()> {
        let number = self.next;
        self.next += 1;
        Aes256Gcm.seal(&self.key, &nonce(number), block)
    }

    fn open(&self, number: u64, block: &mut Vec<u8>) -> Result<()> {
        Aes256Gcm
            .open(&self.key, &nonce(number), block)
            .map_err(|_| Error::corrupt("a temporary file was altered"))
    }
}

impl std::fmt::Debug for RunSeal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunSeal").field("next", &self.next).finish_non_exhaustive()
    }
}

fn nonce(number: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&number.to_be_bytes());
    nonce
}

/// A finished run.
#[derive(Debug)]
pub(super) struct Run {
    spool: Spool,
    first: u64,
    len: u64,
}

/// A run that is being written.
pub(super) struct RunWriter<'a> {
    seal: &'a mut RunSeal,
    spool: SpoolWriter,
    first: u64,
    len: u64,
    block: Vec<u8>,
}

impl RunWriter<'_> {
    pub(super) fn push(&mut self, head: Head, bytes: &[u8]) -> Result<()> {
        for part in [head.kind, head.id, head.payload] {
            self.write(&part.to_le_bytes())?;
        }
        self.write(bytes)
    }

    fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        self.len += bytes.len() as u64;
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK - self.block.len()));
            self.block.extend_from_slice(now);
            bytes = later;
            if self.block.len() == BLOCK {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.seal.seal(&mut self.block)?;
        self.spool.write_all(&self.block)?;
        self.block.clear();
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Run> {
        if !self.block.is_empty() {
            self.flush()?;
        }
        Ok(Run { spool: self.spool.finish(), first: self.first, len: self.len })
    }
}

/// Reads a run, one block in memory. Stands before a record, whose key it holds; its payload is
/// read only when it is taken.
pub(super) struct Cursor {
    spool: Spool,
    number: u64,
    /// Where the next block begins in the spool.
    at: u64,
    /// Plain bytes after the present block.
    left: u64,
    block: Vec<u8>,
    used: usize,
    head: Head,
    key: Vec<u8>,
}

impl Cursor {
    pub(super) fn new(run: &Run) -> Self {
        Self {
            spool: run.spool.clone(),
            number: run.first,
            at: 0,
            left: run.len,
            block: Vec::new(),
            used: 0,
            head: Head { kind: 0, id: 0, payload: 0 },
            key: Vec::new(),
        }
    }

    /// Goes to the next record; whether there is one.
    pub(super) fn advance(&mut self, seal: &RunSeal) -> Result<bool> {
        if self.left == 0 && self.used == self.block.len() {
            return Ok(false);
        }
        let mut key = std::mem::take(&mut self.key);
        key.clear();
        self.read(seal, HEAD, &mut key)?;
        let mut parts = key
            .chunks_exact(4)
            .map(|part| part.try_into().map(u32::from_le_bytes).unwrap_or_default());
        let mut part = || parts.next().unwrap_or_default();
        self.head = Head { kind: part(), id: part(), payload: part() };
        key.clear();
        self.read(seal, self.head.kind as usize + self.head.id as usize, &mut key)?;
        self.key = key;
        Ok(true)
    }

    pub(super) fn key(&self) -> (&[u8], &[u8]) {
        key(&self.key, self.head)
    }

    /// The present record: kind, id and payload in one.
    pub(super) fn take(&mut self, seal: &RunSeal) -> Result<(Head, Vec<u8>)> {
        let mut bytes = Vec::with_capacity(self.head.len());
        bytes.extend_from_slice(&self.key);
        self.read(seal, self.head.payload as usize, &mut bytes)?;
        Ok((self.head, bytes))
    }

    fn read(&mut self, seal: &RunSeal, mut len: usize, into: &mut Vec<u8>) -> Result<()> {
        while len > 0 {
            if self.used == self.block.len() {
                self.load(seal)?;
            }
            let rest = self.block.get(self.used..).unwrap_or_default();
            let part = rest.get(..len.min(rest.len())).unwrap_or_default();
            into.extend_from_slice(part);
            self.used += part.len();
            len -= part.len();
        }
        Ok(())
    }

    fn load(&mut self, seal: &RunSeal) -> Result<()> {
        let plain = self.left.min(BLOCK as u64);
        if plain == 0 {
            return Err(Error::corrupt("a temporary file ends too early"));
        }
        let end = self.at + plain + TAG as u64;
        self.block.clear();
        self.block.extend_from_slice(&self.spool.read(self.at..end)?);
        seal.open(self.number, &mut self.block)?;
        self.used = 0;
        self.number += 1;
        self.at = end;
        self.left -= plain;
        Ok(())
    }
}

#[cfg(test)]
impl Run {
    /// The bytes as they lie on the disk.
    pub(super) fn sealed(&self) -> Vec<u8> {
        self.spool.read(0..self.spool.len()).unwrap().to_vec()
    }

    /// The same run over other bytes.
    pub(super) fn with_sealed(&self, directory: &Path, sealed: &[u8]) -> Self {
        let mut spool = Spool::create(directory).unwrap();
        spool.write_all(sealed).unwrap();
        Self { spool: spool.finish(), ..*self }
    }
}
