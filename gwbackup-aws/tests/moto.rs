//! S3 and KMS against an emulator that others wrote, and their SDK as a witness.
//!
//! What moto cannot show: it does not refuse a wrong checksum or a disabled key, and completes an
//! upload in parts onto a taken name, and forgets the lock of what was written in parts.
#![allow(clippy::unwrap_used, reason = "a failure here fails the test")]

#[path = "support/peer.rs"]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use gwbackup_aws::{Config, KmsKey, LockMode, Retention, S3Config, S3Sink};
use gwbackup_core::Context;
use gwbackup_core::crypt::{DataKey, KeyContext, KeyProvider, KeyPurpose};
use gwbackup_core::error::ErrorKind;
use gwbackup_core::sink::{Body, ObjectName, Sink};
use gwbackup_core::testing::conformance;
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
