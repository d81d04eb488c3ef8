//! What a node says of itself.

use gwbackup_core::ErrorKind;
use gwbackup_core::model::Scope;
use gwbackup_core::model::{Cause, HandleName, Kind, Verdict};
use gwbackup_core::source::{Purpose, Source};
use gwbackup_kong::testing::{Fault, KongDouble};
use serde_json::json;

use crate::common::{admin, admin_of, described, fill, quick, read};

#[tokio::test]
async fn version_mode_and_plugins_are_told_and_no_paths() {
    let kong = KongDouble::start().await.unwrap();
    let description = described(&admin(&kong), &quick()).await.unwrap();
    assert_eq!((&*description.product, &*description.version), ("Kong Gateway", "3.9.1"));
    let handle = |name| description.handles.get(&HandleName::known(name)).map(String::as_str);
    assert_eq!((handle("edition"), handle("mode")), (Some("community"), Some("traditional")));
    assert_eq!(handle("router_flavor"), Some("traditional_compatible"));
    assert!(handle("plugins").unwrap().contains("key-auth 3.9.1"));
    assert!(!format!("{:?}", description.handles).contains("/usr/local"), "paths of the node");
    assert_eq!(kong.traffic().requests, 2, "nothing else is asked where nothing is unknown");
}

#[tokio::test]
async fn an_old_version_has_fewer_kinds() {
    let kong = KongDouble::builder().version("2.8.5").start().await.unwrap();
    kong.request("PUT", "/services/s", &json!({ "host": "h" }));
    let description = described(&admin(&kong), &quick()).await.unwrap();
    let has = |name| description.schema.kinds.iter().any(|spec| spec.kind == Kind::known(name));
    assert!(has("service") && !has("key_set") && !has("vault"));
    let content = read(&admin(&kong), &quick()).await.unwrap();
    assert_eq!(content.of("service").len(), 1);
    assert_eq!(content.lacks(), []);
}

#[tokio::test]
async fn kinds_that_the_mode_does_not_have_are_no_failure() {
    let kong = KongDouble::start().await.unwrap();
    fill(&kong);
    let content = read(&admin(&kong), &quick()).await.unwrap();
    let wasm =
        content.gaps.iter().find(|gap| gap.kind == Some(Kind::known("filter_chain"))).unwrap();
    assert_eq!(wasm.cause, Cause::NotOffered);
    assert!(wasm.detail.contains("wasm"), "{}", wasm.detail);
}

#[tokio::test]
async fn what_is_left_out_is_named() {
    let kong = KongDouble::start().await.unwrap();
    fill(&kong);
    let out = admin_of(&kong, "?without=oauth2_tokens,acme_storage");
    let content = read(&out, &quick()).await.unwrap();
    assert!(content.of("oauth2_token").is_empty());
    let gap = content.gaps.iter().find(|g| g.kind == Some(Kind::known("oauth2_token"))).unwrap();
    assert_eq!((gap.cause, &*gap.detail), (Cause::NotOffered, "left out by the address"));
    let typo = described(&admin_of(&kong, "?without=oauth3"), &quick()).await.unwrap_err();
    assert_eq!(typo.kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn a_preflight_tries_each_list_with_one_row() {
    let kong = KongDouble::start().await.unwrap();
    fill(&kong);
    kong.faults(|asked| (asked.path == "/consumers").then_some(Fault::Status(403)));
    let findings =
        admin(&kong).preflight(&quick(), Purpose::Backup, &Scope::everything()).await.unwrap();
    let failed: Vec<_> = findings.iter().filter(|f| f.verdict == Verdict::Failed).collect();
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(failed[0].subject, "consumer");
    let lists = kong.calls().into_iter().filter(|call| call.path.contains('?'));
    assert!(lists.into_iter().all(|call| call.path.ends_with("?size=1")));
    assert_eq!(kong.traffic().writes, 0);
}
