//! Every policy allows what the calls of its role need, and nothing else.

use std::collections::BTreeMap;

use gwbackup_aws::testing::{AwsDouble, Fault};
use gwbackup_aws::{Policy, Region};
use gwbackup_core::model::{Kind, Scope};
use gwbackup_core::restore::{ApplyOptions, RunStatus};
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::bench::{Bench, ask, aws, make};
use crate::iam::{assert_exact, grants, is_read};
use crate::rich;
use crate::still::{assert_same, still};

fn region() -> Region {
    Region::new(rich::HOME.0, rich::HOME.1).unwrap()
}

const CERTIFICATE: &str = "arn:aws:acm:eu-central-1:123456789012:certificate/1";

/// A domain that wants certificates of who calls it.
fn domain(double: &AwsDouble, name: &str) {
    let truststore = json!({ "truststoreUri": "s3://trust/store.pem", "truststoreVersion": "1" });
    let domain = json!({ "domainName": name, "regionalCertificateArn": CERTIFICATE,
        "endpointConfiguration": { "types": ["REGIONAL"] }, "mutualTlsAuthentication": truststore,
        "routingMode": "ROUTING_RULE_THEN_API_MAPPING" });
    ask(double, "POST", "/domainnames", domain);
}

const RULES: &str = "/v2/domainnames/mtls.example.com/routingrules";

fn rule(double: &AwsDouble, api: &str, priority: u32) {
    let actions = json!([{ "invokeApi": { "apiId": api, "stage": "$default" } }]);
    let conditions = json!([{ "matchBasePaths": { "anyOf": [format!("p{priority}")] } }]);
    let rule = json!({ "actions": actions, "conditions": conditions, "priority": priority });
    ask(double, "POST", RULES, rule);
}

/// The rich account, and what it lacks: rules of a domain, a domain that wants certificates, tags of
/// the second version, a policy that names no API.
pub(crate) fn fill(bench: &Bench, double: &AwsDouble) {
    rich::fill(bench, double);
    domain(double, "mtls.example.com");
    let tags = json!({ "team": "a" });
    let new = json!({ "name": "ruled", "protocolType": "HTTP", "tags": tags });
    let api = make(double, "/v2/apis", new);
    ask(double, "POST", &format!("/v2/apis/{api}/stages"), json!({ "stageName": "$default" }));
    // Nothing of it was deployed, so its parts are made one by one.
    let part = |list: &str, body: Value| make(double, &format!("/v2/apis/{api}/{list}"), body);
    let issuer = json!({ "issuer": "https://issuer.example", "audience": ["shop"] });
    part(
        "authorizers",
        json!({ "name": "jwt", "authorizerType": "JWT", "jwtConfiguration": issuer,
        "identitySource": ["$request.header.Authorization"] }),
    );
    let integration = part(
        "integrations",
        json!({ "integrationType": "HTTP_PROXY", "integrationMethod": "ANY",
        "integrationUri": "https://ruled.internal", "payloadFormatVersion": "1.0" }),
    );
    let target = format!("integrations/{integration}");
    part("routes", json!({ "routeKey": "$default", "target": target }));
    (1..=3).for_each(|n| rule(double, &api, n));
    make(double, "/v2/portalproducts", json!({ "displayName": "Without policy" }));
    let policy = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow",
        "Principal": "*", "Action": "execute-api:Invoke", "Resource": "execute-api:/*" }] });
    let endpoint = json!({ "types": ["REGIONAL"] });
    let new = json!({ "name": "open", "policy": policy.to_string(),
        "endpointConfiguration": endpoint });
    let api = make(double, "/restapis", new);
    // Few parts are made one by one, and not by an import.
    let part = |list: &str, body: Value| make(double, &format!("/restapis/{api}/{list}"), body);
    part("models", json!({ "name": "A", "contentType": "application/json", "schema": "{}" }));
    part("requestvalidators", json!({ "name": "a" }));
    part(
        "authorizers",
        json!({ "name": "a", "type": "COGNITO_USER_POOLS",
        "providerARNs": ["arn:aws:cognito-idp:eu-central-1:123456789012:userpool/eu-central-1_a"],
        "identitySource": "method.request.header.Authorization" }),
    );
    let root =
        ask(double, "GET", &format!("/restapis/{api}"), Value::Null)["rootResourceId"].clone();
    part(&format!("resources/{}", root.as_str().unwrap()), json!({ "pathPart": "a" }));
}

