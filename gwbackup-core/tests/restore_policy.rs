//! What a plan may do, what it must not, and what needs consent.

#![allow(clippy::unwrap_used, reason = "a failure here fails the test")]

mod common;
#[path = "common/scenario.rs"]
mod scenario;

use std::collections::BTreeMap;
use std::sync::Arc;

use gwbackup_core::ErrorKind;
use gwbackup_core::model::{Action, Key};
use gwbackup_core::plan::{Decision, Existing};
use gwbackup_core::restore::{ApplyOptions, Plan, RunStatus};
use gwbackup_core::sink::{ObjectName, Sink};
use gwbackup_core::testing::MemoryGateway;
use scenario::{Character, Scene, assert_same, lose_api, of_kind, options};
use serde_json::json;

fn actions(plan: &Plan) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for step in &plan.steps {
        *found.entry(format!("{:?} {}", step.action, step.kind)).or_insert(0) += 1;
    }
    found
}

/// An empty AWS-like gateway with the backup restored into it.
async fn moved(scene: &Scene) -> MemoryGateway {
    let gateway = MemoryGateway::aws_like().with_name("moved").with_seed(99);
    let target = Arc::new(gateway.clone());
    let prepared = scene.restore(target).await.plan(&scene.bench.cx).await.unwrap();
    let outcome = prepared.apply(&scene.bench.cx, &options()).await.unwrap();
    assert_ne!(outcome.report.status, RunStatus::RolledBack, "{:?}", outcome.report.failures);
    assert_eq!(outcome.report.compare.different, 0, "{:?}", outcome.report.compare.differences);
    gateway
}

#[tokio::test]
async fn an_api_deleted_by_hand_is_all_that_a_second_restore_writes() {
    let scene = Scene::new(Character::Aws).await;
    let cx = &scene.bench.cx;
    let gateway = moved(&scene).await;
    let target = Arc::new(gateway.clone());
    let info = scene.repository.find(cx, "latest").await.unwrap();
    let restore = scene.repository.restore(&info, target);
    let before = scene.structure(&gateway);
    assert!(restore.clone().plan(cx).await.unwrap().plan().is_empty());

    let api = of_kind(&gateway, "api").remove(1).key;
    let below = |r: &gwbackup_core::model::Resource| r.key.id.is_under(&api.id);
    let lost = gateway.resources().into_iter().filter(below).count();
    lose_api(&gateway, &api);
    let prepared = restore.clone().plan(cx).await.unwrap();
    let plan = prepared.plan();
    assert!(!plan.is_blocked(), "{:?}", plan.blocked);
    let written = actions(plan);
    assert_eq!(written.get("Create api"), Some(&1), "{written:?}");
    assert_eq!(written.get("Update plan"), Some(&1), "{written:?}");
    assert_eq!(written.get("Create domain"), Some(&1), "{written:?}");
    // The api, what lay below it, its domain, and the plan that names it.
    let writes = usize::try_from(plan.summary.writes()).unwrap();
    assert!(writes <= lost + 4 && writes + 2 >= lost, "{writes} for {lost}: {written:?}");
    let outcome = prepared.apply(cx, &options()).await.unwrap();
    assert_eq!(outcome.report.compare.different, 0, "{:?}", outcome.report.compare.differences);
    assert_same(&scene.structure(&gateway), &before, "after the second restore");
    assert!(restore.plan(cx).await.unwrap().plan().is_empty());
}

