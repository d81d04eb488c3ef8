//! The core's suites.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gwbackup_aws::Aws;
use gwbackup_core::model::{Document, Resource};
use gwbackup_core::testing::conformance::{self, SourceFixture, TargetFixture};
use serde_json::json;

use crate::bench::{Bench, config};
use crate::rich;

/// Something that may be changed by itself, each time to something else.
fn edit(resource: &Resource) -> Option<Document> {
    static EDITS: AtomicU64 = AtomicU64::new(0);
    let n = EDITS.fetch_add(1, Ordering::Relaxed);
    let (at, value) = match resource.key.kind.as_str() {
        "account" => ("cloudwatchRoleArn", json!(format!("arn:aws:iam::123456789012:role/r{n}"))),
        "rest_request_validator" => {
            let now = resource.document.get("/validateRequestBody") == Some("true");
            ("validateRequestBody", json!(!now))
        }
        "rest_authorizer" => ("identitySource", json!(format!("method.request.header.X-{n}"))),
        "rest_gateway_response" => ("statusCode", json!((400 + n % 100).to_string())),
        "rest_method" | "api_route" => ("operationName", json!(format!("edit{n}"))),
        "rest_documentation_part" => ("properties", json!(json!({ "edit": n }).to_string())),
        "vpc_link" | "vpc_link_v2" | "api_key" => ("name", json!(format!("edit-{n}"))),
        "domain_name" => {
            let name = format!("arn:aws:acm:eu-central-1:123456789012:certificate/{n}");
            ("regionalCertificateArn", json!(name))
        }
        "base_path_mapping" | "api_mapping" => {
            let stages = if resource.key.kind.as_str() == "api_mapping" {
                ["blue", "green"]
            } else {
                ["dev", "prod"]
            };
            (
                "stage",
                json!(stages.iter().find(|stage| {
                    resource.document.text("/stage").is_none_or(|now| now != **stage)
                })),
            )
        }
        "api_authorizer" => ("identitySource", json!([format!("$request.header.X-{n}")])),
        "api_integration" => ("timeoutInMillis", json!(5000 + n)),
        "api_integration_response" => ("templateSelectionExpression", json!(format!("edit-{n}"))),
        "api_route_response" => ("modelSelectionExpression", json!(format!("edit-{n}"))),
        "domain_name_access_association" => ("tags", json!({ "edit": n.to_string() })),
        "routing_rule" => {
            ("conditions", json!([{ "matchBasePaths": { "anyOf": [format!("edit{n}")] } }]))
        }
        "product_page" => ("displayContent", json!({ "title": "Start", "body": format!("{n}") })),
        "product_rest_endpoint_page" => {
            ("displayContent", json!({ "endpoint": "GET /orders", "body": format!("{n}") }))
        }
        "portal_product_sharing_policy" => ("policyDocument", json!(format!("{{\"n\":{n}}}"))),
        "portal" => ("rumAppMonitorName", json!(format!("edit-{n}"))),
        "usage_plan_key" => return None,
        _ => ("description", json!(format!("edit-{n}"))),
    };
    resource.document.with_member(&format!("/{at}"), &value.to_string()).ok()
}

#[tokio::test]
async fn it_is_a_source() {
    let bench = Bench::new().await;
    let double = bench.account().await;
    rich::fill_with(&bench, &double, 1);
    conformance::source(|| async {
        SourceFixture {
            source: Arc::new(Aws::new(config(&double).unpaced()).unwrap()),
            touch: None,
        }
    })
    .await;
}

#[tokio::test]
async fn it_is_a_target() {
    let bench = Bench::new().await;
    let double = bench.account().await;
    rich::fill_with(&bench, &double, 1);
    conformance::target_in(&bench.cx, || async {
        TargetFixture {
            target: Arc::new(Aws::new(config(&double).unpaced()).unwrap()),
            edit: Box::new(edit),
        }
    })
    .await;
}
