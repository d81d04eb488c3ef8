//! API Gateway in two emulators that others wrote: backed up, deleted, restored, edited, restored in
//! place. boto3 makes what is in them and says what was there before and after
//! (`tests/peers/witness.py`). What an emulator cannot do stands in its table.
#![allow(clippy::unwrap_used, reason = "a failure here fails the test")]

#[path = "aws/bench.rs"]
#[allow(
    dead_code,
    clippy::needless_pass_by_value,
    reason = "accounts of the double are not needed here"
)]
mod bench;
#[path = "support/peer.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet};

use bench::Bench;
use gwbackup_aws::{Aws, Config};
use gwbackup_core::repository::RestoreOutcome;
use gwbackup_core::restore::{ApplyOptions, RunStatus};
use serde_json::Value;
use support::Peer;
use url::Url;

/// What an emulator cannot do, each with the reason.
struct Table {
    /// What boto3 cannot make or list.
    refuses: &'static [(&'static str, &'static str)],
    /// Kinds that the backup has to name as unread; not portals, which few endpoints know.
    unread: &'static [(&'static str, &'static str)],
    /// Kinds whose new roots keep the tag that they are told by while they are made.
    marked: &'static [(&'static str, &'static str)],
    /// What was added and stays: nothing is superfluous against a backup that lacks a part.
    stays: &'static [&'static str],
    /// Which fixture.
    seed: &'static str,
    /// Which edits.
    edit: &'static str,
}

const MOTO: Table = Table {
    refuses: &[
        ("api_authorizer", "can be made, but listing them answers 500"),
        ("api_deployment", "no such list"),
        ("api_mapping", "the second API does not know the domains of the first"),
        ("api_model", "can be made, but listing them answers 500"),
        ("api_route_response", "can be made, but listing them answers 500"),
        ("client_certificate", "no such list"),
        ("domain_name_access_association", "no such list"),
        ("portal", "no such list"),
        ("portal_product", "no such list"),
        ("rest_documentation_part", "no such list"),
        ("rest_documentation_version", "no such list"),
    ],
    unread: &[
        ("api_authorizer", "500"),
        ("api_deployment", "404"),
        ("api_model", "500"),
        ("api_route_response", "500"),
        ("client_certificate", "404"),
        ("domain_name_access_association", "404"),
        ("rest_documentation_part", "404"),
        ("rest_documentation_version", "404"),
    ],
    marked: &[
        ("api_key", "tags by ARN only for stages"),
        ("rest_api", "tags by ARN only for stages"),
    ],
    stays: &["api_route shop GET /added: new", "rest_resource orders first /orders/added: new"],
    // Its import loses authorizers, models and parameters, and fails with a method that has no
    // address to call.
    seed: "seed",
    edit: "edit-all",
};

