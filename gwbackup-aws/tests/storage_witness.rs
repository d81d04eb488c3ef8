//! S3 and KMS against emulators that others wrote, and their SDK as a witness.
//!
//! What moto cannot show: it does not refuse a wrong checksum or a disabled key, completes an
//! upload in parts onto a taken name, forgets the lock of what was written in parts, and fails when
//! it is asked for a retention; `MiniStack` is asked for those.
#![allow(clippy::unwrap_used, reason = "a failure here fails the test")]

#[path = "support/peer.rs"]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::TryStreamExt as _;
use gwbackup_aws::{Config, KmsKey, LockMode, Retention, S3Config, S3Sink};
use gwbackup_core::Context;
use gwbackup_core::clock::{Clock as _, SystemClock, Timestamp};
use gwbackup_core::crypt::{DataKey, KeyContext, KeyProvider, KeyPurpose};
use gwbackup_core::error::ErrorKind;
use gwbackup_core::sink::{Body, Lock, ObjectName, Sink, Version, VersionedSink as _, erase};
use gwbackup_core::testing::{ManualClock, conformance};
use support::Peer;
use url::Url;

const REGION: &str = "eu-central-1";

fn config(moto: &Peer) -> S3Config {
    let config = S3Config::new("backups", REGION, Config::fixed("AKIATEST", "secret"));
    config.with_endpoint(Url::parse(&moto.url).unwrap())
}

fn make_bucket(moto: &Peer, more: &str) {
    moto.ask(&format!(
        "s3.create_bucket(Bucket='backups', CreateBucketConfiguration=\
         {{'LocationConstraint': '{REGION}'}}{more})"
    ));
}

