//! Somebody else writes the copies: every object, many ways. Answers are right, or there are none.

#![allow(
    clippy::unwrap_used,
    clippy::case_sensitive_file_extension_comparisons,
    clippy::similar_names,
    reason = "a test fails by panicking, and names are our own"
)]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::{Bench, look};
use gwbackup_core::backup::BackupType;
use gwbackup_core::catalog::{MemoryAnchor, RepositoryId, TrustAnchor};
use gwbackup_core::repository::BackupInfo;
use gwbackup_core::restore::ApplyOptions;
use gwbackup_core::sink::{MemorySink, ObjectName, Sink};
use gwbackup_core::testing::{MemoryGateway, Tampering};
use gwbackup_core::verify::Depth;
use gwbackup_core::{Copy, Error, ErrorKind, Repository, Result};

/// A repository with two fulls and an incremental.
struct Rig {
    bench: Bench,
    id: RepositoryId,
    objects: BTreeMap<String, Vec<u8>>,
    /// By backup id.
    contents: BTreeMap<String, look::Content>,
}

impl Rig {
    async fn new(copies: usize) -> Self {
        let bench = Bench::new(copies).await;
        let gateway = MemoryGateway::kong_like();
        gateway.populate(1, 6);
        let repository = bench.open().await;
        let mut contents = BTreeMap::new();
        for (seed, kind) in [(2, BackupType::Full), (3, BackupType::Full), (4, BackupType::Auto)] {
            gateway.populate(seed, 3);
            bench.clock.advance(std::time::Duration::from_mins(1));
            let backup = repository.backup(Arc::new(gateway.clone())).application("shop");
            let made = backup.environment("prod").kind(kind).run(&bench.cx).await.unwrap();
            contents.insert(made.id.to_string(), look::gateway(&gateway));
        }
        let objects = look::objects(&bench.cx, &bench.sinks[0]).await;
        Self { id: *repository.id(), bench, objects, contents }
    }

    /// Opens it on a machine that saw nothing yet, the first copy as `alter` shows it.
    async fn open(
        &self,
        alter: impl Fn(&ObjectName, &mut Vec<u8>) + Send + Sync + Clone + 'static,
    ) -> Result<Repository> {
        self.on(|n, sink| match n {
            0 => Arc::new(Tampering::new(Arc::new(sink), alter.clone())),
            _ => Arc::new(sink),
        })
        .await
    }

    async fn on(&self, wrap: impl Fn(usize, MemorySink) -> Arc<dyn Sink>) -> Result<Repository> {
        let anchor: Arc<dyn TrustAnchor> = Arc::new(MemoryAnchor::new());
        let mut builder = Repository::builder()
            .key(Arc::clone(&self.bench.key) as _)
            .expect(self.id)
            .anchor(anchor)
            .spool(self.bench.directory.path().join("spool"));
        for (n, sink) in self.bench.sinks.iter().enumerate() {
            builder = builder.copy(Copy::new(wrap(n, sink.clone())));
        }
        builder.open(&self.bench.cx).await
    }

    /// What can be read is right; what cannot be says so in one of the kinds for it.
    async fn right_or_refused(&self, opened: Result<Repository>, what: &str) -> Vec<Error> {
        let cx = &self.bench.cx;
        let mut errors = Vec::new();
        let repository = match opened {
            Ok(repository) => repository,
            Err(e) => {
                expected(&e, what);
                return vec![e];
            }
        };
        let list = match repository.list(cx).await {
            Ok(list) => list,
            Err(e) => {
                expected(&e, what);
                return vec![e];
            }
        };
        for info in &list {
            match look::backup(cx, &repository, info).await {
                Ok(found) => assert_eq!(found, self.contents[&info.id().to_string()], "{what}"),
                Err(e) => {
                    expected(&e, what);
                    errors.push(e);
                }
            }
        }
        errors
    }
}

fn expected(error: &Error, what: &str) {
    let kinds =
        [ErrorKind::Corrupt, ErrorKind::KeyUnavailable, ErrorKind::NotFound, ErrorKind::Refused];
    assert!(kinds.contains(&error.kind()), "{what}: {error:?}");
}

/// Changes one object.
fn at(
    name: &str,
    change: impl Fn(&mut Vec<u8>) + Send + Sync + Clone + 'static,
) -> impl Fn(&ObjectName, &mut Vec<u8>) + Send + Sync + Clone + 'static {
    let name = name.to_owned();
    move |object, bytes| {
        if object.as_str() == name {
            change(bytes);
        }
    }
}

