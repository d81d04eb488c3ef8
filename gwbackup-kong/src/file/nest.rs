//! The form that Kong and decK both read: children inside their parents, nothing that Kong sets
//! itself, and no member that is null.

use std::collections::HashMap;

use super::emit::Lists;
use crate::node::{Map, Node, get, set, take};
use crate::schema::{ROWS, Row};

/// What stands inside what, and under which name. A plugin stays outside: it may have several
/// parents.
const INSIDE: &[(&str, &str, &str)] = &[
    ("route", "service", "routes"),
    ("target", "upstream", "targets"),
    ("sni", "certificate", "snis"),
    ("keyauth_credential", "consumer", "keyauth_credentials"),
    ("basicauth_credential", "consumer", "basicauth_credentials"),
    ("jwt_secret", "consumer", "jwt_secrets"),
    ("hmacauth_credential", "consumer", "hmacauth_credentials"),
    ("acl", "consumer", "acls"),
    ("oauth2_credential", "consumer", "oauth2_credentials"),
    ("mtls_auth_credential", "consumer", "mtls_auth_credentials"),
    ("consumer_group_consumer", "consumer", "groups"),
];

/// Kinds whose foreign keys decK reads as an id alone. Kong reads either form.
const BY_ID: &[&str] = &["plugin", "service", "oauth2_token", "filter_chain"];

/// Brings lists as Kong writes them into this form.
pub(super) fn nest(all: &mut Lists) {
    for (row, members) in all.entities() {
        tidy(row, members);
    }
    for (child, parent, name) in INSIDE {
        put_inside(all, child, parent, name);
    }
}

/// Whether a file's tree is in this form already, as far as one can tell: something is nested, or
/// decK alone has such members.
pub(super) fn is_nested(root: &Map) -> bool {
    let decks =
        |name: &str| matches!(name, "_info" | "_konnect" | "_workspace" | "_plugin_configs");
    root.iter().any(|(list, value)| {
        decks(list)
            || matches!(value, Node::List(items) if items.iter().filter_map(Node::members).any(
                |entity| INSIDE.iter().any(|(_, parent, name)| {
                    Row::of_kind(parent).is_some_and(|row| row.collection == list)
                        && matches!(get(entity, name), Some(Node::List(inner))
                            if inner.iter().any(|one| one.members().is_some()))
                }),
            ))
    })
}

fn list<'a>(all: &'a mut Lists, kind: &str) -> Option<&'a mut Vec<Node>> {
    let at = ROWS.iter().position(|row| row.kind == kind)?;
    all.lists.iter_mut().find(|((n, _), _)| *n == at).map(|(_, items)| items)
}

/// Moves children to where their parents are; one whose parent is elsewhere stays.
fn put_inside(all: &mut Lists, child: &str, parent: &str, name: &str) {
    let Some(row) = Row::of_kind(child) else { return };
    let Some(member) = Row::of_kind(parent).and_then(|parent| row.parent_member(parent)) else {
        return;
    };
    let places: HashMap<String, usize> = match list(all, parent) {
        Some(parents) => {
            parents.iter().enumerate().filter_map(|(n, p)| Some((id(p)?, n))).collect()
        }
        None => return,
    };
    let mut inside: HashMap<usize, Vec<Node>> = HashMap::new();
    if let Some(children) = list(all, child) {
        let mut stay = Vec::new();
        for mut one in std::mem::take(children) {
            let place = foreign_id(&one, member).and_then(|id| places.get(id)).copied();
            match (place, &mut one) {
                (Some(place), Node::Map(members)) => {
                    let _ = take(members, member);
                    let one =
                        if row.is_link() { take(members, "consumer_group") } else { Some(one) };
                    inside.entry(place).or_default().extend(one);
                }
                _ => stay.push(one),
            }
        }
        *children = stay;
    }
    if let Some(parents) = list(all, parent) {
        for (place, children) in inside {
            if let Some(Node::Map(members)) = parents.get_mut(place) {
                set(members, name, Node::List(children));
            }
        }
    }
}

fn id(entity: &Node) -> Option<String> {
    get(entity.members()?, "id").and_then(Node::text).map(str::to_owned)
}

fn foreign_id<'a>(entity: &'a Node, member: &str) -> Option<&'a str> {
    match get(entity.members()?, member)? {
        Node::Map(object) => get(object, "id").and_then(Node::text),
        value => value.text(),
    }
}

/// Removes what Kong sets itself and what is not set. A configuration keeps its nulls: there a
/// default may stand behind.
fn tidy(row: &Row, members: &mut Map) {
    members.retain(|(name, value)| name != "updated_at" && !value.is_null());
    for (name, value) in members.iter_mut() {
        if name == "config" {
            continue;
        }
        without_nulls(value);
        let foreign = row.foreign.iter().any(|foreign| foreign.member == name);
        if foreign && !BY_ID.contains(&row.kind) && matches!(value, Node::Text(_)) {
            let id = std::mem::replace(value, Node::List(Vec::new()));
            *value = Node::Map(vec![("id".into(), id)]);
        }
    }
}

fn without_nulls(value: &mut Node) {
    match value {
        Node::Map(members) => {
            members.retain(|(_, value)| !value.is_null());
            for (_, value) in members {
                without_nulls(value);
            }
        }
        Node::List(items) => items.iter_mut().for_each(without_nulls),
        Node::Token(_) | Node::Text(_) => {}
    }
}
