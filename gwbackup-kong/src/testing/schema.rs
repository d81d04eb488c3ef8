//! The schemas that Kong 3.9.1 answers under `/schemas`, and what they make of a sent entity.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use gwbackup_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::kinds::Kind;

/// The type of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub(super) enum Type {
    String,
    Integer,
    Number,
    Boolean,
    Array,
    Set,
    Map,
    Record,
    Foreign,
    /// A rule inside a check names no type.
    #[default]
    #[serde(other)]
    Any,
}

/// A pattern that a string must or must not match, and the complaint.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Rule {
    pub(super) pattern: String,
    pub(super) err: String,
}

/// Patterns of which one must match.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct AnyRule {
    pub(super) patterns: Vec<String>,
    pub(super) err: Option<String>,
}

/// One field of a record.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
#[derive(Default)]
pub(super) struct Field {
    #[serde(rename = "type")]
    pub(super) kind: Type,
    pub(super) required: bool,
    pub(super) auto: bool,
    pub(super) uuid: bool,
    pub(super) unique: bool,
    pub(super) referenceable: bool,
    pub(super) transient: bool,
    pub(super) default: Option<Value>,
    #[serde(deserialize_with = "present")]
    pub(super) eq: Option<Value>,
    pub(super) one_of: Option<Vec<Value>>,
    pub(super) not_one_of: Option<Vec<Value>>,
    pub(super) between: Option<[f64; 2]>,
    pub(super) gt: Option<f64>,
    pub(super) len_min: Option<usize>,
    pub(super) len_max: Option<usize>,
    pub(super) len_eq: Option<usize>,
    pub(super) starts_with: Option<String>,
    pub(super) contains: Option<Value>,
    #[serde(rename = "match")]
    pub(super) pattern: Option<String>,
    pub(super) match_none: Vec<Rule>,
    pub(super) match_all: Vec<Rule>,
    pub(super) match_any: Option<AnyRule>,
    pub(super) mutually_exclusive_subsets: Vec<Vec<String>>,
    pub(super) err: Option<String>,
    pub(super) elements: Option<Box<Self>>,
    pub(super) keys: Option<Box<Self>>,
    pub(super) values: Option<Box<Self>>,
    pub(super) reference: Option<String>,
    pub(super) on_delete: Option<String>,
    #[serde(flatten)]
    pub(super) record: Record,
}

/// `null` is a value of its own here, unlike absence.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// A member under its old name.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Shorthand {
    #[serde(default)]
    deprecation: Deprecation,
}

#[derive(Debug, Clone, Deserialize, Default)]
struct Deprecation {
    #[serde(default)]
    replaced_with: Vec<Replacement>,
}

#[derive(Debug, Clone, Deserialize)]
struct Replacement {
    path: Vec<String>,
}

impl Shorthand {
    /// Where the value stands under its new name, and whether answers show the old one as well.
    pub(super) fn target(&self, name: &str) -> Option<(Vec<String>, bool)> {
        match self.deprecation.replaced_with.first() {
            Some(new) => Some((new.path.clone(), true)),
            // The one old name for which the schema says the new one in words alone.
            None => (name == "endpoint").then(|| (vec!["traces_endpoint".into()], false)),
        }
    }
}

/// Fields and the checks over them.
#[derive(Debug, Clone, Deserialize, Default)]
#[serde(default)]
pub(super) struct Record {
    pub(super) fields: Vec<BTreeMap<String, Field>>,
    pub(super) entity_checks: Vec<Map<String, Value>>,
    pub(super) shorthand_fields: Vec<BTreeMap<String, Shorthand>>,
}

impl Record {
    /// Every field with its name.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&str, &Field)> {
        self.fields.iter().flatten().map(|(name, field)| (name.as_str(), field))
    }

    /// The field with this name.
    pub(super) fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find_map(|field| field.get(name))
    }

    /// The field at the end of a path of names through records.
    pub(super) fn field_at(&self, path: &str) -> Option<&Field> {
        let (first, rest) = path.split_once('.').map_or((path, None), |(a, b)| (a, Some(b)));
        let field = self.field(first)?;
        rest.map_or(Some(field), |rest| field.record.field_at(rest))
    }

    /// The foreign keys, with the schema each refers to and whether the child goes with its parent.
    pub(super) fn foreign(&self) -> impl Iterator<Item = (&str, &str, bool)> {
        self.fields().filter_map(|(name, field)| {
            // The node deletes a certificate's SNIs itself, so their schema does not say it.
            let cascades = field.on_delete.as_deref() == Some("cascade") || name == "certificate";
            field.reference.as_deref().map(|to| (name, to, cascades))
        })
    }

    /// This schema with the fields of a plugin or a vault laid over it.
    fn with(&self, sub: &Self) -> Self {
        let mut fields: Vec<_> = self.fields.clone();
        for (name, field) in fields.iter_mut().flatten() {
            if let Some(own) = sub.field(name) {
                *field = own.clone();
            }
        }
        let mut entity_checks = sub.entity_checks.clone();
        entity_checks.extend(self.entity_checks.iter().cloned());
        Self { fields, entity_checks, shorthand_fields: Vec::new() }
    }
}

