//! Each exit code of the page, and what stands beside it.

#[cfg(target_os = "linux")]
use std::process::Command;

use crate::{Ran, World, program};

#[test]
fn no_arguments_are_a_question_for_help() {
    let ran = World::empty().run(&[]).ends(0);
    assert!(ran.out.lines().next().unwrap().contains("quickstart"), "{}", ran.out);
    let shells = World::empty().run(&["completions", "bash"]).ends(0);
    assert!(shells.out.contains("_gwbackup"));
    let version = World::empty().run(&["--version", "--json"]).ends(0).json();
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(version["features"][0], "kong");
}

#[test]
fn usage_and_configuration_are_64() {
    let world = World::new();
    let before = world.files(&["a", "b", "kong.yml"]);
    for arguments in [
        &["retain", "--json"][..],
        &["backup", "--json"],
        &["backup", "kong.yml", "--json"],
        &["backup", "kong.txt", "--app", "x", "--env", "y", "--json"],
        &["show", "@yesterday", "--json"],
        &["verify", "--depth", "deep", "--json"],
        &["list", "--repo", "ftp://x/y", "--json"],
        &["list", "--repo", "/x?colour=red", "--json"],
        &["list", "--repo", "file://user:word@host/x", "--json"],
        &["restore", "--json"],
    ] {
        let ran = world.run(arguments).ends(64);
        assert_eq!(ran.json()["message_type"], "exit_error", "{arguments:?}");
        assert!(!ran.err.contains("word@"), "{}", ran.err);
    }
    assert_eq!(world.files(&["a", "b", "kong.yml"]), before);
}

#[test]
fn an_unknown_key_is_found_by_line_and_column() {
    let world = World::new();
    std::fs::write(world.path("c.toml"), "version = 1\n[gateway.x]\nurl = \"k.yml\"\n  ulr = 1\n")
        .unwrap();
    let ran = world.run(&["list", "--config", "c.toml", "--json"]).fails(64, "ulr");
    assert!(ran.err.contains("line 4, column 3"), "{}", ran.err);
    std::fs::write(world.path("c.toml"), "version = 2\n").unwrap();
    world.run(&["list", "--config", "c.toml", "--json"]).fails(64, "version");
    world.run(&["list", "--config", "none.toml", "--json"]).fails(64, "none.toml");
}

#[test]
fn what_is_no_gateway_file_is_64() {
    let world = World::new();
    let before = world.files(&["a/data", "b/data", "a/keys", "b/keys"]);
    for text in ["- a\n- b\n", "{", "services: 5\n", "services:\n- name: [x\n", "a: &x [*x]\n"] {
        std::fs::write(world.path("kong.yml"), text).unwrap();
        let ran = world.back_up("full").ends(64);
        assert!(ran.err.contains("kong.yml"), "{}", ran.err);
    }
    let after = world.files(&["a/data", "b/data", "a/keys", "b/keys"]);
    assert_eq!(after, before, "nothing was written but the event");
}

#[test]
fn typing_errors_are_told() {
    let world = World::new();
    let backup = ["backup", "kong.yml", "--app", "a", "--env", "b", "--json"];
    let only = [&backup[..], &["--only", "rout"]].concat();
    // A Kong may have kinds of its own, so this is no error.
    let made = world.run(&only).ends(3).json();
    assert!(made["warnings"].to_string().contains("did you mean `route`?"), "{made}");
    let plan = ["plan", "latest", "--onto", "kong.yml", "--only", "rout", "--json"];
    world.run(&plan).fails(64, "");
    let absent = ["backup", "knog.yml", "--app", "a", "--env", "b", "--json"];
    let made = world.run(&absent).ends(0).json();
    let warnings = made["warnings"].to_string();
    assert!(warnings.contains("empty gateway") && warnings.contains("does not exist"), "{made}");
}

#[test]
fn what_is_not_there_is_10() {
    let world = World::with_backup();
    world.run(&["show", "nothing", "--json"]).fails(10, "list");
    world.run(&["show", "../../etc/passwd", "--json"]).fails(10, "list");
    world.run(&["show", "latest:shop/test", "--json"]).fails(10, "list");
    world.run(&["show", "latest", "service/nobody", "--json"]).fails(10, "no such resource");
    world.run(&["resume", "00000000-0000-7000-8000-000000000000", "--json"]).fails(10, "status");
    let none = world.text("none");
    world.run(&["list", "--repo", &none, "--json"]).ends(10);
    assert!(!world.path("none").exists());
}

#[test]
fn a_part_of_a_gateway_is_3() {
    let world = World::new();
    let file = world.text("kong.yml");
    let made = world
        .run(&["backup", &file, "--app", "a", "--env", "b", "--only", "consumer", "--json"])
        .ends(3)
        .json();
    assert_eq!(made["status"], "Partial");
    world
        .run(&["restore", "latest", "--onto", "new.yml", "--yes", "--json"])
        .fails(15, "accept-partial");
    assert!(!world.path("new.yml").exists());
}