#[tokio::test]
async fn with_the_map_lost_nothing_is_written() {
    let scene = Scene::new(Character::Aws).await;
    let cx = &scene.bench.cx;
    let gateway = moved(&scene).await;
    let sink = &scene.bench.sinks[0];
    let runs = scene.repository.runs(cx).await.unwrap();
    for run in runs {
        for number in 1.. {
            let name = ObjectName::new(&format!("runs/{}/{number:08}.rec", run.run)).unwrap();
            if sink.head(cx, &name).await.is_err() {
                break;
            }
            sink.delete(cx, &name).await.unwrap();
        }
    }
    let writes = gateway.writes().len();
    let prepared = scene.restore(Arc::new(gateway.clone())).await.plan(cx).await.unwrap();
    let roots = |item: &&gwbackup_core::plan::Item| {
        item.key.kind.as_str() == "api" && matches!(item.decision, Decision::Ambiguous(_))
    };
    let ambiguous = prepared.plan().blocked.iter().filter(roots).count();
    assert_eq!(ambiguous, of_kind(&gateway, "api").len());
    let error = prepared.apply(cx, &options()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert_eq!(gateway.writes().len(), writes);
}

/// A Kong-like gateway with one service that differs.
async fn one_difference() -> (Scene, MemoryGateway, Key) {
    let scene = Scene::new(Character::Kong).await;
    let gateway = Character::Kong.original("target");
    let key = of_kind(&gateway, "consumer").remove(0).key;
    gateway.edit(|contents| contents.set(&key, "custom_id", &json!("by hand")));
    (scene, gateway, key)
}

#[tokio::test]
async fn each_policy_does_what_it_says_about_a_resource_that_differs() {
    for (policy, action) in [
        (Existing::Update, Some(Action::Update)),
        (Existing::Adopt, Some(Action::Update)),
        (Existing::Skip, None),
        (Existing::Fail, None),
    ] {
        let (scene, gateway, key) = one_difference().await;
        let cx = &scene.bench.cx;
        let restore = scene.restore(Arc::new(gateway.clone())).await.existing(policy);
        let prepared = restore.plan(cx).await.unwrap();
        let plan = prepared.plan().clone();
        assert_eq!(plan.steps.first().map(|step| step.action), action, "{policy:?}");
        assert_eq!(plan.is_blocked(), policy == Existing::Fail);
        let skipped = plan.left.iter().any(|i| matches!(i.decision, Decision::Skipped(_)));
        assert_eq!(skipped, policy == Existing::Skip);
        let done = prepared.apply(cx, &ApplyOptions::default()).await;
        match policy {
            Existing::Fail => assert_eq!(done.unwrap_err().kind(), ErrorKind::Refused),
            _ => assert_eq!(done.unwrap().report.status, RunStatus::Success),
        }
        let restored =
            gateway.resource(&key).unwrap().document.text("/custom_id").unwrap() != "by hand";
        assert_eq!(restored, action.is_some(), "{policy:?}");
    }
}

#[tokio::test]
async fn deletions_need_prune_and_stay_below_its_limit() {
    let scene = Scene::new(Character::Kong).await;
    let cx = &scene.bench.cx;
    let gateway = Character::Kong.drifted("drifted");
    let info = scene.repository.find(cx, "latest").await.unwrap();
    let restore = scene.repository.restore(&info, Arc::new(gateway.clone()));
    let prepared = restore.clone().plan(cx).await.unwrap();
    assert_eq!(prepared.plan().summary.delete, 0);
    assert_eq!(prepared.plan().summary.foreign, 25);
    let error = restore.prune(5).plan(cx).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(gateway.writes().is_empty());
}

#[tokio::test]
async fn a_partial_backup_needs_consent_and_deletes_nothing_that_it_did_not_see() {
    let scene = Scene::new(Character::Kong).await;
    let cx = &scene.bench.cx;
    let source = Character::Kong.original("partial").with_denied("plugin");
    let backup = scene.repository.backup(Arc::new(source));
    backup.application("shop").environment("prod").run(cx).await.unwrap();
    let gateway = Character::Kong.drifted("drifted");
    // With prune it is refused outright.
    let pruning = scene.restore(Arc::new(gateway.clone())).await.plan(cx).await;
    assert_eq!(pruning.unwrap_err().kind(), ErrorKind::Refused);
    let info = scene.repository.find(cx, "latest").await.unwrap();
    let restore = scene.repository.restore(&info, Arc::new(gateway.clone()));
    let prepared = restore.plan(cx).await.unwrap();
    assert!(prepared.plan().backup_partial);
    assert!(prepared.plan().steps.iter().all(|step| step.kind != "plugin"));
    let error = prepared.apply(cx, &options()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(gateway.writes().is_empty());
}

#[tokio::test]
async fn what_cannot_be_read_in_the_target_is_not_made_again() {
    let scene = Scene::new(Character::Kong).await;
    let cx = &scene.bench.cx;
    let gateway = Character::Kong.original("gap").with_denied("route");
    let prepared = scene.restore(Arc::new(gateway.clone())).await.plan(cx).await.unwrap();
    let blocked = &prepared.plan().blocked;
    assert!(blocked.iter().any(|item| item.key.kind.as_str() == "route"), "{blocked:?}");
    assert!(prepared.plan().steps.is_empty(), "{:?}", prepared.plan().steps);
    let error = prepared.apply(cx, &options()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(gateway.writes().is_empty());
}

#[tokio::test]
async fn what_nobody_could_bring_back_is_destroyed_only_with_consent() {
    let scene = Scene::new(Character::Aws).await;
    let cx = &scene.bench.cx;
    let gateway = Character::Aws.original("target");
    let new = json!({"name": "new", "body": "PEM", "private_key": "PEM-SECRET"});
    let key = gateway.create("certificate", None, None, &new).unwrap();
    let prepared = scene.restore(Arc::new(gateway.clone())).await.plan(cx).await.unwrap();
    assert_eq!(prepared.plan().losses().count(), 1);
    let error = prepared.apply(cx, &ApplyOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(gateway.resource(&key).is_some());
    let prepared = scene.restore(Arc::new(gateway.clone())).await.plan(cx).await.unwrap();
    let outcome = prepared.apply(cx, &options()).await.unwrap();
    assert_eq!(outcome.report.status, RunStatus::Success, "{:?}", outcome.report.failures);
    assert!(gateway.resource(&key).is_none());
}

#[tokio::test]
async fn a_gateway_rebuilt_by_hand_is_matched_by_names_and_its_references_follow() {
    let scene = Scene::new(Character::Kong).await;
    let cx = &scene.bench.cx;
    let gateway = MemoryGateway::kong_like().with_name("rebuilt");
    let original = Character::Kong.original("again");
    for (n, service) in of_kind(&original, "service").iter().enumerate() {
        let name = service.document.text("/name").unwrap().into_owned();
        let id = format!("99999999-0000-4000-8000-{n:012}");
        let body = json!({"name": name, "host": "elsewhere"});
        gateway.create("service", None, Some(&id), &body).unwrap();
    }
    let restore = scene.restore(Arc::new(gateway.clone())).await;
    let prepared = restore.clone().plan(cx).await.unwrap();
    assert!(!prepared.plan().is_blocked(), "{:?}", prepared.plan().blocked);
    let written = actions(prepared.plan());
    assert_eq!(written.get("Create service"), None, "{written:?}");
    assert_eq!(written.get("Delete service"), None, "{written:?}");
    let outcome = prepared.apply(cx, &options()).await.unwrap();
    assert_eq!(outcome.report.status, RunStatus::Success, "{:?}", outcome.report.failures);
    for route in of_kind(&gateway, "route") {
        let service = route.document.text("/service/id").unwrap();
        assert!(service.starts_with("99999999"), "{service}");
    }
    assert!(restore.plan(cx).await.unwrap().plan().is_empty());
}

#[tokio::test]
async fn a_finished_run_is_turned_round_once() {
    for character in scenario::ALL {
        let scene = Scene::new(character).await;
        let cx = &scene.bench.cx;
        let gateway = character.drifted("target");
        let before = scene.structure(&gateway);
        let target = Arc::new(gateway.clone());
        let prepared = scene.restore(Arc::clone(&target) as _).await.plan(cx).await.unwrap();
        let outcome = prepared.apply(cx, &options()).await.unwrap();
        let run = outcome.report.run.unwrap();
        let back = scene
            .repository
            .roll_back(cx, run, Arc::clone(&target) as _, &options())
            .await
            .unwrap();
        assert_eq!(back.report.status, RunStatus::RolledBack, "{:?}", back.report.failures);
        assert_eq!(back.report.compare.different, 0, "{:?}", back.report.compare.differences);
        assert_same(&scene.structure(&gateway), &before, &format!("{character:?}"));
        let again = scene.repository.roll_back(cx, run, Arc::clone(&target) as _, &options()).await;
        assert_eq!(again.unwrap_err().kind(), ErrorKind::Refused);
        // What was made again under other ids is still known by what it is.
        let prepared = scene.restore(Arc::clone(&target) as _).await.plan(cx).await.unwrap();
        assert!(!prepared.plan().is_blocked(), "{:?}", prepared.plan().blocked);
        let outcome = prepared.apply(cx, &options()).await.unwrap();
        assert_eq!(outcome.report.status, RunStatus::Success, "{:?}", outcome.report.failures);
        assert_same(&scene.structure(&gateway), &scene.wanted, &format!("{character:?}, again"));
    }
}
