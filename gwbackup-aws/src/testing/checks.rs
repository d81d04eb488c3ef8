//! What the service fills in by itself, and what it refuses.

use serde_json::{Map, Value, json};

use super::reply::{Told, bad, conflict};
use super::state::{State, text};

/// How long a link takes to become available, in seconds.
const LINK: i64 = 120;

/// Members of a creation that are read under another name.
pub(super) fn rename(list: &str, new: &mut Map<String, Value>) {
    let pairs: &[(&str, &str)] = match list {
        "keys" => &[("keyId", "id"), ("keyType", "type")],
        "versions" => &[("documentationVersion", "version")],
        _ => &[],
    };
    for (from, to) in pairs {
        if let Some(value) = new.remove(*from) {
            new.insert((*to).to_owned(), value);
        }
    }
    if list == "basepathmappings" && new.get("basePath").and_then(Value::as_str) == Some("") {
        new.insert("basePath".into(), "(none)".into());
    }
}

pub(super) fn dates(state: &State, list: &str, second: bool, new: &mut Map<String, Value>) {
    let dated = [
        "restapis",
        "deployments",
        "versions",
        "apikeys",
        "stages",
        "clientcertificates",
        "apis",
        "vpclinks",
    ];
    if !dated.contains(&list) || (list == "vpclinks" && !second) {
        return;
    }
    let now: Value = if second { state.date().into() } else { state.seconds().into() };
    new.insert("createdDate".into(), now.clone());
    if matches!(list, "apikeys" | "stages") {
        new.insert("lastUpdatedDate".into(), now);
    }
}

/// What only the service can say of a new thing.
pub(super) fn complete(state: &mut State, at: &str, new: &mut Value) -> Told<()> {
    super::portals::complete(state, at, new);
    let parts: Vec<&str> = at.split('/').collect();
    match parts.as_slice() {
        ["restapis", _] => new["rootResourceId"] = state.id(10).into(),
        ["apikeys", _] if text(new, "value").is_empty() => {
            new["value"] = state.secret().into();
        }
        ["clientcertificates", _] => {
            let pem = format!(
                "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----",
                state.secret()
            );
            new["pemEncodedCertificate"] = pem.into();
            new["expirationDate"] = (state.seconds() + 365 * 86400).into();
        }
        ["usageplans", _, "keys", key] => {
            let Some(key) = state.objects.get(&format!("apikeys/{key}")) else {
                return Err(super::reply::missing("API key"));
            };
            new["name"] = key["name"].clone();
            new["value"] = key["value"].clone();
        }
        ["domainnames", name] => {
            let id = state.id(10);
            new["regionalDomainName"] =
                format!("d-{id}.execute-api.{}.amazonaws.com", state.region).into();
            new["regionalHostedZoneId"] = format!("Z{}", id.to_uppercase()).into();
            new["domainNameArn"] =
                format!("arn:aws:apigateway:{}::/domainnames/{name}", state.region).into();
            if new["endpointConfiguration"]["types"][0] == "PRIVATE" {
                new["domainNameArn"] = state.arn(&format!("/domainnames/{name}+{id}")).into();
                new["domainNameId"] = id.into();
            }
        }
        ["v2", "apis", id] => {
            let scheme = if text(new, "protocolType") == "WEBSOCKET" { "wss" } else { "https" };
            new["apiEndpoint"] =
                format!("{scheme}://{id}.execute-api.{}.amazonaws.com", state.region).into();
        }
        ["v2", "apis", api, "integrations", _] => {
            let api = state.get(&format!("v2/apis/{api}"))?;
            if text(api, "protocolType") == "WEBSOCKET" {
                let expression = "${integration.response.statuscode}";
                new["integrationResponseSelectionExpression"] = expression.into();
            }
        }
        ["restapis", _, "models", _] => new["id"] = state.id(6).into(),
        ["v2", "apis", api, "stages", _] if new["autoDeploy"] == true => {
            let id = state.id(6);
            let deployment = json!({ "deploymentId": id, "autoDeployed": true, "deploymentStatus": "DEPLOYED",
                "createdDate": state.date(),
                "description": "Automatic deployment triggered by changes to the Api configuration" });
            state.objects.insert(format!("v2/apis/{api}/deployments/{id}"), deployment);
            if new.get("deploymentId").is_some() {
                return Err(bad("Deployment id must not be set together with autoDeploy"));
            }
            new["deploymentId"] = id.into();
        }
        _ => {}
    }
    Ok(())
}

