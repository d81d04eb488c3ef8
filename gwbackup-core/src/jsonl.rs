//! `jsonl:` — a provider-neutral gateway in a file, one resource per line.
//!
//! A line is a JSON object with `kind` and `id` (strings), usually `refs` (resources that this one
//! needs, by the name of their kind), `tags` and `body`. What a line holds besides `kind` and `id` is
//! the resource's document, kept token by token. Empty lines mean nothing. There is no limit on the
//! number of lines; a line is at most 64 MiB. Reading keeps 12 bytes per resource, to find an id
//! that stands twice.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{BufRead, Read as _, Write};
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::model::{
    Document, HandleName, Id, Key, Kind, KindSpec, Part, RefSpec, Resource, Role, Schema, decode,
    encode, members,
};
use crate::whole_file::{About, FileFormat, FileGateway};

const MAX_LINE: u64 = 64 << 20;

/// The gateway in the JSON Lines file at `path`. Touches nothing; `Invalid` for a path that cannot be
/// a file.
pub fn open(path: impl Into<PathBuf>) -> Result<FileGateway> {
    FileGateway::new(path, JsonLines)
}

/// The format: one JSON object per line.
///
/// It knows no kinds, so any kind may stand in a file. Members of `refs` (strings, or arrays and
/// objects of strings) name resources by id; the member's name is the kind, or ends with it after an
/// underscore. All of them are [`Role::Needs`]: a name that is no kind of the gateway dangles.
#[derive(Debug, Clone, Copy, Default)]
pub struct JsonLines;

impl FileFormat for JsonLines {
    fn scheme(&self) -> &'static str {
        "jsonl"
    }

    fn about(&self) -> About {
        let mut other = KindSpec::new(Kind::known("other"), 0);
        other.references = ["/refs/*", "/refs/*/*"].map(reference).into();
        let schema = Schema {
            id: "jsonl 1".into(),
            id_scheme: 1,
            other: Some(Box::new(other)),
            ..Schema::default()
        };
        About { product: "jsonl".into(), version: "1".into(), schema: Arc::new(schema) }
    }

    fn read(
        &self,
        input: &mut dyn BufRead,
        found: &mut dyn FnMut(Resource) -> Result<()>,
    ) -> Result<()> {
        let mut seen = Seen::default();
        let mut line = Vec::new();
        let mut number = 0_u64;
        while read_line(input, &mut line, number + 1)? {
            number += 1;
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let resource = parse(&line, number)?;
            seen.add(&resource.key, number)?;
            found(resource)?;
        }
        Ok(())
    }

    fn write(
        &self,
        resources: &mut dyn Iterator<Item = Result<Resource>>,
        out: &mut dyn Write,
    ) -> Result<()> {
        for resource in resources {
            let resource = resource?;
            let line = line_of(&resource).map_err(|error| error.on(&resource.key))?;
            out.write_all(line.as_bytes())?;
        }
        Ok(())
    }
}

fn reference(at: &str) -> RefSpec {
    RefSpec {
        at: at.into(),
        part: Part::Value,
        prefix: String::new(),
        kinds: Vec::new(),
        handle: HandleName::id(),
        role: Role::Needs,
    }
}

/// Reads one line, without its end; whether there was one.
fn read_line(input: &mut dyn BufRead, line: &mut Vec<u8>, number: u64) -> Result<bool> {
    line.clear();
    let read = input.take(MAX_LINE + 1).read_until(b'\n', line)?;
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if u64::try_from(read).is_ok_and(|read| read > MAX_LINE) {
        return Err(Error::invalid(format!("line {number} is longer than 64 MiB")));
    }
    Ok(read > 0)
}

