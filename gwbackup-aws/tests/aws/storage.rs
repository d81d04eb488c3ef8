//! Roles on places for backups and on keys: what their policies allow is what their calls need.

use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use gwbackup_aws::testing::{KmsDouble, Need, S3Double, S3Fault};
use gwbackup_aws::{Config, KmsKey, LockMode, Policy, Retention, S3Config, S3Sink};
use gwbackup_core::backup::BackupReport;
use gwbackup_core::catalog::State;
use gwbackup_core::clock::Clock as _;
use gwbackup_core::crypt::{DataKey, KeyContext, KeyProvider as _, KeyPurpose};
use gwbackup_core::error::ErrorKind;
use gwbackup_core::sink::{Body, ObjectName, Sink as _, Version, erase};
use gwbackup_core::testing::{ManualClock, MemoryGateway};
use gwbackup_core::{Context, Copy, Repository};
use url::Url;

use crate::iam::{assert_exact, grants};

const KEY: &str = "arn:aws:kms:eu-central-1:123456789012:key/of-the-bucket";

struct Places {
    clock: ManualClock,
    cx: Context,
    s3: S3Double,
    kms: KmsDouble,
    arn: String,
    scratch: tempfile::TempDir,
}

impl Places {
    async fn new() -> Self {
        let clock = ManualClock::auto("2026-11-21T12:00:00Z".parse().unwrap());
        let cx = Context::new().with_clock(Arc::new(clock.clone()));
        let s3 = S3Double::builder().clock(Arc::new(clock.clone())).object_lock();
        let kms = KmsDouble::start().await.unwrap();
        let (arn, scratch) = (kms.make_key(), tempfile::tempdir().unwrap());
        Self { clock, cx, s3: s3.start().await.unwrap(), kms, arn, scratch }
    }

    /// Everything demanded that can be.
    fn config(&self) -> S3Config {
        let credentials = Config::fixed("AKIATEST", "secret");
        let config = S3Config::new(S3Double::BUCKET, S3Double::REGION, credentials);
        let config = config.with_endpoint(Url::parse(&self.s3.url()).unwrap()).with_prefix("gw");
        let retention = Retention { mode: LockMode::Governance, days: 30 };
        let config = config.with_kms(KEY).with_retention(retention).with_hold();
        config.with_clock(Arc::new(self.clock.clone()))
    }

    fn key(&self) -> Arc<KmsKey> {
        let credentials = Config::fixed("AKIATEST", "secret");
        let key = KmsKey::new(&self.arn, KmsDouble::REGION, credentials).unwrap();
        Arc::new(key.with_endpoint(Url::parse(&self.kms.url()).unwrap()))
    }

    fn copy(&self) -> Copy {
        Copy::new(Arc::new(S3Sink::new(self.config()).unwrap()))
    }

    /// Makes a repository of one copy and one key.
    async fn create(&self) {
        let new = Repository::create().copy(self.copy()).key(self.key() as _);
        new.state(self.scratch.path().join("one")).run(&self.cx).await.unwrap();
    }

    /// Opens it elsewhere; a full backup, an incremental, and the plan of its restore.
    async fn run(&self) -> BackupReport {
        let state = |name: &str| self.scratch.path().join(name);
        let gateway = MemoryGateway::kong_like();
        gateway.populate(1, 20);
        let open = Repository::builder().copy(self.copy()).key(self.key() as _);
        let repository = open.state(state("two")).open(&self.cx).await.unwrap();
        let backup = async || {
            self.clock.advance(Duration::from_mins(1));
            let run = repository.backup(Arc::new(gateway.clone()));
            run.application("shop").environment("prod").run(&self.cx).await.unwrap()
        };
        backup().await;
        gateway.populate(2, 1);
        let made = backup().await;
        assert_eq!(made.kind, "incremental", "{:?}", made.why_full);
        let latest = repository.find(&self.cx, "latest").await.unwrap();
        gateway.clear();
        let restore = repository.restore(&latest, Arc::new(gateway));
        restore.plan(&self.cx).await.unwrap();
        made
    }
}

fn allow(policies: &[Policy]) -> impl Fn(&Need) -> bool + Send + 'static {
    let grants: Vec<_> = policies.iter().flat_map(grants).collect();
    move |need| grants.iter().any(|grant| grant.allows(need))
}

