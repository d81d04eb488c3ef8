//! Generations of one gateway, read back one by one.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use common::{Bench, look};
use futures_util::{TryStreamExt as _, stream};
use gwbackup_core::backup::{BackupReport, BackupType};
use gwbackup_core::catalog::State;
use gwbackup_core::model::{
    Captured, Cause, Description, Document, Finding, Gap, HandleName, Handles, Id, Key, Kind,
    KindSpec, Limits, Member, MemberRule, Resource, Revision, Schema, Scope,
};
use gwbackup_core::sink::{MemorySink, ObjectName, Sink as _, Version};
use gwbackup_core::source::{BoxStream, Known, Purpose, Source};
use gwbackup_core::{Context, Repository, Result};

/// A source that gives exactly what the test says.
#[derive(Debug, Clone)]
struct Given {
    documents: BTreeMap<Key, (String, u64)>,
    gaps: Vec<Gap>,
    id_scheme: u32,
    revisions: bool,
    /// Its own mark moves with each look.
    restless: bool,
    /// What lies in a gap is partly read nevertheless.
    leaky: bool,
}

fn key(kind: &str, id: impl std::fmt::Display) -> Key {
    Key::new(Kind::new(kind).unwrap(), Id::new(&id.to_string()).unwrap())
}

impl Given {
    fn new(revisions: bool) -> Self {
        Self {
            documents: BTreeMap::new(),
            gaps: Vec::new(),
            id_scheme: 1,
            revisions,
            restless: false,
            leaky: false,
        }
    }

    fn put(&mut self, key: Key, document: &str) {
        let slot = self.documents.entry(key).or_default();
        *slot = (Document::parse(document).unwrap().as_str().to_owned(), slot.1 + 1);
    }

    fn schema(&self) -> Schema {
        let spec = |name: &'static str, rank| {
            let mut spec = KindSpec::new(Kind::known(name), rank);
            spec.members = vec![
                MemberRule { at: "/seen".to_owned(), is: Member::Volatile },
                MemberRule { at: "/token".to_owned(), is: Member::Secret },
            ];
            spec
        };
        Schema {
            id: "given/1".to_owned(),
            id_scheme: self.id_scheme,
            kinds: vec![spec("api", 10), spec("user", 20)],
            other: None,
            text: None,
        }
    }

    fn content(&self) -> look::Content {
        self.documents.iter().map(|(key, (text, _))| (key.to_string(), text.clone())).collect()
    }

    /// What stays the same when nothing but volatile members move.
    fn stable(content: &look::Content) -> look::Content {
        content.iter().map(|(key, text)| (key.clone(), seen(text, "0"))).collect()
    }
}

/// The document with another time, all other tokens as they are.
fn seen(text: &str, time: &str) -> String {
    let Some((before, after)) = text.split_once(r#""seen":"#) else { return text.to_owned() };
    let after = after.trim_start_matches(|c: char| c.is_ascii_digit());
    format!(r#"{before}"seen":{time}{after}"#)
}

#[async_trait]
impl Source for Given {
    fn address(&self) -> String {
        "given:".to_owned()
    }

    async fn describe(&self, _: &Context) -> Result<Description> {
        Ok(Description {
            product: "given".to_owned(),
            version: "1".to_owned(),
            handles: Handles::from([(HandleName::known("account"), "a".to_owned())]),
            schema: Arc::new(self.schema()),
            limits: Limits::default(),
        })
    }

    async fn preflight(&self, _: &Context, _: Purpose, _: &Scope) -> Result<Vec<Finding>> {
        Ok(Vec::new())
    }

    async fn revision(&self, _: &Context, _: &Scope) -> Result<Option<Revision>> {
        static LOOKS: AtomicU64 = AtomicU64::new(0);
        let look = LOOKS.fetch_add(1, Ordering::SeqCst);
        Ok(self.restless.then(|| Revision::new(&look.to_string())))
    }

    fn read(
        &self,
        _: &Context,
        _: &Description,
        _: &Scope,
        known: Option<Arc<dyn Known>>,
    ) -> BoxStream<Result<Captured>> {
        let mut items = Vec::new();
        for (key, (text, revision)) in &self.documents {
            if !self.leaky && self.gaps.iter().any(|gap| gap.covers(key)) {
                continue;
            }
            let revision = Revision::new(&revision.to_string());
            if self.revisions && known.as_ref().is_some_and(|k| k.has(key, &revision)) {
                items.push(Ok(Captured::Same(key.clone())));
                continue;
            }
            let mut resource = Resource::new(key.clone(), Document::parse(text).unwrap());
            resource.revision = self.revisions.then_some(revision);
            items.push(Ok(Captured::Resource(resource)));
        }
        items.extend(self.gaps.iter().cloned().map(|gap| Ok(Captured::Gap(gap))));
        Box::pin(stream::iter(items))
    }
}

/// A small generator of numbers (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    fn document(&mut self, id: u64) -> String {
        format!(
            r#"{{"name":"n{id}","seen":{},"token":"secret-{:x}","size":{}.50,"big":90071992547409{}}}"#,
            self.below(1000),
            self.below(u64::MAX),
            self.below(100),
            self.below(100),
        )
    }
}

