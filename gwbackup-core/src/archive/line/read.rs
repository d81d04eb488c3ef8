//! Stored lines, read back as resources.

use std::borrow::Cow;
use std::ops::Range;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::StoredAttachment;
use crate::archive::marks::KnownMarks;
use crate::archive::secrets::{TokenDecoder, TokenOpener};
use crate::error::{Error, Result};
use crate::model::{Absence, Attachment, Document, Id, Key, Kind, Resource, Revision, Says};

/// Members that this version does not know are passed over.
#[derive(Deserialize)]
struct Read<'a> {
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(default)]
    parent: Option<Key>,
    #[serde(borrow, default)]
    doc: Option<&'a RawValue>,
    #[serde(borrow, default)]
    marks: Option<&'a RawValue>,
    #[serde(default)]
    rev: Option<Revision>,
    #[serde(default)]
    owner: Option<Key>,
    #[serde(borrow, default)]
    att: Vec<StoredAttachment<'a>>,
    #[serde(default)]
    gone: bool,
    #[serde(default)]
    need: Vec<String>,
}

/// A line as it is read.
#[derive(Debug, Clone)]
pub(crate) enum Line {
    Resource(Resource),
    /// An incremental says that its base's resource is gone.
    Gone(Key),
}

/// Reads lines; keeps what they share, and its buffers.
#[derive(Debug)]
pub(crate) struct LineReader {
    known: KnownMarks,
    opener: TokenOpener,
    /// The last document that secrets were put into.
    filled: Zeroizing<Vec<u8>>,
    /// The last line's kind: most often also the next one's.
    kind: Option<Kind>,
}

impl LineReader {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            known: KnownMarks::default(),
            opener: TokenOpener::new()?,
            filled: Zeroizing::default(),
            kind: None,
        })
    }

    /// Reads a line that has all of these secrets. Without them each becomes [`Absence::Sealed`].
    pub(crate) fn read_alone(&mut self, line: &[u8], secrets: Option<&[u8]>) -> Result<Line> {
        let mut tokens = secrets.map(TokenDecoder::new);
        let read = self.read(line, tokens.as_mut())?;
        if tokens.is_some_and(|tokens| !tokens.is_empty()) {
            return Err(Error::corrupt("the archive holds a secret that no line names"));
        }
        Ok(read)
    }

    /// The same, taking from `tokens` those of the line.
    pub(crate) fn read(
        &mut self,
        line: &[u8],
        tokens: Option<&mut TokenDecoder<'_>>,
    ) -> Result<Line> {
        // One check of the whole line instead of one of each string.
        let line = std::str::from_utf8(line)
            .map_err(|_| Error::corrupt("a stored line holds text that is no UTF-8"))?;
        let read: Read<'_> = serde_json::from_str(line).map_err(|e| {
            Error::corrupt(format!("a stored line is malformed (column {})", e.column()))
        })?;
        let key = Key::new(self.kind(&read.kind)?, Id::new(&read.id)?);
        if let Some(need) = read.need.first() {
            let message = format!("written by a newer version (needs {need})");
            return Err(Error::newer(message).on(&key));
        }
        if read.gone {
            return Ok(Line::Gone(key));
        }
        let doc =
            read.doc.ok_or_else(|| Error::corrupt("a stored line has no document").on(&key))?;
        let known = read.marks.map(|marks| self.known.read(marks)).transpose();
        let known = known.map_err(|e| e.on(&key))?;
        let mut marks = known.map(|known| known.list().to_vec()).unwrap_or_default();
        let document = if let Some(tokens) = tokens {
            let holes = known.map(|known| known.secrets(doc.get())).unwrap_or_default();
            self.fill(doc.get(), holes, tokens).map_err(|e| e.on(&key))?
        } else {
            for mark in &mut marks {
                if mark.says == Says::Secret {
                    mark.says = Says::Absent(Absence::Sealed);
                }
            }
            Document::stored(doc.get())
        };
        let attachments = read
            .att
            .into_iter()
            .map(|a| {
                let bytes = BASE64_STANDARD
                    .decode(a.data.as_ref())
                    .map_err(|_| Error::corrupt("a stored attachment is malformed").on(&key))?;
                let (name, media_type) = (a.name.into_owned(), a.media_type.into_owned());
                Ok(Attachment { name, media_type, bytes: bytes.into() })
            })
            .collect::<Result<_>>()?;
        let resource = Resource {
            parent: read.parent,
            document,
            marks,
            revision: read.rev,
            owner: read.owner,
            attachments,
            key,
        };
        resource.check().map_err(|e| Error::corrupt(e.message()).on(&resource.key))?;
        Ok(Line::Resource(resource))
    }

    fn kind(&mut self, name: &str) -> Result<Kind> {
        match &self.kind {
            Some(kind) if kind.as_str() == name => Ok(kind.clone()),
            _ => Ok(self.kind.insert(Kind::new(name)?).clone()),
        }
    }

    /// Puts the secrets back into their holes.
    fn fill(
        &mut self,
        text: &str,
        holes: Vec<Range<usize>>,
        tokens: &mut TokenDecoder<'_>,
    ) -> Result<Document> {
        if holes.is_empty() {
            return Ok(Document::stored(text));
        }
        self.filled.clear();
        let mut at = 0;
        for hole in holes {
            self.filled.extend_from_slice(&text.as_bytes()[at..hole.start]);
            if !self.opener.next(tokens, &mut self.filled)? {
                return Err(Error::corrupt("a secret is missing in the archive"));
            }
            at = hole.end;
        }
        self.filled.extend_from_slice(&text.as_bytes()[at..]);
        std::str::from_utf8(&self.filled)
            .map(Document::stored)
            .map_err(|_| Error::corrupt("a stored secret is no text"))
    }
}

/// Counts the secrets that lines name, for the archive's reader.
pub(crate) fn secret_counter() -> impl FnMut(&[u8]) -> Result<usize> + Send + 'static {
    let mut known = KnownMarks::default();
    move |line| secret_count(&mut known, line)
}

fn secret_count(known: &mut KnownMarks, line: &[u8]) -> Result<usize> {
    /// What counts: the rest is not looked at.
    #[derive(Deserialize)]
    struct Counted<'a> {
        #[serde(borrow, default)]
        doc: Option<&'a RawValue>,
        #[serde(borrow, default)]
        marks: Option<&'a RawValue>,
    }
    let malformed = || Error::corrupt("a stored line is malformed");
    let line = std::str::from_utf8(line).map_err(|_| malformed())?;
    // Most lines name none, and the standard library searches text fast.
    if !line.contains(r#""is":"secret""#) {
        return Ok(0);
    }
    let read: Counted<'_> = serde_json::from_str(line).map_err(|_| malformed())?;
    let (Some(doc), Some(marks)) = (read.doc, read.marks) else { return Ok(0) };
    Ok(known.read(marks)?.secrets(doc.get()).len())
}
