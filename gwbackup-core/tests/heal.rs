//! A copy lost or damaged something, and gets it back from the others.

#![allow(
    clippy::unwrap_used,
    clippy::case_sensitive_file_extension_comparisons,
    reason = "a test fails by panicking, and names are our own"
)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{Bench, look};
use gwbackup_core::backup::{BackupReport, BackupType};
use gwbackup_core::catalog::State;
use gwbackup_core::repository::BackupInfo;
use gwbackup_core::restore::ApplyOptions;
use gwbackup_core::sink::{Body, ObjectName, Sink};
use gwbackup_core::testing::{Fault, Faults, FaultySink, MemoryGateway};
use gwbackup_core::verify::Depth;
use gwbackup_core::{Copy, ErrorKind, Repository};

/// Three copies with two fulls and an incremental.
struct Rig {
    bench: Bench,
    /// By backup id.
    contents: BTreeMap<String, look::Content>,
}

impl Rig {
    async fn new() -> Self {
        let mut rig = Self { bench: Bench::new(3).await, contents: BTreeMap::new() };
        let repository = rig.bench.open().await;
        let gateway = MemoryGateway::kong_like();
        for (seed, kind) in [(1, BackupType::Full), (2, BackupType::Full), (3, BackupType::Auto)] {
            gateway.populate(seed, 5);
            rig.take(&repository, &gateway, kind).await;
        }
        rig
    }

    async fn take(
        &mut self,
        repository: &Repository,
        gateway: &MemoryGateway,
        kind: BackupType,
    ) -> BackupReport {
        self.bench.clock.advance(Duration::from_mins(1));
        let backup = repository.backup(Arc::new(gateway.clone())).application("shop");
        let made = backup.environment("prod").kind(kind).run(&self.bench.cx).await.unwrap();
        self.contents.insert(made.id.to_string(), look::gateway(gateway));
        made
    }

    async fn objects(&self, copy: usize) -> BTreeMap<String, Vec<u8>> {
        look::objects(&self.bench.cx, &self.bench.sinks[copy]).await
    }

    async fn remove(&self, copy: usize, name: &str) {
        let name = ObjectName::new(name).unwrap();
        self.bench.sinks[copy].delete(&self.bench.cx, &name).await.unwrap();
    }

    async fn write(&self, copy: usize, name: &str, bytes: Vec<u8>) {
        let name = ObjectName::new(name).unwrap();
        self.bench.sinks[copy].put(&self.bench.cx, &name, &Body::from(bytes)).await.unwrap();
    }

    /// All copies hold the same, but for the mark that tells them apart.
    async fn assert_alike(&self) {
        let mut first = self.objects(0).await;
        first.remove("copy.json");
        for copy in 1..self.bench.sinks.len() {
            let mut other = self.objects(copy).await;
            other.remove("copy.json");
            let names = |all: &BTreeMap<String, Vec<u8>>| all.keys().cloned().collect::<Vec<_>>();
            assert_eq!(names(&other), names(&first), "copy {copy}");
            assert!(other == first, "copy {copy} holds other bytes");
        }
    }

    /// Every copy gives back every backup when it is all that is left, to a machine that knows
    /// nothing but the key.
    async fn assert_each_alone_restores(&self) {
        let cx = &self.bench.cx;
        for sink in &self.bench.sinks {
            let builder = Repository::builder().key(Arc::clone(&self.bench.key) as _);
            let builder = builder.spool(self.bench.directory.path().join("spool"));
            let alone = builder.copy(Copy::new(Arc::new(sink.clone()))).open(cx).await.unwrap();
            let list = alone.list(cx).await.unwrap();
            for (id, content) in &self.contents {
                let info = list.iter().find(|info| info.id().to_string() == *id).unwrap();
                assert!(look::backup(cx, &alone, info).await.unwrap() == *content, "{id}");
                self.assert_restores(&alone, info).await;
            }
        }
    }

    async fn assert_restores(&self, repository: &Repository, info: &BackupInfo) {
        let target = MemoryGateway::kong_like();
        let plan = repository.restore(info, Arc::new(target.clone())).plan(&self.bench.cx).await;
        plan.unwrap().apply(&self.bench.cx, &ApplyOptions::default()).await.unwrap();
        let keys = |content: &look::Content| content.keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&look::gateway(&target)), keys(&self.contents[&info.id().to_string()]));
    }
}

/// What belongs to backups, and what opens the repository; not the log, which is brought along by
/// itself, nor the mark, without which a place is no copy.
fn heals(name: &str) -> bool {
    ["data/", "keys/", "repository"].iter().any(|prefix| name.starts_with(prefix))
}

#[tokio::test]
async fn a_copy_that_lost_everything_but_its_mark_gets_it_back() {
    let rig = Rig::new().await;
    let cx = &rig.bench.cx;
    for name in rig.objects(1).await.keys().filter(|name| heals(name)) {
        rig.remove(1, name).await;
    }
    let report = rig.bench.open().await.verify().run(cx).await.unwrap();
    assert_eq!(report.failures.len(), 3, "{:?}", report.failures);
    assert!(report.healed.is_empty());
    // The next opening knows.
    let repository = rig.bench.open().await;
    assert!(repository.warnings().is_empty(), "{:?}", repository.warnings());
    rig.assert_alike().await;
    for info in repository.list(cx).await.unwrap() {
        assert_eq!(info.state(cx.now()), State::Success);
    }
    let report = repository.verify().depth(Depth::Full).run(cx).await.unwrap();
    assert!(report.failures.is_empty(), "{:?}", report.failures);
    rig.assert_each_alone_restores().await;
}