fn fill(given: &mut Given, dice: &mut Dice, size: u64) {
    for n in 0..size {
        let kind = if n % 3 == 0 { "user" } else { "api" };
        given.put(key(kind, format!("{:06x}/{n}", dice.below(1 << 24))), &dice.document(n));
    }
}

/// One percent changed, one percent removed, one percent added.
fn mutate(given: &mut Given, dice: &mut Dice, round: u64) {
    let keys: Vec<Key> = given.documents.keys().cloned().collect();
    let part = keys.len() as u64 / 100;
    let mut pick = || keys[usize::try_from(dice.below(keys.len() as u64)).unwrap()].clone();
    let changed: Vec<Key> = (0..part).map(|_| pick()).collect();
    let removed: Vec<Key> = (0..part).map(|_| pick()).collect();
    for key in changed {
        given.put(key, &dice.document(round));
    }
    for key in removed {
        given.documents.remove(&key);
    }
    for n in 0..part {
        let id = format!("{:06x}/new-{round}-{n}", dice.below(1 << 24));
        given.put(key("api", id), &dice.document(n));
    }
}

async fn take(bench: &Bench, repository: &Repository, given: &Given) -> BackupReport {
    bench.clock.advance(std::time::Duration::from_mins(1));
    let backup = repository.backup(Arc::new(given.clone())).application("a").environment("e");
    backup.kind(BackupType::Incremental).run(&bench.cx).await.unwrap()
}

async fn content(bench: &Bench, repository: &Repository, made: &BackupReport) -> look::Content {
    let info = repository.find(&bench.cx, &made.id.to_string()).await.unwrap();
    look::backup(&bench.cx, repository, &info).await.unwrap()
}

/// Removes every object of one backup from every copy.
async fn remove(bench: &Bench, repository: &Repository, made: &BackupReport, suffix: &str) {
    let info = repository.find(&bench.cx, &made.id.to_string()).await.unwrap();
    let archive = info.manifest().archive.id.clone();
    for sink in &bench.sinks {
        for name in look::objects(&bench.cx, sink).await.into_keys() {
            let own = name.contains(&archive) || name.contains(&format!(".{}.", &archive[..8]));
            if own && name.ends_with(suffix) {
                sink.delete(&bench.cx, &ObjectName::new(&name).unwrap()).await.unwrap();
            }
        }
    }
}

async fn generations(revisions: bool) {
    let bench = Bench::new(1).await;
    let repository = bench.open().await;
    let mut dice = Dice(if revisions { 41 } else { 42 });
    let mut given = Given::new(revisions);
    fill(&mut given, &mut dice, 5_000);
    let mut made = Vec::new();
    for round in 0..5 {
        if round > 0 {
            mutate(&mut given, &mut dice, round);
        }
        let report = take(&bench, &repository, &given).await;
        assert_eq!(report.status, State::Success);
        assert_eq!(report.kind, if round == 0 { "full" } else { "incremental" });
        assert_eq!(report.resources, given.documents.len() as u64);
        made.push((report, given.content()));
    }
    let full = made[0].0.stored_bytes;
    for (report, expected) in &made {
        let read = content(&bench, &repository, report).await;
        assert_eq!(Given::stable(&read), Given::stable(expected));
        assert!(report.base.is_none() || report.stored_bytes * 5 < full, "{report:?}");
    }
    let verified =
        repository.verify().depth(gwbackup_core::verify::Depth::Full).run(&bench.cx).await;
    assert!(verified.unwrap().failures.is_empty());

    // Incrementals build on the full, not on each other.
    for gone in 1..5 {
        remove(&bench, &repository, &made[gone].0, "").await;
        for (report, expected) in made.iter().take(1).chain(made.iter().skip(gone + 1)) {
            let read = content(&bench, &repository, report).await;
            assert_eq!(Given::stable(&read), Given::stable(expected));
        }
    }
}

