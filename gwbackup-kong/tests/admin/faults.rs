//! Nodes that refuse, fail, pause or go away.

use gwbackup_core::ErrorKind;
use gwbackup_core::model::Cause;
use gwbackup_kong::testing::{Fault, KongDouble};

use crate::common::{admin, fill, quick, read};

async fn filled() -> KongDouble {
    let kong = KongDouble::start().await.unwrap();
    fill(&kong);
    kong
}

#[tokio::test]
async fn a_list_that_is_refused_is_a_gap_and_all_others_are_read() {
    for (status, cause) in [
        (403, Cause::Denied),
        (404, Cause::NotOffered),
        (413, Cause::Failed),
        (500, Cause::Unreachable),
    ] {
        let kong = filled().await;
        kong.faults(move |asked| (asked.path == "/consumers").then_some(Fault::Status(status)));
        let content = read(&admin(&kong), &quick()).await.unwrap();
        assert!(content.of("consumer").is_empty());
        assert_eq!(content.resources.len(), 96, "{status}");
        let gaps =
            content.gaps.iter().filter(|gap| gap.kind.as_ref().unwrap().as_str() == "consumer");
        assert_eq!(gaps.map(|gap| gap.cause).collect::<Vec<_>>(), [cause]);
        let asked = kong.calls().iter().filter(|c| c.path.starts_with("/consumers")).count();
        assert_eq!(asked, if status == 500 { 6 } else { 1 }, "{status}: a lasting fault ends");
    }
}

#[tokio::test]
async fn a_refused_list_of_upstreams_or_targets_hides_the_targets() {
    let kong = filled().await;
    kong.faults(|asked| (asked.path == "/upstreams").then_some(Fault::Status(403)));
    let content = read(&admin(&kong), &quick()).await.unwrap();
    let mut lacks = content.lacks();
    lacks.sort_unstable_by_key(|(kind, _)| *kind);
    assert_eq!(lacks, [("target", Cause::Denied), ("upstream", Cause::Denied)]);
    kong.faults(|asked| asked.path.ends_with("/targets").then_some(Fault::Status(403)));
    let content = read(&admin(&kong), &quick()).await.unwrap();
    assert_eq!(content.lacks(), [("target", Cause::Denied)]);
    assert_eq!(content.of("upstream").len(), 3);
}

#[tokio::test]
async fn a_token_that_is_refused_ends_the_read() {
    let kong = filled().await;
    kong.faults(|asked| (asked.path == "/routes").then_some(Fault::Status(401)));
    let error = read(&admin(&kong), &quick()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    assert!(error.advice().unwrap().contains("token"));
}

#[tokio::test]
async fn what_passes_is_waited_out() {
    for fault in [
        Fault::Status(429),
        Fault::RetryAfter(503, 7),
        Fault::Status(500),
        Fault::Disconnect,
        Fault::LoseAnswer,
    ] {
        let kong = filled().await;
        let mut left = 5;
        kong.faults(move |asked| {
            let hit = asked.number % 3 == 0 && left > 0;
            left -= i32::from(hit);
            hit.then_some(fault)
        });
        let content = read(&admin(&kong), &quick()).await.unwrap();
        assert_eq!((content.resources.len(), content.lacks()), (103, vec![]), "{fault:?}");
    }
}

#[tokio::test]
async fn a_node_that_goes_away_ends_the_read_whenever_it_goes() {
    for after in [1, 2, 3, 9, 15, 21] {
        let kong = filled().await;
        kong.faults(move |asked| (asked.number == after).then_some(Fault::GoAway));
        let error = read(&admin(&kong), &quick()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{after}: {error:?}");
    }
}
