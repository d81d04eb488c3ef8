//! What a stage serves, as `OpenAPI` 3 with the service's extensions.

use serde_json::{Map, Value, json};

use super::reply::{Reply, Told, bad, missing};
use super::request::Request;
use super::state::{State, text};

/// `GetExport`: of the deployment that the stage serves.
pub(super) fn of(state: &State, request: &Request<'_>) -> Told<Reply> {
    let api = request.path.get(1).cloned().unwrap_or_default();
    let stage = request.path.get(3).cloned().unwrap_or_default();
    if request.path.last().is_none_or(|kind| kind != "oas30") {
        return Err(bad("this double exports oas30 alone"));
    }
    let found = state.get(&format!("restapis/{api}/stages/{stage}"))?;
    let at = format!("restapis/{api}/deployments/{}/snapshot", text(found, "deploymentId"));
    let snapshot = state.objects.get(&at).ok_or_else(|| missing(&at))?;
    let extensions = request.query.iter().find(|(name, _)| name == "extensions");
    let extensions = extensions.map(|(_, value)| value.as_str()).unwrap_or_default();
    let whole = openapi(state, &api, &stage, snapshot, extensions);
    Ok(Reply::json(200, &whole))
}

fn openapi(state: &State, api: &str, stage: &str, snapshot: &Value, extensions: &str) -> Value {
    let all = snapshot.as_object().cloned().unwrap_or_default();
    let below = |prefix: &'static str| {
        all.iter().filter_map(move |(path, value)| Some((path.strip_prefix(prefix)?, value)))
    };
    let root = &snapshot["api"];
    let mut info = json!({ "title": root["name"], "version": format!("{}", root["createdDate"]) });
    for member in ["description", "version"] {
        if let Some(value) = root.get(member) {
            info[member] = value.clone();
        }
    }
    let mut schemes = Map::new();
    let mut paths = Map::new();
    for (_, resource) in below("resources/").filter(|(rest, _)| !rest.contains('/')) {
        let path = text(resource, "path");
        let prefix = format!("{}/methods/", text(resource, "id"));
        let mut item = Map::new();
        for (rest, method) in below("resources/") {
            let Some(verb) = rest.strip_prefix(&prefix) else { continue };
            let verb = if verb == "ANY" {
                "x-amazon-apigateway-any-method".into()
            } else {
                verb.to_lowercase()
            };
            item.insert(
                verb,
                operation(method, text(resource, "id"), &all, &mut schemes, extensions),
            );
        }
        if path != "/" || !item.is_empty() {
            paths.insert(path.to_owned(), item.into());
        }
    }
    let mut schemas = Map::new();
    for (name, model) in below("models/") {
        let schema = text(model, "schema").replace(
            &format!("https://apigateway.amazonaws.com/restapis/{api}/models/"),
            "#/components/schemas/",
        );
        schemas.insert(name.to_owned(), serde_json::from_str(&schema).unwrap_or_default());
    }
    let url = format!("https://{api}.execute-api.{}.amazonaws.com/{{basePath}}", state.region);
    let mut whole = json!({ "openapi": "3.0.1", "info": info, "paths": paths,
        "servers": [{ "url": url, "variables": { "basePath": { "default": format!("/{stage}") } } }],
        "components": { "schemas": schemas, "securitySchemes": schemes } });
    if extensions.contains("apigateway") {
        extend(&mut whole, root, &all);
    }
    whole
}

fn extend(whole: &mut Value, root: &Value, all: &Map<String, Value>) {
    let below = |prefix: &'static str| {
        all.iter().filter_map(move |(path, value)| Some((path.strip_prefix(prefix)?, value)))
    };
    let without = |value: &Value, members: &[&str]| {
        let mut kept = value.as_object().cloned().unwrap_or_default();
        kept.retain(|name, _| !members.contains(&name.as_str()));
        Value::Object(kept)
    };
    for (member, place) in [
        ("binaryMediaTypes", "x-amazon-apigateway-binary-media-types"),
        ("minimumCompressionSize", "x-amazon-apigateway-minimum-compression-size"),
        ("apiKeySource", "x-amazon-apigateway-api-key-source"),
    ] {
        if let Some(value) = root.get(member) {
            whole[place] = value.clone();
        }
    }
    if let Ok(policy) = serde_json::from_str::<Value>(text(root, "policy")) {
        whole["x-amazon-apigateway-policy"] = policy;
    }
    let validators: Map<String, Value> = below("requestvalidators/")
        .map(|(_, v)| (text(v, "name").to_owned(), without(v, &["id", "name"])))
        .collect();
    if !validators.is_empty() {
        whole["x-amazon-apigateway-request-validators"] = validators.into();
    }
    let responses: Map<String, Value> = below("gatewayresponses/")
        .map(|(kind, v)| (kind.to_owned(), without(v, &["responseType", "defaultResponse"])))
        .collect();
    if !responses.is_empty() {
        whole["x-amazon-apigateway-gateway-responses"] = responses.into();
    }
}

