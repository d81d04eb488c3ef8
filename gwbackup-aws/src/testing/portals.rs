//! Portals and the products in them.

use serde_json::{Map, Value, json};

use super::reply::{Told, bad};
use super::request::Request;
use super::state::{State, text};

/// What only the service says, and what is read otherwise than it is said.
pub(super) fn complete(state: &State, at: &str, new: &mut Value) {
    let parts: Vec<&str> = at.split('/').collect();
    let member = match parts.as_slice() {
        ["v2", "portals", _] => "portalArn",
        ["v2", "portalproducts", _] => "portalProductArn",
        ["v2", "portalproducts", _, "productpages", _] => "productPageArn",
        ["v2", "portalproducts", _, "productrestendpointpages", _] => "productRestEndpointPageArn",
        _ => return,
    };
    new[member] = state.arn(at.trim_start_matches("v2")).into();
    new["lastModified"] = state.date().into();
    if member == "portalArn"
        && new["endpointConfiguration"].get("portalDefaultDomainName").is_none()
    {
        let mut read = new["endpointConfiguration"]["acmManaged"].take();
        if read.is_null() {
            read = json!({});
        }
        let id = parts.last().copied().unwrap_or_default();
        read["portalDefaultDomainName"] = format!("{id}.portal.{}.on.aws", state.region).into();
        read["portalDomainHostedZoneId"] = format!("Z{id}").into();
        new["endpointConfiguration"] = read;
    }
    if member == "productRestEndpointPageArn" {
        let parts = &new["restEndpointIdentifier"]["identifierParts"];
        let mut shown =
            json!({ "endpoint": format!("{} {}", text(parts, "method"), text(parts, "path")) });
        let said = new.get("displayContent").cloned().unwrap_or_default();
        let said = said.get("overrides").or(said.get("endpoint").is_some().then_some(&said));
        // An empty one is none.
        let said = said.and_then(Value::as_object).into_iter().flatten();
        for (name, value) in said.filter(|(_, value)| *value != "") {
            shown[name] = value.clone();
        }
        new["displayContent"] = shown;
    }
}

/// A list tells less than the thing itself.
pub(super) fn summarise(list: &str, item: &mut Value) {
    let Some(item) = item.as_object_mut() else { return };
    match list {
        "portalproducts" => {
            item.remove("displayOrder");
        }
        "productpages" => {
            let title = item.remove("displayContent").map(|mut content| content["title"].take());
            item.insert("pageTitle".into(), title.unwrap_or_default());
        }
        "productrestendpointpages" => {
            let shown = item.remove("displayContent").unwrap_or_default();
            item.insert("endpoint".into(), shown["endpoint"].clone());
        }
        _ => {}
    }
}

pub(super) fn references(state: &State, list: &str, new: &Value) -> Told<()> {
    let known = |arn: &Value| {
        let arn = arn.as_str().unwrap_or_default();
        let own = state.arn("");
        let found = arn.strip_prefix(&own).is_some_and(|path| state.has(&format!("v2{path}")));
        if found { Ok(()) } else { Err(bad(&format!("{arn} does not exist"))) }
    };
    let all = |value: &Value| value.as_array().cloned().unwrap_or_default();
    if list == "portals" {
        return all(&new["includedPortalProductArns"]).iter().try_for_each(known);
    }
    let order = &new["displayOrder"];
    all(&order["productPageArns"]).iter().try_for_each(known)?;
    order.get("overviewPageArn").map_or(Ok(()), known)?;
    for section in all(&order["contents"]) {
        all(&section["productRestEndpointPageArns"]).iter().try_for_each(known)?;
    }
    let parts = &new["restEndpointIdentifier"]["identifierParts"];
    let stage = format!("restapis/{}/stages/{}", text(parts, "restApiId"), text(parts, "stage"));
    if parts.is_object() && !state.has(&stage) {
        return Err(bad("the endpoint does not exist"));
    }
    Ok(())
}

/// Who else may use a product.
pub(super) fn share(state: &mut State, at: &str, request: &Request<'_>) -> Told<()> {
    state.get(&request.above())?;
    let mut new = request.object()?;
    new.insert("portalProductId".into(), request.path.get(2).cloned().into());
    state.objects.insert(at.to_owned(), new.into());
    Ok(())
}

/// A portal is shown to the world, or no longer.
pub(super) fn publish(
    state: &mut State,
    at: &str,
    shown: bool,
    said: &Map<String, Value>,
) -> Told<()> {
    let mut new = state.get(at)?.clone();
    new["publishStatus"] = if shown { "PUBLISHED" } else { "DISABLED" }.into();
    if shown {
        new["lastPublished"] = state.date().into();
        new["lastPublishedDescription"] = said.get("description").cloned().unwrap_or_default();
    }
    state.objects.insert(at.to_owned(), new);
    Ok(())
}
