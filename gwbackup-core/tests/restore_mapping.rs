//! A restore into another account, in its words.

#![allow(clippy::unwrap_used, reason = "a failure here fails the test")]

mod common;
#[path = "common/scenario.rs"]
mod scenario;

use std::sync::Arc;

use gwbackup_core::mapping::{Mapping, RuleKind};
use gwbackup_core::model::{Key, Verdict};
use gwbackup_core::plan::Decision;
use gwbackup_core::repository::{PreparedRestore, Repository};
use gwbackup_core::restore::{Plan, RunStatus};
use gwbackup_core::sink::Sink;
use gwbackup_core::testing::{Fault, Faults, FaultySink, FaultyTarget, MemoryGateway};
use gwbackup_core::{ErrorKind, Result};
use scenario::{Character, Scene, assert_same, of_kind, options};
use serde_json::json;

const OLD: &str = "000000000001";
const NEW: &str = "000000000002";

/// An empty gateway of another account, whose server gives other ids.
fn elsewhere(character: Character, name: &str) -> MemoryGateway {
    let gateway = MemoryGateway::aws_like().with_name(name).with_seed(99).with_account(NEW);
    match character {
        Character::Composite => gateway.with_composite(2),
        _ => gateway,
    }
}

fn accounts() -> Mapping {
    Mapping::new().token(OLD, NEW).unwrap()
}

async fn plan(
    scene: &Scene,
    repository: &Repository,
    target: Arc<FaultyTarget>,
    mapping: Mapping,
) -> Result<PreparedRestore> {
    let info = repository.find(&scene.bench.cx, "latest").await.unwrap();
    repository.restore(&info, target).mapping(mapping).plan(&scene.bench.cx).await
}

fn healthy(gateway: &MemoryGateway) -> Arc<FaultyTarget> {
    Arc::new(FaultyTarget::new(Arc::new(gateway.clone()), Faults::none()))
}

fn texts(gateway: &MemoryGateway) -> String {
    let text = |r: &gwbackup_core::model::Resource| format!("{} {}\n", r.key, r.document.as_str());
    gateway.resources().iter().map(text).collect()
}

fn blocked(plan: &Plan) -> Vec<(String, String)> {
    let why = |item: &gwbackup_core::plan::Item| match &item.decision {
        Decision::Blocked(why) => (item.key.to_string(), why.clone()),
        other => panic!("{other:?}"),
    };
    plan.blocked.iter().map(why).collect()
}

#[tokio::test]
async fn what_belongs_to_the_old_account_blocks_by_name_until_it_is_mapped() {
    for character in [Character::Aws, Character::Composite] {
        let scene = Scene::new(character).await;
        let cx = &scene.bench.cx;
        let gateway = elsewhere(character, "elsewhere");
        let prepared = plan(&scene, &scene.repository, healthy(&gateway), Mapping::new()).await;
        let prepared = prepared.unwrap();
        let found = blocked(prepared.plan());
        let functions = of_kind(&character.original("again"), "integration").into_iter();
        let functions: Vec<_> =
            functions.filter(|r| r.document.text("/uri").unwrap().contains(":function:")).collect();
        assert!(functions.len() > 3);
        assert_eq!(found.len(), functions.len(), "{found:?}");
        for function in functions {
            let (_, why) = found.iter().find(|(key, _)| *key == function.key.to_string()).unwrap();
            let name = function.document.text("/uri").unwrap();
            assert!(why.contains(&format!("/uri names the function {name}")), "{why}");
            assert!(why.contains("map it"), "{why}");
        }
        let refused = prepared.apply(cx, &options()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Refused);
        assert!(gateway.writes().is_empty());

        let prepared =
            plan(&scene, &scene.repository, healthy(&gateway), accounts()).await.unwrap();
        assert!(!prepared.plan().is_blocked(), "{:?}", prepared.plan().blocked);
        let rule = &prepared.plan().mapping[0];
        assert_eq!((rule.rule, rule.from.as_str(), rule.to.as_str()), (RuleKind::Token, OLD, NEW));
        let holding = character.original("again").resources().into_iter();
        let holding = holding.filter(|r| r.document.as_str().contains(OLD)).count();
        assert_eq!(usize::try_from(rule.resources).unwrap(), holding);
        assert_eq!((rule.keys.len(), rule.inside), (5, 0));
        let outcome = prepared.apply(cx, &options()).await.unwrap();
        // The certificate's private part was never readable.
        assert_eq!(outcome.report.status, RunStatus::Partial, "{:?}", outcome.report.failures);
        assert_eq!(outcome.report.compare.different, 0, "{:?}", outcome.report.compare.differences);
        let there = texts(&gateway);
        assert!(!there.contains(OLD), "{there}");
        assert!(there.contains(NEW));
        let again = plan(&scene, &scene.repository, healthy(&gateway), accounts()).await.unwrap();
        assert!(again.plan().is_empty(), "{:?}", again.plan().steps);
    }
}

