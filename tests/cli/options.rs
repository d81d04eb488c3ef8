//! Each option of a restore, and the members of each result.

use serde_json::{Value, json};

use crate::World;

/// One line of a `jsonl` gateway.
fn line(kind: &str, id: &str, body: &str) -> String {
    format!("{{\"kind\":\"{kind}\",\"id\":\"{id}\",\"body\":{body}}}\n")
}

/// A repository with a backup of four resources in `g.jsonl`, of which a route needs a service.
fn small() -> World {
    let world = World::new();
    let mut text = line("service", "s1", "{\"host\":\"one\"}");
    text += "{\"kind\":\"route\",\"id\":\"r1\",\"refs\":{\"service\":\"s1\"},\"body\":{\"n\":1}}\n";
    text += &line("route", "r2", "{\"n\":2}");
    text += &line("consumer", "c1", "{}");
    std::fs::write(world.path("g.jsonl"), text).unwrap();
    world
        .run(&["backup", "g.jsonl", "--app", "shop", "--env", "prod", "--tag", "t=1", "--json"])
        .ends(0);
    world
}

fn restore(world: &World, options: &[&str]) -> crate::Ran {
    let mut arguments = vec!["restore", "latest", "--onto", "g.jsonl", "--yes", "--json"];
    arguments.extend(options);
    world.run(&arguments)
}

fn text(world: &World) -> String {
    std::fs::read_to_string(world.path("g.jsonl")).unwrap()
}

#[track_caller]
fn has(value: &Value, names: &[&str]) {
    for name in names {
        assert!(value.get(name).is_some(), "{name} is missing in {value}");
    }
}

#[test]
fn a_selection_brings_what_it_needs_and_nothing_else() {
    let world = small();
    std::fs::remove_file(world.path("g.jsonl")).unwrap();
    let done = restore(&world, &["--only", "route/r1"]).ends(0).json();
    assert_eq!(done["status"], "Success");
    let there = text(&world);
    assert!(there.contains("\"r1\"") && there.contains("\"s1\""), "{there}");
    assert_eq!(there.lines().count(), 2);
}

#[test]
fn only_pruning_deletes_and_within_its_limit() {
    let world = small();
    let before = text(&world);
    std::fs::write(world.path("g.jsonl"), format!("{before}{}", line("route", "new", "{}")))
        .unwrap();
    restore(&world, &[]).ends(0);
    assert!(text(&world).contains("\"new\""), "nobody asked for a deletion");
    let refused = restore(&world, &["--prune", "--prune-limit", "10"]).fails(15, "");
    assert!(text(&world).contains("\"new\""), "{refused:?}");
    restore(&world, &["--prune", "--prune-limit", "20"]).ends(0);
    assert!(!text(&world).contains("\"new\""));
    assert_eq!(text(&world).lines().count(), 4);
}

#[test]
fn the_policy_says_what_happens_to_what_differs() {
    let world = small();
    let changed = text(&world).replace("\"one\"", "\"other\"");
    std::fs::write(world.path("g.jsonl"), &changed).unwrap();
    restore(&world, &["--policy", "fail"]).fails(15, "");
    let plan = world
        .run(&["plan", "latest", "--onto", "g.jsonl", "--policy", "fail", "--json"])
        .ends(0)
        .json();
    assert_eq!(plan["blocked"][0]["key"], json!({ "kind": "service", "id": "s1" }));
    let skipped = restore(&world, &["--policy", "skip"]).ends(0).json();
    assert_eq!(skipped["applied"], 0);
    assert_eq!(text(&world), changed);
    restore(&world, &["--policy", "update"]).ends(0);
    assert!(text(&world).contains("\"one\""));
    world
        .run(&["plan", "latest", "--onto", "g.jsonl", "--policy", "guess", "--json"])
        .fails(64, "known are update");
}

#[test]
fn a_mapping_says_which_resource_is_which() {
    let world = small();
    std::fs::write(world.path("g.jsonl"), line("consumer", "other", "{\"x\":1}")).unwrap();
    let map = "[[id]]\nkind = \"consumer\"\nfrom = \"c1\"\nto = \"other\"\n";
    std::fs::write(world.path("map.toml"), map).unwrap();
    let done = restore(&world, &["--map", "map.toml", "--map-out", "out.toml"]).ends(0).json();
    assert_eq!(done["map"], json!([{ "kind": "consumer", "from": "c1", "to": "other" }]));
    assert_eq!(std::fs::read_to_string(world.path("out.toml")).unwrap(), map);
    let there = text(&world);
    assert!(there.contains("\"other\"") && !there.contains("\"c1\""), "{there}");
    assert!(!there.contains("\"x\""), "it is what the backup says: {there}");
}

