//! What is read, and what is said of what cannot be.

use std::collections::BTreeMap;

use futures_util::StreamExt as _;
use gwbackup_aws::Aws;
use gwbackup_aws::testing::{AwsDouble, Fault};
use gwbackup_core::model::{Captured, Cause, Gap, Key, Resource, Scope, Verdict};
use gwbackup_core::source::{Purpose, Source as _};
use gwbackup_core::{Context, ErrorKind, Result};
use serde_json::json;

use crate::bench::{Bench, ask, aws, config, make};
use crate::rich;

#[derive(Debug, Default)]
struct Content {
    resources: BTreeMap<Key, Resource>,
    gaps: Vec<Gap>,
}

async fn read(cx: &Context, aws: &Aws) -> Result<Content> {
    let description = aws.describe(cx).await?;
    let mut content = Content::default();
    let mut stream = aws.read(cx, &description, &Scope::everything(), None);
    while let Some(item) = stream.next().await {
        match item? {
            Captured::Resource(resource) => {
                content.resources.insert(resource.key.clone(), resource);
            }
            Captured::Gap(gap) => content.gaps.push(gap),
            other => panic!("{other:?}"),
        }
    }
    Ok(content)
}

async fn filled(bench: &Bench) -> AwsDouble {
    let double = bench.account().await;
    rich::fill_with(bench, &double, 1);
    double
}

