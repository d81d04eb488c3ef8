//! To another environment: mapping, secrets, approval.

use serde_json::json;

use crate::World;

/// A backup of a service in `eu`, which a function of account 111 serves.
fn moved() -> World {
    let world = World::new();
    let service = json!({"kind": "service", "id": "s.eu", "body": {
        "url": "https://a.eu.example/x", "policy": "{\"arn\":\"x:eu:111:f\"}", "n": 111}});
    let route = json!({"kind": "route", "id": "r", "refs": {"service": "s.eu"}, "body": {
        "role": "role 111", "note": "eu-1 europe"}});
    std::fs::write(world.path("g.jsonl"), format!("{service}\n{route}\n")).unwrap();
    world.run(&["backup", "g.jsonl", "--app", "shop", "--env", "prod"]).ends(0);
    world
}

const MAP: &str = "\
[[exact]]
from = \"role 111\"
to = \"role of the other\"

[[token]]
from = \"eu\"
to = \"us\"

[[token]]
from = \"111\"
to = \"222\"

[[token]]
from = \"nothing\"
to = \"x\"
";

#[test]
fn a_mapping_changes_every_string_that_is_written() {
    let world = moved();
    std::fs::write(world.path("map.toml"), MAP).unwrap();
    let call = |command: &str, more: &[&str]| {
        let mut arguments = vec![command, "latest", "--onto", "n.jsonl", "--map", "map.toml"];
        arguments.extend(more);
        world.run(&arguments)
    };
    let plan = call("plan", &["--json"]).ends(0).json();
    let rules = plan["mapping"].as_array().unwrap();
    let count = |from: &str| {
        rules.iter().find(|rule| rule["from"] == from).unwrap()["resources"].as_u64().unwrap()
    };
    assert_eq!(["role 111", "eu", "111", "nothing"].map(count), [1, 2, 1, 0]);
    let shown = call("plan", &[]).ends(0).out;
    assert!(
        shown.contains("mapped token eu -> us: 2 resources (route/r, service/s.us)"),
        "{shown}"
    );
    assert!(shown.contains("mapping: token nothing: it stands nowhere"), "{shown}");
    assert!(shown.contains("longer word: in route/r"), "{shown}");
    call("restore", &["--yes", "--json"]).ends(0);
    let there = std::fs::read_to_string(world.path("n.jsonl")).unwrap();
    for has in [
        "\"s.us\"",
        "https://a.us.example/x",
        r#"{\"arn\":\"x:us:222:f\"}"#,
        "\"n\":111",
        "role of the other",
        "eu-1 europe",
    ] {
        assert!(there.contains(has), "{has} is not in {there}");
    }
    assert!(!there.contains("s.eu") && !there.contains("role 111"), "{there}");
    assert!(call("plan", &["--json"]).ends(0).json()["steps"].as_array().unwrap().is_empty());
}

#[test]
fn a_mapping_that_is_none_is_64_with_its_line() {
    let world = moved();
    for (text, word) in [
        ("[[regex]]\nfrom = \"a\"\nto = \"b\"\n", "unknown field"),
        ("[[token]]\nfrom = \"\"\nto = \"b\"\n", "looks for nothing"),
        ("[[token]]\nfrom = \"a\"\nto = \"b\"\n[[token]]\nfrom = \"a\"\nto = \"c\"\n", "two rules"),
        ("[[token]]\nfrom = \"a\"\n", "missing field"),
    ] {
        std::fs::write(world.path("map.toml"), text).unwrap();
        let arguments = ["plan", "latest", "--onto", "n.jsonl", "--map", "map.toml", "--json"];
        world.run(&arguments).fails(64, word);
    }
}

const KONG: &str = "\
_format_version: \"3.0\"
consumers:
- username: ann
  id: 00000000-0000-4000-8000-000000000001
  keyauth_credentials:
  - id: 00000000-0000-4000-8000-000000000002
    key: PLANTED-old
";

const PLACE: &str = "keyauth_credential/00000000-0000-4000-8000-000000000002#/key";

