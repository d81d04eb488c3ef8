//! An HTTP API as `OpenAPI` 3 with the service's extensions, and back.

use serde_json::{Map, Value, json};

use super::checks;
use super::reply::{Reply, Told, bad, missing};
use super::request::Request;
use super::state::{State, members, text};

/// What of an integration is called otherwise in a document.
const INTEGRATION: &[(&str, &str)] = &[
    ("integrationType", "type"),
    ("integrationMethod", "httpMethod"),
    ("integrationUri", "uri"),
    ("credentialsArn", "credentials"),
];
/// What of an authorizer is called otherwise in a document.
const AUTHORIZER: &[(&str, &str)] =
    &[("authorizerType", "type"), ("authorizerCredentialsArn", "authorizerCredentials")];
/// What a document says of an API, and where.
const ROOT: &[(&str, &str)] = &[
    ("name", "/info/title"),
    ("description", "/info/description"),
    ("corsConfiguration", "/x-amazon-apigateway-cors"),
];

/// A deployment holds what the API is at this moment.
pub(super) fn keep(state: &mut State, api: &str, deployment: &Value) -> Told<()> {
    let held = snapshot(state, api)?;
    let at = format!("{api}/deployments/{}/snapshot", text(deployment, "deploymentId"));
    state.objects.insert(at, held);
    Ok(())
}

fn snapshot(state: &State, api: &str) -> Told<Value> {
    let kept = ["routes/", "integrations/", "authorizers/"];
    let below = state.below(api).into_iter();
    let mut held: Map<String, Value> =
        below.filter(|(path, _)| kept.iter().any(|k| path.starts_with(k))).collect();
    held.insert("api".into(), state.get(api)?.clone());
    Ok(held.into())
}

/// `ExportApi`: of what a stage serves, or of the working copy.
pub(super) fn export(state: &State, request: &Request<'_>) -> Told<Reply> {
    let api = format!("v2/apis/{}", request.path.get(2).map_or("", String::as_str));
    if text(state.get(&api)?, "protocolType") != "HTTP" {
        return Err(bad("Exporting is only supported for HTTP APIs"));
    }
    if request.path.last().is_none_or(|kind| kind != "OAS30")
        || request.asks("outputType") != Some("JSON")
    {
        return Err(bad("this double exports OAS30 as JSON alone"));
    }
    let stage = match request.asks("stageName") {
        Some(name) => Some(state.get(&format!("{api}/stages/{name}"))?),
        None => None,
    };
    let held = match stage.filter(|stage| stage["autoDeploy"] != true) {
        Some(stage) => {
            let at = format!("{api}/deployments/{}/snapshot", text(stage, "deploymentId"));
            state.objects.get(&at).cloned().ok_or_else(|| missing(&at))?
        }
        None => snapshot(state, &api)?,
    };
    Ok(Reply::json(200, &said(state, &held)))
}

fn said(state: &State, held: &Value) -> Value {
    let all = members(held);
    let root = &held["api"];
    let mut whole = json!({ "openapi": "3.0.1", "info": { "version": root["createdDate"] },
        "servers": [{ "url": format!("https://{}.execute-api.{}.amazonaws.com", text(root, "apiId"), state.region) }],
        "paths": {}, "components": { "securitySchemes": {} },
        "x-amazon-apigateway-importexport-version": "1.0" });
    for (member, at) in ROOT {
        let (above, name) = at.rsplit_once('/').unwrap_or_default();
        if let Some((value, place)) = root.get(*member).zip(whole.pointer_mut(above)) {
            place[name] = value.clone();
        }
    }
    for (_, route) in all.iter().filter(|(at, _)| at.starts_with("routes/")) {
        let key = text(route, "routeKey");
        let (verb, path) = key.split_once(' ').unwrap_or(("ANY", "/$default"));
        let verb = match verb {
            "ANY" => "x-amazon-apigateway-any-method".to_owned(),
            verb => verb.to_lowercase(),
        };
        let mut operation = json!({ "responses": { "default": { "description": format!("Default response for {key}") } } });
        if key == "$default" {
            operation["isDefaultRoute"] = true.into();
        }
        if let Some(name) = route.get("operationName") {
            operation["operationId"] = name.clone();
        }
        let authorizer = all.get(&format!("authorizers/{}", text(route, "authorizerId")));
        if let Some(authorizer) = authorizer {
            let name = text(authorizer, "name").to_owned();
            let scopes = route.get("authorizationScopes").cloned().unwrap_or_else(|| json!([]));
            let mut inner = renamed(authorizer, AUTHORIZER, &["authorizerId", "name"], false);
            let sources = authorizer["identitySource"].as_array().into_iter().flatten();
            let sources: Vec<&str> = sources.filter_map(Value::as_str).collect();
            inner["identitySource"] = sources.join(", ").into();
            inner["type"] = text(&inner, "type").to_lowercase().into();
            let kind = if inner["type"] == "jwt" { "oauth2" } else { "apiKey" };
            whole["components"]["securitySchemes"][&name] =
                json!({ "type": kind, "x-amazon-apigateway-authorizer": inner });
            operation["security"] = json!([{ name: scopes }]);
        } else if text(route, "authorizationType") == "AWS_IAM" {
            operation["x-amazon-apigateway-auth"] = json!({ "type": "AWS_IAM" });
        }
        let target = text(route, "target").strip_prefix("integrations/").unwrap_or_default();
        if let Some(integration) = all.get(&format!("integrations/{target}")) {
            let mut inner = renamed(integration, INTEGRATION, &["integrationId"], false);
            inner["type"] = text(&inner, "type").to_lowercase().into();
            operation["x-amazon-apigateway-integration"] = inner;
        }
        whole["paths"][path][verb] = operation;
    }
    whole
}

