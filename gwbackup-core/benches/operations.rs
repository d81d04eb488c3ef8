//! Canonical form, archive write, archive read and verify, and plan, as CPU time.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a measurement"
)]

#[allow(dead_code, reason = "shared with the other measurements")]
mod support;

use std::hint::black_box;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use criterion::measurement::{Measurement, ValueFormatter};
use criterion::{Criterion, Throughput};
use gwbackup_core::archive::{ArchiveIds, ArchiveOptions, ArchiveType, ArchiveWriter, Entry};
use gwbackup_core::backup::BackupType;
use gwbackup_core::crypt::{DataKey, Suite};
use gwbackup_core::model::Document;
use gwbackup_core::sink::MemorySink;
use gwbackup_core::verify::Depth;
use support::generator::{Variant, lines, set};
use support::{Bench, Prepared, cpu};
use uuid::Uuid;

/// Resources of a set.
const COUNT: u64 = 100_000;

/// CPU time of the process, all threads together.
struct CpuTime;

impl Measurement for CpuTime {
    type Intermediate = u64;
    type Value = u64;

    fn start(&self) -> u64 {
        cpu()
    }

    fn end(&self, start: u64) -> u64 {
        cpu() - start
    }

    fn add(&self, a: &u64, b: &u64) -> u64 {
        a + b
    }

    fn zero(&self) -> u64 {
        0
    }

    #[expect(clippy::cast_precision_loss, reason = "for people")]
    fn to_f64(&self, value: &u64) -> f64 {
        *value as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        &Milliseconds
    }
}

/// Shows milliseconds, and MB (10^6 bytes) or resources per second.
struct Milliseconds;

impl ValueFormatter for Milliseconds {
    fn scale_values(&self, _: f64, values: &mut [f64]) -> &'static str {
        for value in values {
            *value /= 1e6;
        }
        "ms CPU"
    }

    #[expect(clippy::cast_precision_loss, reason = "for people")]
    fn scale_throughputs(&self, _: f64, per: &Throughput, values: &mut [f64]) -> &'static str {
        let (amount, unit) = match per {
            Throughput::Bytes(bytes) => (*bytes as f64 / 1e6, "MB/s of CPU"),
            Throughput::Elements(count) => (*count as f64, "resources/s of CPU"),
            _ => (1.0, "runs/s of CPU"),
        };
        for value in values {
            *value = amount * 1e9 / *value;
        }
        unit
    }

    fn scale_for_machines(&self, _: &mut [f64]) -> &'static str {
        "ns"
    }
}

fn canonicalise(c: &mut Criterion<CpuTime>) {
    let texts: Vec<String> = lines(10_000, 1, Variant::Same).map(|line| line.2).collect();
    let bytes = texts.iter().map(|text| text.len() as u64).sum();
    let mut group = c.benchmark_group("canonicalise");
    group.throughput(Throughput::Bytes(bytes));
    group.bench_function("10,000 documents", |b| {
        b.iter(|| {
            texts.iter().map(|text| Document::parse(black_box(text)).unwrap().len()).sum::<usize>()
        });
    });
}

/// Documents as a gateway sends them, in the order of an archive, become the bytes of one.
fn write(c: &mut Criterion<CpuTime>) {
    let mut documents: Vec<_> = lines(COUNT, 1, Variant::Same).collect();
    documents.sort();
    let bytes = documents.iter().map(|(_, _, text)| text.len() as u64).sum();
    let key = |byte| DataKey::new([byte; 32]);
    let mut group = c.benchmark_group("archive");
    group.throughput(Throughput::Bytes(bytes));
    group.bench_function("write: canonical form, compress, seal, hash", |b| {
        b.iter(|| {
            let ids = ArchiveIds {
                repository: [1; 32],
                backup: Uuid::from_u128(2),
                archive: [3; 16],
                base: None,
                kind: ArchiveType::Full,
            };
            let options = ArchiveOptions::default();
            let (out, suite) = (Vec::new(), Suite::Aes256Gcm);
            let mut archive =
                ArchiveWriter::new(out, ids, suite, &key(4), &key(5), options).unwrap();
            let mut line = Vec::new();
            for (kind, id, text) in &documents {
                let document = Document::parse(black_box(text)).unwrap();
                line.clear();
                let document = document.as_str();
                write!(line, r#"{{"kind":"{kind}","id":"{id}","document":{document}}}"#).unwrap();
                archive.push(Entry { kind, id, line: &line, secrets: &[] }).unwrap();
            }
            let (out, sealed) = archive.finish(b"{}").unwrap();
            assert_eq!((out.len() as u64, sealed.lines), (sealed.size, COUNT));
        });
    });
}

fn archive(c: &mut Criterion<CpuTime>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bench = runtime.block_on(Bench::new(async |_| Arc::new(MemorySink::new()) as _));
    let gateway = Prepared::new(set(COUNT, 1, Variant::Same));
    let write = || {
        let backup = bench.repository.backup(Arc::new(gateway.clone()));
        let backup = backup.application("bench").environment("test").kind(BackupType::Full);
        runtime.block_on(backup.run(&bench.cx)).unwrap()
    };
    let mut group = c.benchmark_group("archive");
    group.throughput(Throughput::Bytes(gateway.bytes()));
    group.bench_function("backup: capture, sort, seal, store, read back", |b| b.iter(write));
    let made = write();
    let info = runtime.block_on(bench.repository.find(&bench.cx, &made.id.to_string())).unwrap();
    group.bench_function("read and verify in full depth", |b| {
        b.iter(|| {
            let verify = bench.repository.verify().backup(&info).depth(Depth::Full);
            let report = runtime.block_on(verify.run(&bench.cx)).unwrap();
            assert!(report.failures.is_empty(), "{:?}", report.failures);
        });
    });
}

fn plan(c: &mut Criterion<CpuTime>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bench = runtime.block_on(Bench::new(async |_| Arc::new(MemorySink::new()) as _));
    let gateway = Prepared::new(set(COUNT, 1, Variant::Same));
    let backup = bench.repository.backup(Arc::new(gateway)).application("b").environment("t");
    let made = runtime.block_on(backup.run(&bench.cx)).unwrap();
    let info = runtime.block_on(bench.repository.find(&bench.cx, &made.id.to_string())).unwrap();
    let mut group = c.benchmark_group("plan of 100,000 against 100,000");
    group.throughput(Throughput::Elements(COUNT));
    for (name, variant, writes) in [
        ("equal", Variant::Same, 0),
        ("1 % different", Variant::OneInAHundred, COUNT / 100),
        ("all ids different", Variant::OtherIds, COUNT),
    ] {
        let target = Arc::new(Prepared::new(set(COUNT, 1, variant)));
        group.bench_function(name, |b| {
            b.iter(|| {
                let restore = bench.repository.restore(&info, Arc::clone(&target) as _);
                let plan = runtime.block_on(restore.plan(&bench.cx)).unwrap();
                assert_eq!(plan.plan().summary.writes(), writes);
            });
        });
    }
}

fn main() {
    let mut criterion = Criterion::default()
        .with_measurement(CpuTime)
        .sample_size(10)
        .warm_up_time(Duration::from_secs(1))
        .without_plots()
        .configure_from_args();
    canonicalise(&mut criterion);
    write(&mut criterion);
    archive(&mut criterion);
    plan(&mut criterion);
    criterion.final_summary();
}