#[tokio::test]
async fn five_generations_come_back_each() {
    generations(false).await;
}

#[tokio::test]
async fn five_generations_of_a_gateway_with_revisions_come_back_each() {
    generations(true).await;
}

#[tokio::test]
async fn without_its_base_the_next_backup_is_full_and_says_why() {
    for (suffix, damage) in [(".gwb", false), (".manifest.0001.json", false), (".gwb", true)] {
        let bench = Bench::new(1).await;
        let repository = bench.open().await;
        let mut given = Given::new(false);
        fill(&mut given, &mut Dice(7), 50);
        let full = take(&bench, &repository, &given).await;
        if damage {
            let info = repository.find(&bench.cx, &full.id.to_string()).await.unwrap();
            let name = ObjectName::new(&info.manifest().archive.path).unwrap();
            let mut bytes = bench.sinks[0].get(&bench.cx, &name, None).await.unwrap().to_vec();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 4;
            bench.sinks[0].delete(&bench.cx, &name).await.unwrap();
            bench.sinks[0].put(&bench.cx, &name, &bytes.into()).await.unwrap();
        } else {
            remove(&bench, &repository, &full, suffix).await;
        }
        let next = take(&bench, &repository, &given).await;
        assert_eq!((next.kind.as_str(), next.status), ("full", State::Success));
        assert!(next.why_full.as_ref().unwrap().contains("cannot be read"));
        assert_eq!(content(&bench, &repository, &next).await, given.content());
        let after = take(&bench, &repository, &given).await;
        assert_eq!(after.base, Some(next.id), "the new full carries on");
    }
}

#[tokio::test]
async fn another_id_scheme_wants_a_full() {
    let bench = Bench::new(1).await;
    let repository = bench.open().await;
    let mut given = Given::new(false);
    fill(&mut given, &mut Dice(8), 50);
    take(&bench, &repository, &given).await;
    given.id_scheme = 2;
    let next = take(&bench, &repository, &given).await;
    assert_eq!(next.kind, "full");
    assert!(next.why_full.unwrap().contains("ids"));
}

/// Two archives of equal lines differ in size by what their ids, which are of chance, compress to,
/// rounded up to a step of padding: less than this. Ten lines more cost more.
const NO_LINE: u64 = 64;

/// A line that was stored would show its new time when it is read, and cost something.
#[tokio::test]
async fn what_moves_by_itself_is_not_stored() {
    let bench = Bench::new(1).await;
    let repository = bench.open().await;
    let mut given = Given::new(false);
    fill(&mut given, &mut Dice(9), 400);
    let full = take(&bench, &repository, &given).await;
    let before = given.content();
    let idle = take(&bench, &repository, &given).await;
    for key in given.documents.keys().cloned().collect::<Vec<_>>() {
        let text = given.documents[&key].0.clone();
        let text = seen(&text, "123456");
        given.put(key, &text);
    }
    let moved = take(&bench, &repository, &given).await;
    assert_eq!(moved.state_digest, full.state_digest);
    assert_eq!(content(&bench, &repository, &moved).await, before, "not one line of its own");
    assert!(moved.stored_bytes <= idle.stored_bytes + NO_LINE, "{moved:?} {idle:?}");
    // A secret alone is a change.
    let first = given.documents.keys().next().unwrap().clone();
    let text = given.documents[&first].0.replace("secret-", "secret-x");
    given.put(first, &text);
    let changed = take(&bench, &repository, &given).await;
    assert_ne!(changed.state_digest, full.state_digest);
    assert_eq!(
        Given::stable(&content(&bench, &repository, &changed).await),
        Given::stable(&given.content())
    );
}

