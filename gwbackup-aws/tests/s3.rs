//! S3 as a place for backups, against the double.
#![allow(clippy::unwrap_used, reason = "a failure here fails the test")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::TryStreamExt as _;
use gwbackup_aws::testing::{S3Double, S3DoubleBuilder, S3Fault};
use gwbackup_aws::{Config, LockMode, Retention, S3Config, S3Sink};
use gwbackup_core::clock::Clock as _;
use gwbackup_core::connect::Settings;
use gwbackup_core::error::ErrorKind;
use gwbackup_core::sink::{
    Body, Listed, Lock, ObjectName, Sink, Spool, Version, VersionedSink as _, erase, put_once,
};
use gwbackup_core::testing::{ManualClock, conformance};
use gwbackup_core::{Context, Result};
use url::Url;

fn config(double: &S3Double) -> S3Config {
    let credentials = Config::fixed("AKIATEST", "secret");
    let config = S3Config::new(S3Double::BUCKET, S3Double::REGION, credentials);
    config.with_endpoint(Url::parse(&double.url()).unwrap())
}

fn clock() -> ManualClock {
    ManualClock::auto("2026-11-21T12:00:00Z".parse().unwrap())
}

/// A double and a context on one clock, which moves by itself.
async fn world(builder: S3DoubleBuilder) -> (S3Double, Context, ManualClock) {
    let clock = clock();
    let double = builder.clock(Arc::new(clock.clone())).start().await.unwrap();
    (double, Context::new().with_clock(Arc::new(clock.clone())), clock)
}

fn name(text: &str) -> ObjectName {
    ObjectName::new(text).unwrap()
}

