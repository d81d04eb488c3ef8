//! How often and how widely a node is asked.

use gwbackup_kong::testing::{KongDouble, Sizes};
use serde_json::json;

use crate::common::{admin, admin_of, quick, read};

fn crowd(kong: &KongDouble, consumers: usize) {
    for n in 0..consumers {
        let (status, _) =
            kong.request("POST", "/consumers", &json!({ "username": format!("c{n}") }));
        assert_eq!(status, 201);
    }
}

#[tokio::test]
async fn pages_are_full_and_nothing_is_asked_per_parent() {
    let kong = KongDouble::start().await.unwrap();
    crowd(&kong, 2_500);
    for n in 0..3 {
        kong.request("PUT", &format!("/upstreams/u{n}"), &json!({}));
    }
    let content = read(&admin(&kong), &quick()).await.unwrap();
    assert_eq!((content.of("consumer").len(), content.twice.len()), (2_500, 0));
    let calls = kong.calls();
    let consumers = calls.iter().filter(|call| call.path.starts_with("/consumers?size=1000"));
    assert_eq!(consumers.count(), 3);
    // Two for the description, one for each list, two further pages, one for each upstream.
    let lists = calls.iter().filter(|c| c.path.contains("size=1000")).count();
    assert_eq!(calls.len(), 2 + lists);
    assert!(lists <= 21 + 2 + 3, "{lists}");
}

#[tokio::test]
async fn no_more_calls_at_one_time_than_allowed() {
    let kong = KongDouble::builder().page_delay(std::time::Duration::from_millis(5));
    let kong = kong.start().await.unwrap();
    read(&admin_of(&kong, "?connections=3"), &quick()).await.unwrap();
    let traffic = kong.traffic();
    assert_eq!((traffic.most_requests, traffic.writes), (3, 0));
    assert!(traffic.most_connections <= 3, "{traffic:?}");
    kong.forget_calls();
    read(&admin(&kong), &quick()).await.unwrap();
    assert_eq!(kong.traffic().most_requests, 8);
}

#[tokio::test]
async fn thirty_six_thousand_entities_take_less_than_sixty_calls() {
    let kong = KongDouble::start().await.unwrap();
    kong.generate(&Sizes::around(10_000)).unwrap();
    let content = read(&admin(&kong), &quick()).await.unwrap();
    assert_eq!((content.resources.len(), content.lacks()), (36_000, vec![]));
    assert!(kong.traffic().requests <= 60, "{:?}", kong.traffic());
}