const MINISTACK: Table = Table {
    refuses: &[
        ("api_model", "no such list"),
        ("client_certificate", "no such list"),
        ("domain_name_access_association", "no such list"),
        ("portal", "no such list"),
        ("portal_product", "no such list"),
        ("rest_documentation_version", "no such list"),
        ("vpc_link", "no such list"),
        ("vpc_link_v2", "no such list"),
    ],
    unread: &[
        ("api_model", "404"),
        ("client_certificate", "404"),
        ("domain_name_access_association", "404"),
        ("rest_documentation_version", "404"),
        ("vpc_link", "404"),
        ("vpc_link_v2", "404"),
    ],
    marked: &[
        ("api", "taking a tag off is answered and not done"),
        ("api_key", "taking a tag off is answered and not done"),
        ("rest_api", "taking a tag off is answered and not done"),
        ("usage_plan", "taking a tag off is answered and not done"),
    ],
    stays: &[],
    // It knows no import: everything goes by calls of its own.
    seed: "seed-large",
    // It knows no change of a base path mapping.
    edit: "edit",
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_moto_lost_comes_back() {
    lost(Peer::moto(), &MOTO).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ministack_lost_comes_back() {
    lost(Peer::ministack(), &MINISTACK).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_edited_in_moto_is_put_right() {
    edited(Peer::moto(), &MOTO).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_edited_in_ministack_is_put_right() {
    edited(Peer::ministack(), &MINISTACK).await;
}

async fn lost(peer: Option<Peer>, table: &Table) {
    let Some(peer) = peer else { return };
    let bench = Bench::new().await;
    let mut refused = ask(&peer, table.seed).refused;
    let before = ask(&peer, "dump");
    refused.extend(before.refused.clone());
    assert_eq!(refused, named(table.refuses), "the table of what boto3 cannot do");
    assert!(before.things.len() > 50, "{}", before.things.len());

    let backup = bench.backup_of(gateway(&peer)).await;
    let gaps = backup.details().gaps.iter();
    let unread: BTreeSet<String> =
        gaps.filter_map(|gap| gap.kind.as_ref().map(ToString::to_string)).collect();
    assert_eq!(unread, named(table.unread), "what the backup says it lacks");

    ask(&peer, "clear");
    let empty = ask(&peer, "dump").things;
    assert_eq!(empty.keys().collect::<Vec<_>>(), ["account"]);
    let outcome = apply(&bench, bench.restore(&backup, gateway(&peer))).await;
    let after = ask(&peer, "dump");
    let differences = differences(&before.things, &after.things);
    let kinds = |found: &mut dyn Iterator<Item = String>| -> BTreeSet<String> { found.collect() };
    let marked: Vec<&String> =
        differences.iter().filter(|at| at.contains("ags > gwbackup-step: nothing is")).collect();
    assert_eq!(differences.iter().collect::<Vec<_>>(), marked, "by boto3");
    let by_boto = kinds(&mut marked.iter().filter_map(|at| Some(at.split_once(' ')?.0.to_owned())));
    assert_eq!(by_boto, named(table.marked), "the mark is still there, by boto3");
    let deviations = &outcome.report.compare.differences;
    let by_report = kinds(&mut deviations.iter().map(|deviation| deviation.key.kind.to_string()));
    assert_eq!((by_report, deviations.len()), (by_boto, marked.len()), "the report says the same");

    let again = bench.plan(bench.restore(&backup, gateway(&peer))).await;
    let changes = again.plan().steps.iter().map(|step| step.kind.clone());
    assert_eq!(changes.collect::<BTreeSet<_>>(), named(table.marked), "a second plan");
}

async fn edited(peer: Option<Peer>, table: &Table) {
    let Some(peer) = peer else { return };
    let bench = Bench::new().await;
    ask(&peer, table.seed);
    let before = ask(&peer, "dump");
    let backup = bench.backup_of(gateway(&peer)).await;
    ask(&peer, table.edit);
    let edits = differences(&before.things, &ask(&peer, "dump").things);
    assert!(edits.len() >= 10, "{edits:#?}");
    let restore = || {
        let restore = bench.restore(&backup, gateway(&peer));
        if table.stays.is_empty() { restore.prune(100) } else { restore }
    };
    let outcome = apply(&bench, restore()).await;
    assert_eq!(outcome.report.compare.different, 0, "{:#?}", outcome.report.compare.differences);
    let left = differences(&before.things, &ask(&peer, "dump").things);
    assert_eq!(left, table.stays, "by boto3");
    let again = bench.plan(restore()).await;
    assert!(again.plan().is_empty(), "{:#?}", again.plan().steps);
}

fn gateway(peer: &Peer) -> Aws {
    let config = Config::new("eu-central-1", Config::fixed("a", "b")).unwrap();
    Aws::new(config.with_endpoint(Url::parse(&peer.url).unwrap()).unpaced()).unwrap()
}

/// Applies it, although the backup lacks what the emulator does not give out.
async fn apply(
    bench: &Bench,
    restore: gwbackup_core::repository::RestoreBuilder,
) -> RestoreOutcome {
    let options =
        ApplyOptions { accept_loss: true, accept_partial: true, ..ApplyOptions::default() };
    let outcome = bench.plan(restore).await.apply(&bench.cx, &options).await.unwrap();
    assert_eq!(outcome.report.status, RunStatus::Success, "{:#?}", outcome.report.failures);
    outcome
}

struct Said {
    refused: BTreeSet<String>,
    things: BTreeMap<String, Value>,
}

/// What boto3 says.
fn ask(peer: &Peer, command: &str) -> Said {
    let said: Value = serde_json::from_str(&peer.run("witness.py", &[command])).unwrap();
    let refused = serde_json::from_value(said["refused"].clone()).unwrap();
    let things: Option<_> = serde_json::from_value(said["things"].clone()).unwrap();
    Said { refused, things: things.unwrap_or_default() }
}

fn named(table: &[(&str, &str)]) -> BTreeSet<String> {
    table.iter().map(|(name, _)| (*name).to_owned()).collect()
}

/// One line for each value that is not the same.
fn differences(before: &BTreeMap<String, Value>, after: &BTreeMap<String, Value>) -> Vec<String> {
    let mut found = Vec::new();
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for name in names {
        match (before.get(name), after.get(name)) {
            (Some(was), Some(is)) => differs(name, Some(was), Some(is), &mut found),
            (was, _) => {
                found.push(format!("{name}: {}", if was.is_some() { "gone" } else { "new" }));
            }
        }
    }
    found
}

fn differs(at: &str, was: Option<&Value>, is: Option<&Value>, found: &mut Vec<String>) {
    if let (Some(Value::Object(was)), Some(Value::Object(is))) = (was, is) {
        let names: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
        for name in names {
            differs(&format!("{at} > {name}"), was.get(name), is.get(name), found);
        }
    } else if was != is {
        let shown = |value: Option<&Value>| value.map_or("nothing".to_owned(), Value::to_string);
        found.push(format!("{at}: {} is {}", shown(was), shown(is)));
    }
}
