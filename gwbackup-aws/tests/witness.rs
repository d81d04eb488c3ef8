//! API Gateway in two emulators that others wrote: backed up, deleted, restored; what boto3 finds
//! before and after is held side by side. What an emulator cannot do stands in its table.
#![allow(clippy::unwrap_used, reason = "a failure here fails the test")]

#[path = "aws/bench.rs"]
#[allow(dead_code, reason = "accounts of the double are not needed here")]
mod bench;
#[path = "support/peer.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet};

use bench::Bench;
use gwbackup_aws::{Aws, Config};
use gwbackup_core::restore::ApplyOptions;
use serde_json::Value;
use support::Peer;
use url::Url;

fn gateway(peer: &Peer) -> Aws {
    let config = Config::new("eu-central-1", Config::fixed("a", "b")).unwrap();
    Aws::new(config.with_endpoint(Url::parse(&peer.url).unwrap()).unpaced()).unwrap()
}

fn ask(peer: &Peer, command: &str) -> (Vec<String>, BTreeMap<String, Value>) {
    let said: Value = serde_json::from_str(&peer.run("witness.py", &[command])).unwrap();
    let refused = serde_json::from_value(said["refused"].clone()).unwrap();
    (refused, serde_json::from_value(said["things"].clone()).unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explore() {
    for peer in [Peer::moto(), Peer::ministack()] {
        let Some(peer) = peer else { return };
        println!("=========================");
        let bench = Bench::new().await;
        ask(&peer, "seed");
        let (_, before) = ask(&peer, "dump");
        let backup = bench.backup_of(gateway(&peer)).await;
        for gap in &backup.details().gaps {
            println!("gap {:?} {:?} {:?} {}", gap.kind, gap.under, gap.cause, gap.detail);
        }
        ask(&peer, "clear");
        let prepared = bench.restore(&backup, gateway(&peer)).plan(&bench.cx).await.unwrap();
        let plan = prepared.plan();
        println!("blocked {:#?}", plan.blocked);
        for item in &plan.left {
            if !format!("{:?}", item.decision).contains("Unchanged") {
                println!("left {} {:?}", item.key, item.decision);
            }
        }
        for finding in &plan.findings {
            println!("finding {finding:?}");
        }
        let options =
            ApplyOptions { accept_loss: true, accept_partial: true, ..ApplyOptions::default() };
        let outcome = prepared.apply(&bench.cx, &options).await;
        match outcome {
            Ok(outcome) => {
                println!("{:?} {:#?}", outcome.report.status, outcome.report.failures);
                for one in &outcome.report.compare.differences {
                    println!("deviation {} {:?}", one.key, one.fields);
                }
            }
            Err(error) => println!("{error:?}"),
        }
        let (_, after) = ask(&peer, "dump");
        for line in differences(&before, &after) {
            println!("{line}");
        }
    }
}

/// One line for each value that is not the same.
fn differences(before: &BTreeMap<String, Value>, after: &BTreeMap<String, Value>) -> Vec<String> {
    let mut found = Vec::new();
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for name in names {
        match (before.get(name), after.get(name)) {
            (Some(was), Some(is)) => differs(name, Some(was), Some(is), &mut found),
            (was, _) => {
                found.push(format!("{name}: {}", if was.is_some() { "gone" } else { "new" }))
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
