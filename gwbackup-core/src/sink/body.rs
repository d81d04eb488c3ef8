//! What is written to a sink, and the sealed temporary file that a backup is made in.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::fs;
use crate::error::{Error, Result};

/// The content of an object: can be read any number of times, from several threads.
#[derive(Debug, Clone)]
pub enum Body {
    /// In memory.
    Bytes(Bytes),
    /// In a spool file.
    Spool(Spool),
}

impl Body {
    /// Its size in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Spool(spool) => spool.len(),
        }
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of `range`. Blocking where it is a file.
    pub fn read(&self, range: Range<u64>) -> Result<Bytes> {
        match self {
            Self::Bytes(bytes) => {
                let start = usize::try_from(range.start).ok();
                let end = usize::try_from(range.end).ok().filter(|end| *end <= bytes.len());
                match (start, end) {
                    (Some(start), Some(end)) if start <= end => Ok(bytes.slice(start..end)),
                    _ => Err(Error::corrupt("a range lies outside the body")),
                }
            }
            Self::Spool(spool) => spool.read(range),
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl From<Spool> for Body {
    fn from(spool: Spool) -> Self {
        Self::Spool(spool)
    }
}

/// A finished spool file: unlinked at its creation where the system allows, so that a killed
/// process leaves nothing. Holds sealed bytes only. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Spool {
    file: Arc<File>,
    len: u64,
}

impl Spool {
    /// A spool to write, in `directory` (made if it is absent), readable by its owner alone.
    /// Blocking. The directory must not lie in a place that others can write.
    pub fn create(directory: &Path) -> Result<SpoolWriter> {
        let file = fs::unlinked_file(directory)?;
        Ok(SpoolWriter { file, len: 0 })
    }

    /// Its size in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes of `range`; `Corrupt` outside. Blocking.
    pub fn read(&self, range: Range<u64>) -> Result<Bytes> {
        if range.start > range.end || range.end > self.len {
            return Err(Error::corrupt("a range lies outside the spool"));
        }
        let len = usize::try_from(range.end - range.start)
            .map_err(|_| Error::invalid("a range is larger than memory"))?;
        let mut buffer = vec![0; len];
        fs::read_exact_at(&self.file, &mut buffer, range.start)?;
        Ok(buffer.into())
    }

    /// A reader from the start, with a position of its own.
    pub fn reader(&self) -> SpoolReader {
        SpoolReader { spool: self.clone(), at: 0 }
    }
}

/// A spool that is being written. Dropping it discards it.
#[derive(Debug)]
pub struct SpoolWriter {
    file: File,
    len: u64,
}

impl SpoolWriter {
    /// Ends the writing.
    pub fn finish(self) -> Spool {
        Spool { file: Arc::new(self.file), len: self.len }
    }
}

impl Write for SpoolWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.len += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Reads a spool by its own position.
#[derive(Debug)]
pub struct SpoolReader {
    spool: Spool,
    at: u64,
}

impl Read for SpoolReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.spool.len.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let take = buffer.len().min(left);
        fs::read_exact_at(&self.spool.file, &mut buffer[..take], self.at)?;
        self.at += take as u64;
        Ok(take)
    }
}

impl Seek for SpoolReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let base = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.spool.len.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = base.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}
