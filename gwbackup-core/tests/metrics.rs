//! What each operation tells the recorders, and that no recorder changes what happens.

#![allow(clippy::unwrap_used, reason = "a failure here fails the test")]

mod common;
#[path = "common/scenario.rs"]
mod scenario;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use common::Bench;
use gwbackup_core::backup::{BackupReport, BackupType};
use gwbackup_core::catalog::State;
use gwbackup_core::clock::Timestamp;
use gwbackup_core::metrics::{Label, Metric, MetricsRecorder, Sample};
use gwbackup_core::model::Says;
use gwbackup_core::policy::{Drills, Objectives, Policy};
use gwbackup_core::repository::RepositoryBuilder;
use gwbackup_core::restore::RunStatus;
use gwbackup_core::sink::{ObjectName, Sink};
use gwbackup_core::source::Source;
use gwbackup_core::testing::mocks::MockMetricsRecorder;
use gwbackup_core::testing::{
    Fault, Faults, FaultySink, FaultySource, FaultyTarget, MemoryGateway, MemoryRecorder, Mood,
};
use gwbackup_core::verify::Depth;
use gwbackup_core::{Context, Copy, ErrorKind, Repository, Result};
use scenario::{Character, of_kind, options};
use serde_json::json;
use tokio_util::sync::CancellationToken;

const NOON: &str = "2026-11-21T12:00:00Z";
const SHOP: &str = "gateway=shop environment=prod";
const BUILD: &str = concat!("build_info version=", env!("CARGO_PKG_VERSION"), " 1");

/// A repository with a recorder.
struct Told {
    bench: Bench,
    recorder: MemoryRecorder,
}

impl Told {
    async fn new(copies: usize) -> Self {
        Self { bench: Bench::new(copies).await, recorder: MemoryRecorder::new() }
    }

    fn builder(&self, wrap: impl Fn(usize) -> Arc<dyn Sink>) -> RepositoryBuilder {
        let builder = Repository::builder()
            .key(Arc::clone(&self.bench.key) as _)
            .state(self.bench.directory.path().join("state"))
            .metrics(Arc::new(self.recorder.clone()));
        (0..self.bench.sinks.len()).fold(builder, |b, n| b.copy(Copy::new(wrap(n))))
    }

    fn sink(&self, n: usize) -> Arc<dyn Sink> {
        Arc::new(self.bench.sinks[n].clone())
    }

    async fn open(&self) -> Repository {
        self.open_by(Policy::default()).await
    }

    async fn open_by(&self, policy: Policy) -> Repository {
        self.builder(|n| self.sink(n)).policy(policy).open(&self.bench.cx).await.unwrap()
    }

    /// The one batch since the last look, without what stands in each.
    #[track_caller]
    fn lines(&self) -> Vec<String> {
        let mut batches = self.recorder.take();
        assert_eq!(batches.len(), 1, "told once: {batches:#?}");
        let (at, samples) = batches.remove(0);
        assert_eq!(at, self.bench.cx.now());
        let mut lines: Vec<String> = samples.iter().map(line).collect();
        assert_eq!(lines.pop().unwrap(), BUILD);
        lines
    }

    /// Seconds since noon.
    fn now(&self) -> f64 {
        self.bench.cx.now().duration_since(NOON.parse().unwrap()).as_secs_f64()
    }

    fn pass(&self, seconds: u64) {
        self.bench.clock.advance(Duration::from_secs(seconds));
    }
}

/// `name label=value ... value`, times as seconds since noon.
fn line(sample: &Sample) -> String {
    let name = sample.metric().name().strip_prefix("gwbackup_").unwrap();
    let noon: Timestamp = NOON.parse().unwrap();
    let is_time = name.ends_with("_timestamp_seconds");
    let since = if is_time { noon.as_duration().as_secs_f64() } else { 0.0 };
    let value = sample.value() - since;
    assert!(sample.labels().keys().all(|label| sample.metric().labels().contains(label)), "{name}");
    let labels = sample.labels().iter().map(|(label, text)| format!("{label}={text}"));
    [vec![name.to_owned()], labels.collect(), vec![value.to_string()]].concat().join(" ")
}