#[tokio::test]
async fn a_writer_of_a_sink_needs_what_its_policy_allows() {
    let places = Places::new().await;
    let policy = Policy::sink_writer(&places.config()).unwrap();
    // Making one removes what it tried the place with: a matter of deleters.
    places.create().await;
    places.s3.guard(allow(std::slice::from_ref(&policy)));
    let before = places.s3.needs().len();
    assert!(places.run().await.warnings.is_empty());
    // An archive in parts, and one whose writer died.
    let sink = S3Sink::new(places.config()).unwrap();
    let (cx, large) = (&places.cx, Body::from(vec![7; 20 << 20]));
    sink.put(cx, &ObjectName::new("data/a.gwb").unwrap(), &large).await.unwrap();
    places.s3.faults(|method, path| {
        let completes = method == "POST" && path.contains("uploadId=");
        completes.then_some(S3Fault::Error(500, "InternalError"))
    });
    sink.put(cx, &ObjectName::new("data/b.gwb").unwrap(), &large).await.unwrap_err();
    places.clock.advance(Duration::from_hours(25));
    assert_eq!(sink.sweep(cx).await.unwrap(), 1);
    assert_exact(&policy, &places.s3.needs()[before..]);
}

#[tokio::test]
async fn who_cannot_extend_a_lock_is_told_what_that_means() {
    let places = Places::new().await;
    let policy = Policy::sink_writer(&places.config()).unwrap();
    places.create().await;
    let allowed = allow(std::slice::from_ref(&policy));
    places.s3.guard(move |need| need.action != "s3:ListBucketVersions" && allowed(need));
    let made = places.run().await;
    assert_eq!(made.status, State::Success, "it is whole");
    let [warning] = &made.warnings[..] else { panic!("one warning: {:?}", made.warnings) };
    assert!(warning.contains("may be deleted before it"), "{warning}");
}

#[tokio::test]
async fn only_a_deleter_deletes() {
    let places = Places::new().await;
    let (writer, deleter) =
        (Policy::sink_writer(&places.config()).unwrap(), Policy::sink_deleter(&places.config()));
    let (sink, name) = (S3Sink::new(places.config()).unwrap(), ObjectName::new("log/1").unwrap());
    sink.put(&places.cx, &name, &Body::from(vec![7])).await.unwrap();
    places.s3.guard(allow(std::slice::from_ref(&writer)));
    let error = sink.delete(&places.cx, &name).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert_eq!(places.s3.objects().len(), 1);
    let before = places.s3.needs().len();
    places.s3.guard(allow(&[writer.clone(), deleter.clone()]));
    sink.delete(&places.cx, &name).await.unwrap();
    assert!(places.s3.objects().is_empty());
    let writes = allow(&[writer]);
    let mut needs = places.s3.needs().split_off(before);
    needs.retain(|need| !writes(need));
    assert_exact(&deleter, &needs);
}

#[tokio::test]
async fn an_eraser_erases_and_a_keeper_keeps() {
    let places = Places::new().await;
    let (cx, config) = (&places.cx, places.config());
    let sink = S3Sink::new(config.clone()).unwrap();
    let name = ObjectName::new("log/1").unwrap();
    sink.put(cx, &name, &Body::from(b"x".to_vec())).await.unwrap();
    let versions = async || -> Vec<Version> {
        sink.versioned().unwrap().versions(cx, "log/1").try_collect().await.unwrap()
    };
    let version = versions().await.remove(0);

    let policy = Policy::sink_keeper(&config);
    places.s3.guard(allow(std::slice::from_ref(&policy)));
    let before = places.s3.needs().len();
    let own = sink.versioned().unwrap();
    let until = places.clock.now() + Duration::from_hours(24 * 60);
    assert_eq!(own.extend(cx, &version, until).await.unwrap().until, Some(until));
    own.hold(cx, &version, false).await.unwrap();
    assert_eq!(versions().await, std::slice::from_ref(&version));
    assert_exact(&policy, &places.s3.needs()[before..]);
    let denied = own.delete_version(cx, &version).await.unwrap_err();
    assert_eq!(denied.kind(), ErrorKind::Refused, "the lock is why, before any right");

    let policy = Policy::sink_eraser(&config);
    places.s3.guard(allow(std::slice::from_ref(&policy)));
    let before = places.s3.needs().len();
    let erased = erase(cx, &sink, &name).await.unwrap();
    assert_eq!((erased.deleted.len(), erased.kept.len()), (0, 1));
    places.clock.advance(Duration::from_hours(24 * 61));
    let erased = erase(cx, &sink, &name).await.unwrap();
    assert_eq!((erased.deleted.len(), erased.kept.len()), (1, 0));
    assert_exact(&policy, &places.s3.needs()[before..]);

    // A writer deletes nothing; that it may lift a hold goes with the right to set one.
    sink.put(cx, &name, &Body::from(b"x".to_vec())).await.unwrap_err();
    let writer = Policy::sink_writer(&config).unwrap();
    places.s3.guard(allow(std::slice::from_ref(&writer)));
    sink.put(cx, &name, &Body::from(b"x".to_vec())).await.unwrap();
    let erased = erase(cx, &sink, &name).await.unwrap();
    assert_eq!((erased.deleted.len(), erased.kept.len()), (0, 1));
    let own = sink.versioned().unwrap();
    own.hold(cx, &erased.kept[0].version, false).await.unwrap();
    places.clock.advance(Duration::from_hours(24 * 31));
    let denied = erase(cx, &sink, &name).await.unwrap_err();
    assert_eq!(denied.kind(), ErrorKind::Denied);
}

