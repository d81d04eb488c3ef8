//! Secrets that the backup does not hold, or that shall be others.

#![allow(clippy::unwrap_used, reason = "a failure here fails the test")]

mod common;
#[path = "common/scenario.rs"]
mod scenario;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use common::look;
use gwbackup_core::mapping::Mapping;
use gwbackup_core::model::{Key, Secret};
use gwbackup_core::plan::{Decision, MASK};
use gwbackup_core::repository::{PreparedRestore, Repository};
use gwbackup_core::restore::{RunStatus, SecretProvider};
use gwbackup_core::sink::Sink;
use gwbackup_core::target::Target;
use gwbackup_core::testing::{Fault, Faults, FaultySink, MemoryGateway};
use gwbackup_core::{Context, ErrorKind, Result};
use scenario::{Character, Scene, of_kind, options};

const MARKER: &str = "HUSH";

/// Secrets by place, and the places that were asked for.
#[derive(Debug, Default)]
struct Known(BTreeMap<String, String>, Mutex<BTreeSet<String>>);

impl Known {
    fn of(places: impl IntoIterator<Item = String>) -> Arc<Self> {
        let secret = |(n, place)| (place, format!("{MARKER}-{n}"));
        Arc::new(Self(places.into_iter().enumerate().map(secret).collect(), Mutex::default()))
    }
}

#[async_trait]
impl SecretProvider for Known {
    async fn secret(&self, _: &Context, key: &Key, pointer: &str) -> Result<Option<Secret>> {
        let place = format!("{key}#{pointer}");
        let secret = self.0.get(&place).map(Secret::new);
        self.1.lock().unwrap().insert(place);
        Ok(secret)
    }
}

async fn plan(
    scene: &Scene,
    repository: &Repository,
    target: &MemoryGateway,
    known: &Arc<Known>,
) -> PreparedRestore {
    let cx = &scene.bench.cx;
    let info = repository.find(cx, "latest").await.unwrap();
    let target = Arc::new(target.clone()) as Arc<dyn Target>;
    let restore = repository.restore(&info, target).secrets(Arc::clone(known) as _);
    restore.plan(cx).await.unwrap()
}

fn absent(character: Character) -> Vec<String> {
    let original = character.original("again");
    of_kind(&original, "certificate").iter().map(|c| format!("{}#/private_key", c.key)).collect()
}

fn empty(name: &str) -> MemoryGateway {
    MemoryGateway::aws_like().with_name(name).with_seed(7)
}

#[tokio::test]
async fn what_was_never_readable_blocks_by_name_until_it_is_supplied() {
    let scene = Scene::new(Character::Aws).await;
    let cx = &scene.bench.cx;
    let gateway = empty("empty");
    let places = absent(Character::Aws);
    assert_eq!(places.len(), 1);
    let prepared = plan(&scene, &scene.repository, &gateway, &Known::of([])).await;
    let [item] = prepared.plan().blocked.as_slice() else {
        panic!("{:?}", prepared.plan().blocked)
    };
    let Decision::Blocked(why) = &item.decision else { panic!("{item:?}") };
    assert!(why.contains(&format!("supply the secret {}", places[0])), "{why}");
    let refused = prepared.apply(cx, &options()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Refused);
    assert!(gateway.writes().is_empty());

    let known = Known::of(places.clone());
    let prepared = plan(&scene, &scene.repository, &gateway, &known).await;
    assert_eq!(prepared.plan().supplied, places);
    let shown = format!("{prepared:?} {}", serde_json::to_string(prepared.plan()).unwrap());
    let report = prepared.apply(cx, &options()).await.unwrap().report;
    assert_eq!(report.status, RunStatus::Success, "{:?}", report.failures);
    assert_eq!((report.compare.different, report.compare.unverifiable), (0, 1));
    assert!(!shown.contains(MARKER) && !format!("{report:?}").contains(MARKER));
    // Every place that is secret was asked for, and nothing else.
    let asked = known.1.lock().unwrap().clone();
    let keys = of_kind(&Character::Aws.original("again"), "api_key");
    let secret = keys.iter().map(|key| format!("{}#/value", key.key));
    assert_eq!(asked, secret.chain(places).collect());
    for (name, bytes) in look::objects(cx, &scene.bench.sinks[0]).await {
        assert!(!bytes.windows(MARKER.len()).any(|w| w == MARKER.as_bytes()), "{name}");
    }
    // What the vendor never shows is as it should be as long as nobody supplies it again.
    let info = scene.repository.find(cx, "latest").await.unwrap();
    let target = Arc::new(gateway.clone());
    let again = scene.repository.restore(&info, target).plan(cx).await.unwrap();
    assert!(again.plan().is_empty(), "{:?}", again.plan().steps);
    let again = plan(&scene, &scene.repository, &gateway, &Known::of([])).await;
    assert!(again.plan().is_empty(), "{:?}", again.plan().steps);
}

