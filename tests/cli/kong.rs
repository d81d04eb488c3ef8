//! Files of Kong and of decK.

use serde_json::{Value, json};

use crate::{Ran, World, peers};

/// Exports the newest backup to `out.yml`.
fn export(world: &World, format: &str) -> Ran {
    let _ = std::fs::remove_file(world.path("out.yml"));
    world.run(&["export", "latest", "--format", format, "--out", "out.yml", "--json"])
}

fn text(world: &World, file: &str) -> String {
    std::fs::read_to_string(world.path(file)).unwrap()
}

/// The kinds of what differs between a file and the newest backup: added, changed, removed.
fn drift(world: &World, file: &str) -> [Vec<String>; 3] {
    let drift = world.run(&["drift", file, "--json"]).ends(0).json();
    ["added", "changed", "removed"].map(|what| {
        let all = drift[what].as_array().unwrap().iter();
        all.map(|one| one["kind"].as_str().unwrap().to_owned()).collect()
    })
}

/// decK takes the file, where peers are asked.
fn validates(world: &World, file: &str) {
    if let Some(deck) = peers::deck() {
        peers::run(peers::call(deck, &["file", "validate", &world.text(file)]));
    }
}

fn back_up(world: &World, file: &str) {
    world.run(&["backup", file, "--app", "shop", "--env", "prod", "--type", "full"]).ends(0);
}

fn restore(world: &World, onto: &str, options: &[&str]) -> Ran {
    let mut arguments = vec!["restore", "latest", "--onto", onto, "--yes", "--json"];
    arguments.extend(options);
    world.run(&arguments)
}

#[test]
fn an_export_for_kong_holds_everything_but_the_clusters_id() {
    let world = World::with_backup();
    let result = export(&world, "kong").ends(0).json();
    assert_eq!(result["left_out"], json!({ "parameter": 1 }));
    let text = text(&world, "out.yml");
    assert!(text.starts_with("_format_version: \"3.0\"\n_transform: false\n"), "{}", &text[..80]);
    // Children stand in their parents, as decK wants them and Kong takes them too.
    assert!(!text.contains("\nroutes:\n- hosts") && text.contains("\n  routes:\n"));
    assert!(!text.contains("parameters:"));
    assert_eq!(drift(&world, "out.yml"), [vec![], vec![], vec![]] as [Vec<String>; 3]);
}

#[test]
fn an_export_for_deck_says_what_deck_has_no_place_for() {
    let world = World::with_backup();
    let ran = export(&world, "deck").ends(0);
    let wanted = json!({
        "basicauth_credential": 2, // hashed
        "certificate/cert_alt": 1,
        "certificate/key_alt": 1,
        "key": 3,
        "key_set": 1,
        "oauth2_credential": 1, // hashed
        "oauth2_token": 1,
        "parameter": 1,
    });
    assert_eq!(ran.json()["left_out"], wanted);
    assert!(ran.err.contains("Left out: key_set (1)"), "{}", ran.err);
    validates(&world, "out.yml");
    let [added, changed, removed] = drift(&world, "out.yml");
    let none = Vec::<String>::new();
    assert_eq!((added, changed), (none, vec!["certificate".into(), "declarative_file".into()]));
    assert_eq!(removed.len(), 8, "{removed:?}");
}

#[test]
fn a_gateway_in_lines_becomes_a_file_that_kong_and_deck_read() {
    let world = World::new();
    let lines = [
        json!({"kind": "service", "id": "00000000-0000-4000-8000-000000000001", "tags": ["a"],
            "body": {"name": "pay", "host": "pay.internal", "retries": 3}}),
        json!({"kind": "route", "id": "00000000-0000-4000-8000-000000000002",
            "refs": {"service": "00000000-0000-4000-8000-000000000001"},
            "body": {"name": "pay", "paths": ["/pay"]}}),
    ];
    let line = |line: &Value| format!("{line}\n");
    let mut gateway: String = lines.iter().map(line).collect();
    std::fs::write(world.path("g.jsonl"), &gateway).unwrap();
    back_up(&world, "g.jsonl");
    export(&world, "kong").ends(0);
    let wanted = r#"_format_version: "3.0"
services:
- host: "pay.internal"
  name: "pay"
  retries: 3
  tags:
  - "a"
  id: "00000000-0000-4000-8000-000000000001"
  routes:
  - name: "pay"
    paths:
    - "/pay"
    id: "00000000-0000-4000-8000-000000000002"
"#;
    assert_eq!(text(&world, "out.yml"), wanted);
    validates(&world, "out.yml");
    gateway += &line(&json!({"kind": "rest_api", "id": "r", "body": {}}));
    std::fs::write(world.path("g.jsonl"), &gateway).unwrap();
    back_up(&world, "g.jsonl");
    for format in ["kong", "deck"] {
        let ran = export(&world, format).fails(64, "another product");
        assert!(ran.json()["message"].as_str().unwrap().contains("rest_api/r"), "{}", ran.out);
        assert!(!world.path("out.yml").exists(), "half a file");
    }
}