#[tokio::test]
async fn members_that_nobody_knows_are_kept_as_they_came() {
    let bench = Bench::new().await;
    let double = filled(&bench).await;
    let content = read(&bench.cx, &aws(&double)).await.unwrap();
    let api = content.resources.values().find(|r| r.key.kind.as_str() == "rest_api").unwrap();
    assert_eq!(api.document.get("/memberOfTomorrow"), Some(r#"{"deep":[1,2.5]}"#));
}

#[tokio::test]
async fn what_a_stage_serves_is_kept_beside_the_working_copy() {
    let bench = Bench::new().await;
    let double = filled(&bench).await;
    let content = read(&bench.cx, &aws(&double)).await.unwrap();
    let mut served: Vec<(String, bool)> = Vec::new();
    for resource in content.resources.values().filter(|r| r.key.kind.as_str() == "rest_deployment")
    {
        let document = resource.document.to_value();
        let description = document["description"].as_str().unwrap().to_owned();
        let deletes = !document["export"]["paths"]["/orders/{id}"]["delete"].is_null();
        assert_eq!(document.get("export").is_none(), description == "unused");
        assert_eq!(resource.is_incomplete(), description == "unused");
        served.push((description, deletes));
    }
    served.sort();
    let wanted = [("first", false), ("then", true), ("unused", false)];
    assert_eq!(served, wanted.map(|(text, deletes)| (text.to_owned(), deletes)));
    // The method that was edited in afterwards is in the working copy alone.
    let is_put = |key: &Key| key.kind.as_str() == "rest_method" && key.id.last() == "PUT";
    assert_eq!(content.resources.keys().filter(|key| is_put(key)).count(), 1);
}

#[tokio::test]
async fn values_of_keys_are_secrets() {
    let bench = Bench::new().await;
    let double = filled(&bench).await;
    let content = read(&bench.cx, &aws(&double)).await.unwrap();
    for kind in ["api_key", "usage_plan_key"] {
        let resource = content.resources.values().find(|r| r.key.kind.as_str() == kind).unwrap();
        assert!(resource.marks.iter().any(|mark| mark.at.pointer == "/value"), "{kind}");
        assert!(!format!("{resource:?}").contains("a-secret-value"));
    }
}

#[tokio::test]
async fn lists_are_read_to_their_end() {
    let bench = Bench::new().await;
    let double = bench.account().await;
    for n in 0..1_100 {
        make(&double, "/apikeys", json!({ "name": format!("k{n}") }));
    }
    for n in 0..600 {
        make(&double, "/v2/apis", json!({ "name": format!("a{n}"), "protocolType": "HTTP" }));
    }
    let content = read(&bench.cx, &aws(&double)).await.unwrap();
    let count =
        |kind: &str| content.resources.keys().filter(|key| key.kind.as_str() == kind).count();
    assert_eq!((count("api_key"), count("api")), (1_100, 600));
    let pages = double.calls().iter().filter(|call| call.operation == "GetApiKeys").count();
    assert_eq!(pages, 3);
}

/// Paths that a backup reads, and what cannot be told without each.
const RIGHTS: &[(&str, &str)] = &[
    ("GetApiKeys", "api_key"),
    ("GetUsagePlans", "usage_plan"),
    ("GetUsagePlanKeys", "usage_plan_key"),
    ("GetResources", "rest_resource"),
    ("GetAuthorizers", "rest_authorizer"),
    ("GetModels", "rest_model"),
    ("GetDeployments", "rest_deployment"),
    ("GetDomainNames", "domain_name"),
    ("GetBasePathMappings", "base_path_mapping"),
    ("GetVpcLinks", "vpc_link"),
    ("GetClientCertificates", "client_certificate"),
    ("GetAccount", "account"),
    ("GetRoutes", "api_route"),
    ("GetIntegrations", "api_integration"),
];

#[tokio::test]
async fn each_right_that_is_missing_is_named_and_is_a_gap() {
    let bench = Bench::new().await;
    let double = filled(&bench).await;
    for (operation, kind) in RIGHTS {
        let first = !matches!(*kind, "api_route" | "api_integration");
        double.faults(move |asked| {
            let version = first != asked.path.starts_with("/v2/");
            (asked.operation == *operation && version).then_some(Fault::DENIED)
        });
        let findings =
            aws(&double).preflight(&bench.cx, Purpose::Backup, &Scope::everything()).await;
        let findings = findings.unwrap();
        let failed: Vec<_> = findings.iter().filter(|f| f.verdict == Verdict::Failed).collect();
        assert_eq!(failed.len(), 1, "{operation}: {failed:#?}");
        assert!(
            failed[0].subject.starts_with("apigateway:GET on arn:aws:apigateway:eu-central-1::/"),
            "{failed:#?}"
        );
        let content = read(&bench.cx, &aws(&double)).await.unwrap();
        let gaps: Vec<_> =
            content.gaps.iter().map(|gap| gap.kind.as_ref().unwrap().as_str()).collect();
        assert!(gaps.contains(kind), "{operation}: {gaps:?}");
        assert!(content.gaps.iter().all(|gap| gap.cause == Cause::Denied));
        assert!(!content.resources.keys().any(|key| key.kind.as_str() == *kind), "{operation}");
    }
}

#[tokio::test]
async fn a_busy_service_is_waited_for_and_a_limit_is_not() {
    let bench = Bench::new().await;
    let double = filled(&bench).await;
    let mut busy = 3;
    double.faults(move |asked| {
        busy -= i32::from(asked.operation == "GetResources");
        (asked.operation == "GetResources" && busy > 0).then_some(Fault::BUSY)
    });
    assert!(read(&bench.cx, &aws(&double)).await.unwrap().gaps.is_empty());
    double.faults(|asked| (asked.operation == "GetResources").then_some(Fault::LIMIT));
    double.forget_calls();
    let content = read(&bench.cx, &aws(&double)).await.unwrap();
    assert_eq!(content.gaps[0].cause, Cause::Failed);
    let asked = double.calls().iter().filter(|call| call.operation == "GetResources").count();
    assert_eq!(asked, 1, "a limit of the account is not asked again");
}

#[tokio::test]
async fn credentials_that_expire_end_the_read() {
    let bench = Bench::new().await;
    let double = filled(&bench).await;
    double.faults(|asked| (asked.number > 20).then_some(Fault::EXPIRED));
    let error = read(&bench.cx, &aws(&double)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    assert!(error.to_string().contains("expired"), "{error}");
    assert!(
        !format!("{:?}", config(&double)).contains("secret\""),
        "a configuration shows no secret"
    );
}

#[tokio::test]
async fn reading_keeps_to_the_quotas() {
    let bench = Bench::new().await;
    let double = bench.account_with(gwbackup_aws::testing::AwsDoubleBuilder::quotas).await;
    for n in 0..100 {
        large(&double, n);
    }
    for (budget, most) in [(100, 123.0), (80, 154.0)] {
        double.forget_calls();
        bench.clock.advance(std::time::Duration::from_mins(10));
        let before = bench.cx.now();
        let aws = Aws::new(config(&double).with_budget(budget).with_calls(1)).unwrap();
        let content = read(&bench.cx, &aws).await.unwrap();
        assert!(content.gaps.is_empty(), "{:?}", content.gaps.first());
        assert!(content.resources.len() > 30_000, "{}", content.resources.len());
        let calls = double.calls();
        assert!(calls.iter().all(|call| call.status != Some(429)), "the quotas were broken");
        let time = bench.cx.now().duration_since(before).as_secs_f64();
        assert!(time < most, "{} calls took {time} s at {budget} %", calls.len());
    }
}

/// An API of 100 resources with two methods each, served by two stages.
pub(crate) fn large(double: &AwsDouble, n: usize) -> String {
    let mut paths = serde_json::Map::new();
    for r in 0..100 {
        let method = |verb: &str| {
            json!({ "responses": { "200": { "description": "200 response" } },
            "x-amazon-apigateway-integration": { "type": "http_proxy", "httpMethod": verb,
                "uri": format!("https://b{n}.internal/{r}"), "passthroughBehavior": "when_no_match" } })
        };
        paths.insert(format!("/r{r}"), json!({ "get": method("GET"), "post": method("POST") }));
    }
    let body =
        json!({ "openapi": "3.0.1", "info": { "title": format!("api{n}") }, "paths": paths });
    let api = make(
        double,
        "/restapis",
        json!({ "name": format!("api{n}"), "endpointConfiguration": { "types": ["REGIONAL"] } }),
    );
    ask(double, "PUT", &format!("/restapis/{api}?mode=overwrite"), body);
    let deployment = make(double, &format!("/restapis/{api}/deployments"), json!({}));
    for stage in ["prod", "test"] {
        ask(
            double,
            "POST",
            &format!("/restapis/{api}/stages"),
            json!({ "stageName": stage, "deploymentId": deployment }),
        );
    }
    api
}

#[tokio::test]
async fn what_cannot_be_read_is_a_gap_and_not_nothing() {
    let bench = Bench::new().await;
    let double = filled(&bench).await;
    let missing = Fault::Error(404, "NotFoundException");
    for (operation, kind) in
        [("GetDocumentationParts", "rest_documentation_part"), ("GetVpcLinks", "vpc_link")]
    {
        double.faults(move |asked| {
            (asked.operation == operation && !asked.path.starts_with("/v2/")).then_some(missing)
        });
        let gaps = read(&bench.cx, &aws(&double)).await.unwrap().gaps;
        let named: Vec<_> =
            gaps.iter().map(|gap| (gap.kind.as_ref().unwrap().as_str(), gap.cause)).collect();
        assert_eq!(named, [(kind, Cause::NotOffered)]);
    }
    let broken = Fault::Error(500, "InternalServerErrorException");
    for (operation, kind, count) in
        [("GetExport", "rest_deployment", 2), ("GetStages", "rest_stage", 1)]
    {
        double.faults(move |asked| {
            (asked.operation == operation && !asked.path.starts_with("/v2/")).then_some(broken)
        });
        let gaps = read(&bench.cx, &aws(&double)).await.unwrap().gaps;
        let named: Vec<_> =
            gaps.iter().map(|gap| (gap.kind.as_ref().unwrap().as_str(), gap.cause)).collect();
        assert_eq!(named, vec![(kind, Cause::Unreachable); count]);
    }
    // Of an API that went meanwhile nothing is left to list.
    double.faults(move |asked| {
        let below = asked.path.starts_with("/restapis/");
        below.then_some(missing)
    });
    assert!(read(&bench.cx, &aws(&double)).await.unwrap().gaps.is_empty());
}
