//! `kong-file:`, a gateway in a declarative file.

mod collect;
mod emit;

use std::io::{BufRead, Read as _, Write};
use std::path::{Path, PathBuf};

use crate::node::Node;
use crate::schema::{SETTINGS, schema};
use crate::yaml;
use gwbackup_core::model::{Document, Id, Key, Kind, Resource};
use gwbackup_core::whole_file::{About, FileFormat, FileGateway};
use gwbackup_core::{Error, Result};

/// Largest file; a gateway of a million entities is about half of it.
const MAX_FILE: u64 = 1 << 30;
/// The version that a file gets which has none.
const FORMAT_VERSION: &str = "3.0";

/// The gateway in the declarative file at `path`: JSON for `.json`, else YAML. Touches nothing.
/// `Invalid` for a path that cannot be a file.
pub fn open(path: impl Into<PathBuf>) -> Result<FileGateway> {
    let path = path.into();
    let format = KongFile::for_path(&path);
    FileGateway::new(path, format)
}

/// The format of Kong's declarative files.
///
/// Read: flat files (`kong config db_export`, `GET /config`) and nested ones (decK); foreign keys as
/// an id, a name or an object; entities without id, which get the very id that Kong gives them where
/// Kong derives one, else one from their content. Written: flat lists, with ids.
///
/// A file's own members (`_format_version`, `_transform`, `_info`, ...) are one resource,
/// `declarative_file/settings`. With `_transform: true` a node hashes the passwords that it loads, so
/// restore this resource together with the credentials of a backup that has hashes.
/// `parameters` (the id of the cluster) is captured and never restored.
///
/// A credential's `ttl` is kept as the file has it, and not compared: an export counts it in seconds
/// left, a node that loads the file takes it as a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum KongFile {
    /// YAML, as Kong exports it.
    Yaml,
    /// JSON.
    Json,
}

impl KongFile {
    /// The format that a path's ending asks for.
    pub fn for_path(path: &Path) -> Self {
        match path.extension() {
            Some(ending) if ending.eq_ignore_ascii_case("json") => Self::Json,
            _ => Self::Yaml,
        }
    }
}

impl FileFormat for KongFile {
    fn scheme(&self) -> &'static str {
        "kong-file"
    }

    fn about(&self) -> About {
        About {
            product: "Kong Gateway, declarative".into(),
            version: FORMAT_VERSION.into(),
            schema: schema(),
        }
    }

    fn initial(&self) -> Result<Vec<Resource>> {
        let version = Node::Text(FORMAT_VERSION.into());
        Ok(vec![settings(&Node::Map(vec![("_format_version".into(), version)]))?])
    }

    fn read(
        &self,
        input: &mut dyn BufRead,
        found: &mut dyn FnMut(Resource) -> Result<()>,
    ) -> Result<()> {
        let mut bytes = Vec::new();
        input.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
        if u64::try_from(bytes.len()).is_ok_and(|len| len > MAX_FILE) {
            return Err(Error::invalid("the file is larger than 1 GiB"));
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            let before = error.as_bytes().get(..at).unwrap_or_default();
            let line = before.split(|b| *b == b'\n').count();
            Error::invalid(format!("text that is no UTF-8 at line {line}"))
        })?;
        let root = match self {
            Self::Yaml => yaml::parse(&text)?,
            Self::Json => Node::parse_json(&text)?,
        };
        drop(text);
        collect::collect(root, found)
    }

    fn write(
        &self,
        resources: &mut dyn Iterator<Item = Result<Resource>>,
        out: &mut dyn Write,
    ) -> Result<()> {
        emit::emit(*self, resources, out)
    }
}

fn settings(members: &Node) -> Result<Resource> {
    let key = Key::new(Kind::known(SETTINGS), Id::new("settings")?);
    Ok(Resource::new(key, Document::parse(&members.json())?))
}