fn filled() -> MemoryGateway {
    let gateway = MemoryGateway::kong_like().with_name("origin");
    gateway.populate(1, 12);
    gateway
}

async fn take(
    repository: &Repository,
    cx: &Context,
    source: Arc<dyn Source>,
    kind: BackupType,
) -> Result<BackupReport> {
    let backup = repository.backup(source).application("shop").environment("prod");
    backup.kind(kind).run(cx).await
}

fn with<'a>(lines: &'a [String], start: &str) -> Vec<&'a str> {
    let fits = |line: &&'a str| line.split(' ').next() == Some(start);
    lines.iter().map(String::as_str).filter(fits).collect()
}

#[tokio::test]
async fn a_backup_tells_how_it_ended() {
    let told = Told::new(2).await;
    let (repository, gateway, cx) = (told.open().await, filled(), &told.bench.cx);
    told.pass(5);
    let made = take(&repository, cx, Arc::new(gateway.clone()), BackupType::Auto).await.unwrap();
    let mut wanted = vec![
        format!("backup_attempts_total {SHOP} type=full 1"),
        format!("backup_results_total {SHOP} type=full status=Success 1"),
        format!("backup_last_attempt_timestamp_seconds {SHOP} 5"),
        format!("backup_last_status {SHOP} 1"),
        format!("backup_duration_seconds {SHOP} type=full stage=all 0"),
        format!("backup_duration_seconds {SHOP} type=full stage=capture 0"),
        format!("backup_last_success_timestamp_seconds {SHOP} 5"),
    ];
    let kinds: BTreeSet<String> =
        gateway.resources().iter().map(|r| r.key.kind.to_string()).collect();
    assert!(kinds.len() > 4);
    wanted.extend(kinds.iter().map(|kind| {
        let count = of_kind(&gateway, kind).len();
        format!("backup_resources {SHOP} kind={kind} {count}")
    }));
    wanted.extend([
        format!("backup_size_bytes {SHOP} form=raw {}", made.bytes),
        format!("backup_size_bytes {SHOP} form=stored {}", made.stored_bytes),
        format!("copies_healthy {SHOP} 2"),
        format!("copies_required {SHOP} 2"),
    ]);
    assert_eq!(told.lines(), wanted);

    let made = take(&repository, cx, Arc::new(gateway), BackupType::Auto).await.unwrap();
    assert_eq!(made.kind, "incremental");
    assert!(told.lines().contains(&format!("backup_attempts_total {SHOP} type=incremental 1")));
}

#[tokio::test]
async fn only_a_success_moves_the_last_success() {
    let told = Told::new(2).await;
    let (repository, gateway, cx) = (told.open().await, Arc::new(filled()), &told.bench.cx);
    // A part that was not asked for.
    let backup = repository.backup(Arc::clone(&gateway) as _).application("shop");
    let backup = backup.environment("prod").only(["route".parse().unwrap()]);
    let made = backup.run(cx).await.unwrap();
    let lines = told.lines();
    assert_eq!(made.status, State::Partial);
    let gaps = "type=full status=Partial reason=gaps 1";
    assert!(lines.contains(&format!("backup_results_total {SHOP} {gaps}")), "{lines:#?}");
    assert!(lines.contains(&format!("backup_last_status {SHOP} 0.5")));
    let omitted = with(&lines, "backup_omitted_resources");
    assert!(
        omitted
            .contains(&&*format!("backup_omitted_resources {SHOP} kind=plugin cause=excluded 1"))
    );
    assert_eq!(omitted.len(), made.gaps.len());
    for still in ["backup_last_success_timestamp_seconds", "backup_resources"] {
        assert_eq!(with(&lines, still), [""; 0]);
    }

    // The gateway does not answer, or does not let in.
    for (fault, word) in
        [(ErrorKind::Unavailable, "unavailable"), (ErrorKind::Unauthenticated, "unauthenticated")]
    {
        told.pass(60);
        let began = told.now();
        let source =
            FaultySource::new(Arc::clone(&gateway) as _, Faults::from_nth(1, Fault::Fail(fault)));
        take(&repository, cx, Arc::new(source), BackupType::Auto).await.unwrap_err();
        let wanted = [
            format!("backup_attempts_total {SHOP} type=auto 1"),
            format!("backup_results_total {SHOP} type=auto status=Failed reason={word} 1"),
            format!("backup_last_attempt_timestamp_seconds {SHOP} {began}"),
            format!("backup_last_status {SHOP} 0"),
        ];
        assert_eq!(told.lines(), wanted);
    }

    // Somebody stops it: that is told, too.
    let token = CancellationToken::new();
    token.cancel();
    let stopped = cx.clone().with_cancellation(token);
    take(&repository, &stopped, gateway, BackupType::Full).await.unwrap_err();
    let lines = told.lines();
    let cancelled = "type=full status=Failed reason=cancelled 1";
    assert!(lines.contains(&format!("backup_results_total {SHOP} {cancelled}")), "{lines:#?}");
}