#[tokio::test]
async fn equal_states_have_equal_digests_whichever_way_they_came() {
    let bench = Bench::new(1).await;
    let repository = bench.open().await;
    let mut given = Given::new(false);
    fill(&mut given, &mut Dice(10), 100);
    let full = take(&bench, &repository, &given).await;
    let mut other = given.clone();
    let (first, (text, _)) = given.documents.iter().next().unwrap();
    let (first, text) = (first.clone(), text.clone());
    other.documents.remove(&first);
    let without = take(&bench, &repository, &other).await;
    assert_ne!(without.state_digest, full.state_digest);
    assert_eq!(content(&bench, &repository, &without).await, other.content(), "a tombstone");
    other.put(first, &text);
    let again = take(&bench, &repository, &other).await;
    assert_eq!(again.state_digest, full.state_digest);
    let whole = repository.backup(Arc::new(other.clone())).application("a").environment("e");
    let whole = whole.kind(BackupType::Full).run(&bench.cx).await.unwrap();
    assert_eq!(whole.state_digest, full.state_digest);
}

#[tokio::test]
async fn under_a_gap_nothing_is_known_and_nothing_is_gone() {
    let bench = Bench::new(1).await;
    let repository = bench.open().await;
    let mut given = Given::new(false);
    fill(&mut given, &mut Dice(11), 60);
    take(&bench, &repository, &given).await;
    let whole = given.content();
    given.gaps.push(Gap {
        kind: Some(Kind::known("user")),
        under: None,
        cause: Cause::Denied,
        detail: "no".to_owned(),
    });
    let partial = take(&bench, &repository, &given).await;
    assert_eq!((partial.kind.as_str(), partial.status), ("incremental", State::Partial));
    let seen = content(&bench, &repository, &partial).await;
    let apis = |c: &look::Content| -> look::Content {
        c.iter()
            .filter(|(k, _)| k.starts_with("api"))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect()
    };
    assert_eq!(seen, apis(&whole));
    let info = repository.find(&bench.cx, &partial.id.to_string()).await.unwrap();
    let view = repository.view(&bench.cx, &info).await.unwrap();
    for key in given.documents.keys() {
        let found = view.resource(key).await.unwrap();
        assert_eq!(found.is_some(), key.kind.as_str() == "api", "{key}");
    }
    // The gap closes: everything is there again, none of it as new.
    given.gaps.clear();
    let after = take(&bench, &repository, &given).await;
    assert_eq!(content(&bench, &repository, &after).await, whole);
    assert!(after.stored_bytes <= partial.stored_bytes + NO_LINE, "no line was needed");
}