/// The members of an object under their names in a document, or back, without some.
fn renamed(value: &Value, names: &[(&str, &str)], without: &[&str], back: bool) -> Value {
    let name = |own: String| {
        let found = names.iter().find(|(here, there)| own == if back { *there } else { *here });
        found.map_or(own, |(here, there)| if back { *here } else { *there }.to_owned())
    };
    let kept = members(value).into_iter().filter(|(own, _)| !without.contains(&own.as_str()));
    kept.map(|(own, value)| (name(own), value)).collect::<Map<_, _>>().into()
}

/// `ReimportApi`: what the document does not say goes; everything that it says is new.
pub(super) fn reimport(state: &mut State, at: &str, body: &Map<String, Value>) -> Told<Value> {
    let mut root = state.get(at)?.clone();
    if text(&root, "protocolType") != "HTTP" {
        return Err(bad("Importing is only supported for HTTP APIs"));
    }
    let document = body.get("body").and_then(Value::as_str).unwrap_or_default();
    let whole: Value =
        serde_json::from_str(document).map_err(|_| bad("Unable to parse the document"))?;
    if !text(&whole, "openapi").starts_with("3.") {
        return Err(bad("Invalid OpenAPI input"));
    }
    for list in ["routes", "integrations", "authorizers"] {
        let prefix = format!("{at}/{list}/");
        state.objects.retain(|path, _| !path.starts_with(&prefix));
    }
    for (member, place) in ROOT {
        match whole.pointer(place) {
            Some(value) => root[*member] = value.clone(),
            None => drop(root.as_object_mut().map(|root| root.remove(*member))),
        }
    }
    state.objects.insert(at.to_owned(), root.clone());
    let mut authorizers = Map::new();
    for (name, scheme) in members(&whole["components"]["securitySchemes"]) {
        let id = state.id(6);
        let inner = &scheme["x-amazon-apigateway-authorizer"];
        let mut new = renamed(inner, AUTHORIZER, &[], true);
        let sources: Vec<&str> = text(inner, "identitySource").split(", ").collect();
        new["identitySource"] = json!(sources);
        new["authorizerType"] = text(&new, "authorizerType").to_uppercase().into();
        new["name"] = name.as_str().into();
        new["authorizerId"] = id.as_str().into();
        state.objects.insert(format!("{at}/authorizers/{id}"), new);
        authorizers.insert(name, id.into());
    }
    for (path, item) in members(&whole["paths"]) {
        for (verb, operation) in members(&item) {
            let key = match verb.as_str() {
                _ if operation["isDefaultRoute"] == true => "$default".to_owned(),
                "x-amazon-apigateway-any-method" => format!("ANY {path}"),
                verb => format!("{} {path}", verb.to_uppercase()),
            };
            route(state, at, &key, &operation, &authorizers)?;
        }
    }
    Ok(root)
}

fn route(
    state: &mut State,
    at: &str,
    key: &str,
    operation: &Value,
    authorizers: &Map<String, Value>,
) -> Told<()> {
    let mut new = json!({ "routeKey": key, "apiKeyRequired": false, "authorizationType": "NONE" });
    if let Some(name) = operation.get("operationId") {
        new["operationName"] = name.clone();
    }
    if let Some(auth) = operation.pointer("/x-amazon-apigateway-auth/type") {
        new["authorizationType"] = auth.clone();
    }
    for (name, scopes) in operation["security"].as_array().into_iter().flatten().flat_map(members) {
        let Some(id) = authorizers.get(&name) else { return Err(bad("an unknown scheme")) };
        let own = state.get(&format!("{at}/authorizers/{}", id.as_str().unwrap_or_default()))?;
        let kind = if own["authorizerType"] == "JWT" { "JWT" } else { "CUSTOM" };
        new["authorizationType"] = kind.into();
        new["authorizerId"] = id.clone();
        if scopes.as_array().is_some_and(|scopes| !scopes.is_empty()) {
            new["authorizationScopes"] = scopes;
        }
    }
    if let Some(inner) = operation.get("x-amazon-apigateway-integration") {
        let id = state.id(7);
        let mut integration = renamed(inner, INTEGRATION, &[], true);
        integration["integrationType"] =
            text(&integration, "integrationType").to_uppercase().into();
        integration["integrationId"] = id.as_str().into();
        let own = format!("{at}/integrations/{id}");
        checks::references(state, &own, &integration)?;
        state.objects.insert(own, integration);
        new["target"] = format!("integrations/{id}").into();
    }
    let id = state.id(7);
    new["routeId"] = id.as_str().into();
    state.objects.insert(format!("{at}/routes/{id}"), new);
    Ok(())
}
