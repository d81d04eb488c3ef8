//! The whole story, once through.

use crate::{World, export};

#[test]
fn a_gateway_is_lost_and_comes_back() {
    let world = World::empty();
    let made = world.run(&["init", "--kit", "keys/kit", "--json"]).ends(0).json();
    assert_eq!(made["repository_id"].as_str().unwrap().len(), 64);
    assert!(world.path("keys/key").exists() && world.path("keys/kit").exists());

    let full = world.back_up("full").ends(0).json();
    assert_eq!((&full["status"], &full["type"]), (&"Success".into(), &"full".into()));
    assert_eq!(full["copies"].as_array().unwrap().len(), 2);
    let text = std::fs::read_to_string(world.path("kong.yml")).unwrap();
    std::fs::write(world.path("kong.yml"), text.replace("- /settle\n", "- /elsewhere\n")).unwrap();
    let second = world.back_up("auto").ends(0).json();
    assert_eq!((&second["type"], &second["base"]), (&"incremental".into(), &full["id"]));

    let list = world.run(&["list", "--json"]).ends(0).json();
    let ids: Vec<_> = list.as_array().unwrap().iter().map(|backup| &backup["id"]).collect();
    assert_eq!(ids, [&full["id"], &second["id"]]);
    let verified = world.run(&["verify", "--depth", "full", "--json"]).ends(0).json();
    assert_eq!((&verified["checked"], &verified["failures"]), (&4.into(), &serde_json::json!([])));

    let [first, last] = [&full, &second].map(|backup| backup["id"].as_str().unwrap());
    let diff = world.run(&["diff", first, last, "--json", "--detailed-exitcode"]).ends(2).json();
    assert_eq!(diff["changed"].as_array().unwrap().len(), 1);
    assert_eq!(diff["changed"][0]["kind"], "route");
    world.run(&["drift", "kong.yml", "latest", "--detailed-exitcode"]).ends(0);
    world.run(&["drift", "kong.yml", first, "--detailed-exitcode"]).ends(2);

    // The disaster, a plan that is approved, and a restore that carries out just that.
    std::fs::remove_file(world.path("kong.yml")).unwrap();
    let plan = world
        .run(&["plan", first, "--onto", "kong.yml", "--out", "plan.json", "--json"])
        .ends(0)
        .json();
    assert_eq!(plan["steps"].as_array().unwrap().len(), 104);
    world.run(&["plan", first, "--onto", "kong.yml", "--out", "plan.html"]).ends(0);
    let page = std::fs::read_to_string(world.path("plan.html")).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("104. create"), "{page}");
    assert!(!world.path("kong.yml").exists());
    let done = world
        .run(&[
            "restore",
            "--plan",
            "plan.json",
            "--yes",
            "--json",
            "--report",
            "report.html",
            "--map-out",
            "map.toml",
        ])
        .ends(0)
        .json();
    assert_eq!((&done["status"], &done["compare"]["different"]), (&"Success".into(), &0.into()));
    let report = std::fs::read_to_string(world.path("report.html")).unwrap();
    assert!(report.contains("<title>Go-live report: Go</title>"), "{report}");
    let again = world.run(&["plan", first, "--onto", "kong.yml", "--json"]).ends(0).json();
    assert_eq!(again["steps"], serde_json::json!([]));
    // What came back, held against the original by the library's other way: export and drift.
    std::fs::copy(export(), world.path("original.yml")).unwrap();
    let drift = world.run(&["drift", "original.yml", first, "--json"]).ends(0).json();
    assert_eq!(
        (&drift["added"], &drift["changed"]),
        (&serde_json::json!([]), &serde_json::json!([]))
    );

    let run = done["run"].as_str().unwrap();
    world.run(&["rollback", run]).ends(15);
    world.run(&["rollback", run, "--yes"]).ends(16);
    let back = world.run(&["plan", first, "--onto", "kong.yml", "--json"]).ends(0).json();
    assert_eq!(back["summary"]["create"], plan["summary"]["create"], "it is empty again");

    let events = world.run(&["audit", "list", "--json"]).ends(0).json();
    assert!(events.as_array().unwrap().iter().all(|event| event["actor"] == "tester"));
    let audit = world.run(&["audit", "verify", "--json"]).ends(0).json();
    assert_eq!(
        (&audit["ok"], &audit["events"]),
        (&true.into(), &events.as_array().unwrap().len().into())
    );
    let status = world.run(&["status", "--json"]).ends(0).json();
    assert_eq!(status["backups"]["Success"], 3, "two, and the safety backup");
    let keys = world.run(&["keys", "list", "--json"]).ends(0).json();
    assert!(keys.as_array().unwrap().iter().all(|key| key["state"] == "active"), "{keys}");
    let copies = world.run(&["copies", "list", "--json"]).ends(0).json();
    assert!(copies.as_array().unwrap().iter().all(|copy| copy["standing"] == "ready"));
}