/// Positions of one object where something changes hands.
fn boundaries(name: &str, bytes: &[u8]) -> Vec<usize> {
    let mut cuts = vec![0, 1, bytes.len() / 2, bytes.len() - 1];
    if name.ends_with(".gwb") {
        cuts.extend([8, 96, 127, 128, 129, 144, 145, bytes.len() - 16, bytes.len() - 17]);
    } else {
        cuts.extend(bytes.iter().position(|b| *b == b'\n').map(|end| end + 1));
    }
    cuts.retain(|cut| *cut < bytes.len());
    cuts
}

#[tokio::test]
async fn a_flipped_bit_is_never_believed() {
    let rig = Rig::new(1).await;
    for (name, bytes) in &rig.objects {
        let places = [0, bytes.len() / 3, bytes.len() / 2, bytes.len() - 2];
        for (n, place) in places.into_iter().enumerate() {
            let flip = move |bytes: &mut Vec<u8>| bytes[place] ^= 1 << (2 * n);
            let what = format!("{name} at {place}");
            let opened = rig.open(at(name, flip)).await;
            rig.right_or_refused(opened, &what).await;
        }
    }
}

#[tokio::test]
async fn a_cut_object_is_never_believed() {
    let rig = Rig::new(1).await;
    for (name, bytes) in &rig.objects {
        for cut in boundaries(name, bytes) {
            let opened = rig.open(at(name, move |bytes| bytes.truncate(cut))).await;
            rig.right_or_refused(opened, &format!("{name} cut at {cut}")).await;
        }
        let opened = rig.open(at(name, |bytes| bytes.extend_from_slice(b"\n"))).await;
        rig.right_or_refused(opened, &format!("{name} with more")).await;
    }
}

/// What stays of a name when the numbers and ids in it are left out.
fn family(name: &str) -> &str {
    let kinds = [".gwb", ".manifest.", "keys/archive/", "keys/secrets/", "log/"];
    kinds.into_iter().find(|kind| name.contains(kind)).unwrap_or(name)
}

#[tokio::test]
async fn objects_that_change_places_are_never_believed() {
    let rig = Rig::new(1).await;
    for (name, own) in &rig.objects {
        for (other, bytes) in &rig.objects {
            if family(name) != family(other) || own == bytes {
                continue;
            }
            let bytes = bytes.clone();
            let opened = rig.open(at(name, move |own| own.clone_from(&bytes))).await;
            rig.right_or_refused(opened, &format!("{name} is {other}")).await;
        }
    }
}

/// Every damage to the first copy leaves the second to answer, and verify tells.
#[tokio::test]
async fn the_other_copy_answers_and_verify_tells() {
    let rig = Rig::new(2).await;
    let cx = &rig.bench.cx;
    for name in rig.objects.keys() {
        let of_a_backup = ["data/", "keys/archive/", "keys/secrets/"];
        if !of_a_backup.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        let flip = |bytes: &mut Vec<u8>| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        };
        let repository = rig.open(at(name, flip)).await.unwrap();
        let list = repository.list(cx).await.unwrap();
        assert_eq!(list.len(), 3, "{name}");
        for info in &list {
            let found = look::backup(cx, &repository, info).await;
            assert_eq!(found.unwrap(), rig.contents[&info.id().to_string()], "{name}");
        }
        for depth in [Depth::Manifest, Depth::Checksum, Depth::Full] {
            if depth == Depth::Manifest && name.ends_with(".gwb") {
                continue;
            }
            let report = repository.verify().depth(depth).run(cx).await.unwrap();
            assert_eq!(report.failures.len(), 1, "{name}: {:?}", report.failures);
            assert_eq!(report.failures[0].kind, "damaged", "{name}");
        }
    }
}

#[tokio::test]
async fn a_lost_object_is_told_and_the_other_copy_answers() {
    for copies in [1, 2] {
        let names: Vec<String> = Rig::new(1).await.objects.into_keys().collect();
        for n in 0..names.len() {
            // The names hold ids, so the order of kinds is what stays from rig to rig.
            let rig = Rig::new(copies).await;
            let Some(name) = rig.objects.keys().nth(n) else { continue };
            let object = ObjectName::new(name).unwrap();
            rig.bench.sinks[0].delete(&rig.bench.cx, &object).await.unwrap();
            let opened = rig.on(|_, sink| Arc::new(sink)).await;
            let of_a_backup = ["data/", "keys/archive/", "keys/secrets/"];
            if of_a_backup.iter().any(|prefix| name.starts_with(prefix)) {
                let repository = opened.unwrap();
                let report = repository.verify().run(&rig.bench.cx).await.unwrap();
                let missing = report.failures.iter().filter(|f| f.kind == "missing").count();
                assert_eq!(missing, 1, "{name}: {:?}", report.failures);
                let errors = rig.right_or_refused(Ok(repository), name).await;
                assert!(copies == 1 || errors.is_empty(), "{name}: {errors:?}");
            } else {
                rig.right_or_refused(opened, name).await;
            }
        }
    }
}

