//! The working copy of a REST API as `OpenAPI` with the service's extensions.

use gwbackup_core::model::Key;
use serde_json::{Map, Value, json};

use super::Work;

/// Of the view after the step. What it cannot say is put right by calls of its own.
pub(super) fn of(work: &Work<'_>) -> String {
    let (mut paths, mut models, mut schemes) = (Map::new(), Map::new(), Map::new());
    let (mut validators, mut responses, mut notes) = (Map::new(), Map::new(), Vec::new());
    let mut info = json!({ "title": "api", "version": "1" });
    let mut settings = Map::new();
    for (key, state) in &work.after {
        let (document, open) = work.resolved(state);
        let document = work.body(&state.resource, &document).without(open);
        let mut value = document.to_value();
        let name = key.id.last().into_owned();
        match key.kind.as_str() {
            "rest_api" => root(&value, &mut info, &mut settings),
            "rest_model" => {
                let text = value["schema"].as_str().unwrap_or("{}");
                models.insert(name, serde_json::from_str(text).unwrap_or_else(|_| json!({})));
            }
            "rest_request_validator" => {
                remove(&mut value, "name");
                validators.insert(name, value);
            }
            "rest_authorizer" => {
                schemes.insert(name, scheme(&value));
            }
            "rest_gateway_response" => {
                remove(&mut value, "responseType");
                responses.insert(name, value);
            }
            "rest_documentation_part" => notes.push(value),
            "rest_resource" => {
                paths.entry(name).or_insert_with(|| json!({}));
            }
            "rest_method" => {
                let path = key.id.segments().nth(1).unwrap_or_default().into_owned();
                let verb = if name == "ANY" {
                    "x-amazon-apigateway-any-method".to_owned()
                } else {
                    name.to_lowercase()
                };
                let operation = operation(work, &value, &mut schemes);
                let path = paths.entry(path).or_insert_with(|| json!({}));
                path[verb] = operation;
            }
            _ => {}
        }
    }
    let mut whole = json!({ "openapi": "3.0.1", "info": info, "paths": paths,
        "components": { "schemas": models, "securitySchemes": schemes } });
    if let Value::Object(whole) = &mut whole {
        whole.extend(settings);
        whole.insert("x-amazon-apigateway-request-validators".into(), validators.into());
        whole.insert("x-amazon-apigateway-gateway-responses".into(), responses.into());
        if !notes.is_empty() {
            let documentation = json!({ "documentationParts": notes });
            whole.insert("x-amazon-apigateway-documentation".into(), documentation);
        }
    }
    whole.to_string()
}

fn remove(value: &mut Value, member: &str) -> Option<Value> {
    value.as_object_mut()?.remove(member)
}

/// What the document as a whole says of the API.
fn root(api: &Value, info: &mut Value, settings: &mut Map<String, Value>) {
    for (member, place) in
        [("name", "title"), ("description", "description"), ("version", "version")]
    {
        if let Some(value) = api.get(member) {
            info[place] = value.clone();
        }
    }
    for (member, place) in [
        ("binaryMediaTypes", "x-amazon-apigateway-binary-media-types"),
        ("minimumCompressionSize", "x-amazon-apigateway-minimum-compression-size"),
        ("apiKeySource", "x-amazon-apigateway-api-key-source"),
    ] {
        if let Some(value) = api.get(member) {
            settings.insert(place.to_owned(), value.clone());
        }
    }
    let policy = api["policy"].as_str();
    let policy = policy.and_then(|text| serde_json::from_str(text).ok());
    settings.extend(policy.map(|policy: Value| ("x-amazon-apigateway-policy".to_owned(), policy)));
}

fn scheme(authorizer: &Value) -> Value {
    let text = |member: &str| authorizer[member].as_str().unwrap_or_default();
    let source = text("identitySource");
    let header = source.strip_prefix("method.request.header.").filter(|h| !h.contains(','));
    let mut inner = authorizer.clone();
    for member in ["name", "authType"] {
        remove(&mut inner, member);
    }
    inner["type"] = text("type").to_lowercase().into();
    let kind = if text("type") == "COGNITO_USER_POOLS" { "cognito_user_pools" } else { "custom" };
    let kind = if text("authType").is_empty() { kind } else { text("authType") };
    json!({ "type": "apiKey", "name": header.unwrap_or("Unused"), "in": "header",
        "x-amazon-apigateway-authtype": kind, "x-amazon-apigateway-authorizer": inner })
}

