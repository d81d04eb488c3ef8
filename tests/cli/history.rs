//! One resource over all backups.

use serde_json::{Value, json};

use crate::World;

/// Changes a host in the gateway's file.
fn change(world: &World, from: &str, to: &str) {
    let text = std::fs::read_to_string(world.path("kong.yml")).unwrap();
    assert!(text.contains(from));
    std::fs::write(world.path("kong.yml"), text.replace(from, to)).unwrap();
}

#[test]
fn every_version_of_a_service() {
    let world = World::with_backup();
    world.back_up("incremental").ends(0);
    change(&world, "orders.upstream", "orders.moved");
    let changed = world.back_up("incremental").ends(0).json();
    let shown = world.run(&["show", "latest", "service/harbor-orders", "--json"]).ends(0).json();
    let key = format!("service/{}", shown[0]["id"].as_str().unwrap());
    let found = world.run(&["history", &key, "--json"]).ends(0).json();
    let told: Vec<Value> = found
        .as_array()
        .unwrap()
        .iter()
        .map(|v| json!([v["became"], v["backups"], v["resource"]["document"]["host"]]))
        .collect();
    assert_eq!(told, [json!(["new", 2, "orders.upstream"]), json!(["changed", 1, "orders.moved"])]);
    assert_eq!(found[1]["first"]["backup"], changed["id"]);
    let text = world.run(&["history", &key, "--gateway", "shop/prod"]).ends(0);
    for line in [
        "shop/prod new (",
        "the same in 1 more until",
        "shop/prod changed (",
        r#"/host: "orders.upstream" -> "orders.moved""#,
    ] {
        assert!(text.out.contains(line), "{line}: {text:?}");
    }

    world.run(&["history", &key, "--gateway", "shop/test", "--json"]).fails(10, "show");
    world.run(&["history", "service/nobody", "--json"]).fails(10, "no backup holds");
    world.run(&["history", &key, "--gateway", "shop", "--json"]).fails(64, "APP/ENV");
    world.run(&["history", "service", "--json"]).fails(64, "KIND/ID");
    world.run(&["history", &key, "--link", "nowhere:x", "--json"]).fails(64, "nowhere");
    world.run(&["history", &key, "--backup", "latest", "--json"]).fails(64, "required");
}
