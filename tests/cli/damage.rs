//! Wrong keys, damaged and foreign copies: a clear word, the code of the page, nothing written.

use std::path::Path;

use crate::World;

/// A restore of the newest backup with this key.
#[track_caller]
fn restore_with(world: &World, key: &str, code: i32, word: &str) {
    let before = world.files(&["a", "b"]);
    world
        .run(&["restore", "latest", "--onto", "new.yml", "--yes", "--json", "--key", key])
        .fails(code, word);
    assert_eq!(world.files(&["a", "b"]), before, "nothing was written");
    assert!(!world.path("new.yml").exists());
}

#[test]
fn a_missing_malformed_or_wrong_key_is_12() {
    let world = World::with_backup();
    restore_with(&world, "keys/none", 12, "keys/none");
    std::fs::write(world.path("keys/bad"), "no key at all\n").unwrap();
    restore_only_for_owner(&world.path("keys/bad"));
    restore_with(&world, "keys/bad", 12, "keys/bad");
    let other = World::new();
    let foreign = other.text("keys/key");
    // It names its own repository, so it is seen before it is tried.
    restore_with(&world, &foreign, 15, "another repository");
    let text = std::fs::read_to_string(other.path("keys/key")).unwrap();
    let unbound: String = text
        .lines()
        .filter(|line| !line.contains("repository"))
        .map(|l| format!("{l}\n"))
        .collect();
    std::fs::write(world.path("keys/unbound"), unbound).unwrap();
    restore_only_for_owner(&world.path("keys/unbound"));
    restore_with(&world, "keys/unbound", 12, "key");
    world.run(&["list", "--key", "keys/unbound", "--json"]).ends(12);
}

fn restore_only_for_owner(path: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
}

#[test]
fn a_key_without_the_right_to_secrets_does_not_restore() {
    let world = World::empty();
    let reader = format!("key-file://{}?rights=content,meta", world.text("keys/reader"));
    let owner = world.text("keys/key");
    world.run(&["init", "--kit", "keys/kit", "--key", &owner, "--key", &reader]).ends(0);
    world.back_up("full").ends(0);
    restore_with(&world, &reader, 12, "key");
}

/// A key of a type that is a secret: what was written while it was away, it does not open.
#[test]
fn a_key_that_was_away_at_the_backup_is_told_so() {
    let world = World::empty();
    let second = world.text("keys/second");
    let owner = world.text("keys/key");
    world.run(&["init", "--kit", "keys/kit", "--key", &owner, "--key", &second]).ends(0);
    world.back_up("full").ends(0);
    restore_with(&world, &second, 12, "keys of this type must be given when a backup is made");
    let kong = world.text("kong.yml");
    world
        .run(&["backup", &kong, "--app", "x", "--env", "y", "--key", &owner, "--key", &second])
        .ends(0);
    world.run(&["restore", "latest", "--onto", "n.yml", "--yes", "--key", &second]).ends(0);
}

#[test]
fn a_reader_sees_everything_but_secrets_and_restores_nothing() {
    let world = World::empty();
    let identity = gwbackup::crypt::AgeIdentity::generate().unwrap();
    std::fs::write(world.path("keys/reader"), identity.to_text().unwrap().as_str()).unwrap();
    restore_only_for_owner(&world.path("keys/reader"));
    let reader = format!("age-file://{}?rights=content,meta", world.text("keys/reader"));
    let owner = world.text("keys/key");
    world.run(&["init", "--kit", "keys/kit", "--key", &owner, "--key", &reader]).ends(0);
    // The reader is not there when backups are made.
    let first = world.back_up("full").ends(0).json();
    let text = std::fs::read_to_string(world.path("kong.yml")).unwrap();
    std::fs::write(world.path("kong.yml"), text.replace("- /settle\n", "- /elsewhere\n")).unwrap();
    world.back_up("auto").ends(0);

    let alone = |arguments: &[&str]| {
        let mut command = world.command(&["--key", &reader, "--json"]);
        crate::Ran::from(command.args(arguments).output().unwrap())
    };
    assert_eq!(alone(&["list"]).ends(0).json().as_array().unwrap().len(), 2);
    let first = first["id"].as_str().unwrap();
    let diff = alone(&["diff", first, "latest"]).ends(0).json();
    assert_eq!(diff["changed"][0]["kind"], "route");
    for reveal in [&["show", "latest", "keyauth_credential"][..], &["show", "latest", "*"]] {
        let (shown, asked) = (alone(reveal), alone(&[reveal, &["--reveal-secrets"]].concat()));
        let whole = world.run(&[reveal, &["--reveal-secrets", "--json"]].concat()).ends(0);
        assert_eq!(shown.ends(0).json(), asked.ends(0).json(), "there is nothing to reveal");
        assert_ne!(whole.json(), alone(reveal).json(), "the owner sees more");
    }
    restore_with(&world, &reader, 12, "right");
    assert!(!world.path("new.yml").exists());
}

