//! Opening an archive, and reading any part of it.

use std::fmt;
use std::io::{Read, Seek};

use uuid::Uuid;
use zeroize::Zeroizing;

use super::SecretCount;
use super::chunks::{ChunkReader, nonce, read_header};
use super::frame::{EntryRef, Frame, Tokens};
use super::header::Header;
use super::index::{self, IndexLine};
use super::record::{Content, FOOTER, Footer, Head, Unpacker};
use crate::crypt::{Cipher, DataKey, cipher};
use crate::error::{Error, ErrorKind, Result};

/// Bytes of padding that are looked at in one go.
const PIECE: u64 = 1 << 16;

/// What the manifest says about an archive, held against what the archive says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// Size in bytes.
    pub size: u64,
    /// The repository.
    pub repository: [u8; 32],
    /// This archive.
    pub archive: [u8; 16],
    /// The backup that it belongs to.
    pub backup: Uuid,
}

/// An open archive.
///
/// When it exists its length is proven, and its index is bounded and in order. Everything else is
/// checked when it is read: rely on an answer only after [`verify`](Self::verify), or after all
/// entries were read to the end.
pub struct Archive<R> {
    header: Header,
    chunks: ChunkReader<R>,
    unpacker: Unpacker,
    cipher: &'static dyn Cipher,
    secrets_key: Option<DataKey>,
    secret_count: SecretCount,
    index: Vec<IndexLine>,
    /// Where the records of resources and secrets end.
    frames_end: u64,
    /// Where the padding's zeros stand.
    padding: (u64, u64),
    description: Vec<u8>,
    head_buffer: Vec<u8>,
    /// The frame that was last searched.
    looked_at: (Option<usize>, Frame),
}

impl<R> fmt::Debug for Archive<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Archive")
            .field("ids", &self.header.ids)
            .field("frames", &self.index.len())
            .finish_non_exhaustive()
    }
}

impl<R: Read + Seek> Archive<R> {
    /// Opens an archive that begins at the start of `input`. Blocking.
    ///
    /// `Corrupt` when the archive is not the expected one, is damaged, cut off, or written by a
    /// newer version; `KeyUnavailable` when `dek` is not its key, before anything sealed is read.
    /// Without `sdek` entries are read with their secrets sealed. `secret_count` is a
    /// [`SecretCount`].
    pub fn open(
        mut input: R,
        expected: &Expected,
        dek: &DataKey,
        sdek: Option<&DataKey>,
        secret_count: impl FnMut(&[u8]) -> Result<usize> + Send + 'static,
    ) -> Result<Self> {
        let header = read_header(&mut input)?;
        let ids = &header.ids;
        if (ids.repository, ids.backup, ids.archive)
            != (expected.repository, expected.backup, expected.archive)
        {
            return Err(Error::corrupt("the file is another archive than expected"));
        }
        let chunks = ChunkReader::open(input, expected.size, &header, dek)?;
        let mut archive = Self {
            cipher: cipher(header.suite),
            secrets_key: sdek.map(|sdek| header.secrets_key(sdek)).transpose()?,
            header,
            chunks,
            unpacker: Unpacker::new()?,
            secret_count: Box::new(secret_count),
            index: Vec::new(),
            frames_end: 0,
            padding: (0, 0),
            description: Vec::new(),
            head_buffer: Vec::new(),
            looked_at: (None, Frame::default()),
        };
        archive.read_tail()?;
        Ok(archive)
    }

    /// What the header says, now proven.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The description: one JSON object.
    pub fn description(&self) -> &[u8] {
        &self.description
    }

    /// All frames, in order.
    pub fn index(&self) -> &[IndexLine] {
        &self.index
    }

    /// How many lines the archive holds, by its index.
    pub fn lines(&self) -> u64 {
        self.index.iter().map(|line| u64::from(line.lines)).sum()
    }

