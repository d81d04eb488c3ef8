//! The promises of every target.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gwbackup_core::model::{Document, Resource};
use gwbackup_core::testing::conformance::{TargetFixture, target};
use gwbackup_kong::testing::KongDouble;
use serde_json::json;

use crate::bench::{importing, load};

/// Other tags, each time others.
fn edit(resource: &Resource) -> Option<Document> {
    static EDITS: AtomicU64 = AtomicU64::new(0);
    resource.document.get("/tags")?;
    let edit = EDITS.fetch_add(1, Ordering::Relaxed);
    resource.document.with_member("/tags", &format!("[\"edit-{edit}\"]")).ok()
}

#[tokio::test]
async fn a_node_with_a_database() {
    target(|| async {
        let node = Arc::new(KongDouble::start().await.unwrap());
        load(&node);
        TargetFixture { target: Arc::new(importing(&node)), edit: Box::new(edit) }
    })
    .await;
}

#[tokio::test]
async fn a_node_without_a_database() {
    target(|| async {
        let node = Arc::new(KongDouble::builder().db_less().start().await.unwrap());
        // Each step reads all of it several times.
        let file = json!({"_format_version": "3.0", "_transform": true,
            "services": [{"name": "pay", "host": "pay.example", "routes": [
                {"name": "pay", "paths": ["/pay"], "plugins": [{"name": "cors"}]}]}],
            "upstreams": [{"name": "u", "targets": [{"target": "10.0.0.1:80"}]}],
            "consumers": [{"username": "ada", "keyauth_credentials": [{"key": "k"}],
                "basicauth_credentials": [{"username": "ada", "password": "p"}]}]});
        let (status, _) = node.request("POST", "/config", &file);
        assert_eq!(status, 201);
        TargetFixture { target: Arc::new(importing(&node)), edit: Box::new(edit) }
    })
    .await;
}
