//! The contract of a gateway that is one file, on its simplest format.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use gwbackup_core::connect::{Connectors, Settings};
use gwbackup_core::context::Context;
use gwbackup_core::jsonl;
use gwbackup_core::model::{
    Action, Attempt, Captured, Change, ChangeNo, Document, Effect, Key, Kind, Resolved, Resource,
    Rules, Scope, Side, Step, To, Undo,
};
use gwbackup_core::source::{BoxStream, Source as _};
use gwbackup_core::target::{States, Target as _};
use gwbackup_core::testing::Notes;
use gwbackup_core::testing::conformance::{self, SourceFixture, TargetFixture};
use gwbackup_core::whole_file::FileGateway;
use gwbackup_core::{Error, ErrorKind, Result};

struct Dir {
    _dir: tempfile::TempDir,
    file: PathBuf,
}

impl Dir {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { file: dir.path().join("gateway.jsonl"), _dir: dir }
    }

    fn with(content: &str) -> Self {
        let this = Self::new();
        fs::write(&this.file, content).unwrap();
        this
    }

    fn gateway(&self) -> FileGateway {
        jsonl::open(&self.file).unwrap()
    }

    fn content(&self) -> String {
        fs::read_to_string(&self.file).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let parent = self.file.parent().unwrap();
        let name = |e: std::io::Result<fs::DirEntry>| e.unwrap().file_name().into_string().unwrap();
        fs::read_dir(parent).unwrap().map(name).collect()
    }
}

async fn read(gateway: &FileGateway, scope: &Scope) -> Result<Vec<Resource>> {
    let cx = Context::new();
    let description = gateway.describe(&cx).await?;
    let mut stream = gateway.read(&cx, &description, scope, None);
    let mut found = Vec::new();
    while let Some(item) = stream.next().await {
        match item? {
            Captured::Resource(resource) => found.push(resource),
            other => panic!("{other:?}"),
        }
    }
    found.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(found)
}

fn resource(key: &str, document: &str) -> Resource {
    Resource::new(key.parse().unwrap(), Document::parse(document).unwrap())
}

/// Both sides in memory; the stream of one may break at an item.
#[derive(Default)]
struct Sides {
    before: Vec<Resource>,
    after: Vec<Resource>,
    breaks_at: Option<usize>,
}

#[async_trait]
impl States for Sides {
    async fn one(&self, side: Side, key: &Key) -> Result<Option<Resolved>> {
        let found = self.side(side).iter().find(|r| r.key == *key).cloned();
        Ok(found.map(|resource| Resolved { resource, pending: Vec::new() }))
    }

    fn read(&self, side: Side, scope: &Scope) -> BoxStream<Result<Resolved>> {
        let mut items: Vec<Result<Resolved>> = self
            .side(side)
            .iter()
            .filter(|r| scope.contains(&r.key))
            .map(|r| Ok(Resolved { resource: r.clone(), pending: Vec::new() }))
            .collect();
        if let (Side::After, Some(at)) = (side, self.breaks_at) {
            items.truncate(at);
            items.push(Err(Error::corrupt("the backup is damaged")));
        }
        Box::pin(stream::iter(items))
    }
}

impl Sides {
    fn side(&self, side: Side) -> &[Resource] {
        match side {
            Side::Before => &self.before,
            Side::After => &self.after,
        }
    }
}

fn change(no: u32, key: &str, action: Action) -> Change {
    Change {
        no: ChangeNo(no),
        key: key.parse().unwrap(),
        there: None,
        parent: None,
        action,
        undo: Undo::Exact,
        bytes: 1,
    }
}

