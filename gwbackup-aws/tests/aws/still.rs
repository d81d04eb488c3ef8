//! A reader of the double's own state that knows nothing of the library: everything that is there,
//! with names instead of the ids, hosts and times that the service assigns.

use std::collections::{BTreeMap, BTreeSet};

use gwbackup_aws::testing::AwsDouble;
use serde_json::Value;

/// Members that the service assigns, or that move by themselves.
const OWN: &[&str] = &[
    "id",
    "createdDate",
    "lastUpdatedDate",
    "rootResourceId",
    "parentId",
    "apiId",
    "apiEndpoint",
    "clientCertificateId",
    "pemEncodedCertificate",
    "expirationDate",
    "vpcLinkId",
    "regionalDomainName",
    "regionalHostedZoneId",
    "domainNameArn",
    "domainNameId",
    "authorizerId",
    "integrationId",
    "routeId",
    "modelId",
    "deploymentId",
    "apiMappingId",
    "integrationResponseId",
    "routeResponseId",
    "status",
    "vpcLinkStatus",
    "routingRuleId",
    "domainNameAccessAssociationArn",
    "portalId",
    "portalProductId",
    "productPageId",
    "productRestEndpointPageId",
    "portalArn",
    "portalProductArn",
    "productPageArn",
    "productRestEndpointPageArn",
    "portalDefaultDomainName",
    "portalDomainHostedZoneId",
    "lastModified",
    "lastPublished",
    "lastPublishedDescription",
];

/// One line for each thing, sorted; a stage has what it serves beside it.
pub(crate) fn still(double: &AwsDouble) -> Vec<String> {
    let state = double.state();
    let names = names(&state);
    let mut lines = Vec::new();
    for (at, value) in &state {
        // What a deployment holds is told with the stages that serve it.
        if at.contains("/deployments/") {
            continue;
        }
        lines.push(line(at, value, &names));
        lines.extend(second(at, value, &state, &names));
        let deployment = value["deploymentId"].as_str().filter(|_| at.starts_with("restapis/"));
        if let Some(id) = deployment {
            let api = at.split('/').nth(1).unwrap();
            let held = &state[&format!("restapis/{api}/deployments/{id}/snapshot")];
            let own = self::names(&prefixed(api, held));
            let mut all: BTreeMap<String, String> = names.clone();
            all.extend(own);
            for (path, value) in held.as_object().unwrap() {
                // Settings of the API as a whole, defaults and documentation are not a stage's.
                if path.starts_with("resources/") {
                    let there = format!("restapis/{api}/{path}");
                    lines.push(format!(
                        "{} serves {}",
                        spoken(at, &all),
                        line(&there, value, &all)
                    ));
                }
            }
        }
    }
    lines.sort();
    lines
}

/// What a stage of an HTTP API serves: each route with what it leads to.
fn second(
    at: &str,
    stage: &Value,
    state: &BTreeMap<String, Value>,
    names: &BTreeMap<String, String>,
) -> Vec<String> {
    let deployment = stage["deploymentId"].as_str().filter(|_| stage["autoDeploy"] != true);
    let api: Vec<&str> = at.split('/').take(3).collect();
    let held = deployment
        .and_then(|id| state.get(&format!("{}/deployments/{id}/snapshot", api.join("/"))));
    let Some(held) = held.filter(|_| at.starts_with("v2/apis/")) else { return Vec::new() };
    let spare = |value: &Value, of: &[&str]| {
        let mut kept = value.as_object().unwrap().clone();
        kept.retain(|name, _| !of.contains(&name.as_str()));
        Value::Object(kept).to_string()
    };
    let routes = held.as_object().unwrap().iter().filter(|(path, _)| path.starts_with("routes/"));
    let line = |(_, route): (&String, &Value)| {
        let below = |list: &str, id: &Value| {
            let id = id.as_str().unwrap_or_default().rsplit('/').next().unwrap().to_owned();
            spare(
                held.get(format!("{list}/{id}")).unwrap_or(&serde_json::json!({})),
                &["integrationId", "authorizerId"],
            )
        };
        let own = spare(route, &["routeId", "target", "authorizerId"]);
        let parts = [
            own,
            below("integrations", &route["target"]),
            below("authorizers", &route["authorizerId"]),
        ];
        format!("{} serves {}", spoken(at, names), spoken(&parts.join(" "), names))
    };
    routes.map(line).collect()
}

