//! KMS as a holder of keys, against the double.
#![allow(clippy::unwrap_used, reason = "a failure here fails the test")]

use std::sync::Arc;
use std::time::Duration;

use gwbackup_aws::testing::{KmsDouble, KmsState, S3Double, Sessions};
use gwbackup_aws::{Config, KmsKey, S3Config, S3Sink};
use gwbackup_core::crypt::{DataKey, KeyContext, KeyFile, KeyProvider, KeyPurpose, Right};
use gwbackup_core::error::ErrorKind;
use gwbackup_core::restore::ApplyOptions;
use gwbackup_core::sink::{Body, ObjectName, Sink as _};
use gwbackup_core::testing::{ManualClock, MemoryGateway, conformance};
use gwbackup_core::verify::Depth;
use gwbackup_core::{Context, Copy, Repository};
use serde_json::json;
use url::Url;

const OF: KeyContext =
    KeyContext { repository: [0xab; 32], purpose: KeyPurpose::Archive, object: [0xcd; 16] };

fn key(double: &KmsDouble, name: &str) -> KmsKey {
    let key = KmsKey::new(name, KmsDouble::REGION, Config::fixed("AKIATEST", "secret")).unwrap();
    key.with_endpoint(Url::parse(&double.url()).unwrap())
}

fn context() -> Context {
    let clock = ManualClock::auto("2026-11-21T12:00:00Z".parse().unwrap());
    Context::new().with_clock(Arc::new(clock))
}

#[tokio::test]
async fn a_key_of_kms_keeps_the_promises_of_a_provider() {
    let double = KmsDouble::start().await.unwrap();
    let mut make = || {
        let arn = double.make_key();
        Box::new(key(&double, &arn)) as Box<dyn KeyProvider>
    };
    conformance::key_provider(&mut make).await;
}

#[tokio::test]
async fn wraps_are_bound_to_repository_purpose_and_object() {
    let (double, cx) = (KmsDouble::start().await.unwrap(), context());
    let key = key(&double, &double.make_key());
    let recipient = key.recipient(&cx).await.unwrap();
    let body = key.wrap(&cx, &DataKey::new([7; 32]), &OF).await.unwrap();
    let (operation, said) = double.calls().pop().unwrap();
    assert_eq!(operation, "Encrypt");
    assert_eq!(
        said,
        json!({
            "gwbackup-repository": "ab".repeat(32),
            "gwbackup-purpose": "archive",
            "gwbackup-object": "cd".repeat(16),
        })
    );
    for other in [
        KeyContext { repository: [0; 32], ..OF },
        KeyContext { purpose: KeyPurpose::Secrets, ..OF },
        KeyContext { object: [0; 16], ..OF },
    ] {
        let error = key.unwrap(&cx, &recipient, &body, &other).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::KeyUnavailable);
        assert!(error.message().contains("does not open"), "{error:?}");
    }
    assert_eq!(key.unwrap(&cx, &recipient, &body, &OF).await.unwrap().expose(), &[7; 32]);
}

#[tokio::test]
async fn a_key_that_does_not_serve_says_why() {
    let (double, cx) = (KmsDouble::start().await.unwrap(), context());
    let arn = double.make_key();
    let key = key(&double, &arn);
    let recipient = key.recipient(&cx).await.unwrap();
    let body = key.wrap(&cx, &DataKey::new([7; 32]), &OF).await.unwrap();
    let fails = async |word: &str| {
        let wrapped = key.wrap(&cx, &DataKey::new([7; 32]), &OF).await.map(drop);
        let opened = key.unwrap(&cx, &recipient, &body, &OF).await.map(drop);
        for error in [wrapped.unwrap_err(), opened.unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::KeyUnavailable, "{error:?}");
            assert!(error.message().contains(word), "{word:?} is not in {error:?}");
            assert!(error.subject().unwrap().contains(&arn));
            assert!(error.advice().is_some());
        }
    };
    double.set_state(&arn, KmsState::Disabled);
    fails("disabled").await;
    double.set_state(&arn, KmsState::PendingDeletion);
    fails("deletion").await;
    double.set_state(&arn, KmsState::Enabled);
    for (code, word) in [
        ("ThrottlingException", "pauses"),
        ("AccessDeniedException", "right"),
        ("NotFoundException", "no such key"),
        ("ExpiredTokenException", "expired"),
    ] {
        let times = if code == "ThrottlingException" { 12 } else { 2 };
        double.refuse(std::iter::repeat_n((400, code), times));
        fails(word).await;
    }
    // A pause is borne.
    double.refuse([(400, "ThrottlingException"), (500, "KMSInternalException")]);
    assert_eq!(key.unwrap(&cx, &recipient, &body, &OF).await.unwrap().expose(), &[7; 32]);
}

