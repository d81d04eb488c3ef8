//! Changes that stand in each other's way: names that are exchanged, things that go along with
//! others.

#![allow(clippy::unwrap_used, reason = "a failure here fails the test")]

mod common;
#[path = "common/scenario.rs"]
mod scenario;

use std::sync::{Arc, Mutex};

use common::Bench;
use gwbackup_core::model::{Action, Key};
use gwbackup_core::plan::Existing;
use gwbackup_core::repository::{Repository, RestoreOutcome};
use gwbackup_core::restore::{Plan, RunStatus};
use gwbackup_core::sink::Sink;
use gwbackup_core::testing::{Fault, Faults, FaultySink, FaultyTarget, MemoryGateway};
use gwbackup_core::{ErrorKind, Result};
use scenario::{Character, assert_same, of_kind, options, structure};
use serde_json::json;

/// A gateway that is backed up, and what happens to it before it is restored.
#[derive(Clone, Copy)]
struct Case {
    character: Character,
    existing: Existing,
    original: fn(&str) -> MemoryGateway,
    drift: fn(&MemoryGateway),
}

impl Case {
    fn drifted(&self, name: &str) -> MemoryGateway {
        let gateway = (self.original)(name);
        (self.drift)(&gateway);
        gateway
    }

    fn structure(&self, gateway: &MemoryGateway) -> Vec<String> {
        structure(gateway, self.character)
    }
}

/// A repository with a backup of the original.
async fn backed_up(case: &Case) -> (Bench, Repository) {
    let bench = Bench::new(1).await;
    let repository = bench.open().await;
    let source = Arc::new((case.original)("original"));
    let backup = repository.backup(source).application("shop").environment("prod");
    backup.run(&bench.cx).await.unwrap();
    (bench, repository)
}

async fn restore(
    bench: &Bench,
    repository: &Repository,
    case: &Case,
    gateway: &MemoryGateway,
    faults: Faults,
) -> Result<(Plan, RestoreOutcome)> {
    let target = Arc::new(FaultyTarget::new(Arc::new(gateway.clone()), faults));
    let info = repository.find(&bench.cx, "latest").await?;
    let restore = repository.restore(&info, target).existing(case.existing);
    let prepared = restore.plan(&bench.cx).await?;
    let plan = prepared.plan().clone();
    assert!(!plan.is_blocked(), "{:?} {:?}", plan.blocked, plan.findings);
    let outcome = prepared.apply(&bench.cx, &options()).await?;
    Ok((plan, outcome))
}

/// What the first attempt of the `k`-th step meets; 0 counts only.
fn at_step(k: usize, fault: Fault) -> (Faults, Arc<Mutex<Vec<String>>>) {
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let own = Arc::clone(&seen);
    let faults = Faults::when(move |call| {
        let mut seen = own.lock().unwrap();
        if call.operation != "apply" || seen.iter().any(|token| token == call.subject) {
            return None;
        }
        seen.push(call.subject.to_owned());
        (seen.len() == k).then_some(fault)
    });
    (faults, seen)
}

