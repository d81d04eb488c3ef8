//! Whether an entity meets its schema. Messages are Kong's.

mod checks;

use serde_json::{Map, Value};
use uuid::Uuid;

use super::pattern::matches;
use super::schema::{Field, Record, Type};

pub(super) use checks::entity;

/// What is wrong, by member.
pub(super) type Errors = Map<String, Value>;

/// Checks every member, then the rules over several.
pub(super) fn record(record: &Record, data: &Map<String, Value>) -> Errors {
    let mut errors = Errors::new();
    for name in data.keys() {
        if record.field(name).is_none() {
            errors.insert(name.clone(), "unknown field".into());
        }
    }
    for (name, field) in record.fields() {
        let value = data.get(name).unwrap_or(&Value::Null);
        if let Some(error) = check(field, value) {
            errors.insert(name.to_owned(), error);
        }
    }
    checks::run(record, data, &mut errors);
    errors
}

/// What is wrong with one value.
pub(super) fn check(field: &Field, value: &Value) -> Option<Value> {
    if value.is_null() {
        return match &field.eq {
            Some(eq) if !eq.is_null() => Some(must_be(eq)),
            _ if field.required && !field.auto => Some("required field missing".into()),
            _ => None,
        };
    }
    let text = value.as_str();
    if field.referenceable && text.is_some_and(|text| text.starts_with("{vault://")) {
        return None;
    }
    if let Some(eq) = &field.eq
        && eq != value
    {
        return Some(must_be(eq));
    }
    typed(field, value).or_else(|| constrained(field, value).map(Value::String))
}

fn must_be(value: &Value) -> Value {
    format!("value must be {}", plain(value)).into()
}

fn typed(field: &Field, value: &Value) -> Option<Value> {
    let expected = |what: &str, is: bool| (!is).then(|| Value::from(format!("expected {what}")));
    match field.kind {
        Type::String => expected("a string", value.is_string()).or_else(|| {
            // Empty strings are refused unless the schema allows them.
            let empty = field.len_min != Some(0) && value.as_str() == Some("");
            empty.then(|| "length must be at least 1".into())
        }),
        Type::Integer => {
            let whole = value.as_f64().is_some_and(|number| number.fract() == 0.0);
            expected("an integer", whole)
        }
        Type::Number => expected("a number", value.is_number()),
        Type::Boolean => expected("a boolean", value.is_boolean()),
        Type::Array | Type::Set => {
            let what = if field.kind == Type::Set { "a set" } else { "an array" };
            expected(what, value.is_array())
        }
        Type::Map => expected("a map", value.is_object()),
        Type::Record => expected("a record", value.is_object()),
        Type::Foreign => foreign(value),
        Type::Any => None,
    }
    .or_else(|| inside(field, value))
}

/// A foreign key is an object with an id.
fn foreign(value: &Value) -> Option<Value> {
    let Some(members) = value.as_object() else {
        return Some("expected a record".into());
    };
    let id = members.get("id").and_then(Value::as_str);
    match id {
        None => Some(serde_json::json!({ "id": "missing primary key" })),
        Some(id) if Uuid::try_parse(id).is_err() => {
            Some(serde_json::json!({ "id": "expected a valid UUID" }))
        }
        Some(_) => None,
    }
}

/// What is wrong with the parts of a value.
fn inside(field: &Field, value: &Value) -> Option<Value> {
    match value {
        Value::Array(items) => {
            let element = field.elements.as_deref()?;
            let mut errors: Vec<Value> =
                items.iter().map(|item| check(element, item).unwrap_or(Value::Null)).collect();
            while errors.last().is_some_and(Value::is_null) {
                errors.pop();
            }
            (!errors.is_empty()).then_some(Value::Array(errors))
        }
        Value::Object(members) if field.kind == Type::Record => {
            let errors = record(&field.record, members);
            (!errors.is_empty()).then_some(Value::Object(errors))
        }
        Value::Object(members) if field.kind == Type::Map => {
            members.iter().find_map(|(name, value)| {
                let key = field.keys.as_deref();
                key.and_then(|key| check(key, &Value::from(name.as_str())))
                    .or_else(|| field.values.as_deref().and_then(|field| check(field, value)))
            })
        }
        _ => None,
    }
}

fn constrained(field: &Field, value: &Value) -> Option<String> {
    number(field, value).or_else(|| listed(field, value)).or_else(|| match value {
        Value::String(text) => string(field, text).map(|said| field.err.clone().unwrap_or(said)),
        Value::Array(items) => sized(field, items.len()).or_else(|| several(field, items)),
        Value::Object(members) => sized(field, members.len()),
        _ => None,
    })
}

fn number(field: &Field, value: &Value) -> Option<String> {
    let number = value.as_f64()?;
    if let Some([from, to]) = field.between
        && !(from..=to).contains(&number)
    {
        return Some(format!("value should be between {from} and {to}"));
    }
    let least = field.gt?;
    (number <= least).then(|| format!("value must be greater than {least}"))
}

fn listed(field: &Field, value: &Value) -> Option<String> {
    if let Some(known) = &field.one_of
        && !known.contains(value)
    {
        return Some(format!("expected one of: {}", list(known)));
    }
    let forbidden = field.not_one_of.as_ref()?;
    forbidden.contains(value).then(|| format!("must not be one of: {}", list(forbidden)))
}

fn sized(field: &Field, len: usize) -> Option<String> {
    match (field.len_eq, field.len_min, field.len_max) {
        (Some(eq), _, _) if len != eq => Some(format!("length must be {eq}")),
        (_, Some(min), _) if len < min => Some(format!("length must be at least {min}")),
        (_, _, Some(max)) if len > max => Some(format!("length must be at most {max}")),
        _ => None,
    }
}

fn string(field: &Field, text: &str) -> Option<String> {
    if let Some(said) = sized(field, text.len()) {
        return Some(said);
    }
    if field.uuid && (text.len() != 36 || Uuid::try_parse(text).is_err()) {
        return Some("expected a valid UUID".into());
    }
    if let Some(start) = &field.starts_with
        && !text.starts_with(start.as_str())
    {
        return Some(format!("should start with: {start}"));
    }
    if let Some(pattern) = &field.pattern
        && !matches(pattern, text)
    {
        return Some(format!("invalid value: {text}"));
    }
    if let Some(any) = &field.match_any
        && !any.patterns.iter().any(|pattern| matches(pattern, text))
    {
        return Some(any.err.clone().unwrap_or_else(|| format!("invalid value: {text}")));
    }
    let all = field.match_all.iter().find(|rule| !matches(&rule.pattern, text));
    let none = field.match_none.iter().find(|rule| matches(&rule.pattern, text));
    all.or(none).map(|rule| rule.err.clone())
}

fn several(field: &Field, items: &[Value]) -> Option<String> {
    if let Some(needed) = &field.contains
        && !items.contains(needed)
    {
        return Some(format!("expected to contain: {}", plain(needed)));
    }
    let has = |set: &[String]| set.iter().any(|one| items.iter().any(|item| item == one));
    let mut met = field.mutually_exclusive_subsets.iter().filter(|set| has(set));
    let (first, second) = (met.next()?, met.next()?);
    let quoted = |set: &[String]| {
        let names: Vec<String> = set.iter().map(|name| format!("'{name}'")).collect();
        format!("({})", names.join(", "))
    };
    Some(format!("these sets are mutually exclusive: {}, {}", quoted(first), quoted(second)))
}

/// A value as Lua prints it.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn list(values: &[Value]) -> String {
    values.iter().map(plain).collect::<Vec<_>>().join(", ")
}
