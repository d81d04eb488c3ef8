//! Programs that others wrote and that tests ask for their opinion, built from pinned sources.
//!
//! They are downloaded and built only with `GWBACKUP_PEERS=1` in the environment; a peer that then
//! cannot be had is a failure. Without it a test of a peer says that it did not run.

#![allow(clippy::expect_used, clippy::print_stderr, reason = "a failure here fails the test")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// decK, at the version that `tests/peers/deck/go.mod` pins; `None` where peers are not asked for.
pub(crate) fn deck() -> Option<&'static Path> {
    static DECK: OnceLock<PathBuf> = OnceLock::new();
    let wanted = std::env::var("GWBACKUP_PEERS").is_ok_and(|value| value == "1");
    if !wanted {
        eprintln!("decK was not asked: set GWBACKUP_PEERS=1");
        return None;
    }
    Some(DECK.get_or_init(|| go_install("deck", "github.com/kong/deck")).as_path())
}

/// Builds a program of a Go module, which takes a moment when it is built already.
fn go_install(name: &str, package: &str) -> PathBuf {
    let peers = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("peers");
    // From the provider's own tests, or from those of the whole.
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let modules = ["tests/peers", "gwbackup-kong/tests/peers"].map(|path| root.join(path));
    let module = modules.iter().find(|path| path.is_dir()).expect("a pinned module").join(name);
    let built = Command::new("go")
        .args(["install", "-buildvcs=false", package])
        .env("GOBIN", &peers)
        .current_dir(module)
        .output()
        .expect("GWBACKUP_PEERS=1 needs Go");
    assert!(built.status.success(), "{name}: {}", String::from_utf8_lossy(&built.stderr));
    peers.join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
}

/// A call of decK that reports nothing to anybody.
pub(crate) fn call(deck: &Path, arguments: &[&str]) -> Command {
    let mut call = Command::new(deck);
    call.args(arguments).arg("--analytics=false").env_remove("DECK_KONG_ADDR");
    call
}

/// Makes the call; fails the test when it fails.
#[track_caller]
pub(crate) fn run(mut call: Command) -> String {
    let output = call.output().expect("a program that was just built");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{call:?}: {error}");
    String::from_utf8(output.stdout).expect("a peer that writes UTF-8")
}
