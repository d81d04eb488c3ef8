//! Credentials that end before a run does.

use std::sync::Arc;
use std::time::Duration;

use gwbackup_aws::testing::{AwsDouble, Sessions};
use gwbackup_aws::{Aws, Config};
use gwbackup_core::catalog::EventKind;
use gwbackup_core::error::ErrorKind;
use gwbackup_core::restore::{ApplyOptions, RunStatus};
use gwbackup_core::{Error, Result};
use url::Url;

use crate::bench::{Bench, aws};
use crate::rich;
use crate::still::{assert_same, still};

const LIFE: Duration = Duration::from_mins(1);
const TEN_MINUTES: i64 = 600;

/// An account that lets in nobody but with credentials of a minute, and in which each call takes
/// its time, so that a run takes ten minutes. From this call on, of those
/// that count, no fresh ones are to be had.
fn slow(
    bench: &Bench,
    double: &AwsDouble,
    sessions: &Sessions,
    away_from: u64,
    counts: fn(&str, &str) -> bool,
) {
    let (clock, giver) = (bench.clock.clone(), sessions.clone());
    double.admit(sessions);
    let mut seen = 0;
    double.faults(move |asked| {
        seen += u64::from(counts(asked.method, asked.path));
        clock.advance(Duration::from_secs(9));
        giver.set_away(seen >= away_from);
        None
    });
}

fn with(double: &AwsDouble, sessions: &Sessions) -> Aws {
    let config = Config::new("eu-central-1", sessions.provider()).unwrap().with_calls(1);
    Aws::new(config.with_endpoint(Url::parse(&double.url()).unwrap())).unwrap()
}

/// Told when they end, and not.
fn givers(bench: &Bench) -> [Sessions; 2] {
    let clock = || Arc::new(bench.clock.clone()) as _;
    [Sessions::new(clock(), LIFE), Sessions::silent(clock(), LIFE)]
}

async fn backup(bench: &Bench, source: Aws) -> Result<()> {
    let run = bench.repository.backup(Arc::new(source)).application("shop").environment("prod");
    run.run(&bench.cx).await.map(drop)
}

#[track_caller]
fn assert_expired(error: &Error) {
    assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{error:?}");
    assert_eq!(error.reason(), Some("credentials_expired"), "{error:?}");
    assert!(error.advice().is_some());
}

#[tokio::test]
async fn a_backup_outlives_its_credentials() {
    let bench = Bench::new().await;
    let double = bench.account().await;
    rich::fill(&bench, &double);
    for sessions in givers(&bench) {
        slow(&bench, &double, &sessions, u64::MAX, |_, _| true);
        double.forget_calls();
        let began = bench.cx.now();
        backup(&bench, with(&double, &sessions)).await.unwrap();
        let took = bench.cx.now().duration_since(began).as_secs();
        assert!(took >= TEN_MINUTES, "{took} s are no test");
        let (calls, given) = (double.calls().len(), sessions.given_out());
        assert!((10..=calls / 3).contains(&given), "{given} for {calls} calls");
    }
}

#[tokio::test]
async fn a_backup_whose_credentials_end_for_good_leaves_nothing() {
    let bench = Bench::new().await;
    let double = bench.account().await;
    rich::fill(&bench, &double);
    for sessions in givers(&bench) {
        slow(&bench, &double, &sessions, 50, |_, _| true);
        let error = backup(&bench, with(&double, &sessions)).await.unwrap_err();
        assert_expired(&error);
        let found = bench.repository.find(&bench.cx, "latest").await.unwrap_err();
        assert_eq!(found.kind(), ErrorKind::NotFound);
        let events = bench.repository.events(&bench.cx).await.unwrap();
        let last = events.last().unwrap();
        assert_eq!(last.kind, EventKind::BACKUP_FAIL);
        let text = last.detail.as_ref().unwrap().text.as_deref().unwrap();
        assert!(text.starts_with("credentials_expired: "), "{text}");
    }
    double.calm();
    let fresh = Sessions::new(Arc::new(bench.clock.clone()), LIFE);
    double.admit(&fresh);
    backup(&bench, with(&double, &fresh)).await.unwrap();
}

#[tokio::test]
async fn a_restore_outlives_its_credentials() {
    let bench = Bench::new().await;
    let double = bench.account().await;
    rich::fill_with(&bench, &double, 1);
    let before = still(&double);
    let backup = bench.backup(&double).await;
    for sessions in givers(&bench) {
        double.clear();
        slow(&bench, &double, &sessions, u64::MAX, |_, _| true);
        let began = bench.cx.now();
        bench.succeed(bench.restore(&backup, with(&double, &sessions))).await;
        assert!(bench.cx.now().duration_since(began).as_secs() >= TEN_MINUTES);
        assert!(sessions.given_out() >= 10);
        assert_same(&still(&double), &before, "restored");
    }
}

#[tokio::test]
async fn a_restore_whose_credentials_end_for_good_waits_to_be_resumed() {
    let bench = Bench::new().await;
    let double = bench.account().await;
    rich::fill_with(&bench, &double, 1);
    let before = still(&double);
    let backup = bench.backup(&double).await;
    double.clear();
    let whole = bench.succeed(bench.restore(&backup, aws(&double))).await.report;
    // While trees are written: at the first write, in the middle, near the end.
    for away_from in [1, 25, 60] {
        double.clear();
        let sessions = Sessions::new(Arc::new(bench.clock.clone()), LIFE);
        slow(&bench, &double, &sessions, u64::MAX, |_, _| true);
        let target = with(&double, &sessions);
        let prepared = bench.plan(bench.restore(&backup, target)).await;
        slow(&bench, &double, &sessions, away_from, |method, path| method != "GET" && path != "/");
        let options = ApplyOptions { accept_loss: true, ..ApplyOptions::default() };
        let error = prepared.apply(&bench.cx, &options).await.unwrap_err();
        assert_expired(&error);
        let status = bench.repository.status(&bench.cx).await.unwrap();
        let [run] = status.open_runs.as_slice() else { panic!("{:?}", status.open_runs) };
        let run = run.run;

        double.calm();
        let fresh = Sessions::new(Arc::new(bench.clock.clone()), LIFE);
        double.admit(&fresh);
        let target = Arc::new(with(&double, &fresh));
        let outcome = bench.repository.resume(&bench.cx, run, target, &options).await.unwrap();
        let report = outcome.report;
        assert_eq!(report.status, RunStatus::Success, "{:#?}", report.failures);
        assert_eq!((report.applied, &report.compare), (whole.applied, &whole.compare));
        assert_same(&still(&double), &before, &format!("resumed, away from write {away_from}"));
    }
}