    /// Hands the line of one resource to `found`, reading no frame but its own. `None` when the
    /// archive has no such line.
    pub fn find<T>(
        &mut self,
        kind: &str,
        id: &str,
        found: impl FnOnce(EntryRef<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        let after = self
            .index
            .partition_point(|line| (line.kind.as_str(), line.first.as_str()) <= (kind, id));
        let Some(number) = after.checked_sub(1) else { return Ok(None) };
        let (held, mut frame) = std::mem::take(&mut self.looked_at);
        if held != Some(number) {
            self.load_alone(number, &mut frame)?;
        } else if !frame.stands_before(kind, id)? {
            frame.begin_again();
        }
        let answer = loop {
            // What comes later stays unread: whoever asks in order need not begin again.
            let order = frame.peek(kind, id)?.filter(|order| order.is_le());
            let Some(order) = order else { break Ok(None) };
            let Some(entry) = frame.next(&mut self.secret_count)? else { break Ok(None) };
            if order.is_eq() {
                break found(entry).map(Some);
            }
        };
        // Neighbours are often asked for next.
        self.looked_at = (Some(number), frame);
        answer
    }

    /// Reads a frame without those before it.
    fn load_alone(&mut self, number: usize, frame: &mut Frame) -> Result<()> {
        let likely = self.gaps_before(number);
        let Err(e) = self.load(number, likely, frame) else { return Ok(()) };
        // A gap may also hold a record that this version skips: then, and only then, the number of
        // secrets before this frame must be counted from the records themselves.
        if e.kind() != ErrorKind::Corrupt {
            return Err(e);
        }
        let exact = self.secrets_before(number)?;
        if exact == likely {
            return Err(e);
        }
        self.load(number, exact, frame).map(drop)
    }

    /// Footer, index, description and padding, and that they leave nothing between them.
    fn read_tail(&mut self) -> Result<()> {
        let malformed = || Error::corrupt("the archive's records do not fit together");
        let end = self.chunks.payload().checked_sub(FOOTER).ok_or_else(malformed)?;
        let mut buffer = Vec::new();
        self.chunks.read(end, 24, &mut buffer)?;
        let footer = Footer::parse(&buffer)?;
        let head = self.head(footer.index)?;
        let index_end = footer.index.checked_add(footer.length);
        let fits = head.content == Content::Index && head.span() == footer.length;
        let index_end = index_end.filter(|at| fits && *at <= end).ok_or_else(malformed)?;
        self.unpacker.content(&mut self.chunks, footer.index, head, &mut buffer)?;
        self.index = index::parse(&buffer, footer.index)?;

        let first = self.index.first().map_or(0, |line| line.offset);
        if !self.index.is_empty() {
            self.only_skippable(0, first)?;
        }
        let mut at = self.index.last().map_or(0, IndexLine::end);
        if !self.index.is_empty() {
            let head = self.head(at)?;
            if head.content == Content::Secrets {
                at += head.span();
            }
        }
        self.frames_end = at;
        let (at, head) = self.single(Content::Description, at, footer.index)?;
        let mut description = Vec::new();
        self.unpacker.content(&mut self.chunks, at, head, &mut description)?;
        self.description = description;
        let (at, head) = self.single(Content::Padding, index_end, end)?;
        self.padding = (at + head.span() - u64::from(head.stored), u64::from(head.stored));
        Ok(())
    }

    /// The one record of `content` that stands in this range beside skippable ones.
    fn single(&mut self, content: Content, mut at: u64, end: u64) -> Result<(u64, Head)> {
        let mut found = None;
        while at < end {
            let head = self.head(at)?;
            if head.content == content && found.is_none() {
                found = Some((at, head));
            } else {
                self.skip(at, head)?;
            }
            at += head.span();
        }
        found
            .filter(|_| at == end)
            .ok_or_else(|| Error::corrupt("the archive's records do not fit together"))
    }

    fn only_skippable(&mut self, mut at: u64, end: u64) -> Result<()> {
        while at < end {
            let head = self.head(at)?;
            self.skip(at, head)?;
            at += head.span();
        }
        if at == end { Ok(()) } else { Err(Error::corrupt("a record overlaps the next one")) }
    }

    /// Steps over a record that may be skipped. Its chunks are opened all the same: what was read to
    /// the end has no part that nobody looked at.
    fn skip(&mut self, at: u64, head: Head) -> Result<()> {
        if head.content != Content::Skippable {
            return Err(Error::corrupt("the archive's records are out of order"));
        }
        self.chunks.check(at, head.span())
    }

    fn head(&mut self, at: u64) -> Result<Head> {
        super::record::read_head(&mut self.chunks, at, &mut self.head_buffer)
    }

    /// The secrets record of a frame, after a check of all that stands up to the next frame.
    fn secrets_of(&mut self, line_end: u64, end: u64) -> Result<Option<(u64, Head)>> {
        if line_end == end {
            return Ok(None);
        }
        let head = self.head(line_end)?;
        if head.content != Content::Secrets {
            self.only_skippable(line_end, end)?;
            return Ok(None);
        }
        self.only_skippable(line_end + head.span(), end)?;
        Ok(Some((line_end, head)))
    }

    /// From the end of a frame's record to the begin of the next one's.
    fn gap(&self, number: usize) -> (u64, u64) {
        let from = self.index.get(number).map_or(self.frames_end, IndexLine::end);
        let to = self.index.get(number + 1).map_or(self.frames_end, |next| next.offset);
        (from, to)
    }

    /// How many frames before this one have something between them and the next.
    fn gaps_before(&self, number: usize) -> u64 {
        (0..number).map(|before| self.gap(before)).map(|(from, to)| u64::from(from < to)).sum()
    }

    /// How many records of secrets stand before a frame.
    fn secrets_before(&mut self, number: usize) -> Result<u64> {
        let mut count = 0;
        for before in 0..number {
            let (from, to) = self.gap(before);
            count += u64::from(self.secrets_of(from, to)?.is_some());
        }
        Ok(count)
    }

    /// Reads a frame. `ordinal` is the number of records of secrets before it; gives the number
    /// after it.
    pub(super) fn load(&mut self, number: usize, ordinal: u64, frame: &mut Frame) -> Result<u64> {
        let line = self.index.get(number).cloned();
        let line = line.ok_or_else(|| Error::corrupt("the archive has no such frame"))?;
        let head = self.head(line.offset)?;
        let agrees = head.content == Content::Resources
            && (head.stored, head.plain) == (line.stored, line.plain);
        if !agrees {
            return Err(Error::corrupt("a frame is not what the index says"));
        }
        self.unpacker.content(&mut self.chunks, line.offset, head, &mut frame.plain)?;
        let (from, to) = self.gap(number);
        let secrets = self.secrets_of(from, to)?;
        frame.tokens = match (secrets, &self.secrets_key) {
            (None, _) => Tokens::None,
            (Some(_), None) => Tokens::Sealed,
            (Some((at, head)), Some(key)) => {
                let mut tokens = Zeroizing::new(Vec::new());
                self.unpacker.content(&mut self.chunks, at, head, &mut tokens)?;
                self.cipher
                    .open(key, &nonce(ordinal, false), &mut tokens)
                    .map_err(|_| Error::corrupt("the secrets of a frame are damaged"))?;
                Tokens::Open(tokens)
            }
        };
        frame.begin(&line);
        Ok(ordinal + u64::from(secrets.is_some()))
    }

    pub(super) fn secret_count(&mut self) -> &mut SecretCount {
        &mut self.secret_count
    }

    /// That nothing hides in the padding.
    pub(super) fn check_padding(&mut self) -> Result<()> {
        let (mut at, mut left) = self.padding;
        let mut buffer = Vec::new();
        while left > 0 {
            let now = left.min(PIECE);
            self.chunks.read(at, usize::try_from(now).unwrap_or_default(), &mut buffer)?;
            if buffer.iter().any(|byte| *byte != 0) {
                return Err(Error::corrupt("the archive's padding is not empty"));
            }
            at += now;
            left -= now;
        }
        Ok(())
    }
}