#[tokio::test]
async fn a_copy_that_is_away_is_told() {
    let told = Told::new(2).await;
    let faults =
        Faults::when(|call| (call.operation == "put").then_some(Fault::Fail(ErrorKind::Denied)));
    let broken = Arc::new(FaultySink::new(told.sink(1), faults));
    let wrap = |n| if n == 1 { Arc::clone(&broken) as Arc<dyn Sink> } else { told.sink(n) };
    let repository = told.builder(wrap).open(&told.bench.cx).await.unwrap();
    let made =
        take(&repository, &told.bench.cx, Arc::new(filled()), BackupType::Full).await.unwrap();
    assert_eq!(made.status, State::Partial);
    let lines = told.lines();
    let copies = "type=full status=Partial reason=copies 1";
    assert!(lines.contains(&format!("backup_results_total {SHOP} {copies}")), "{lines:#?}");
    assert!(lines.contains(&format!("copies_healthy {SHOP} 1")));
    assert!(lines.contains(&format!("copies_required {SHOP} 2")));
}

#[tokio::test]
async fn a_verification_tells_of_each_copy() {
    let told = Told::new(2).await;
    let (repository, cx) = (told.open().await, &told.bench.cx);
    repository.verify().run(cx).await.unwrap();
    let quiet = |sink| {
        [
            format!("scrub_corrupt_objects_total sink={sink} 0"),
            format!("scrub_healed_objects_total sink={sink} 0"),
        ]
    };
    let sinks = [0, 1].map(|n| told.sink(n).to_string());
    assert_ne!(sinks[0], sinks[1]);
    assert_eq!(
        told.lines(),
        [quiet(&sinks[0]), quiet(&sinks[1])].concat(),
        "there is no backup yet"
    );
    take(&repository, cx, Arc::new(filled()), BackupType::Full).await.unwrap();
    told.recorder.take();
    told.pass(7);
    let info = repository.find(cx, "latest").await.unwrap();

    // All of them; all of them by lot; a named one; all, and not every byte.
    let whole = |depth| vec![format!("verify_last_success_timestamp_seconds depth={depth} 7")];
    let scrubbed =
        |sink: &String| vec![format!("scrub_last_success_timestamp_seconds sink={sink} 7")];
    let [a, b] = &sinks;
    let (one, two) = (quiet(a).to_vec(), quiet(b).to_vec());
    repository.verify().depth(Depth::Full).run(cx).await.unwrap();
    let wanted = [whole("full"), one.clone(), scrubbed(a), two.clone(), scrubbed(b)].concat();
    assert_eq!(told.lines(), wanted);
    repository.verify().sample(50).run(cx).await.unwrap();
    assert_eq!(told.lines(), [whole("checksum"), one.clone(), two.clone()].concat());
    repository.verify().backup(&info).run(cx).await.unwrap();
    assert_eq!(told.lines(), [one.clone(), two.clone()].concat());
    repository.verify().depth(Depth::Manifest).run(cx).await.unwrap();
    assert_eq!(told.lines(), [whole("manifest"), one.clone(), two].concat());

    // One copy loses its archive.
    let name = ObjectName::new(&info.manifest().archive.path).unwrap();
    told.bench.sinks[1].delete(cx, &name).await.unwrap();
    repository.verify().run(cx).await.unwrap();
    let lost = |healed| {
        [
            format!("scrub_corrupt_objects_total sink={b} 1"),
            format!("scrub_healed_objects_total sink={b} {healed}"),
        ]
    };
    assert_eq!(told.lines(), [one.clone(), scrubbed(a), lost(0).to_vec()].concat());
    let report = repository.verify().heal().run(cx).await.unwrap();
    assert_eq!((report.failures.len(), report.healed.len()), (0, 1));
    let healed = lost(1).to_vec();
    assert_eq!(told.lines(), [whole("checksum"), one, scrubbed(a), healed, scrubbed(b)].concat());
}

