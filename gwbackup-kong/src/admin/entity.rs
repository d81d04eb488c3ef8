//! What a node's own schemas say of an entity or a plugin.

use gwbackup_core::Result;
use gwbackup_core::model::{
    HandleName, HandleSpec, Kind, KindSpec, Member, MemberRule, Role, Within,
};
use serde_json::{Map, Value};

use crate::schema::{Row, common, refers, rule};

/// When a kind is written of which only the node's schema is known: after all others.
const RANK: u16 = 50;

/// The rules of a kind that the table does not know.
pub(super) fn kind(kind: Kind, path: &str, schema: &Value) -> KindSpec {
    let mut spec = KindSpec::new(kind, RANK);
    if path != spec.kind.as_str() {
        spec.aliases.push(path.to_owned());
    }
    spec.members = common().collect();
    spec.members.extend(members(schema));
    for (name, field) in fields(schema) {
        let at = format!("/{name}");
        if let Some(to) = field.get("reference").and_then(Value::as_str)
            && let Ok(to) = Row::of_collection(to).map_or(to, |row| row.kind).parse_kind()
        {
            let cascade = field.get("on_delete").and_then(Value::as_str) == Some("cascade");
            let role = if cascade { Role::Owner } else { Role::Needs };
            spec.references.push(refers(format!("{at}/id"), to, HandleName::id(), role));
        }
        if is(field, "unique")
            && name != "id"
            && let Ok(name) = HandleName::new(name)
        {
            let unique = Within::Gateway;
            spec.handles.push(HandleSpec { name, at: vec![at], unique, by_server: false });
        }
    }
    spec
}

trait ParseKind {
    fn parse_kind(&self) -> Result<Kind>;
}

impl ParseKind for str {
    fn parse_kind(&self) -> Result<Kind> {
        Kind::new(self)
    }
}

/// Secrets, sets and deprecated twins of a schema. Marked as secret is what Kong encrypts or lets
/// stand in a vault.
pub(super) fn members(schema: &Value) -> Vec<MemberRule> {
    let mut found = Vec::new();
    record(schema, "", &mut found);
    found
}

fn record(schema: &Value, at: &str, found: &mut Vec<MemberRule>) {
    for (name, field) in fields(schema) {
        value(field, &format!("{at}/{}", segment(name)), found);
    }
    for (name, field) in pairs(schema.get("shorthand_fields")) {
        let at = format!("{at}/{}", segment(name));
        value(field, &at, found);
    }
}

fn value(field: &Value, at: &str, found: &mut Vec<MemberRule>) {
    if is(field, "encrypted") || is(field, "referenceable") {
        found.push(rule(at, Member::Secret));
    }
    if field.get("type").and_then(Value::as_str) == Some("set") {
        found.push(rule(at, Member::Unordered));
    }
    record(field, at, found);
    for inner in ["elements", "values"] {
        if let Some(inner) = field.get(inner) {
            value(inner, &format!("{at}/*"), found);
        }
    }
}

/// The fields of a record: Kong lists them as objects of one member each.
fn fields(record: &Value) -> impl Iterator<Item = (&String, &Value)> {
    pairs(record.get("fields"))
}

fn pairs(list: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    list.and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_object)
        .flat_map(Map::iter)
}

fn is(field: &Value, what: &str) -> bool {
    field.get(what).and_then(Value::as_bool) == Some(true)
}

/// A name as it stands in a JSON pointer.
fn segment(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
