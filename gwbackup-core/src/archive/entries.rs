//! The lines of an archive, one after the other.

use std::borrow::Cow;
use std::fmt;
use std::io::{Read, Seek};

use zeroize::Zeroizing;

use super::index::IndexLine;
use super::reader::{Archive, SecretCount};
use super::scan::{line_length, names};
use super::secrets::TokenDecoder;
use crate::error::{Error, Result};

/// One line of an archive.
#[derive(Clone)]
pub struct EntryRef<'a> {
    /// The kind that it names.
    pub kind: Cow<'a, str>,
    /// The id that it names.
    pub id: Cow<'a, str>,
    /// The JSON object, with `0` where a secret belongs.
    pub line: &'a [u8],
    /// Its secret tokens for [`TokenDecoder`], in order of occurrence; `None` when they are sealed
    /// and the archive was opened without their key.
    pub secrets: Option<&'a [u8]>,
}

impl fmt::Debug for EntryRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EntryRef")
            .field("kind", &self.kind)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// All lines of an archive in order. See [`Archive::entries`].
pub struct Entries<'a, R> {
    archive: &'a mut Archive<R>,
    position: Position,
}

impl<R> fmt::Debug for Entries<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entries").field("frame", &self.position.number).finish_non_exhaustive()
    }
}

impl<'a, R: Read + Seek> Entries<'a, R> {
    pub(super) fn new(archive: &'a mut Archive<R>) -> Self {
        Self { archive, position: Position::default() }
    }

    /// The next line; `None` after the last. `Corrupt` on any damage, and when lines are out of
    /// order, doubled, or not as many as the index says; after an error nothing more is given.
    #[expect(clippy::should_implement_trait, reason = "what it gives borrows from it")]
    pub fn next(&mut self) -> Result<Option<EntryRef<'_>>> {
        self.position.next(self.archive)
    }
}

/// Where a reading from the first line stands.
#[derive(Default)]
pub(crate) struct Position {
    /// The frame to read next.
    number: usize,
    /// Records of secrets so far.
    ordinal: u64,
    frame: Frame,
    last: Option<(String, String)>,
    done: bool,
}

impl Position {
    pub(super) fn next<R: Read + Seek>(
        &mut self,
        archive: &mut Archive<R>,
    ) -> Result<Option<EntryRef<'_>>> {
        while !self.done && self.frame.is_read() {
            // Stays set if the frame cannot be loaded.
            self.done = true;
            if self.number >= archive.index().len() {
                archive.check_padding()?;
                break;
            }
            self.ordinal = archive.load(self.number, self.ordinal, &mut self.frame)?;
            self.number += 1;
            self.done = false;
        }
        if self.done {
            return Ok(None);
        }
        self.done = true;
        let entry = self.frame.next(archive.secret_count())?;
        if let Some(entry) = &entry {
            if self.last.as_ref().is_some_and(|(kind, id)| {
                (kind.as_str(), id.as_str()) >= (&*entry.kind, &*entry.id)
            }) {
                return Err(Error::corrupt("lines of the archive are out of order or doubled"));
            }
            let last = self.last.get_or_insert_default();
            entry.kind.as_ref().clone_into(&mut last.0);
            entry.id.as_ref().clone_into(&mut last.1);
        }
        self.done = false;
        Ok(entry)
    }
}

/// The secrets of a frame.
#[derive(Default)]
pub(super) enum Tokens {
    #[default]
    None,
    Sealed,
    Open(Zeroizing<Vec<u8>>),
}

/// One frame, being read line by line.
#[derive(Default)]
pub(super) struct Frame {
    pub(super) plain: Vec<u8>,
    pub(super) tokens: Tokens,
    /// Bytes of `plain` that were read.
    at: usize,
    /// Bytes of `tokens` that were read.
    tokens_at: usize,
    /// Lines that must still come.
    left: u32,
    /// Lines in all.
    lines: u32,
    first: (String, String),
}

impl Frame {
    /// Begins to read what was just loaded.
    pub(super) fn begin(&mut self, line: &IndexLine) {
        self.at = 0;
        self.tokens_at = 0;
        self.left = line.lines;
        self.lines = line.lines;
        self.first.0.clone_from(&line.kind);
        self.first.1.clone_from(&line.first);
    }

    /// Begins to read once more, from the first line.
    pub(super) fn begin_again(&mut self) {
        self.at = 0;
        self.tokens_at = 0;
        self.left = self.lines;
    }

    fn is_read(&self) -> bool {
        self.left == 0
    }

    /// The next line of the frame.
    pub(super) fn next(&mut self, count: SecretCount) -> Result<Option<EntryRef<'_>>> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        let beginning = self.at == 0;
        let rest = self.plain.get(self.at..).unwrap_or_default();
        let (length, ended) = line_length(rest);
        let line = rest.get(..length).filter(|_| ended);
        let line = line.ok_or_else(|| Error::corrupt("a frame has fewer lines than the index"))?;
        let (kind, id) = names(line)?;
        if beginning && (&*kind, &*id) != (&*self.first.0, &*self.first.1) {
            return Err(Error::corrupt("a frame begins with another line than the index says"));
        }
        let secrets = match &self.tokens {
            Tokens::None => Some(Default::default()),
            Tokens::Sealed => None,
            Tokens::Open(tokens) => {
                let mut decoder = TokenDecoder::new(tokens.get(self.tokens_at..).unwrap_or(&[]));
                let part = decoder.take_stored(count(line)?)?;
                self.tokens_at += part.len();
                if left == 0 && !decoder.is_empty() {
                    return Err(Error::corrupt("the archive holds secrets that no line names"));
                }
                Some(part)
            }
        };
        self.at += length + 1;
        self.left = left;
        if left == 0 && self.at != self.plain.len() {
            return Err(Error::corrupt("a frame has more lines than the index"));
        }
        Ok(Some(EntryRef { kind, id, line, secrets }))
    }
}