/// All schemas.
#[derive(Debug)]
pub(super) struct Schemas {
    entities: HashMap<String, Record>,
    plugins: HashMap<String, Record>,
    vaults: HashMap<String, Record>,
    /// As they are answered.
    raw: Value,
}

/// What a plugin or a vault without a schema is missing.
pub(super) enum NoSchema {
    Plugin(String),
    Vault(String),
}

impl Schemas {
    /// The recorded schemas, parsed once per process.
    pub(super) fn load() -> Result<Arc<Self>> {
        static LOADED: Mutex<Option<Arc<Schemas>>> = Mutex::new(None);
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(schemas) = &*loaded {
            return Ok(Arc::clone(schemas));
        }
        let schemas = Arc::new(Self::parse().map_err(|error| {
            Error::new(ErrorKind::Other, "the recorded schemas are damaged").with_source(error)
        })?);
        *loaded = Some(Arc::clone(&schemas));
        Ok(schemas)
    }

    fn parse() -> serde_json::Result<Self> {
        type Part = HashMap<String, Record>;
        let raw: Value = serde_json::from_str(include_str!("data/schemas.json"))?;
        let part = |name: &str| Part::deserialize(raw.get(name).unwrap_or(&Value::Null));
        let (entities, plugins, vaults) = (part("entities")?, part("plugins")?, part("vaults")?);
        let over = |base: &str, subs: Part| -> Part {
            let base = entities.get(base).cloned().unwrap_or_default();
            subs.into_iter().map(|(name, sub)| (name, base.with(&sub))).collect()
        };
        let (plugins, vaults) = (over("plugins", plugins), over("vaults", vaults));
        Ok(Self { entities, plugins, vaults, raw })
    }

    /// The schema of a collection, apart from what a plugin or a vault adds.
    pub(super) fn base(&self, kind: &Kind) -> &Record {
        static NOTHING: Record =
            Record { fields: Vec::new(), entity_checks: Vec::new(), shorthand_fields: Vec::new() };
        self.entities.get(kind.schema).unwrap_or(&NOTHING)
    }

    /// The schema that this entity must meet.
    pub(super) fn of(&self, kind: &Kind, body: &Map<String, Value>) -> Result<&Record, NoSchema> {
        let Some(name) = body.get("name").and_then(Value::as_str) else {
            return Ok(self.base(kind));
        };
        match kind.schema {
            "plugins" => self.plugins.get(name).ok_or_else(|| NoSchema::Plugin(name.into())),
            "vaults" => self.vaults.get(name).ok_or_else(|| NoSchema::Vault(name.into())),
            _ => Ok(self.base(kind)),
        }
    }

    /// The schema as it is answered; `part` is `entities`, `plugins` or `vaults`.
    pub(super) fn answer(&self, part: &str, name: &str) -> Option<&Value> {
        self.raw.get(part)?.get(name)
    }
}

/// Adds what a new entity lacks: defaults, the members of required records, and nulls.
pub(super) fn fill(record: &Record, data: &mut Map<String, Value>) {
    for (name, field) in record.fields() {
        if !data.contains_key(name) {
            let value = match &field.default {
                Some(default) => default.clone(),
                None if field.kind == Type::Record && field.required => Value::Object(Map::new()),
                None if field.transient => continue,
                None => Value::Null,
            };
            data.insert(name.to_owned(), value);
        }
        if let Some(value) = data.get_mut(name) {
            fill_value(field, value);
        }
    }
}