#[tokio::test]
async fn an_incremental_without_a_secret_of_its_own_reads_its_bases() {
    let bench = Bench::new(1).await;
    let repository = bench.open().await;
    let mut given = Given::new(false);
    given.put(key("api", "a"), r#"{"token":"hidden"}"#);
    given.put(key("api", "b"), r#"{"plain":1}"#);
    take(&bench, &repository, &given).await;
    given.put(key("api", "b"), r#"{"plain":2}"#);
    let next = take(&bench, &repository, &given).await;
    assert_eq!(next.kind, "incremental");
    assert_eq!(content(&bench, &repository, &next).await, given.content());
}

#[tokio::test]
async fn two_backups_of_one_second_are_told_apart() {
    let bench = Bench::new(1).await;
    let repository = bench.open().await;
    let mut given = Given::new(false);
    fill(&mut given, &mut Dice(12), 3);
    let mut names = Vec::new();
    for app in ["shop", "shop", "a..b", "Größe 1", "größe:1", "CON"] {
        let backup = repository.backup(Arc::new(given.clone())).application(app);
        let made = backup.environment("e").kind(BackupType::Full).run(&bench.cx).await.unwrap();
        let info = repository.find(&bench.cx, &made.id.to_string()).await.unwrap();
        assert_eq!(info.details().application, app, "what was said is kept");
        let path = &info.manifest().archive.path;
        assert!(path.starts_with("data/") && path.split('/').count() == 4, "{path}");
        assert!(path.split('/').all(|part| part != ".." && !part.is_empty()), "{path}");
        assert!(path.is_ascii() && !path.contains([' ', '\\']), "{path}");
        assert_eq!(content(&bench, &repository, &made).await, given.content());
        names.push(made.name);
    }
    assert_eq!(names[1], format!("{}-2", names[0]));
    let found = repository.find(&bench.cx, &names[1]).await.unwrap();
    assert_eq!(found.name(), names[1]);
    assert_eq!(repository.list(&bench.cx).await.unwrap().len(), names.len());
}

#[tokio::test]
async fn a_gateway_that_never_rests_is_partial_and_all_that_was_read_is_there() {
    for revisions in [false, true] {
        let bench = Bench::new(1).await;
        let repository = bench.open().await;
        let mut given = Given::new(revisions);
        fill(&mut given, &mut Dice(13), 40);
        take(&bench, &repository, &given).await;
        given.restless = true;
        given.put(key("api", "new"), r#"{"plain":2}"#);
        let gone = given.documents.keys().next().unwrap().clone();
        given.documents.remove(&gone);
        let made = take(&bench, &repository, &given).await;
        assert_eq!((made.kind.as_str(), made.status), ("incremental", State::Partial));
        assert_eq!(made.gaps.iter().map(|gap| gap.cause).collect::<Vec<_>>(), [Cause::Torn]);
        assert_eq!(content(&bench, &repository, &made).await, given.content());
        let report = repository.verify().depth(gwbackup_core::verify::Depth::Full);
        let report = report.run(&bench.cx).await.unwrap();
        assert!(report.failures.is_empty(), "{:?}", report.failures);
    }
}

#[tokio::test]
async fn what_was_read_inside_a_gap_is_kept() {
    for revisions in [false, true] {
        let bench = Bench::new(1).await;
        let repository = bench.open().await;
        let mut given = Given::new(revisions);
        fill(&mut given, &mut Dice(14), 40);
        take(&bench, &repository, &given).await;
        let gone = given.documents.keys().last().unwrap().clone();
        given.documents.remove(&gone);
        let detail = "the second page".to_owned();
        given.gaps.push(Gap { kind: None, under: None, cause: Cause::Unreachable, detail });
        given.leaky = true;
        let made = take(&bench, &repository, &given).await;
        assert_eq!((made.kind.as_str(), made.status), ("incremental", State::Partial));
        assert_eq!(content(&bench, &repository, &made).await, given.content());
        let report = repository.verify().depth(gwbackup_core::verify::Depth::Full);
        let report = report.run(&bench.cx).await.unwrap();
        assert!(report.failures.is_empty(), "{:?}", report.failures);
    }
}

#[tokio::test]
async fn what_an_incremental_builds_on_is_kept_as_long_as_itself() {
    let mut bench = Bench::empty(3);
    let month = std::time::Duration::from_hours(24 * 30);
    // The third copy keeps versions, and nothing for any time.
    bench.sinks = vec![
        MemorySink::named("a").with_retention(month),
        MemorySink::named("b").with_retention(month * 2),
        MemorySink::named("c").with_versions(),
    ];
    bench.create().await;
    let repository = bench.open().await;
    let mut given = Given::new(false);
    given.put(key("node", 1), r#"{"n":1}"#);
    let full = take(&bench, &repository, &given).await;
    bench.clock.advance(month / 5);
    given.put(key("node", 2), r#"{"n":2}"#);
    let made = take(&bench, &repository, &given).await;
    assert_eq!(made.base, Some(full.id), "{:?}", made.why_full);
    assert!(made.warnings.is_empty(), "{:?}", made.warnings);
    let ends = async |made: &BackupReport, sink: &MemorySink| {
        let info = repository.find(&bench.cx, &made.id.to_string()).await.unwrap();
        let archive = &info.manifest().archive;
        let own = |name: &str| {
            name.contains(&archive.id) || name.starts_with(archive.path.trim_end_matches(".gwb"))
        };
        let versioned = sink.versioned().unwrap();
        let all: Vec<Version> = versioned.versions(&bench.cx, "").try_collect().await.unwrap();
        let mut ends = BTreeMap::new();
        for version in all.iter().filter(|version| own(version.name.as_str())) {
            let lock = versioned.lock(&bench.cx, version).await.unwrap();
            ends.insert(version.name.to_string(), lock.until);
        }
        assert_eq!(ends.len(), 3, "archive, wrap and manifest: {ends:?}");
        ends
    };
    for sink in &bench.sinks[..2] {
        let last = ends(&made, sink).await.into_values().max().unwrap();
        assert!(last.is_some(), "{sink} keeps what is written");
        for (name, until) in ends(&full, sink).await {
            assert!(until >= last, "{name} on {sink} is kept until {until:?}, and not {last:?}");
        }
    }
    assert!(ends(&full, &bench.sinks[2]).await.into_values().all(|until| until.is_none()));
}
