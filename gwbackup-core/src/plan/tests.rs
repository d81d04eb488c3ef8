//! Plans over small snapshots.

use std::sync::Arc;

use super::*;
use crate::model::{
    Document, HandleName, HandleSpec, Id, Kind, KindSpec, Member, MemberRule, MemorySnapshot, Part,
    RefSpec, Replace, Resource, Role, Schema, Within,
};
use crate::{Error, ErrorKind};

fn handle(name: &'static str, unique: Within) -> HandleSpec {
    let at = vec![format!("/{name}")];
    HandleSpec { name: HandleName::known(name), at, unique, by_server: false }
}

fn refers(at: &str, to: &'static str, role: Role) -> RefSpec {
    RefSpec {
        at: at.to_owned(),
        part: Part::Value,
        prefix: String::new(),
        kinds: vec![Kind::known(to)],
        handle: HandleName::id(),
        role,
    }
}

/// `api` (named by the server, names repeat), `route` below it, `plan` that names apis, and
/// `service` with a unique name that `path` refers to.
fn rules() -> Rules {
    let mut api = KindSpec::new(Kind::known("api"), 10);
    api.handles[0].by_server = true;
    api.handles.push(handle("name", Within::Nothing));
    api.members.push(MemberRule { at: "/protocol".into(), is: Member::Immutable });
    let mut route = KindSpec::new(Kind::known("route"), 20);
    route.handles[0].by_server = true;
    route.handles.push(handle("path", Within::Parent));
    let mut plan = KindSpec::new(Kind::known("plan"), 30);
    plan.references.push(refers("/apis/*", "api", Role::Needs));
    let mut service = KindSpec::new(Kind::known("service"), 10);
    service.handles.push(handle("name", Within::Gateway));
    service.replace = Replace::DeleteFirst;
    service.members.push(MemberRule { at: "/protocol".into(), is: Member::Immutable });
    let mut path = KindSpec::new(Kind::known("path"), 20);
    path.references.push(refers("/service", "service", Role::Needs));
    let kinds = vec![api, route, plan, service, path];
    Rules::new(Arc::new(Schema { kinds, ..Schema::default() }))
}

fn key(text: &str) -> Key {
    let (kind, id) = text.split_once('/').unwrap();
    Key::new(Kind::new(kind).unwrap(), Id::new(id).unwrap())
}

fn thing(at: &str, document: &str) -> Resource {
    let key = key(at);
    let mut resource = Resource::new(key.clone(), Document::parse(document).unwrap());
    if let Some((parent, _)) = key.id.as_str().rsplit_once('/') {
        resource.parent = Some(Key::new(Kind::known("api"), Id::new(parent).unwrap()));
    }
    resource
}

fn snapshot(things: &[(&str, &str)]) -> MemorySnapshot {
    MemorySnapshot::new(things.iter().map(|(at, document)| thing(at, document)))
}

fn plan_of(
    backup: &MemorySnapshot,
    live: &MemorySnapshot,
    options: &PlanOptions,
) -> Result<Decided> {
    let none = BTreeSet::new();
    let made = draft(&rules(), backup, live, options, &IdMap::default(), &none, &none)?;
    Ok(made.decided)
}

fn decision(decided: &Decided, at: &str) -> Decision {
    let item = decided.items.iter().find(|item| item.key == key(at));
    item.map_or(Decision::Unchanged, |item| item.decision.clone())
}

fn mapped(pairs: &[(&str, &str)]) -> PlanOptions {
    let ids = pairs.iter().map(|(a, b)| (key(a), key(b))).collect();
    PlanOptions { ids, ..PlanOptions::default() }
}

fn refused(result: Result<Decided>) -> Error {
    result.map(|decided| decided.summary).unwrap_err()
}

#[test]
fn children_follow_their_parent_where_a_mapping_sends_it() {
    let backup = snapshot(&[("api/a1", r#"{"name":"shop"}"#), ("route/a1/r1", r#"{"path":"/a"}"#)]);
    let live = snapshot(&[
        ("api/a1", r#"{"name":"other"}"#),
        ("api/x9", r#"{"name":"shop"}"#),
        ("route/a1/r1", r#"{"path":"/a"}"#),
        ("route/x9/r7", r#"{"path":"/a"}"#),
    ]);
    let none = BTreeSet::new();
    let options = mapped(&[("api/a1", "api/x9")]);
    let made = draft(&rules(), &backup, &live, &options, &IdMap::default(), &none, &none).unwrap();
    assert_eq!(made.matching.there(&key("route/a1/r1")), Some(&key("route/x9/r7")));
    assert_eq!(made.decided.summary.writes(), 0, "{:?}", made.decided.items);
    assert_eq!(made.decided.summary.foreign, 2);
}

#[test]
fn a_mapping_that_cannot_be_is_refused_by_name() {
    let backup = snapshot(&[("api/a1", "{}"), ("api/a2", "{}"), ("plan/p", "{}")]);
    let live = snapshot(&[("api/x1", "{}"), ("plan/p", "{}")]);
    for (pairs, subject) in [
        (&[("api/a9", "api/x1")][..], "api/a9 -> api/x1"),
        (&[("api/a1", "api/x9")], "api/a1 -> api/x9"),
        (&[("api/a1", "plan/p")], "api/a1 -> plan/p"),
        (&[("api/a1", "api/x1"), ("api/a2", "api/x1")], "api/a2 -> api/x1"),
    ] {
        let error = refused(plan_of(&backup, &live, &mapped(pairs)));
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert_eq!(error.subject(), Some(subject));
        assert!(error.advice().is_some());
    }
}

#[test]
fn many_candidates_are_named_in_part_and_none_is_deleted() {
    let backup = snapshot(&[("api/a1", r#"{"name":"shop"}"#)]);
    let many: Vec<Resource> =
        (10..40).map(|n| thing(&format!("api/x{n}"), r#"{"name":"shop"}"#)).collect();
    let live = MemorySnapshot::new(many);
    let options = PlanOptions { prune: true, ..PlanOptions::default() };
    let decided = plan_of(&backup, &live, &options).unwrap();
    let Decision::Ambiguous(named) = decision(&decided, "api/a1") else { panic!("{decided:?}") };
    assert_eq!(named.len(), 10);
    assert!(decided.changes.is_empty());
}

#[test]
fn what_is_adopted_is_counted() {
    let backup = snapshot(&[("api/a1", r#"{"name":"shop"}"#)]);
    let live = snapshot(&[("api/x1", r#"{"name":"shop"}"#)]);
    let options = PlanOptions { existing: Existing::Adopt, ..PlanOptions::default() };
    let summary = plan_of(&backup, &live, &options).unwrap().summary;
    assert_eq!((summary.adopt, summary.unchanged, summary.writes()), (1, 1, 0));
}
