//! A writer is killed in the middle of an object.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a failure here fails the test")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use gwbackup_core::crypt::KeyFile;
use gwbackup_core::sink::{Body, DirectorySink, ObjectName, Sink as _};
use gwbackup_core::testing::{Fault, Faults, FaultySink, ManualClock};
use gwbackup_core::{Context, Copy, ErrorKind, Repository};

const ROOT: &str = "GWBACKUP_TEST_DYING_WRITER";
const NAME: &str = "opening_a_repository_sweeps_what_a_killed_writer_left";

/// The kernel kills who writes more into a file than its limit. The limit counts for a whole
/// process, so the test runs itself once more below a shell that sets it.
#[tokio::test]
async fn opening_a_repository_sweeps_what_a_killed_writer_left() {
    if let Some(root) = std::env::var_os(ROOT) {
        return write_and_die(Path::new(&root)).await;
    }
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path().join("copy");
    let clock = ManualClock::new(Context::new().now());
    let cx = Context::new().with_clock(Arc::new(clock.clone()));
    let key = Arc::new(KeyFile::generate(scratch.path().join("key"), None).unwrap());
    let sink = DirectorySink::open(&root).await.unwrap();
    let new =
        Repository::create().key(Arc::clone(&key) as _).copy(Copy::new(Arc::new(sink.clone())));
    new.state(scratch.path().join("state")).run(&cx).await.unwrap();
    let open = async |sink| {
        let builder = Repository::builder().key(Arc::clone(&key) as _).copy(Copy::new(sink));
        builder.state(scratch.path().join("state")).open(&cx).await.unwrap()
    };
    assert!(halves(&root).is_empty());

    let status = Command::new("sh")
        .args(["-c", "ulimit -c 0; ulimit -f 64; exec \"$0\" --exact \"$1\" --nocapture"])
        .arg(std::env::current_exe().unwrap())
        .arg(NAME)
        .env(ROOT, &root)
        // The limit would count for a log as well.
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(!status.success());
    let left = halves(&root);
    assert_eq!(left.len(), 1, "{left:?}");

    assert!(open(Arc::new(sink.clone())).await.warnings().is_empty());
    assert_eq!(halves(&root), left, "it may still be written");
    clock.advance(Duration::from_hours(25));
    // A copy that cannot be swept can be read.
    let stuck =
        Faults::when(|call| (call.operation == "sweep").then_some(Fault::Fail(ErrorKind::Denied)));
    let repository = open(Arc::new(FaultySink::new(Arc::new(sink.clone()), stuck))).await;
    assert_eq!(repository.warnings().len(), 1, "{:?}", repository.warnings());
    assert_eq!(halves(&root), left);
    assert!(open(Arc::new(sink)).await.warnings().is_empty());
    assert!(halves(&root).is_empty());
}

async fn write_and_die(root: &Path) {
    let sink = DirectorySink::open(root).await.unwrap();
    let name = ObjectName::new("data/shop/prod/shop-prod-full.00000000.gwb").unwrap();
    let put = sink.put(&Context::new(), &name, &Body::from(vec![7; 1 << 20])).await;
    panic!("the writer lives on: {put:?}");
}

/// Files below `folder` that are no objects.
fn halves(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(halves(&entry.path()));
        } else if entry.file_name().to_string_lossy().starts_with('.') {
            found.push(entry.path());
        }
    }
    found
}
