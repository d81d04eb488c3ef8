//! The promises of every target.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gwbackup_core::model::{Document, Resource};
use gwbackup_core::testing::conformance::{TargetFixture, target};
use gwbackup_kong::testing::KongDouble;
use serde_json::json;

use crate::bench::{fixture, importing, load};

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
        let text = std::fs::read_to_string(fixture("12-export.yml")).unwrap();
        let (status, _) = node.request("POST", "/config", &json!({ "config": text }));
        assert_eq!(status, 201);
        TargetFixture { target: Arc::new(importing(&node)), edit: Box::new(edit) }
    })
    .await;
}
