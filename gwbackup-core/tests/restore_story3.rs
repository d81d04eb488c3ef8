//! Half of it already exists: 400 resources, of which the target has 100 as they are, 60 changed and
//! 40 under other ids; 30 more that the backup does not know.

#![allow(clippy::unwrap_used, reason = "a failure here fails the test")]

mod common;

use std::sync::Arc;

use common::Bench;
use gwbackup_core::model::{Key, Resource, Undo};
use gwbackup_core::plan::{Existing, Summary};
use gwbackup_core::repository::{Repository, RestoreBuilder};
use gwbackup_core::restore::{ApplyOptions, RunStatus};
use gwbackup_core::testing::MemoryGateway;
use gwbackup_core::{Context, ErrorKind};
use serde_json::{Value, json};

fn id(kind: u32, n: u32) -> String {
    format!("{kind:08}-0000-4000-8000-{n:012}")
}

fn service(gateway: &MemoryGateway, id: &str, n: u32, host: &str) -> Key {
    let body = json!({"name": format!("s-{n}"), "host": host});
    gateway.create("service", None, Some(id), &body).unwrap()
}

fn route(gateway: &MemoryGateway, n: u32, path: &str) -> Key {
    let body = json!({"name": format!("r-{n}"), "service": {"id": id(1, n)}, "paths": [path]});
    gateway.create("route", None, Some(&id(2, n)), &body).unwrap()
}

/// 200 services with a route each.
fn kong() -> MemoryGateway {
    let gateway = MemoryGateway::kong_like().with_name("original");
    for n in 0..200 {
        service(&gateway, &id(1, n), n, "h");
        route(&gateway, n, "/p");
    }
    gateway
}

/// Identical: 60 services and 40 routes. Changed: 40 services, 20 routes. Under other ids: 40
/// services. Absent: 60 services, 140 routes. Unknown to the backup: 30 consumers.
fn half_a_kong(name: &str) -> MemoryGateway {
    let gateway = MemoryGateway::kong_like().with_name(name);
    for n in 0..60 {
        service(&gateway, &id(1, n), n, "h");
    }
    for n in 60..100 {
        service(&gateway, &id(1, n), n, "elsewhere");
    }
    for n in 100..140 {
        service(&gateway, &id(9, n), n, "h");
    }
    for n in 0..40 {
        route(&gateway, n, "/p");
    }
    for n in 40..60 {
        route(&gateway, n, "/elsewhere");
    }
    for n in 0..30 {
        let body = json!({"username": format!("c-{n}")});
        gateway.create("consumer", None, Some(&id(3, n)), &body).unwrap();
    }
    gateway
}

async fn backed_up(gateway: MemoryGateway) -> (Bench, Repository) {
    let bench = Bench::new(1).await;
    let repository = bench.open().await;
    let backup = repository.backup(Arc::new(gateway)).application("shop").environment("prod");
    assert_eq!(backup.run(&bench.cx).await.unwrap().resources, 400);
    (bench, repository)
}

async fn restore(
    cx: &Context,
    repository: &Repository,
    gateway: &MemoryGateway,
    policy: Existing,
) -> RestoreBuilder {
    let info = repository.find(cx, "latest").await.unwrap();
    repository.restore(&info, Arc::new(gateway.clone())).existing(policy)
}

fn options() -> ApplyOptions {
    ApplyOptions { accept_loss: true, ..ApplyOptions::default() }
}

fn of_kind(gateway: &MemoryGateway, kind: &str) -> Vec<Resource> {
    gateway.resources().into_iter().filter(|r| r.key.kind.as_str() == kind).collect()
}

#[tokio::test]
async fn each_policy_counts_as_the_story_says_where_names_are_unique() {
    let (bench, repository) = backed_up(kong()).await;
    let cx = &bench.cx;
    let base =
        || Summary { create: 200, adopt: 40, unchanged: 140, foreign: 30, ..Summary::default() };
    for (policy, wanted) in [
        (Existing::Update, Summary { update: 60, ..base() }),
        (Existing::Adopt, Summary { update: 60, ..base() }),
        (Existing::Skip, Summary { skipped: 60, ..base() }),
        (Existing::Replace, Summary { replace: 60, ..base() }),
        (Existing::Fail, Summary { blocked: 60, ..base() }),
    ] {
        let gateway = half_a_kong(&format!("{policy:?}"));
        let foreign = of_kind(&gateway, "consumer");
        let prepared = restore(cx, &repository, &gateway, policy).await.plan(cx).await.unwrap();
        assert_eq!(prepared.plan().summary, wanted, "{policy:?}");
        let done = prepared.apply(cx, &options()).await;
        assert_eq!(of_kind(&gateway, "consumer"), foreign, "{policy:?}");
        if policy == Existing::Fail {
            assert_eq!(done.unwrap_err().kind(), ErrorKind::Refused);
            assert!(gateway.writes().is_empty());
            continue;
        }
        let report = done.unwrap().report;
        assert_eq!(report.status, RunStatus::Success, "{policy:?}: {:?}", report.failures);
        assert_eq!(report.compare.different, 0, "{policy:?}: {:?}", report.compare.differences);
        // What was found under another id keeps it, and everything else names it so.
        let services = of_kind(&gateway, "service");
        assert_eq!((services.len(), of_kind(&gateway, "route").len()), (200, 200), "{policy:?}");
        let there = services.iter().filter(|s| s.key.id.as_str().starts_with("00000009")).count();
        assert_eq!(there, 40, "{policy:?}");
        for route in of_kind(&gateway, "route") {
            let n: u32 = route.document.text("/name").unwrap()[2..].parse().unwrap();
            let wanted = id(if (100..140).contains(&n) { 9 } else { 1 }, n);
            assert_eq!(route.document.text("/service/id").unwrap(), wanted, "{policy:?}");
        }
        let again = restore(cx, &repository, &gateway, policy).await.plan(cx).await.unwrap();
        assert!(again.plan().is_empty(), "{policy:?}: {:?}", again.plan().steps);
    }
}

