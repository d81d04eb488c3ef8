//! Operations of a `PATCH`, by their paths.

use serde_json::{Map, Value, json};

use super::reply::{Told, bad};
use super::state::text;

/// Members whose values are no text; operations carry texts alone.
const NUMBERS: &[&str] = &[
    "minimumCompressionSize",
    "percentTraffic",
    "rateLimit",
    "burstLimit",
    "limit",
    "offset",
    "authorizerResultTtlInSeconds",
    "throttlingBurstLimit",
    "throttlingRateLimit",
    "cacheTtlInSeconds",
];
const TRUTHS: &[&str] = &[
    "enabled",
    "cacheClusterEnabled",
    "tracingEnabled",
    "useStageCache",
    "validateRequestBody",
    "validateRequestParameters",
    "disableExecuteApiEndpoint",
    "metricsEnabled",
    "dataTraceEnabled",
    "cachingEnabled",
    "cacheDataEncrypted",
    "requireAuthorizationForCacheControl",
];
const LISTS: &[&str] = &["vpcEndpointIds", "providerARNs", "features", "authorizationScopes"];
const SETTINGS: &[(&str, &str)] = &[
    ("metrics/enabled", "metricsEnabled"),
    ("logging/loglevel", "loggingLevel"),
    ("logging/dataTrace", "dataTraceEnabled"),
    ("throttling/burstLimit", "throttlingBurstLimit"),
    ("throttling/rateLimit", "throttlingRateLimit"),
    ("caching/enabled", "cachingEnabled"),
    ("caching/ttlInSeconds", "cacheTtlInSeconds"),
    ("caching/dataEncrypted", "cacheDataEncrypted"),
    ("caching/requireAuthorizationForCacheControl", "requireAuthorizationForCacheControl"),
    ("caching/unauthorizedCacheControlHeaderStrategy", "unauthorizedCacheControlHeaderStrategy"),
];
/// First parts of the paths that each sort of thing takes.
const TAKEN: &[(&str, &[&str])] = &[
    (
        "restapis",
        &[
            "name",
            "description",
            "version",
            "policy",
            "binaryMediaTypes",
            "minimumCompressionSize",
            "apiKeySource",
            "endpointConfiguration",
            "disableExecuteApiEndpoint",
            "securityPolicy",
        ],
    ),
    (
        "stages",
        &[
            "description",
            "deploymentId",
            "variables",
            "cacheClusterEnabled",
            "cacheClusterSize",
            "canarySettings",
            "tracingEnabled",
            "documentationVersion",
            "accessLogSettings",
            "clientCertificateId",
        ],
    ),
    ("models", &["description", "schema"]),
    (
        "authorizers",
        &[
            "name",
            "type",
            "providerARNs",
            "authType",
            "authorizerUri",
            "authorizerCredentials",
            "identitySource",
            "identityValidationExpression",
            "authorizerResultTtlInSeconds",
        ],
    ),
    ("requestvalidators", &["name", "validateRequestBody", "validateRequestParameters"]),
    ("parts", &["properties"]),
    ("versions", &["description"]),
    ("deployments", &["description"]),
    ("apikeys", &["name", "description", "enabled", "customerId"]),
    ("usageplans", &["name", "description", "productCode", "throttle", "quota", "apiStages"]),
    ("basepathmappings", &["basePath", "restapiId", "stage"]),
    (
        "domainnames",
        &[
            "certificateArn",
            "regionalCertificateArn",
            "endpointConfiguration",
            "securityPolicy",
            "mutualTlsAuthentication",
            "policy",
            "routingMode",
            "certificateName",
            "regionalCertificateName",
        ],
    ),
    ("vpclinks", &["name", "description"]),
    ("clientcertificates", &["description"]),
    ("account", &["cloudwatchRoleArn", "features"]),
];

fn typed(name: &str, value: &str) -> Value {
    if NUMBERS.contains(&name) || TRUTHS.contains(&name) {
        return serde_json::from_str(value).unwrap_or_else(|_| value.into());
    }
    value.into()
}

fn invalid(path: &str) -> super::reply::Refusal {
    bad(&format!("Invalid patch path {path}"))
}

