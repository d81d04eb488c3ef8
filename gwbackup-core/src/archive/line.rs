//! Resources as lines of an archive, and back.

mod read;

use std::borrow::Cow;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::marks::{KnownMarks, Marks};
use super::secrets::TokenEncoder;
use crate::error::{Error, Result};
use crate::model::{Absence, Id, Key, Kind, Resource, Revision, Rules, Says};

pub(crate) use read::{Line, LineReader, secret_counter};

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
    use super::super::secrets::TokenDecoder;
    use super::*;
    use crate::model::{Attachment, Document, Mark};

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
