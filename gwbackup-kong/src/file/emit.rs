//! From resources to a flat declarative file.

use std::collections::BTreeMap;
use std::io::Write;

use gwbackup_core::model::Resource;
use gwbackup_core::{Error, Result};

use super::{FORMAT_VERSION, KongFile};
use crate::node::{Map, Node, get, set};
use crate::schema::{ROWS, Row, SETTINGS};
use crate::yaml;

/// Writes the file: its own members, then the lists, parents before children.
pub(super) fn emit(
    format: KongFile,
    resources: &mut dyn Iterator<Item = Result<Resource>>,
    out: &mut dyn Write,
) -> Result<()> {
    let mut own = Map::new();
    // By place in the table, then by name for collections that are not in it.
    let mut lists: BTreeMap<(usize, String), Vec<Node>> = BTreeMap::new();
    for resource in resources {
        let resource = resource?;
        let members = members(&resource).map_err(|error| error.on(&resource.key))?;
        let kind = resource.key.kind.as_str();
        if kind == SETTINGS {
            own = members;
            continue;
        }
        let at = ROWS.iter().position(|row| row.kind == kind).unwrap_or(ROWS.len());
        let name = ROWS.get(at).map_or(kind, |row| row.collection);
        lists.entry((at, name.to_owned())).or_default().push(Node::Map(members));
    }
    if get(&own, "_format_version").is_none_or(Node::is_null) {
        let version = Node::Text(FORMAT_VERSION.into());
        own.retain(|(name, _)| name != "_format_version");
        own.insert(0, ("_format_version".into(), version));
    }
    let lists = lists.into_iter().map(|((_, name), items)| (name, Node::List(items)));
    match format {
        KongFile::Yaml => {
            // List by list, so that the text stands beside one list of the tree only.
            for member in own.into_iter().chain(lists) {
                let mut text = String::new();
                yaml::write_members(&vec![member], 0, &mut text);
                out.write_all(text.as_bytes())?;
            }
        }
        KongFile::Json => {
            let mut text = String::new();
            Node::Map(own.into_iter().chain(lists).collect()).write_json(&mut text, Some(0));
            text.push('\n');
            out.write_all(text.as_bytes())?;
        }
    }
    Ok(())
}

/// The members of an entity as a file has them.
fn members(resource: &Resource) -> Result<Map> {
    let Node::Map(mut members) = Node::parse_json(resource.document.as_str())? else {
        return Err(Error::invalid("an entity of Kong is an object"));
    };
    if !resource.attachments.is_empty() {
        return Err(Error::invalid("a Kong file holds no attachments"));
    }
    let Some(row) = Row::of_kind(resource.key.kind.as_str()) else { return Ok(members) };
    // The document may still have the id of the gateway that it came from.
    set(&mut members, row.primary, Node::Text(resource.key.id.last().into_owned()));
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