/// A restore from a damaged backup writes nothing.
#[tokio::test]
async fn nothing_is_written_from_a_damaged_archive() {
    let rig = Rig::new(1).await;
    let cx = &rig.bench.cx;
    for name in rig.objects.keys().filter(|name| name.ends_with(".gwb")) {
        for place in [200, 600] {
            let repository = rig.open(at(name, move |bytes| bytes[place] ^= 8)).await.unwrap();
            let list = repository.list(cx).await.unwrap();
            // Restores leave safety backups, too.
            let own = |info: &BackupInfo| rig.contents.contains_key(&info.id().to_string());
            for info in list.into_iter().filter(own) {
                let target = MemoryGateway::kong_like();
                let restore = repository.restore(&info, Arc::new(target.clone()));
                match restore.plan(cx).await {
                    Ok(plan) => {
                        assert!(!info.manifest().archive.path.eq(name));
                        plan.apply(cx, &ApplyOptions::default()).await.unwrap();
                        assert_eq!(
                            look::gateway(&target).len(),
                            rig.contents[&info.id().to_string()].len()
                        );
                    }
                    Err(e) => {
                        assert_eq!(e.kind(), ErrorKind::Corrupt, "{e:?}");
                        assert!(target.writes().is_empty());
                    }
                }
            }
        }
    }
}

fn newest(list: &[BackupInfo]) -> &BackupInfo {
    list.last().unwrap()
}

/// A second repository's objects under the names of the first.
#[tokio::test]
async fn another_repository_at_the_address_is_refused_and_not_written() {
    let (rig, other) = (Rig::new(1).await, Rig::new(1).await);
    let before = look::objects(&other.bench.cx, &other.bench.sinks[0]).await;
    let opened = rig.on(|_, _| Arc::new(other.bench.sinks[0].clone())).await;
    assert_eq!(opened.unwrap_err().kind(), ErrorKind::Refused);
    assert_eq!(look::objects(&other.bench.cx, &other.bench.sinks[0]).await, before);
}

/// The second place is empty (nothing is mounted), or a copy of something else.
#[tokio::test]
async fn a_place_that_is_no_copy_is_never_written() {
    let gateway = MemoryGateway::kong_like();
    gateway.populate(1, 5);
    for foreign in [false, true] {
        let rig = Rig::new(2).await;
        let cx = &rig.bench.cx;
        let empty =
            if foreign { Rig::new(1).await.bench.sinks[0].clone() } else { MemorySink::new() };
        let before = look::objects(cx, &empty).await;
        let repository =
            rig.on(|n, sink| Arc::new(if n == 1 { empty.clone() } else { sink })).await.unwrap();
        assert!(!repository.warnings().is_empty());
        let list = repository.list(cx).await.unwrap();
        assert_eq!(list.len(), 3, "reading goes on");
        look::backup(cx, &repository, newest(&list)).await.unwrap();
        let own = look::objects(cx, &rig.bench.sinks[0]).await;
        let backup = repository.backup(Arc::new(gateway.clone())).application("a");
        let error = backup.environment("b").run(cx).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused);
        assert!(error.advice().is_some());
        assert_eq!(look::objects(cx, &rig.bench.sinks[0]).await, own);
        assert_eq!(look::objects(cx, &empty).await, before);
    }
}

/// The same, twice: two URLs of one copy must not look like two copies.
#[tokio::test]
async fn one_copy_given_twice_is_refused() {
    let rig = Rig::new(2).await;
    let first = rig.bench.sinks[0].clone();
    let repository = rig.on(|_, _| Arc::new(first.clone())).await.unwrap();
    let gateway = MemoryGateway::kong_like();
    let backup = repository.backup(Arc::new(gateway)).application("a").environment("b");
    assert_eq!(backup.run(&rig.bench.cx).await.unwrap_err().kind(), ErrorKind::Refused);
}

/// A header of a later format is told as such, wherever it stands.
#[tokio::test]
async fn a_newer_archive_is_told_as_one() {
    let rig = Rig::new(1).await;
    let name = rig.objects.keys().find(|name| name.ends_with(".gwb")).unwrap().clone();
    let opened = rig.open(at(&name, |bytes| bytes[9] = 2)).await;
    // The digest speaks first: the header alone cannot be newer than its manifest.
    let errors = rig.right_or_refused(opened, &name).await;
    assert!(errors.iter().all(|e| e.kind() == ErrorKind::Corrupt) && !errors.is_empty());
}