#[tokio::test]
async fn a_restore_tells_how_it_ended_and_how_long_it_took() {
    let told = Told::new(1).await;
    let objectives = Objectives { rpo: Some("24h".parse().unwrap()), rto: None };
    let repository = told.open_by(Policy { objectives, ..Policy::default() }).await;
    let (cx, original) = (&told.bench.cx, Character::Kong.original("origin"));
    take(&repository, cx, Arc::new(original), BackupType::Full).await.unwrap();
    told.recorder.take();
    told.pass(3600);
    let info = repository.find(cx, "latest").await.unwrap();
    let plan = async |target: Arc<dyn gwbackup_core::target::Target>| {
        repository.restore(&info, target).prune(100).plan(cx).await.unwrap()
    };

    let gateway = Character::Kong.drifted("a");
    let prepared = plan(Arc::new(gateway)).await;
    assert_eq!(told.recorder.calls(), 1, "a plan tells nothing");
    let outcome = prepared.apply(cx, &options()).await.unwrap();
    assert_eq!(outcome.report.status, RunStatus::Success);
    let took = |stage: &str| format!("restore_duration_seconds {SHOP} stage={stage} 0");
    let result = |status: &str| {
        vec![
            format!("restore_attempts_total {SHOP} 1"),
            format!("restore_results_total {SHOP} status={status} 1"),
        ]
    };
    let stages = |stages: &[&str]| stages.iter().map(|stage| took(stage)).collect::<Vec<_>>();
    let all = [
        "all",
        "see that the target has not moved",
        "safety backup",
        "write",
        "read back and compare",
    ];
    let measured = vec![
        format!("rto_seconds {SHOP} 0"),
        format!("rpo_seconds {SHOP} 3600"),
        format!("rpo_target_seconds {SHOP} 86400"),
    ];
    assert_eq!(told.lines(), [result("Success"), stages(&all), measured].concat());

    // A step that fails for good.
    let target = FaultyTarget::new(Arc::new(Character::Kong.drifted("b")), once_refused());
    let outcome = plan(Arc::new(target)).await.apply(cx, &options()).await.unwrap();
    assert_eq!(outcome.report.status, RunStatus::RolledBack, "{:?}", outcome.report.failures);
    let lines = told.lines();
    assert_eq!(lines[..2], result("RolledBack"));
    assert_eq!(with(&lines, "rto_seconds"), [""; 0], "nothing was recovered");

    // The target moves while somebody thinks about it.
    let gateway = Arc::new(Character::Kong.drifted("c"));
    let prepared = plan(Arc::clone(&gateway) as _).await;
    gateway.clear();
    prepared.apply(cx, &options()).await.unwrap_err();
    assert_eq!(told.lines(), result("Failed"));
}

/// The third step is refused.
fn once_refused() -> Faults {
    let mut steps = 0;
    Faults::when(move |call| {
        steps += u32::from(call.operation == "apply");
        (call.operation == "apply" && steps == 3).then_some(Fault::Fail(ErrorKind::Invalid))
    })
}

#[tokio::test]
async fn a_run_that_is_carried_on_or_turned_round_is_told() {
    let told = Told::new(1).await;
    let repository = told.open().await;
    let (cx, gateway) = (&told.bench.cx, filled());
    take(&repository, cx, Arc::new(gateway.clone()), BackupType::Full).await.unwrap();
    let service = of_kind(&gateway, "service").remove(0).key;
    gateway.edit(|contents| contents.set(&service, "port", &json!(7)));
    let info = repository.find(cx, "latest").await.unwrap();
    let target = || Arc::new(gateway.clone());
    let prepared = repository.restore(&info, target()).plan(cx).await.unwrap();
    let run = prepared.apply(cx, &options()).await.unwrap().report.run.unwrap();
    told.recorder.take();
    repository.roll_back(cx, run, target(), &options()).await.unwrap();
    let lines = told.lines();
    assert_eq!(lines[1], format!("restore_results_total {SHOP} status=RolledBack 1"));
    assert!(lines.contains(&format!("restore_duration_seconds {SHOP} stage=roll back 0")));
    repository.resume(cx, run, target(), &options()).await.unwrap_err();
    let wanted = ["restore_attempts_total 1", "restore_results_total status=Failed 1"];
    assert_eq!(told.lines(), wanted, "of which gateway was not found out");
}

