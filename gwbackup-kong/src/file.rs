//! `kong-file:`, a gateway in a declarative file.

mod check;
mod collect;
mod emit;
mod export;
mod nest;
mod sugar;

use std::io::{BufRead, Read as _, Write};
use std::path::{Path, PathBuf};

use crate::node::Node;
use crate::schema::{SETTINGS, schema};
use crate::yaml;
use gwbackup_core::model::{Change, Document, Finding, Id, Key, Kind, Resource};
use gwbackup_core::whole_file::{About, FileFormat, FileGateway};
use gwbackup_core::{Error, Result};

pub use export::Export;

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
/// Kong derives one, else one from their content. What a file says shortly is read as it is meant:
/// a service's `url`, decK's `_info.defaults` and `_plugin_configs`, and `_info.select_tags`, which
/// everything in the file has. decK's placeholders (`${{ env "DECK_..." }}`) stay as they are.
///
/// Written: with ids, nested where the file was, as decK reads it, else as flat lists.
///
/// A file's own members (`_format_version`, `_transform`, `_info`, ...) are one resource,
/// `declarative_file/settings`; a new file says `_transform: false`. Without that a node hashes the
/// passwords that it loads: a restore that would bring hashes into a file that has them hashed, or
/// clear text into one that does not, is refused before anything is written.
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

    /// What stands in a file.
    fn tree(self, input: &mut dyn BufRead) -> Result<Node> {
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
        match self {
            Self::Yaml => yaml::parse(&text),
            Self::Json => Node::parse_json(&text),
        }
    }
}

/// The same, for a file that is nested.
#[derive(Debug, Clone, Copy)]
struct Nested(KongFile);

fn check(
    format: &impl FileFormat,
    changes: &[Change],
    resources: &mut dyn Iterator<Item = Result<Resource>>,
) -> Result<Vec<Finding>> {
    let mut check = check::Check::new(changes);
    let mut seen = resources.inspect(|resource| {
        if let Ok(resource) = resource {
            check.see(resource);
        }
    });
    format.write(&mut seen, &mut std::io::sink())?;
    Ok(check.findings())
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
        // Without a version, so that what a backup of a file says of itself always differs.
        let own = vec![("_transform".into(), Node::Token("false".into()))];
        Ok(vec![settings(&Node::Map(own))?])
    }

    fn read(
        &self,
        input: &mut dyn BufRead,
        found: &mut dyn FnMut(Resource) -> Result<()>,
    ) -> Result<()> {
        collect::collect(self.tree(input)?, found)
    }

    fn validate(
        &self,
        changes: &[Change],
        resources: &mut dyn Iterator<Item = Result<Resource>>,
    ) -> Result<Vec<Finding>> {
        check(self, changes, resources)
    }

    fn like(&self, present: &mut dyn BufRead) -> Result<Option<Box<dyn FileFormat>>> {
        let nested = self.tree(present)?.members().is_some_and(nest::is_nested);
        Ok(nested.then(|| Box::new(Nested(*self)) as _))
    }

    fn write(
        &self,
        resources: &mut dyn Iterator<Item = Result<Resource>>,
        out: &mut dyn Write,
    ) -> Result<()> {
        emit::emit(*self, resources, out)
    }
}

impl FileFormat for Nested {
    fn scheme(&self) -> &str {
        self.0.scheme()
    }

    fn about(&self) -> About {
        self.0.about()
    }

    fn read(
        &self,
        input: &mut dyn BufRead,
        found: &mut dyn FnMut(Resource) -> Result<()>,
    ) -> Result<()> {
        self.0.read(input, found)
    }

    fn write(
        &self,
        resources: &mut dyn Iterator<Item = Result<Resource>>,
        out: &mut dyn Write,
    ) -> Result<()> {
        let mut all = emit::Lists::gather(resources)?;
        all.as_the_file_says();
        nest::nest(&mut all);
        all.write(self.0, out)
    }

    fn validate(
        &self,
        changes: &[Change],
        resources: &mut dyn Iterator<Item = Result<Resource>>,
    ) -> Result<Vec<Finding>> {
        check(self, changes, resources)
    }
}

fn settings(members: &Node) -> Result<Resource> {
    let key = Key::new(Kind::known(SETTINGS), Id::new("settings")?);
    Ok(Resource::new(key, Document::parse(&members.json())?))
}