/// Applies one operation to a thing.
pub(super) fn apply(at: &str, thing: &mut Value, operation: &Value) -> Told<()> {
    let (op, path) = (text(operation, "op"), text(operation, "path"));
    let value = operation.get("value").and_then(Value::as_str);
    let parts: Vec<String> = path
        .trim_start_matches('/')
        .split('/')
        .map(|p| p.replace("~1", "/").replace("~0", "~"))
        .collect();
    let list = at.rsplit('/').nth(1).unwrap_or(at);
    let first = parts.first().cloned().unwrap_or_default();
    if list == "stages" && (first == "*" || first.starts_with('/')) {
        return setting(thing, op, &parts, value, path);
    }
    let taken = TAKEN.iter().find(|(name, _)| *name == list).map(|(_, taken)| *taken);
    if !taken.is_some_and(|taken| taken.contains(&&*first)) {
        return Err(invalid(path));
    }
    match (list, first.as_str()) {
        ("usageplans", "apiStages") => return stage(thing, op, &parts, value, path),
        ("restapis", "binaryMediaTypes") => {
            let kind = parts.get(1).ok_or_else(|| invalid(path))?;
            return in_list(&mut thing["binaryMediaTypes"], op, kind);
        }
        (_, "endpointConfiguration") if parts.get(1).is_some_and(|part| part == "types") => {
            let types = thing["endpointConfiguration"]["types"]
                .as_array_mut()
                .ok_or_else(|| invalid(path))?;
            let old =
                types.iter_mut().find(|item| item.as_str() == parts.get(2).map(String::as_str));
            *old.ok_or_else(|| invalid(path))? = value.unwrap_or_default().into();
            return Ok(());
        }
        _ => {}
    }
    // A mapping's member is called otherwise in a path.
    let last = parts.last().map(|last| last.replace("restapiId", "restApiId")).unwrap_or_default();
    let mut place = thing;
    for part in parts.iter().take(parts.len() - 1) {
        if !place.is_object() {
            return Err(invalid(path));
        }
        place = &mut place[part.as_str()];
        if place.is_null() {
            *place = json!({});
        }
    }
    if LISTS.contains(&&*last) {
        return in_list(&mut place[last.as_str()], op, value.unwrap_or_default());
    }
    match (op, value) {
        ("remove", _) => drop(place.as_object_mut().map(|members| members.remove(&last))),
        ("add" | "replace", Some(value)) => place[last.as_str()] = typed(&last, value),
        _ => return Err(invalid(path)),
    }
    Ok(())
}

fn in_list(list: &mut Value, op: &str, value: &str) -> Told<()> {
    if list.is_null() {
        *list = json!([]);
    }
    let Some(items) = list.as_array_mut() else { return Err(bad("no list")) };
    items.retain(|item| item != value);
    match op {
        "add" => items.push(value.into()),
        "remove" => {}
        _ => return Err(bad("Invalid patch operation")),
    }
    Ok(())
}

fn setting(
    thing: &mut Value,
    op: &str,
    parts: &[String],
    value: Option<&str>,
    path: &str,
) -> Told<()> {
    let [resource, verb, rest @ ..] = parts else { return Err(invalid(path)) };
    let key = format!("{}/{verb}", resource.trim_start_matches('/'));
    if thing["methodSettings"].is_null() {
        thing["methodSettings"] = json!({});
    }
    if op == "remove" && rest.is_empty() {
        drop(thing["methodSettings"].as_object_mut().map(|settings| settings.remove(&key)));
        return Ok(());
    }
    let rest = rest.join("/");
    let (_, name) =
        SETTINGS.iter().find(|(place, _)| *place == rest).ok_or_else(|| invalid(path))?;
    let settings = &mut thing["methodSettings"][key.as_str()];
    if settings.is_null() {
        *settings = json!({ "metricsEnabled": false, "dataTraceEnabled": false,
            "throttlingBurstLimit": 5000, "throttlingRateLimit": 10000.0, "cachingEnabled": false,
            "cacheTtlInSeconds": 300, "cacheDataEncrypted": false,
            "requireAuthorizationForCacheControl": true,
            "unauthorizedCacheControlHeaderStrategy": "SUCCEED_WITH_RESPONSE_HEADER" });
    }
    settings[*name] = typed(name, value.ok_or_else(|| invalid(path))?);
    Ok(())
}

fn stage(
    thing: &mut Value,
    op: &str,
    parts: &[String],
    value: Option<&str>,
    path: &str,
) -> Told<()> {
    let name = value.filter(|_| parts.len() == 1).or(parts.get(1).map(String::as_str));
    let (api, stage) = name.and_then(|name| name.split_once(':')).ok_or_else(|| invalid(path))?;
    let items = thing["apiStages"].as_array_mut().ok_or_else(|| invalid(path))?;
    let own = |item: &Value| text(item, "apiId") == api && text(item, "stage") == stage;
    if parts.len() == 1 {
        items.retain(|item| !own(item));
        if op == "add" {
            items.push(json!({ "apiId": api, "stage": stage }));
        }
        return Ok(());
    }
    let item = items.iter_mut().find(|item| own(item)).ok_or_else(|| invalid(path))?;
    let [_, _, _, at, verb, rest @ ..] = parts else { return Err(invalid(path)) };
    let key = format!("{at}/{verb}");
    match (op, rest) {
        ("remove", []) => drop(item["throttle"].as_object_mut().map(|all| all.remove(&key))),
        (_, [limit]) => item["throttle"][key][limit] = typed(limit, value.unwrap_or_default()),
        _ => return Err(invalid(path)),
    }
    Ok(())
}

/// A member of a `PATCH` of the second version: entries of a map go by an empty value.
pub(super) fn merge(thing: &mut Map<String, Value>, name: String, value: Value) {
    match value {
        Value::Object(entries) => {
            let mut new = entries;
            new.retain(|_, value| value != "");
            thing.insert(name, new.into());
        }
        Value::String(text) if text.is_empty() => drop(thing.remove(&name)),
        value => drop(thing.insert(name, value)),
    }
}
