//! How one document becomes another, in the operations that the service takes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::table::Row;

/// Lists whose elements stand in the path of an operation instead of its value.
const BY_PATH: &[&str] = &["/binaryMediaTypes"];

/// Names of a method's settings, and where they stand in the path of an operation.
const SETTINGS: &[(&str, &str)] = &[
    ("metricsEnabled", "metrics/enabled"),
    ("loggingLevel", "logging/loglevel"),
    ("dataTraceEnabled", "logging/dataTrace"),
    ("throttlingBurstLimit", "throttling/burstLimit"),
    ("throttlingRateLimit", "throttling/rateLimit"),
    ("cachingEnabled", "caching/enabled"),
    ("cacheTtlInSeconds", "caching/ttlInSeconds"),
    ("cacheDataEncrypted", "caching/dataEncrypted"),
    ("requireAuthorizationForCacheControl", "caching/requireAuthorizationForCacheControl"),
    ("unauthorizedCacheControlHeaderStrategy", "caching/unauthorizedCacheControlHeaderStrategy"),
];

/// The operations of one `PATCH`; both documents without what is never sent. Tags are not among them.
pub(super) fn operations(row: &Row, old: &Value, new: &Value) -> Vec<Value> {
    let mut found = Vec::new();
    let (empty, members) = (Map::new(), |value: &Value| value.as_object().cloned());
    let (old, new) = (members(old).unwrap_or_default(), members(new).unwrap_or_default());
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for name in names.into_iter().filter(|name| *name != "tags") {
        let (was, is) = (old.get(name), new.get(name));
        match (row.kind, name.as_str()) {
            ("rest_stage", "methodSettings") => {
                let map = |value: Option<&Value>| value.and_then(members).unwrap_or(empty.clone());
                settings(&map(was), &map(is), &mut found);
            }
            ("usage_plan", "apiStages") => stages(was, is, &mut found),
            // The one member that is called otherwise here.
            ("base_path_mapping", "restApiId") => difference("/restapiId", was, is, &mut found),
            _ => difference(&format!("/{name}"), was, is, &mut found),
        }
    }
    found
}

fn operation(op: &str, path: &str, value: Option<String>) -> Value {
    match value {
        Some(value) => json!({ "op": op, "path": path, "value": value }),
        None => json!({ "op": op, "path": path }),
    }
}

fn difference(at: &str, old: Option<&Value>, new: Option<&Value>, found: &mut Vec<Value>) {
    match (old, new) {
        (old, new) if old == new => {}
        (Some(_), None | Some(Value::Null)) => found.push(operation("remove", at, None)),
        (old, Some(Value::Array(new))) => {
            let old = old.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            list(at, old, new, found);
        }
        (old, Some(Value::Object(new))) => {
            let none = Map::new();
            let old = old.and_then(Value::as_object).unwrap_or(&none);
            let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            for name in names {
                let at = format!("{at}/{}", escaped(name));
                difference(&at, old.get(name), new.get(name), found);
            }
        }
        (_, Some(new)) => found.push(operation("replace", at, Some(plain(new)))),
        (None, None) => {}
    }
}

fn list(at: &str, old: &[Value], new: &[Value], found: &mut Vec<Value>) {
    // An API has one type of endpoint: it is replaced, not added to.
    if at.ends_with("/types")
        && let ([old], [new]) = (old, new)
    {
        found.push(operation("replace", &format!("{at}/{}", plain(old)), Some(plain(new))));
        return;
    }
    for (op, some, others) in [("remove", old, new), ("add", new, old)] {
        for item in some.iter().filter(|item| !others.contains(item)) {
            found.push(if BY_PATH.contains(&at) {
                operation(op, &format!("{at}/{}", escaped(&plain(item))), None)
            } else {
                operation(op, at, Some(plain(item)))
            });
        }
    }
}

/// Settings by path and verb. The service answers the path with or without its first slash, escaped.
fn settings(old: &Map<String, Value>, new: &Map<String, Value>, found: &mut Vec<Value>) {
    let normal = |map: &Map<String, Value>| -> BTreeMap<String, Value> {
        map.iter().map(|(key, value)| (setting_path(key), value.clone())).collect()
    };
    let (old, new) = (normal(old), normal(new));
    for key in old.keys().filter(|key| !new.contains_key(*key)) {
        found.push(operation("remove", &format!("/{key}"), None));
    }
    for (key, new) in &new {
        for (name, place) in SETTINGS {
            let (was, is) = (old.get(key).and_then(|old| old.get(name)), new.get(name));
            if let Some(is) = is.filter(|is| was != Some(is)) {
                found.push(operation("replace", &format!("/{key}/{place}"), Some(plain(is))));
            }
        }
    }
}

/// `*/*`, or the escaped path and the verb.
fn setting_path(key: &str) -> String {
    let (path, verb) = key.rsplit_once('/').unwrap_or((key, "*"));
    if path == "*" {
        return key.to_owned();
    }
    let path = path.replace("~1", "/");
    let path = if path.starts_with('/') { path } else { format!("/{path}") };
    format!("{}/{verb}", escaped(&path))
}

