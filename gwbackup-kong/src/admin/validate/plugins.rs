//! Plugins that are to be written: whether the node has them and takes their configuration.

use std::collections::{BTreeMap, HashSet};

use futures_util::FutureExt as _;
use gwbackup_core::Result;
use gwbackup_core::model::{ChangeNo, Finding, Key, Resource, Verdict};
use serde_json::Value;
use uuid::Uuid;

use super::{Sample, ask, body};
use crate::admin::write::Writer;

/// Configurations of one plugin that the node is asked about.
const SAMPLES: usize = 16;
/// Configurations of one plugin that are held against its schema.
const MOST: usize = 10_000;

/// By name of plugin.
#[derive(Default)]
pub(super) struct Plugins(BTreeMap<String, Uses>);

#[derive(Default)]
struct Uses {
    count: usize,
    first: Option<ChangeNo>,
    seen: HashSet<Uuid>,
    asked: Vec<Sample>,
    /// Names of members alone: the values may be secrets.
    others: Vec<(ChangeNo, Key, Value)>,
}

impl Plugins {
    pub(super) fn take(
        &mut self,
        writer: &Writer<'_>,
        no: ChangeNo,
        wanted: &Resource,
    ) -> Result<()> {
        let name = wanted.document.text("/name").unwrap_or_default().into_owned();
        let uses = self.0.entry(name).or_default();
        uses.count += 1;
        uses.first.get_or_insert(no);
        let config = wanted.document.get("/config").unwrap_or_default();
        if !uses.seen.insert(Uuid::new_v5(&Uuid::NAMESPACE_OID, config.as_bytes())) {
            return Ok(());
        }
        if uses.asked.len() < SAMPLES {
            if let Some(body) = body(writer, wanted)? {
                uses.asked.push(Sample { no, key: wanted.key.clone(), body });
            }
        } else if uses.others.len() < MOST {
            let config: Value = serde_json::from_str(config).unwrap_or_default();
            uses.others.push((no, wanted.key.clone(), names(&config)));
        }
        Ok(())
    }

    pub(super) async fn findings(&self, writer: &Writer<'_>) -> Result<Vec<Finding>> {
        let mut all = Vec::new();
        for (name, uses) in &self.0 {
            all.push(uses.findings(writer, name).boxed());
        }
        Ok(writer.all(all).await?.into_iter().flatten().collect())
    }
}

impl Uses {
    async fn findings(&self, writer: &Writer<'_>, name: &str) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        if !writer.instance.plugins.contains_key(name) {
            let what = match self.count {
                1 => "this node has no such plugin, or has not enabled it".to_owned(),
                n => format!("this node has no such plugin, or has not enabled it: {n} need it"),
            };
            let finding = Finding::new(format!("plugin {name}"), Verdict::Failed, what);
            findings.push(Finding { change: self.first, ..finding });
            return Ok(findings);
        }
        for sample in &self.asked {
            findings.extend(ask(writer, "plugins", sample).await?);
        }
        if self.others.is_empty() {
            return Ok(findings);
        }
        let url = writer.admin.0.client.at(["schemas", "plugins", name]);
        let answer = writer.admin.0.client.get(writer.cx, &url).await?;
        let Some(schema) = serde_json::from_slice::<Value>(&answer.body)
            .ok()
            .filter(|_| answer.is_success())
            .and_then(|schema| field(&schema, "config").cloned())
        else {
            return Ok(findings);
        };
        for (no, key, config) in &self.others {
            let mut unknown = Vec::new();
            surplus(&schema, config, "/config", &mut unknown);
            if !unknown.is_empty() {
                let what = format!("the node does not know {}", unknown.join(", "));
                let finding = Finding::new(key.to_string(), Verdict::Failed, what);
                findings.push(finding.about(*no));
            }
        }
        Ok(findings)
    }
}

/// The same tree with every scalar gone but for nulls.
fn names(config: &Value) -> Value {
    match config {
        Value::Object(members) => {
            members.iter().map(|(name, value)| (name.clone(), names(value))).collect()
        }
        Value::Null => Value::Null,
        _ => Value::Bool(true),
    }
}

/// Members that a record does not have.
fn surplus(schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let (Some(members), Some(_)) = (value.as_object(), schema.get("fields")) else { return };
    for (name, value) in members.iter().filter(|(_, value)| !value.is_null()) {
        let at = format!("{at}/{name}");
        match field(schema, name) {
            Some(inner) => surplus(inner, value, &at, found),
            None => found.push(at),
        }
    }
}

/// A field of a record, or a short name for one.
fn field<'a>(schema: &'a Value, name: &str) -> Option<&'a Value> {
    ["fields", "shorthand_fields"]
        .iter()
        .filter_map(|list| schema.get(list)?.as_array())
        .flatten()
        .find_map(|field| field.get(name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn members_that_a_schema_lacks_are_named() {
        let schema = json!({"fields": [
            {"minute": {"type": "number"}},
            {"redis": {"type": "record", "fields": [{"host": {"type": "string"}}]}},
            {"headers": {"type": "map"}}],
            "shorthand_fields": [{"redis_host": {"type": "string"}}]});
        let config = json!({"minute": 1, "redis": {"host": "h", "port": 1, "gone": null},
            "headers": {"any": "thing"}, "redis_host": "h", "minuto": 5, "old": null});
        let mut found = Vec::new();
        surplus(&schema, &names(&config), "/config", &mut found);
        assert_eq!(found, ["/config/minuto", "/config/redis/port"]);
    }
}
