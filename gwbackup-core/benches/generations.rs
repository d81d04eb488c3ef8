//! Generations of one gateway: the first file as a full backup, each further one as an incremental.
//!
//! Each backup is restored into a new file, which is compared with its input by a reader of this
//! program's own. Prints size, CPU time and peak memory; fails where something read back differs.
//! `--no-read-back` ends after the backups, so that the peak is theirs alone.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it reports to people")]
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a measurement"
)]

#[allow(dead_code, reason = "shared with the other measurements")]
mod support;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::sync::Arc;

use gwbackup_core::backup::BackupType;
use gwbackup_core::jsonl;
use gwbackup_core::restore::{ApplyOptions, RunStatus};
use gwbackup_core::sink::DirectorySink;
use gwbackup_core::verify::Depth;
use sha2::{Digest as _, Sha256};
use support::{Bench, cpu};

fn main() {
    let (switches, files): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|argument| argument.starts_with("--"));
    if files.is_empty() {
        eprintln!("usage: cargo bench --bench generations -- [--no-read-back] FILE.jsonl...");
        return;
    }
    let read_back = !switches.iter().any(|switch| switch == "--no-read-back");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(run(&files, read_back));
}

async fn run(files: &[String], read_back: bool) {
    let bench = Bench::new(async |directory| {
        Arc::new(DirectorySink::open(directory.join("copy")).await.unwrap()) as _
    })
    .await;
    let gateway = bench.directory.path().join("gateway.jsonl");
    let mut ids = Vec::new();
    println!("type         resources  input MB  stored MB  CPU s   MB/s  peak MiB");
    for (n, file) in files.iter().enumerate() {
        // One gateway whose content changes: an incremental needs a base of the same gateway.
        std::fs::copy(file, &gateway).unwrap();
        let kind = if n == 0 { BackupType::Full } else { BackupType::Incremental };
        let before = cpu();
        let source = Arc::new(jsonl::open(&gateway).unwrap());
        let backup = bench.repository.backup(source).application("bench").environment("test");
        let made = backup.kind(kind).run(&bench.cx).await.unwrap();
        let seconds = seconds_since(before);
        assert!(n == 0 || made.base.is_some(), "no incremental: {:?}", made.why_full);
        println!(
            "{:<12} {:>9}  {:>8.1}  {:>9.3}  {:>5.2}  {:>5.0}  {:>8}",
            made.kind,
            made.resources,
            mb(made.bytes),
            mb(made.stored_bytes),
            seconds,
            mb(made.bytes) / seconds,
            peak_mib(),
        );
        ids.push(made.id);
    }
    std::fs::remove_file(&gateway).unwrap();
    let before = cpu();
    let report = bench.repository.verify().depth(Depth::Full).run(&bench.cx).await.unwrap();
    assert!(report.failures.is_empty(), "{:?}", report.failures);
    println!(
        "all verified in full depth: {:.2} s CPU, peak {} MiB",
        seconds_since(before),
        peak_mib()
    );
    if read_back {
        for (file, id) in files.iter().zip(ids) {
            let before = cpu();
            let out = bench.directory.path().join(format!("{id}.jsonl"));
            let info = bench.repository.find(&bench.cx, &id.to_string()).await.unwrap();
            let target = Arc::new(jsonl::open(&out).unwrap());
            let plan = bench.repository.restore(&info, target).plan(&bench.cx).await.unwrap();
            let done = plan.apply(&bench.cx, &ApplyOptions::default()).await.unwrap();
            assert_eq!(done.report.status, RunStatus::Success, "{:?}", done.report.failures);
            let seconds = seconds_since(before);
            let (wanted, found) = (content(Path::new(file)), content(&out));
            let different = wanted.iter().filter(|(key, value)| found.get(*key) != Some(*value));
            assert_eq!(different.count(), 0, "{file} came back different");
            assert_eq!(wanted.len(), found.len(), "{file} came back with more");
            println!("{file}: {} resources restored and equal, {seconds:.2} s CPU", found.len());
        }
    }
}

/// Kind and id, and a digest of the line's value with its members sorted.
fn content(path: &Path) -> BTreeMap<(String, String), [u8; 32]> {
    let mut found = BTreeMap::new();
    for line in BufReader::new(std::fs::File::open(path).unwrap()).lines() {
        let value: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
        let text = |name: &str| value[name].as_str().unwrap().to_owned();
        let digest = Sha256::digest(value.to_string().as_bytes()).into();
        assert!(found.insert((text("kind"), text("id")), digest).is_none());
    }
    found
}

fn seconds_since(before: u64) -> f64 {
    std::time::Duration::from_nanos(cpu() - before).as_secs_f64()
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn mb(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// Most memory that was resident so far; none where the system does not tell.
fn peak_mib() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.map_or_else(|| "?".to_owned(), |kib| (kib / 1024).to_string())
}
