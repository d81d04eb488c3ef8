//! Every step of a plan of more than two hundred goes wrong: with `GWBACKUP_TEST_ALL` set, as the
//! gates have it; else one in four.

#![allow(clippy::unwrap_used, reason = "a failure here fails the test")]

mod common;
#[path = "common/scenario.rs"]
mod scenario;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use common::Bench;
use gwbackup_core::model::Key;
use gwbackup_core::repository::{Repository, RestoreOutcome};
use gwbackup_core::restore::RunStatus;
use gwbackup_core::testing::{Call, Fault, Faults, FaultyTarget, MemoryGateway};
use gwbackup_core::{ErrorKind, Result};
use scenario::{Character, assert_same, options, structure, value};
use serde_json::json;

const STEPS: usize = 200;

/// One of so many steps is tried, unless all are asked for.
fn stride() -> usize {
    if std::env::var_os("GWBACKUP_TEST_ALL").is_some() { 1 } else { 4 }
}

/// A repository with a backup of a large gateway.
struct Large {
    bench: Bench,
    repository: Repository,
    character: Character,
    wanted: Vec<String>,
    before: Vec<String>,
}

fn original(character: Character, name: &str) -> MemoryGateway {
    let gateway = match character {
        Character::Kong => MemoryGateway::kong_like(),
        _ => MemoryGateway::aws_like(),
    };
    let gateway = gateway.with_name(name);
    gateway.populate(7, 420);
    gateway
}

/// Most of it is lost or changed.
fn drifted(character: Character, name: &str) -> MemoryGateway {
    let gateway = original(character, name);
    let set = |key: &Key, member: &str, to: serde_json::Value| {
        assert!(gateway.edit(|contents| contents.set(key, member, &to)));
    };
    for (n, resource) in gateway.resources().into_iter().enumerate() {
        let key = &resource.key;
        match (character, key.kind.as_str()) {
            (Character::Kong, "plugin" | "credential") if n % 2 == 0 => {
                assert!(gateway.remove(key));
            }
            (Character::Kong, "service") => set(key, "port", json!(1)),
            (Character::Kong, "route") => set(key, "paths", json!(["/moved"])),
            (Character::Kong, "credential") => set(key, "key", json!(format!("other-{}", key.id))),
            (Character::Kong, "plugin") => set(key, "config", json!({"secret": "other"})),
            (Character::Kong, _) => {}
            (_, "route") if n % 2 == 0 => assert!(gateway.remove(key)),
            (_, "route" | "stage") => set(key, "comment", json!("by hand")),
            (_, "integration") => {
                let uri = format!("{}/elsewhere", value(&resource)["uri"].as_str().unwrap());
                set(key, "uri", json!(uri));
            }
            _ => {}
        }
    }
    gateway
}

impl Large {
    async fn new(character: Character) -> Self {
        let bench = Bench::new(1).await;
        let repository = bench.open().await;
        let source = original(character, "original");
        let wanted = structure(&source, character);
        let before = structure(&drifted(character, "before"), character);
        let backup = repository.backup(Arc::new(source)).application("shop").environment("prod");
        backup.run(&bench.cx).await.unwrap();
        Self { bench, repository, character, wanted, before }
    }

    /// A restore onto a gateway that has drifted, under faults.
    async fn restore(&self, name: &str, faults: Faults) -> (MemoryGateway, RestoreOutcome) {
        let gateway = drifted(self.character, name);
        let target = Arc::new(FaultyTarget::new(Arc::new(gateway.clone()), faults));
        let info = self.repository.find(&self.bench.cx, "latest").await.unwrap();
        let prepared = self.repository.restore(&info, target).plan(&self.bench.cx).await.unwrap();
        let plan = prepared.plan();
        assert!(!plan.is_blocked(), "{:?} {:?}", plan.blocked, plan.findings);
        let outcome = prepared.apply(&self.bench.cx, &options()).await.unwrap();
        (gateway, outcome)
    }

    /// The steps' tokens in the order in which they begin.
    async fn undisturbed(&self) -> Vec<String> {
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let own = Arc::clone(&seen);
        let faults = Faults::when(move |call| {
            own.lock().unwrap().extend(step(call).map(str::to_owned));
            None
        });
        let (gateway, outcome) = self.restore("undisturbed", faults).await;
        self.succeeded(&gateway, &outcome, "undisturbed");
        let seen = seen.lock().unwrap().clone();
        assert!(seen.len() >= STEPS, "{}", seen.len());
        seen
    }

    fn succeeded(&self, gateway: &MemoryGateway, outcome: &RestoreOutcome, when: &str) {
        let report = &outcome.report;
        assert_eq!(report.status, RunStatus::Success, "{when}: {:?}", report.failures);
        assert_eq!(report.compare.different, 0, "{when}: {:?}", report.compare.differences);
        assert_same(&structure(gateway, self.character), &self.wanted, when);
    }