async fn put(sink: &S3Sink, cx: &Context, text: &str, bytes: &[u8]) -> Result<()> {
    sink.put(cx, &name(text), &Body::from(bytes.to_vec())).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_bucket_keeps_the_promises_of_a_sink() {
    for builder in [S3Double::builder, || S3Double::builder().versions()] {
        let double = builder().start().await.unwrap();
        let number = AtomicU32::new(0);
        conformance::sink(|| {
            let prefix = format!("gw/{}", number.fetch_add(1, Ordering::Relaxed));
            let sink = S3Sink::new(config(&double).with_prefix(&prefix)).unwrap();
            async move { Arc::new(sink) as Arc<dyn Sink> }
        })
        .await;
        assert_eq!(double.uploads(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_writers_of_one_name_are_told_apart_even_when_the_store_is_busy() {
    let (double, cx, clock) = world(S3Double::builder()).await;
    let mut asked = 0;
    double.faults(move |method, _| {
        asked += u32::from(method == "PUT");
        (method == "PUT" && asked == 1).then_some(S3Fault::Error(409, "ConditionalRequestConflict"))
    });
    let sink = S3Sink::new(config(&double).with_clock(Arc::new(clock))).unwrap();
    put(&sink, &cx, "log/1", b"first").await.unwrap();
    let refusal = put(&sink, &cx, "log/1", b"first").await.unwrap_err();
    assert_eq!(refusal.kind(), ErrorKind::AlreadyExists);
    assert_eq!(double.objects()["log/1"], b"first"[..]);
}

#[tokio::test]
async fn large_objects_go_in_parts_and_never_replace() {
    let (double, cx, clock) = world(S3Double::builder()).await;
    let sink = S3Sink::new(config(&double).with_clock(Arc::new(clock)).with_prefix("gw")).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..40_u32 << 20).map(|n| (n / 4099 % 251) as u8).collect();
    let mut spool = Spool::create(scratch.path()).unwrap();
    std::io::Write::write_all(&mut spool, &bytes).unwrap();
    let body = Body::from(spool.finish());

    sink.put(&cx, &name("data/a.gwb"), &body).await.unwrap();
    assert!(double.objects()["gw/data/a.gwb"] == bytes, "the parts make another object");
    let parts = double.calls().iter().filter(|call| call.contains("partNumber=")).count();
    assert_eq!(parts, 3);

    // Taken while the parts were under way: the completion is refused, and leaves nothing.
    let (other, late) = (double.url(), name("data/b.gwb"));
    assert!(other.starts_with("http://127.0.0.1:"));
    let double = Arc::new(double);
    let hand = Arc::downgrade(&double);
    double.faults(move |method, path| {
        if method == "PUT" && path.contains("partNumber=2") {
            hand.upgrade().unwrap().put("gw/data/b.gwb", "theirs");
        }
        None
    });
    let refusal = sink.put(&cx, &late, &body).await.unwrap_err();
    assert_eq!(refusal.kind(), ErrorKind::AlreadyExists, "{refusal:?}");
    assert_eq!(double.objects()["gw/data/b.gwb"], b"theirs"[..]);
    assert_eq!(double.uploads(), 0);
}

#[tokio::test]
async fn what_dead_writers_left_is_swept_after_a_day_of_silence() {
    let (double, cx, clock) = world(S3Double::builder()).await;
    let config = config(&double).with_clock(Arc::new(clock.clone()));
    let sink = S3Sink::new(config.clone().with_prefix("gw")).unwrap();
    let neighbour = S3Sink::new(config.with_prefix("gwx")).unwrap();
    // The completion fails for as long as the writer cares to try.
    double.faults(|method, path| {
        let completes = method == "POST" && path.contains("uploadId=");
        completes.then_some(S3Fault::Error(500, "InternalError"))
    });
    let body = Body::from(vec![7; 20 << 20]);
    for sink in [&sink, &neighbour] {
        let failure = sink.put(&cx, &name("data/a.gwb"), &body).await.unwrap_err();
        assert_eq!(failure.kind(), ErrorKind::Unavailable, "{failure:?}");
    }
    assert_eq!(double.uploads(), 2);
    assert_eq!(sink.sweep(&cx).await.unwrap(), 0, "the writer may live");
    clock.advance(Duration::from_hours(25));
    assert_eq!(sink.sweep(&cx).await.unwrap(), 1);
    assert_eq!(double.uploads(), 1, "a neighbour's upload is not ours");
}

#[tokio::test]
async fn a_lost_answer_is_not_taken_for_somebody_elses_object() {
    let (double, cx, clock) = world(S3Double::builder()).await;
    let sink = S3Sink::new(config(&double).with_clock(Arc::new(clock))).unwrap();
    let mut puts = 0;
    double.faults(move |method, _| {
        puts += u32::from(method == "PUT");
        (method == "PUT" && puts % 2 == 1).then_some(S3Fault::LoseAnswer)
    });
    let unsure = put(&sink, &cx, "log/1", b"mine").await.unwrap_err();
    assert_eq!(unsure.kind(), ErrorKind::Unavailable);
    put_once(&sink, &cx, &name("log/2"), &Body::from(b"mine".to_vec())).await.unwrap();
    assert_eq!(double.objects().len(), 2);
}

#[tokio::test]
async fn pauses_are_taken_and_failures_keep_their_reason() {
    let (double, cx, clock) = world(S3Double::builder()).await;
    let sink = S3Sink::new(config(&double).with_clock(Arc::new(clock.clone()))).unwrap();
    put(&sink, &cx, "log/1", b"x").await.unwrap();
    let begun = clock.now();
    let mut left = 3;
    double.faults(move |_, _| {
        left -= 1;
        (left >= 0).then_some(S3Fault::Error(503, "SlowDown"))
    });
    assert_eq!(sink.get(&cx, &name("log/1"), None).await.unwrap(), b"x"[..]);
    assert_eq!(clock.now().duration_since(begun).as_secs(), 1 + 2 + 4);

    for (status, code, kind, word) in [
        (403, "AccessDenied", ErrorKind::Denied, "AccessDenied"),
        (403, "SignatureDoesNotMatch", ErrorKind::Unauthenticated, "credentials"),
        (400, "ExpiredToken", ErrorKind::Unauthenticated, "expired"),
        (404, "NoSuchBucket", ErrorKind::NotFound, "bucket"),
        (500, "InternalError", ErrorKind::Unavailable, "InternalError"),
    ] {
        double.faults(move |_, _| Some(S3Fault::Error(status, code)));
        let error = sink.get(&cx, &name("log/1"), None).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error:?}");
        assert!(error.message().contains(word), "{error:?}");
        let listed: Result<Vec<Listed>> = sink.list(&cx, "").try_collect().await;
        assert_eq!(listed.unwrap_err().kind(), kind);
        let error = put(&sink, &cx, "log/2", b"x").await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error:?}");
    }
}

#[tokio::test]
async fn encryption_is_demanded_and_checked() {
    let (double, cx, clock) = world(S3Double::builder()).await;
    let own = |double: &S3Double| {
        config(double).with_clock(Arc::new(clock.clone())).with_kms("abcd-1234")
    };
    let sink = S3Sink::new(own(&double)).unwrap();
    put(&sink, &cx, "log/1", b"x").await.unwrap();
    let headers = double.headers("log/1");
    assert_eq!(headers["x-amz-server-side-encryption"], "aws:kms");
    assert!(headers["x-amz-server-side-encryption-aws-kms-key-id"].ends_with(":key/abcd-1234"));

    for builder in [S3Double::builder(), S3Double::builder().versions()] {
        let lax = builder.without_encryption().start().await.unwrap();
        let sink = S3Sink::new(own(&lax)).unwrap();
        let error = put(&sink, &cx, "log/1", b"x").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused);
        let large = Body::from(vec![7; 20 << 20]);
        let error = sink.put(&cx, &name("data/a.gwb"), &large).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused);
        assert_eq!(lax.versions(), 0, "nothing stays that is not encrypted");
    }
}