fn operation(
    method: &Value,
    resource: &str,
    all: &Map<String, Value>,
    schemes: &mut Map<String, Value>,
    extensions: &str,
) -> Value {
    let mut said = json!({});
    if let Some(name) = method.get("operationName") {
        said["operationId"] = name.clone();
    }
    let parameters: Vec<Value> = method["requestParameters"].as_object().into_iter().flatten().map(|(name, required)| {
        let mut parts = name.splitn(4, '.').skip(2);
        let place = parts.next().unwrap_or_default();
        let place = if place == "querystring" { "query" } else { place };
        json!({ "name": parts.next(), "in": place, "required": required, "schema": { "type": "string" } })
    }).collect();
    if !parameters.is_empty() {
        said["parameters"] = parameters.into();
    }
    let content = |models: &Value| -> Map<String, Value> {
        let schema = |model: &Value| {
            json!({ "schema": {
            "$ref": format!("#/components/schemas/{}", model.as_str().unwrap_or_default()) } })
        };
        models
            .as_object()
            .into_iter()
            .flatten()
            .map(|(kind, model)| (kind.clone(), schema(model)))
            .collect()
    };
    if method["requestModels"].is_object() {
        said["requestBody"] =
            json!({ "content": content(&method["requestModels"]), "required": true });
    }
    let mut responses = Map::new();
    for (code, response) in method["methodResponses"].as_object().into_iter().flatten() {
        let mut one = json!({ "description": format!("{code} response"), "content": content(&response["responseModels"]) });
        for (name, _) in response["responseParameters"].as_object().into_iter().flatten() {
            let name = name.trim_start_matches("method.response.header.");
            one["headers"][name] = json!({ "schema": { "type": "string" } });
        }
        responses.insert(code.clone(), one);
    }
    said["responses"] = responses.into();
    let mut security = Vec::new();
    if method["apiKeyRequired"] == true {
        schemes.insert(
            "api_key".into(),
            json!({ "type": "apiKey", "name": "x-api-key", "in": "header" }),
        );
        security.push(json!({ "api_key": [] }));
    }
    if text(method, "authorizationType") == "AWS_IAM" {
        schemes.insert(
            "sigv4".into(),
            json!({ "type": "apiKey", "name": "Authorization", "in": "header",
            "x-amazon-apigateway-authtype": "awsSigv4" }),
        );
        security.push(json!({ "sigv4": [] }));
    }
    if let Some(authorizer) = all.get(&format!("authorizers/{}", text(method, "authorizerId"))) {
        let name = text(authorizer, "name").to_owned();
        if extensions.contains("authorizers") {
            schemes.insert(name.clone(), scheme(authorizer));
        }
        let scopes = method.get("authorizationScopes").cloned().unwrap_or_else(|| json!([]));
        security.push(json!({ name: scopes }));
    }
    if !security.is_empty() {
        said["security"] = security.into();
    }
    if extensions.contains("apigateway") {
        if let Some(validator) =
            all.get(&format!("requestvalidators/{}", text(method, "requestValidatorId")))
        {
            said["x-amazon-apigateway-request-validator"] = validator["name"].clone();
        }
        if let Some(integration) = method["methodIntegration"].as_object() {
            said["x-amazon-apigateway-integration"] = integrated(integration, resource);
        }
    }
    said
}

fn scheme(authorizer: &Value) -> Value {
    let header = text(authorizer, "identitySource").strip_prefix("method.request.header.");
    let mut inner = authorizer.as_object().cloned().unwrap_or_default();
    inner.retain(|name, _| !["id", "name", "authType"].contains(&name.as_str()));
    inner.insert("type".into(), text(authorizer, "type").to_lowercase().into());
    let kind = match (text(authorizer, "authType"), text(authorizer, "type")) {
        ("", "COGNITO_USER_POOLS") => "cognito_user_pools",
        ("", _) => "custom",
        (kind, _) => kind,
    };
    json!({ "type": "apiKey", "name": header.unwrap_or("Unused"), "in": "header",
        "x-amazon-apigateway-authtype": kind, "x-amazon-apigateway-authorizer": inner })
}

fn integrated(integration: &Map<String, Value>, resource: &str) -> Value {
    let mut said = integration.clone();
    for member in ["type", "passthroughBehavior"] {
        if let Some(value) = said.get(member).and_then(Value::as_str).map(str::to_lowercase) {
            said.insert(member.into(), value.into());
        }
    }
    // The default is the resource's own id, which means nothing elsewhere.
    if said.get("cacheNamespace").and_then(Value::as_str) == Some(resource) {
        said.remove("cacheNamespace");
    }
    let mut patterns = Map::new();
    for (code, response) in said
        .remove("integrationResponses")
        .as_ref()
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        let mut response = response.as_object().cloned().unwrap_or_default();
        response.insert("statusCode".into(), code.as_str().into());
        let pattern = response.remove("selectionPattern");
        let pattern =
            pattern.as_ref().and_then(Value::as_str).filter(|p| !p.is_empty()).unwrap_or("default");
        patterns.insert(pattern.to_owned(), response.into());
    }
    if !patterns.is_empty() {
        said.insert("responses".into(), patterns.into());
    }
    said.into()
}