async fn apply(
    gateway: &FileGateway,
    sides: &Sides,
    changes: Vec<Change>,
    attempt: Attempt,
) -> Result<Vec<(String, String)>> {
    let cx = Context::new();
    let description = gateway.describe(&cx).await?;
    let groups = gateway.arrange(&description, &changes);
    assert_eq!(groups.len(), 1);
    assert_eq!(groups[0].rewrites, Some(Scope::everything()));
    assert_eq!(groups[0].changes, changes.iter().map(|c| c.no).collect::<Vec<_>>());
    let step = Step { token: "t".into(), changes, rewrites: groups[0].rewrites.clone(), attempt };
    let receipt = gateway.apply(&cx, &description, &step, sides, &Notes::default()).await?;
    let outcome = |o: &gwbackup_core::model::Outcome| {
        let effect = match &o.effect {
            Effect::Created => "created",
            Effect::Updated => "updated",
            Effect::Deleted => "deleted",
            Effect::AlreadyThere => "already there",
            other => panic!("{other:?}"),
        };
        (o.key.to_string(), effect.to_owned())
    };
    Ok(receipt.outcomes.iter().map(outcome).collect())
}

const SERVICE: &str =
    r#"{"kind":"service","id":"s1","refs":{},"tags":["b","a"],"body":{"port":9007199254740993}}"#;
const ROUTE: &str = r#"{"kind":"route","id":"r/1 %","refs":{"service":"s1","client_certificate":["c1"]},"body":{"n":1.0,"e":1e400},"more":null}"#;

#[tokio::test]
async fn a_line_keeps_every_token() {
    let dir = Dir::with(&format!("{SERVICE}\n\n{ROUTE}"));
    let found = read(&dir.gateway(), &Scope::everything()).await.unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].key.to_string(), "route/r%2F1 %25");
    assert_eq!(
        found[0].document.as_str(),
        r#"{"body":{"e":1e400,"n":1.0},"more":null,"refs":{"client_certificate":["c1"],"service":"s1"}}"#
    );
    assert_eq!(
        found[1].document.as_str(),
        r#"{"body":{"port":9007199254740993},"refs":{},"tags":["b","a"]}"#
    );
}

