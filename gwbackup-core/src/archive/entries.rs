//! The lines of an archive, one after the other.

use std::fmt;
use std::io::{Read, Seek};

use super::frame::{EntryRef, Frame};
use super::reader::Archive;
use crate::error::{Error, Result};

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

impl<R: Read + Seek> Archive<R> {
    /// All lines from the first, in order. Reading them to the end opens every chunk and checks
    /// every record.
    pub fn entries(&mut self) -> Entries<'_, R> {
        Entries { archive: self, position: Position::default() }
    }

    /// Reads everything and throws it away; gives the number of lines.
    pub fn verify(&mut self) -> Result<u64> {
        let mut entries = self.entries();
        let mut lines = 0;
        while entries.next()?.is_some() {
            lines += 1;
        }
        Ok(lines)
    }
}

impl<R: Read + Seek> Entries<'_, R> {
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
    /// The line here, and a step further; `None` after the last. As [`Entries::next`].
    pub(crate) fn next<R: Read + Seek>(
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
