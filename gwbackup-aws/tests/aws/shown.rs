//! What an account shows to others: rules of domains, private domains, portals with their products.

use gwbackup_aws::testing::AwsDouble;
use serde_json::{Value, json};

use crate::bench::{ask, make};
use crate::rich::HOME;

/// Something of each for every one of these APIs.
pub(crate) fn fill(double: &AwsDouble, apis: &[String]) {
    let (region, account) = HOME;
    for (n, api) in apis.iter().enumerate() {
        rules(double, n, api);
        let domain = ask(
            double,
            "POST",
            "/domainnames",
            json!({ "domainName": format!("inside{n}.example.com"),
                "certificateArn": format!("arn:aws:acm:{region}:{account}:certificate/2"),
                "endpointConfiguration": { "types": ["PRIVATE"] } }),
        );
        ask(
            double,
            "POST",
            "/domainnameaccessassociations",
            json!({ "domainNameArn": domain["domainNameArn"], "accessAssociationSourceType": "VPCE",
                "accessAssociationSource": format!("vpce-{n}"), "tags": { "n": n.to_string() } }),
        );
    }
    let products: Vec<String> = (0..apis.len()).map(|n| product(double, n, &apis[n])).collect();
    for n in 0..apis.len() {
        portal(double, n, &products);
    }
}

/// A domain where rules say what goes where.
fn rules(double: &AwsDouble, n: usize, api: &str) {
    let name = format!("rules{n}.example.com");
    ask(
        double,
        "POST",
        "/domainnames",
        json!({ "domainName": name, "routingMode": "ROUTING_RULE_ONLY",
            "endpointConfiguration": { "types": ["REGIONAL"] } }),
    );
    for (priority, path) in [(10, "a"), (20, "b"), (30, "c")] {
        ask(
            double,
            "POST",
            &format!("/v2/domainnames/{name}/routingrules"),
            json!({ "priority": priority,
                "conditions": [{ "matchBasePaths": { "anyOf": [path] } }],
                "actions": [{ "invokeApi": { "apiId": api, "stage": "prod", "stripBasePath": true } }] }),
        );
    }
}

/// The ARN of a product whose pages have an order.
fn product(double: &AwsDouble, n: usize, api: &str) -> String {
    let product = ask(
        double,
        "POST",
        "/v2/portalproducts",
        json!({ "displayName": "Orders", "description": format!("for people {n}"), "tags": { "n": n.to_string() } }),
    );
    let at = format!("/v2/portalproducts/{}", product["portalProductId"].as_str().unwrap());
    let pages = ["Start", "Limits", "Start"].map(|title| {
        let content = json!({ "title": title, "body": format!("# {title}") });
        let path = format!("{at}/productpages");
        ask(double, "POST", &path, json!({ "displayContent": content }))["productPageArn"].clone()
    });
    let endpoint = |said: Value, method: &str| {
        let parts =
            json!({ "restApiId": api, "stage": "prod", "path": "/orders", "method": method });
        let mut body = json!({ "restEndpointIdentifier": { "identifierParts": parts }, "tryItState": "ENABLED" });
        if !said.is_null() {
            body["displayContent"] = said;
        }
        let page = ask(double, "POST", &format!("{at}/productrestendpointpages"), body);
        page["productRestEndpointPageArn"].clone()
    };
    let endpoints = [
        endpoint(json!({ "overrides": { "operationName": "List", "body": "all of them" } }), "GET"),
        endpoint(Value::Null, "POST"),
    ];
    let order = json!({ "overviewPageArn": pages[0], "productPageArns": [pages[2], pages[1]],
        "contents": [{ "sectionName": "All", "productRestEndpointPageArns": endpoints }] });
    ask(double, "PATCH", &at, json!({ "displayOrder": order }));
    let arn = product["portalProductArn"].as_str().unwrap().to_owned();
    let policy = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Resource": arn,
        "Principal": { "AWS": "111122223333" }, "Action": "apigateway:GetPortalProduct" }] });
    ask(
        double,
        "PUT",
        &format!("{at}/sharingpolicy"),
        json!({ "policyDocument": policy.to_string() }),
    );
    arn
}

/// The first is published, the second was never, the third no longer.
fn portal(double: &AwsDouble, n: usize, products: &[String]) {
    let (region, account) = HOME;
    let certificate = format!("arn:aws:acm:{region}:{account}:certificate/3");
    let endpoint = match n {
        0 => {
            json!({ "acmManaged": { "certificateArn": certificate, "domainName": "docs.example.com" } })
        }
        _ => json!({ "none": {} }),
    };
    let colors = json!({ "accentColor": "#112233", "backgroundColor": "#ffffff" });
    let id = make(
        double,
        "/v2/portals",
        json!({ "authorization": { "none": {} }, "endpointConfiguration": endpoint,
            "portalContent": { "displayName": "Docs", "description": format!("{n}"), "theme": { "customColors": colors } },
            "includedPortalProductArns": products, "tags": { "n": n.to_string() } }),
    );
    if n != 1 {
        ask(
            double,
            "POST",
            &format!("/v2/portals/{id}/publish"),
            json!({ "description": "first" }),
        );
    }
    if n == 2 {
        ask(double, "DELETE", &format!("/v2/portals/{id}/publish"), Value::Null);
    }
}
