//! The disk of the spool is full.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::process::Command;
use std::sync::Arc;

use common::{Bench, look};
use gwbackup_core::ErrorKind;
use gwbackup_core::testing::MemoryGateway;

const INSIDE: &str = "GWBACKUP_TEST_FULL_DISK";

/// The limit on a file's size stands in for the disk: it counts for a whole process, so the
/// test runs itself once more below a shell that sets it.
#[tokio::test]
async fn a_full_disk_ends_a_backup_and_nothing_is_committed() {
    if std::env::var_os(INSIDE).is_some() {
        return on_a_full_disk().await;
    }
    let own = std::env::current_exe().unwrap();
    let name = "a_full_disk_ends_a_backup_and_nothing_is_committed";
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 16; exec \"$0\" --exact \"$1\" --nocapture"])
        .arg(own)
        .arg(name)
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text} {}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("1 passed"), "{text}");
}

async fn on_a_full_disk() {
    let bench = Bench::new(1).await;
    let gateway = MemoryGateway::kong_like();
    gateway.populate(1, 1_000);
    let repository = bench.open().await;
    let backup = repository.backup(Arc::new(gateway)).application("a").environment("e");
    let error = backup.run(&bench.cx).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Other, "{error:?}");
    assert!(error.advice().is_some(), "{error:?}");
    assert!(repository.list(&bench.cx).await.unwrap().is_empty());
    assert!(look::left_over(&bench.cx, &bench.sinks[0], &[]).await.is_empty());
}