fn fill_value(field: &Field, value: &mut Value) {
    match (field.kind, value) {
        (Type::Record, Value::Object(inner)) => fill(&field.record, inner),
        (Type::Array | Type::Set, Value::Array(items)) => {
            if let Some(element) = &field.elements {
                for item in items {
                    fill_value(element, item);
                }
            }
        }
        // An empty object is how Lua's JSON writes an empty list.
        (Type::Array | Type::Set, value) if value.as_object().is_some_and(Map::is_empty) => {
            *value = Value::Array(Vec::new());
        }
        (Type::Map, Value::Object(inner)) => {
            if let Some(element) = &field.values {
                for value in inner.values_mut() {
                    fill_value(element, value);
                }
            }
        }
        (Type::Integer | Type::Number, value @ Value::Number(_)) => whole(value),
        _ => {}
    }
}

/// Numbers without a fraction are written without one.
#[expect(clippy::cast_possible_truncation, reason = "only where the number is whole and small")]
fn whole(value: &mut Value) {
    if let Some(number) = value.as_f64()
        && !value.is_i64()
        && number.fract() == 0.0
        && number.abs() < 1e15
    {
        *value = Value::from(number as i64);
    }
}

/// Gives members under old names their new ones. An old and a new value that disagree are errors.
pub(super) fn expand(
    record: &Record,
    data: &mut Map<String, Value>,
    errors: &mut Map<String, Value>,
) {
    for (name, shorthand) in record.shorthand_fields.iter().flatten() {
        let Some((path, _)) = shorthand.target(name) else { continue };
        let Some(value) = data.remove(name) else { continue };
        match at_mut(data, &path) {
            Some(new) if !new.is_null() && *new != value => {
                let said = format!(
                    "both deprecated and new field are used but their values mismatch: \
                     {name} = {} vs {} = {}",
                    shown(&value),
                    path.join("."),
                    shown(new)
                );
                errors.insert(name.clone(), Value::String(said));
            }
            Some(_) => {}
            None => put(data, &path, value),
        }
    }
    for (name, field) in record.fields() {
        if let Some(Value::Object(inner)) = data.get_mut(name) {
            let mut nested = Map::new();
            expand(&field.record, inner, &mut nested);
            if !nested.is_empty() {
                errors.insert(name.to_owned(), Value::Object(nested));
            }
        }
    }
}

/// Adds the members under old names that answers show beside the new ones.
pub(super) fn echo(record: &Record, data: &mut Map<String, Value>) {
    for (name, shorthand) in record.shorthand_fields.iter().flatten() {
        if let Some((path, true)) = shorthand.target(name) {
            let value = at_mut(data, &path).map_or(Value::Null, |value| value.clone());
            data.insert(name.clone(), value);
        }
    }
    for (name, field) in record.fields() {
        if let Some(Value::Object(inner)) = data.get_mut(name) {
            echo(&field.record, inner);
        }
    }
}

/// Removes them again.
pub(super) fn strip(record: &Record, data: &mut Map<String, Value>) {
    for name in record.shorthand_fields.iter().flat_map(BTreeMap::keys) {
        data.remove(name);
    }
    for (name, field) in record.fields() {
        if let Some(Value::Object(inner)) = data.get_mut(name) {
            strip(&field.record, inner);
        }
    }
}

/// Lays the members of a PATCH over an entity: records are merged, everything else is replaced.
pub(super) fn merge(record: &Record, base: &mut Map<String, Value>, patch: Map<String, Value>) {
    for (name, value) in patch {
        match (record.field(&name), base.get_mut(&name), value) {
            (Some(field), Some(Value::Object(inner)), Value::Object(new))
                if field.kind == Type::Record =>
            {
                merge(&field.record, inner, new);
            }
            (_, _, value) => {
                base.insert(name, value);
            }
        }
    }
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn at_mut<'a>(data: &'a mut Map<String, Value>, path: &[String]) -> Option<&'a mut Value> {
    let (last, parents) = path.split_last()?;
    let mut at = data;
    for name in parents {
        at = at.get_mut(name)?.as_object_mut()?;
    }
    at.get_mut(last)
}

fn put(data: &mut Map<String, Value>, path: &[String], value: Value) {
    let Some((last, parents)) = path.split_last() else { return };
    let mut at = data;
    for name in parents {
        let next = at.entry(name.clone()).or_insert_with(|| Value::Object(Map::new()));
        if next.is_null() {
            *next = Value::Object(Map::new());
        }
        let Value::Object(next) = next else { return };
        at = next;
    }
    at.insert(last.clone(), value);
}