#[test]
fn secrets_come_from_a_file_and_are_never_shown() {
    let world = World::new();
    std::fs::write(world.path("k.yml"), KONG).unwrap();
    let backup = ["backup", "k.yml", "--app", "shop", "--env", "prod", "--without-secrets"];
    world.run(&backup).ends(0);
    let mut seen = String::new();
    let mut call = |arguments: &[&str]| {
        let mut all = arguments.to_vec();
        all.extend(["--json", "-vvv"]);
        let ran = world.run(&all);
        seen += &format!("{}{}", ran.out, ran.err);
        ran
    };
    let plan = call(&["plan", "latest", "--onto", "n.yml"]).ends(0).json();
    assert!(plan["blocked"][0].to_string().contains(PLACE), "{plan}");
    call(&["restore", "latest", "--onto", "n.yml", "--yes"]).fails(15, PLACE);

    let secrets = |text: &str| std::fs::write(world.path("s.toml"), text).unwrap();
    for (bad, word) in [
        ("\"credential\" = \"PLANTED-a\"\n", "kind/id#/json/pointer"),
        (&format!("\"{PLACE}\" = 5\n"), "s.toml"),
        (&format!("\"{PLACE}x\" = \"PLANTED-b\"\n"), "no secret of the backup stands at"),
        (&format!("\"{PLACE}\" = {{ file = \"none\" }}\n"), "cannot be read"),
    ] {
        secrets(bad);
        call(&["plan", "latest", "--onto", "n.yml", "--secrets", "s.toml"]).fails(64, word);
    }
    std::fs::write(world.path("key"), "PLANTED-new\n").unwrap();
    secrets(&format!("\"{PLACE}\" = {{ file = \"key\" }}\n"));
    let with = ["--secrets", "s.toml"];
    let stored = ["plan", "latest", "--onto", "n.yml", "--out", "p.json"];
    let plan = call(&[&stored[..], &with].concat()).ends(0).json();
    assert_eq!(plan["supplied"], json!([PLACE]));
    call(&["restore", "--plan", "p.json", "--yes"]).fails(64, "--secrets");
    call(&[&["restore", "--plan", "p.json", "--yes"], &with[..]].concat()).ends(0);
    let there = std::fs::read_to_string(world.path("n.yml")).unwrap();
    assert!(there.contains("PLANTED-new"), "{there}");
    assert!(!seen.contains("PLANTED"), "{seen}");
    for (path, bytes) in world.files(&["a", "b", "state", "p.json"]) {
        assert!(!bytes.windows(7).any(|window| window == b"PLANTED"), "{}", path.display());
    }
}

#[test]
fn production_wants_somebody_else_to_approve_the_plan() {
    let world = moved();
    let config =
        "version = 1\n[approval]\nenvironments = [\"prod\"]\nclaims = { auth = [\"mfa\"] }\n";
    std::fs::write(world.path("c.toml"), config).unwrap();
    let run = |arguments: &[&str]| {
        world.run(&[&["--config", "c.toml", "--json", "--yes"], arguments].concat())
    };
    run(&["plan", "latest", "--onto", "n.jsonl", "--out", "p.json"]).ends(0);
    let restore = ["restore", "--plan", "p.json", "--claim", "auth=mfa"];
    run(&["restore", "--plan", "p.json"]).fails(15, "auth = mfa");
    run(&restore).fails(15, "second person");
    run(&["approve", "p.json", "--claim", "auth=mfa"]).ends(0);
    run(&restore).fails(15, "second person");
    let approved = run(&["approve", "p.json", "--actor", "bob", "--claim", "auth=mfa"]).ends(0);
    assert_eq!(approved.json()["approval"]["actor"], "bob");
    assert!(!world.path("n.jsonl").exists());
    let done = run(&restore).ends(0).json();
    assert_eq!(done["report"]["allowed"], "approved by bob");
    let audit = run(&["audit", "list"]).ends(0).out;
    assert!(audit.contains("restore.approve") && audit.contains("restore.authorize"));
}

#[test]
fn a_kind_can_have_a_policy_of_its_own() {
    let world = moved();
    let text = std::fs::read_to_string(world.path("g.jsonl")).unwrap();
    let changed = text.replace("a.eu.example", "b").replace("europe", "asia");
    std::fs::write(world.path("g.jsonl"), changed).unwrap();
    let plan = |policies: &[&str]| {
        let mut arguments = vec!["plan", "latest", "--onto", "g.jsonl", "--json"];
        arguments.extend(policies.iter().flat_map(|policy| ["--policy", *policy]));
        world.run(&arguments)
    };
    let summary = |policies: &[&str]| {
        let summary = plan(policies).ends(0).json()["summary"].clone();
        ["update", "skipped", "blocked"].map(|name| summary[name].as_u64().unwrap())
    };
    assert_eq!(summary(&[]), [2, 0, 0]);
    assert_eq!(summary(&["route=skip"]), [1, 1, 0]);
    assert_eq!(summary(&["fail", "service=update"]), [1, 0, 1]);
    plan(&["route=guess"]).fails(64, "known are update");
}
