//! What a node's own schemas say of an entity or a plugin.

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
            && let Ok(to) = Kind::new(Row::of_collection(to).map_or(to, |row| row.kind))
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
        let old = format!("{at}/{}", segment(name));
        value(field, &old, found);
        if let Some(new) = replacement(field) {
            let new = new.iter().fold(at.to_owned(), |at, name| format!("{at}/{}", segment(name)));
            found.push(rule(&old, Member::Twin(new)));
        }
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

/// Where the value of an old name stands now, from the record that has the old name.
fn replacement(field: &Value) -> Option<Vec<&str>> {
    let since_3_9 = field.pointer("/deprecation/replaced_with/0/path");
    let path = since_3_9.or_else(|| field.get("translate_backwards"))?;
    path.as_array()?.iter().map(Value::as_str).collect()
}

fn is(field: &Value, what: &str) -> bool {
    field.get(what).and_then(Value::as_bool) == Some(true)
}

/// A name as it stands in a JSON pointer.
fn segment(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use gwbackup_core::model::{Document, Id, Key, Resource, Rules};
    use serde_json::json;

    use super::*;
    use crate::schema::{ROWS, schema_of};

    fn recorded(file: &str, path: &str) -> Value {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures/recordings")
            .join(file);
        let all: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        let all = all.as_array().unwrap();
        let found = all.iter().find(|x| x["request"]["path"] == path).unwrap();
        found["response"]["body"].clone()
    }

    fn secrets(members: &[MemberRule]) -> Vec<&str> {
        members.iter().filter(|m| m.is == Member::Secret).map(|m| m.at.as_str()).collect()
    }

    #[test]
    fn a_schema_tells_secrets_in_records_maps_and_lists() {
        let schema = recorded("06-schemas-entities.json", "/schemas/keys");
        assert_eq!(secrets(&members(&schema)), ["/jwk", "/pem/private_key", "/pem/public_key"]);
        let schema = recorded("07-schemas-plugins.json", "/schemas/plugins/http-log");
        assert_eq!(secrets(&members(&schema)), ["/config/http_endpoint", "/config/headers/*"]);
    }

    #[test]
    fn a_schema_tells_parents_and_names() {
        let schema = recorded("06-schemas-entities.json", "/schemas/keys");
        let spec = kind(Kind::known("thing"), "things", &schema);
        assert_eq!(spec.references[0].kinds, [Kind::known("key_set")]);
        assert_eq!((&*spec.references[0].at, spec.references[0].role), ("/set/id", Role::Owner));
        assert_eq!(spec.handles[1].name, HandleName::known("name"));
        assert_eq!(spec.aliases, ["things"]);
    }

    #[test]
    fn the_table_knows_every_twin_of_the_recorded_plugins() {
        let table = schema_of(|_| true, Vec::new(), &[], true);
        let spec = table.kinds.iter().find(|spec| spec.kind.as_str() == "plugin").unwrap();
        for name in ["rate-limiting", "response-ratelimiting", "acme"] {
            let path = format!("/schemas/plugins/{name}");
            let schema = recorded("07-schemas-plugins.json", &path);
            let twins: Vec<_> = members(&schema)
                .into_iter()
                .filter(|member| matches!(member.is, Member::Twin(_)))
                .collect();
            assert!(!twins.is_empty(), "{name}");
            for twin in twins {
                let known = spec.members.iter().any(|m| m.at == twin.at && m.is == twin.is);
                assert!(known, "{name}: {twin:?}");
            }
        }
        assert!(ROWS.len() > 20);
    }

    #[test]
    fn an_old_name_counts_only_where_it_stands_alone() {
        let rules = Rules::new(schema_of(|_| true, Vec::new(), &[], true).into());
        let form = |document: Value| {
            let key = Key::new(Kind::known("plugin"), Id::new("p").unwrap());
            let resource = Resource::new(key, Document::from_value(&document).unwrap());
            let twins = rules.members(&resource, |member| matches!(member, Member::Twin(_)));
            (rules.comparable(&resource, &[], &[]).as_str().to_owned(), twins)
        };
        let both = json!({"config": {"redis_host": "h", "redis": {"host": "h"}}});
        let new = json!({"config": {"redis": {"host": "h"}}});
        assert_eq!(form(both.clone()).0, form(new).0);
        assert_eq!(form(both).1, ["/config/redis_host"]);
        for alone in [
            json!({"config": {"redis_host": "h"}}),
            json!({"config": {"redis_host": "h", "redis": {"host": "other"}}}),
        ] {
            let (text, twins) = form(alone);
            assert!(text.contains("redis_host") && twins.is_empty(), "{text}");
        }
    }
}