#[tokio::test]
async fn each_single_loss_and_damage_is_healed() {
    let rig = Rig::new().await;
    let cx = &rig.bench.cx;
    let repository = rig.bench.open().await;
    let objects = rig.objects(2).await;
    for (name, bytes) in objects.iter().filter(|(name, _)| heals(name)) {
        for damage in [false, true] {
            rig.remove(2, name).await;
            if damage {
                let mut other = bytes.clone();
                other[bytes.len() / 2] ^= 1;
                rig.write(2, name, other).await;
            }
            let report = repository.verify().heal().run(cx).await.unwrap();
            assert!(report.failures.is_empty(), "{name}: {:?}", report.failures);
            let healed: Vec<&str> = report.healed.iter().map(|one| one.object.as_str()).collect();
            assert_eq!(healed, [name.as_str()], "damaged: {damage}");
            assert!(rig.objects(2).await[name] == *bytes, "{name}");
        }
    }
    rig.assert_alike().await;
    let events = repository.events(cx).await.unwrap();
    assert!(events.iter().any(|event| event.kind.as_str() == "copy.heal"));
}

/// Damage is evidence: only who asks for it has it replaced.
#[tokio::test]
async fn opening_replaces_nothing() {
    let rig = Rig::new().await;
    let objects = rig.objects(0).await;
    let name = objects.keys().find(|name| name.ends_with(".gwb")).unwrap();
    rig.remove(0, name).await;
    rig.write(0, name, b"other".to_vec()).await;
    rig.bench.open().await.verify().run(&rig.bench.cx).await.unwrap();
    let repository = rig.bench.open().await;
    assert_eq!(repository.warnings().len(), 1, "{:?}", repository.warnings());
    assert_eq!(rig.objects(0).await[name], b"other");
    // Reading and verifying go on from the others.
    rig.assert_restores(&repository, &repository.find(&rig.bench.cx, "latest").await.unwrap())
        .await;
}

#[tokio::test]
async fn what_no_copy_has_stays_a_failure() {
    let rig = Rig::new().await;
    let cx = &rig.bench.cx;
    let objects = rig.objects(0).await;
    let name = objects.keys().find(|name| name.ends_with(".gwb")).unwrap();
    for copy in 0..3 {
        rig.remove(copy, name).await;
    }
    let repository = rig.bench.open().await;
    let report = repository.verify().heal().run(cx).await.unwrap();
    assert_eq!(report.failures.len(), 3, "{:?}", report.failures);
    assert!(report.failures.iter().all(|f| f.kind == "missing" && f.object == *name));
    assert!(report.healed.is_empty() && report.warnings.len() == 3, "{:?}", report.warnings);
}

/// A copy that was full takes what it missed when there is room again, a part at each opening.
#[tokio::test]
async fn a_copy_that_was_away_catches_up_over_openings() {
    let mut rig = Rig::new().await;
    let gateway = MemoryGateway::kong_like();
    let number = AtomicUsize::new(0);
    let full = |sink| -> Arc<dyn Sink> {
        let last = number.fetch_add(1, Ordering::SeqCst) == 2;
        let rule = Faults::when(move |call| {
            let hit = last && call.operation == "put" && call.subject.starts_with("data/");
            hit.then_some(Fault::Fail(ErrorKind::Other))
        });
        Arc::new(FaultySink::new(Arc::new(sink), rule))
    };
    let repository = rig.bench.open_with(full).await.unwrap();
    for seed in 0..20 {
        gateway.populate(seed, 1);
        let made = rig.take(&repository, &gateway, BackupType::Full).await;
        assert_eq!(made.status, State::Partial);
    }
    // One failure is enough to know that the copy takes nothing yet.
    number.store(0, Ordering::SeqCst);
    let repository = rig.bench.open_with(full).await.unwrap();
    assert_eq!(repository.warnings().len(), 1, "{:?}", repository.warnings());
    let data = |objects: &BTreeMap<String, Vec<u8>>| {
        objects.keys().filter(|name| name.ends_with(".gwb")).count()
    };
    assert_eq!(data(&rig.objects(2).await), 3);
    let repository = rig.bench.open().await;
    assert_eq!(data(&rig.objects(2).await), 3 + 16);
    assert!(repository.warnings()[0].contains("4 more"), "{:?}", repository.warnings());
    assert!(rig.bench.open().await.warnings().is_empty());
    rig.assert_alike().await;
    let report = rig.bench.open().await.verify().run(&rig.bench.cx).await.unwrap();
    assert!(report.failures.is_empty(), "{:?}", report.failures);
}

#[tokio::test]
async fn a_sample_is_as_large_as_asked_and_reaches_all() {
    let rig = Rig::new().await;
    let cx = &rig.bench.cx;
    let repository = rig.bench.open().await;
    for (percent, backups) in [(0, 0), (1, 1), (33, 1), (34, 2), (67, 3), (100, 3), (255, 3)] {
        let verify = repository.verify().depth(Depth::Manifest).sample(percent);
        assert_eq!(verify.run(cx).await.unwrap().checked, 3 * backups, "{percent} %");
    }
    let before = repository.events(cx).await.unwrap().len();
    for _ in 0..200 {
        repository.verify().depth(Depth::Manifest).sample(1).run(cx).await.unwrap();
    }
    let events = repository.events(cx).await.unwrap();
    let seen: BTreeSet<&str> = events[before..].iter().map(|e| e.subject.id.as_str()).collect();
    assert_eq!(seen.len(), 3, "each is left out two times in three");
}