/// Every list at the root, with one of its elements.
fn firsts(double: &AwsDouble) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for at in double.state().into_keys() {
        let (list, id) = at.rsplit_once('/').unwrap_or((&at, ""));
        if !list.trim_start_matches("v2/").contains('/') {
            found.entry(list.to_owned()).or_insert_with(|| id.to_owned());
        }
    }
    found
}

/// Something of every kind is not as it was: changed, gone, or new.
fn disturb(double: &AwsDouble) {
    let first = firsts(double);
    let patch = |at: &str, path: &str, value: &str| {
        let operations = json!([{ "op": "replace", "path": path, "value": value }]);
        ask(double, "PATCH", at, json!({ "patchOperations": operations }));
    };
    for list in ["apikeys", "clientcertificates", "vpclinks", "usageplans"] {
        let at = format!("/{list}/{}", first[list]);
        patch(&at, if list == "vpclinks" { "/name" } else { "/description" }, "another");
    }
    let mtls = "/domainnames/mtls.example.com";
    patch(mtls, "/mutualTlsAuthentication/truststoreVersion", "2");
    patch("/account", "/cloudwatchRoleArn", "arn:aws:iam::123456789012:role/other");
    let rules: Vec<Value> =
        ask(double, "GET", RULES, Value::Null)["routingRules"].as_array().unwrap().clone();
    let id = |n: usize| rules[n]["routingRuleId"].as_str().unwrap();
    ask(double, "DELETE", &format!("{RULES}/{}", id(0)), Value::Null);
    let mut other = rules[1].clone();
    other["conditions"] = json!([{ "matchBasePaths": { "anyOf": ["other"] } }]);
    ask(double, "PUT", &format!("{RULES}/{}", id(1)), other);
    let state = double.state();
    let tagged = state.iter().find(|(_, value)| value["name"] == "ruled").unwrap().0;
    rule(double, tagged.rsplit('/').next().unwrap(), 9);
    let arn = format!("arn:aws:apigateway:eu-central-1::/{}", tagged.trim_start_matches("v2/"));
    let arn: String = form_urlencoded::byte_serialize(arn.as_bytes()).collect();
    ask(double, "POST", &format!("/v2/tags/{arn}"), json!({ "tags": { "team": "b", "x": "1" } }));
    // What is new.
    make(double, "/apikeys", json!({ "name": "new" }));
    make(double, "/clientcertificates", json!({ "description": "new" }));
    make(double, "/usageplans", json!({ "name": "new" }));
    let api = make(double, "/restapis", json!({ "name": "new" }));
    let auth = outside().pop().unwrap();
    let address = format!(
        "arn:aws:apigateway:eu-central-1:lambda:path/2015-03-31/functions/{auth}/invocations"
    );
    let authorizer = json!({ "name": "a", "type": "TOKEN", "authorizerUri": address,
        "identitySource": "method.request.header.Authorization" });
    make(double, &format!("/restapis/{api}/authorizers"), authorizer);
    make(double, "/v2/apis", json!({ "name": "new", "protocolType": "HTTP" }));
    make(double, "/vpclinks", json!({ "name": "new", "targetArns": ["arn:aws:x:1"] }));
    domain(double, "new.example.com");
    let inside = json!({ "domainName": "new.inside.example.com", "certificateArn": CERTIFICATE,
        "endpointConfiguration": { "types": ["PRIVATE"] } });
    let inside = ask(double, "POST", "/domainnames", inside);
    let access = json!({ "domainNameArn": inside["domainNameArn"],
        "accessAssociationSourceType": "VPCE", "accessAssociationSource": "vpce-new" });
    ask(double, "POST", "/domainnameaccessassociations", access);
    let state = double.state();
    let mut domains = state.values();
    let inside = domains.find(|value| value["domainName"] == "inside0.example.com").unwrap();
    let id = inside["domainNameId"].as_str().unwrap();
    let at = format!("/domainnames/inside0.example.com?domainNameId={id}");
    patch(&at, "/certificateArn", &format!("{CERTIFICATE}2"));
}