#[tokio::test]
async fn a_drill_is_told_as_a_drill_alone() {
    let told = Told::new(1).await;
    let objectives = Objectives { rpo: None, rto: Some("1h".parse().unwrap()) };
    let repository = told.open_by(Policy { objectives, ..Policy::default() }).await;
    let (cx, gateway) = (&told.bench.cx, filled());
    take(&repository, cx, Arc::new(gateway.clone()), BackupType::Full).await.unwrap();
    told.recorder.take();
    told.pass(600);
    let scratch = || Arc::new(MemoryGateway::kong_like().with_name("scratch"));
    repository.drill(scratch()).options(options()).run(cx).await.unwrap();
    let wanted = [
        format!("restore_test_results_total {SHOP} verdict=Pass 1"),
        format!("restore_test_last_success_timestamp_seconds {SHOP} 600"),
        format!("rto_seconds {SHOP} 0"),
        format!("rpo_seconds {SHOP} 600"),
        format!("rto_target_seconds {SHOP} 3600"),
    ];
    assert_eq!(told.lines(), wanted);

    let drill = repository.drill(Arc::new(gateway)).gateway("shop", "prod");
    drill.run(cx).await.unwrap_err();
    assert_eq!(told.lines(), [format!("restore_test_results_total {SHOP} verdict=NotRun 1")]);
}

#[tokio::test]
async fn an_overview_tells_how_all_stand() {
    let told = Told::new(2).await;
    let objectives = Objectives { rpo: Some("1h".parse().unwrap()), rto: None };
    let drills = Drills { every: Some("30d".parse().unwrap()), ..Drills::default() };
    let repository = told.open_by(Policy { objectives, drills, ..Policy::default() }).await;
    let (cx, gateway) = (&told.bench.cx, Arc::new(filled()));
    take(&repository, cx, Arc::clone(&gateway) as _, BackupType::Full).await.unwrap();
    let test = repository.backup(Arc::clone(&gateway) as _).application("shop");
    told.pass(10);
    test.environment("test").run(cx).await.unwrap();
    told.pass(10);
    let away = FaultySource::new(
        gateway,
        Faults::when(|call| {
            (call.operation == "read").then_some(Fault::Fail(ErrorKind::Unavailable))
        }),
    );
    take(&repository, cx, Arc::new(away), BackupType::Full).await.unwrap_err();
    told.recorder.take();
    told.pass(31 * 24 * 3600);
    repository.status(cx).await.unwrap();
    let sinks = [0, 1].map(|n| format!("sink_up sink={} 1", told.sink(n)));
    let of = |env: &str, attempt: f64, status: f64, success: f64| {
        let shop = format!("gateway=shop environment={env}");
        vec![
            format!("backup_last_attempt_timestamp_seconds {shop} {attempt}"),
            format!("backup_last_status {shop} {status}"),
            format!("backup_last_success_timestamp_seconds {shop} {success}"),
            format!("copies_healthy {shop} 2"),
            format!("copies_required {shop} 2"),
            format!("restore_test_overdue {shop} 1"),
            format!("rpo_target_seconds {shop} 3600"),
        ]
    };
    let prod = of("prod", 20.0, 0.0, 0.0);
    assert_eq!(told.lines(), [sinks.to_vec(), prod, of("test", 10.0, 1.0, 10.0)].concat());

    repository.audit(cx).await.unwrap();
    let events = repository.events(cx).await.unwrap().len();
    assert_eq!(
        told.lines(),
        ["audit_chain_ok 1".to_owned(), format!("audit_events_total {events}")]
    );
}