/// Stages of APIs that a plan is for, each with limits of its own.
fn stages(old: Option<&Value>, new: Option<&Value>, found: &mut Vec<Value>) {
    let by_name = |value: Option<&Value>| -> BTreeMap<String, Value> {
        let items = value.and_then(Value::as_array).into_iter().flatten();
        let name = |item: &Value| {
            let text = |member: &str| {
                item.get(member).and_then(Value::as_str).unwrap_or_default().to_owned()
            };
            format!("{}:{}", text("apiId"), text("stage"))
        };
        items.map(|item| (name(item), item.clone())).collect()
    };
    let (old, new) = (by_name(old), by_name(new));
    for name in old.keys().filter(|name| !new.contains_key(*name)) {
        found.push(operation("remove", "/apiStages", Some(name.clone())));
    }
    for (name, item) in &new {
        if !old.contains_key(name) {
            found.push(operation("add", "/apiStages", Some(name.clone())));
        }
        let limits = |item: Option<&Value>| {
            item.and_then(|item| item.get("throttle"))
                .and_then(Value::as_object)
                .cloned()
                .unwrap_or_default()
        };
        let (was, is) = (limits(old.get(name)), limits(Some(item)));
        for key in was.keys().filter(|key| !is.contains_key(*key)) {
            found.push(operation(
                "remove",
                &format!("/apiStages/{name}/throttle/{}", limited(key)),
                None,
            ));
        }
        for (key, limit) in &is {
            let at = format!("/apiStages/{name}/throttle/{}", limited(key));
            difference(&at, was.get(key), Some(limit), found);
        }
    }
}

/// The escaped path and the verb of `/path/VERB`.
fn limited(key: &str) -> String {
    let (path, verb) = key.rsplit_once('/').unwrap_or((key, ""));
    format!("{}/{verb}", escaped(path))
}

fn escaped(text: &str) -> String {
    text.replace('~', "~0").replace('/', "~1")
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The members of one `PATCH` of the second version of the API. What goes becomes empty: it knows no
/// other way.
pub(super) fn members(row: &Row, old: &Value, new: &Value) -> Map<String, Value> {
    let none = Map::new();
    let (old, new) = (old.as_object().unwrap_or(&none), new.as_object().unwrap_or(&none));
    let mut found = Map::new();
    for (name, is) in new.iter().filter(|(name, is)| *name != "tags" && old.get(*name) != Some(is))
    {
        let mut is = is.clone();
        // An entry of a map goes by an empty value.
        if let (Some(Value::Object(was)), Value::Object(is)) = (old.get(name), &mut is) {
            for (key, was) in was {
                if !is.contains_key(key) && was.is_string() {
                    is.insert(key.clone(), "".into());
                }
            }
        }
        found.insert(name.clone(), is);
    }
    for (name, was) in old.iter().filter(|(name, _)| *name != "tags" && !new.contains_key(*name)) {
        let nothing = match was {
            Value::String(_) => json!(""),
            Value::Array(_) => json!([]),
            Value::Object(map) => {
                map.keys().map(|key| (key.clone(), json!(""))).collect::<Map<_, _>>().into()
            }
            Value::Bool(_) => json!(false),
            _ => continue,
        };
        found.insert(name.clone(), nothing);
    }
    if !found.is_empty() {
        let named = |name: &&str| new.get(*name).map(|is| ((*name).to_owned(), is.clone()));
        found.extend(row.always.iter().filter_map(named));
    }
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::needless_pass_by_value, reason = "documents are written where they are used")]

    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "literals are given")]
    fn patch(kind: &str, old: Value, new: Value) -> Vec<String> {
        let found = operations(Row::named(kind).unwrap(), &old, &new);
        let text = |op: &Value| {
            let part = |name: &str| op[name].as_str().unwrap_or("-").to_owned();
            format!("{} {} {}", part("op"), part("path"), part("value"))
        };
        found.iter().map(text).collect()
    }

    #[test]
    fn members_maps_and_lists_have_operations_of_their_own() {
        let old = json!({"name": "a", "binaryMediaTypes": ["image/png"], "minimumCompressionSize": 0,
            "endpointConfiguration": {"types": ["EDGE"], "vpcEndpointIds": ["v1"]}});
        let new = json!({"name": "b", "binaryMediaTypes": ["a/b"],
            "endpointConfiguration": {"types": ["REGIONAL"], "vpcEndpointIds": ["v1", "v2"]}});
        assert_eq!(
            patch("rest_api", old, new),
            [
                "remove /binaryMediaTypes/image~1png -",
                "add /binaryMediaTypes/a~1b -",
                "replace /endpointConfiguration/types/EDGE REGIONAL",
                "add /endpointConfiguration/vpcEndpointIds v2",
                "remove /minimumCompressionSize -",
                "replace /name b",
            ]
        );
    }

    #[test]
    fn a_stage_says_its_settings_by_path_and_verb() {
        let old = json!({"methodSettings": {"orders/GET": {"metricsEnabled": true}},
            "variables": {"a": "1", "b": "2"}});
        let new = json!({"methodSettings": {"*/*": {"loggingLevel": "INFO"},
            "~1orders/GET": {"metricsEnabled": true, "cacheTtlInSeconds": 60}},
            "variables": {"a": "x/y"}, "canarySettings": {"percentTraffic": 10.5}});
        assert_eq!(
            patch("rest_stage", old, new),
            [
                "replace /canarySettings/percentTraffic 10.5",
                "replace /*/*/logging/loglevel INFO",
                "replace /~1orders/GET/caching/ttlInSeconds 60",
                "replace /variables/a x/y",
                "remove /variables/b -",
            ]
        );
    }

    #[test]
    fn a_plan_names_stages_by_api_and_stage() {
        let stage = |api: &str, throttle: Value| json!({"apiId": api, "stage": "prod", "throttle": throttle});
        let old = json!({"apiStages": [stage("a", json!({"/p/GET": {"rateLimit": 1.0}}))]});
        let new = json!({"apiStages": [stage("b", json!({"/p/GET": {"rateLimit": 2.0}}))]});
        assert_eq!(
            patch("usage_plan", old, new),
            [
                "remove /apiStages a:prod",
                "add /apiStages b:prod",
                "replace /apiStages/b:prod/throttle/~1p/GET/rateLimit 2.0",
            ]
        );
    }
}