#[tokio::test]
async fn the_order_of_members_means_nothing() {
    let lines = [
        r#"{"kind":"a","id":"x","body":{"id":1,"kind":"\u0041"},"tags":[]}"#,
        r#"{ "id" : "x", "tags":[ ], "kind":"\u0061","body":{"kind":"\u0041","id":1}}"#,
    ];
    let mut found = Vec::new();
    for line in lines {
        found.push(read(&Dir::with(line).gateway(), &Scope::everything()).await.unwrap());
    }
    assert_eq!(found[0], found[1]);
    assert_eq!(found[0][0].document.as_str(), r#"{"body":{"id":1,"kind":"\u0041"},"tags":[]}"#);
}

#[tokio::test]
async fn references_name_the_kind_or_end_with_it() {
    let dir = Dir::with(ROUTE);
    let gateway = dir.gateway();
    let description = gateway.describe(&Context::new()).await.unwrap();
    let rules = Rules::new(description.schema);
    let found = read(&gateway, &Scope::everything()).await.unwrap();
    let named: BTreeMap<String, Vec<String>> = rules
        .references(&found[0])
        .into_iter()
        .map(|reference| match reference.to {
            To::Resource { kinds, value, .. } => {
                (value, kinds.iter().map(ToString::to_string).collect())
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(named["s1"], ["service"]);
    assert_eq!(named["c1"], ["client_certificate", "certificate"]);
}

#[tokio::test]
async fn an_absent_file_is_an_empty_gateway_and_an_absent_directory_is_not() {
    let dir = Dir::new();
    assert!(read(&dir.gateway(), &Scope::everything()).await.unwrap().is_empty());
    let lost = jsonl::open(dir.file.join("below/gateway.jsonl")).unwrap();
    let error = read(&lost, &Scope::everything()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_scope_is_honoured() {
    let dir = Dir::with(&format!("{SERVICE}\n{ROUTE}\n"));
    let routes = Scope { kinds: vec![Kind::known("route")], under: Vec::new() };
    assert_eq!(read(&dir.gateway(), &routes).await.unwrap().len(), 1);
    let one = Scope::of("service/s1".parse().unwrap());
    assert_eq!(read(&dir.gateway(), &one).await.unwrap()[0].key.to_string(), "service/s1");
    let none = Scope::of("service/s2".parse().unwrap());
    assert!(read(&dir.gateway(), &none).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_malformed_line_is_named_and_not_quoted() {
    let good = r#"{"kind":"a","id":"1"}"#;
    for (bad, wanted) in [
        ("{\"kind\":\"a\",\"id\":\"2\",\"x\":hunter2}", "line 2 column 26"),
        ("\"hunter2\"", "line 2"),
        ("{\"kind\":\"a\",\"hunter2\":1}", "line 2"),
        ("{\"kind\":\"a\",\"id\":7,\"hunter2\":1}", "line 2"),
        ("{\"kind\":\"A hunter2\",\"id\":\"2\"}", "line 2"),
        ("{\"kind\":\"a\",\"id\":\"\",\"x\":\"hunter2\"}", "line 2"),
        ("{\"kind\":\"a\",\"id\":\"2\",\"id\":\"hunter2\"}", "line 2"),
        ("{\"kind\":\"a\",\"id\":\"1\",\"x\":\"hunter2\"}", "line 1 and line 2"),
        ("{\"kind\":\"a\",\"id\":\"2\",}", "line 2 column 22"),
        ("{\"kind\":\"a\",\"id\":\"2\",\"\\u0069d\":\"hunter2\"}", "line 2"),
        ("{\"kind\":\"a\",\"id\":\"\u{1}hunter2\"}", "line 2"),
    ] {
        let dir = Dir::with(&format!("{good}\n{bad}\n{good}\n"));
        let error = read(&dir.gateway(), &Scope::everything()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{bad}");
        assert!(error.to_string().contains(wanted), "{error}");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
    let dir = Dir::new();
    fs::write(&dir.file, b"{\"kind\":\"a\",\"id\":\"\xff\"}").unwrap();
    let error = read(&dir.gateway(), &Scope::everything()).await.unwrap_err();
    assert!(error.to_string().contains("line 1 column 19"), "{error}");
}

#[tokio::test]
async fn the_revision_moves_with_the_bytes() {
    let dir = Dir::new();
    let gateway = dir.gateway();
    let cx = Context::new();
    let revision = async || gateway.revision(&cx, &Scope::everything()).await.unwrap().unwrap();
    assert_eq!(revision().await.as_str(), "absent");
    fs::write(&dir.file, "abc").unwrap();
    // SHA-256 of "abc", FIPS 180-2 appendix B.1.
    let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(revision().await.as_str(), known);
}

fn states() -> Sides {
    Sides {
        before: vec![resource("a/1", r#"{"n":1}"#), resource("a/2", r#"{"n":2}"#)],
        after: vec![resource("a/2", r#"{"n":3}"#), resource("a/3%2F4", r#"{"n":"x"}"#)],
        breaks_at: None,
    }
}

fn changes() -> Vec<Change> {
    vec![
        change(0, "a/1", Action::Delete),
        change(1, "a/2", Action::Update),
        change(2, "a/3%2F4", Action::Create),
    ]
}

const BEFORE: &str =
    "{\"kind\":\"a\",\"id\":\"2\",\"n\":2}\n{\"kind\":\"a\",\"id\":\"1\",\"n\":1}\n";

#[tokio::test]
async fn a_step_takes_the_file_from_before_to_after() {
    let dir = Dir::with(BEFORE);
    let gateway = dir.gateway();
    let first = apply(&gateway, &states(), changes(), Attempt::First).await.unwrap();
    let effects: Vec<&str> = first.iter().map(|(_, effect)| effect.as_str()).collect();
    assert_eq!(effects, ["deleted", "updated", "created"]);
    assert_eq!(
        dir.content(),
        "{\"kind\":\"a\",\"id\":\"2\",\"n\":3}\n{\"kind\":\"a\",\"id\":\"3/4\",\"n\":\"x\"}\n"
    );
    assert_eq!(read(&gateway, &Scope::everything()).await.unwrap(), states().after);
    for attempt in [Attempt::First, Attempt::Again { checkpoint: None }] {
        let again = apply(&gateway, &states(), changes(), attempt).await.unwrap();
        assert!(again.iter().all(|(_, effect)| effect == "already there"), "{again:?}");
    }
    assert_eq!(dir.names(), ["gateway.jsonl"]);
}

#[tokio::test]
async fn a_moved_file_is_a_conflict_at_first_and_converges_again() {
    let moved = "{\"kind\":\"a\",\"id\":\"1\",\"n\":1}\n";
    let dir = Dir::with(moved);
    let error = apply(&dir.gateway(), &states(), changes(), Attempt::First).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(dir.content(), moved);
    let again = Attempt::Again { checkpoint: None };
    apply(&dir.gateway(), &states(), changes(), again).await.unwrap();
    assert_eq!(read(&dir.gateway(), &Scope::everything()).await.unwrap(), states().after);
}

#[tokio::test]
async fn a_file_comes_into_being_and_may_end_empty() {
    let dir = Dir::new();
    let sides = Sides { before: Vec::new(), ..states() };
    apply(&dir.gateway(), &sides, changes(), Attempt::First).await.unwrap();
    assert_eq!(read(&dir.gateway(), &Scope::everything()).await.unwrap(), sides.after);
    let back = Sides { before: sides.after, after: Vec::new(), breaks_at: None };
    apply(&dir.gateway(), &back, changes(), Attempt::First).await.unwrap();
    assert_eq!(dir.content(), "");
}

#[tokio::test]
async fn a_write_that_fails_leaves_the_old_file() {
    let dir = Dir::with(BEFORE);
    let broken = Sides { breaks_at: Some(1), ..states() };
    let error = apply(&dir.gateway(), &broken, changes(), Attempt::First).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let mut unfit = states();
    unfit.after[0].document = Document::parse(r#"{"id":"x"}"#).unwrap();
    let error = apply(&dir.gateway(), &unfit, changes(), Attempt::First).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(dir.content(), BEFORE);
    assert_eq!(dir.names(), ["gateway.jsonl"]);
    let cx = Context::new();
    let description = dir.gateway().describe(&cx).await.unwrap();
    let findings = dir.gateway().validate(&cx, &description, &changes(), &unfit).await.unwrap();
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].subject, "a/2");
}

/// A state after whose stream stops in the middle, and says so.
struct Stuck(Sides, Arc<tokio::sync::Notify>);

#[async_trait]
impl States for Stuck {
    async fn one(&self, side: Side, key: &Key) -> Result<Option<Resolved>> {
        self.0.one(side, key).await
    }

    fn read(&self, side: Side, scope: &Scope) -> BoxStream<Result<Resolved>> {
        let items = self.0.read(side, scope);
        if side == Side::Before {
            return items;
        }
        let stuck = Arc::clone(&self.1);
        let rest = stream::once(async move {
            stuck.notify_one();
            std::future::pending().await
        });
        Box::pin(items.take(1).chain(rest))
    }
}

#[test]
fn a_dropped_step_leaves_the_old_file() {
    let dir = Dir::with(BEFORE);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let states = Stuck(states(), Arc::default());
        let stuck = Arc::clone(&states.1);
        let gateway = dir.gateway();
        let cx = Context::new();
        let description = gateway.describe(&cx).await.unwrap();
        let rewrites = Some(Scope::everything());
        let attempt = Attempt::First;
        let step = Step { token: "t".into(), changes: changes(), rewrites, attempt };
        let notes = Notes::default();
        tokio::select! {
            ended = gateway.apply(&cx, &description, &step, &states, &notes) => panic!("{ended:?}"),
            () = stuck.notified() => {}
        }
    });
    // Waits for the thread that writes.
    drop(runtime);
    assert_eq!(dir.content(), BEFORE);
    assert_eq!(dir.names(), ["gateway.jsonl"]);
}

#[cfg(unix)]
#[tokio::test]
async fn permissions_stay_and_links_are_followed() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;

    let dir = Dir::with(BEFORE);
    fs::set_permissions(&dir.file, fs::Permissions::from_mode(0o640)).unwrap();
    let link = dir.file.with_file_name("link.jsonl");
    symlink(&dir.file, &link).unwrap();
    let gateway = jsonl::open(&link).unwrap();
    apply(&gateway, &states(), changes(), Attempt::First).await.unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().file_type().is_symlink());
    assert_eq!(mode(&dir.file), 0o640);
    assert_eq!(read(&dir.gateway(), &Scope::everything()).await.unwrap(), states().after);

    fs::remove_file(&dir.file).unwrap();
    let error = read(&gateway, &Scope::everything()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let sides = Sides { before: Vec::new(), ..states() };
    apply(&dir.gateway(), &sides, changes(), Attempt::First).await.unwrap();
    assert_eq!(mode(&dir.file), 0o600);
}

#[tokio::test]
async fn a_cancelled_context_ends_the_stream() {
    let dir = Dir::with(BEFORE);
    let token = tokio_util::sync::CancellationToken::new();
    token.cancel();
    let cx = Context::new().with_cancellation(token);
    let description = dir.gateway().describe(&cx).await.unwrap();
    let mut stream = dir.gateway().read(&cx, &description, &Scope::everything(), None);
    let error = stream.next().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    assert!(stream.next().await.is_none());
}

proptest::proptest! {
    #[test]
    fn what_is_written_is_read(
        resources in proptest::collection::btree_map(
            (0_u8..3, ".{1,12}"), proptest::collection::btree_map(".{0,6}", ".{0,6}", 0..4), 0..20,
        ),
    ) {
        let after: Vec<Resource> = {
            let mut list: Vec<_> = resources.iter().map(|((kind, id), body)| {
                let kind = Kind::known(["a", "b_c", "d9"][usize::from(*kind)]);
                let id = gwbackup_core::model::Id::of([id]).unwrap();
                let body = serde_json::json!({ "body": body });
                Resource::new(Key::new(kind, id), Document::from_value(&body).unwrap())
            }).collect();
            list.sort_by(|a, b| a.key.cmp(&b.key));
            list
        };
        let dir = Dir::new();
        let sides = Sides { after: after.clone(), ..Sides::default() };
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let found = runtime.block_on(async {
            apply(&dir.gateway(), &sides, vec![change(0, "a/x", Action::Create)], Attempt::First)
                .await?;
            read(&dir.gateway(), &Scope::everything()).await
        });
        proptest::prop_assert_eq!(found.unwrap(), after);
    }
}

#[tokio::test]
async fn keeps_the_promises_of_a_source() {
    let dir = Dir::with(&format!("{SERVICE}\n{ROUTE}\n"));
    conformance::source(|| {
        let file = dir.file.clone();
        let touch: conformance::Touch = Box::new(move || {
            let file = file.clone();
            Box::pin(async move { fs::write(&file, SERVICE).unwrap() })
        });
        let source = Arc::new(dir.gateway());
        async move { SourceFixture { source, touch: Some(touch) } }
    })
    .await;
}

#[tokio::test]
async fn keeps_the_promises_of_a_target() {
    let dir = Dir::with(&format!("{SERVICE}\n{ROUTE}\n"));
    conformance::target(|| {
        let edit: conformance::Edit = Box::new(|resource| {
            let body = resource.document.get("/body")?;
            let body = if body == "{}" { "[]" } else { "{}" };
            resource.document.with_values(&[("/body".into(), body.into())]).ok()
        });
        let target = Arc::new(dir.gateway());
        async move { TargetFixture { target, edit } }
    })
    .await;
}

#[tokio::test]
async fn a_url_or_a_path_opens_a_gateway() {
    let dir = Dir::with(SERVICE);
    let connectors = Connectors::new();
    let path = dir.file.to_str().unwrap();
    for value in [path.to_owned(), format!("jsonl://{path}")] {
        let gateway = connectors.target(&value, &Settings::new()).await.unwrap();
        assert_eq!(gateway.address(), format!("jsonl://{path}"));
    }
}
