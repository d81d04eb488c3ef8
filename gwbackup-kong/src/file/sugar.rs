//! What a file says shortly, written out: addresses of services, decK's defaults, its shared
//! configurations of plugins, and the tags that it gives to everything.

use gwbackup_core::{Error, Result};

use crate::node::{Map, Node, get, set, take};
use crate::schema::Row;

/// What decK's own members say of every entity of the file.
#[derive(Default)]
pub(super) struct Sugar {
    /// `_info.select_tags`
    tags: Vec<String>,
    /// `_info.defaults`
    defaults: Map,
    /// `_plugin_configs`
    configs: Map,
}

impl Sugar {
    /// From a file's own members. What has another form than decK's says nothing.
    pub(super) fn of(own: &Map) -> Self {
        let info = get(own, "_info").and_then(Node::members);
        let in_info = |name| info.and_then(|info| get(info, name));
        let map = |node: Option<&Node>| node.and_then(Node::members).cloned().unwrap_or_default();
        let tags = match in_info("select_tags") {
            Some(Node::List(tags)) => {
                tags.iter().filter_map(Node::text).map(str::to_owned).collect()
            }
            _ => Vec::new(),
        };
        Self { tags, defaults: map(in_info("defaults")), configs: map(get(own, "_plugin_configs")) }
    }

    /// Writes out what the entity means.
    pub(super) fn spell_out(&self, row: &Row, members: &mut Map) -> Result<()> {
        if row.kind == "service" {
            address(members)?;
        }
        if row.kind == "plugin" {
            self.configuration(members)?;
        }
        if let Some(defaults) = get(&self.defaults, row.kind).and_then(Node::members) {
            fill(members, defaults);
        }
        if !self.tags.is_empty() && has_tags(row) {
            let mut tags = match take(members, "tags") {
                Some(Node::List(tags)) => tags,
                _ => Vec::new(),
            };
            for tag in &self.tags {
                if !tags.iter().any(|own| own.text() == Some(tag)) {
                    tags.push(Node::Text(tag.clone()));
                }
            }
            members.push(("tags".into(), Node::List(tags)));
        }
        Ok(())
    }

    /// Takes the tags away again that the file gives to everything.
    pub(super) fn fold(&self, row: &Row, members: &mut Map) {
        if self.tags.is_empty() || !has_tags(row) {
            return;
        }
        if let Some(Node::List(mut tags)) = take(members, "tags") {
            tags.retain(|tag| tag.text().is_none_or(|tag| !self.tags.iter().any(|t| t == tag)));
            if !tags.is_empty() {
                members.push(("tags".into(), Node::List(tags)));
            }
        }
    }

    /// A plugin's configuration is what it names, under what it says itself.
    fn configuration(&self, members: &mut Map) -> Result<()> {
        let Some(name) = take(members, "_config") else { return Ok(()) };
        if name.is_null() {
            return Ok(());
        }
        let shared = name.text().and_then(|name| get(&self.configs, name));
        let Some(shared) = shared.and_then(Node::members) else {
            return Err(Error::invalid("a plugin's `_config` names nothing in `_plugin_configs`")
                .help("correct the name, or write the configuration into the plugin"));
        };
        let mut config = match take(members, "config") {
            Some(Node::Map(config)) => config,
            _ => Map::new(),
        };
        for (name, value) in shared {
            if get(&config, name).is_none() {
                config.push((name.clone(), value.clone()));
            }
        }
        set(members, "config", Node::Map(config));
        Ok(())
    }
}

fn has_tags(row: &Row) -> bool {
    row.primary == "id" && !matches!(row.kind, "workspace" | "oauth2_token" | "acme_storage")
}

/// Adds what is not said, at every level.
fn fill(members: &mut Map, defaults: &Map) {
    for (name, default) in defaults {
        match (members.iter_mut().find(|(n, _)| n == name), default) {
            (None, default) => members.push((name.clone(), default.clone())),
            (Some((_, Node::Map(inner))), Node::Map(defaults)) => fill(inner, defaults),
            (Some((_, value)), default) if value.is_null() => *value = default.clone(),
            _ => {}
        }
    }
}

/// Writes a service's `url` as the four members that Kong keeps of it; what the service says of them
/// itself wins. A placeholder of decK's stays, since nobody knows what it will be.
fn address(members: &mut Map) -> Result<()> {
    let Some(Node::Text(url)) = get(members, "url") else {
        members.retain(|(name, value)| name != "url" || !value.is_null());
        return Ok(());
    };
    if url.contains("${{") {
        return Ok(());
    }
    let parts = split(url).ok_or_else(|| {
        Error::invalid("a service's `url` is no address").help("write it like http://host:80/path")
    })?;
    members.retain(|(name, _)| name != "url");
    let named = ["protocol", "host", "port", "path"].into_iter().zip(parts);
    for (name, value) in named {
        if let Some(value) = value
            && get(members, name).is_none_or(Node::is_null)
        {
            set(members, name, value);
        }
    }
    Ok(())
}

/// Protocol, host, port and path of an address.
fn split(url: &str) -> Option<[Option<Node>; 4]> {
    let (protocol, rest) = url.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let path = path.split(['?', '#']).next().filter(|path| !path.is_empty());
    let bracket = authority.find(']').map_or(0, |at| at + 1);
    let (host, port) = match authority.get(bracket..)?.rfind(':') {
        Some(at) => {
            let (host, port) = authority.split_at(bracket + at);
            (host, port.get(1..)?.parse::<u16>().ok()?)
        }
        None => (authority, if protocol == "https" { 443 } else { 80 }),
    };
    if protocol.is_empty() || host.is_empty() || authority.contains('@') {
        return None;
    }
    let text = |text: &str| Some(Node::Text(text.to_owned()));
    let port = Some(Node::Token(port.to_string().into()));
    Some([text(protocol), text(host), port, path.and_then(text)])
}