#[test]
fn a_new_file_says_that_its_passwords_are_hashes() {
    let world = World::with_backup();
    let selection = ["--only", "basicauth_credential"];
    restore(&world, "new.yml", &selection).ends(0);
    let new = text(&world, "new.yml");
    assert!(new.contains("\n_transform: false\n") && new.contains("6b3f045b04cc717b"), "{new}");
}

#[test]
fn hashes_never_come_where_they_would_be_hashed_again() {
    let world = World::with_backup();
    let selection = ["--only", "basicauth_credential"];
    for own in ["", "_transform: true\n"] {
        let before = format!("_format_version: \"3.0\"\n{own}");
        std::fs::write(world.path("own.yml"), &before).unwrap();
        restore(&world, "own.yml", &selection).fails(15, "_transform: false");
        assert_eq!(text(&world, "own.yml"), before);
        // Neither does it with everything, since the backup's own settings come along.
        restore(&world, "own.yml", &[]).ends(0);
        assert_eq!(drift(&world, "own.yml")[1], Vec::<String>::new());
    }
    // What holds no hash may come.
    std::fs::write(world.path("own.yml"), "_format_version: \"3.0\"\n").unwrap();
    restore(&world, "own.yml", &["--only", "keyauth_credential"]).ends(0);
}

#[test]
fn clear_text_never_comes_where_it_would_be_taken_for_hashes() {
    let world = World::new();
    let clear = "_format_version: \"3.0\"\nconsumers:\n- username: bob\n  basicauth_credentials:\n  \
                 - {username: bob, password: hunter2}\n";
    std::fs::write(world.path("clear.yml"), clear).unwrap();
    back_up(&world, "clear.yml");
    let ran = restore(&world, "new.yml", &["--only", "consumer", "--only", "basicauth_credential"]);
    let ran = ran.fails(15, "_transform: false");
    assert!(!ran.out.contains("hunter2") && !world.path("new.yml").exists());
    restore(&world, "new.yml", &[]).ends(0);
    assert!(!text(&world, "new.yml").contains("_transform"));
}

#[test]
fn a_file_of_decks_stays_one() {
    let world = World::new();
    let fixture =
        concat!(env!("CARGO_MANIFEST_DIR"), "/gwbackup-kong/tests/fixtures/deck-short.yml");
    std::fs::copy(fixture, world.path("deck.yml")).unwrap();
    back_up(&world, "deck.yml");
    let before = text(&world, "deck.yml");
    std::fs::write(world.path("deck.yml"), before.replace("/v2", "/v3")).unwrap();
    assert_eq!(drift(&world, "deck.yml")[1], ["service"]);
    restore(&world, "deck.yml", &[]).ends(0);
    let after = text(&world, "deck.yml");
    for still in [
        "_info:",
        "_plugin_configs:",
        "\n  routes:\n",
        "password: ${{ env \"DECK_BOB\" }}\n",
        "/v2",
    ] {
        assert!(after.contains(still), "{still}: {after}");
    }
    assert!(!after.contains("team-a\"\n  url"), "{after}");
    assert_eq!(drift(&world, "deck.yml"), [vec![], vec![], vec![]] as [Vec<String>; 3]);
    if let Some(deck) = peers::deck() {
        let mut call = peers::call(deck, &["file", "validate", &world.text("deck.yml")]);
        call.env("DECK_BOB", "a password");
        peers::run(call);
    }
}
