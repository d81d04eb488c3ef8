//! Proof of behaviour on a data plane: probes of `restore` and `resume`, drills, checklists.

use std::process::Stdio;
use std::sync::{Arc, OnceLock};

use gwbackup::kong::testing::{Fault, KongDouble};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::World;

fn id(n: u32) -> String {
    format!("00000000-0000-4000-8000-{n:012}")
}

fn put(node: &KongDouble, collection: &str, n: u32, body: &Value) {
    let (status, answer) = node.request("PUT", &format!("/{collection}/{}", id(n)), body);
    assert_eq!(status, 200, "{answer}");
}

/// A node with a route that asks for a key, and one that asks for nothing.
fn shop(runtime: &Runtime) -> KongDouble {
    let node = empty(runtime);
    let (service, consumer) = (json!({"id": id(1)}), json!({"id": id(4)}));
    put(&node, "services", 1, &json!({"name": "shop", "host": "shop.internal"}));
    put(&node, "routes", 2, &json!({"paths": ["/pay"], "service": service}));
    put(&node, "routes", 3, &json!({"paths": ["/open"], "service": service}));
    put(&node, "consumers", 4, &json!({"username": "ann"}));
    put(&node, "key-auths", 5, &json!({"key": "PLANTED-key", "consumer": consumer}));
    put(&node, "plugins", 6, &json!({"name": "key-auth", "route": {"id": id(2)}}));
    node
}

fn empty(runtime: &Runtime) -> KongDouble {
    runtime.block_on(KongDouble::builder().proxy(0).start()).unwrap()
}

fn is_empty(node: &KongDouble) -> bool {
    node.state().values().all(Vec::is_empty)
}

fn admin(node: &KongDouble) -> String {
    format!("kong+{}", node.url())
}

fn back_up(world: &World, node: &KongDouble) -> Value {
    let backup = ["backup", &admin(node), "--app", "shop", "--env", "prod", "--json"];
    world.run(&backup).ends(0).json()
}

/// Calls with the options that probe this node.
fn probed(node: &KongDouble, arguments: &[&str]) -> Vec<String> {
    let own = ["--probe", &node.proxy_url().unwrap(), "--yes", "--json"];
    arguments.iter().chain(&own).map(ToString::to_string).collect()
}

fn run(world: &World, arguments: &[String]) -> crate::Ran {
    world.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

fn standing(book: &Value, step: &str) -> (String, String) {
    let steps = book["steps"].as_array().unwrap();
    let found = steps.iter().find(|one| one["name"] == step).unwrap_or_else(|| panic!("{book:#}"));
    ["standing", "evidence"].map(|member| found[member].as_str().unwrap().to_owned()).into()
}

#[test]
fn a_drill_restores_probes_and_takes_everything_away_again() {
    let runtime = Runtime::new().unwrap();
    let (world, scratch) = (World::new(), empty(&runtime));
    back_up(&world, &shop(&runtime));
    let before = world.run(&["runbook", "latest", "--json"]).ends(0).json();
    assert_eq!(standing(&before, "Its restore was rehearsed").0, "open");

    let onto = admin(&scratch);
    let drill = probed(&scratch, &["drill", "--onto", &onto, "--report", "drill.html"]);
    let would = run(&world, &[&drill[..], &["--dry-run".to_owned()]].concat()).ends(0);
    assert_eq!(would.json()["target"], onto);
    assert!(is_empty(&scratch));
    let done = run(&world, &drill).ends(0);
    let report = done.json();
    assert_eq!(report["verdict"], "Pass", "{report:#}");
    assert!(report["rto_seconds"].is_u64() && report["rpo_seconds"].is_u64(), "{report:#}");
    assert!(is_empty(&scratch), "{:#?}", scratch.state());
    let page = std::fs::read_to_string(world.path("drill.html")).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("key-auth"), "{page}");
    for text in [&page, &done.out, &done.err] {
        assert!(!text.contains("PLANTED"), "{text}");
    }
    let after = world.run(&["runbook", "latest", "--json"]).ends(0).json();
    assert_eq!(standing(&after, "Its restore was rehearsed").0, "done");

    let lot = probed(&scratch, &["drill", "--onto", &onto, "--random", "--seed", "7"]);
    let chosen = || run(&world, &lot).ends(0).json()["backup"].clone();
    assert_eq!(chosen(), chosen());
}