#[tokio::test]
async fn an_operator_changes_a_secret_by_supplying_it() {
    for (character, kind, at) in
        [(Character::Kong, "credential", "/key"), (Character::Aws, "certificate", "/private_key")]
    {
        let scene = Scene::new(character).await;
        let cx = &scene.bench.cx;
        let gateway = character.original("target");
        let key = of_kind(&gateway, kind)[0].key.clone();
        let known = Known::of([format!("{key}#{at}")]);
        let prepared = plan(&scene, &scene.repository, &gateway, &known).await;
        let [step] = prepared.plan().steps.as_slice() else { panic!("{:?}", prepared.plan()) };
        assert_eq!((step.kind.as_str(), step.id.as_str()), (kind, key.id.as_str()));
        let [field] = step.changes.as_slice() else { panic!("{:?}", step.changes) };
        assert_eq!((field.at.as_str(), field.to.as_deref()), (at, Some(MASK)));
        let report = prepared.apply(cx, &options()).await.unwrap().report;
        assert_eq!(report.status, RunStatus::Success, "{:?}", report.failures);
        assert_eq!(report.compare.different, 0, "{:?}", report.compare.differences);
        if character == Character::Kong {
            let there = gateway.resource(&key).unwrap().document;
            assert_eq!(there.text(at).unwrap(), format!("{MARKER}-0"));
            let again = plan(&scene, &scene.repository, &gateway, &known).await;
            assert!(again.plan().is_empty(), "{:?}", again.plan().steps);
        }
    }
}

#[tokio::test]
async fn a_backup_without_secrets_takes_them_all_from_outside() {
    let scene = Scene::new(Character::Kong).await;
    let cx = &scene.bench.cx;
    let original = Character::Kong.original("original");
    let backup = scene.repository.backup(Arc::new(original.clone())).application("shop");
    backup.environment("prod").without_secrets().run(cx).await.unwrap();
    let gateway = MemoryGateway::kong_like().with_name("empty");
    let info = scene.repository.find(cx, "latest").await.unwrap();
    let restore = scene.repository.restore(&info, Arc::new(gateway.clone()));
    let blocked = restore.clone().plan(cx).await.unwrap().plan().blocked.clone();
    let secret = |r: &gwbackup_core::model::Resource| {
        r.marks.iter().map(|m| format!("{}#{}", r.key, m.at.pointer)).collect::<Vec<_>>()
    };
    let places: Vec<String> = original.resources().iter().flat_map(secret).collect();
    assert!(places.len() > 10);
    assert_eq!(blocked.len(), places.len(), "{blocked:?}");
    let known = Known::of(places.clone());
    let prepared = restore.secrets(Arc::clone(&known) as _).plan(cx).await.unwrap();
    assert!(!prepared.plan().is_blocked(), "{:?}", prepared.plan().blocked);
    let report = prepared.apply(cx, &options()).await.unwrap().report;
    assert_eq!(report.status, RunStatus::Success, "{:?}", report.failures);
    assert_eq!(report.compare.different, 0, "{:?}", report.compare.differences);
    for place in &places {
        let (key, at) = place.split_once('#').unwrap();
        let there = gateway.resource(&key.parse().unwrap()).unwrap().document;
        assert_eq!(there.text(at).unwrap(), known.0[place], "{place}");
    }
}

