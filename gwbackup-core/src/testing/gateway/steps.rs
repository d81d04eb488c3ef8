//! Steps that begin, break and are carried on.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt, future, stream};
use serde_json::json;

use super::*;
use crate::context::Context;
use crate::error::{Error, ErrorKind};
use crate::model::{
    Action, Attempt, Captured, Cause, Change, ChangeNo, Description, Effect, Outcome, Place,
    Reference, Resolved, Scope, Side, Step, StepReceipt, To, Undo,
};
use crate::source::{BoxStream, Source};
use crate::target::{States, StepLog, Target};
use crate::testing::{Fault, FixedStates, Notes};

fn change(no: u32, resource: &Resource, action: Action) -> Change {
    Change {
        no: ChangeNo(no),
        key: resource.key.clone(),
        there: None,
        parent: resource.parent.clone(),
        action,
        undo: Undo::Exact,
        bytes: 0,
    }
}

fn creates(wanted: &[Resource]) -> Vec<Change> {
    wanted.iter().zip(0..).map(|(r, no)| change(no, r, Action::Create)).collect()
}

/// Nothing before; after: things of another gateway, whose references among each other are still
/// that gateway's.
struct Foreign {
    rules: Rules,
    wanted: Vec<Resource>,
}

impl Foreign {
    fn pending(&self, resource: &Resource) -> Vec<Reference> {
        let mut references = self.rules.references(resource);
        references.retain(|reference| match &reference.to {
            To::Resource { kinds, value, .. } => self
                .wanted
                .iter()
                .any(|r| kinds.contains(&r.key.kind) && r.key.id.last() == value.as_str()),
            _ => false,
        });
        references
    }

    fn state(&self, resource: &Resource) -> Resolved {
        Resolved { resource: resource.clone(), pending: self.pending(resource) }
    }
}

#[async_trait]
impl States for Foreign {
    async fn one(&self, side: Side, key: &Key) -> Result<Option<Resolved>> {
        let found = self.wanted.iter().find(|r| r.key == *key && side == Side::After);
        Ok(found.map(|resource| self.state(resource)))
    }

    fn read(&self, side: Side, scope: &Scope) -> BoxStream<Result<Resolved>> {
        let found = self.wanted.iter().filter(|r| side == Side::After && scope.contains(&r.key));
        Box::pin(stream::iter(found.map(|r| Ok(self.state(r))).collect::<Vec<_>>()))
    }
}

/// One api of a filled gateway with all that lies below it.
fn foreign() -> Foreign {
    let source = MemoryGateway::aws_like().with_seed(9);
    source.populate(5, 20);
    let all = source.resources();
    let api = all.iter().find(|r| r.key.kind.as_str() == "api").unwrap().key.clone();
    // One of the two models that are born with an api was deleted here.
    let gone = super::key("model", &format!("{}/Error", api.id)).unwrap();
    let scope = Scope::of(api);
    let wanted = all.into_iter().filter(|r| scope.contains(&r.key) && r.key != gone);
    Foreign { rules: source.rules().clone(), wanted: wanted.collect() }
}

fn steps(gateway: &MemoryGateway, d: &Description, changes: &[Change]) -> Vec<Step> {
    let groups = gateway.arrange(d, changes);
    let steps = groups.into_iter().zip(0..).map(|(group, n): (_, u32)| Step {
        token: format!("run-{n}"),
        changes: group
            .changes
            .iter()
            .map(|no| changes.iter().find(|c| c.no == *no).unwrap().clone())
            .collect(),
        rewrites: group.rewrites,
        attempt: Attempt::First,
    });
    steps.collect()
}