#[tokio::test]
async fn a_key_is_used_as_its_policies_allow() {
    let places = Places::new().await;
    places.create().await;
    places.run().await;
    let needs = places.kms.needs();
    let id = needs[0].context["kms:EncryptionContext:gwbackup-repository"].clone();
    let [writer, reader] = [Policy::key_writer, Policy::key_reader];
    for repository in [None, Some(id.as_str())] {
        let policy = writer(&places.arn, repository).and(reader(&places.arn, repository));
        assert_exact(&policy, &needs);
    }
    // Who may only wrap cannot read, and no right reaches another repository.
    let other = "00".repeat(32);
    for policies in [vec![writer(&places.arn, Some(&id))], vec![reader(&places.arn, Some(&other))]]
    {
        places.kms.guard(allow(&policies));
        let open = Repository::builder().copy(places.copy()).key(places.key() as _);
        let open = open.state(places.scratch.path().join("three"));
        let error = open.open(&places.cx).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::KeyUnavailable, "{error:?}");
    }
    // Who may make wraps anew reads none.
    let digits = |at: usize| u8::from_str_radix(&id[2 * at..2 * at + 2], 16).unwrap();
    let of = KeyContext {
        repository: std::array::from_fn(digits),
        purpose: KeyPurpose::Archive,
        object: [1; 16],
    };
    let (key, rotator) = (places.key(), Policy::key_rotator(&places.arn, Some(&id)));
    places.kms.guard(allow(&[writer(&places.arn, Some(&id))]));
    let recipient = key.recipient(&places.cx).await.unwrap();
    let body = key.wrap(&places.cx, &DataKey::new([7; 32]), &of).await.unwrap();
    places.kms.guard(allow(std::slice::from_ref(&rotator)));
    let before = places.kms.needs().len();
    key.rewrap(&places.cx, &recipient, &body, &of).await.unwrap();
    assert_exact(&rotator, &places.kms.needs()[before..]);
    let error = key.unwrap(&places.cx, &recipient, &body, &of).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::KeyUnavailable);

    assert!(places.key().recipient(&places.cx).await.is_ok(), "an ARN needs no question");
    let finder = Policy::key_finder(&places.arn);
    places.kms.guard(allow(std::slice::from_ref(&finder)));
    places.kms.set_alias("alias/backup", &places.arn);
    let before = places.kms.needs().len();
    let named = KmsKey::new("alias/backup", KmsDouble::REGION, Config::fixed("a", "b")).unwrap();
    let named = named.with_endpoint(Url::parse(&places.kms.url()).unwrap());
    named.recipient(&places.cx).await.unwrap();
    assert_exact(&finder, &places.kms.needs()[before..]);
}

#[test]
fn a_key_of_the_bucket_is_named_by_its_arn() {
    let config = S3Config::new("backups", "eu-central-1", Config::fixed("a", "b"));
    let error = Policy::sink_writer(&config.with_kms("1234")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let plain = S3Config::new("backups", "cn-north-1", Config::fixed("a", "b"));
    let found = grants(&Policy::sink_writer(&plain).unwrap());
    assert!(found.iter().all(|grant| grant.resource.starts_with("arn:aws-cn:s3:::backups")));
    assert!(!found.iter().any(|grant| grant.action.contains("Retention")));
}