#[test]
fn a_key_inside_a_copy_is_15() {
    let world = World::empty();
    let before = world.files(&["a", "b"]);
    for (key, kit) in [("a/key", "keys/kit"), ("keys/key", "b/kit")] {
        world.run(&["init", "--key", key, "--kit", kit, "--json"]).fails(15, "apart");
        assert_eq!(world.files(&["a", "b"]), before, "nothing was written");
    }
    assert!(!world.path("keys/key").exists() && !world.path("keys/kit").exists());
    world.run(&["init", "--kit", "keys/kit"]).ends(0);
    let made = world.files(&["a", "b", "keys"]);
    world
        .run(&["init", "--key", "keys/new", "--kit", "keys/kit2", "--json"])
        .fails(1, "another place");
    assert_eq!(world.files(&["a", "b", "keys"]), made, "nothing was written");
}

/// Changes the files of this ending on both copies, and says what comes of it.
#[track_caller]
fn damaged(ending: &str, change: impl Fn(&mut Vec<u8>)) {
    let world = World::with_backup();
    for copy in ["a", "b"] {
        for path in world.ending(copy, ending) {
            let mut bytes = std::fs::read(&path).unwrap();
            change(&mut bytes);
            rewrite(&path, &bytes);
        }
    }
    let before = world.files(&["a", "b"]);
    let id = world.run(&["audit", "list", "--json"]).ends(0).json();
    let commit = |event: &&serde_json::Value| event["kind"] == "backup.commit";
    let id = id.as_array().unwrap().iter().find(commit).unwrap()["subject"]["id"].clone();
    let id = id.as_str().unwrap();
    world.run(&["restore", id, "--onto", "new.yml", "--yes", "--json"]).fails(14, "");
    world.run(&["plan", id, "--onto", "new.yml", "--json"]).fails(14, "");
    assert_eq!(world.files(&["a", "b"]), before, "nothing was written");
    assert!(!world.path("new.yml").exists());
}

fn rewrite(path: &Path, bytes: &[u8]) {
    // Stored files are made read-only: a new file takes the place.
    std::fs::remove_file(path).unwrap();
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn one_flipped_bit_is_14() {
    damaged(".gwb", |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    });
}

#[test]
fn a_cut_archive_is_14() {
    for keep in [0, 1, 64, 4096] {
        damaged(".gwb", |bytes| bytes.truncate(keep));
    }
    damaged(".gwb", |bytes| bytes.truncate(bytes.len() - 1));
}

#[test]
fn a_changed_manifest_is_14() {
    damaged(".manifest.0001.json", |bytes| {
        let at = bytes.windows(8).position(|w| w == b"complete").unwrap();
        bytes[at..at + 8].copy_from_slice(b"Complete");
    });
}

#[test]
fn verify_names_what_is_damaged_on_which_copy() {
    let world = World::with_backup();
    let path = world.ending("b", ".gwb").remove(0);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[100] ^= 0x80;
    rewrite(&path, &bytes);
    let report = world.run(&["verify", "--json"]).ends(14).json();
    let failures = report["failures"].as_array().unwrap();
    assert_eq!(failures.len(), 1);
    assert_eq!(failures[0]["kind"], "damaged");
    assert!(failures[0]["copy"].as_str().unwrap().ends_with("/b"));
    assert!(failures[0]["object"].as_str().unwrap().contains(".gwb"));
    // The other copy is whole, and enough.
    world.run(&["restore", "latest", "--onto", "new.yml", "--yes"]).ends(0);
}