/// Restores undisturbed, then with a fault at each step, then killed at each record of the journal.
async fn holds(case: Case) -> Plan {
    let (bench, repository) = backed_up(&case).await;
    let cx = &bench.cx;
    let wanted = case.structure(&(case.original)("wanted"));
    let before = case.structure(&case.drifted("before"));
    assert!(wanted != before);

    let gateway = case.drifted("undisturbed");
    let (faults, steps) = at_step(0, Fault::LoseAnswer);
    let (plan, outcome) = restore(&bench, &repository, &case, &gateway, faults).await.unwrap();
    let whole = outcome.report;
    assert_eq!(whole.status, RunStatus::Success, "{:?}", whole.failures);
    assert_eq!(whole.compare.different, 0, "{:?}", whole.compare.differences);
    assert_same(&case.structure(&gateway), &wanted, "undisturbed");
    let info = repository.find(cx, "latest").await.unwrap();
    let again = repository.restore(&info, Arc::new(gateway)).existing(case.existing);
    let again = again.plan(cx).await.unwrap();
    assert!(again.plan().is_empty(), "{:#?}", again.plan().steps);
    let tokens = steps.lock().unwrap().clone();
    let steps = tokens.len();

    for k in 1..=steps {
        let when = format!("step {k} of {steps} is denied");
        let gateway = case.drifted(&format!("denied-{k}"));
        let (faults, _) = at_step(k, Fault::Fail(ErrorKind::Denied));
        let (_, outcome) = restore(&bench, &repository, &case, &gateway, faults).await.unwrap();
        let report = outcome.report;
        assert_eq!(report.status, RunStatus::RolledBack, "{when}: {:?}", report.failures);
        assert_eq!(report.compare.different, 0, "{when}: {:?}", report.compare.differences);
        assert_same(&case.structure(&gateway), &before, &when);

        let when = format!("the answer of step {k} of {steps} is lost");
        let gateway = case.drifted(&format!("lost-{k}"));
        let (faults, _) = at_step(k, Fault::LoseAnswer);
        let (_, outcome) = restore(&bench, &repository, &case, &gateway, faults).await.unwrap();
        let report = outcome.report;
        assert_eq!(report.status, RunStatus::Success, "{when}: {:?}", report.failures);
        assert_same(&case.structure(&gateway), &wanted, &when);
    }

    let last = tokens.last().and_then(|token| token.rsplit_once('-')).unwrap().1;
    for (deny, wanted) in [(None, &wanted), (Some(last), &before)] {
        for j in 1.. {
            if !killed(&bench, &case, j, deny, wanted).await {
                assert!(j > 4, "a run of {steps} steps writes more records than {j}");
                break;
            }
        }
    }
    plan
}

/// The process dies with the journal's `j`-th record, and another carries on; whether it died.
/// `deny`: the step that fails for good, in every process, if any.
async fn killed(bench: &Bench, case: &Case, j: u64, deny: Option<&str>, wanted: &[String]) -> bool {
    let when = format!("killed at record {j}, step {deny:?} denied");
    let name = format!("killed-{j}-{}", deny.unwrap_or("none"));
    let gateway = case.drifted(&name);
    let denied = || {
        let step = deny.map(|deny| format!("-{deny}"));
        Faults::when(move |call| {
            let step = step.as_ref().filter(|step| call.subject.ends_with(step.as_str()))?;
            let hit = call.operation == "apply" && !step.is_empty();
            hit.then_some(Fault::Fail(ErrorKind::Denied))
        })
    };
    let (mut records, mut dead) = (0, false);
    let dies = Faults::when(move |call| {
        if !dead {
            records += u64::from(call.operation == "put" && call.subject.starts_with("runs/"));
            dead = records >= j;
        }
        dead.then_some(Fault::Fail(ErrorKind::Other))
    });
    let wrap = |sink| Arc::new(FaultySink::new(Arc::new(sink), dies.clone())) as Arc<dyn Sink>;
    let mortal = bench.open_with(wrap).await.unwrap();
    let first = restore(bench, &mortal, case, &gateway, denied()).await;
    let repository = bench.open().await;
    let Err(_) = first else {
        assert_same(&case.structure(&gateway), wanted, &when);
        return false;
    };
    let runs = repository.runs(&bench.cx).await.unwrap();
    let name = format!("memory-gateway:{name}");
    let run = runs.into_iter().rfind(|run| run.target == name).unwrap().run;
    let target = Arc::new(FaultyTarget::new(Arc::new(gateway.clone()), denied()));
    let resumed = repository.resume(&bench.cx, run, target, &options()).await;
    let now = case.structure(&gateway);
    match resumed {
        // Before the first record nothing was written.
        Err(error) => {
            assert_eq!((error.kind(), j), (ErrorKind::Refused, 1), "{when}: {error}");
            assert_same(&now, &case.structure(&case.drifted("before")), &when);
        }
        Ok(outcome) => {
            let report = outcome.report;
            let end = if deny.is_some() { RunStatus::RolledBack } else { RunStatus::Success };
            assert_eq!(report.status, end, "{when}: {:?}", report.failures);
            assert_eq!(report.compare.different, 0, "{when}: {:?}", report.compare.differences);
            assert_same(&now, wanted, &when);
        }
    }
    true
}

