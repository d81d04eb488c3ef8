//! Resources as lines of an archive, and back.

use std::borrow::Cow;
use std::ops::Range;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::marks::{KnownMarks, Marks};
use super::secrets::{TokenDecoder, TokenEncoder, TokenOpener};
use crate::error::{Error, Result};
use crate::model::{Absence, Attachment, Document, Id, Key, Kind, Resource, Revision, Rules, Says};

/// What stands in a document where a secret belongs.
const HOLE: &[u8] = b"0";

/// What stands in a line behind the document.
#[derive(Serialize)]
struct Rest<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    marks: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rev: Option<&'a Revision>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<&'a Key>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    att: Vec<StoredAttachment<'a>>,
}

#[derive(Serialize, Deserialize)]
struct StoredAttachment<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(rename = "type", borrow)]
    media_type: Cow<'a, str>,
    #[serde(borrow)]
    data: Cow<'a, str>,
}

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

/// Writes lines; keeps its buffers.
#[derive(Debug)]
pub(crate) struct LineWriter {
    encoder: TokenEncoder,
    known: KnownMarks,
    /// The last line, without line feed.
    pub(crate) line: Vec<u8>,
    /// The last line's secrets.
    pub(crate) secrets: Vec<u8>,
}

impl LineWriter {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            encoder: TokenEncoder::new(3)?,
            known: KnownMarks::default(),
            line: Vec::new(),
            secrets: Vec::new(),
        })
    }

    /// Writes a resource: its secrets apart from its line.
    pub(crate) fn resource(&mut self, resource: &Resource) -> Result<()> {
        self.line.clear();
        self.secrets.clear();
        if resource.marks.iter().any(|mark| mark.says == Says::Absent(Absence::Sealed)) {
            return Err(Error::invalid("a resource whose secrets are sealed cannot be stored")
                .on(&resource.key));
        }
        let text = resource.document.as_str();
        let marks = marks_of(&mut self.known, resource)?;
        begin(resource, &mut self.line)?;
        let mut at = 0;
        for hole in marks.map(|marks| marks.secrets(text)).unwrap_or_default() {
            self.line.extend_from_slice(&text.as_bytes()[at..hole.start]);
            self.line.extend_from_slice(HOLE);
            self.encoder.encode(text[hole.clone()].as_bytes(), &mut self.secrets)?;
            at = hole.end;
        }
        self.line.extend_from_slice(&text.as_bytes()[at..]);
        end(resource, marks, resource.revision.as_ref(), &mut self.line)
    }

    /// Writes that a resource is gone.
    pub(crate) fn gone(&mut self, key: &Key) -> Result<()> {
        #[derive(Serialize)]
        struct Tombstone<'a> {
            kind: &'a Kind,
            id: &'a Id,
            gone: bool,
        }
        self.line.clear();
        self.secrets.clear();
        let tombstone = Tombstone { kind: &key.kind, id: &key.id, gone: true };
        serde_json::to_writer(&mut self.line, &tombstone).map_err(|_| unwritable(key))
    }
}

fn unwritable(key: &Key) -> Error {
    Error::invalid("the resource cannot be stored").on(key)
}

/// The marks of a resource, if it bears any.
fn marks_of<'a>(known: &'a mut KnownMarks, resource: &Resource) -> Result<Option<&'a Marks>> {
    let marks = Some(resource.marks.as_slice()).filter(|marks| !marks.is_empty());
    marks.map(|marks| known.of(marks)).transpose()
}

/// A line up to the document. That is text which was checked when it was made, so its bytes are
/// copied as they are: it is by far the largest part, and to parse it once more would cost more than
/// all else.
fn begin(resource: &Resource, line: &mut Vec<u8>) -> Result<()> {
    let unwritable = |_| unwritable(&resource.key);
    line.extend_from_slice(b"{\"kind\":");
    serde_json::to_writer(&mut *line, resource.key.kind.as_str()).map_err(unwritable)?;
    line.extend_from_slice(b",\"id\":");
    serde_json::to_writer(&mut *line, resource.key.id.as_str()).map_err(unwritable)?;
    if let Some(parent) = &resource.parent {
        line.extend_from_slice(b",\"parent\":");
        serde_json::to_writer(&mut *line, parent).map_err(unwritable)?;
    }
    line.extend_from_slice(b",\"doc\":");
    Ok(())
}