#[test]
fn a_failed_preflight_is_13() {
    let world = World::new();
    let ran = world.run(&["preflight", "no/such/place/kong.yml", "--for", "restore", "--json"]);
    let findings = ran.ends(13).json();
    let failed = |finding: &serde_json::Value| finding["verdict"] == "failed";
    assert!(findings["findings"].as_array().unwrap().iter().any(failed));
    world.run(&["preflight", "kong.yml"]).ends(0);
}

#[test]
fn a_want_of_consent_is_15() {
    let world = World::with_backup();
    let before = world.files(&["a", "b"]);
    world.run(&["restore", "latest", "--onto", "new.yml", "--json"]).fails(15, "--yes");
    world.run(&["restore", "latest", "--onto", "new.yml", "--dry-run", "--json"]).ends(0);
    assert!(!world.path("new.yml").exists());
    assert_eq!(world.files(&["a", "b"]), before, "nothing was written");
}

#[test]
fn an_outdated_plan_is_15() {
    let world = World::with_backup();
    world.run(&["plan", "latest", "--onto", "new.yml", "--out", "plan.json"]).ends(0);
    std::fs::write(
        world.path("new.yml"),
        "_format_version: '3.0'\nservices:\n- name: x\n  host: y\n",
    )
    .unwrap();
    let before = world.files(&["a", "b", "new.yml"]);
    world.run(&["restore", "--plan", "plan.json", "--yes", "--json"]).fails(15, "new plan");
    assert_eq!(world.files(&["a", "b", "new.yml"]), before);
    std::fs::write(world.path("broken.json"), "{\"schema\": 1").unwrap();
    world.run(&["restore", "--plan", "broken.json", "--yes", "--json"]).fails(64, "no plan");
}

/// A restore that replaced the large file by a small one, whose roll back finds a full disk.
#[cfg(target_os = "linux")]
#[test]
fn a_roll_back_that_fails_is_17_and_can_be_resumed() {
    let world = World::with_backup();
    std::fs::write(world.path("tiny.yml"), "_format_version: '3.0'\n").unwrap();
    world.run(&["backup", "tiny.yml", "--app", "tiny", "--env", "prod"]).ends(0);
    let done = world
        .run(
            &["restore", "latest:tiny/prod", "--onto", "kong.yml", "--yes", "--json"]
                .into_iter()
                .chain(["--prune", "--prune-limit", "100"])
                .collect::<Vec<_>>(),
        )
        .ends(0)
        .json();
    let run = done["run"].as_str().unwrap();
    world.run(&["resume", run, "--yes", "--json"]).fails(15, "over");
    let small = world.files(&["kong.yml"]);
    let result = limited(&world, 90, &["rollback", run, "--yes", "--json"]).ends(17).json();
    assert_eq!(result["status"], "RollbackIncomplete");
    assert_eq!(world.files(&["kong.yml"]), small);
    let result = world.run(&["resume", run, "--yes", "--json"]).ends(16).json();
    assert_eq!((&result["status"], &result["run"]), (&"RolledBack".into(), &run.into()));
    world.run(&["drift", "kong.yml", "latest:shop/prod", "--detailed-exitcode", "--json"]).ends(0);
    world.run(&["rollback", run, "--yes", "--json"]).fails(15, "already");
    world.run(&["audit", "verify"]).ends(0);
}

/// A shell in which no file may grow beyond `blocks` of 512 bytes.
#[cfg(target_os = "linux")]
fn limited(world: &World, blocks: u32, arguments: &[&str]) -> Ran {
    let mut command = Command::new("sh");
    world.surround(&mut command);
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\"");
    command.args(["-c", &script, "sh"]).arg(program()).args(arguments);
    command.output().unwrap().into()
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_1_and_commits_nothing() {
    let world = World::new();
    let before = world.files(&["a/data", "b/data"]);
    let file = world.text("kong.yml");
    limited(&world, 16, &["backup", &file, "--app", "a", "--env", "b", "--json"]).fails(1, "");
    assert_eq!(world.files(&["a/data", "b/data"]), before, "nothing was written");
    assert_eq!(world.run(&["list", "--json"]).ends(0).json(), serde_json::json!([]));
    world.back_up("full").ends(0);
}

#[cfg(target_os = "linux")]
#[test]
fn a_restore_that_fails_for_good_is_rolled_back_with_16() {
    let world = World::with_backup();
    std::fs::write(world.path("new.yml"), "_format_version: '3.0'\n").unwrap();
    let before = world.files(&["new.yml"]);
    // The archive fits below this limit, the gateway's file does not.
    let ran = limited(&world, 90, &["restore", "latest", "--onto", "new.yml", "--yes", "--json"]);
    let result = ran.ends(16).json();
    assert_eq!(result["status"], "RolledBack");
    assert_eq!(world.files(&["new.yml"]), before);
    world.run(&["restore", "latest", "--onto", "new.yml", "--yes"]).ends(0);
}
