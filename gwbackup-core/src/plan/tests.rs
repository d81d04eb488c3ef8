//! Plans over small snapshots.

use std::sync::Arc;

use super::*;
use crate::model::{
    Absence, Cause, ChangeNo, Document, Gap, HandleName, HandleSpec, Handles, Id, Kind, KindSpec,
    Mark, Member, MemberRule, MemorySnapshot, Part, Place, RefSpec, Reference, Replace, Resource,
    Role, Schema, TextScan, To, Verdict, Within,
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
    let mut options = PlanOptions::default();
    options.mapping.extend(pairs.iter().map(|(a, b)| (key(a), key(b))));
    options
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
    assert_eq!(made.matching.there(&key("route/a1/r1")), Some(key("route/x9/r7")));
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

fn pruning() -> PlanOptions {
    PlanOptions { prune: true, prune_limit: 100, ..PlanOptions::default() }
}

#[test]
fn nothing_goes_that_would_take_along_what_stays() {
    // Of rules the backup says nothing.
    let detail = "left out".to_owned();
    let gap =
        Gap { kind: Some(Kind::known("rule")), under: None, cause: Cause::NotOffered, detail };
    let backup = snapshot(&[]).with_gaps(vec![gap]);
    let live = [
        ("rule/r1", r#"{"service":"s1","path":"/a"}"#),
        ("rule/r2", r#"{"service":"s1","path":"/b"}"#),
        ("service/s1", r#"{"name":"one"}"#),
        ("service/s2", r#"{"name":"two"}"#),
    ];
    let decided = scoped_draft(&backup, &snapshot(&live), &pruning()).unwrap();
    let Decision::Blocked(why) = decision(&decided, "service/s1") else { panic!("{decided:#?}") };
    assert!(why.contains("rule/r1") && why.contains("1 more"), "{why}");
    assert_eq!(decision(&decided, "service/s2"), Decision::Do(Action::Delete));
    assert_eq!((decided.summary.delete, decided.summary.blocked), (1, 1));
    assert_eq!(decided.changes.len(), 1);
}

#[test]
fn what_a_backup_of_a_part_does_not_hold_is_not_superfluous_elsewhere() {
    let part = |of: Option<&str>| {
        let name = of.map(|of| (HandleName::part(), of.to_owned()));
        snapshot(&[]).with_handles(name.into_iter().collect())
    };
    let live = |of: Option<&str>| {
        let handles = part(of).handles().clone();
        snapshot(&[("service/s1", r#"{"name":"one"}"#)]).with_handles(handles)
    };
    for (own, there, goes) in [
        (None, None, true),
        (Some("tags a"), Some("tags a"), true),
        (None, Some("tags a"), true),
        (Some("tags a"), None, false),
        (Some("tags a"), Some("tags b"), false),
    ] {
        let decided = scoped_draft(&part(own), &live(there), &pruning());
        match decided {
            Ok(decided) => assert!(goes && decided.summary.delete == 1, "{own:?} {there:?}"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
                assert!(!goes && error.to_string().contains("tags a"), "{error}");
            }
        }
        let restore = scoped_draft(&part(own), &live(there), &PlanOptions::default()).unwrap();
        assert_eq!(restore.summary.foreign, 1);
    }
}

/// `service` as in [`rules`], and `rule`, unique in its service and path.
fn scoped_draft(
    backup: &MemorySnapshot,
    live: &MemorySnapshot,
    options: &PlanOptions,
) -> Result<Decided> {
    let mut service = KindSpec::new(Kind::known("service"), 10);
    service.handles.push(handle("name", Within::Gateway));
    let mut rule = KindSpec::new(Kind::known("rule"), 20);
    let at = vec!["/service".to_owned(), "/path".to_owned()];
    let place = HandleName::known("place");
    rule.handles.push(HandleSpec { name: place, at, unique: Within::Gateway, by_server: false });
    rule.references.push(refers("/service", "service", Role::Owner));
    let kinds = vec![service, rule];
    let rules = Rules::new(Arc::new(Schema { kinds, ..Schema::default() }));
    let none = BTreeSet::new();
    let made = draft(&rules, backup, live, options, &IdMap::default(), &none, &none)?;
    Ok(made.decided)
}

fn scoped_plan(backup: &[(&str, &str)], live: &[(&str, &str)]) -> Decided {
    scoped_draft(&snapshot(backup), &snapshot(live), &PlanOptions::default()).unwrap()
}

#[test]
fn a_handle_that_holds_anothers_id_is_looked_for_under_the_id_that_it_has_there() {
    let backup = [
        ("rule/r1", r#"{"service":"s1","path":"/a","limit":1}"#),
        ("rule/r2", r#"{"service":"s2","path":"/a","limit":2}"#),
        ("service/s1", r#"{"name":"pay"}"#),
        ("service/s2", r#"{"name":"new"}"#),
    ];
    let live = [
        ("rule/r8", r#"{"service":"s9","path":"/a","limit":8}"#),
        ("rule/r9", r#"{"service":"x9","path":"/a","limit":9}"#),
        ("service/s9", r#"{"name":"other"}"#),
        ("service/x9", r#"{"name":"pay"}"#),
    ];
    let decided = scoped_plan(&backup, &live);
    let item = decided.items.iter().find(|item| item.key == key("rule/r1")).unwrap();
    assert_eq!(item.there, Some(key("rule/r9")));
    assert_eq!(decision(&decided, "rule/r2"), Decision::Do(Action::Create));
    assert_eq!(decided.summary.foreign, 2);
    assert!(decided.links.iter().all(|links| links.claims.is_empty()), "{:?}", decided.links);
}

#[test]
fn a_place_below_an_adopted_thing_is_claimed_from_whoever_has_it() {
    let backup =
        [("rule/r1", r#"{"service":"s1","path":"/a"}"#), ("service/s1", r#"{"name":"pay"}"#)];
    let live = [
        ("rule/r1", r#"{"service":"x9","path":"/b"}"#),
        ("rule/r9", r#"{"service":"x9","path":"/a"}"#),
        ("service/x9", r#"{"name":"pay"}"#),
    ];
    let decided = scoped_plan(&backup, &live);
    let Decision::Blocked(why) = decision(&decided, "rule/r1") else { panic!("{decided:#?}") };
    assert!(why.contains("rule/r9"), "{why}");
}

#[test]
fn what_is_adopted_is_counted() {
    let backup = snapshot(&[("api/a1", r#"{"name":"shop"}"#)]);
    let live = snapshot(&[("api/x1", r#"{"name":"shop"}"#)]);
    let options = PlanOptions { existing: Existing::Adopt, ..PlanOptions::default() };
    let summary = plan_of(&backup, &live, &options).unwrap().summary;
    assert_eq!((summary.adopt, summary.unchanged, summary.writes()), (1, 1, 0));
}

#[test]
fn whatever_names_a_replaced_thing_is_written_too() {
    let plan = ("plan/p", r#"{"apis":["a1"]}"#);
    let backup = snapshot(&[("api/a1", r#"{"protocol":"HTTP"}"#), plan]);
    let live = snapshot(&[("api/a1", r#"{"protocol":"WS"}"#), plan]);
    let decided = plan_of(&backup, &live, &PlanOptions::default()).unwrap();
    assert_eq!(decision(&decided, "api/a1"), Decision::Do(Action::Replace));
    assert_eq!(decision(&decided, "plan/p"), Decision::Do(Action::Replace));
    let skip = PlanOptions { only: vec!["api".parse().unwrap()], ..PlanOptions::default() };
    let decided = plan_of(&backup, &live, &skip).unwrap();
    let Decision::Blocked(why) = decision(&decided, "api/a1") else { panic!("{decided:?}") };
    assert!(why.contains("plan/p needs it"), "{why}");
    assert!(decided.changes.is_empty() && decided.links.is_empty());
    assert_eq!((decided.summary.replace, decided.summary.blocked), (0, 1));
}

#[test]
fn what_a_replacement_takes_along_is_made_again() {
    let (route, path) = (("route/a1/r1", r#"{"path":"/a"}"#), ("path/p", r#"{"service":"s1"}"#));
    let things = |protocol: &str| {
        let document = format!(r#"{{"protocol":"{protocol}"}}"#);
        snapshot(&[("api/a1", &document), route, ("service/s1", &document), path])
    };
    let decided = plan_of(&things("a"), &things("b"), &PlanOptions::default()).unwrap();
    for (at, pulled) in
        [("api/a1", false), ("route/a1/r1", true), ("service/s1", false), ("path/p", true)]
    {
        let item = decided.items.iter().find(|item| item.key == key(at)).unwrap();
        assert_eq!((&item.decision, item.pulled), (&Decision::Do(Action::Replace), pulled), "{at}");
    }
    assert_eq!((decided.summary.replace, decided.summary.unchanged), (4, 0));
    let falls = |at: &str| {
        let mut all = decided.changes.iter().zip(&decided.links);
        all.find(|(change, _)| change.key == key(at)).unwrap().1.falls.clone()
    };
    assert_eq!(falls("route/a1/r1"), [key("api/a1")]);
    assert_eq!(falls("path/p"), [key("service/s1")]);
    assert!(falls("api/a1").is_empty() && falls("service/s1").is_empty());
}

#[test]
fn a_replacement_that_takes_along_what_could_not_come_back_is_blocked() {
    let (route, path) = (("route/a1/r1", r#"{"path":"/a"}"#), ("path/p", r#"{"service":"s1"}"#));
    let document = |protocol: &str| format!(r#"{{"protocol":"{protocol}"}}"#);
    let (a, b) = (document("a"), document("b"));
    let backup = snapshot(&[("api/a1", &a), ("service/s1", &a)]);
    // What the backup does not know is not deleted by the way.
    let live = snapshot(&[("api/a1", &b), route, ("service/s1", &b), path]);
    let decided = plan_of(&backup, &live, &PlanOptions::default()).unwrap();
    let Decision::Blocked(why) = decision(&decided, "api/a1") else { panic!("{decided:?}") };
    assert!(why.contains("route/a1/r1 would go with it"), "{why}");
    let Decision::Blocked(why) = decision(&decided, "service/s1") else { panic!("{decided:?}") };
    assert!(why.contains("path/p needs it"), "{why}");
    assert!(decided.changes.is_empty());
}

#[test]
fn a_name_that_nobody_gives_up_blocks() {
    let backup = snapshot(&[("service/s1", r#"{"name":"a"}"#), ("service/s2", r#"{"name":"b"}"#)]);
    let live = snapshot(&[("service/s1", r#"{"name":"b"}"#), ("service/s2", r#"{"name":"c"}"#)]);
    let decided = plan_of(&backup, &live, &PlanOptions::default()).unwrap();
    assert_eq!(decided.summary.update, 2, "s1 sets the name free");
    let only = PlanOptions { only: vec!["service/s2".parse().unwrap()], ..PlanOptions::default() };
    let decided = plan_of(&backup, &live, &only).unwrap();
    let Decision::Blocked(why) = decision(&decided, "service/s2") else { panic!("{decided:?}") };
    assert!(why.starts_with("the name is held by service/s1"), "{why}");
}

#[test]
fn nothing_goes_that_has_unseen_things_below_it() {
    let gap = |kind: Option<&'static str>, under: Option<&str>| Gap {
        kind: kind.map(Kind::known),
        under: under.map(|id| Id::new(id).unwrap()),
        cause: Cause::Denied,
        detail: "denied".to_owned(),
    };
    let backup = snapshot(&[("api/a1", "{}"), ("route/a1/r1", "{}")]);
    let options = PlanOptions { prune: true, prune_limit: 100, ..PlanOptions::default() };
    for (gap, blocked) in [
        (gap(Some("route"), Some("a2")), 1),
        (gap(None, Some("a2/x")), 1),
        (gap(Some("route"), None), 1),
        (gap(Some("plan"), None), 0),
        (gap(None, Some("a1")), 0),
    ] {
        let live = snapshot(&[("api/a1", "{}"), ("api/a2", "{}"), ("route/a1/r1", "{}")]);
        let live = live.with_gaps(vec![gap.clone()]);
        let summary = plan_of(&backup, &live, &options).unwrap().summary;
        assert_eq!((summary.blocked, summary.delete), (blocked, 1 - blocked), "{gap:?}");
    }
}

/// Text that names something outside.
#[derive(Debug)]
struct Outside;

impl TextScan for Outside {
    fn references(&self, resource: &Resource) -> Vec<Reference> {
        let value = resource.document.text("/role").map(std::borrow::Cow::into_owned);
        let outside = |value| Reference {
            at: Place::value("/role"),
            to: To::External { class: "role".to_owned(), value },
            role: Role::Needs,
        };
        value.map(outside).into_iter().collect()
    }

    fn handles(&self, _: &Handles, _: &Resource) -> Handles {
        Handles::new()
    }
}

#[test]
fn what_lies_outside_is_named_once() {
    let mut schema = rules().schema().as_ref().clone();
    schema.text = Some(Arc::new(Outside));
    let rules = Rules::new(Arc::new(schema));
    let role = r#"{"role":"admin"}"#;
    let backup = snapshot(&[("plan/p1", role), ("plan/p2", role), ("plan/p3", role)]);
    let live = snapshot(&[("plan/p3", role)]);
    let (options, none) = (PlanOptions::default(), BTreeSet::new());
    let made = draft(&rules, &backup, &live, &options, &IdMap::default(), &none, &none).unwrap();
    let [role] = made.decided.outside.dependencies().try_into().unwrap();
    assert_eq!((role.class.as_str(), role.name.as_str(), role.resources), ("role", "admin", 2));
    assert_eq!(role.keys, [key("plan/p1"), key("plan/p2")]);
    assert_eq!(role.finding(), None, "nobody looked");
    let missing = Dependency { presence: Presence::Missing, ..role };
    assert_eq!(missing.finding().map(|found| found.verdict), Some(Verdict::Failed));
}

/// `credential`, whose password the vendor gives out as a hash, and whose secret sometimes.
fn hashed_rules() -> Rules {
    let mut spec = KindSpec::new(Kind::known("credential"), 10);
    let prefix = "$hash".to_owned();
    for (at, is) in
        [("/password", Member::Unreadable), ("/secret", Member::UnreadableIf { prefix })]
    {
        spec.members.push(MemberRule { at: at.to_owned(), is });
    }
    Rules::new(Arc::new(Schema { kinds: vec![spec], ..Schema::default() }))
}

/// What becomes of one credential, and what a roll back would miss.
fn hashed_plan(
    backup: Option<&str>,
    live: Option<&str>,
    options: &PlanOptions,
) -> (Decision, Vec<String>) {
    let side = |document: Option<&str>| {
        MemorySnapshot::new(document.map(|text| thing("credential/c", text)))
    };
    let (none, map) = (BTreeSet::new(), IdMap::default());
    let made =
        draft(&hashed_rules(), &side(backup), &side(live), options, &map, &none, &none).unwrap();
    let lost = made.decided.changes.iter().flat_map(|change| match &change.undo {
        Undo::Lost(places) => places.iter().map(|place| place.pointer.clone()).collect(),
        _ => Vec::new(),
    });
    (decision(&made.decided, "credential/c"), lost.collect())
}

#[test]
fn what_cannot_be_sent_back_is_never_made() {
    let options = PlanOptions::default();
    let replace = PlanOptions { existing: Existing::Replace, ..PlanOptions::default() };
    let hash = r#"{"secret":"$hash1","tag":1}"#;
    for (backup, live, options) in [
        (r#"{"password":"h"}"#, None, &options),
        (hash, None, &options),
        (r#"{"password":"h"}"#, Some(r#"{"password":"i"}"#), &options),
        (hash, Some(r#"{"secret":"clear","tag":1}"#), &options),
        (hash, Some(r#"{"secret":"$hash1","tag":2}"#), &replace),
    ] {
        let (decision, _) = hashed_plan(Some(backup), live, options);
        assert!(matches!(decision, Decision::CannotRestore(_)), "{backup} {live:?}: {decision:?}");
    }
    for document in [r#"{"password":null,"secret":"clear"}"#, r#"{"secret":1}"#] {
        let made = hashed_plan(Some(document), None, &options);
        assert_eq!(made, (Decision::Do(Action::Create), Vec::new()), "{document}");
    }
    let beside = hashed_plan(Some(hash), Some(r#"{"secret":"$hash1","tag":2}"#), &options);
    assert_eq!(beside, (Decision::Do(Action::Update), Vec::new()));
}

#[test]
fn whoever_destroys_what_cannot_be_sent_back_is_asked() {
    let all = PlanOptions { prune: true, prune_limit: 100, ..PlanOptions::default() };
    let hashes = r#"{"password":"h","secret":"$hash1"}"#;
    let gone = hashed_plan(None, Some(hashes), &all);
    let places = vec!["/password".to_owned(), "/secret".to_owned()];
    assert_eq!(gone, (Decision::Do(Action::Delete), places));
    let clear = hashed_plan(None, Some(r#"{"secret":"clear"}"#), &all);
    assert_eq!(clear, (Decision::Do(Action::Delete), Vec::new()));
    let over = hashed_plan(Some(r#"{"secret":"clear"}"#), Some(r#"{"secret":"$hash1"}"#), &all);
    assert_eq!(over, (Decision::Do(Action::Update), vec!["/secret".to_owned()]));
}

#[test]
fn what_has_ended_by_itself_is_not_made_again() {
    let mut spec = KindSpec::new(Kind::known("credential"), 10);
    spec.members.push(MemberRule { at: "/end".to_owned(), is: Member::Ends });
    let rules = Rules::new(Arc::new(Schema { kinds: vec![spec], ..Schema::default() }));
    let backup = snapshot(&[
        ("credential/a", r#"{"end":100000001}"#),
        ("credential/b", r#"{"end":100000001.5}"#),
        ("credential/c", r#"{"end":100000002,"tag":1}"#),
        ("credential/d", r#"{"end":null}"#),
        ("credential/e", r#"{"end":3600}"#),
    ]);
    let live = snapshot(&[("credential/b", r#"{"end":200000000}"#)]);
    let at = |at| {
        let (none, map) = (BTreeSet::new(), IdMap::default());
        let options = PlanOptions { at, ..PlanOptions::default() };
        let made = draft(&rules, &backup, &live, &options, &map, &none, &none).unwrap().decided;
        (made.summary.create, made.summary.update, made.summary.skipped)
    };
    let moment = |n: i64| Some(100_000_000 + n);
    assert_eq!([at(None), at(moment(0))], [(4, 1, 0), (4, 1, 0)]);
    assert_eq!([at(moment(1)), at(moment(2))], [(3, 0, 2), (2, 0, 3)]);
}

#[test]
fn a_salted_hash_goes_only_below_its_own_salt() {
    let mut user = KindSpec::new(Kind::known("user"), 10);
    user.handles.push(handle("name", Within::Gateway));
    let mut login = KindSpec::new(Kind::known("login"), 20);
    login.references.push(refers("/user", "user", Role::Owner));
    let is = Member::Salted { by: "/user".to_owned() };
    login.members.push(MemberRule { at: "/password".to_owned(), is });
    let rules = Rules::new(Arc::new(Schema { kinds: vec![user, login], ..Schema::default() }));
    let backup = snapshot(&[
        ("user/u1", r#"{"name":"a"}"#),
        ("login/l1", r#"{"user":"u1","password":"h"}"#),
        ("login/l2", r#"{"user":"u1","password":null}"#),
    ]);
    let decisions = |user: &[(&str, &str)]| {
        let (options, none, map) = (PlanOptions::default(), BTreeSet::new(), IdMap::default());
        let live = snapshot(user);
        let decided = draft(&rules, &backup, &live, &options, &map, &none, &none).unwrap().decided;
        (decision(&decided, "login/l1"), decision(&decided, "login/l2"))
    };
    let create = Decision::Do(Action::Create);
    assert_eq!(decisions(&[]), (create.clone(), create.clone()));
    assert_eq!(decisions(&[("user/u1", r#"{"name":"b"}"#)]), (create.clone(), create.clone()));
    let (hashed, plain) = decisions(&[("user/u9", r#"{"name":"a"}"#)]);
    let Decision::CannotRestore(why) = hashed else { panic!("{hashed:?}") };
    assert!(why.contains("user/u1 alone, which is user/u9 here"), "{why}");
    assert_eq!(plain, create);
}

#[test]
fn what_needs_a_thing_that_is_not_restored_is_not_restored_either() {
    let mut client = KindSpec::new(Kind::known("client"), 10);
    client.members.push(MemberRule { at: "/secret".to_owned(), is: Member::Unreadable });
    let kinds = ["token", "use", "note"].map(|kind| {
        let mut spec = KindSpec::new(Kind::known(kind), 20);
        spec.references.push(refers("/client", "client", Role::Owner));
        spec.references.push(refers("/token", "token", Role::Needs));
        spec.references.push(refers("/about", "client", Role::Weak));
        spec
    });
    let kinds = std::iter::once(client).chain(kinds).collect();
    let rules = Rules::new(Arc::new(Schema { kinds, ..Schema::default() }));
    let backup = snapshot(&[
        ("client/c", r#"{"secret":"h"}"#),
        ("client/d", r#"{"secret":null}"#),
        ("token/t", r#"{"client":"c"}"#),
        ("token/u", r#"{"client":"d"}"#),
        ("use/v", r#"{"token":"t"}"#),
        ("note/n", r#"{"about":"c"}"#),
    ]);
    let plan = |live: &MemorySnapshot| {
        let (options, none, map) = (PlanOptions::default(), BTreeSet::new(), IdMap::default());
        draft(&rules, &backup, live, &options, &map, &none, &none).unwrap().decided
    };
    let decided = plan(&snapshot(&[]));
    for (at, needed) in [("token/t", "client/c"), ("use/v", "token/t")] {
        let Decision::CannotRestore(why) = decision(&decided, at) else { panic!("{at}") };
        assert!(why.contains(needed), "{why}");
    }
    assert_eq!((decided.summary.create, decided.summary.cannot_restore), (3, 3));
    let keys: Vec<String> = decided.changes.iter().map(|c| c.key.to_string()).collect();
    assert_eq!(keys, ["client/d", "note/n", "token/u"]);
    assert!(decided.changes.iter().zip(0..).all(|(change, no)| change.no == ChangeNo(no)));
    // Where it is there already, it is needed no more.
    let decided = plan(&snapshot(&[("client/c", r#"{"secret":"other"}"#)]));
    assert_eq!((decided.summary.create, decided.summary.cannot_restore), (5, 1));
}

#[test]
fn what_a_creation_does_without_may_be_unreadable() {
    let mut spare = KindSpec::new(Kind::known("spare"), 10);
    spare.members.push(MemberRule { at: "/export".to_owned(), is: Member::Spare });
    let kinds = vec![spare, KindSpec::new(Kind::known("needed"), 10)];
    let rules = Rules::new(Arc::new(Schema { kinds, ..Schema::default() }));
    let unread = [("spare/a", "/export"), ("spare/b", "/other"), ("needed/c", "/export")];
    let backup = MemorySnapshot::new(unread.map(|(at, absent)| {
        let mut resource = thing(at, "{}");
        resource.marks.push(Mark::absent(absent, Absence::Unreadable));
        resource
    }));
    let (options, none, map) = (PlanOptions::default(), BTreeSet::new(), IdMap::default());
    let live = snapshot(&[]);
    let decided = draft(&rules, &backup, &live, &options, &map, &none, &none).unwrap().decided;
    assert_eq!(decision(&decided, "spare/a"), Decision::Do(Action::Create));
    for at in ["spare/b", "needed/c"] {
        assert!(matches!(decision(&decided, at), Decision::CannotRestore(_)), "{at}");
    }
}