/// The same for portals and their products.
fn disturb_portals(double: &AwsDouble) {
    let state = double.state();
    let find = |fits: &dyn Fn(&str, &Value) -> bool| {
        let found = state.iter().find(|(at, value)| fits(at, value));
        format!("/{}", found.unwrap().0)
    };
    let change = |at: &str, body: Value| ask(double, "PATCH", at, body);
    let page = find(&|at, _| at.contains("/productpages/"));
    change(&page, json!({ "displayContent": { "title": "Start", "body": "another" } }));
    let endpoint = find(&|at, _| at.contains("/productrestendpointpages/"));
    change(&endpoint, json!({ "tryItState": "DISABLED" }));
    let product = page.split("/productpages/").next().unwrap();
    let content = json!({ "displayContent": { "title": "New", "body": "new" } });
    ask(double, "POST", &format!("{product}/productpages"), content);
    let mut identifier = state[endpoint.trim_start_matches('/')]["restEndpointIdentifier"].clone();
    identifier["identifierParts"]["path"] = "/new".into();
    let new = json!({ "restEndpointIdentifier": identifier, "tryItState": "ENABLED" });
    ask(double, "POST", &format!("{product}/productrestendpointpages"), new);
    let free = find(&|_, value| value["displayName"] == "Without policy");
    let policy = json!({ "policyDocument": json!({ "Version": "2012-10-17" }).to_string() });
    ask(double, "PUT", &format!("{free}/sharingpolicy"), policy);
    let withdrawn = find(&|at, value| {
        at.starts_with("v2/portals/") && value["portalContent"]["description"] == "2"
    });
    ask(double, "POST", &format!("{withdrawn}/publish"), json!({}));
    let mut content = state[withdrawn.trim_start_matches('/')]["portalContent"].clone();
    content["displayName"] = "Another".into();
    change(&withdrawn, json!({ "portalContent": content }));
    make(double, "/v2/portalproducts", json!({ "displayName": "New" }));
    let portal = json!({ "authorization": { "none": {} }, "endpointConfiguration": { "none": {} },
        "portalContent": content });
    make(double, "/v2/portals", portal);
}

/// What the account names outside of the gateway.
fn outside() -> Vec<String> {
    let names = [
        "iam::123456789012:role/logs",
        "iam::123456789012:role/invoke",
        "lambda:eu-central-1:123456789012:function:auth",
    ];
    names.map(|name| format!("arn:aws:{name}")).to_vec()
}

#[tokio::test]
async fn a_backup_needs_what_its_policy_allows() {
    let bench = Bench::new().await;
    let double = bench.account().await;
    fill(&bench, &double);
    bench.backup(&double).await;
    let policy = Policy::backup(&region(), &Scope::everything());
    assert_exact(&policy, &double.needs());
}

#[tokio::test]
async fn a_restore_needs_what_its_policy_allows() {
    let bench = Bench::new().await;
    let double = bench.account().await;
    fill(&bench, &double);
    let backup = bench.backup(&double).await;
    double.clear();
    double.forget_calls();
    bench.succeed(bench.restore(&backup, aws(&double))).await;
    // Now it is all there, and is put right where it is.
    disturb(&double);
    disturb_portals(&double);
    bench.succeed(bench.restore(&backup, aws(&double)).prune(100)).await;
    assert_exact(&Policy::restore(&region(), outside()), &double.needs());
}

#[test]
fn keys_are_left_out_with_their_kinds() {
    let kinds = ["rest_api", "rest_stage"].map(Kind::known).to_vec();
    let policy = Policy::backup(&region(), &Scope { kinds, under: Vec::new() });
    let found: Vec<String> = grants(&policy).into_iter().map(|grant| grant.resource).collect();
    let wanted = ["/restapis", "/restapis/*/stages"];
    assert_eq!(found, wanted.map(|path| format!("arn:aws:apigateway:eu-central-1::{path}")));
}