/// A line from behind the document on.
fn end(
    resource: &Resource,
    marks: Option<&Marks>,
    rev: Option<&Revision>,
    line: &mut Vec<u8>,
) -> Result<()> {
    let att = resource
        .attachments
        .iter()
        .map(|a| StoredAttachment {
            name: a.name.as_str().into(),
            media_type: a.media_type.as_str().into(),
            data: BASE64_STANDARD.encode(&a.bytes).into(),
        })
        .collect();
    let owner = resource.owner.as_ref();
    let rest = Rest { marks: marks.map(Marks::json), rev, owner, att };
    let start = line.len();
    serde_json::to_writer(&mut *line, &rest).map_err(|_| unwritable(&resource.key))?;
    if line.get(start..) == Some(b"{}") {
        line.truncate(start);
        line.push(b'}');
    } else if let Some(brace) = line.get_mut(start) {
        *brace = b',';
    }
    Ok(())
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

/// Computes the digests that the state digest is made of.
#[derive(Debug)]
pub(crate) struct LineDigest {
    rules: Rules,
    known: KnownMarks,
    line: Vec<u8>,
}

impl LineDigest {
    pub(crate) fn new(rules: Rules) -> Self {
        Self { rules, known: KnownMarks::default(), line: Vec::new() }
    }

    /// The digest of one resource: of its line with secrets in place, without the revision and
    /// without the members that move by themselves.
    pub(crate) fn of(&mut self, resource: &Resource) -> Result<[u8; 32]> {
        let stable = self.rules.stable(&resource.key.kind, &resource.document);
        self.line.clear();
        begin(resource, &mut self.line)?;
        self.line.extend_from_slice(stable.as_str().as_bytes());
        end(resource, marks_of(&mut self.known, resource)?, None, &mut self.line)?;
        Ok(Sha256::digest(&self.line).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Mark;

    fn resource(text: &str, marks: Vec<Mark>) -> Resource {
        let key = Key::new(Kind::known("consumer"), Id::new("a/b").unwrap());
        Resource { marks, ..Resource::new(key, Document::parse(text).unwrap()) }
    }

    fn read(line: &[u8], secrets: Option<&[u8]>) -> Result<Line> {
        LineReader::new().unwrap().read_alone(line, secrets)
    }

    fn there_and_back(resource: &Resource) -> (Vec<u8>, Resource) {
        let mut writer = LineWriter::new().unwrap();
        writer.resource(resource).unwrap();
        assert_eq!(
            secret_counter()(&writer.line).unwrap(),
            TokenDecoder::new(&writer.secrets).count_stored().unwrap()
        );
        match read(&writer.line, Some(&writer.secrets)).unwrap() {
            Line::Resource(back) => (writer.line, back),
            Line::Gone(_) => panic!("not gone"),
        }
    }

    #[test]
    fn secrets_leave_the_line_and_come_back() {
        let text =
            r#"{"a":{"key":"hunter2","n":9007199254740993},"b":["hunter3",{"c":"hunter4"}]}"#;
        let marks = vec![
            Mark::secret("/b/1/c"),
            Mark::secret("/a/key"),
            Mark::secret("/b/0"),
            Mark::secret("/none"),
            Mark::absent("/x", Absence::Unreadable),
        ];
        let before = resource(text, marks);
        let (line, after) = there_and_back(&before);
        assert_eq!(before, after);
        assert!(!String::from_utf8(line).unwrap().contains("hunter"));
    }

    #[test]
    fn of_nested_secrets_the_outer_moves() {
        let marks = vec![Mark::secret("/a/b"), Mark::secret("/a")];
        let before = resource(r#"{"a":{"b":1},"c":"q\"}"}"#, marks);
        assert_eq!(there_and_back(&before).1, before);
    }

    #[test]
    fn without_the_key_secrets_are_marked_and_unread() {
        let mut writer = LineWriter::new().unwrap();
        writer.resource(&resource(r#"{"k":"hunter2"}"#, vec![Mark::secret("/k")])).unwrap();
        let Line::Resource(read) = read(&writer.line, None).unwrap() else { panic!("not gone") };
        assert_eq!(read.marks, [Mark::absent("/k", Absence::Sealed)]);
        assert_eq!(read.document.as_str(), r#"{"k":0}"#);
        assert!(writer.resource(&read).is_err(), "sealed secrets must not be stored as zeros");
    }

    #[test]
    fn everything_of_a_resource_survives() {
        let mut before = resource(r#"{"e":[],"o":{},"n":null,"f":1.0}"#, Vec::new());
        before.parent = Some(Key::new(Kind::known("api"), Id::new("a").unwrap()));
        before.owner = Some(Key::new(Kind::known("stage"), Id::new("s").unwrap()));
        before.revision = Some(Revision::new("r1"));
        before.attachments = vec![Attachment {
            name: "store.jks".into(),
            media_type: "application/octet-stream".into(),
            bytes: vec![0, 255, 1].into(),
        }];
        assert_eq!(there_and_back(&before).1, before);
    }

    #[test]
    fn a_newer_line_is_refused_and_unknown_members_are_not() {
        let line = br#"{"kind":"a","id":"b","doc":{},"new":1}"#;
        assert!(read(line, Some(&[])).is_ok());
        let line = br#"{"kind":"a","id":"b","doc":{},"need":["x"]}"#;
        assert!(read(line, Some(&[])).unwrap_err().to_string().contains("newer"));
        assert!(matches!(
            read(br#"{"kind":"a","id":"b","gone":true}"#, Some(&[])).unwrap(),
            Line::Gone(_)
        ));
    }
}