#[tokio::test]
async fn an_alias_and_an_id_are_the_key_that_they_name() {
    let (double, cx) = (KmsDouble::start().await.unwrap(), context());
    let arn = double.make_key();
    double.set_alias("alias/backup", &arn);
    let own = key(&double, &arn).recipient(&cx).await.unwrap();
    let id = arn.rsplit('/').next().unwrap();
    for name in [id, "alias/backup"] {
        let same = key(&double, name);
        assert_eq!(same.recipient(&cx).await.unwrap(), own);
        let body = same.wrap(&cx, &DataKey::new([7; 32]), &OF).await.unwrap();
        assert_eq!(body.key(), Some(arn.as_str()));
    }
    let asked = double.calls().iter().filter(|(name, _)| name == "DescribeKey").count();
    assert_eq!(asked, 2, "each asks once");
}

#[tokio::test]
async fn a_url_names_the_key() {
    let open = async |text: &str| KmsKey::from_url(&Url::parse(text).unwrap()).await;
    let arn = "arn:aws:kms:eu-west-1:1:key/a";
    let key = open(&format!("awskms:///{arn}?rights=content,meta")).await.unwrap();
    assert_eq!(key.address(), format!("awskms://{arn}"));
    let recipient = key.recipient(&Context::new()).await.unwrap();
    assert_eq!(recipient.rights, [Right::Content, Right::Meta]);
    let key = open("awskms://alias/backup?region=eu-west-1").await.unwrap();
    assert_eq!(key.address(), "awskms://alias/backup");
    for bad in ["awskms://?region=eu-west-1", "awskms:///arn:aws", "awskms://k?region=eu&x=1"] {
        assert_eq!(open(bad).await.unwrap_err().kind(), ErrorKind::Invalid, "{bad}");
    }
}

