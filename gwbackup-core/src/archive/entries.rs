//! The lines of an archive, one after the other.

use std::fmt;
use std::io::{Read, Seek};

use super::frame::{EntryRef, Frame};
use super::reader::Archive;
use super::secrets::TokenDecoder;
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
        self.load(archive)?;
        let count = archive.secret_count();
        self.step(|frame, last| {
            let entry = frame.next(count)?;
            if let Some(entry) = &entry {
                in_order(last, &entry.kind, &entry.id)?;
            }
            Ok(entry)
        })
    }

    /// The same, read by `read` from the line and the tokens from its own on, of which it takes as
    /// many as the line names.
    pub(super) fn next_by<R: Read + Seek, T>(
        &mut self,
        archive: &mut Archive<R>,
        read: impl FnOnce(&[u8], Option<&mut TokenDecoder<'_>>) -> Result<T>,
    ) -> Result<Option<T>> {
        self.load(archive)?;
        self.step(|frame, last| {
            frame.next_by(|(kind, id), line, tokens| {
                in_order(last, &kind, &id)?;
                read(line, tokens)
            })
        })
    }

    /// Loads the next frame when the present one is read.
    fn load<R: Read + Seek>(&mut self, archive: &mut Archive<R>) -> Result<()> {
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
        Ok(())
    }

    /// A step in the frame, after which nothing more is given if it fails.
    fn step<'a, T>(
        &'a mut self,
        step: impl FnOnce(&'a mut Frame, &mut Option<(String, String)>) -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        if std::mem::replace(&mut self.done, true) {
            return Ok(None);
        }
        let found = step(&mut self.frame, &mut self.last)?;
        self.done = false;
        Ok(found)
    }
}

/// That a line comes after the one before, whose names `last` holds.
fn in_order(last: &mut Option<(String, String)>, kind: &str, id: &str) -> Result<()> {
    if last.as_ref().is_some_and(|last| (last.0.as_str(), last.1.as_str()) >= (kind, id)) {
        return Err(Error::corrupt("lines of the archive are out of order or doubled"));
    }
    let last = last.get_or_insert_default();
    kind.clone_into(&mut last.0);
    id.clone_into(&mut last.1);
    Ok(())
}
