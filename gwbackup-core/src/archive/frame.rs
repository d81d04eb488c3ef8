//! One frame of an archive, read line by line.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use zeroize::Zeroizing;

use super::SecretCount;
use super::index::IndexLine;
use super::scan::{Names, line_length, names};
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
    /// Where the last line that was read begins.
    last: usize,
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

    /// Whether a line of this name, if the frame has it, is still to come.
    pub(super) fn stands_before(&self, kind: &str, id: &str) -> Result<bool> {
        if self.at == 0 {
            return Ok(true);
        }
        let last = self.plain.get(self.last..self.at).unwrap_or_default();
        let (last_kind, last_id) = names(last)?;
        Ok((&*last_kind, &*last_id) < (kind, id))
    }

    /// How the next line's name stands to this one.
    pub(super) fn peek(&self, kind: &str, id: &str) -> Result<Option<Ordering>> {
        if self.left == 0 {
            return Ok(None);
        }
        let (next_kind, next_id) = names(line_at(&self.plain, self.at)?)?;
        Ok(Some((&*next_kind, &*next_id).cmp(&(kind, id))))
    }

    pub(super) fn is_read(&self) -> bool {
        self.left == 0
    }

    /// The next line of the frame.
    pub(super) fn next(&mut self, count: &mut SecretCount) -> Result<Option<EntryRef<'_>>> {
        self.next_by(|(kind, id), line, tokens| {
            let secrets = match tokens {
                Some(tokens) => Some(tokens.take_stored(count(line)?)?),
                None => None,
            };
            Ok(EntryRef { kind, id, line, secrets })
        })
    }

    /// The next line of the frame as `take` reads it: from its names, its bytes, and the tokens that
    /// were not read, of which it takes those of the line. None of these are there when they are
    /// sealed and nobody has the key.
    pub(super) fn next_by<'a, T>(
        &'a mut self,
        take: impl FnOnce(Names<'a>, &'a [u8], Option<&mut TokenDecoder<'a>>) -> Result<T>,
    ) -> Result<Option<T>> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        let beginning = self.at == 0;
        let line = line_at(&self.plain, self.at)?;
        let length = line.len();
        let (kind, id) = names(line)?;
        if beginning && (&*kind, &*id) != (&*self.first.0, &*self.first.1) {
            return Err(Error::corrupt("a frame begins with another line than the index says"));
        }
        let mut tokens = match &self.tokens {
            Tokens::None => Some(TokenDecoder::new(&[])),
            Tokens::Sealed => None,
            Tokens::Open(tokens) => {
                Some(TokenDecoder::new(tokens.get(self.tokens_at..).unwrap_or_default()))
            }
        };
        let before = tokens.as_ref().map_or(0, TokenDecoder::left);
        let taken = take((kind, id), line, tokens.as_mut())?;
        let after = tokens.as_ref().map_or(0, TokenDecoder::left);
        if left == 0 && after > 0 {
            return Err(Error::corrupt("the archive holds secrets that no line names"));
        }
        self.tokens_at += before - after;
        self.last = self.at;
        self.at += length + 1;
        self.left = left;
        if left == 0 && self.at != self.plain.len() {
            return Err(Error::corrupt("a frame has more lines than the index"));
        }
        Ok(Some(taken))
    }
}

/// The line of a frame that begins here.
fn line_at(plain: &[u8], at: usize) -> Result<&[u8]> {
    let rest = plain.get(at..).unwrap_or_default();
    let (length, ended) = line_length(rest);
    let line = rest.get(..length).filter(|_| ended);
    line.ok_or_else(|| Error::corrupt("a frame has fewer lines than the index"))
}
