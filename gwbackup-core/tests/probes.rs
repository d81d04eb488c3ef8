//! Probes and loads, against a transport that answers by script.

#![allow(clippy::unwrap_used, reason = "a failure here fails the test")]

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use gwbackup_core::model::Verdict;
use gwbackup_core::probe::{
    Caller, Expect, Load, Options, Probe, Request, Response, Scenario, Topic, run,
};
use gwbackup_core::testing::ManualClock;
use gwbackup_core::{Context, Error, ErrorKind, Result};
use serde_json::json;

/// Answers these statuses in turn, the last for ever; 0 is no answer. Each takes so long.
#[derive(Debug)]
struct Script(Mutex<VecDeque<u16>>, Duration, Mutex<Vec<String>>);

impl Script {
    fn new(statuses: impl IntoIterator<Item = u16>) -> Self {
        Self(Mutex::new(statuses.into_iter().collect()), Duration::ZERO, Mutex::default())
    }

    fn calls(&self) -> usize {
        self.2.lock().unwrap().len()
    }
}

#[async_trait]
impl Caller for Script {
    async fn call(&self, cx: &Context, request: &Request) -> Result<Response> {
        if !self.1.is_zero() {
            cx.clock().sleep(self.1).await;
        }
        self.2.lock().unwrap().push(request.path.clone());
        let mut statuses = self.0.lock().unwrap();
        let status =
            if statuses.len() > 1 { statuses.pop_front() } else { statuses.front().copied() };
        match status.unwrap() {
            0 => Err(Error::new(ErrorKind::Unavailable, "nothing answers")),
            status => Ok(Response::new(status, vec![("x-a".into(), "1".into())], "all is well")),
        }
    }
}

fn cx() -> (Context, ManualClock) {
    let clock = ManualClock::auto("2026-11-21T12:00:00Z".parse().unwrap());
    (Context::new().with_clock(std::sync::Arc::new(clock.clone())), clock)
}

fn probe(expect: Expect) -> Probe {
    Probe::new("p", Topic::Custom)
        .proves(&"route/r1".parse().unwrap())
        .call(Request::get("/x?key=hush").secret("apikey", "hush"), expect)
}

async fn one(script: &Script, probe: Probe, options: &Options) -> gwbackup_core::model::Finding {
    run(&cx().0, script, &[probe], options).await.unwrap().remove(0)
}

#[tokio::test]
async fn an_answer_is_held_against_what_is_expected() {
    let none = Options::default().patience(Duration::ZERO);
    let header = |value: Option<&str>| Expect::default().header("X-A", value.map(str::to_owned));
    let body = |text: &str| {
        let mut expect = Expect::default();
        expect.body = Some(text.to_owned());
        expect
    };
    for (expect, verdict) in [
        (Expect::status(200), Verdict::Ok),
        (Expect::status(401), Verdict::Failed),
        (Expect::not(&[401, 403]), Verdict::Ok),
        (Expect::not(&[200]), Verdict::Failed),
        (Expect::status(200).doubtful(200, 204), Verdict::Warning),
        (header(None), Verdict::Ok),
        (header(Some("1")), Verdict::Ok),
        (header(Some("2")), Verdict::Failed),
        (Expect::default().header("x-b", None), Verdict::Failed),
        (body("is well"), Verdict::Ok),
        (body("is lost"), Verdict::Failed),
        (Expect::default().without("all is"), Verdict::Failed),
    ] {
        let what = format!("{expect:?}");
        let found = one(&Script::new([200]), probe(expect), &none).await;
        assert_eq!(found.verdict, verdict, "{what}: {found:?}");
        assert_eq!(found.subject, "p [route/r1]");
        assert!(!format!("{found:?}").contains("hush"), "{found:?}");
    }
    let found = one(&Script::new([500]), probe(Expect::status(200)).uncritical(), &none).await;
    assert_eq!(found.verdict, Verdict::Warning);
    let found = one(&Script::new([0]), probe(Expect::status(200)), &none).await;
    assert_eq!(found.verdict, Verdict::Failed);
    assert!(found.detail.contains("nothing answers"), "{found:?}");
}

#[tokio::test]
async fn a_gateway_gets_time_to_take_things_up_and_no_more() {
    let options = Options::default().patience(Duration::from_secs(5));
    let script = Script::new([404, 0, 200]);
    assert_eq!(one(&script, probe(Expect::status(200)), &options).await.verdict, Verdict::Ok);
    assert_eq!(script.calls(), 3);
    let never = Script::new([404]);
    let (cx, clock) = cx();
    let found = run(&cx, &never, &[probe(Expect::status(200))], &options).await.unwrap();
    assert_eq!(found[0].verdict, Verdict::Failed);
    let waited = gwbackup_core::clock::Clock::now(&clock).to_string();
    assert_eq!((never.calls(), waited.as_str()), (6, "2026-11-21T12:00:05Z"));
}