#[tokio::test]
async fn what_only_looks_tells_nothing() {
    let told = Told::new(1).await;
    let (repository, gateway, cx) = (told.open().await, Arc::new(filled()), &told.bench.cx);
    take(&repository, cx, Arc::clone(&gateway) as _, BackupType::Full).await.unwrap();
    told.recorder.take();
    repository.list(cx).await.unwrap();
    let info = repository.find(cx, "latest").await.unwrap();
    repository.view(cx, &info).await.unwrap();
    repository.diff(cx, &info, &info).await.unwrap();
    repository.drift(cx, Arc::clone(&gateway) as _, &info).await.unwrap();
    repository.restore(&info, gateway).plan(cx).await.unwrap();
    repository.runs(cx).await.unwrap();
    repository.events(cx).await.unwrap();
    assert_eq!(told.recorder.calls(), 1, "the backup alone");
}

#[tokio::test]
async fn a_recorder_that_fails_or_hangs_changes_nothing_but_a_warning() {
    let told = Told::new(1).await;
    let mut deaf = MockMetricsRecorder::new();
    let denied = || gwbackup_core::Error::new(ErrorKind::Denied, "not yours").help("ask for it");
    deaf.expect_record().returning(move |_, _, _| Err(denied()));
    let builder = told.builder(|n| told.sink(n)).metrics(Arc::new(deaf));
    let second = MemoryRecorder::new();
    let builder = builder.metrics(Arc::new(second.clone()) as Arc<dyn MetricsRecorder>);
    let (repository, cx) = (builder.open(&told.bench.cx).await.unwrap(), &told.bench.cx);
    let gateway = Arc::new(filled());
    let refused = "mock: the metrics were not recorded: not yours (ask for it)".to_owned();
    for (mood, said) in [
        (Mood::Away, "memory: the metrics were not recorded: it is away, as asked for"),
        (Mood::Silent, "memory: the metrics were not recorded: it did not answer in time"),
    ] {
        told.recorder.set_mood(mood);
        let began = told.now();
        let made =
            take(&repository, cx, Arc::clone(&gateway) as _, BackupType::Full).await.unwrap();
        assert_eq!(made.status, State::Success);
        assert_eq!(made.warnings, [said.to_owned(), refused.clone()]);
        let verified = repository.verify().run(cx).await.unwrap();
        assert_eq!((verified.failures.len(), verified.warnings.len()), (0, 2));
        let status = repository.status(cx).await.unwrap();
        assert!(status.warnings.contains(&refused), "{:?}", status.warnings);
        let waited = told.now() - began;
        assert!(waited <= 3.0 * 30.0 + 1.0, "{waited}");
        assert_eq!(mood == Mood::Silent, waited >= 90.0, "{waited}");
        assert_eq!(second.take().len(), 3, "others are told all the same");
    }
}

/// A whole life, and nothing that a label must not hold.
#[tokio::test]
async fn no_label_holds_an_id_or_a_secret() {
    let told = Told::new(2).await;
    let (repository, gateway, cx) = (told.open().await, filled(), &told.bench.cx);
    gateway.populate(2, 40);
    let took = take(&repository, cx, Arc::new(gateway.clone()), BackupType::Full).await.unwrap();
    let mut hidden: BTreeSet<String> = BTreeSet::from([took.name, took.state_digest]);
    for resource in gateway.resources() {
        let marks = resource.marks.iter().filter(|mark| mark.says == Says::Secret);
        hidden.extend(
            marks.filter_map(|mark| Some(resource.document.text(&mark.at.pointer)?.into_owned())),
        );
        hidden.insert(resource.key.id.to_string());
    }
    let service = of_kind(&gateway, "service").remove(0).key;
    gateway.edit(|contents| contents.set(&service, "port", &json!(7)));
    take(&repository, cx, Arc::new(gateway.clone()), BackupType::Auto).await.unwrap();
    let info = repository.find(cx, &took.id.to_string()).await.unwrap();
    let restore = repository.restore(&info, Arc::new(gateway.clone()));
    restore.plan(cx).await.unwrap().apply(cx, &options()).await.unwrap();
    let scratch = MemoryGateway::kong_like().with_name("scratch");
    let drill = repository.drill(Arc::new(scratch)).options(options());
    drill.run(cx).await.unwrap();
    let broken =
        FaultySource::new(Arc::new(gateway), Faults::from_nth(2, Fault::Fail(ErrorKind::Denied)));
    take(&repository, cx, Arc::new(broken), BackupType::Full).await.unwrap_err();
    repository.verify().depth(Depth::Full).heal().run(cx).await.unwrap();
    repository.status(cx).await.unwrap();
    repository.audit(cx).await.unwrap();
    hidden.insert(repository.id().to_string());
    hidden.extend(repository.copies().iter().map(|place| place.id.to_string()));
    for event in repository.events(cx).await.unwrap() {
        hidden.insert(event.subject.id.clone());
        hidden.insert(event.signer.to_string());
    }
    hidden.insert("test".to_owned());
    hidden.retain(|text| text.len() > 3);
    assert!(hidden.len() > 40);
    let batches = told.recorder.batches();
    assert_eq!(batches.len(), 8);
    let texts: BTreeSet<String> = batches
        .iter()
        .flat_map(|(_, samples)| {
            samples.iter().flat_map(|sample| sample.labels().values().cloned())
        })
        .collect();
    assert!(texts.len() > 20);
    for text in texts {
        let shown = hidden.iter().find(|hidden| text.contains(hidden.as_str()));
        assert_eq!(shown, None, "{text}");
    }
}

