//! Config in an emulator that others wrote, and their SDK as a witness of the double.
//!
//! What moto cannot show: it records nothing of API Gateway, so that its Config has seen nothing.
//! `MiniStack` has none.
#![allow(clippy::unwrap_used, reason = "a failure here fails the test")]

#[path = "support/peer.rs"]
mod support;

use std::sync::Arc;

use gwbackup_aws::testing::{AwsDouble, ConfigDouble};
use gwbackup_aws::{Config, ConfigHistory};
use gwbackup_core::Context;
use gwbackup_core::clock::rfc3339;
use gwbackup_core::history::{Asked, HistoryLink as _, Linked, Missing};
use gwbackup_core::model::{Document, Handles, Id, Key, Kind, Resource};
use gwbackup_core::testing::ManualClock;
use serde_json::json;
use support::Peer;
use url::Url;

const REGION: &str = "eu-central-1";

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