#[test]
fn an_export_is_a_gateway_again() {
    let world = World::with_backup();
    for (format, file) in [("kong", "out.yml"), ("json", "out.json")] {
        world.run(&["export", "latest", "--format", format, "--out", file]).ends(0);
        world
            .run(&["export", "latest", "--format", format, "--out", file, "--json"])
            .fails(1, "another name");
    }
    let drift = world.run(&["drift", "out.yml", "--json", "--detailed-exitcode"]).ends(0).json();
    // The id of the cluster is in no file for another one.
    assert_eq!(drift["equal"], 104);
    let array = std::fs::read(world.path("out.json")).unwrap();
    let array: Vec<serde_json::Value> = serde_json::from_slice(&array).unwrap();
    assert_eq!(array.len(), 105);
}

#[test]
fn the_tour_ends_with_go_and_with_sabotage_with_no_go() {
    let world = World::empty();
    let good = world.run(&["quickstart", "--dir", "tour", "--json"]).ends(0).json();
    assert_eq!(good["verdict"], "Go");
    assert!(world.path("tour/report.md").exists() && world.path("tour/report.json").exists());
    world.run(&["quickstart", "--dir", "tour", "--json"]).fails(15, "not empty");
    let bad = world.run(&["quickstart", "--dir", "other", "--sabotage", "--json"]).ends(1).json();
    assert_eq!(bad["verdict"], "NoGo");
    let different = &bad["report"]["compare"]["differences"];
    assert_eq!(different.as_array().unwrap().len(), 1);
    assert_eq!(different[0]["name"], "ledger-payments");
    assert!(bad["report"]["reasons"][0].as_str().unwrap().contains("ledger-payments"));
    let seen = world.run(&["quickstart", "--dir", "third"]).ends(0);
    assert_eq!(seen.out.lines().last(), Some("Verdict: Go"));
}

#[test]
fn a_configuration_names_everything() {
    let world = World::new();
    let id = world.run(&["status", "--json"]).json()["repository"].as_str().unwrap().to_owned();
    let text = format!(
        "version = 1\nrepository = \"{id}\"\n\
         [[copy]]\nurl = \"{a}\"\nmedium = \"disk\"\n[[copy]]\nurl = \"{b}\"\n\
         [[key]]\nurl = \"{key}\"\n\
         [gateway.shop]\nurl = \"{gateway}\"\napp = \"shop\"\nenv = \"prod\"\n",
        a = world.text("a"),
        b = world.text("b"),
        key = world.text("keys/key"),
        gateway = world.text("kong.yml"),
    );
    std::fs::write(world.path("config.toml"), text).unwrap();
    let call = |arguments: &[&str]| {
        let mut command = world.command(&["--config", "config.toml", "--json"]);
        command.env_remove("GWBACKUP_REPO").env_remove("GWBACKUP_KEY").args(arguments);
        crate::Ran::from(command.output().unwrap())
    };
    let made = call(&["backup", "shop"]).ends(0).json();
    assert_eq!(made["copies"].as_array().unwrap().len(), 2);
    let found = call(&["show", "latest:shop/prod"]).ends(0).json();
    assert_eq!(found["backup"], made["id"]);
    let one = call(&["show", "latest", "service/harbor-orders"]).ends(0).json();
    assert_eq!(one[0]["document"]["host"], "orders.upstream");
}