async fn put(sink: &S3Sink, name: &str, bytes: Vec<u8>) -> gwbackup_core::Result<()> {
    sink.put(&Context::new(), &ObjectName::new(name).unwrap(), &Body::from(bytes)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_emulated_bucket_keeps_the_promises_of_a_sink() {
    let Some(moto) = Peer::moto() else { return };
    make_bucket(&moto, "");
    let number = AtomicU32::new(0);
    conformance::sink(|| {
        let prefix = format!("gw/{}", number.fetch_add(1, Ordering::Relaxed));
        let sink = S3Sink::new(config(&moto).with_prefix(&prefix)).unwrap();
        async move { Arc::new(sink) as Arc<dyn Sink> }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_is_what_their_sdk_reads() {
    let Some(moto) = Peer::moto() else { return };
    make_bucket(&moto, ", ObjectLockEnabledForBucket=True");
    let key = moto.ask("print(kms.create_key()['KeyMetadata']['KeyId'])");
    let retention = Retention { mode: LockMode::Governance, days: 30 };
    let own = config(&moto).with_prefix("gw").with_kms(&key).with_retention(retention).with_hold();
    let sink = S3Sink::new(own).unwrap();
    put(&sink, "log/1.json", b"small".to_vec()).await.unwrap();
    put(&sink, "data/a.gwb", vec![7; 20 << 20]).await.unwrap();
    let seen = moto.ask(
        "for name in 'gw/log/1.json', 'gw/data/a.gwb':\n    \
             o = s3.get_object(Bucket='backups', Key=name)\n    \
             print(name, len(o['Body'].read()), o['ServerSideEncryption'], o['SSEKMSKeyId'][-36:], \
         o.get('ObjectLockMode'))\n\
         h = s3.get_object_legal_hold(Bucket='backups', Key='gw/log/1.json')\n\
         print(h['LegalHold']['Status'])",
    );
    let lines = [("gw/log/1.json", 5, "GOVERNANCE"), ("gw/data/a.gwb", 20 << 20, "None")]
        .map(|(name, size, mode)| format!("{name} {size} aws:kms {key} {mode}"));
    assert_eq!(seen, format!("{}\nON", lines.join("\n")));
    let taken = put(&sink, "log/1.json", b"small".to_vec()).await.unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AlreadyExists);
}

/// The versions of a bucket, as their SDK lists them: key, id, whether it is a marker.
const LISTED: &str = "\
def listed():
    page = s3.list_object_versions(Bucket='backups')
    rows = [(v['Key'], v['VersionId'], False) for v in page.get('Versions', [])]
    rows += [(v['Key'], v['VersionId'], True) for v in page.get('DeleteMarkers', [])]
    return sorted(f'{key} {id} {marker}' for key, id, marker in rows)
";

/// The same as the sink lists them.
async fn listed(sink: &S3Sink, cx: &Context) -> Vec<String> {
    let all: Vec<Version> = sink.versions(cx, "").try_collect().await.unwrap();
    let row = |v: &Version| {
        let marker = if v.is_marker { "True" } else { "False" };
        format!("gw/{} {} {marker}", v.name, v.id)
    };
    let mut rows: Vec<String> = all.iter().map(row).collect();
    rows.sort();
    rows
}

/// A bucket with Object Lock, and in it a version that is hidden and one that is kept until tomorrow.
async fn versions(peer: &Peer) -> (S3Sink, Context, Version) {
    make_bucket(peer, ", ObjectLockEnabledForBucket=True");
    // A failure that may pass is not waited for.
    let clock = ManualClock::auto(SystemClock.now());
    let cx = Context::new().with_clock(Arc::new(clock.clone()));
    let own = config(peer).with_prefix("gw").with_clock(Arc::new(clock));
    let sink = S3Sink::new(own).unwrap();
    let name = |text: &str| ObjectName::new(text).unwrap();
    sink.put(&cx, &name("log/1"), &Body::from(b"hidden".to_vec())).await.unwrap();
    sink.delete(&cx, &name("log/1")).await.unwrap();
    let lock = Lock::until(cx.now() + Duration::from_hours(24));
    sink.put_locked(&cx, &name("data/a"), &Body::from(b"kept".to_vec()), lock).await.unwrap();
    let kept: Vec<Version> = sink.versions(&cx, "data/a").try_collect().await.unwrap();
    let seen = peer.ask(&format!("{LISTED}\nprint('\\n'.join(listed()))"));
    assert_eq!(listed(&sink, &cx).await, seen.lines().collect::<Vec<_>>());
    assert_eq!(seen.lines().count(), 3);
    (sink, cx, kept[0].clone())
}

/// What no lock keeps is gone for their SDK, too; what one keeps is there.
async fn erased(peer: &Peer, sink: &S3Sink, cx: &Context, kept: &Version) {
    let gone = erase(cx, sink, &ObjectName::new("log/1").unwrap()).await.unwrap();
    assert_eq!((gone.deleted.len(), gone.kept.len()), (2, 0));
    let seen = peer.ask(&format!("{LISTED}\nprint('\\n'.join(listed()))"));
    assert_eq!(seen, format!("gw/data/a {} False", kept.id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_in_moto_are_those_that_their_sdk_sees() {
    let Some(moto) = Peer::moto() else { return };
    let (sink, cx, kept) = versions(&moto).await;
    erased(&moto, &sink, &cx, &kept).await;
    // It denies the deletion, and cannot say why.
    let denied = sink.delete_version(&cx, &kept).await.unwrap_err();
    assert_eq!(denied.kind(), ErrorKind::Denied);
    sink.hold(&cx, &kept, true).await.unwrap();
    let hold = "print(s3.get_object_legal_hold(Bucket='backups', Key='gw/data/a')['LegalHold'])";
    assert_eq!(moto.ask(hold), "{'Status': 'ON'}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn locks_in_ministack_are_those_that_their_sdk_sees() {
    let Some(ministack) = Peer::ministack() else { return };
    let (sink, cx, kept) = versions(&ministack).await;
    erased(&ministack, &sink, &cx, &kept).await;
    let refused = sink.delete_version(&cx, &kept).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Refused, "{refused:?}");
    let later = Timestamp::from_second(cx.now().as_second()).unwrap() + Duration::from_hours(48);
    assert_eq!(sink.extend(&cx, &kept, later).await.unwrap().until, Some(later));
    let earlier = cx.now() + Duration::from_hours(1);
    assert_eq!(sink.extend(&cx, &kept, earlier).await.unwrap().until, Some(later));
    sink.hold(&cx, &kept, true).await.unwrap();
    assert_eq!(sink.lock(&cx, &kept).await.unwrap(), Lock::until(later).with_hold());
    let seen = ministack.ask(
        "at = {'Bucket': 'backups', 'Key': 'gw/data/a'}\n\
         kept = s3.get_object_retention(**at)['Retention']\n\
         hold = s3.get_object_legal_hold(**at)['LegalHold']['Status']\n\
         print(kept['Mode'], int(kept['RetainUntilDate'].timestamp()), hold)",
    );
    assert_eq!(seen, format!("GOVERNANCE {} ON", later.as_second()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emulated_key_keeps_the_promises_of_a_provider() {
    let Some(moto) = Peer::moto() else { return };
    let at = |name: &str| {
        let key = KmsKey::new(name, REGION, Config::fixed("AKIATEST", "secret")).unwrap();
        key.with_endpoint(Url::parse(&moto.url).unwrap())
    };
    let mut make = || {
        let id = moto.ask("print(kms.create_key()['KeyMetadata']['KeyId'])");
        Box::new(at(&id)) as Box<dyn KeyProvider>
    };
    conformance::key_provider(&mut make).await;

    // Their SDK opens what was wrapped here, by the context that the format names.
    let (key, cx) = (make(), Context::new());
    let (purpose, object) = (KeyPurpose::Archive, [0xcd; 16]);
    let of = KeyContext { repository: [0xab; 32], purpose, object };
    let body = key.wrap(&cx, &DataKey::new([7; 32]), &of).await.unwrap();
    let opened = moto.ask(&format!(
        "print(kms.decrypt(CiphertextBlob=bytes({:?}), EncryptionContext={{\
         'gwbackup-repository': 'ab' * 32, 'gwbackup-purpose': 'archive', \
         'gwbackup-object': 'cd' * 16}})['Plaintext'].hex())",
        body.body()
    ));
    assert_eq!(opened, "07".repeat(32));
    let other = KeyContext { object: [0; 16], ..of };
    let recipient = key.recipient(&cx).await.unwrap();
    let error = key.unwrap(&cx, &recipient, &body, &other).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::KeyUnavailable);
}
