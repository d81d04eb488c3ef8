//! Resources as lines of an archive, and back.

use std::borrow::Cow;
use std::ops::Range;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::marks::Marks;
use super::secrets::{TokenDecoder, TokenEncoder};
use crate::error::{Error, Result};
use crate::model::{
    Absence, Attachment, Document, Edit, Id, Key, Kind, Resource, Revision, Rules, Says,
    apply_edits,
};

/// What stands in a document where a secret belongs.
const HOLE: &str = "0";

/// What stands in a line before the document.
#[derive(Serialize)]
struct Names<'a> {
    kind: &'a Kind,
    id: &'a Id,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<&'a Key>,
}

/// What stands behind it.
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
    /// The last line, without line feed.
    pub(crate) line: Vec<u8>,
    /// The last line's secrets.
    pub(crate) secrets: Vec<u8>,
}

impl LineWriter {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self { encoder: TokenEncoder::new(3)?, line: Vec::new(), secrets: Vec::new() })
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
        if resource.marks.is_empty() {
            return write(resource, text, &mut self.line);
        }
        let holes = Marks::of(&resource.marks)?.secrets(text);
        if holes.is_empty() {
            return write(resource, text, &mut self.line);
        }
        let mut edits = Vec::with_capacity(holes.len());
        for hole in holes {
            self.encoder.encode(text[hole.clone()].as_bytes(), &mut self.secrets)?;
            edits.push(Edit::Replace(hole, HOLE.to_owned()));
        }
        write(resource, &apply_edits(text, edits), &mut self.line)
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

/// The document is text that was checked when it was made, so its bytes are copied as they are:
/// it is by far the largest part, and to parse it here once more would cost more than all else.
fn write(resource: &Resource, document: &str, line: &mut Vec<u8>) -> Result<()> {
    let unwritable = |_| unwritable(&resource.key);
    let names =
        Names { kind: &resource.key.kind, id: &resource.key.id, parent: resource.parent.as_ref() };
    serde_json::to_writer(&mut *line, &names).map_err(unwritable)?;
    line.pop();
    line.extend_from_slice(b",\"doc\":");
    line.extend_from_slice(document.as_bytes());
    let att = resource
        .attachments
        .iter()
        .map(|a| StoredAttachment {
            name: a.name.as_str().into(),
            media_type: a.media_type.as_str().into(),
            data: BASE64_STANDARD.encode(&a.bytes).into(),
        })
        .collect();
    let marks = Some(resource.marks.as_slice()).filter(|marks| !marks.is_empty());
    let marks = marks.map(Marks::of).transpose()?;
    let rest = Rest {
        marks: marks.as_ref().map(|marks| marks.json()),
        rev: resource.revision.as_ref(),
        owner: resource.owner.as_ref(),
        att,
    };
    let start = line.len();
    serde_json::to_writer(&mut *line, &rest).map_err(unwritable)?;
    if line.get(start..) == Some(b"{}") {
        line.truncate(start);
        line.push(b'}');
    } else if let Some(brace) = line.get_mut(start) {
        *brace = b',';
    }
    Ok(())
}

/// Reads a line. Without its secrets each becomes [`Absence::Sealed`].
pub(crate) fn read(line: &[u8], secrets: Option<&[u8]>) -> Result<Line> {
    // One check of the whole line instead of one of each string.
    let line = std::str::from_utf8(line)
        .map_err(|_| Error::corrupt("a stored line holds text that is no UTF-8"))?;
    let read: Read<'_> = serde_json::from_str(line).map_err(|e| {
        Error::corrupt(format!("a stored line is malformed (column {})", e.column()))
    })?;
    let key = Key::new(Kind::new(&read.kind)?, Id::new(&read.id)?);
    if let Some(need) = read.need.first() {
        return Err(Error::newer(format!("written by a newer version (needs {need})")).on(&key));
    }
    if read.gone {
        return Ok(Line::Gone(key));
    }
    let doc = read.doc.ok_or_else(|| Error::corrupt("a stored line has no document").on(&key))?;
    let shared = read.marks.map(Marks::read).transpose().map_err(|e| e.on(&key))?;
    let mut marks = shared.as_ref().map(|marks| marks.list().to_vec()).unwrap_or_default();
    let document = if let Some(secrets) = secrets {
        let holes = shared.map(|marks| marks.secrets(doc.get())).unwrap_or_default();
        fill(&key, doc.get(), holes, secrets)?
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

/// Puts the secrets back into their holes.
fn fill(key: &Key, text: &str, holes: Vec<Range<usize>>, secrets: &[u8]) -> Result<Document> {
    let mut tokens = TokenDecoder::new(secrets);
    let mut edits = Vec::with_capacity(holes.len());
    for hole in holes {
        let token = tokens
            .next_token()?
            .and_then(|bytes| String::from_utf8(bytes.to_vec()).ok())
            .ok_or_else(|| Error::corrupt("a secret is missing in the archive").on(key))?;
        edits.push(Edit::Replace(hole, token));
    }
    if !tokens.is_empty() {
        return Err(Error::corrupt("the archive holds a secret that no line names").on(key));
    }
    if edits.is_empty() {
        return Ok(Document::stored(text));
    }
    Ok(Document::stored(apply_edits(text, edits)))
}

/// How many secrets a line names, for the archive's reader.
pub(crate) fn secret_count(line: &[u8]) -> Result<usize> {
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
    Ok(Marks::read(marks)?.secrets(doc.get()).len())
}

/// The digest of one resource in the state digest: of its line with secrets in place, without the
/// revision and without the members that move by themselves.
pub(crate) fn digest(rules: &Rules, resource: &Resource, buffer: &mut Vec<u8>) -> Result<[u8; 32]> {
    let stable = rules.stable(&resource.key.kind, &resource.document);
    buffer.clear();
    if resource.revision.is_none() {
        write(resource, stable.as_str(), buffer)?;
    } else {
        write(&Resource { revision: None, ..resource.clone() }, stable.as_str(), buffer)?;
    }
    Ok(Sha256::digest(&buffer).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Mark;

    fn resource(text: &str, marks: Vec<Mark>) -> Resource {
        let key = Key::new(Kind::known("consumer"), Id::new("a/b").unwrap());
        Resource { marks, ..Resource::new(key, Document::parse(text).unwrap()) }
    }

    fn there_and_back(resource: &Resource) -> (Vec<u8>, Resource) {
        let mut writer = LineWriter::new().unwrap();
        writer.resource(resource).unwrap();
        assert_eq!(
            secret_count(&writer.line).unwrap(),
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