/// A private domain is named by its id as well, and only a private one.
pub(super) fn is_meant(state: &State, at: &str, id: Option<&str>) -> Told<()> {
    let Some(domain) = at.strip_prefix("domainnames/").and_then(|rest| rest.split('/').next())
    else {
        return Ok(());
    };
    let found = state.objects.get(&format!("domainnames/{domain}"));
    let own = found.and_then(|found| found["domainNameId"].as_str());
    if own == id { Ok(()) } else { Err(super::reply::missing(domain)) }
}

/// What comes with a new thing.
pub(super) fn born(state: &mut State, at: &str) {
    if at.contains("vpclinks/") {
        let now = state.seconds();
        state.links.insert(at.to_owned(), now);
    }
    let parts: Vec<&str> = at.split('/').collect();
    if let ["restapis", _] = parts.as_slice() {
        let root = state
            .objects
            .get(at)
            .map(|api| text(api, "rootResourceId").to_owned())
            .unwrap_or_default();
        state.objects.insert(format!("{at}/resources/{root}"), json!({ "id": root, "path": "/" }));
        for (name, schema) in [("Empty", "Empty Schema"), ("Error", "Error Schema")] {
            let id = state.id(6);
            let schema = json!({ "$schema": "http://json-schema.org/draft-04/schema#", "title": schema, "type": "object" });
            let model = json!({ "id": id, "name": name, "contentType": "application/json",
                "description": format!("This is a default {} schema model", name.to_lowercase()),
                "schema": schema.to_string() });
            state.objects.insert(format!("{at}/models/{name}"), model);
        }
    }
}

/// Names that may stand once in a list.
pub(super) fn unique(state: &State, list: &str, new: &Value) -> Told<()> {
    let member: &[&str] = match list.rsplit('/').next().unwrap_or_default() {
        "authorizers" | "requestvalidators" | "models" => &["name"],
        "parts" => &["location"],
        "apikeys" => &["value"],
        "routes" => &["routeKey"],
        "routeresponses" => &["routeResponseKey"],
        "integrationresponses" => &["integrationResponseKey"],
        "apimappings" => &["apiMappingKey"],
        "routingrules" => &["priority"],
        _ => return Ok(()),
    };
    let taken = |item: &Value| member.iter().all(|m| item.get(*m) == new.get(*m));
    if state.list(list).iter().any(|(_, item)| taken(item)) {
        return Err(conflict(&format!("another one has the same {}", member.join(", "))));
    }
    Ok(())
}