#[tokio::test]
async fn retention_and_hold_go_with_every_object() {
    let (double, cx, clock) = world(S3Double::builder().object_lock()).await;
    let retention = Retention { mode: LockMode::Compliance, days: 30 };
    let locked = config(&double).with_clock(Arc::new(clock)).with_retention(retention);
    let sink = S3Sink::new(locked.with_hold()).unwrap();
    put(&sink, &cx, "log/1", b"x").await.unwrap();
    sink.put(&cx, &name("data/a.gwb"), &Body::from(vec![7; 20 << 20])).await.unwrap();
    let expected: BTreeMap<String, String> = [
        ("x-amz-object-lock-legal-hold", "ON"),
        ("x-amz-object-lock-mode", "COMPLIANCE"),
        ("x-amz-object-lock-retain-until-date", "2026-12-21T12:00:00.000Z"),
        ("x-amz-server-side-encryption", "AES256"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    assert_eq!(double.headers("log/1"), expected);
    assert_eq!(double.headers("data/a.gwb"), expected);
    // A bucket that cannot keep them refuses them.
    let plain = S3Double::start().await.unwrap();
    let sink = S3Sink::new(config(&plain).with_retention(retention)).unwrap();
    assert_eq!(put(&sink, &cx, "a", b"x").await.unwrap_err().kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn a_locked_bucket_keeps_the_promises_of_versions() {
    let (double, _, clock) = world(S3Double::builder().object_lock()).await;
    let number = AtomicU32::new(0);
    conformance::versioned_sink(|| async {
        let prefix = format!("gw/{}", number.fetch_add(1, Ordering::Relaxed));
        let own = config(&double).with_clock(Arc::new(clock.clone())).with_prefix(&prefix);
        (Arc::new(S3Sink::new(own).unwrap()) as Arc<dyn Sink>, clock.clone())
    })
    .await;
}

#[tokio::test]
async fn a_lock_is_never_weakened_and_a_deletion_is_proven() {
    let (double, cx, clock) = world(S3Double::builder().object_lock()).await;
    let own = |mode| {
        let config = config(&double).with_clock(Arc::new(clock.clone()));
        S3Sink::new(config.with_lock_mode(mode)).unwrap()
    };
    let (strict, lax) = (own(LockMode::Compliance), own(LockMode::Governance));
    let (day, object) = (Duration::from_hours(24), name("data/a.gwb"));
    let large = Body::from(vec![7; 20 << 20]);
    let lock = Lock::until(clock.now() + day).with_hold();
    strict.put_locked(&cx, &object, &large, lock).await.unwrap();
    let headers = double.headers("data/a.gwb");
    assert_eq!(headers["x-amz-object-lock-mode"], "COMPLIANCE");
    assert_eq!(headers["x-amz-object-lock-legal-hold"], "ON");
    let versions: Vec<Version> = lax.versions(&cx, "").try_collect().await.unwrap();
    let [version] = &versions[..] else { panic!("one version: {versions:?}") };
    lax.extend(&cx, version, clock.now() + day * 2).await.unwrap();
    assert_eq!(double.headers("data/a.gwb")["x-amz-object-lock-mode"], "COMPLIANCE");
    lax.hold(&cx, version, false).await.unwrap();
    let error = lax.delete_version(&cx, version).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.message().contains("2026-11-23T12:00:00.000Z"), "{error:?}");

    clock.advance(day * 3);
    let mut lost = false;
    double.faults(move |method, _| {
        let lose = method == "DELETE" && !std::mem::replace(&mut lost, method == "DELETE");
        lose.then_some(S3Fault::LoseAnswer)
    });
    let receipt = lax.delete_version(&cx, version).await.unwrap();
    assert_eq!(receipt.version.as_ref(), Some(&version.id));
    assert_eq!(receipt.at, cx.now());
    assert!(receipt.request.is_some_and(|id| id.starts_with("REQUEST")), "the store's own name");
    assert_eq!(double.versions(), 0);

    // A bucket without Object Lock keeps one version and no lock.
    let plain = S3Double::start().await.unwrap();
    let sink = S3Sink::new(config(&plain).with_clock(Arc::new(clock.clone()))).unwrap();
    put(&sink, &cx, "log/1", b"x").await.unwrap();
    let refused = sink.put_locked(&cx, &name("log/2"), &vec![1].into(), lock).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Invalid);
    let versions: Vec<Version> = sink.versions(&cx, "").try_collect().await.unwrap();
    assert_eq!(sink.lock(&cx, &versions[0]).await.unwrap(), Lock::default());
    let gone = erase(&cx, &sink, &name("log/1")).await.unwrap();
    assert_eq!((gone.deleted.len(), plain.versions()), (1, 0));
}

#[tokio::test]
async fn a_call_locks_by_its_own_mode_and_never_by_a_weaker_one() {
    use LockMode::{Compliance, Governance};
    let (double, cx, clock) = world(S3Double::builder().object_lock()).await;
    for (n, (every, call, locked)) in [
        (Governance, Compliance, "COMPLIANCE"),
        (Compliance, Governance, "COMPLIANCE"),
        (Governance, Governance, "GOVERNANCE"),
    ]
    .into_iter()
    .enumerate()
    {
        let own = config(&double).with_clock(Arc::new(clock.clone())).with_lock_mode(call);
        let own = own.with_retention(Retention { mode: every, days: 1 });
        let sink = S3Sink::new(own).unwrap();
        let (plain, asked) = (format!("log/{n}"), format!("data/{n}"));
        put(&sink, &cx, &plain, b"x").await.unwrap();
        let lock = Lock::until(clock.now() + Duration::from_hours(48));
        sink.put_locked(&cx, &name(&asked), &vec![1].into(), lock).await.unwrap();
        let mode = |key: &str| double.headers(key)["x-amz-object-lock-mode"].clone();
        assert_eq!((mode(&plain).as_str(), mode(&asked).as_str()), (every.as_str(), locked));
    }
}

#[tokio::test]
async fn a_url_says_it_all() {
    let open =
        async |text: &str| S3Config::from_url(&Url::parse(text).unwrap(), &Settings::new()).await;
    for (bad, word) in [
        ("s3:///prefix?region=eu-central-1", "bucket"),
        ("s3://backups?region=eu-central-1&colour=red", "colour"),
        ("s3://backups?region=eu-central-1&lock=forever&days=1", "lock"),
        ("s3://backups?region=eu-central-1&lock=governance", "days"),
        ("s3://backups?region=eu-central-1&lock=governance&days=0", "days"),
        ("s3://backups?region=EU", "region"),
    ] {
        let error = open(bad).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{bad}");
        assert!(error.message().contains(word), "{bad}: {error:?}");
        assert!(error.subject().is_some(), "{bad}");
    }
}