fn count(plan: &Plan, action: Action, kind: &str) -> usize {
    plan.steps.iter().filter(|step| step.action == action && step.kind == kind).count()
}

/// Each gets the name of the next, the last that of the first.
fn rotate(gateway: &MemoryGateway, keys: &[Key], member: &str) {
    let name = |key: &Key| {
        gateway.resource(key).unwrap().document.text(&format!("/{member}")).unwrap().into_owned()
    };
    let names: Vec<String> = keys.iter().map(name).collect();
    gateway.edit(|contents| {
        for (n, key) in keys.iter().enumerate() {
            contents.set(key, member, &json!(format!("between-{n}")));
        }
        for (key, name) in keys.iter().zip(names.iter().cycle().skip(1)) {
            contents.set(key, member, &json!(name));
        }
    });
}

fn first(gateway: &MemoryGateway, kind: &str, count: usize) -> Vec<Key> {
    of_kind(gateway, kind).into_iter().map(|resource| resource.key).take(count).collect()
}

#[tokio::test]
async fn two_names_are_swapped() {
    let plan = holds(Case {
        character: Character::Kong,
        existing: Existing::Update,
        original: |name| Character::Kong.original(name),
        drift: |gateway| rotate(gateway, &first(gateway, "service", 2), "name"),
    })
    .await;
    assert_eq!((plan.steps.len(), plan.summary.update), (3, 2));
    let early = &plan.steps[0].changes;
    assert_eq!((early.len(), early[0].at.as_str()), (1, "/name"));
}

#[tokio::test]
async fn three_names_go_round_and_others_beside_them() {
    let plan = holds(Case {
        character: Character::Kong,
        existing: Existing::Update,
        original: |name| Character::Kong.original(name),
        drift: |gateway| {
            rotate(gateway, &first(gateway, "consumer", 3), "username");
            rotate(gateway, &first(gateway, "route", 2), "name");
        },
    })
    .await;
    assert_eq!((plan.steps.len(), plan.summary.update), (7, 5));
}

/// An AWS-like gateway of one api with everything below it, and nobody who names it from outside.
fn one_api(gateway: MemoryGateway) -> MemoryGateway {
    let api = json!({"name": "shop", "protocol": "HTTP"});
    let api = gateway.create("api", None, None, &api).unwrap();
    let below = |kind: &str, body: serde_json::Value| {
        gateway.create(kind, Some(&api), None, &body).unwrap().id.last().into_owned()
    };
    let jwt = below("authorizer", json!({"name": "jwt", "type": "JWT"}));
    let other = below("authorizer", json!({"name": "other", "type": "REQUEST"}));
    for (n, authorizer) in [jwt, other].into_iter().enumerate() {
        let uri = format!("https://orders-{n}.internal");
        let integration = below("integration", json!({"uri": uri}));
        let target = format!("integrations/{integration}");
        let route = json!({"route_key": format!("GET /{n}"), "target": target, "authorizer_id": authorizer});
        below("route", route);
    }
    below("model", json!({"name": "Order", "schema": "{}"}));
    let deployment = below("deployment", json!({"description": "v1"}));
    below("stage", json!({"name": "prod", "deployment_id": deployment}));
    let key = json!({"name": "web", "value": "v-1"});
    gateway.create("api_key", None, None, &key).unwrap();
    gateway
}

