//! Metrics in CloudWatch: by requests to a double and to emulators of others, and by lines.
#![allow(clippy::unwrap_used, reason = "a failure here fails the test")]

#[path = "support/peer.rs"]
mod support;

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gwbackup_aws::testing::{CloudWatchDouble, Sessions};
use gwbackup_aws::{CloudWatch, Config, EmfLines, connectors};
use gwbackup_core::catalog::State;
use gwbackup_core::clock::Timestamp;
use gwbackup_core::connect::Settings;
use gwbackup_core::crypt::KeyFile;
use gwbackup_core::error::ErrorKind;
use gwbackup_core::metrics::{Label, Metric, MetricsRecorder, Sample};
use gwbackup_core::sink::MemorySink;
use gwbackup_core::testing::conformance::{MetricsFixture, Seen, metrics_recorder};
use gwbackup_core::testing::{ManualClock, MemoryGateway};
use gwbackup_core::{Context, Copy, Repository};
use serde_json::{Value, json};
use support::Peer;
use tokio_util::sync::CancellationToken;
use url::Url;

fn cloudwatch(url: &str) -> CloudWatch {
    let credentials = Config::fixed("AKIATEST", "secret");
    let own = CloudWatch::new("Shop/Backups", CloudWatchDouble::REGION, credentials).unwrap();
    own.with_endpoint(Url::parse(url).unwrap())
}

fn at_noon() -> (ManualClock, Context) {
    let clock = ManualClock::auto("2026-11-21T12:00:00Z".parse().unwrap());
    (clock.clone(), Context::new().with_clock(Arc::new(clock)))
}

fn sample(metric: Metric, value: f64) -> Sample {
    Sample::new(metric, value).with(Label::Gateway, "shop").with(Label::Environment, "prod")
}

/// The double, refusing where it is broken.
struct Cloud {
    double: CloudWatchDouble,
    recorder: CloudWatch,
}

impl MetricsFixture for Cloud {
    fn recorder(&self) -> &dyn MetricsRecorder {
        &self.recorder
    }

    fn seen(&self) -> Vec<Seen> {
        let of = |datum: gwbackup_aws::testing::Datum| Seen {
            name: datum.name,
            value: datum.value,
            labels: datum.dimensions,
            at: datum.at,
        };
        self.double.data().into_iter().map(of).collect()
    }

    fn set_broken(&self, broken: bool) {
        self.double.guard(move |_| !broken);
    }
}

#[tokio::test]
async fn cloudwatch_keeps_the_promises_of_a_recorder() {
    let double = CloudWatchDouble::start().await.unwrap();
    let recorder = cloudwatch(&double.url());
    metrics_recorder(&Cloud { double, recorder }).await;
}

