//! An `OpenAPI` 3 document becomes the working copy of an API.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::reply::{Told, bad};
use super::state::{State, text};

/// `PutRestApi` with `mode=overwrite`: what the document does not say goes; an API keeps its id, its
/// root resource, its endpoints and its tags.
pub(super) fn put(state: &mut State, api: &str, body: &[u8], mode: Option<&str>) -> Told<Value> {
    if body.len() > 6 << 20 {
        return Err(bad("the document is larger than 6 MB"));
    }
    if mode != Some("overwrite") {
        return Err(bad("this double overwrites, it does not merge"));
    }
    let at = format!("restapis/{api}");
    let mut root = state.get(&at)?.clone();
    let whole: Value =
        serde_json::from_slice(body).map_err(|_| bad("Unable to parse the document"))?;
    if !text(&whole, "openapi").starts_with("3.") {
        return Err(bad("Invalid OpenAPI input"));
    }
    for list in [
        "resources",
        "models",
        "authorizers",
        "requestvalidators",
        "gatewayresponses",
        "documentation/parts",
    ] {
        let prefix = format!("{at}/{list}/");
        state.objects.retain(|path, _| !path.starts_with(&prefix));
    }
    head(&whole, &mut root);
    let root_id = text(&root, "rootResourceId").to_owned();
    state.objects.insert(at.clone(), root);
    for (name, schema) in object(&whole["components"]["schemas"]) {
        let text = schema.to_string().replace(
            "#/components/schemas/",
            &format!("https://apigateway.amazonaws.com/{at}/models/"),
        );
        let model = json!({ "id": state.id(6), "name": name, "contentType": "application/json", "schema": text });
        state.objects.insert(format!("{at}/models/{name}"), model);
    }
    let mut validators = BTreeMap::new();
    for (name, validator) in object(&whole["x-amazon-apigateway-request-validators"]) {
        let id = state.id(6);
        let mut new = validator;
        new["id"] = id.as_str().into();
        new["name"] = name.as_str().into();
        state.objects.insert(format!("{at}/requestvalidators/{id}"), new);
        validators.insert(name, id);
    }
    for (kind, response) in object(&whole["x-amazon-apigateway-gateway-responses"]) {
        let mut new = response;
        new["responseType"] = kind.as_str().into();
        new["defaultResponse"] = false.into();
        state.objects.insert(format!("{at}/gatewayresponses/{kind}"), new);
    }
    let authorizers = authorizers(state, &at, &whole);
    for part in whole["x-amazon-apigateway-documentation"]["documentationParts"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let id = state.id(6);
        let mut new = part.clone();
        new["id"] = id.as_str().into();
        state.objects.insert(format!("{at}/documentation/parts/{id}"), new);
    }
    let ids = resources(state, &at, &root_id, &whole);
    for (path, item) in object(&whole["paths"]) {
        let resource = ids.get(&path).cloned().unwrap_or_default();
        for (verb, operation) in object(&item) {
            let verb = if verb.starts_with("x-") { "ANY".to_owned() } else { verb.to_uppercase() };
            let method = method(&verb, &resource, &operation, &whole, &validators, &authorizers);
            let own = format!("{at}/resources/{resource}/methods/{verb}");
            super::checks::references(state, &own, &method)?;
            state.objects.insert(own, method);
        }
    }
    Ok(state.get(&at)?.clone())
}

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

fn head(whole: &Value, root: &mut Value) {
    let places = [
        ("name", &whole["info"]["title"]),
        ("description", &whole["info"]["description"]),
        ("policy", &whole["x-amazon-apigateway-policy"]),
        ("binaryMediaTypes", &whole["x-amazon-apigateway-binary-media-types"]),
        ("minimumCompressionSize", &whole["x-amazon-apigateway-minimum-compression-size"]),
    ];
    for (member, value) in places {
        let value = if member == "policy" && !value.is_null() {
            value.to_string().into()
        } else {
            value.clone()
        };
        match value {
            Value::Null => drop(root.as_object_mut().map(|root| root.remove(member))),
            value => root[member] = value,
        }
    }
    if let Some(source) = whole.get("x-amazon-apigateway-api-key-source") {
        root["apiKeySource"] = source.clone();
    }
}

fn authorizers(state: &mut State, at: &str, whole: &Value) -> BTreeMap<String, (String, String)> {
    let mut ids = BTreeMap::new();
    for (name, scheme) in object(&whole["components"]["securitySchemes"]) {
        let inner = object(&scheme["x-amazon-apigateway-authorizer"]);
        if inner.is_empty() {
            continue;
        }
        let id = state.id(6);
        let mut new = Value::Object(inner);
        new["id"] = id.as_str().into();
        new["name"] = name.as_str().into();
        new["type"] = text(&new, "type").to_uppercase().into();
        let kind = text(&scheme, "x-amazon-apigateway-authtype").to_owned();
        new["authType"] = kind.into();
        let method = if text(&new, "type") == "COGNITO_USER_POOLS" {
            "COGNITO_USER_POOLS"
        } else {
            "CUSTOM"
        };
        ids.insert(name, (id.clone(), method.to_owned()));
        state.objects.insert(format!("{at}/authorizers/{id}"), new);
    }
    ids
}

