//! S3, KMS and Config against an emulator that others wrote, and their SDK as a witness.
//!
//! What moto cannot show: it records nothing of API Gateway, so that Config has seen nothing; it does not refuse a wrong checksum or a disabled key, and completes an
//! upload in parts onto a taken name, and forgets the lock of what was written in parts.
#![allow(clippy::unwrap_used, reason = "a failure here fails the test")]

#[path = "support/peer.rs"]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use gwbackup_aws::testing::{AwsDouble, ConfigDouble};
use gwbackup_aws::{Config, ConfigHistory, KmsKey, LockMode, Retention, S3Config, S3Sink};
use gwbackup_core::Context;
use gwbackup_core::clock::rfc3339;
use gwbackup_core::crypt::{DataKey, KeyContext, KeyProvider, KeyPurpose};
use gwbackup_core::error::ErrorKind;
use gwbackup_core::history::{Asked, HistoryLink as _, Linked, Missing};
use gwbackup_core::model::{Document, Handles, Id, Key, Kind, Resource};
use gwbackup_core::sink::{Body, ObjectName, Sink};
use gwbackup_core::testing::{ManualClock, conformance};
use serde_json::json;
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

fn asked(id: &str, cx: &Context) -> Asked {
    let key = Key::new(Kind::known("rest_api"), Id::new(id).unwrap());
    let resource = Resource::new(key, Document::parse("{}").unwrap());
    Asked { resource, parent: None, gateway: Handles::new(), at: cx.now() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emulated_config_is_asked_and_has_seen_nothing() {
    let Some(moto) = Peer::moto() else { return };
    let link = ConfigHistory::new(REGION, Config::fixed("AKIATEST", "secret")).unwrap();
    let link = link.with_endpoint(Url::parse(&moto.url).unwrap());
    let cx = Context::new();
    let id = moto.ask("print(client('apigateway').create_rest_api(name='pay')['id'])");
    let found = link.find(&cx, &[asked(&id, &cx)]).await.unwrap();
    assert!(matches!(found[..], [Linked::Nothing { why: Missing::Resource, .. }]), "{found:?}");
    // Its own word for it.
    let said = moto.ask(&format!(
        "c = client('config')\n\
         try:\n    c.get_resource_config_history(resourceType='AWS::ApiGateway::RestApi', \
         resourceId='arn:aws:apigateway:{REGION}::/restapis/{id}')\n\
         except c.exceptions.ResourceNotDiscoveredException:\n    print('not discovered')"
    ));
    assert_eq!(said, "not discovered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn their_sdk_reads_the_same_items_from_the_double_of_config() {
    let Some(moto) = Peer::moto() else { return };
    let clock = ManualClock::auto("2026-11-21T12:00:00Z".parse().unwrap());
    let cx = Context::new().with_clock(Arc::new(clock.clone()));
    let account = AwsDouble::builder().clock(Arc::new(clock.clone())).start().await.unwrap();
    let config = ConfigDouble::start(Arc::new(clock.clone())).await.unwrap();
    let (_, api) = account.request("POST", "/restapis", &json!({ "name": "pay" }));
    let id = api["id"].as_str().unwrap();
    let link = ConfigHistory::new(REGION, Config::fixed("AKIATEST", "secret")).unwrap();
    let link = link.with_endpoint(Url::parse(&config.url()).unwrap());
    let mut wanted = Vec::new();
    for n in 0..12 {
        config.look(&account);
        let found = link.find(&cx, &[asked(id, &cx)]).await.unwrap();
        let [Linked::Found { item: Some(item), .. }] = &found[..] else { panic!("{found:?}") };
        wanted.insert(0, format!("{} {}", rfc3339(item.captured_at), item.state));
        clock.advance(std::time::Duration::from_millis(86_400_001));
        let operation = json!({ "op": "replace", "path": "/description", "value": n.to_string() });
        let patch = json!({ "patchOperations": [operation] });
        account.request("PATCH", &format!("/restapis/{id}"), &patch);
    }
    let read = moto.ask(&format!(
        "import datetime\n\
         c = boto3.client('config', endpoint_url='{}', region_name='{REGION}', \
         aws_access_key_id='a', aws_secret_access_key='b')\n\
         pages = c.get_paginator('get_resource_config_history').paginate(\
         resourceType='AWS::ApiGateway::RestApi', \
         resourceId='arn:aws:apigateway:{REGION}::/restapis/{id}', limit=5)\n\
         for page in pages:\n    for item in page['configurationItems']:\n        \
         at = item['configurationItemCaptureTime'].astimezone(datetime.timezone.utc)\n        \
         print(at.strftime('%Y-%m-%dT%H:%M:%S.') + '%03dZ' % (at.microsecond // 1000), \
         item['configurationStateId'])",
        config.url()
    ));
    assert_eq!(read.lines().collect::<Vec<_>>(), wanted);
}
