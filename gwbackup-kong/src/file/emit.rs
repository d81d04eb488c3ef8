//! From resources to a declarative file.

use std::collections::BTreeMap;
use std::io::Write;

use gwbackup_core::model::Resource;
use gwbackup_core::{Error, Result};

use super::sugar::Sugar;
use super::{FORMAT_VERSION, KongFile};
use crate::node::{Map, Node, get, set};
use crate::schema::{ROWS, Row, SETTINGS};
use crate::yaml;

/// A file as lists: its own members, and the entities by place in the table, then by name for
/// collections that are not in it.
#[derive(Default)]
pub(super) struct Lists {
    pub(super) own: Map,
    pub(super) lists: BTreeMap<(usize, String), Vec<Node>>,
}

/// Writes the file: its own members, then the lists, parents before children.
pub(super) fn emit(
    format: KongFile,
    resources: &mut dyn Iterator<Item = Result<Resource>>,
    out: &mut dyn Write,
) -> Result<()> {
    let mut all = Lists::gather(resources)?;
    all.as_the_file_says();
    all.write(format, out)
}

impl Lists {
    /// The lists of a flat file, as Kong writes it.
    pub(super) fn gather(resources: &mut dyn Iterator<Item = Result<Resource>>) -> Result<Self> {
        let mut all = Self::default();
        for resource in resources {
            let resource = resource?;
            let members = members(&resource).map_err(|error| error.on(&resource.key))?;
            let kind = resource.key.kind.as_str();
            if kind == SETTINGS {
                all.own = members;
                continue;
            }
            let at = ROWS.iter().position(|row| row.kind == kind).unwrap_or(ROWS.len());
            let name = ROWS.get(at).map_or(kind, |row| row.collection);
            all.lists.entry((at, name.to_owned())).or_default().push(Node::Map(members));
        }
        Ok(all)
    }

    /// Heeds the file's own members: there is a version, and what the file says of everything is not
    /// said again.
    pub(super) fn as_the_file_says(&mut self) {
        self.version(FORMAT_VERSION);
        let sugar = Sugar::of(&self.own);
        for (row, members) in self.entities() {
            sugar.fold(row, members);
        }
    }

    /// Sets the version of a file that says none.
    pub(super) fn version(&mut self, version: &str) {
        if get(&self.own, "_format_version").is_none_or(Node::is_null) {
            self.own.retain(|(name, _)| name != "_format_version");
            self.own.insert(0, ("_format_version".into(), Node::Text(version.into())));
        }
    }

    /// The entities that the table knows.
    pub(super) fn entities(&mut self) -> impl Iterator<Item = (&'static Row, &mut Map)> {
        self.lists.iter_mut().filter_map(|((at, _), items)| Some((ROWS.get(*at)?, items))).flat_map(
            |(row, items)| {
                items.iter_mut().filter_map(move |item| match item {
                    Node::Map(members) => Some((row, members)),
                    _ => None,
                })
            },
        )
    }

    /// Keeps those of the entities that the table knows for which `keep` says so.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&'static Row, &Map) -> bool) {
        for ((at, _), items) in &mut self.lists {
            if let Some(row) = ROWS.get(*at) {
                items.retain(|item| item.members().is_none_or(|members| keep(row, members)));
            }
        }
    }

    pub(super) fn write(self, format: KongFile, out: &mut dyn Write) -> Result<()> {
        let lists = self.lists.into_iter().filter(|(_, items)| !items.is_empty());
        let lists = lists.map(|((_, name), items)| (name, Node::List(items)));
        match format {
            KongFile::Yaml => {
                // List by list, so that the text stands beside one list of the tree only.
                for member in self.own.into_iter().chain(lists) {
                    let mut text = String::new();
                    yaml::write_members(&vec![member], 0, &mut text);
                    out.write_all(text.as_bytes())?;
                }
            }
            KongFile::Json => {
                let mut text = String::new();
                Node::Map(self.own.into_iter().chain(lists).collect())
                    .write_json(&mut text, Some(0));
                text.push('\n');
                out.write_all(text.as_bytes())?;
            }
        }
        Ok(())
    }
}

/// The members of an entity as a flat file has them.
fn members(resource: &Resource) -> Result<Map> {
    let Node::Map(mut members) = Node::parse_json(resource.document.as_str())? else {
        return Err(Error::invalid("an entity of Kong is an object"));
    };
    if !resource.attachments.is_empty() {
        return Err(Error::invalid("a Kong file holds no attachments"));
    }
    let Some(row) = Row::of_kind(resource.key.kind.as_str()) else { return Ok(members) };
    if !row.is_link() {
        // The document may still have the id of the gateway that it came from.
        set(&mut members, row.primary, Node::Text(resource.key.id.last().into_owned()));
    }
    for foreign in row.foreign {
        if let Some((_, value)) = members.iter_mut().find(|(name, _)| name == foreign.member)
            && let Node::Map(object) = value
            && let [(name, Node::Text(id))] = object.as_slice()
            && name == "id"
        {
            *value = Node::Text(id.clone());
        }
    }
    if row.kind == "certificate" {
        // The API's list of names; Kong would take it for nested entities.
        members.retain(|(name, value)| name != "snis" || value.is_null());
    }
    Ok(members)
}