fn page(name: &str) -> String {
    let docs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    std::fs::read_to_string(docs.join(name)).unwrap()
}

#[test]
fn the_page_names_every_metric_and_label() {
    let page = page("metrics.md");
    let rows = |start: &str| {
        page.lines().filter(|line| line.starts_with(start)).map(str::to_owned).collect::<Vec<_>>()
    };
    let quoted = |labels: &[Label]| {
        labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ")
    };
    let row = |metric: &Metric| {
        let (sort, labels) = (format!("{:?}", metric.sort()), quoted(metric.labels()));
        format!("| `{metric}` | {} | {labels} | {} |", sort.to_lowercase(), metric.meaning())
    };
    assert_eq!(rows("| `gwbackup_"), Metric::ALL.iter().map(row).collect::<Vec<_>>());
    for label in Label::ALL {
        assert_eq!(
            rows(&format!("| `{label}` ")),
            [format!("| `{label}` | {} |", label.meaning())]
        );
    }
}

/// Every series that a value names, with the names of its dimensions.
fn series(value: &serde_json::Value, found: &mut Vec<(String, BTreeSet<String>)>) {
    if let (Some(name), Some(all)) = (value["MetricName"].as_str(), value["Dimensions"].as_array())
    {
        let names = all.iter().map(|one| one["Name"].as_str().unwrap().to_owned());
        found.push((name.to_owned(), names.collect()));
    }
    match value {
        serde_json::Value::Object(members) => members.values().for_each(|one| series(one, found)),
        serde_json::Value::Array(items) => items.iter().for_each(|one| series(one, found)),
        _ => {}
    }
}

#[test]
fn alarms_watch_series_that_there_are() {
    let template: serde_json::Value = serde_json::from_str(&page("alarms.json")).unwrap();
    let mut found = Vec::new();
    series(&template, &mut found);
    assert_eq!(found.len(), 7);
    for (name, dimensions) in found {
        let metric = Metric::ALL.iter().find(|metric| metric.name() == name);
        // Why not is no label of a success.
        let labels = metric.unwrap().labels().iter().filter(|label| **label != Label::Reason);
        assert_eq!(dimensions, labels.map(ToString::to_string).collect(), "{name}");
    }
}

#[test]
fn labels_are_legal_whatever_they_are_made_of() {
    let of = |text: &str| Sample::new(Metric::SinkUp, 1.0).with(Label::Sink, text);
    let value = |text: &str| of(text).labels().get(&Label::Sink).cloned();
    assert_eq!(value("a\nb\u{7f}").unwrap(), "a\u{fffd}b\u{fffd}");
    assert_eq!(value(&"\u{fc}".repeat(300)).unwrap().chars().count(), 250);
    assert_eq!(value(" \t"), None);
    assert_eq!(of("a").with(Label::Sink, "").labels().len(), 0);
}