    fn rolled_back(&self, gateway: &MemoryGateway, outcome: &RestoreOutcome, when: &str) {
        let report = &outcome.report;
        assert_eq!(report.status, RunStatus::RolledBack, "{when}: {:?}", report.failures);
        assert_eq!(report.compare.different, 0, "{when}: {:?}", report.compare.differences);
        assert_same(&structure(gateway, self.character), &self.before, when);
    }
}

/// The number of the step that a call makes, without the run's.
fn step(call: Call<'_>) -> Option<&str> {
    let token = (call.operation == "apply").then_some(call.subject)?;
    token.rsplit_once('-').map(|(_, number)| number)
}

/// The step of this number meets `fault` at these attempts.
fn at(number: &str, fault: Fault, attempts: u32) -> Faults {
    let (number, mut seen) = (number.to_owned(), 0);
    Faults::when(move |call| {
        seen += u32::from(step(call)? == number);
        (step(call)? == number && seen <= attempts).then_some(fault)
    })
}

async fn refused(character: Character) {
    let scene = Large::new(character).await;
    for number in scene.undisturbed().await.into_iter().step_by(stride()) {
        let name = format!("refused-{number}");
        let faults = at(&number, Fault::Fail(ErrorKind::Denied), u32::MAX);
        let (gateway, outcome) = scene.restore(&name, faults).await;
        scene.rolled_back(&gateway, &outcome, &name);
    }
}

async fn lost(character: Character) {
    let scene = Large::new(character).await;
    for number in scene.undisturbed().await.into_iter().step_by(stride()) {
        let name = format!("lost-{number}");
        let (gateway, outcome) = scene.restore(&name, at(&number, Fault::LoseAnswer, 1)).await;
        scene.succeeded(&gateway, &outcome, &name);
    }
}

/// Being throttled counts for an hour of pauses, not for six attempts.
async fn throttled(character: Character) {
    let scene = Large::new(character).await;
    for number in scene.undisturbed().await.into_iter().step_by(stride()) {
        let name = format!("throttled-{number}");
        let began = scene.bench.cx.now();
        let faults = at(&number, Fault::Fail(ErrorKind::Throttled), 15);
        let (gateway, outcome) = scene.restore(&name, faults).await;
        scene.succeeded(&gateway, &outcome, &name);
        let waited = scene.bench.cx.now().duration_since(began);
        assert!(waited.as_mins() >= 10, "{name}: {waited}");
    }
}

/// The last step is refused, then one of those that undo the others.
async fn stuck(character: Character) -> Result<()> {
    let scene = Large::new(character).await;
    let steps = scene.undisturbed().await;
    let last = steps.last().unwrap().clone();
    let mut tried = 0;
    for n in (0..steps.len()).step_by(5) {
        let name = format!("stuck-{n}");
        let (deny, undo) = (last.clone(), format!("r{n}"));
        let faults = Faults::when(move |call| {
            let hit = step(call)? == deny || step(call)? == undo;
            hit.then_some(Fault::Fail(ErrorKind::Denied))
        });
        let (gateway, outcome) = scene.restore(&name, faults).await;
        let report = outcome.report;
        if report.status == RunStatus::RolledBack {
            // The way back is shorter by what was refused.
            assert!(n + 5 >= steps.len(), "{name}");
            continue;
        }
        assert_eq!(report.status, RunStatus::RollbackIncomplete, "{name}: {:?}", report.failures);
        let left: BTreeSet<String> =
            report.compare.differences.iter().map(|left| left.key.to_string()).collect();
        let named = report.failures.iter().any(|why| left.iter().any(|key| why.contains(key)));
        assert!(named, "{name}: {:?} {left:?}", report.failures);
        let (cx, target) = (&scene.bench.cx, Arc::new(gateway.clone()));
        let resumed = scene.repository.resume(cx, report.run.unwrap(), target, &options()).await?;
        scene.rolled_back(&gateway, &resumed, &name);
        tried += 1;
    }
    assert!(tried * 5 >= STEPS - 5, "{tried}");
    Ok(())
}

macro_rules! on_each {
    ($($name:ident: $check:ident;)*) => {$(
        mod $name {
            use super::*;

            #[tokio::test]
            async fn kong() {
                $check(Character::Kong).await;
            }

            #[tokio::test]
            async fn aws() {
                $check(Character::Aws).await;
            }
        }
    )*};
}

on_each! {
    a_step_that_is_refused_for_good_turns_the_run_round: refused;
    a_step_whose_answer_is_lost_is_made_once: lost;
    ten_minutes_of_throttling_are_waited_out: throttled;
}

mod a_roll_back_that_fails_says_what_is_left_and_is_finished_later {
    use super::*;

    #[tokio::test]
    async fn kong() {
        stuck(Character::Kong).await.unwrap();
    }

    #[tokio::test]
    async fn aws() {
        stuck(Character::Aws).await.unwrap();
    }
}
