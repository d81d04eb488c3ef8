//! The conformance suites against both characters.

use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::testing::conformance::{self, SourceFixture, TargetFixture};

fn filled(gateway: MemoryGateway) -> MemoryGateway {
    gateway.populate(11, 60);
    gateway
}

fn kong() -> MemoryGateway {
    filled(MemoryGateway::kong_like())
}

fn aws() -> MemoryGateway {
    filled(MemoryGateway::aws_like())
}

fn readable(gateway: &MemoryGateway) -> SourceFixture {
    let touched = gateway.clone();
    let touch = move || {
        touched.edit(|contents| {
            let key = contents.keys().remove(0);
            contents.set(&key, "note", &json!("touched"));
        });
    };
    SourceFixture {
        source: Arc::new(gateway.clone()),
        touch: Some(Box::new(move || {
            touch();
            Box::pin(std::future::ready(()))
        })),
    }
}

#[tokio::test]
async fn both_characters_are_sources() {
    for make in [kong, aws] {
        conformance::source(|| async { readable(&make()) }).await;
        conformance::source(|| async { readable(&make().with_revisions(false)) }).await;
        conformance::source(|| async { readable(&make().with_page(1)) }).await;
    }
    let denied = || async { readable(&aws().with_denied("certificate").with_denied("stage")) };
    conformance::source(denied).await;
}

fn writable(gateway: MemoryGateway) -> TargetFixture {
    let edit = |resource: &Resource| {
        let number = resource.document.get("/comment").map_or(1, |text| text.len() + 1);
        json::set(&resource.document, "comment", &json!("x".repeat(number)).to_string()).ok()
    };
    TargetFixture { target: Arc::new(gateway), edit: Box::new(edit) }
}

#[tokio::test]
async fn both_characters_are_targets() {
    conformance::target(|| async { writable(kong()) }).await;
    conformance::target(|| async { writable(aws()) }).await;
}

#[tokio::test]
async fn a_gateway_that_writes_whole_apis_is_a_target() {
    conformance::target(|| async { writable(aws().with_composite(1)) }).await;
    conformance::target(|| async { writable(aws().with_composite(5)) }).await;
}
