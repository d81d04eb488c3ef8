//! The first interrupt.

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use crate::World;

/// A stream that nobody can write to until its other end is read, and that end.
fn full() -> (OwnedFd, UnixStream) {
    let (mut write, read) = UnixStream::pair().unwrap();
    write.set_nonblocking(true).unwrap();
    loop {
        match write.write(b"\n") {
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::WouldBlock => break,
            Err(e) => panic!("{e}"),
        }
    }
    write.set_nonblocking(false).unwrap();
    (write.into(), read)
}

/// Runs a command that writes a line before its result, and interrupts it: its standard output is
/// full, so that it cannot get past that line before the interrupt has come.
fn interrupted(world: &World, arguments: &[&str]) -> (i32, String, String) {
    let (out, mut read) = full();
    let mut command = world.command(arguments);
    let mut child =
        command.args(["--json", "-v"]).stdout(out).stderr(Stdio::piped()).spawn().unwrap();
    // The command holds copies of the child's ends.
    drop(command);
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut said = String::new();
    let mut until = |word: &str| {
        for line in lines.by_ref() {
            said += &format!("{}\n", line.unwrap());
            if said.contains(word) {
                return;
            }
        }
        panic!("{word:?} was not said: {said}");
    };
    until("on 2 copies");
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    until("stopping at the next safe point");
    let mut seen = String::new();
    read.read_to_string(&mut seen).unwrap();
    for line in lines {
        said += &format!("{}\n", line.unwrap());
    }
    (child.wait().unwrap().code().unwrap_or(-1), seen, said)
}

/// A gateway of more resources than are read in one piece.
fn large(world: &World) {
    let line = |n| format!("{{\"kind\":\"route\",\"id\":\"r{n}\",\"body\":{{\"weight\":{n}}}}}\n");
    let text: String = (0..2000).map(line).collect();
    std::fs::write(world.path("large.jsonl"), text).unwrap();
}

#[test]
fn a_backup_that_is_interrupted_ends_with_130_and_leaves_no_backup() {
    let world = World::new();
    large(&world);
    let data = world.files(&["a/data", "b/data"]);
    let backup = ["backup", "large.jsonl", "--app", "a", "--env", "b"];
    let (code, seen, said) = interrupted(&world, &backup);
    assert_eq!(code, 130, "{seen}{said}");
    let last: serde_json::Value = serde_json::from_str(seen.lines().last().unwrap()).unwrap();
    assert_eq!((&last["message_type"], &last["code"]), (&"exit_error".into(), &130.into()));
    assert_eq!(last["kind"], "cancelled");
    assert_eq!(world.files(&["a/data", "b/data"]), data, "nothing was kept");
    assert_eq!(world.run(&["list", "--json"]).ends(0).json(), serde_json::json!([]));
    world.run(&backup).ends(0);
    world.run(&["audit", "verify"]).ends(0);
}

#[test]
fn a_restore_that_is_interrupted_before_it_writes_writes_nothing() {
    let world = World::new();
    large(&world);
    world.run(&["backup", "large.jsonl", "--app", "a", "--env", "b"]).ends(0);
    let text = std::fs::read_to_string(world.path("large.jsonl")).unwrap();
    let changed = text.replace("{\"weight\":7}", "{\"weight\":8}");
    std::fs::write(world.path("large.jsonl"), &changed).unwrap();
    let restore = ["restore", "latest", "--onto", "large.jsonl", "--yes"];
    let (code, seen, said) = interrupted(&world, &restore);
    assert_eq!(code, 130, "{seen}{said}");
    assert_eq!(std::fs::read_to_string(world.path("large.jsonl")).unwrap(), changed);
    world.run(&restore).ends(0);
    assert_eq!(world.run(&["drift", "large.jsonl", "--detailed-exitcode"]).code, 0);
}

/// The kernel kills who writes more into a file than its limit: here the gateway's file, the only
/// one that is larger, so the run is cut in the middle of its step.
#[test]
fn a_restore_that_is_killed_while_it_writes_is_resumed_or_rolled_back() {
    for (go_on, code) in [("resume", 0), ("rollback", 16)] {
        let world = World::new();
        large(&world);
        world.run(&["backup", "large.jsonl", "--app", "a", "--env", "b"]).ends(0);
        let wanted = std::fs::read_to_string(world.path("large.jsonl")).unwrap();
        let changed = wanted.replace("\"weight\":7", "\"weight\":8");
        std::fs::write(world.path("large.jsonl"), &changed).unwrap();
        let mut killed = Command::new("sh");
        world.surround(&mut killed);
        killed.args(["-c", "ulimit -c 0; ulimit -f 128; exec \"$@\"", "sh"]).arg(crate::program());
        killed.args(["restore", "latest", "--onto", "large.jsonl", "--yes"]);
        let ended = killed.output().unwrap();
        assert_eq!(ended.status.code(), None, "{}", String::from_utf8_lossy(&ended.stderr));
        assert_eq!(std::fs::read_to_string(world.path("large.jsonl")).unwrap(), changed);

        let status = world.run(&["status", "--json"]).ends(0).json();
        let run = status["open_runs"][0]["run"].as_str().unwrap().to_owned();
        let ran = world.run(&[go_on, &run, "--yes", "--json"]).ends(code);
        assert_eq!(ran.json()["run"], run.as_str());
        let differs = if go_on == "resume" { 0 } else { 2 };
        let drift = world.run(&["drift", "large.jsonl", "latest", "--detailed-exitcode"]);
        drift.ends(differs);
        let status = world.run(&["status", "--json"]).ends(0).json();
        assert_eq!(status["open_runs"], serde_json::json!([]));
    }
}

#[test]
fn what_is_no_file_does_not_hold_a_backup_up() {
    let world = World::new();
    let pipe = world.text("pipe.jsonl");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    world
        .run(&["backup", &pipe, "--app", "a", "--env", "b", "--json"])
        .fails(64, "no regular file");
}