#[tokio::test]
async fn a_killed_run_knows_what_was_supplied_and_its_records_do_not_tell() {
    let scene = Scene::new(Character::Kong).await;
    let cx = &scene.bench.cx;
    let original = Character::Kong.original("original");
    let credential = of_kind(&original, "credential")[0].key.clone();
    let place = format!("{credential}#/key");
    for (n, back) in [(1, false), (2, false), (3, true), (4, false)] {
        let name = format!("killed-{n}");
        let gateway = MemoryGateway::kong_like().with_name(name.clone());
        let (mut records, mut dead) = (0, false);
        let faults = Faults::when(move |call| {
            if dead {
                return Some(Fault::Fail(ErrorKind::Other));
            }
            records += u32::from(call.operation == "put" && call.subject.starts_with("runs/"));
            dead = records >= n;
            // The record is there, and nobody hears of it.
            dead.then_some(Fault::LoseAnswer)
        });
        let wrap =
            |sink| Arc::new(FaultySink::new(Arc::new(sink), faults.clone())) as Arc<dyn Sink>;
        let dying = scene.bench.open_with(wrap).await.unwrap();
        let prepared = plan(&scene, &dying, &gateway, &Known::of([place.clone()])).await;
        assert!(prepared.apply(cx, &options()).await.is_err(), "{n}");
        let repository = scene.bench.open().await;
        let runs = repository.runs(cx).await.unwrap();
        let target = format!("memory-gateway:{name}");
        let run = runs.into_iter().rfind(|run| run.target == target).unwrap().run;
        let target = Arc::new(gateway.clone());
        let report = if back {
            repository.roll_back(cx, run, target, &options()).await.unwrap().report
        } else {
            repository.resume(cx, run, target, &options()).await.unwrap().report
        };
        assert_eq!(report.compare.different, 0, "{n}: {:?}", report.compare.differences);
        if back {
            assert_eq!(report.status, RunStatus::RolledBack, "{n}: {:?}", report.failures);
            assert!(gateway.resources().is_empty());
        } else {
            assert_eq!(report.status, RunStatus::Success, "{n}: {:?}", report.failures);
            let there = gateway.resource(&credential).unwrap().document;
            assert_eq!(there.text("/key").unwrap(), format!("{MARKER}-0"));
        }
    }
    for (name, bytes) in look::objects(cx, &scene.bench.sinks[0]).await {
        assert!(!bytes.windows(MARKER.len()).any(|w| w == MARKER.as_bytes()), "{name}");
    }
}

#[tokio::test]
async fn a_mapped_resource_is_asked_for_by_its_new_name_and_then_by_its_old_one() {
    let scene = Scene::new(Character::Kong).await;
    let cx = &scene.bench.cx;
    let original = Character::Kong.original("original");
    let credentials = of_kind(&original, "credential");
    let (first, second) = (&credentials[0].key, &credentials[1].key);
    let (a, b) = ("00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b");
    let mapping = Mapping::new().token(first.id.as_str(), a).unwrap();
    let mapping = mapping.token(second.id.as_str(), b).unwrap();
    let known = Known::of([format!("credential/{a}#/key"), format!("{second}#/key")]);
    let info = scene.repository.find(cx, "latest").await.unwrap();
    let gateway = MemoryGateway::kong_like().with_name("empty");
    let restore = scene.repository.restore(&info, Arc::new(gateway.clone())).mapping(mapping);
    let prepared = restore.secrets(Arc::clone(&known) as _).plan(cx).await.unwrap();
    prepared.apply(cx, &options()).await.unwrap();
    for (id, secret) in [(a, "HUSH-0"), (b, "HUSH-1")] {
        let there = gateway.resource(&format!("credential/{id}").parse().unwrap()).unwrap();
        assert_eq!(there.document.text("/key").unwrap(), secret);
    }
}
