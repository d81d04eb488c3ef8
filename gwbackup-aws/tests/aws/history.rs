//! AWS Config as a history of the gateway, against its double.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use gwbackup_aws::testing::{AwsDouble, ConfigDouble};
use gwbackup_aws::{Config, ConfigHistory, Policy, Region};
use gwbackup_core::Context;
use gwbackup_core::error::ErrorKind;
use gwbackup_core::history::{Asked, HistoryItem, HistoryLink as _, Linked, Missing, Presence};
use gwbackup_core::model::{Document, HandleName, Handles, Id, Key, Kind, Resource};
use gwbackup_core::repository::{Became, LinkedResource};
use gwbackup_core::testing::conformance::{HistoryFixture, history_link};
use serde_json::json;
use url::Url;

use crate::bench::{Bench, ask, make};
use crate::iam::{assert_exact, grants};
use crate::rich;

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// An account, and the recorder that looks at it.
struct Watched {
    bench: Bench,
    account: AwsDouble,
    config: ConfigDouble,
}

impl Watched {
    async fn new() -> Self {
        let bench = Bench::new().await;
        let account = bench.account().await;
        let config = ConfigDouble::start(Arc::new(bench.clock.clone())).await.unwrap();
        Self { bench, account, config }
    }

    fn link(&self) -> ConfigHistory {
        link(&self.config)
    }

    /// Time passes until the recorder has seen what was done.
    fn recorded(&self) {
        self.bench.clock.advance(3 * MINUTE);
        self.config.look(&self.account);
        self.bench.clock.advance(HOUR);
    }

    fn make_api(&self, name: &str) -> Key {
        let id = make(&self.account, "/restapis", json!({ "name": name }));
        key("rest_api", &id)
    }

    fn describe(&self, api: &Key, text: &str) {
        let operation = json!({ "op": "replace", "path": "/description", "value": text });
        let patch = json!({ "patchOperations": [operation] });
        ask(&self.account, "PATCH", &format!("/restapis/{}", api.id), patch);
    }

    fn asked(&self, key: &Key) -> Asked {
        let resource = Resource::new(key.clone(), Document::parse("{}").unwrap());
        let region = (HandleName::known("region"), "eu-central-1".to_owned());
        Asked { resource, parent: None, gateway: Handles::from([region]), at: self.bench.cx.now() }
    }

    async fn one(&self, asked: &Asked) -> Linked {
        let found = self.link().find(&self.bench.cx, std::slice::from_ref(asked)).await.unwrap();
        found.into_iter().next().unwrap()
    }

    async fn linked(&self) -> Vec<LinkedResource> {
        let backup = self.bench.backup(&self.account).await;
        let link = Arc::new(self.link());
        let found = self.bench.repository.linked(&self.bench.cx, &backup, &[], link).await.unwrap();
        found.try_collect().await.unwrap()
    }
}

fn link(config: &ConfigDouble) -> ConfigHistory {
    let link = ConfigHistory::new(ConfigDouble::REGION, Config::fixed("AKIATEST", "secret"));
    link.unwrap().with_endpoint(Url::parse(&config.url()).unwrap())
}

fn key(kind: &'static str, id: &str) -> Key {
    Key::new(Kind::known(kind), Id::new(id).unwrap())
}

fn item(linked: &Linked) -> &HistoryItem {
    match linked {
        Linked::Found { item: Some(item), .. } => item,
        other => panic!("{other:?}"),
    }
}