#[test]
fn scrub_brings_back_what_a_copy_lost_or_damaged() {
    let world = World::with_backup();
    let whole = world.files(&["b/data", "b/keys"]);
    let archive = world.ending("b", ".gwb").remove(0);
    let mut bytes = std::fs::read(&archive).unwrap();
    bytes[100] ^= 0x80;
    rewrite(&archive, &bytes);
    let report = world.run(&["scrub", "--json"]).ends(14).json();
    assert_eq!(report["damaged"].as_array().unwrap().len(), 1);
    assert_eq!((&report["objects"], &report["healed"]), (&2.into(), &serde_json::json!([])));
    std::fs::remove_file(world.ending("b", ".manifest.0001.json").remove(0)).unwrap();
    world.run(&["scrub", "--heal", "--dry-run"]).ends(14);
    assert_ne!(world.files(&["b/data", "b/keys"]), whole, "it only looked");
    let report = world.run(&["scrub", "--heal", "--json"]).ends(0).json();
    let healed: Vec<&str> = report["healed"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["object"].as_str().unwrap())
        .collect();
    assert!(healed.iter().any(|name| name.contains(".gwb")), "{healed:?}");
    assert_eq!(world.files(&["b/data", "b/keys"]), whole);
    world.run(&["verify", "--depth", "full"]).ends(0);
}

#[test]
fn two_swapped_archives_are_14() {
    let world = World::with_backup();
    let text = std::fs::read_to_string(world.path("kong.yml")).unwrap();
    std::fs::write(world.path("kong.yml"), text.replace("/settle", "/set")).unwrap();
    world.back_up("full").ends(0);
    for copy in ["a", "b"] {
        let paths = world.ending(copy, ".gwb");
        let [one, two] = paths.as_slice() else { panic!("{paths:?}") };
        let (first, second) = (std::fs::read(one).unwrap(), std::fs::read(two).unwrap());
        rewrite(one, &second);
        rewrite(two, &first);
    }
    let before = world.files(&["a", "b"]);
    world.run(&["restore", "latest", "--onto", "new.yml", "--yes", "--json"]).fails(14, "");
    assert_eq!(world.files(&["a", "b"]), before, "nothing was written");
    assert!(!world.path("new.yml").exists());
    let report = world.run(&["verify", "--json"]).ends(14).json();
    assert_eq!(report["failures"].as_array().unwrap().len(), 4);
}

#[test]
fn another_repository_is_15() {
    let world = World::with_backup();
    let other = World::with_backup();
    let (a, b) = (other.text("a"), other.text("b"));
    let before = other.files(&["a", "b"]);
    let file = world.text("kong.yml");
    world
        .run(&["backup", &file, "--app", "x", "--env", "y", "--json", "--repo", &a, "--repo", &b])
        .fails(15, "another repository");
    assert_eq!(other.files(&["a", "b"]), before, "nothing was written");
}

#[test]
fn an_unmounted_and_a_foreign_copy_are_left_alone() {
    let world = World::with_backup();
    // What a directory is when its medium is not mounted.
    std::fs::rename(world.path("b"), world.path("away")).unwrap();
    std::fs::create_dir(world.path("b")).unwrap();
    world.back_up("full").fails(15, "mounted");
    assert!(world.files(&["b"]).is_empty(), "nothing was written");
    let copies = world.run(&["copies", "list", "--json"]).ends(0).json();
    assert_eq!(copies[1]["standing"], "foreign");
    // A copy of another repository.
    let other = World::with_backup();
    std::fs::remove_dir(world.path("b")).unwrap();
    std::fs::rename(other.path("b"), world.path("b")).unwrap();
    let before = world.files(&["b"]);
    let made = world.back_up("full");
    assert!(matches!(made.code, 3 | 15), "{made:?}");
    assert_eq!(world.files(&["b"]), before, "nothing was written");
}
