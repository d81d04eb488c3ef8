//! Writing an archive.

use std::fmt;
use std::io::Write;

use zeroize::Zeroize as _;

use super::chunks::{ChunkWriter, nonce};
use super::header::Header;
use super::index::{IndexBuilder, IndexLine};
use super::record::{Content, FOOTER, Footer, HEAD, Head, Packer, RECORD, padded};
use super::scan::{line_length, names};
use super::secrets::TokenDecoder;
use super::{ArchiveIds, ArchiveOptions, Entry, Sealed};
use crate::crypt::{Cipher, DataKey, Suite, TAG, cipher};
use crate::error::{Error, ErrorKind, Result};

/// Bytes of one line.
const LINE: usize = 64 << 20;

/// Writes an archive: lines in order, then [`finish`](Self::finish).
///
/// What was written before `finish` returned is no archive: drop it. Memory stays at a few frames
/// and the largest line.
pub struct ArchiveWriter<W> {
    chunks: ChunkWriter<W>,
    cipher: &'static dyn Cipher,
    secrets_key: DataKey,
    commitment: [u8; 32],
    options: ArchiveOptions,
    packer: Packer,
    index: IndexBuilder,
    frame: Frame,
    /// Bytes of payload so far.
    at: u64,
    lines: u64,
    /// Records of secrets so far.
    sealed: u64,
    last: Option<(String, String)>,
    broken: bool,
}

/// The lines that the next record will hold.
#[derive(Default)]
struct Frame {
    plain: Vec<u8>,
    secrets: Vec<u8>,
    lines: u32,
    first: (String, String),
    compress: bool,
}

impl<W> fmt::Debug for ArchiveWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArchiveWriter").field("lines", &self.lines).finish_non_exhaustive()
    }
}

impl<W: Write> ArchiveWriter<W> {
    /// Begins an archive. `dek` and `sdek` must be fresh and never used for another one, also not
    /// when this one is given up.
    pub fn new(
        out: W,
        ids: ArchiveIds,
        suite: Suite,
        dek: &DataKey,
        sdek: &DataKey,
        mut options: ArchiveOptions,
    ) -> Result<Self> {
        options.frame = options.frame.clamp(1, 512 << 10);
        let header = Header::new(suite, ids, dek)?;
        Ok(Self {
            cipher: cipher(suite),
            secrets_key: header.secrets_key(sdek)?,
            commitment: header.commitment,
            chunks: ChunkWriter::new(out, &header, dek)?,
            packer: Packer::new(options.level)?,
            options,
            index: IndexBuilder::default(),
            frame: Frame::default(),
            at: 0,
            lines: 0,
            sealed: 0,
            last: None,
            broken: false,
        })
    }

    /// Adds a line. `Invalid`, without effect, when it does not come after the one before (by the
    /// bytes of kind, then of id), does not name what it says, holds a line feed, or is larger than
    /// 64 MiB. After any other error the writer is of no more use.
    pub fn push(&mut self, entry: Entry<'_>) -> Result<()> {
        self.check(&entry)?;
        let compress = !self.options.uncompressed.contains(entry.kind);
        let full = self.frame.secrets.len() + entry.secrets.len() + TAG > RECORD;
        if self.frame.lines > 0 && (full || self.frame.compress != compress) {
            self.end_frame()?;
        }
        let frame = &mut self.frame;
        if frame.lines == 0 {
            frame.compress = compress;
            copy(&mut frame.first, &entry);
        }
        frame.plain.extend_from_slice(entry.line);
        frame.plain.push(b'\n');
        frame.secrets.extend_from_slice(entry.secrets);
        frame.lines += 1;
        self.lines += 1;
        copy(self.last.get_or_insert_default(), &entry);
        if self.frame.plain.len().max(self.frame.secrets.len()) >= self.options.frame {
            self.end_frame()?;
        }
        Ok(())
    }