#[tokio::test]
async fn names_below_one_api_are_swapped() {
    let plan = holds(Case {
        character: Character::Aws,
        existing: Existing::Update,
        original: |name| one_api(MemoryGateway::aws_like().with_name(name)),
        drift: |gateway| rotate(gateway, &first(gateway, "authorizer", 2), "name"),
    })
    .await;
    assert_eq!(count(&plan, Action::Update, "authorizer"), 3);
}

fn other_protocol(gateway: &MemoryGateway) {
    let api = first(gateway, "api", 1).remove(0);
    gateway.edit(|contents| contents.set(&api, "protocol", &json!("WEBSOCKET")));
}

#[tokio::test]
async fn all_below_an_api_comes_back_with_it() {
    let plan = holds(Case {
        character: Character::Aws,
        existing: Existing::Update,
        original: |name| one_api(MemoryGateway::aws_like().with_name(name)),
        drift: other_protocol,
    })
    .await;
    assert_eq!(count(&plan, Action::Replace, "api"), 1);
    for kind in ["authorizer", "integration", "route", "model", "deployment", "stage"] {
        let gone = count(&plan, Action::Delete, kind);
        assert!(gone > 0 && gone == count(&plan, Action::Create, kind), "{kind}: {:?}", plan.steps);
    }
}

#[tokio::test]
async fn all_below_an_api_comes_back_with_it_by_one_call() {
    let plan = holds(Case {
        character: Character::Composite,
        existing: Existing::Update,
        original: |name| one_api(MemoryGateway::aws_like().with_composite(2).with_name(name)),
        drift: other_protocol,
    })
    .await;
    assert_eq!(plan.steps.iter().map(|step| step.call).max(), Some(1));
    assert!(plan.steps.iter().all(|step| step.action == Action::Replace), "{:?}", plan.steps);
}

#[tokio::test]
async fn the_policy_replace_makes_things_again_with_all_that_belongs_to_them() {
    let plan = holds(Case {
        character: Character::Kong,
        existing: Existing::Replace,
        original: |name| {
            let gateway = MemoryGateway::kong_like().with_name(name);
            gateway.populate(1, 20);
            gateway
        },
        drift: |gateway| {
            for (kind, member, value) in [
                ("consumer", "custom_id", json!("by hand")),
                ("upstream", "slots", json!(1)),
                ("service", "port", json!(1)),
            ] {
                let key = first(gateway, kind, 1).remove(0);
                gateway.edit(|contents| contents.set(&key, member, &value));
            }
        },
    })
    .await;
    for kind in ["consumer", "upstream", "service"] {
        assert_eq!(count(&plan, Action::Replace, kind), 1, "{:?}", plan.steps);
    }
    for kind in ["credential", "target", "route", "plugin"] {
        let gone = count(&plan, Action::Delete, kind);
        assert!(gone > 0 && gone == count(&plan, Action::Create, kind), "{kind}: {:?}", plan.steps);
    }
}

#[tokio::test]
async fn the_policy_replace_holds_where_the_server_gives_the_ids() {
    let plan = holds(Case {
        character: Character::Aws,
        existing: Existing::Replace,
        original: |name| one_api(MemoryGateway::aws_like().with_name(name)),
        drift: |gateway| {
            let authorizer = first(gateway, "authorizer", 1).remove(0);
            let key = first(gateway, "api_key", 1).remove(0);
            gateway.edit(|contents| {
                contents.set(&authorizer, "type", &json!("OTHER"));
                contents.set(&key, "enabled", &json!(false));
            });
        },
    })
    .await;
    assert_eq!(count(&plan, Action::Replace, "authorizer"), 1);
    assert_eq!(count(&plan, Action::Replace, "api_key"), 1);
    assert_eq!(count(&plan, Action::Delete, "route"), 1);
    assert_eq!(count(&plan, Action::Create, "route"), 1);
}