/// What the gateway must hold below its one api, given where each thing went.
fn check_restored(gateway: &MemoryGateway, foreign: &Foreign, receipt: &StepReceipt) {
    let there: BTreeMap<&Key, &Key> = receipt
        .outcomes
        .iter()
        .map(|outcome| (&outcome.key, outcome.there.as_ref().unwrap_or(&outcome.key)))
        .collect();
    for wanted in &foreign.wanted {
        let names: Vec<(Place, String)> = foreign
            .pending(wanted)
            .into_iter()
            .filter_map(|reference| {
                let To::Resource { kinds, value, .. } = &reference.to else { return None };
                let (_, key) = there
                    .iter()
                    .find(|(k, _)| kinds.contains(&k.kind) && k.id.last() == value.as_str())?;
                Some((reference.at, key.id.last().into_owned()))
            })
            .collect();
        let live = gateway.resource(there[&wanted.key]).unwrap();
        let wanted = foreign.rules.comparable(wanted, &names, &[]);
        assert_eq!(foreign.rules.comparable(&live, &[], &[]).as_str(), wanted.as_str());
    }
    let below = gateway.resources().into_iter().filter(|r| r.key.kind.as_str() != "account");
    assert_eq!(below.count(), foreign.wanted.len(), "nothing twice, nothing left over");
}

#[tokio::test]
async fn a_whole_api_survives_a_break_at_every_call() {
    let cx = Context::new();
    let foreign = foreign();
    let mut broken = 0;
    for fault in [Fault::Fail(ErrorKind::Unavailable), Fault::LoseAnswer] {
        for call in 1.. {
            let gateway = MemoryGateway::aws_like().with_composite(2);
            let d = gateway.describe(&cx).await.unwrap();
            let mut steps = steps(&gateway, &d, &creates(&foreign.wanted));
            assert_eq!(steps.len(), 1);
            let step = &mut steps[0];
            let notes = Notes::default();
            let faults = match fault {
                Fault::LoseAnswer => Faults::nth(call, fault),
                _ => Faults::from_nth(call, fault),
            };
            gateway.faults(faults);
            match gateway.apply(&cx, &d, step, &foreign, &notes).await {
                Ok(receipt) => {
                    check_restored(&gateway, &foreign, &receipt);
                    assert!(notes.count() > 10);
                    break;
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable),
            }
            broken += 1;
            gateway.faults(Faults::none());
            step.attempt = Attempt::Again { checkpoint: notes.last() };
            let again = Notes::default();
            let receipt = gateway.apply(&cx, &d, step, &foreign, &again).await.unwrap();
            check_restored(&gateway, &foreign, &receipt);
        }
    }
    assert!(broken > 50, "{broken}");
}

#[tokio::test]
async fn a_refusal_half_way_is_told_for_each_change() {
    let cx = Context::new();
    let foreign = foreign();
    let gateway = MemoryGateway::aws_like().with_composite(2);
    let d = gateway.describe(&cx).await.unwrap();
    let step = &steps(&gateway, &d, &creates(&foreign.wanted))[0];
    gateway.faults(Faults::when(|call| {
        let route = call.operation == "create" && call.subject.ends_with("> route");
        (route || call.subject.contains("> route/")).then_some(Fault::Fail(ErrorKind::Denied))
    }));
    let receipt = gateway.apply(&cx, &d, step, &foreign, &Notes::default()).await.unwrap();
    let failed = |o: &&Outcome| matches!(o.effect, Effect::Failed(_));
    let first = receipt.outcomes.iter().find(failed).unwrap();
    assert_eq!(first.key.kind.as_str(), "route");
    let stage = receipt.outcomes.iter().find(|o| o.key.kind.as_str() == "stage").unwrap();
    assert!(matches!(&stage.effect, Effect::Failed(e) if e.kind() == ErrorKind::Denied));
    let named = receipt.outcomes.iter().filter(|o| foreign.wanted.iter().any(|r| r.key == o.key));
    assert_eq!(named.count(), foreign.wanted.len());
}