/// Refuses what names something that is not there.
pub(super) fn references(state: &State, at: &str, new: &Value) -> Told<()> {
    let parts: Vec<&str> = at.split('/').collect();
    let need = |to: String| need(state, &to);
    let named = |value: &Value, member: &str, list: &str| named(state, value, member, list);
    match parts.as_slice() {
        ["restapis", api, "resources", _, "methods", _] => {
            let below = |list: &str| format!("restapis/{api}/{list}");
            named(new, "authorizerId", &below("authorizers"))?;
            named(new, "requestValidatorId", &below("requestvalidators"))?;
            let integration = &new["methodIntegration"];
            if let Some(id) = integration
                .get("connectionId")
                .and_then(Value::as_str)
                .filter(|id| !id.contains("${"))
                && !state.has(&format!("vpclinks/{id}"))
                && !state.has(&format!("v2/vpclinks/{id}"))
            {
                return Err(bad("Invalid VPC link id"));
            }
            let models =
                new["requestModels"].as_object().into_iter().flatten().map(|(_, m)| m.clone());
            let replies = new["methodResponses"].as_object().into_iter().flatten();
            let replies = replies.flat_map(|(_, r)| {
                r["responseModels"]
                    .as_object()
                    .cloned()
                    .unwrap_or_default()
                    .into_iter()
                    .map(|(_, m)| m)
            });
            for model in models.chain(replies) {
                need(format!("restapis/{api}/models/{}", model.as_str().unwrap_or_default()))?;
            }
        }
        ["restapis", api, "models", _] => {
            for (at, _) in text(new, "schema").match_indices("/restapis/") {
                let rest = &text(new, "schema")[at + 10..];
                if !rest.starts_with(api) {
                    return Err(bad("Invalid model specified: it refers to another API"));
                }
            }
        }
        ["restapis", api] => {
            let policy = new["policy"].as_str();
            if policy.is_some_and(|text| serde_json::from_str::<Value>(text).is_err()) {
                return Err(bad("Invalid policy document"));
            }
            for (at, _) in text(new, "policy").match_indices("arn:aws:execute-api:") {
                let rest: Vec<&str> = text(new, "policy")[at..].splitn(6, ':').collect();
                let own = [&*state.region, &*state.account];
                if rest.get(3..5) != Some(own.as_slice())
                    || !rest.get(5).is_some_and(|r| r.starts_with(*api) || r.starts_with('*'))
                {
                    return Err(bad("Invalid policy document: it is about another API"));
                }
            }
        }
        ["restapis", api, "stages", _] => {
            named(new, "deploymentId", &format!("restapis/{api}/deployments"))?;
            named(&new["canarySettings"], "deploymentId", &format!("restapis/{api}/deployments"))?;
            named(new, "documentationVersion", &format!("restapis/{api}/documentation/versions"))?;
            named(new, "clientCertificateId", "clientcertificates")?;
        }
        ["v2", list @ ("portals" | "portalproducts"), ..] => {
            super::portals::references(state, list, new)?;
        }
        ["usageplans", _] => {
            for stage in new["apiStages"].as_array().into_iter().flatten() {
                need(format!("restapis/{}/stages/{}", text(stage, "apiId"), text(stage, "stage")))?;
            }
        }
        ["v2", "apis", api, "routes", _] => {
            if let Some(id) = text(new, "target").strip_prefix("integrations/") {
                need(format!("v2/apis/{api}/integrations/{id}"))?;
            }
            named(new, "authorizerId", &format!("v2/apis/{api}/authorizers"))?;
        }
        ["v2", "apis", api, "integrations", _] => {
            let _ = api;
            named(new, "connectionId", "v2/vpclinks")?;
        }
        ["v2", "apis", api, "stages", _] => {
            named(new, "deploymentId", &format!("v2/apis/{api}/deployments"))?;
        }
        ["domainnames" | "domainnameaccessassociations", ..] => {
            of_domain(state, parts.get(2).copied().unwrap_or_default(), new)?;
        }
        _ => {}
    }
    Ok(())
}

fn need(state: &State, to: &str) -> Told<()> {
    if state.has(to) { Ok(()) } else { Err(bad(&format!("{to} does not exist"))) }
}

/// A member that names an element of a list; a variable of a stage may name anything.
fn named(state: &State, value: &Value, member: &str, list: &str) -> Told<()> {
    match value.get(member).and_then(Value::as_str) {
        Some(id) if !id.contains("${") => need(state, &format!("{list}/{id}")),
        _ => Ok(()),
    }
}