#[test]
fn results_have_the_members_that_the_page_names() {
    let world = small();
    let members = [
        "id",
        "name",
        "version",
        "status",
        "type",
        "base",
        "resources",
        "kinds",
        "gaps",
        "bytes",
        "stored_bytes",
        "copies",
        "state_digest",
        "started_at",
        "ended_at",
    ];
    let backup = ["backup", "g.jsonl", "--app", "shop", "--env", "prod", "--json"];
    let made = world.run(&backup).ends(0).json();
    has(&made, &members);
    let list = world.run(&["list", "--json"]).ends(0).json();
    let last = list.as_array().unwrap().last().unwrap();
    has(last, &members);
    has(last, &["expires_at"]);
    for same in ["id", "name", "version", "status", "type", "resources", "started_at", "ended_at"] {
        assert_eq!(made[same], last[same], "{same}");
    }
    std::fs::write(world.path("g.jsonl"), text(&world).replace("\"one\"", "\"two\"")).unwrap();
    let plan = world.run(&["plan", "latest", "--onto", "g.jsonl", "--json"]).ends(0).json();
    has(&plan, &["steps", "summary", "blocked"]);
    has(&plan["steps"][0], &["n", "action", "kind", "id", "changes"]);
    let decisions = [
        "create",
        "update",
        "replace",
        "delete",
        "reset",
        "undelete",
        "adopt",
        "unchanged",
        "skipped",
        "blocked",
        "ambiguous",
        "cannot_restore",
    ];
    has(&plan["summary"], &decisions);
    let drift = world.run(&["drift", "g.jsonl", "--json"]).ends(0).json();
    has(&drift, &["added", "removed", "changed"]);
    let done = restore(&world, &[]).ends(0).json();
    has(&done, &["run", "status", "applied", "compare", "safety", "map", "report"]);
    has(&done["compare"], &["equal", "ignorable", "different", "unverifiable"]);
    has(&world.run(&["verify", "--json"]).ends(0).json(), &["checked", "failures"]);
    let sampled = world.run(&["verify", "--sample", "1%", "--json"]).ends(0).json();
    assert_eq!(sampled["checked"], 2, "one backup on two copies");
    world.run(&["verify", "--sample", "0%", "--json"]).fails(64, "sample");
    let scrubbed = world.run(&["scrub", "--json"]).ends(0).json();
    has(&scrubbed, &["objects", "damaged", "healed"]);
    let audit = world.run(&["audit", "verify", "--json"]).ends(0).json();
    has(&audit, &["events", "ok", "first_broken"]);
    let id = made["id"].as_str().unwrap();
    has(
        &world.run(&["diff", "latest", id, "--json"]).ends(0).json(),
        &["added", "removed", "changed"],
    );
    assert_eq!(world.run(&["rollback", "--yes", "--json", done["run"].as_str().unwrap()]).code, 16);
    assert!(text(&world).contains("\"two\""), "the restore was undone");
}

#[test]
fn a_name_that_is_no_name_is_64_before_anything_is_written() {
    let world = World::new();
    let before = world.files(&["a", "b"]);
    let long = "x".repeat(61);
    for name in ["", " ", "..", "../x", "a/b", "a\\b", "a\nb", "a\u{1b}[2J", "a ", long.as_str()] {
        for (app, env) in [(name, "prod"), ("shop", name)] {
            let ran = world.run(&["backup", "kong.yml", "--app", app, "--env", env, "--json"]);
            let ran = ran.fails(64, "--app shop");
            assert!(!ran.err.contains('\u{1b}'));
        }
    }
    assert_eq!(world.files(&["a", "b"]), before);
    let long = "ü".repeat(60);
    world.run(&["backup", "kong.yml", "--app", &long, "--env", "prod"]).ends(0);
    world.run(&["show", &format!("latest:{long}/prod")]).ends(0);
}
