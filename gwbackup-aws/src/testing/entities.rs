//! What each operation does.

use serde_json::{Map, Value, json};

use super::checks;
use super::export;
use super::http_api;
use super::import;
use super::patch;
use super::portals;
use super::reply::{Refusal, Reply, Told, bad, conflict, missing};
use super::request::{Request, joined};
use super::state::{State, members, text};

/// Where a list's elements get their name from: list, the member in the address, and what a new one
/// has. A member that begins with `+` is assigned, with so many characters.
const LISTS: &[(&str, &str, usize, &str)] = &[
    ("apikeys", "id", 10, r#"{"enabled":false,"stageKeys":[]}"#),
    ("clientcertificates", "clientCertificateId", 6, "{}"),
    (
        "domainnames",
        "domainName",
        0,
        r#"{"domainNameStatus":"AVAILABLE","securityPolicy":"TLS_1_2","routingMode":"API_MAPPING_ONLY"}"#,
    ),
    ("basepathmappings", "basePath", 0, r#"{"basePath":"(none)"}"#),
    (
        "restapis",
        "id",
        10,
        r#"{"apiKeySource":"HEADER","disableExecuteApiEndpoint":false,"endpointConfiguration":{"types":["EDGE"]}}"#,
    ),
    ("models", "name", 0, "{}"),
    (
        "requestvalidators",
        "id",
        6,
        r#"{"validateRequestBody":false,"validateRequestParameters":false}"#,
    ),
    ("authorizers", "id", 6, "{}"),
    ("parts", "id", 6, "{}"),
    ("versions", "version", 0, "{}"),
    ("deployments", "id", 6, "{}"),
    (
        "stages",
        "stageName",
        0,
        r#"{"cacheClusterEnabled":false,"cacheClusterStatus":"NOT_AVAILABLE","methodSettings":{},"tracingEnabled":false}"#,
    ),
    ("usageplans", "id", 6, r#"{"apiStages":[]}"#),
    ("keys", "id", 0, "{}"),
    ("vpclinks", "id", 6, r#"{"status":"PENDING"}"#),
    (
        "v2/apis",
        "apiId",
        10,
        r#"{"apiKeySelectionExpression":"$request.header.x-api-key","disableExecuteApiEndpoint":false,"routeSelectionExpression":"$request.method $request.path"}"#,
    ),
    ("v2/authorizers", "authorizerId", 6, "{}"),
    ("v2/models", "modelId", 6, "{}"),
    (
        "v2/integrations",
        "integrationId",
        7,
        r#"{"connectionType":"INTERNET","timeoutInMillis":30000}"#,
    ),
    ("v2/integrationresponses", "integrationResponseId", 7, "{}"),
    ("v2/routes", "routeId", 7, r#"{"apiKeyRequired":false,"authorizationType":"NONE"}"#),
    ("v2/routeresponses", "routeResponseId", 7, "{}"),
    (
        "v2/deployments",
        "deploymentId",
        6,
        r#"{"deploymentStatus":"DEPLOYED","autoDeployed":false}"#,
    ),
    (
        "v2/stages",
        "stageName",
        0,
        r#"{"defaultRouteSettings":{"detailedMetricsEnabled":false},"routeSettings":{},"stageVariables":{},"tags":{}}"#,
    ),
    ("v2/apimappings", "apiMappingId", 6, "{}"),
    ("v2/routingrules", "routingRuleId", 8, "{}"),
    ("domainnameaccessassociations", "domainNameAccessAssociationArn", 0, "{}"),
    (
        "v2/portals",
        "portalId",
        10,
        r#"{"includedPortalProductArns":[],"publishStatus":"DISABLED"}"#,
    ),
    ("v2/portalproducts", "portalProductId", 10, r#"{"description":""}"#),
    ("v2/productpages", "productPageId", 10, "{}"),
    (
        "v2/productrestendpointpages",
        "productRestEndpointPageId",
        10,
        r#"{"status":"AVAILABLE","tryItState":"DISABLED"}"#,
    ),
    ("v2/vpclinks", "vpcLinkId", 6, r#"{"vpcLinkStatus":"PENDING","vpcLinkVersion":"V2"}"#),
];

type Row = &'static (&'static str, &'static str, usize, &'static str);

fn row(path: &[String], list: Option<&String>) -> Option<Row> {
    let second = path.first().is_some_and(|part| part == "v2");
    let name = if second { format!("v2/{}", list?) } else { list?.clone() };
    LISTS.iter().find(|row| row.0 == name)
}

/// Both versions of the API keep their domains in one place.
fn stored(at: &str) -> String {
    match at.strip_prefix("v2/domainnames") {
        Some(rest) => format!("domainnames{rest}"),
        None => at.to_owned(),
    }
}

/// Finds the operation, checks the body, and does it.
pub(super) fn handle(state: &mut State, request: &Request<'_>) -> Told<Reply> {
    let operations = std::sync::Arc::clone(&state.operations);
    let found = operations.iter().find(|op| op.answers(request.method, &request.path));
    let Some(operation) = found else {
        let message = format!("no operation answers {} {}", request.method, request.at());
        return Err(Refusal { status: 403, code: "MissingAuthenticationTokenException", message });
    };
    let name = operation.name.as_str();
    if !matches!(name, "PutRestApi" | "ImportRestApi" | "ImportApi" | "ReimportApi") {
        operation.check(&request.object()?)?;
    }
    let at = stored(&request.at());
    checks::is_meant(state, &at, request.asks("domainNameId"))?;
    // Somebody is at the door of a thing that is not there.
    for n in 2..request.path.len() {
        let above = stored(&joined(&request.path[..n]));
        let is_thing = row(&request.path, request.path.get(n - 2)).is_some() && n >= 2;
        if is_thing
            && name != "CreateResource"
            && !above.starts_with("tags")
            && !state.has(&above)
            && row(&request.path, request.path.get(n - 1)).is_none()
        {
            return Err(missing(&above));
        }
    }
    let body = match name {
        "GetAccount" => state.get("account")?.clone(),
        "GetResources" => return Ok(resources(state, request, &at)),
        "CreateResource" => resource(state, request)?,
        "DeleteResource" => {
            remove_resource(state, &at)?;
            Value::Null
        }
        "PutMethod" | "PutIntegration" | "PutMethodResponse" | "PutIntegrationResponse" => {
            put_part(state, request, name)?
        }
        "PutGatewayResponse" => {
            let mut body = request.object()?;
            let kind = request.path.last().cloned().unwrap_or_default();
            body.insert("responseType".into(), kind.into());
            body.insert("defaultResponse".into(), false.into());
            state.objects.insert(at, Value::Object(body.clone()));
            body.into()
        }
        "GetGatewayResponses" => {
            let mut items = state.list(&at);
            for kind in ["DEFAULT_4XX", "DEFAULT_5XX", "UNAUTHORIZED"] {
                let own = format!("{at}/{kind}");
                if !state.has(&own) {
                    items.push((own, json!({ "responseType": kind, "defaultResponse": true })));
                }
            }
            return Ok(page(request, items, "item", ("limit", "position")));
        }
        "CreateDeployment" if !operation.second => deployment(state, request, &at)?,
        "PutRestApi" => import::put(
            state,
            request.path.get(1).map_or("", String::as_str),
            request.body,
            request.asks("mode"),
        )?,
        "ImportRestApi" => {
            let made = create(
                state,
                request,
                "restapis",
                Map::from_iter([("name".to_owned(), json!("imported"))]),
            )?;
            import::put(state, text(&made, "id"), request.body, Some("overwrite"))?
        }
        "GetExport" => return export::of(state, request),
        "ExportApi" => return http_api::export(state, request),
        "ReimportApi" => http_api::reimport(state, &at, &request.object()?)?,
        "CreateDeployment" => {
            let made = create(state, request, &at, request.object()?)?;
            http_api::keep(state, &request.above(), &made)?;
            made
        }
        "TagResource" | "UntagResource" => {
            tag(state, request, name)?;
            Value::Null
        }
        "PublishPortal" | "DisablePortal" => {
            portals::publish(state, &request.above(), name == "PublishPortal", &request.object()?)?;
            Value::Null
        }
        "PutPortalProductSharingPolicy" => {
            portals::share(state, &at, request)?;
            Value::Null
        }
        "PutRoutingRule" => {
            let mut new = members(state.get(&at)?);
            new.extend(request.object()?);
            state.objects.insert(at, Value::Object(new.clone()));
            new.into()
        }
        _ => return generic(state, request, &at, operation.status),
    };
    Ok(Reply::json(operation.status, &body))
}

fn generic(state: &mut State, request: &Request<'_>, at: &str, status: u16) -> Told<Reply> {
    let last = request.path.last();
    let is_list = row(&request.path, last).is_some();
    let second = request.path.first().is_some_and(|part| part == "v2");
    let body = match request.method {
        "GET" if is_list => {
            let mut items = state.list(at);
            checks::settle_links(state, &mut items);
            if last.is_some_and(|list| list == "apikeys")
                && request.asks("includeValues") != Some("true")
            {
                for (_, item) in &mut items {
                    item.as_object_mut().map(|item| item.remove("value"));
                }
            }
            if last.is_some_and(|list| list == "stages") && !second {
                let items: Vec<Value> = items.into_iter().map(|(_, item)| item).collect();
                return Ok(Reply::json(200, &json!({ "item": items })));
            }
            for (_, item) in &mut items {
                portals::summarise(last.map_or("", String::as_str), item);
            }
            let names = if second { ("maxResults", "nextToken") } else { ("limit", "position") };
            let list = match last.map(String::as_str) {
                Some("routingrules") => "routingRules",
                _ if second => "items",
                _ => "item",
            };
            return Ok(page(request, items, list, names));
        }
        "GET" => {
            let mut items = vec![(at.to_owned(), state.get(at)?.clone())];
            checks::settle_links(state, &mut items);
            items.pop().map(|(_, item)| item).unwrap_or_default()
        }
        "POST" => create(state, request, at, request.object()?)?,
        "DELETE" => {
            state.get(at)?;
            checks::may_go(state, at)?;
            state.remove(at);
            Value::Null
        }
        "PATCH" if second => {
            let mut new = members(state.get(at)?);
            for (name, value) in request.object()? {
                patch::merge(&mut new, name, value);
            }
            let mut new = Value::Object(new);
            portals::complete(state, at, &mut new);
            checks::references(state, at, &new)?;
            state.objects.insert(at.to_owned(), new.clone());
            new
        }
        "PATCH" => {
            let operations = request.object()?.remove("patchOperations").unwrap_or_default();
            let mut new = state.get(at)?.clone();
            for operation in operations.as_array().into_iter().flatten() {
                patch::apply(at, &mut new, operation)?;
            }
            checks::references(state, at, &new)?;
            if new.get("lastUpdatedDate").is_some() {
                new["lastUpdatedDate"] = state.seconds().into();
            }
            state.objects.insert(at.to_owned(), new.clone());
            new
        }
        method => return Err(bad(&format!("{method} is not done here"))),
    };
    Ok(Reply::json(status, &escaped(body)))
}

/// As it is given out: with the quotes of a policy escaped once more.
fn escaped(mut thing: Value) -> Value {
    if let Some(policy) = thing.get("policy").and_then(Value::as_str) {
        thing["policy"] = policy.replace('\\', "\\\\").replace('"', "\\\"").into();
    }
    thing
}

/// A new element of a list.
pub(super) fn create(
    state: &mut State,
    request: &Request<'_>,
    list: &str,
    body: Map<String, Value>,
) -> Told<Value> {
    let last = list.rsplit('/').next().map(str::to_owned);
    let Some((_, member, length, defaults)) = row(&request.path, last.as_ref()) else {
        return Err(bad("nothing is made here"));
    };
    let second = request.path.first().is_some_and(|part| part == "v2");
    let mut new: Map<String, Value> = serde_json::from_str(defaults).unwrap_or_default();
    new.extend(body);
    checks::rename(last.as_deref().unwrap_or_default(), &mut new);
    if *length > 0 {
        new.insert((*member).to_owned(), state.id(*length).into());
    } else if list == "domainnameaccessassociations" {
        let own = format!("/{list}/domainname/{}", state.id(10));
        new.insert((*member).to_owned(), state.arn(&own).into());
    }
    let own = new.get(*member).and_then(Value::as_str).unwrap_or_default().to_owned();
    let at = format!("{list}/{}", own.replace('/', "%2F"));
    if state.has(&at) {
        return Err(conflict(&format!("{own} already exists")));
    }
    checks::dates(state, last.as_deref().unwrap_or_default(), second, &mut new);
    let mut new = Value::Object(new);
    checks::complete(state, &at, &mut new)?;
    checks::unique(state, list, &new)?;
    checks::references(state, &at, &new)?;
    state.objects.insert(at.clone(), new.clone());
    checks::born(state, &at);
    Ok(state.get(&at)?.clone())
}

fn page(
    request: &Request<'_>,
    items: Vec<(String, Value)>,
    list: &str,
    (limit, token): (&str, &str),
) -> Reply {
    let limit =
        request.asks(limit).and_then(|text| text.parse().ok()).unwrap_or(25_usize).clamp(1, 500);
    let from = request.asks(token).unwrap_or_default().to_owned();
    let mut rest = items.into_iter().filter(|(at, _)| *at > from).peekable();
    let mut given = Vec::new();
    let mut last = String::new();
    while given.len() < limit {
        let Some((at, item)) = rest.next() else { break };
        last = at;
        given.push(escaped(item));
    }
    let mut body = json!({ list: given });
    if rest.peek().is_some() {
        body[token] = last.into();
    }
    Reply::json(200, &body)
}

// ---- REST APIs ----

fn resources(state: &State, request: &Request<'_>, at: &str) -> Reply {
    let embed = request.asks("embed") == Some("methods");
    let mut items = state.list(at);
    for (own, item) in &mut items {
        let methods = state.list(&format!("{own}/methods"));
        if methods.is_empty() {
            continue;
        }
        let named = methods.into_iter().map(|(at, method)| {
            let verb = at.rsplit('/').next().unwrap_or_default().to_owned();
            (verb, if embed { method } else { json!({}) })
        });
        item["resourceMethods"] = named.collect::<Map<_, _>>().into();
    }
    page(request, items, "item", ("limit", "position"))
}

fn resource(state: &mut State, request: &Request<'_>) -> Told<Value> {
    let parent = request.at();
    let above = state.get(&parent)?.clone();
    let body = request.object()?;
    let part = body.get("pathPart").and_then(Value::as_str).unwrap_or_default();
    let path = format!("{}/{part}", text(&above, "path").trim_end_matches('/'));
    let list = request.above();
    if state.list(&list).iter().any(|(_, item)| text(item, "path") == path) {
        return Err(conflict("Another resource with the same parent already has this name"));
    }
    let id = state.id(6);
    let mut new = body.clone();
    new.extend(members(
        &json!({ "id": id, "parentId": above["id"], "path": path, "pathPart": part }),
    ));
    let new = Value::Object(new);
    state.objects.insert(format!("{list}/{id}"), new.clone());
    Ok(new)
}

/// A resource goes with all below its path.
fn remove_resource(state: &mut State, at: &str) -> Told<()> {
    let path = text(state.get(at)?, "path").to_owned();
    let list = at.rsplit_once('/').map(|(list, _)| list.to_owned()).unwrap_or_default();
    let prefix = format!("{path}/");
    for (own, item) in state.list(&list) {
        if text(&item, "path") == path || text(&item, "path").starts_with(&prefix) {
            state.remove(&own);
        }
    }
    Ok(())
}

fn put_part(state: &mut State, request: &Request<'_>, name: &str) -> Told<Value> {
    let method_at = request.path.get(..6).unwrap_or_default().join("/");
    let resource = request.path.get(3).cloned().unwrap_or_default();
    state.get(&request.path.get(..4).unwrap_or_default().join("/"))?;
    let last = request.path.last().cloned().unwrap_or_default();
    let mut body = request.object()?;
    if name == "PutMethod" {
        if state.has(&method_at) {
            return Err(conflict("Method already exists for this resource"));
        }
        body.insert("httpMethod".into(), last.into());
        body.entry("apiKeyRequired").or_insert(false.into());
        let new = Value::Object(body);
        checks::references(state, &method_at, &new)?;
        state.objects.insert(method_at, new.clone());
        return Ok(new);
    }
    let mut method = state.get(&method_at)?.clone();
    let answer = match name {
        "PutIntegration" => {
            let defaults = json!({ "passthroughBehavior": "WHEN_NO_MATCH", "timeoutInMillis": 29000,
                "cacheNamespace": resource, "cacheKeyParameters": [] });
            let mut new = members(&defaults);
            new.extend(body);
            method["methodIntegration"] = new.into();
            method["methodIntegration"].clone()
        }
        "PutMethodResponse" => {
            body.insert("statusCode".into(), last.as_str().into());
            method["methodResponses"][&last] = body.into();
            method["methodResponses"][&last].clone()
        }
        _ => {
            if method.get("methodIntegration").is_none() {
                return Err(missing("Integration"));
            }
            if method["methodResponses"].get(&last).is_none() {
                return Err(missing("Response status code"));
            }
            body.insert("statusCode".into(), last.as_str().into());
            method["methodIntegration"]["integrationResponses"][&last] = body.into();
            method["methodIntegration"]["integrationResponses"][&last].clone()
        }
    };
    checks::references(state, &method_at, &method)?;
    state.objects.insert(method_at, method);
    Ok(answer)
}

/// A deployment holds what the API is at that moment.
fn deployment(state: &mut State, request: &Request<'_>, list: &str) -> Told<Value> {
    let api = request.above();
    let content = state.below(&api);
    if !content.keys().any(|path| path.contains("/methods/")) {
        return Err(bad("The REST API doesn't contain any methods"));
    }
    let kept = [
        "resources/",
        "models/",
        "requestvalidators/",
        "authorizers/",
        "gatewayresponses/",
        "documentation/parts/",
    ];
    let mut snapshot: Map<String, Value> =
        content.into_iter().filter(|(path, _)| kept.iter().any(|k| path.starts_with(k))).collect();
    snapshot.insert("api".into(), state.get(&api)?.clone());
    let mut body = request.object()?;
    let stage = body.remove("stageName");
    let made = create(state, request, list, body)?;
    let id = text(&made, "id").to_owned();
    state.objects.insert(format!("{list}/{id}/snapshot"), snapshot.into());
    if let Some(stage) = stage.as_ref().and_then(Value::as_str) {
        let at = format!("{api}/stages/{stage}");
        if let Some(found) = state.objects.get_mut(&at) {
            found["deploymentId"] = id.into();
        } else {
            let new = Map::from_iter([
                ("stageName".to_owned(), json!(stage)),
                ("deploymentId".to_owned(), json!(id)),
            ]);
            create(state, request, &format!("{api}/stages"), new)?;
        }
    }
    Ok(made)
}

fn tag(state: &mut State, request: &Request<'_>, name: &str) -> Told<()> {
    let arn = request.path.last().cloned().unwrap_or_default();
    let path = arn.split_once(":/").map(|(_, path)| path.to_owned()).unwrap_or_default();
    let path = if path.starts_with("domainnameacc") {
        format!("domainnameaccessassociations/{}", arn.replace('/', "%2F"))
    } else {
        path
    };
    let second = request.path.first().is_some_and(|part| part == "v2");
    let at = if second && !path.starts_with("domainnames") { format!("v2/{path}") } else { path };
    let mut new = state.get(&at)?.clone();
    if name == "TagResource" {
        for (key, value) in members(request.object()?.get("tags").unwrap_or(&Value::Null)) {
            new["tags"][key] = value;
        }
    } else if let Some(tags) = new.get_mut("tags").and_then(Value::as_object_mut) {
        tags.retain(|key, _| !request.query.iter().any(|(n, v)| n == "tagKeys" && v == key));
    }
    state.objects.insert(at, new);
    Ok(())
}