/// A log that somebody reads, and that may be full.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<(Vec<u8>, bool)>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut log = self.0.lock().unwrap();
        if log.1 {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        log.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

struct Lines {
    log: Log,
    recorder: EmfLines,
}

/// What CloudWatch takes from lines, by its specification of the format.
fn extracted(text: &str) -> Vec<Seen> {
    let mut found = Vec::new();
    for line in text.lines() {
        assert!(line.len() <= 256 << 10, "{}", line.len());
        let line: Value = serde_json::from_str(line).unwrap();
        let at = line["_aws"]["Timestamp"].as_i64().unwrap();
        let directives = line["_aws"]["CloudWatchMetrics"].as_array().unwrap();
        assert_eq!(directives.len(), 1);
        assert_eq!(directives[0]["Namespace"], "Shop/Backups");
        let [dimensions] = directives[0]["Dimensions"].as_array().unwrap().as_slice() else {
            panic!("one set of dimensions: {line}")
        };
        let names: Vec<&str> =
            dimensions.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
        let text = |name: &&str| ((*name).to_owned(), line[*name].as_str().unwrap().to_owned());
        let labels: BTreeMap<String, String> = names.iter().map(text).collect();
        assert!(labels.len() == names.len() && names.len() <= 30, "{line}");
        assert!(labels.values().all(|text| text.is_ascii() && text.len() <= 1024), "{line}");
        let metrics = directives[0]["Metrics"].as_array().unwrap();
        assert!((1..=100).contains(&metrics.len()), "{line}");
        // No other member, and each name once: the root has one value for it.
        assert_eq!(line.as_object().unwrap().len(), 1 + labels.len() + metrics.len(), "{line}");
        found.extend(metrics.iter().map(|metric| {
            let name = metric["Name"].as_str().unwrap().to_owned();
            let units = ["Seconds", "Bytes", "Count", "None"];
            assert!(units.contains(&metric["Unit"].as_str().unwrap()), "{line}");
            let at = Timestamp::from_millisecond(at).unwrap();
            Seen { value: line[&name].as_f64().unwrap(), name, labels: labels.clone(), at }
        }));
    }
    found
}

impl MetricsFixture for Lines {
    fn recorder(&self) -> &dyn MetricsRecorder {
        &self.recorder
    }

    fn seen(&self) -> Vec<Seen> {
        extracted(&String::from_utf8(self.log.0.lock().unwrap().0.clone()).unwrap())
    }

    fn set_broken(&self, broken: bool) {
        self.log.0.lock().unwrap().1 = broken;
    }
}

#[tokio::test]
async fn lines_keep_the_promises_of_a_recorder() {
    let log = Log::default();
    let recorder = EmfLines::new("Shop/Backups", "a log", log.clone()).unwrap();
    metrics_recorder(&Lines { log, recorder }).await;
}

#[tokio::test]
async fn a_line_is_what_the_format_says() {
    let ((_, cx), folder) = (at_noon(), tempfile::tempdir().unwrap());
    let path = folder.path().join("metrics.log");
    let lines = EmfLines::appending("gwbackup", &path).unwrap();
    assert!(lines.to_string().starts_with("emf:///"), "{lines}");
    let batch = [
        sample(Metric::BackupAttempts, 1.0),
        sample(Metric::BackupLastStatus, 0.5),
        sample(Metric::BackupLastStatus, 1.0),
        Sample::new(Metric::AuditChainOk, 1.0),
    ];
    lines.record(&cx, cx.now(), &batch).await.unwrap();
    let first = json!({
        "_aws": {
            "Timestamp": 1_795_262_400_000_u64,
            "CloudWatchMetrics": [{
                "Namespace": "gwbackup",
                "Dimensions": [["gateway", "environment"]],
                "Metrics": [
                    { "Name": "gwbackup_backup_attempts_total", "Unit": "Count" },
                    { "Name": "gwbackup_backup_last_status", "Unit": "None" },
                ],
            }],
        },
        "gateway": "shop",
        "environment": "prod",
        "gwbackup_backup_attempts_total": 1.0,
        "gwbackup_backup_last_status": 0.5,
    });
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.ends_with('\n'));
    let written: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(written.len(), 3, "the same metric again, then other labels");
    assert_eq!(written[0], first);
    assert_eq!(written[2]["_aws"]["CloudWatchMetrics"][0]["Dimensions"], json!([[]]));
    lines.record(&cx, cx.now(), &batch).await.unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text.repeat(2), "nothing is overwritten");

    let nowhere = EmfLines::appending("gwbackup", folder.path().join("no/such/log")).unwrap();
    let error = nowhere.record(&cx, cx.now(), &batch).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.subject().unwrap().contains("no/such/log"), "{error:?}");
}