fn operation(work: &Work<'_>, method: &Value, schemes: &mut Map<String, Value>) -> Value {
    let mut operation = Map::new();
    if let Some(name) = method.get("operationName") {
        operation.insert("operationId".into(), name.clone());
    }
    let mut parameters = Vec::new();
    for (name, required) in entries(method, "requestParameters") {
        let mut parts = name.splitn(4, '.').skip(2);
        let (place, name) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let place = if place == "querystring" { "query" } else { place };
        parameters.push(json!({ "name": name, "in": place, "required": required,
            "schema": { "type": "string" } }));
    }
    if !parameters.is_empty() {
        operation.insert("parameters".into(), parameters.into());
    }
    let content = content(method, "requestModels");
    if !content.is_empty() {
        operation.insert("requestBody".into(), json!({ "content": content, "required": true }));
    }
    operation.insert("responses".into(), responses(method).into());
    if let Some(security) = security(work, method, schemes) {
        operation.insert("security".into(), security);
    }
    if let Some(validator) = named(work, method, "requestValidatorId", "rest_request_validator") {
        operation.insert("x-amazon-apigateway-request-validator".into(), validator.into());
    }
    if let Some(integration) = method.get("methodIntegration") {
        operation.insert("x-amazon-apigateway-integration".into(), self::integration(integration));
    }
    operation.into()
}

fn entries<'a>(value: &'a Value, member: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    value.get(member).and_then(Value::as_object).into_iter().flatten()
}

fn content(value: &Value, member: &str) -> Map<String, Value> {
    let schema = |model: &Value| {
        let name = model.as_str().unwrap_or_default();
        json!({ "schema": { "$ref": format!("#/components/schemas/{name}") } })
    };
    entries(value, member).map(|(kind, model)| (kind.clone(), schema(model))).collect()
}

fn responses(method: &Value) -> Map<String, Value> {
    let one = |(code, response): (&String, &Value)| {
        let headers: Map<String, Value> = entries(response, "responseParameters")
            .filter_map(|(name, _)| {
                let name = name.strip_prefix("method.response.header.")?;
                Some((name.to_owned(), json!({ "schema": { "type": "string" } })))
            })
            .collect();
        let mut said = json!({ "description": format!("{code} response"),
            "content": content(response, "responseModels") });
        if !headers.is_empty() {
            said["headers"] = headers.into();
        }
        (code.clone(), said)
    };
    entries(method, "methodResponses").map(one).collect()
}

fn security(work: &Work<'_>, method: &Value, schemes: &mut Map<String, Value>) -> Option<Value> {
    let mut all = Vec::new();
    if method["apiKeyRequired"] == true {
        schemes.insert(
            "api_key".into(),
            json!({ "type": "apiKey", "name": "x-api-key", "in": "header" }),
        );
        all.push(json!({ "api_key": [] }));
    }
    if method["authorizationType"] == "AWS_IAM" {
        schemes.insert(
            "sigv4".into(),
            json!({ "type": "apiKey", "name": "Authorization",
            "in": "header", "x-amazon-apigateway-authtype": "awsSigv4" }),
        );
        all.push(json!({ "sigv4": [] }));
    } else if let Some(name) = named(work, method, "authorizerId", "rest_authorizer") {
        let scopes = method.get("authorizationScopes").cloned().unwrap_or_else(|| json!([]));
        all.push(json!({ name: scopes }));
    }
    (!all.is_empty()).then(|| all.into())
}

/// The name of what a member names by the service's id.
fn named(work: &Work<'_>, method: &Value, member: &str, kind: &str) -> Option<String> {
    let id = method.get(member)?.as_str()?;
    let own = |(key, state): (&Key, _)| {
        let document = work.resolved(state).0;
        let live = work.live.get(&work.place(key)).and_then(|node| node.address.last());
        let is =
            document.text("/id").is_some_and(|own| own == id) || live.is_some_and(|own| own == id);
        (key.kind.as_str() == kind && is).then(|| key.id.last().into_owned())
    };
    work.after.iter().find_map(own)
}

fn integration(integration: &Value) -> Value {
    let mut said = integration.clone();
    for member in ["type", "passthroughBehavior"] {
        if let Some(text) = integration[member].as_str() {
            said[member] = text.to_lowercase().into();
        }
    }
    let responses = remove(&mut said, "integrationResponses");
    let mut by_pattern = Map::new();
    for (code, response) in responses.as_ref().and_then(Value::as_object).into_iter().flatten() {
        let mut response = response.clone();
        let pattern = remove(&mut response, "selectionPattern");
        response["statusCode"] = code.as_str().into();
        let pattern = pattern.as_ref().and_then(Value::as_str).filter(|text| !text.is_empty());
        by_pattern.insert(pattern.unwrap_or("default").to_owned(), response);
    }
    if !by_pattern.is_empty() {
        said["responses"] = by_pattern.into();
    }
    said
}