#[tokio::test]
async fn names_are_keys_too_and_references_follow_them() {
    let scene = Scene::new(Character::Aws).await;
    let cx = &scene.bench.cx;
    let gateway = elsewhere(Character::Aws, "elsewhere");
    let mapping = accounts().token("example", "invalid").unwrap().token("prod", "live").unwrap();
    let prepared = plan(&scene, &scene.repository, healthy(&gateway), mapping.clone()).await;
    let outcome = prepared.unwrap().apply(cx, &options()).await.unwrap();
    assert_eq!(outcome.report.status, RunStatus::Partial, "{:?}", outcome.report.failures);
    assert_eq!(outcome.report.compare.different, 0, "{:?}", outcome.report.compare.differences);
    let original = Character::Aws.original("again");
    assert_eq!(of_kind(&gateway, "domain").len(), of_kind(&original, "domain").len());
    for domain in of_kind(&gateway, "domain") {
        let name = domain.document.text("/name").unwrap();
        assert!(name.ends_with(".invalid"), "{name}");
        assert_eq!(domain.key.id.last(), name);
    }
    let stages = of_kind(&gateway, "stage");
    assert!(stages.iter().all(|stage| stage.key.id.last() != "prod"));
    assert_eq!(stages.len(), of_kind(&original, "stage").len());
    // The map is in the backup's own words.
    let known = original.resources();
    for from in outcome.map.entries.keys() {
        assert!(known.iter().any(|resource| resource.key == *from), "{from}");
    }
    let again = plan(&scene, &scene.repository, healthy(&gateway), mapping).await.unwrap();
    assert!(again.plan().is_empty(), "{:?}", again.plan().steps);
}

#[tokio::test]
async fn a_mapped_name_finds_the_targets_thing_and_identities_are_in_the_backups_words() {
    let scene = Scene::new(Character::Kong).await;
    let cx = &scene.bench.cx;
    let original = Character::Kong.original("again");
    let services = of_kind(&original, "service");
    let name = |n: usize| services[n].document.text("/name").unwrap().into_owned();
    let gateway = MemoryGateway::kong_like().with_name("elsewhere");
    let there = |id: u32, name: &str| {
        let id = format!("99999999-0000-4000-8000-{id:012}");
        gateway.create("service", None, Some(&id), &json!({"name": name, "host": "h"})).unwrap()
    };
    let (first, second) = (there(1, "renamed"), there(2, "named otherwise"));
    // The second is known by its id alone, which a rule about text changes as well.
    let id = services[1].key.id.as_str();
    let mapping = Mapping::new()
        .exact(name(0), "renamed")
        .unwrap()
        .token(id, "00000000-0000-4000-8000-000000000009")
        .unwrap()
        .identity(services[1].key.clone(), second.clone())
        .unwrap();
    let prepared = plan(&scene, &scene.repository, healthy(&gateway), mapping.clone()).await;
    let outcome = prepared.unwrap().apply(cx, &options()).await.unwrap();
    assert_eq!(outcome.report.status, RunStatus::Success, "{:?}", outcome.report.failures);
    assert_eq!(outcome.report.compare.different, 0, "{:?}", outcome.report.compare.differences);
    assert_eq!(outcome.map.entries[&services[0].key].key, first);
    assert_eq!(outcome.map.entries[&services[1].key].key, second);
    let routes = of_kind(&gateway, "route");
    for (own, there) in [(&services[0].key, &first), (&services[1].key, &second)] {
        let of = |routes: &[gwbackup_core::model::Resource], key: &Key| {
            let id = key.id.last().into_owned();
            let named = |r: &&gwbackup_core::model::Resource| {
                r.document.text("/service/id").as_deref() == Some(&id)
            };
            routes.iter().filter(named).count()
        };
        assert_eq!(of(&routes, there), of(&of_kind(&original, "route"), own));
    }
    assert!(!texts(&gateway).contains(id));
    let again = plan(&scene, &scene.repository, healthy(&gateway), mapping).await.unwrap();
    assert!(again.plan().is_empty(), "{:?}", again.plan().steps);
}

