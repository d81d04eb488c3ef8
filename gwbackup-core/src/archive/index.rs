//! Where each frame stands and which line it begins with.

use serde::Serialize;

use super::record::HEAD;
use super::scan::line_length;
use crate::error::{Error, ErrorKind, Result};

/// Frames of one archive.
const FRAMES: usize = 100_000;

/// One frame of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexLine {
    /// Where its record begins in the payload.
    pub offset: u64,
    /// Stored bytes, without the record's header.
    pub stored: u32,
    /// Bytes of its lines, line feeds included.
    pub plain: u32,
    /// How many lines it holds.
    pub lines: u32,
    /// Kind of its first line.
    pub kind: String,
    /// Id of its first line.
    pub first: String,
}

impl IndexLine {
    /// Where the frame's record ends.
    pub(super) fn end(&self) -> u64 {
        self.offset.saturating_add(HEAD as u64 + u64::from(self.stored))
    }

    fn key(&self) -> (&str, &str) {
        (&self.kind, &self.first)
    }
}

/// The index of an archive that is being written, as its record will hold it.
#[derive(Debug, Default)]
pub(super) struct IndexBuilder {
    text: Vec<u8>,
    frames: usize,
}

impl IndexBuilder {
    pub(super) fn add(&mut self, line: &IndexLine) -> Result<()> {
        if self.frames >= FRAMES {
            return Err(Error::invalid(format!("an archive holds at most {FRAMES} frames"))
                .help("back up fewer kinds at a time"));
        }
        let IndexLine { offset, stored, plain, lines, kind, first } = line;
        let tuple = (offset, stored, plain, lines, kind, first);
        tuple.serialize(&mut serde_json::Serializer::new(&mut self.text)).map_err(|_| {
            Error::new(ErrorKind::Other, "an index line could not be written as text")
        })?;
        self.text.push(b'\n');
        self.frames += 1;
        Ok(())
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.text
    }
}

/// Reads an index whose frames must lie before `end`, apart from each other and in order.
pub(super) fn parse(mut text: &[u8], end: u64) -> Result<Vec<IndexLine>> {
    let mut index = Vec::<IndexLine>::new();
    while !text.is_empty() {
        if index.len() >= FRAMES {
            return Err(Error::corrupt(format!("the index names more than {FRAMES} frames")));
        }
        let malformed = || Error::corrupt("the index is malformed");
        let (length, true) = line_length(text) else { return Err(malformed()) };
        let (line, rest) = text.split_at_checked(length + 1).ok_or_else(malformed)?;
        text = rest;
        let (offset, stored, plain, lines, kind, first) =
            serde_json::from_slice::<(u64, u32, u32, u32, String, String)>(line)
                .map_err(|_| malformed())?;
        let line = IndexLine { offset, stored, plain, lines, kind, first };
        let fits = match index.last() {
            Some(before) => before.end() <= offset && before.key() < line.key(),
            None => true,
        };
        if !fits || lines == 0 || line.end() > end {
            return Err(Error::corrupt("the frames of the index overlap or are out of order"));
        }
        index.push(line);
    }
    Ok(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(offset: u64, first: &str) -> IndexLine {
        let (kind, first) = ("route".to_owned(), first.to_owned());
        IndexLine { offset, stored: 10, plain: 20, lines: 2, kind, first }
    }

    fn text(lines: &[IndexLine]) -> Vec<u8> {
        let mut builder = IndexBuilder::default();
        for line in lines {
            builder.add(line).unwrap();
        }
        builder.as_bytes().to_vec()
    }

    #[test]
    fn comes_back() {
        let lines = [line(0, "a"), line(22, "b\n\""), line(90, "c")];
        assert_eq!(text(&lines[..1]), b"[0,10,20,2,\"route\",\"a\"]\n");
        assert_eq!(parse(&text(&lines), 112).unwrap(), lines);
        assert_eq!(parse(b"", 0).unwrap(), []);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (lines, end) in [
            (vec![line(0, "a"), line(21, "b")], 1000),
            (vec![line(0, "b"), line(22, "a")], 1000),
            (vec![line(0, "a"), line(22, "a")], 1000),
            (vec![line(0, "a")], 21),
            (vec![line(u64::MAX - 3, "a")], 1000),
            (vec![IndexLine { lines: 0, ..line(0, "a") }], 1000),
        ] {
            assert!(parse(&text(&lines), end).is_err(), "{lines:?}");
        }
        for bad in [&b"[0,10,20,2,\"r\",\"a\"]"[..], b"\n", b"[0,10,20,2,\"r\"]\n", b"{}\n"] {
            assert!(parse(bad, 1000).is_err());
        }
    }
}