/// The policy of a plan carries it out, and takes it back when a step fails late.
#[tokio::test]
async fn a_policy_for_a_plan_is_enough_for_it_and_its_way_back() {
    let bench = Bench::new().await;
    let double = bench.account().await;
    rich::fill_with(&bench, &double, 1);
    let before = still(&double);
    let backup = bench.backup(&double).await;
    for fails in [true, false] {
        double.clear();
        let prepared = bench.plan(bench.restore(&backup, aws(&double))).await;
        let policy = Policy::restore_of(&region(), prepared.plan());
        let granted = grants(&policy);
        for outside in outside() {
            assert!(granted.iter().any(|grant| grant.resource == outside), "{outside}");
        }
        double.guard(move |need| granted.iter().any(|grant| grant.allows(need)));
        double.faults(move |asked| {
            (fails && asked.operation == "CreateBasePathMapping").then_some(Fault::LIMIT)
        });
        let options = ApplyOptions { accept_loss: true, ..ApplyOptions::default() };
        let report = prepared.apply(&bench.cx, &options).await.unwrap().report;
        let wanted = if fails { RunStatus::RolledBack } else { RunStatus::Success };
        assert_eq!(report.status, wanted, "{:#?}", report.failures);
        double.guard(|_| true);
    }
    assert_same(&still(&double), &before, "restored");
}

#[tokio::test]
async fn a_policy_for_a_plan_allows_it_and_little_else() {
    let bench = Bench::new().await;
    let double = bench.account().await;
    fill(&bench, &double);
    let backup = bench.backup(&double).await;
    let first = firsts(&double);
    let (key, mtls) = (&first["apikeys"], "/domainnames/mtls.example.com");
    for (at, path) in [
        (format!("/apikeys/{key}"), "/description"),
        (mtls.to_owned(), "/mutualTlsAuthentication/truststoreVersion"),
    ] {
        let operations = json!([{ "op": "replace", "path": path, "value": "2" }]);
        ask(&double, "PATCH", &at, json!({ "patchOperations": operations }));
    }
    let prepared = bench.plan(bench.restore(&backup, aws(&double))).await;
    let policy = Policy::restore_of(&region(), prepared.plan());
    let granted = grants(&policy);
    double.guard(move |need| granted.iter().any(|grant| grant.allows(need)));
    let options = ApplyOptions { accept_loss: true, ..ApplyOptions::default() };
    let outcome = prepared.apply(&bench.cx, &options).await.unwrap();
    assert_eq!(outcome.report.status, RunStatus::Success, "{:#?}", outcome.report.failures);
    let mut writes: Vec<String> = grants(&policy)
        .into_iter()
        .filter(|grant| !is_read(grant))
        .map(|grant| {
            let path = grant.resource.trim_start_matches("arn:aws:apigateway:eu-central-1:");
            format!("{} {path}", grant.action.trim_start_matches("apigateway:"))
        })
        .collect();
    writes.sort();
    let domain = ":/domainnames/mtls.example.com";
    let private = "123456789012:/domainnames/mtls.example.com+*";
    let key = &format!(":/apikeys/{key}");
    let tags = ":/tags/*";
    let mut wanted: Vec<String> = [
        ("AddCertificateToDomain", ":/domainnames"),
        ("AddCertificateToDomain", domain),
        ("DELETE", key),
        ("DELETE", domain),
        ("DELETE", private),
        ("DELETE", tags),
        ("PATCH", key),
        ("PATCH", domain),
        ("PATCH", private),
        ("POST", ":/apikeys"),
        ("POST", ":/domainnames"),
        ("PUT", tags),
        ("RemoveCertificateFromDomain", domain),
    ]
    .map(|(action, path)| format!("{action} {path}"))
    .to_vec();
    wanted.sort();
    assert_eq!(writes, wanted, "no API, no role");
}