/// What lies below a domain, and what gives access to one.
fn of_domain(state: &State, list: &str, new: &Value) -> Told<()> {
    let api = |id: &str| {
        let first = format!("restapis/{id}");
        if state.has(&first) { first } else { format!("v2/apis/{id}") }
    };
    match list {
        "basepathmappings" => {
            named(state, new, "restApiId", "restapis")?;
            named(state, new, "stage", &format!("restapis/{}/stages", text(new, "restApiId")))?;
        }
        "apimappings" => {
            named(state, new, "stage", &format!("{}/stages", api(text(new, "apiId"))))?;
        }
        "routingrules" => {
            for action in new["actions"].as_array().into_iter().flatten() {
                let action = &action["invokeApi"];
                named(state, action, "stage", &format!("{}/stages", api(text(action, "apiId"))))?;
            }
        }
        _ if new.get("accessAssociationSource").is_some() => {
            let is_it =
                |(_, domain): &(String, Value)| domain["domainNameArn"] == new["domainNameArn"];
            if !state.list("domainnames").iter().any(is_it) {
                return Err(bad("Invalid domain name identifier specified"));
            }
        }
        _ => {}
    }
    Ok(())
}

/// Refuses the deletion of what is in use.
pub(super) fn may_go(state: &State, at: &str) -> Told<()> {
    let parts: Vec<&str> = at.split('/').collect();
    let any = |wanted: &dyn Fn(&str, &Value) -> bool| {
        state.objects.iter().any(|(at, value)| wanted(at, value))
    };
    match parts.as_slice() {
        ["restapis", api] => {
            let mapped = |at: &str, v: &Value| {
                at.contains("/basepathmappings/") && text(v, "restApiId") == *api
            };
            let planned =
                |at: &str, v: &Value| at.starts_with("usageplans/") && names_stage(v, api, None);
            if any(&mapped) || any(&planned) {
                return Err(bad(
                    "Please remove all base path mappings and usage plans related to the API",
                ));
            }
        }
        ["restapis", api, "stages", stage]
            if any(&|at, v| at.starts_with("usageplans/") && names_stage(v, api, Some(stage))) =>
        {
            return Err(bad("Cannot delete stages associated with usage plans"));
        }
        ["restapis", api, "deployments", id] => {
            let prefix = format!("restapis/{api}/stages/");
            let used = |at: &str, v: &Value| {
                at.starts_with(&prefix)
                    && (text(v, "deploymentId") == *id
                        || text(&v["canarySettings"], "deploymentId") == *id)
            };
            if any(&used) {
                return Err(bad(
                    "Active stages pointing to this deployment must be moved or deleted",
                ));
            }
        }
        ["restapis", api, "models", name] => {
            let prefix = format!("restapis/{api}/resources/");
            let quoted = format!("\"{name}\"");
            if any(&|at, v| at.starts_with(&prefix) && v.to_string().contains(&quoted)) {
                return Err(conflict("Cannot delete the model: a method refers to it"));
            }
        }
        ["vpclinks" | "clientcertificates", id] | ["v2", "vpclinks", id] => {
            let quoted = format!("\"{id}\"");
            if any(&|own, v| own != at && v.to_string().contains(&quoted)) {
                return Err(bad("It is in use"));
            }
        }
        ["v2", "apis", _, "integrations", id] => {
            let target = format!("integrations/{id}");
            if any(&|_, v| text(v, "target") == target) {
                return Err(conflict("Cannot delete the integration: a route refers to it"));
            }
        }
        _ => {}
    }
    Ok(())
}

fn names_stage(plan: &Value, api: &str, stage: Option<&str>) -> bool {
    let fits =
        |item: &Value| text(item, "apiId") == api && stage.is_none_or(|s| text(item, "stage") == s);
    plan["apiStages"].as_array().into_iter().flatten().any(fits)
}

/// Links become available in their time.
pub(super) fn settle_links(state: &mut State, items: &mut [(String, Value)]) {
    let now = state.seconds();
    for (at, item) in items {
        let due = state.links.get(at).is_some_and(|made| now >= made + LINK);
        for member in ["status", "vpcLinkStatus"] {
            if at.contains("vpclinks/") && text(item, member) == "PENDING" && due {
                item[member] = "AVAILABLE".into();
                state.objects.insert(at.clone(), item.clone());
            }
        }
    }
}