#[tokio::test]
async fn what_disturbs_others_is_asked_for_comes_last_and_is_bounded() {
    let bites = Probe::new("bites", Topic::RateLimit).intrusive(true).call_until(
        Request::get("/limited"),
        Expect::status(429),
        4,
    );
    let all = [bites.clone(), probe(Expect::status(200))];
    let script = Script::new([200]);
    let found = run(&cx().0, &script, &all, &Options::default()).await.unwrap();
    assert_eq!([found[0].verdict, found[1].verdict], [Verdict::NotRun, Verdict::Ok]);
    assert_eq!(script.calls(), 1);

    let script = Script::new([200, 200, 200, 429]);
    let found = run(&cx().0, &script, &all, &Options::default().intrusive()).await.unwrap();
    assert_eq!([found[0].verdict, found[1].verdict], [Verdict::Ok, Verdict::Ok], "{found:?}");
    assert_eq!(script.2.lock().unwrap()[1..], ["/limited", "/limited", "/limited"]);
    let script = Script::new([200]);
    let found = run(&cx().0, &script, &all[..1], &Options::default().intrusive()).await.unwrap();
    assert_eq!((found[0].verdict, script.calls()), (Verdict::Failed, 4), "no second try");

    let cannot = probe(Expect::status(200)).cannot_run("no secret");
    let found = one(&Script::new([200]), cannot, &Options::default()).await;
    assert_eq!((found.verdict, found.detail.as_str()), (Verdict::NotRun, "no secret"));
}

#[tokio::test]
async fn a_load_is_sent_at_its_rate_and_judged() {
    let (cx, clock) = cx();
    let load = Load::new(Request::get("/x"), 50, Duration::from_secs(2));
    let script = Script::new([200]);
    let report = load.run(&cx, &script).await.unwrap();
    assert_eq!((report.sent, report.errors, script.calls()), (100, 0, 100));
    assert_eq!(load.judge(&report).verdict, Verdict::Ok);
    // The last is due a fiftieth before the end.
    let now = gwbackup_core::clock::Clock::now(&clock).to_string();
    assert_eq!(now, "2026-11-21T12:00:01.98Z");

    let mut bad = vec![503; 2];
    bad.push(200);
    let report = load.run(&cx, &Script::new(bad.clone())).await.unwrap();
    assert_eq!((report.errors, load.judge(&report).verdict), (2, Verdict::Failed));
    let mut borne = Load::new(Request::get("/x"), 50, Duration::from_secs(2));
    borne.most_errors = 2;
    let report = borne.run(&cx, &Script::new(bad)).await.unwrap();
    assert_eq!((report.errors, borne.judge(&report).verdict), (2, Verdict::Ok));
}

#[tokio::test]
async fn a_slow_gateway_shows_in_the_percentiles() {
    let (cx, _) = cx();
    let mut load = Load::new(Request::get("/x"), 10, Duration::from_secs(1));
    load.p95 = Some(Duration::from_millis(20));
    let mut script = Script::new([200]);
    script.1 = Duration::from_millis(40);
    let report = load.run(&cx, &script).await.unwrap();
    assert!(report.p50_ms >= 40 && report.p50_ms <= report.p95_ms, "{report:?}");
    assert!(report.p95_ms <= report.p99_ms && report.p99_ms <= report.max_ms, "{report:?}");
    let found = load.judge(&report);
    assert_eq!(found.verdict, Verdict::Failed);
    assert!(found.detail.contains("p95"), "{found:?}");
}

#[test]
fn a_scenario_says_what_it_means_or_is_refused() {
    let good = json!({
        "probe": [{
            "name": "checkout", "path": "/c", "host": "shop.example", "headers": { "apikey": "hush" },
            "proves": ["route/r1"], "most_calls": 3,
            "expect": { "status": [200, "3xx"], "headers": { "age": "*" }, "body": "ok" },
        }],
        "load": [{ "path": "/c", "rate": 5, "seconds": 2, "p95_ms": 100, "errors_percent": 1 }],
    });
    let scenario: Scenario = serde_json::from_value(good).unwrap();
    assert_eq!((scenario.probes.len(), scenario.loads.len()), (1, 1));
    assert_eq!(scenario.probes[0].most_calls(), 3);
    assert!(!format!("{scenario:?}").contains("hush"));
    for (bad, word) in [
        (json!({ "probe": [{ "name": "n", "path": "x" }] }), "slash"),
        (json!({ "probe": [{ "name": "n", "path": "/", "colour": 1 }] }), "colour"),
        (
            json!({ "probe": [{ "name": "n", "path": "/", "expect": { "status": [20] } }] }),
            "status",
        ),
        (
            json!({ "probe": [{ "name": "n", "path": "/", "expect": { "status": ["9xx"] } }] }),
            "class",
        ),
        (json!({ "load": [{ "path": "/", "rate": 0, "seconds": 1 }] }), "load"),
        (json!({ "load": [{ "path": "/", "rate": 1, "seconds": 9999 }] }), "load"),
    ] {
        let error = serde_json::from_value::<Scenario>(bad).unwrap_err().to_string();
        assert!(error.contains(word), "{word} is not in {error}");
    }
}