#[test]
fn a_drill_whose_own_probe_fails_is_1_and_still_cleans_up() {
    let runtime = Runtime::new().unwrap();
    let (world, scratch) = (World::new(), empty(&runtime));
    back_up(&world, &shop(&runtime));
    let scenario = "[[probe]]\nname = \"the till rings\"\npath = \"/open\"\n\
                    expect = { body = \"no node says this\" }\n";
    std::fs::write(world.path("s.toml"), scenario).unwrap();
    let onto = admin(&scratch);
    let drill = ["drill", "--onto", &onto, "--scenario", "s.toml", "--probe-patience", "0s"];
    let report = run(&world, &probed(&scratch, &drill)).ends(1).json();
    assert_eq!(report["verdict"], "Fail");
    assert!(report["findings"].to_string().contains("the till rings"), "{report:#}");
    assert!(is_empty(&scratch), "{:#?}", scratch.state());
    let book = world.run(&["runbook", "latest", "--json"]).ends(0).json();
    assert_eq!(standing(&book, "Its restore was rehearsed").0, "failed");
}

#[test]
fn a_restore_that_lost_a_plugin_is_no_go_by_what_the_other_backup_promises() {
    let runtime = Runtime::new().unwrap();
    let (world, node, target) = (World::new(), shop(&runtime), empty(&runtime));
    let promised = back_up(&world, &node)["id"].as_str().unwrap().to_owned();
    assert_eq!(node.request("DELETE", &format!("/plugins/{}", id(6)), &Value::Null).0, 204);
    back_up(&world, &node);
    let onto = admin(&target);
    let restore = ["restore", "latest", "--onto", &onto, "--probes-of", &promised];
    let quick = ["--probe-patience", "0s", "--report", "r.md"];
    let done = run(&world, &probed(&target, &[&restore[..], &quick].concat())).ends(0).json();
    assert_eq!((&done["status"], &done["report"]["verdict"]), (&json!("Success"), &json!("NoGo")));
    let reasons = done["report"]["reasons"].to_string();
    assert!(reasons.contains("key-auth") && !reasons.contains("PLANTED"), "{reasons}");
    let report = std::fs::read_to_string(world.path("r.md")).unwrap();
    assert!(report.contains("NoGo") && report.contains("key-auth"), "{report}");
    let book = world.run(&["runbook", done["run"].as_str().unwrap(), "--json"]).ends(0).json();
    assert_eq!(standing(&book, "Its behaviour was tested").0, "failed");
    assert_eq!(standing(&book, "Who restored was allowed to").0, "not_applicable");
}

#[test]
fn a_run_that_is_carried_on_is_probed_and_reported_like_any_other() {
    let runtime = Runtime::new().unwrap();
    let (world, node) = (World::new(), empty(&runtime));
    back_up(&world, &shop(&runtime));
    let process: Arc<OnceLock<u32>> = Arc::default();
    let own = Arc::clone(&process);
    node.faults(move |asked| {
        if (asked.method, asked.path) != ("POST", "/plugins") {
            return None;
        }
        let kill = ["-9".to_owned(), own.get()?.to_string()];
        assert!(std::process::Command::new("kill").args(kill).status().unwrap().success());
        Some(Fault::LoseAnswer)
    });
    let onto = admin(&node);
    let mut restore = world.command(&["restore", "latest", "--onto", &onto, "--yes"]);
    let mut child = restore.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    process.set(child.id()).unwrap();
    assert_eq!(child.wait().unwrap().code(), None, "it was not killed");
    node.calm();
    let status = world.run(&["status", "--json"]).ends(0).json();
    let open = status["open_runs"][0]["run"].as_str().unwrap();
    let book = world.run(&["runbook", open, "--json"]).ends(0).json();
    assert_eq!(standing(&book, "Everything was written").0, "open");

    let done = run(&world, &probed(&node, &["resume", open, "--report", "r.json"])).ends(0).json();
    assert_eq!(done["report"]["verdict"], "Go", "{:#}", done["report"]);
    let report: Value =
        serde_json::from_slice(&std::fs::read(world.path("r.json")).unwrap()).unwrap();
    assert_eq!(report, done["report"]);
    let checks = report["checks"].to_string();
    assert!(checks.contains("key-auth") && !checks.contains("PLANTED"), "{checks}");
    world.run(&["resume", open, "--yes", "--json"]).fails(15, "over");
    let back = ["rollback", open, "--yes", "--json", "--report", "back.html"];
    world.run(&back).ends(16);
    assert!(is_empty(&node), "{:#?}", node.state());
    let page = std::fs::read_to_string(world.path("back.html")).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>"));
    world.run(&back).fails(1, "nothing is overwritten");
}