fn parse(line: &[u8], number: u64) -> Result<Resource> {
    let text = std::str::from_utf8(line).map_err(|error| {
        let column = error.valid_up_to() + 1;
        Error::invalid(format!("text that is no UTF-8 at line {number} column {column}"))
    })?;
    let document = Document::parse(text).map_err(|error| placed(&error, number))?;
    if !document.as_str().starts_with('{') {
        return Err(Error::invalid(format!("line {number} is no JSON object")));
    }
    let (mut kind, mut id) = (None, None);
    let mut rest = String::with_capacity(document.len());
    for (name, value) in members(document.as_str()) {
        match (decode(name).as_ref(), value.starts_with('"')) {
            ("kind", true) => kind = Some(decode(value)),
            ("id", true) => id = Some(decode(value)),
            ("kind" | "id", false) => {}
            _ => {
                rest.push(if rest.is_empty() { '{' } else { ',' });
                rest.extend([name, ":", value]);
            }
        }
    }
    rest.push_str(if rest.is_empty() { "{}" } else { "}" });
    let (Some(kind), Some(id)) = (kind, id) else {
        return Err(Error::invalid(format!(
            "line {number} has no `kind` and `id` that are strings"
        ))
        .help("each line is an object like {\"kind\":\"route\",\"id\":\"r1\",\"body\":{}}"));
    };
    let named = |what: &str| {
        Error::invalid(format!("the {what} at line {number} is not one that a resource may have"))
    };
    let kind = Kind::new(&kind)
        .map_err(|_| named("kind").help("a kind is lower snake case and at most 64 characters"))?;
    let id = Id::of([id])
        .map_err(|_| named("id").help("an id has 1 to 2,048 bytes once / % # * are escaped"))?;
    Ok(Resource::new(Key::new(kind, id), Document::stored(rest)))
}

/// The same error, at the line where the text stands in the file.
fn placed(error: &Error, number: u64) -> Error {
    let message = error.message();
    Error::invalid(match message.split_once(" at line 1 column ") {
        Some((what, column)) => format!("{what} at line {number} column {column}"),
        None => format!("{message} at line {number}"),
    })
}

fn line_of(resource: &Resource) -> Result<String> {
    let document = resource.document.as_str();
    let Some(rest) = document.strip_prefix('{') else {
        return Err(Error::invalid("a line of a jsonl file holds an object and nothing else"));
    };
    if !resource.attachments.is_empty() {
        return Err(Error::invalid("a jsonl file holds no attachments"));
    }
    if members(document).iter().any(|(name, _)| matches!(decode(name).as_ref(), "kind" | "id")) {
        return Err(Error::invalid("a document in a jsonl file has no members `kind` and `id`")
            .help("it came from another product; move the document into `body`"));
    }
    let mut segments = resource.key.id.segments();
    let (Some(id), None) = (segments.next(), segments.next()) else {
        return Err(Error::invalid("an id in a jsonl file has one segment"));
    };
    let comma = if rest == "}" { "" } else { "," };
    let kind = &resource.key.kind;
    Ok(format!("{{\"kind\":\"{kind}\",\"id\":{}{comma}{rest}\n", encode(&id)))
}

/// The keys so far, as keyed hashes of 64 bits, and their lines (the last that a number of 32 bits
/// names, for those beyond). In parts of 32 bits, since a map pads what it holds to its alignment.
#[derive(Default)]
struct Seen {
    lines: HashMap<[u32; 2], u32>,
    hasher: RandomState,
}

impl Seen {
    fn add(&mut self, key: &Key, line: u64) -> Result<()> {
        let hash = self.hasher.hash_one(key);
        let half = |bits: u64| u32::try_from(bits & u64::from(u32::MAX)).unwrap_or_default();
        let name = [half(hash >> 32), half(hash)];
        match self.lines.entry(name) {
            Entry::Vacant(free) => {
                free.insert(u32::try_from(line).unwrap_or(u32::MAX));
                Ok(())
            }
            Entry::Occupied(first) => {
                let first = first.get();
                Err(Error::invalid(format!("the same resource at line {first} and line {line}"))
                    .on(key)
                    .help("remove one of the two lines"))
            }
        }
    }
}