/// Bucket and key of the cloud, a gateway in memory: the whole way, and both keys open alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repository_lives_in_s3_with_its_keys_in_kms() {
    let cx = context();
    let (s3, kms) = (S3Double::start().await.unwrap(), KmsDouble::start().await.unwrap());
    let scratch = tempfile::tempdir().unwrap();
    let arn = kms.make_key();
    let (cloud, file) = (
        Arc::new(key(&kms, &arn)),
        Arc::new(KeyFile::generate(scratch.path().join("key"), None).unwrap()),
    );
    let copy = || {
        let credentials = Config::fixed("AKIATEST", "secret");
        let config = S3Config::new(S3Double::BUCKET, S3Double::REGION, credentials);
        let config = config.with_endpoint(Url::parse(&s3.url()).unwrap()).with_prefix("acme/gw");
        Copy::new(Arc::new(S3Sink::new(config).unwrap()))
    };
    let state = |name: &str| scratch.path().join(name);
    let new = Repository::create().copy(copy()).state(state("one"));
    new.key(Arc::clone(&cloud) as _).key(Arc::clone(&file) as _).run(&cx).await.unwrap();
    let gateway = MemoryGateway::kong_like();
    gateway.populate(1, 50);
    let before = gateway.resources();

    // A fresh machine, and KMS alone proves that the bucket holds the right repository.
    let open = Repository::builder().copy(copy()).state(state("two"));
    let repository = open.key(Arc::clone(&cloud) as _).open(&cx).await.unwrap();
    let run = repository.backup(Arc::new(gateway.clone())).application("shop").environment("prod");
    // The key file is not here: its owner is told.
    let made = run.run(&cx).await.unwrap();
    assert!(made.resources >= 50);
    gateway.clear();
    let latest = repository.find(&cx, "latest").await.unwrap();
    let checked = repository.verify().backup(&latest).depth(Depth::Full).run(&cx).await.unwrap();
    assert!(checked.failures.is_empty(), "{:?}", checked.failures);
    let plan = repository.restore(&latest, Arc::new(gateway.clone())).plan(&cx).await.unwrap();
    let outcome = plan.apply(&cx, &ApplyOptions::default()).await.unwrap();
    assert_eq!(outcome.report.compare.different, 0);
    assert_eq!(gateway.resources().len(), before.len());
    assert!(s3.objects().keys().all(|name| name.starts_with("acme/gw/")));

    // A key that is switched off does not open, and says why.
    kms.set_state(&arn, KmsState::Disabled);
    let open = Repository::builder().copy(copy()).state(state("three"));
    let error = open.key(cloud).open(&cx).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::KeyUnavailable, "{error:?}");
    assert!(error.message().contains("disabled"), "{error:?}");
}

/// Both services judge credentials of a minute; told of their end, and not.
#[tokio::test]
async fn credentials_that_end_are_replaced_or_named() {
    let clock = ManualClock::auto("2026-11-21T12:00:00Z".parse().unwrap());
    let cx = Context::new().with_clock(Arc::new(clock.clone()));
    let life = Duration::from_mins(1);
    let shared = || Arc::new(clock.clone()) as _;
    for sessions in [Sessions::new(shared(), life), Sessions::silent(shared(), life)] {
        let (s3, kms) = (S3Double::start().await.unwrap(), KmsDouble::start().await.unwrap());
        s3.admit(&sessions);
        kms.admit(&sessions);
        let key = KmsKey::new(&kms.make_key(), KmsDouble::REGION, sessions.provider()).unwrap();
        let key = key.with_endpoint(Url::parse(&kms.url()).unwrap());
        let config = S3Config::new(S3Double::BUCKET, S3Double::REGION, sessions.provider());
        let config = config.with_endpoint(Url::parse(&s3.url()).unwrap());
        let sink = S3Sink::new(config.with_clock(Arc::new(clock.clone()))).unwrap();
        let name = |n: u32| ObjectName::new(&format!("log/{n}")).unwrap();
        for n in 0..10 {
            sink.put(&cx, &name(n), &Body::from(vec![7])).await.unwrap();
            key.wrap(&cx, &DataKey::new([7; 32]), &OF).await.unwrap();
            clock.advance(Duration::from_secs(25));
        }
        assert!((8..=12).contains(&sessions.given_out()), "{}", sessions.given_out());
        sessions.set_away(true);
        clock.advance(life);
        let put = sink.put(&cx, &name(11), &Body::from(vec![7])).await.unwrap_err();
        let head = sink.head(&cx, &name(1)).await.map(drop);
        let wrap = key.wrap(&cx, &DataKey::new([7; 32]), &OF).await.map(drop);
        let kinds = [put.kind(), wrap.as_ref().unwrap_err().kind()];
        assert_eq!(kinds, [ErrorKind::Unauthenticated, ErrorKind::KeyUnavailable]);
        for error in [put, wrap.unwrap_err()] {
            assert_eq!(error.reason(), Some("credentials_expired"), "{error:?}");
        }
        // A HEAD that is refused says nothing, and its answer is no proof of an absence.
        assert_ne!(head.unwrap_err().kind(), ErrorKind::NotFound);
        assert!(!s3.objects().contains_key("log/11"));
        sessions.set_away(false);
        sink.head(&cx, &name(1)).await.unwrap();
    }
}