#[tokio::test]
async fn a_large_batch_takes_several_requests() {
    let (double, cx) = (CloudWatchDouble::start().await.unwrap(), Context::new());
    let own = cloudwatch(&double.url());
    let of = |n: u32, text: &str| {
        Sample::new(Metric::BackupResources, f64::from(n)).with(Label::Kind, text)
    };
    let by_number: Vec<Sample> = (0..2001).map(|n| of(n, "route")).collect();
    own.record(&cx, cx.now(), &by_number).await.unwrap();
    assert_eq!(double.requests(), [1000, 1000, 1]);
    // A megabyte is full before a thousand values are.
    let wide = "\u{1f6a2}".repeat(250);
    let by_size: Vec<Sample> = (0..1500).map(|n| of(n, &format!("{n}{wide}"))).collect();
    own.record(&cx, cx.now(), &by_size).await.unwrap();
    let sizes = double.requests().split_off(3);
    assert_eq!(sizes.iter().sum::<usize>(), 1500);
    assert!(sizes.len() == 2 && sizes[0] < 1000, "{sizes:?}");
}

#[tokio::test]
async fn what_may_pass_is_borne_and_what_is_refused_says_why() {
    let (clock, cx) = at_noon();
    let double = CloudWatchDouble::with_clock(Arc::new(clock.clone())).await.unwrap();
    let (own, batch) = (cloudwatch(&double.url()), [sample(Metric::BackupAttempts, 1.0)]);
    double.refuse([(400, "ThrottlingException"), (500, "InternalServiceFault"), (503, "")]);
    own.record(&cx, cx.now(), &batch).await.unwrap();
    assert_eq!(double.data().len(), 1);
    assert_eq!(cx.now().to_string(), "2026-11-21T12:00:07Z", "pauses of 1, 2 and 4 seconds");
    for (status, code, kind, word) in [
        (400, "ThrottlingException", ErrorKind::Unavailable, "pauses"),
        (429, "", ErrorKind::Unavailable, "pauses"),
        (500, "InternalServiceFault", ErrorKind::Unavailable, "failed"),
        (403, "AccessDenied", ErrorKind::Denied, "right"),
        (403, "InvalidClientTokenId", ErrorKind::Unauthenticated, "credentials"),
        (400, "InvalidParameterValueException", ErrorKind::Invalid, "InvalidParameterValue"),
    ] {
        let times = if kind == ErrorKind::Unavailable { 6 } else { 1 };
        double.refuse(std::iter::repeat_n((status, code), times));
        let error = own.record(&cx, cx.now(), &batch).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error:?}");
        assert!(error.message().contains(word), "{word:?} is not in {error:?}");
        assert_eq!(error.subject(), Some("cloudwatch://Shop/Backups"));
    }
    assert_eq!(double.data().len(), 1);
    // A time that the service would not take.
    let old = cx.now() - Duration::from_hours(15 * 24);
    assert_eq!(own.record(&cx, old, &batch).await.unwrap_err().kind(), ErrorKind::Invalid);
    // Whoever is stopped while it waits does not wait on.
    double.set_away(true);
    let token = CancellationToken::new();
    let still = ManualClock::new(cx.now());
    let stopped = Context::new().with_clock(Arc::new(still)).with_cancellation(token.clone());
    let at = stopped.now();
    let (ended, ()) = tokio::join!(own.record(&stopped, at, &batch), async {
        tokio::task::yield_now().await;
        token.cancel();
    });
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::Cancelled);
}

#[tokio::test]
async fn credentials_that_end_are_replaced_or_named() {
    let clock = ManualClock::auto("2026-11-21T12:00:00Z".parse().unwrap());
    let cx = Context::new().with_clock(Arc::new(clock.clone()));
    let life = Duration::from_mins(1);
    let sessions = Sessions::silent(Arc::new(clock.clone()), life);
    let double = CloudWatchDouble::with_clock(Arc::new(clock.clone())).await.unwrap();
    double.admit(&sessions);
    let own = CloudWatch::new("a", CloudWatchDouble::REGION, sessions.provider()).unwrap();
    let own = own.with_endpoint(Url::parse(&double.url()).unwrap());
    let batch = [sample(Metric::BackupAttempts, 1.0)];
    for n in 1..=5 {
        own.record(&cx, cx.now(), &batch).await.unwrap();
        assert_eq!(double.data().len(), n);
        clock.advance(Duration::from_secs(45));
    }
    sessions.set_away(true);
    clock.advance(life);
    let error = own.record(&cx, cx.now(), &batch).await.unwrap_err();
    assert_eq!(error.reason(), Some("credentials_expired"), "{error:?}");
    assert_eq!(double.data().len(), 5);
}