#[tokio::test]
async fn a_kind_can_have_a_policy_of_its_own() {
    let (bench, repository) = backed_up(kong()).await;
    let cx = &bench.cx;
    let gateway = half_a_kong("kinds");
    let builder = restore(cx, &repository, &gateway, Existing::Update).await;
    let plan = builder.clone().existing_of("services", Existing::Skip).plan(cx).await.unwrap();
    let summary = &plan.plan().summary;
    assert_eq!((summary.skipped, summary.update, summary.create), (40, 20, 200));
    let plan = builder.clone().existing_of("route", Existing::Replace).plan(cx).await.unwrap();
    let summary = &plan.plan().summary;
    assert_eq!((summary.replace, summary.update, summary.create), (20, 40, 200));
    let error = builder.existing_of("rout", Existing::Skip).plan(cx).await.unwrap_err();
    assert_eq!((error.kind(), error.subject()), (ErrorKind::Invalid, Some("rout")));
    assert!(error.advice().unwrap().contains("route"));
}

#[tokio::test]
async fn deletions_are_counted_and_guarded() {
    let (bench, repository) = backed_up(kong()).await;
    let cx = &bench.cx;
    let gateway = half_a_kong("pruned");
    let builder = restore(cx, &repository, &gateway, Existing::Update).await;
    // 30 of 230 are 13.04 percent.
    let error = builder.clone().prune(13).plan(cx).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    let prepared = builder.prune(14).plan(cx).await.unwrap();
    let summary = &prepared.plan().summary;
    assert_eq!((summary.delete, summary.foreign, summary.writes()), (30, 0, 290));
    let report = prepared.apply(cx, &options()).await.unwrap().report;
    assert_eq!(report.status, RunStatus::Success, "{:?}", report.failures);
    assert!(of_kind(&gateway, "consumer").is_empty());
}

/// Keys of a gateway on which names tell nothing: 400, of which the account itself is one.
fn aws() -> MemoryGateway {
    let gateway = MemoryGateway::aws_like().with_name("original");
    for n in 0..399 {
        gateway.create("api_key", None, None, &key(n, "")).unwrap();
    }
    gateway
}

fn key(n: u32, tag: &str) -> Value {
    json!({"name": format!("k-{n}"), "value": format!("v-{n}"), "tag": tag})
}

/// 100 as they are (with the account), 60 changed, 40 under other ids, 30 that the backup does not
/// know.
fn half_an_aws(name: &str) -> MemoryGateway {
    let original = aws();
    let gateway = MemoryGateway::aws_like().with_name(name).with_seed(5);
    for resource in of_kind(&original, "api_key") {
        let n: u32 = resource.document.text("/name").unwrap()[2..].parse().unwrap();
        if n < 159 {
            gateway.put(&resource);
        }
        if (99..159).contains(&n) {
            gateway.edit(|contents| contents.set(&resource.key, "tag", &json!("changed")));
        }
    }
    for n in 159..199 {
        gateway.create("api_key", None, None, &key(n, "")).unwrap();
    }
    for n in 1000..1030 {
        gateway.create("api_key", None, None, &key(n, "")).unwrap();
    }
    gateway
}

#[tokio::test]
async fn each_policy_counts_as_the_story_says_where_names_tell_nothing() {
    let (bench, repository) = backed_up(aws()).await;
    let cx = &bench.cx;
    // What fits by such a name alone is asked for, and left out of what is foreign.
    let base = || Summary {
        create: 200,
        ambiguous: 40,
        unchanged: 100,
        foreign: 30,
        ..Summary::default()
    };
    for (policy, wanted) in [
        (Existing::Update, Summary { update: 60, ..base() }),
        (Existing::Skip, Summary { skipped: 60, ..base() }),
        (Existing::Replace, Summary { replace: 60, ..base() }),
        (Existing::Fail, Summary { blocked: 60, ..base() }),
        (
            Existing::Adopt,
            Summary { update: 60, adopt: 40, ambiguous: 0, unchanged: 140, ..base() },
        ),
    ] {
        let gateway = half_an_aws(&format!("{policy:?}"));
        let prepared = restore(cx, &repository, &gateway, policy).await.plan(cx).await.unwrap();
        assert_eq!(prepared.plan().summary, wanted, "{policy:?}");
        let new = prepared.plan().steps.iter().filter(|s| s.undo == Undo::NewHandles).count();
        assert_eq!(new, if policy == Existing::Replace { 60 } else { 0 }, "{policy:?}");
        let done = prepared.apply(cx, &options()).await;
        if policy != Existing::Adopt {
            assert_eq!(done.unwrap_err().kind(), ErrorKind::Refused, "{policy:?}");
            assert!(gateway.writes().is_empty(), "{policy:?}");
            continue;
        }
        let report = done.unwrap().report;
        assert_eq!(report.status, RunStatus::Success, "{:?}", report.failures);
        assert_eq!(report.compare.different, 0, "{:?}", report.compare.differences);
        assert_eq!(of_kind(&gateway, "api_key").len(), 399 + 30);
        let again = restore(cx, &repository, &gateway, policy).await.plan(cx).await.unwrap();
        assert!(again.plan().is_empty(), "{:?}", again.plan().steps);
    }
}
