//! A node with many entities: backed up in full, then what changed, then one of them restored, then
//! all of them onto another node. `benches/node.rs` measures the same with a million.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a failure here fails the test, and others use more of the bench"
)]

#[path = "kong_target/bench.rs"]
mod bench;

use bench::{Bench, admin, still};
use gwbackup_kong::testing::Sizes;
use serde_json::{Value, json};

#[tokio::test]
async fn many_entities_are_kept_in_part_and_in_full_and_come_back() {
    let bench = Bench::new().await;
    let node = bench.node().await;
    let sizes =
        Sizes { services: 100, routes: 300, consumers: 3_000, key_auths: 1_500, plugins: 0 };
    node.generate(&sizes).unwrap();
    let full = bench.backup(&node).await;
    assert_eq!(full.details().resources, 4_900);
    // Five kinds, pages of a thousand, and a few calls to learn what the node is.
    let calls = node.traffic().requests;
    assert!(calls <= 60, "{calls}");

    let consumers = node.state().remove("consumers").unwrap();
    for consumer in consumers.iter().step_by(30) {
        let path = format!("/consumers/{}", consumer["id"].as_str().unwrap());
        let (status, answer) = node.request("PATCH", &path, &json!({ "tags": ["moved"] }));
        assert_eq!(status, 200, "{answer}");
    }
    let part = bench.backup(&node).await;
    let manifest = part.manifest();
    assert_eq!((manifest.kind.as_str(), part.details().resources), ("incremental", 4_900));
    assert!(manifest.archive.size <= 1 << 20, "{}", manifest.archive.size);
    let state = node.state();

    // One that was lost, and nothing else.
    let lost = format!("/consumers/{}", consumers[7]["id"].as_str().unwrap());
    assert_eq!(node.request("DELETE", &lost, &Value::Null).0, 204);
    let one = lost.trim_start_matches('/').replace("consumers/", "consumer/").parse().unwrap();
    let outcome = bench.succeed(bench.restore(&part, admin(&node)).only([one])).await;
    assert_eq!(outcome.report.applied, 1);
    let kept = |state: &bench::State| {
        let all = still(state).into_iter();
        // The credentials of the lost one went with it, and were not asked for.
        all.filter(|entity| !entity.starts_with("key-auths")).collect::<Vec<_>>()
    };
    assert!(kept(&node.state()) == kept(&state), "something else was written");

    let other = bench.node().await;
    let outcome = bench.succeed(bench.restore(&part, admin(&other))).await;
    assert_eq!(outcome.report.applied, 4_900);
    assert!(still(&other.state()) == still(&state), "the other node differs");
    let again = bench.plan(bench.restore(&part, admin(&other))).await;
    assert!(again.plan().is_empty());
}