#[tokio::test]
async fn a_url_names_the_place() {
    let open = async |text: &str| connectors().metrics(text, &Settings::new()).await;
    let query = "region=eu-west-1&endpoint=http://127.0.0.1:1";
    for (url, name) in [
        (format!("cloudwatch://Shop/Backups?{query}"), "cloudwatch://Shop/Backups"),
        (format!("cloudwatch://one?{query}"), "cloudwatch://one"),
        (format!("cloudwatch:?{query}"), "cloudwatch://gwbackup"),
        ("emf:stderr?namespace=Shop".to_owned(), "emf:stderr"),
        ("emf:///var/log/gw.log".to_owned(), "emf:///var/log/gw.log"),
    ] {
        assert_eq!(open(&url).await.unwrap().to_string(), name);
    }
    for bad in [
        "cloudwatch://AWS/ApiGateway?region=eu-west-1",
        "cloudwatch://a?region=eu-west-1&x=1",
        "cloudwatch://a?region=eu-west-1&endpoint=nowhere",
        "emf://host/path",
        "emf:path",
        "emf:///path?namespace=a%20b",
        "emf:///path?x=1",
        "s3://bucket",
        "/var/log/gw.log",
    ] {
        let error = open(bad).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{bad}");
        assert!(error.advice().is_some(), "{bad}");
    }
}

/// A repository that tells the double and a log at once; neither is a condition of a backup.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_in_cloudwatch_and_in_the_log() {
    let (cx, folder) = (Context::new(), tempfile::tempdir().unwrap());
    let double = CloudWatchDouble::start().await.unwrap();
    let path = folder.path().join("metrics.log");
    let key = Arc::new(KeyFile::generate(folder.path().join("key"), None).unwrap());
    let copy = Copy::new(Arc::new(MemorySink::new()));
    Repository::create().copy(copy.clone()).key(Arc::clone(&key) as _).run(&cx).await.unwrap();
    let open = Repository::builder().copy(copy).key(key).spool(folder.path().join("spool"));
    let open = open.metrics(Arc::new(cloudwatch(&double.url())));
    let open = open.metrics(Arc::new(EmfLines::appending("Shop/Backups", &path).unwrap()));
    let repository = open.open(&cx).await.unwrap();
    let gateway = MemoryGateway::kong_like();
    gateway.populate(1, 20);
    let backup = async || {
        let run = repository.backup(Arc::new(gateway.clone()));
        run.application("caf\u{e9}").environment("prod").run(&cx).await.unwrap()
    };
    let made = backup().await;
    assert!(made.warnings.is_empty(), "{:?}", made.warnings);
    let data = double.data();
    let success = data.iter().find(|d| d.name == "gwbackup_backup_last_success_timestamp_seconds");
    let success = success.unwrap();
    assert_eq!(success.dimensions["gateway"], "caf\\u{e9}");
    assert_eq!(success.unit, "Seconds");
    assert!(data.iter().all(|datum| datum.namespace == "Shop/Backups"));
    let lines = extracted(&std::fs::read_to_string(&path).unwrap());
    let told = |seen: &Seen| (seen.name.clone(), seen.labels.clone(), seen.value.to_bits());
    let sent = data.iter().map(|d| (d.name.clone(), d.dimensions.clone(), d.value.to_bits()));
    assert_eq!(lines.iter().map(told).collect::<Vec<_>>(), sent.collect::<Vec<_>>());

    double.guard(|_| false);
    let made = backup().await;
    assert_eq!(made.status, State::Success);
    let [warning] = made.warnings.as_slice() else { panic!("{:?}", made.warnings) };
    assert!(warning.contains("cloudwatch:PutMetricData"), "{warning}");
    assert!(!warning.contains("secret"), "{warning}");
}