#[tokio::test]
async fn single_creates_are_not_doubled_by_lost_answers() {
    let cx = Context::new();
    let gateway = MemoryGateway::aws_like();
    let d = gateway.describe(&cx).await.unwrap();
    let source = MemoryGateway::aws_like().with_seed(3);
    let key = source.create("plan", None, None, &json!({"name": "gold", "apis": []})).unwrap();
    let plan = source.resource(&key).unwrap();
    let states = FixedStates::new([], [plan.clone()]);
    let mut step = steps(&gateway, &d, &[change(0, &plan, Action::Create)]).remove(0);
    gateway.faults(Faults::nth(1, Fault::LoseAnswer));
    let lost = gateway.apply(&cx, &d, &step, &states, &Notes::default()).await;
    assert_eq!(lost.unwrap_err().kind(), ErrorKind::Unavailable);
    step.attempt = Attempt::Again { checkpoint: None };
    let receipt = gateway.apply(&cx, &d, &step, &states, &Notes::default()).await.unwrap();
    let plans = gateway.resources().into_iter().filter(|r| r.key.kind == key.kind);
    let plans: Vec<Key> = plans.map(|r| r.key).collect();
    assert_eq!(receipt.outcomes[0].there.as_ref(), plans.first());
    assert_eq!(plans.len(), 1);
}

#[tokio::test]
async fn what_came_along_is_named() {
    let cx = Context::new();
    let gateway = MemoryGateway::aws_like();
    let d = gateway.describe(&cx).await.unwrap();
    let source = MemoryGateway::aws_like().with_seed(3);
    let key = source.create("plan", None, None, &json!({"name": "gold"})).unwrap();
    let plan = source.resource(&key).unwrap();
    let states = FixedStates::new([], [plan.clone()]);
    let step = steps(&gateway, &d, &[change(0, &plan, Action::Create)]).remove(0);
    let receipt = gateway.apply(&cx, &d, &step, &states, &Notes::default()).await.unwrap();
    let there = receipt.outcomes[0].there.clone().unwrap();
    assert_eq!(receipt.outcomes[0].handles[&HandleName::id()], there.id.last());
    assert_eq!(receipt.outcomes[1].key.to_string(), format!("plan_default/{}/default", there.id));
    assert!(matches!(receipt.outcomes[1].effect, Effect::Created));
    assert_eq!(receipt.outcomes.len(), 2);
}