    /// Ends the archive with its description, one JSON object, and flushes. The bytes are complete
    /// when this returns; making them durable is the caller's part.
    pub fn finish(mut self, description: &[u8]) -> Result<(W, Sealed)> {
        self.end_frame()?;
        self.enter()?;
        self.record(Content::Description, description, true)?;
        let index = std::mem::take(&mut self.index);
        let footer_index = self.at;
        self.record(Content::Index, index.as_bytes(), true)?;
        let footer = Footer { index: footer_index, length: self.at - footer_index };

        let unpadded = self.at + HEAD as u64 + FOOTER;
        let target = if self.options.padding { padded(unpadded) } else { unpadded };
        // The granule of padding is far below the size of a record.
        let padding = vec![0; usize::try_from(target - unpadded).unwrap_or_default()];
        self.record(Content::Padding, &padding, false)?;
        self.chunks.write(&footer.to_bytes())?;
        let (out, written) = self.chunks.finish()?;
        let sealed = Sealed {
            size: written.size,
            sha256: written.sha256,
            commitment: self.commitment,
            lines: self.lines,
            has_secrets: self.sealed > 0,
        };
        Ok((out, sealed))
    }

    fn check(&self, entry: &Entry<'_>) -> Result<()> {
        let invalid = |message: &str| {
            Err(Error::invalid(message.to_owned()).on(format!("{}/{}", entry.kind, entry.id)))
        };
        if let Some((kind, id)) = &self.last
            && (entry.kind, entry.id) <= (kind.as_str(), id.as_str())
        {
            return invalid("a line is out of order or doubled");
        }
        if entry.line.len().max(entry.secrets.len()) > LINE {
            return invalid("a resource is larger than 64 MiB");
        }
        let (_, line_feed) = line_length(entry.line);
        let named = names(entry.line).is_ok_and(|(kind, id)| kind == entry.kind && id == entry.id);
        if line_feed || !named {
            return invalid("a line is malformed or names another resource");
        }
        if TokenDecoder::new(entry.secrets).count_stored().is_err() {
            return invalid("the secrets of a line are malformed");
        }
        Ok(())
    }

    fn end_frame(&mut self) -> Result<()> {
        if self.frame.lines == 0 {
            return Ok(());
        }
        self.enter()?;
        let mut frame = std::mem::take(&mut self.frame);
        let offset = self.at;
        let head = self.record(Content::Resources, &frame.plain, frame.compress)?;
        let (kind, first) = std::mem::take(&mut frame.first);
        let (stored, plain, lines) = (head.stored, head.plain, frame.lines);
        self.index.add(&IndexLine { offset, stored, plain, lines, kind, first })?;
        if !frame.secrets.is_empty() {
            // Room for the tag first: a buffer that moved would leave a copy behind.
            let mut sealed = Vec::with_capacity(frame.secrets.len() + TAG);
            sealed.extend_from_slice(&frame.secrets);
            frame.secrets.zeroize();
            self.cipher.seal(&self.secrets_key, &nonce(self.sealed, false), &mut sealed)?;
            self.sealed += 1;
            self.record(Content::Secrets, &sealed, false)?;
        }
        frame.plain.clear();
        frame.lines = 0;
        self.frame = frame;
        self.broken = false;
        Ok(())
    }

    /// Marks the writer as broken until what follows has gone well: an error on the way leaves a
    /// hole in the archive, which must never be sealed as whole.
    fn enter(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.broken, true) {
            return Err(Error::new(ErrorKind::Other, "the archive was given up after an error"));
        }
        Ok(())
    }

    fn record(&mut self, content: Content, plain: &[u8], compress: bool) -> Result<Head> {
        let (head, stored) = self.packer.pack(content, plain, compress)?;
        self.chunks.write(&head.to_bytes())?;
        self.chunks.write(stored)?;
        self.at += head.span();
        Ok(head)
    }
}

fn copy(names: &mut (String, String), entry: &Entry<'_>) {
    entry.kind.clone_into(&mut names.0);
    entry.id.clone_into(&mut names.1);
}