#[tokio::test]
async fn a_rule_that_meets_nothing_and_a_word_inside_another_are_told() {
    let scene = Scene::new(Character::Aws).await;
    let gateway = elsewhere(Character::Aws, "elsewhere");
    let mapping = accounts().token("eu-west-9", "x").unwrap().exact("none", "x").unwrap();
    let mapping = mapping.token("interna", "x").unwrap();
    let prepared = plan(&scene, &scene.repository, healthy(&gateway), mapping).await.unwrap();
    let findings = &prepared.plan().findings;
    let told = |subject: &str, word: &str| {
        findings.iter().any(|f| {
            f.verdict == Verdict::Warning && f.subject == subject && f.detail.contains(word)
        })
    };
    assert!(told("mapping: token eu-west-9", "nowhere"), "{findings:?}");
    assert!(told("mapping: whole string none", "nowhere"), "{findings:?}");
    assert!(told("mapping: token interna", "longer word: in "), "{findings:?}");
    assert!(!told(&format!("mapping: token {OLD}"), ""), "{findings:?}");
}

/// The same step of every process fails for good.
fn denying(gateway: &MemoryGateway, step: &str) -> Arc<FaultyTarget> {
    let step = step.to_owned();
    let faults = Faults::when(move |call| {
        let hit = call.operation == "apply" && call.subject.ends_with(&step);
        hit.then_some(Fault::Fail(ErrorKind::Denied))
    });
    Arc::new(FaultyTarget::new(Arc::new(gateway.clone()), faults))
}

#[tokio::test]
async fn a_killed_run_knows_its_mapping_whichever_way_it_goes_on() {
    let scene = Scene::new(Character::Aws).await;
    let cx = &scene.bench.cx;
    let whole = elsewhere(Character::Aws, "whole");
    let prepared = plan(&scene, &scene.repository, healthy(&whole), accounts()).await.unwrap();
    let wanted = prepared.apply(cx, &options()).await.unwrap().report;
    let empty = scene.structure(&elsewhere(Character::Aws, "empty"));
    for (n, back) in [(3, false), (5, true), (8, false), (9, true)] {
        let name = format!("killed-{n}");
        let gateway = elsewhere(Character::Aws, &name);
        let mut records = 0;
        let mut dead = false;
        let faults = Faults::when(move |call| {
            records += u64::from(call.operation == "put" && call.subject.starts_with("runs/"));
            dead |= records >= n;
            dead.then_some(Fault::Fail(ErrorKind::Other))
        });
        let wrap =
            |sink| Arc::new(FaultySink::new(Arc::new(sink), faults.clone())) as Arc<dyn Sink>;
        let dying = scene.bench.open_with(wrap).await.unwrap();
        let prepared = plan(&scene, &dying, healthy(&gateway), accounts()).await.unwrap();
        assert!(prepared.apply(cx, &options()).await.is_err(), "{n}");
        let repository = scene.bench.open().await;
        let runs = repository.runs(cx).await.unwrap();
        let target = format!("memory-gateway:{name}");
        let run = runs.into_iter().rfind(|run| run.target == target).unwrap().run;
        let target = healthy(&gateway);
        if back {
            let report = repository.roll_back(cx, run, target, &options()).await.unwrap().report;
            assert_eq!(report.status, RunStatus::RolledBack, "{n}: {:?}", report.failures);
            assert_same(&scene.structure(&gateway), &empty, &name);
        } else {
            let report = repository.resume(cx, run, target, &options()).await.unwrap().report;
            assert_eq!(report.status, wanted.status, "{n}: {:?}", report.failures);
            assert_eq!(report.compare, wanted.compare, "{n}");
            assert_same(&scene.structure(&gateway), &scene.structure(&whole), &name);
        }
    }
    let gateway = elsewhere(Character::Aws, "denied");
    let target = denying(&gateway, "-20");
    let prepared = plan(&scene, &scene.repository, target, accounts()).await.unwrap();
    let report = prepared.apply(cx, &options()).await.unwrap().report;
    assert_eq!(report.status, RunStatus::RolledBack, "{:?}", report.failures);
    assert_same(&scene.structure(&gateway), &empty, "denied");
}