#[tokio::test]
async fn a_value_that_is_not_here_is_not_cleared() {
    let cx = Context::new();
    let gateway = MemoryGateway::aws_like();
    let d = gateway.describe(&cx).await.unwrap();
    let key = gateway.create("api_key", None, None, &json!({"name": "k", "value": "v"})).unwrap();
    let old = gateway.resource(&key).unwrap();
    let mut new = old.clone();
    new.document = Document::parse(r#"{"name":"renamed"}"#).unwrap();
    new.marks = vec![crate::model::Mark::absent("/value", crate::model::Absence::Withheld)];
    let states = FixedStates::new([old.clone()], [new]);
    let step = steps(&gateway, &d, &[change(0, &old, Action::Update)]).remove(0);
    let receipt = gateway.apply(&cx, &d, &step, &states, &Notes::default()).await.unwrap();
    assert!(matches!(receipt.outcomes[0].effect, Effect::Updated));
    let document = gateway.resource(&key).unwrap().document;
    assert_eq!(document.get("/value"), Some("\"v\""));
    assert_eq!(document.get("/name"), Some("\"renamed\""));
}

#[tokio::test]
async fn an_immutable_thing_is_made_anew_before_the_old_one_goes() {
    let cx = Context::new();
    let gateway = MemoryGateway::aws_like();
    let d = gateway.describe(&cx).await.unwrap();
    let api = gateway.create("api", None, None, &json!({"name": "n"})).unwrap();
    let body = json!({"description": "one"});
    let key = gateway.create("deployment", Some(&api), None, &body).unwrap();
    let old = gateway.resource(&key).unwrap();
    let mut new = old.clone();
    new.document = json::set(&old.document, "description", "\"two\"").unwrap();
    let states = FixedStates::new([old.clone()], [new]);
    for used in [true, false] {
        if used {
            let stage = json!({"name": "prod", "deployment_id": key.id.last()});
            gateway.create("stage", Some(&api), None, &stage).unwrap();
        } else {
            gateway.edit(|c| {
                let gone: Vec<Key> =
                    c.keys().into_iter().filter(|k| k.kind.as_str() == "stage").collect();
                assert!(gone.iter().all(|key| c.remove(key)));
            });
        }
        let mut step = steps(&gateway, &d, &[change(0, &old, Action::Replace)]).remove(0);
        step.token = format!("used-{used}");
        let receipt = gateway.apply(&cx, &d, &step, &states, &Notes::default()).await.unwrap();
        let there = receipt.outcomes[0].there.clone().unwrap();
        let text = gateway.resource(&there).unwrap().document;
        assert_eq!(text.get("/description"), Some("\"two\""));
        assert_eq!(gateway.resource(&key).is_some(), used, "an old one in use stays");
    }
}

#[tokio::test]
async fn writes_below_one_api_must_not_overlap() {
    let cx = Context::new();
    let gateway = MemoryGateway::aws_like();
    let d = gateway.describe(&cx).await.unwrap();
    let api = gateway.create("api", None, None, &json!({"name": "n"})).unwrap();
    let other = gateway.create("api", None, None, &json!({"name": "n"})).unwrap();
    let thing = |api: &Key, id: &str| {
        let key = Key::new(Kind::known("model"), api.id.child(id).unwrap());
        let document = Document::from_value(&json!({"name": id})).unwrap();
        Resource { parent: Some(api.clone()), ..Resource::new(key, document) }
    };
    let wanted = [thing(&api, "A"), thing(&api, "B"), thing(&other, "C")];
    let changes = creates(&wanted);
    let groups = gateway.arrange(&d, &changes);
    assert_eq!(groups.iter().filter(|g| g.lane == groups[0].lane).count(), 2);
    let states = FixedStates::new([], wanted);
    let steps = steps(&gateway, &d, &changes);
    let notes = Notes::default();
    let all = steps.iter().map(|step| gateway.apply(&cx, &d, step, &states, &notes));
    let receipts = future::join_all(all).await;
    let refused = receipts.iter().flatten().flat_map(|r| &r.outcomes).filter(
        |o| matches!(&o.effect, Effect::Failed(error) if error.kind() == ErrorKind::Conflict),
    );
    assert_eq!(refused.count(), 1, "the one that broke its lane");
    assert_eq!(gateway.most_parallel_writes(), 2);
}

#[tokio::test]
async fn a_capture_can_be_torn_and_have_gaps() {
    let cx = Context::new();
    let gateway = MemoryGateway::kong_like().with_denied("credential");
    gateway.populate(1, 40);
    let d = gateway.describe(&cx).await.unwrap();
    let services = |gateway: &MemoryGateway| -> Vec<Key> {
        let all = gateway.resources().into_iter().map(|r| r.key);
        all.filter(|key| key.kind.as_str() == "service").collect()
    };
    let before = services(&gateway);
    let last = before.last().unwrap().clone();
    let removed = last.clone();
    gateway.during_read(before.len() - 1, move |contents| {
        assert!(contents.remove(&removed));
    });
    let items: Vec<_> = gateway.read(&cx, &d, &Scope::everything(), None).collect().await;
    let mut keys = Vec::new();
    let mut gaps = Vec::new();
    for item in items {
        match item.unwrap() {
            Captured::Resource(resource) => keys.push(resource.key),
            Captured::Gap(gap) => gaps.push((gap.kind.unwrap().to_string(), gap.cause)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(gaps, [("credential".to_owned(), Cause::Denied)]);
    let seen = keys.iter().filter(|key| key.kind.as_str() == "service").count();
    assert_eq!(seen, before.len() - 1);
    assert!(!services(&gateway).contains(&last));
}

#[tokio::test]
async fn an_edit_inside_a_whole_api_is_a_conflict_though_no_change_names_it() {
    let cx = Context::new();
    let gateway = MemoryGateway::aws_like().with_composite(1);
    gateway.populate(2, 20);
    let d = gateway.describe(&cx).await.unwrap();
    let all = gateway.resources();
    let old = all.iter().find(|r| r.key.kind.as_str() == "authorizer").unwrap();
    let mut new = old.clone();
    new.document = json::set(&old.document, "type", "\"OTHER\"").unwrap();
    let mut after = all.clone();
    after.retain(|r| r.key != old.key);
    after.push(new);
    let states = FixedStates::new(all.clone(), after);
    let step = steps(&gateway, &d, &[change(0, old, Action::Update)]).remove(0);
    assert!(step.rewrites.is_some());
    let route = all.iter().find(|r| r.key.kind.as_str() == "route").unwrap();
    gateway.edit(|contents| contents.set(&route.key, "comment", &json!("by somebody else")));
    let error: Error = gateway.apply(&cx, &d, &step, &states, &Notes::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(gateway.writes(), []);
    gateway.put(route);
    let target: Arc<dyn Target> = Arc::new(gateway.clone());
    let receipt = target.apply(&cx, &d, &step, &states, &Notes::default()).await.unwrap();
    assert!(matches!(receipt.outcomes[0].effect, Effect::Updated));
}

/// Breaks one step at every call and in both ways, then carries it on; how often it broke.
async fn sweep(
    make: impl Fn() -> (MemoryGateway, Change, FixedStates),
    check: impl Fn(&MemoryGateway, &Outcome),
) -> u32 {
    let cx = Context::new();
    let mut broken = 0;
    for fault in [Fault::Fail(ErrorKind::Unavailable), Fault::LoseAnswer] {
        for call in 1.. {
            let (gateway, change, states) = make();
            let d = gateway.describe(&cx).await.unwrap();
            let mut step = steps(&gateway, &d, &[change]).remove(0);
            let notes = Notes::default();
            gateway.faults(Faults::nth(call, fault));
            let receipt = match gateway.apply(&cx, &d, &step, &states, &notes).await {
                Ok(receipt) => receipt,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Unavailable);
                    broken += 1;
                    gateway.faults(Faults::none());
                    step.attempt = Attempt::Again { checkpoint: notes.last() };
                    let again = Notes::default();
                    let receipt = gateway.apply(&cx, &d, &step, &states, &again).await.unwrap();
                    check(&gateway, &receipt.outcomes[0]);
                    continue;
                }
            };
            check(&gateway, &receipt.outcomes[0]);
            break;
        }
    }
    broken
}

#[tokio::test]
async fn a_replacement_survives_a_break_at_every_call() {
    let make = || {
        let gateway = MemoryGateway::aws_like();
        let body = json!({"name": "k", "value": "old"});
        let key = gateway.create("api_key", None, None, &body).unwrap();
        let old = gateway.resource(&key).unwrap();
        let mut new = old.clone();
        new.document = json::set(&old.document, "value", "\"new\"").unwrap();
        (gateway, change(0, &old, Action::Replace), FixedStates::new([old], [new]))
    };
    let broken = sweep(make, |gateway, outcome| {
        let keys = gateway.resources().into_iter().filter(|r| r.key.kind.as_str() == "api_key");
        let keys: Vec<Resource> = keys.collect();
        assert_eq!(keys.len(), 1);
        assert_eq!(keys[0].document.get("/value"), Some("\"new\""));
        assert_eq!(outcome.there.as_ref(), Some(&keys[0].key));
    })
    .await;
    assert!(broken >= 6, "{broken}");
}

#[tokio::test]
async fn a_deleted_name_is_brought_back_and_made_right_whatever_breaks() {
    let make = || {
        let gateway = MemoryGateway::aws_like();
        let api = gateway.create("api", None, None, &json!({"name": "n"})).unwrap();
        let body = json!({"name": "d.example", "api_id": api.id.as_str(), "tls": "1.0"});
        let key = gateway.create("domain", None, None, &body).unwrap();
        let mut wanted = gateway.resource(&key).unwrap();
        wanted.document = json::set(&wanted.document, "tls", "\"1.3\"").unwrap();
        gateway.0.vendor.with(|state| state.delete(&key)).unwrap();
        (gateway, change(0, &wanted, Action::Create), FixedStates::new([], [wanted]))
    };
    let broken = sweep(make, |gateway, outcome| {
        let domain = gateway.resource(&outcome.key).unwrap();
        assert_eq!(domain.document.get("/tls"), Some("\"1.3\""));
        let back =
            matches!(outcome.effect, Effect::Undeleted | Effect::Updated | Effect::AlreadyThere);
        assert!(back, "{outcome:?}");
    })
    .await;
    assert!(broken >= 6, "{broken}");
}

#[tokio::test]
async fn an_api_that_names_itself_is_made_once_whatever_breaks() {
    let cx = Context::new();
    let source = MemoryGateway::aws_like().with_seed(4);
    let key = source.create("api", None, None, &json!({"name": "n"})).unwrap();
    let policy = format!("arn:gw:000000000001:restapis/{}/*", key.id);
    source.edit(|contents| contents.set(&key, "policy", &policy.into()));
    let foreign =
        Foreign { rules: source.rules().clone(), wanted: vec![source.resource(&key).unwrap()] };
    for call in 1..=3 {
        let gateway = MemoryGateway::aws_like();
        let d = gateway.describe(&cx).await.unwrap();
        let mut step = steps(&gateway, &d, &creates(&foreign.wanted)).remove(0);
        let notes = Notes::default();
        gateway.faults(Faults::nth(call, Fault::LoseAnswer));
        let lost = gateway.apply(&cx, &d, &step, &foreign, &notes).await;
        assert_eq!(lost.is_err(), call < 3, "it takes a create and an update");
        gateway.faults(Faults::none());
        step.attempt = Attempt::Again { checkpoint: notes.last() };
        let receipt = gateway.apply(&cx, &d, &step, &foreign, &Notes::default()).await.unwrap();
        let there = receipt.outcomes[0].there.clone().unwrap();
        let policy = gateway.resource(&there).unwrap().document;
        let wanted = format!("arn:gw:000000000001:restapis/{}/*", there.id);
        assert_eq!(policy.text("/policy").unwrap(), wanted);
        let apis = gateway.resources().into_iter().filter(|r| r.key.kind.as_str() == "api");
        assert_eq!(apis.count(), 1);
    }
}

/// Cancels the run with its third note.
struct Impatient(Notes, tokio_util::sync::CancellationToken);

#[async_trait]
impl StepLog for Impatient {
    async fn checkpoint(&self, note: serde_json::Value) -> Result<()> {
        self.0.checkpoint(note).await?;
        if self.0.count() == 3 {
            self.1.cancel();
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_cancelled_step_stops_right_after_a_note_and_is_carried_on() {
    let token = tokio_util::sync::CancellationToken::new();
    let cx = Context::new().with_cancellation(token.clone());
    let foreign = foreign();
    let gateway = MemoryGateway::aws_like().with_composite(2);
    let d = gateway.describe(&cx).await.unwrap();
    let mut step = steps(&gateway, &d, &creates(&foreign.wanted)).remove(0);
    let log = Impatient(Notes::default(), token);
    let stopped = gateway.apply(&cx, &d, &step, &foreign, &log).await;
    assert_eq!(stopped.unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!(log.0.count(), 3);
    step.attempt = Attempt::Again { checkpoint: log.0.last() };
    let cx = Context::new();
    let receipt = gateway.apply(&cx, &d, &step, &foreign, &Notes::default()).await.unwrap();
    check_restored(&gateway, &foreign, &receipt);
}