fn resources(state: &mut State, at: &str, root: &str, whole: &Value) -> BTreeMap<String, String> {
    let mut ids = BTreeMap::from([("/".to_owned(), root.to_owned())]);
    state.objects.insert(format!("{at}/resources/{root}"), json!({ "id": root, "path": "/" }));
    for path in object(&whole["paths"]).keys() {
        let mut above = "/".to_owned();
        let mut own = String::new();
        for part in path.split('/').filter(|part| !part.is_empty()) {
            own = format!("{own}/{part}");
            if !ids.contains_key(&own) {
                let id = state.id(6);
                let new =
                    json!({ "id": id, "parentId": ids[&above], "path": own, "pathPart": part });
                state.objects.insert(format!("{at}/resources/{id}"), new);
                ids.insert(own.clone(), id);
            }
            above.clone_from(&own);
        }
    }
    ids
}

fn models(content: &Value) -> Map<String, Value> {
    let name =
        |schema: &Value| text(schema, "$ref").rsplit('/').next().unwrap_or_default().to_owned();
    object(content).into_iter().map(|(kind, c)| (kind, name(&c["schema"]).into())).collect()
}

fn method(
    verb: &str,
    resource: &str,
    operation: &Value,
    whole: &Value,
    validators: &BTreeMap<String, String>,
    authorizers: &BTreeMap<String, (String, String)>,
) -> Value {
    let mut new =
        json!({ "httpMethod": verb, "authorizationType": "NONE", "apiKeyRequired": false });
    if let Some(name) = operation.get("operationId") {
        new["operationName"] = name.clone();
    }
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let place =
            if text(parameter, "in") == "query" { "querystring" } else { text(parameter, "in") };
        let name = format!("method.request.{place}.{}", text(parameter, "name"));
        new["requestParameters"][name] = parameter["required"].clone();
    }
    let content = models(&operation["requestBody"]["content"]);
    if !content.is_empty() {
        new["requestModels"] = content.into();
    }
    for (code, response) in object(&operation["responses"]) {
        let mut one = json!({ "statusCode": code });
        let content = models(&response["content"]);
        if !content.is_empty() {
            one["responseModels"] = content.into();
        }
        for name in object(&response["headers"]).keys() {
            one["responseParameters"][format!("method.response.header.{name}")] = false.into();
        }
        new["methodResponses"][code] = one;
    }
    for (name, scopes) in operation["security"].as_array().into_iter().flatten().flat_map(object) {
        let scheme = &whole["components"]["securitySchemes"][&name];
        if let Some((id, kind)) = authorizers.get(&name) {
            new["authorizerId"] = id.as_str().into();
            new["authorizationType"] = kind.as_str().into();
            if scopes.as_array().is_some_and(|scopes| !scopes.is_empty()) {
                new["authorizationScopes"] = scopes;
            }
        } else if text(scheme, "x-amazon-apigateway-authtype") == "awsSigv4" {
            new["authorizationType"] = "AWS_IAM".into();
        } else if text(scheme, "name") == "x-api-key" {
            new["apiKeyRequired"] = true.into();
        }
    }
    if let Some(id) = validators.get(text(operation, "x-amazon-apigateway-request-validator")) {
        new["requestValidatorId"] = id.as_str().into();
    }
    let integration = object(&operation["x-amazon-apigateway-integration"]);
    if !integration.is_empty() {
        new["methodIntegration"] = integrated(integration, resource);
    }
    new
}

fn integrated(mut said: Map<String, Value>, resource: &str) -> Value {
    let responses = said.remove("responses");
    let mut new = json!({ "passthroughBehavior": "WHEN_NO_MATCH", "timeoutInMillis": 29000,
        "cacheNamespace": resource, "cacheKeyParameters": [] });
    for (name, value) in said {
        let upper = ["type", "passthroughBehavior"].contains(&name.as_str());
        new[&name] = match value.as_str() {
            Some(text) if upper => text.to_uppercase().into(),
            _ => value,
        };
    }
    for (pattern, response) in responses.as_ref().and_then(Value::as_object).into_iter().flatten() {
        let mut one = response.clone();
        let code = text(response, "statusCode").to_owned();
        if pattern != "default" {
            one["selectionPattern"] = pattern.as_str().into();
        }
        new["integrationResponses"][code] = one;
    }
    new
}
