//! Rules over several members of an entity.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Errors, check};
use crate::testing::schema::{Field, Record, Type};

type Data = Map<String, Value>;

/// Runs every rule of a schema whose members are in order by themselves.
pub(super) fn run(record: &Record, data: &Data, errors: &mut Errors) {
    let mut said = Vec::new();
    for (name, rule) in record.entity_checks.iter().flatten() {
        let found = match name.as_str() {
            "conditional" => conditional(record, data, rule, errors),
            "conditional_at_least_one_of" => conditional_one(record, data, rule),
            _ => simple(name, data, rule, errors),
        };
        said.extend(found.map(Value::String));
    }
    if !said.is_empty() {
        entity(errors, said);
    }
}

/// Adds complaints about the entity as a whole.
pub(in crate::testing) fn entity(errors: &mut Errors, said: Vec<Value>) {
    match errors.get_mut("@entity") {
        Some(Value::Array(before)) => before.extend(said),
        _ => {
            errors.insert("@entity".into(), Value::Array(said));
        }
    }
}

/// The value at the end of a path of names.
pub(super) fn at<'a>(data: &'a Data, path: &str) -> &'a Value {
    static NULL: Value = Value::Null;
    let mut names = path.split('.');
    let first = names.next().and_then(|name| data.get(name));
    names.fold(first, |value, name| value?.get(name)).unwrap_or(&NULL)
}

fn empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    }
}

fn simple(name: &str, data: &Data, rule: &Value, errors: &Errors) -> Option<String> {
    let paths: Vec<&str> = rule.as_array()?.iter().filter_map(Value::as_str).collect();
    if paths.iter().any(|path| !at(errors, path).is_null()) {
        return None;
    }
    let set = paths.iter().filter(|path| !empty(at(data, path))).count();
    let quoted: Vec<String> = paths.iter().map(|path| format!("'{path}'")).collect();
    let quoted = quoted.join(", ");
    match name {
        "at_least_one_of" if set == 0 => {
            Some(format!("at least one of these fields must be non-empty: {quoted}"))
        }
        "only_one_of" if set != 1 => {
            Some(format!("exactly one of these fields must be non-empty: {quoted}"))
        }
        "mutually_exclusive" if set > 1 => {
            Some(format!("only one or none of these fields must be set: {quoted}"))
        }
        "mutually_required" if set != 0 && set != paths.len() => {
            Some(format!("all or none of these fields must be set: {quoted}"))
        }
        "distinct" => {
            let mut values: Vec<&Value> =
                paths.iter().map(|path| at(data, path)).filter(|value| !empty(value)).collect();
            let before = values.len();
            values.dedup();
            (values.len() < before)
                .then(|| format!("values of these fields must be distinct: {quoted}"))
        }
        _ => None,
    }
}

/// A rule's idea of a field, with the type of the field itself.
fn rule_field(record: &Record, path: &str, rule: &Value) -> Option<Field> {
    let mut field = Field::deserialize(rule).ok()?;
    field.kind = record.field_at(path).map_or(Type::Any, |field| field.kind);
    if field.kind == Type::Record {
        field.kind = Type::Any;
    }
    Some(field)
}

fn conditional(record: &Record, data: &Data, rule: &Value, errors: &mut Errors) -> Option<String> {
    let (if_path, then_path) = (text(rule, "if_field")?, text(rule, "then_field")?);
    if !at(errors, if_path).is_null() || !at(errors, then_path).is_null() {
        return None;
    }
    if !applies(record, data, rule, if_path) {
        return None;
    }
    let then = rule_field(record, then_path, rule.get("then_match")?)?;
    let value = at(data, then_path);
    // No member stands for an empty one.
    if then.len_eq == Some(0) && value.is_null() {
        return None;
    }
    let wrong = check(&then, value)?;
    nest(errors, then_path, wrong);
    let own = text(rule, "then_err").map(str::to_owned);
    Some(own.unwrap_or_else(|| {
        format!("failed conditional validation given value of field '{if_path}'")
    }))
}

fn conditional_one(record: &Record, data: &Data, rule: &Value) -> Option<String> {
    if !applies(record, data, rule, text(rule, "if_field")?) {
        return None;
    }
    let paths: Vec<&str> =
        rule.get("then_at_least_one_of")?.as_array()?.iter().filter_map(Value::as_str).collect();
    if paths.iter().any(|path| !empty(at(data, path))) {
        return None;
    }
    let quoted: Vec<String> = paths.iter().map(|path| format!("'{path}'")).collect();
    let said =
        text(rule, "then_err").unwrap_or("at least one of these fields must be non-empty: %s");
    Some(said.replace("%s", &quoted.join(", ")))
}

fn applies(record: &Record, data: &Data, rule: &Value, path: &str) -> bool {
    let value = at(data, path);
    !value.is_null()
        && rule
            .get("if_match")
            .and_then(|rule| rule_field(record, path, rule))
            .is_some_and(|field| check(&field, value).is_none())
}

fn text<'a>(rule: &'a Value, name: &str) -> Option<&'a str> {
    rule.get(name).and_then(Value::as_str)
}

fn nest(errors: &mut Errors, path: &str, error: Value) {
    match path.split_once('.') {
        None => {
            errors.insert(path.to_owned(), error);
        }
        Some((first, rest)) => {
            let inner = errors.entry(first).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(inner) = inner {
                nest(inner, rest, error);
            }
        }
    }
}