fn why(linked: &Linked) -> Missing {
    match linked {
        Linked::Nothing { why, .. } => *why,
        other @ Linked::Found { .. } => panic!("{other:?}"),
        _ => panic!("another answer"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn config_keeps_the_promises_of_a_history() {
    let watched = Watched::new().await;
    let (api, other) = (watched.make_api("pay"), key("rest_api", "never0here"));
    let mut captured = Vec::new();
    // Weeks apart, so that answers without items lie between.
    for n in 0..4 {
        watched.config.look(&watched.account);
        captured.push(watched.bench.cx.now());
        watched.bench.clock.advance(30 * DAY);
        if n < 2 {
            watched.describe(&api, &n.to_string());
        } else {
            watched.account.clear();
        }
    }
    let link = watched.link();
    let fixture = HistoryFixture {
        link: &link,
        known: watched.asked(&api),
        captured,
        stranger: watched.asked(&other),
        unrecorded: Kind::known("api_key"),
    };
    history_link(&fixture).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_version_of_an_api_is_linked_with_its_item() {
    let watched = Watched::new().await;
    let (cx, api) = (&watched.bench.cx, watched.make_api("pay"));
    watched.recorded();
    let first = watched.bench.backup(&watched.account).await;
    watched.describe(&api, "by hand");
    watched.recorded();
    watched.bench.backup(&watched.account).await;
    // Right before a backup: not recorded yet.
    watched.describe(&api, "hot");
    let hot = watched.bench.backup(&watched.account).await;
    watched.recorded();
    watched.account.clear();
    watched.recorded();
    watched.bench.backup(&watched.account).await;

    let look = watched.bench.repository.history(api.clone()).link(Arc::new(watched.link()));
    let found = look.run(cx).await.unwrap();
    let became: Vec<_> = found.versions.iter().map(|version| version.became).collect();
    assert_eq!(became, [Became::New, Became::Changed, Became::Changed, Became::Gone]);
    let links: Vec<&Linked> =
        found.versions.iter().map(|version| version.history.as_ref().unwrap()).collect();
    let items: Vec<&HistoryItem> = links.iter().map(|linked| item(linked)).collect();
    let arn =
        format!("AWS::ApiGateway::RestApi arn:aws:apigateway:eu-central-1::/restapis/{}", api.id);
    assert!(items.iter().all(|item| item.id == arn), "{items:#?}");
    assert!(items[0].captured_at < first.manifest().started_at);
    assert!(items[1].captured_at > first.manifest().ended_at);
    assert_eq!(items[1], items[2], "the recorder had not looked yet");
    let Linked::Found { next: Some(next), .. } = links[2] else { panic!("{:?}", links[2]) };
    assert!(next.captured_at > hot.manifest().ended_at && next.state != items[2].state);
    assert_eq!(items[3].presence, Presence::Deleted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_seven_types_are_found_by_either_form_of_their_ids() {
    let watched = Watched::new().await;
    rich::fill(&watched.bench, &watched.account);
    watched.recorded();
    let joined = watched.linked().await;
    let other = ConfigDouble::start(Arc::new(watched.bench.clock.clone())).await.unwrap();
    other.name_all_by_arn();
    let watched = Watched { config: other, ..watched };
    watched.recorded();
    for found in [joined, watched.linked().await] {
        let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
        for one in &found {
            assert_eq!(item(&one.history).presence, Presence::Present, "{}", one.key);
            *kinds.entry(one.key.kind.as_str()).or_default() += 1;
        }
        let wanted = [
            "api",
            "api_integration",
            "api_stage",
            "rest_api",
            "rest_method",
            "rest_stage",
            "usage_plan",
        ];
        assert_eq!(kinds.keys().copied().collect::<Vec<_>>(), wanted);
        assert!(kinds.values().all(|count| *count >= 3), "{kinds:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_items_and_many_items_are_found_page_by_page() {
    let watched = Watched::new().await;
    let api = watched.make_api("pay");
    watched.config.look(&watched.account);
    let first = watched.bench.cx.now();
    watched.bench.clock.advance(3 * 365 * DAY);
    let found = watched.one(&watched.asked(&api)).await;
    assert_eq!(item(&found).captured_at, first, "after three years without a change");
    assert!(watched.config.calls().len() > 150, "{}", watched.config.calls().len());
    let then = watched.asked(&api);
    for n in 0..25 {
        watched.bench.clock.advance(Duration::from_secs(20));
        watched.describe(&api, &n.to_string());
        watched.config.look(&watched.account);
    }
    let before = watched.config.calls().len();
    let Linked::Found { item: Some(item), next: Some(next) } = watched.one(&then).await else {
        panic!("both are there");
    };
    assert_eq!((item.captured_at, next.captured_at), (first, then.at + Duration::from_secs(20)));
    assert!(watched.config.calls().len() > before + 2, "25 items are three pages");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_config_does_not_have_is_an_answer_with_its_reason() {
    let watched = Watched::new().await;
    let api = watched.make_api("pay");
    let early = watched.asked(&api);
    watched.bench.clock.advance(DAY);
    watched.config.look(&watched.account);
    let known = watched.asked(&api);
    assert_eq!(why(&watched.one(&early).await), Missing::Moment);
    let stranger = watched.asked(&key("rest_api", "never0here"));
    assert_eq!(why(&watched.one(&stranger).await), Missing::Resource);
    // Its id is made of that of the resource above it, which is not here.
    let method = watched.asked(&key("rest_method", "a/%2F/GET"));
    assert_eq!(why(&watched.one(&method).await), Missing::Resource);
    let mut elsewhere = known.clone();
    elsewhere.gateway.insert(HandleName::known("region"), "eu-west-1".to_owned());
    let calls = watched.config.calls().len();
    assert_eq!(why(&watched.one(&elsewhere).await), Missing::Resource);
    assert_eq!(watched.config.calls().len(), calls, "another region is not asked for");
    watched.config.refuse([(400, "ValidationException")]);
    assert_eq!(why(&watched.one(&known).await), Missing::Failed);
    watched.config.leave_out("AWS::ApiGateway::RestApi");
    assert_eq!(why(&watched.one(&watched.asked(&api)).await), Missing::Off);
    watched.config.switch(false);
    assert_eq!(why(&watched.one(&known).await), Missing::Off);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pauses_are_borne_and_refusals_are_errors() {
    let watched = Watched::new().await;
    let api = watched.make_api("pay");
    watched.recorded();
    let known = watched.asked(&api);
    for passing in
        [vec![(400, "ThrottlingException"); 9], vec![(500, "InternalFailure"), (429, "")]]
    {
        watched.config.refuse(passing);
        assert_eq!(item(&watched.one(&known).await).presence, Presence::Present);
    }
    for (status, code, kind) in [
        (400, "AccessDeniedException", ErrorKind::Denied),
        (403, "UnrecognizedClientException", ErrorKind::Unauthenticated),
        (400, "ExpiredTokenException", ErrorKind::Unauthenticated),
        (400, "InvalidTimeRangeException", ErrorKind::Invalid),
        (503, "", ErrorKind::Unavailable),
    ] {
        watched.config.refuse(std::iter::repeat_n((status, code), 6));
        let asked = std::slice::from_ref(&known);
        let error = watched.link().find(&watched.bench.cx, asked).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{code}: {error:?}");
        // What was not used up is for the next.
        while watched.link().find(&watched.bench.cx, asked).await.is_err() {}
    }
    // A backup's history is an answer even so.
    watched.bench.backup(&watched.account).await;
    watched.config.guard(|_| false);
    let look = watched.bench.repository.history(api).link(Arc::new(watched.link()));
    let found = look.run(&watched.bench.cx).await.unwrap();
    assert_eq!(why(found.versions[0].history.as_ref().unwrap()), Missing::Failed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_is_read_as_its_policy_allows() {
    let watched = Watched::new().await;
    rich::fill(&watched.bench, &watched.account);
    watched.recorded();
    let policy = Policy::history(&Region::new("eu-central-1", "123456789012").unwrap());
    let allowed = grants(&policy);
    watched.config.guard(move |need| allowed.iter().any(|grant| grant.allows(need)));
    let found = watched.linked().await;
    assert!(found.iter().all(|one| matches!(one.history, Linked::Found { .. })));
    assert_exact(&policy, &watched.config.needs());
    let elsewhere = Policy::history(&Region::new("eu-west-1", "123456789012").unwrap());
    let allowed = grants(&elsewhere);
    watched.config.guard(move |need| allowed.iter().any(|grant| grant.allows(need)));
    let reasons: BTreeSet<String> =
        watched.linked().await.iter().map(|one| format!("{:?}", why(&one.history))).collect();
    assert_eq!(reasons, BTreeSet::from(["Failed".to_owned()]));
}

#[tokio::test]
async fn a_url_names_the_region() {
    let open = async |text: &str| ConfigHistory::from_url(&Url::parse(text).unwrap()).await;
    let link = open("awsconfig://eu-west-1?endpoint=http://127.0.0.1:1/").await.unwrap();
    assert_eq!(link.to_string(), "awsconfig://eu-west-1");
    for wrong in ["awsconfig://eu-west-1/a", "awsconfig://eu-west-1?at=1", "awsconfig://eu_west"] {
        let error = open(wrong).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{wrong}");
    }
    let connectors = gwbackup_aws::connectors();
    let none = gwbackup_core::connect::Settings::new();
    let found = connectors.history("awsconfig://eu-west-1", &none).await.unwrap();
    assert_eq!(found.to_string(), "awsconfig://eu-west-1");
    for wrong in ["./history", "aws://eu-west-1"] {
        let error = connectors.history(wrong, &none).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{wrong}");
        assert!(error.advice().is_some());
    }
    let cx = Context::new();
    assert!(link.find(&cx, &[]).await.unwrap().is_empty());
}