fn prefixed(api: &str, held: &Value) -> BTreeMap<String, Value> {
    let all = held.as_object().unwrap().iter();
    all.map(|(path, value)| (format!("restapis/{api}/{path}"), value.clone())).collect()
}

/// What each id is called: by what people see of the thing.
fn names(state: &BTreeMap<String, Value>) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    for (at, value) in state {
        // An ARN in an address is one segment of it, and an id is its end.
        let id = at.rsplit('/').next().unwrap().rsplit("%2F").next().unwrap();
        let text = |member: &str| value[member].as_str().map(str::to_owned);
        let parts = [
            "path",
            "routeKey",
            "value",
            "description",
            "name",
            "integrationUri",
            "apiMappingKey",
            "properties",
            "accessAssociationSource",
        ];
        let mut said: Vec<String> = parts.iter().filter_map(|part| text(part)).collect();
        said.extend(value["quota"]["limit"].as_u64().map(|n| n.to_string()));
        said.extend(value["priority"].as_u64().map(|n| n.to_string()));
        for at in [
            "/displayName",
            "/portalContent/displayName",
            "/displayContent/title",
            "/displayContent/endpoint",
        ] {
            said.extend(value.pointer(at).and_then(Value::as_str).map(str::to_owned));
        }
        let is_id = |own: &str| own == id || own.ends_with(&format!("/{id}"));
        let is_named = OWN.iter().any(|own| value[*own].as_str().is_some_and(is_id));
        if is_named && !at.contains("/deployments/") {
            // Text that names another thing is no name.
            let said =
                said.into_iter().filter(|s| !s.contains("restapis")).collect::<Vec<_>>().join(" ");
            names.insert(id.to_owned(), format!("<{said}>"));
        }
    }
    names
}

fn line(at: &str, value: &Value, names: &BTreeMap<String, String>) -> String {
    let mut value = value.clone();
    strip(&mut value, at, names);
    format!("{} {}", spoken(at, names), spoken(&value.to_string(), names))
}

/// Assigned names become spoken ones; a reference keeps what it names.
fn strip(value: &mut Value, at: &str, names: &BTreeMap<String, String>) {
    let own = at.rsplit('/').next().unwrap().to_owned();
    match value {
        Value::Object(members) => {
            members.retain(|name, value| {
                let itself = value.as_str() == Some(&own);
                let moves =
                    !value.is_string() || itself || !names.contains_key(value.as_str().unwrap());
                let none =
                    name == "tags" && value.as_object().is_some_and(serde_json::Map::is_empty);
                !(none || OWN.contains(&name.as_str()) && moves)
            });
            members.values_mut().for_each(|value| strip(value, at, names));
        }
        Value::Array(items) => {
            for value in items.iter_mut() {
                strip(value, at, names);
            }
            if !at.starts_with("v2/portalproducts/") {
                items.sort_by_key(|item| spoken(&item.to_string(), names));
            }
        }
        // A schema's text is the same in any layout.
        Value::String(text) if text.starts_with('{') => {
            if let Ok(inner) = serde_json::from_str::<Value>(text) {
                *text = inner.to_string();
            }
        }
        _ => {}
    }
}

/// The text with each id, which is a word of its own, replaced by what it is called.
fn spoken(text: &str, names: &BTreeMap<String, String>) -> String {
    let text = text.replace("%2F", "/");
    let mut said = String::with_capacity(text.len());
    for part in text.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
        let word = part.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        said.push_str(names.get(word).map_or(word, String::as_str));
        said.push_str(&part[word.len()..]);
    }
    said
}

/// The same things, told apart.
#[track_caller]
pub(crate) fn assert_same(found: &[String], wanted: &[String], when: &str) {
    let [a, b] = [found, wanted].map(|lines| lines.iter().collect::<BTreeSet<_>>());
    let missing: Vec<_> = b.difference(&a).take(8).collect();
    let more: Vec<_> = a.difference(&b).take(8).collect();
    assert!(
        found == wanted,
        "{when}: {} and {}; missing {missing:#?}\nunexpected {more:#?}",
        found.len(),
        wanted.len()
    );
}