/// What boto3 sees of a metric in an emulator: name, dimensions, unit, and the sum of its values.
const LOOK: &str = "
import datetime, json
c = client('cloudwatch')
now = datetime.datetime.now(datetime.timezone.utc)
hour = datetime.timedelta(hours=1)
found = []
pages = c.get_paginator('list_metrics').paginate(Namespace='Shop/Backups')
# moto lists a metric as often as it was put.
listed = {json.dumps(m, sort_keys=True) for page in pages for m in page['Metrics']}
for metric in map(json.loads, listed):
    s = c.get_metric_statistics(Namespace='Shop/Backups', MetricName=metric['MetricName'],
        Dimensions=metric['Dimensions'], StartTime=now - hour, EndTime=now + hour, Period=7200,
        Statistics=['Sum', 'SampleCount'])['Datapoints']
    dimensions = {d['Name']: d['Value'] for d in metric['Dimensions']}
    found.append([metric['MetricName'], dimensions, s[0]['Unit'], sum(p['Sum'] for p in s), sum(p['SampleCount'] for p in s)])
print(json.dumps(sorted(found, key=json.dumps)))
";

async fn seen_by_boto(peer: Option<Peer>) {
    let Some(peer) = peer else { return };
    let (own, cx) = (cloudwatch(&peer.url), Context::new());
    let of = |metric, value, gateway| Sample::new(metric, value).with(Label::Gateway, gateway);
    let batch = [
        of(Metric::BackupAttempts, 1.0, "shop"),
        of(Metric::BackupAttempts, 2.0, "shop"),
        of(Metric::BackupAttempts, 4.0, "caf\u{e9}"),
        of(Metric::BackupSize, 1_234_567.0, "shop").with(Label::Form, "raw"),
        Sample::new(Metric::ScrubLastSuccess, 1_795_262_400.25).with(Label::Sink, "s3://a/b?c=d&e"),
        Sample::new(Metric::AuditChainOk, 0.0),
    ];
    own.record(&cx, cx.now(), &batch).await.unwrap();
    let many: Vec<Sample> = (0..1500_u32)
        .map(|n| of(Metric::BackupResources, f64::from(n), "shop").with(Label::Kind, "route"))
        .collect();
    own.record(&cx, cx.now(), &many).await.unwrap();
    let seen: Value = serde_json::from_str(&peer.ask(LOOK)).unwrap();
    let wanted = json!([
        ["gwbackup_audit_chain_ok", {}, "None", 0.0, 1.0],
        ["gwbackup_backup_attempts_total", { "gateway": "caf\\u{e9}" }, "Count", 4.0, 1.0],
        ["gwbackup_backup_attempts_total", { "gateway": "shop" }, "Count", 3.0, 2.0],
        ["gwbackup_backup_resources", { "gateway": "shop", "kind": "route" }, "None", 1_124_250.0, 1500.0],
        ["gwbackup_backup_size_bytes", { "form": "raw", "gateway": "shop" }, "Bytes", 1_234_567.0, 1.0],
        ["gwbackup_scrub_last_success_timestamp_seconds", { "sink": "s3://a/b?c=d&e" }, "Seconds", 1_795_262_400.25, 1.0],
    ]);
    let sorted = |value: &Value| {
        let mut rows: Vec<String> =
            value.as_array().unwrap().iter().map(Value::to_string).collect();
        rows.sort();
        rows
    };
    assert_eq!(sorted(&seen), sorted(&wanted));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn boto3_sees_them_in_moto() {
    seen_by_boto(Peer::moto()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn boto3_sees_them_in_ministack() {
    seen_by_boto(Peer::ministack()).await;
}
