//! A key was rotated inside its service: wraps are made anew, and the old material is needed no more.

#![allow(clippy::unwrap_used, reason = "a failure here fails the test")]

mod common;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use common::{Bench, look};
use gwbackup_core::backup::BackupType;
use gwbackup_core::catalog::EventKind;
use gwbackup_core::crypt::{DataKey, KeyContext, KeyFile, KeyProvider, Recipient, WrapBody};
use gwbackup_core::repository::NewRepositoryBuilder;
use gwbackup_core::sink::Sink;
use gwbackup_core::testing::{Fault, Faults, FaultySink, MemoryGateway, conformance};
use gwbackup_core::{Context, Copy, Error, ErrorKind, Repository, Result};

/// A key service: one key, material after material, each of which can be destroyed. What it wraps
/// says which material has done it.
#[derive(Debug, Clone)]
struct Service {
    material: Arc<Mutex<Vec<Option<Arc<KeyFile>>>>>,
    /// It makes wraps anew, and opens none of what archives are sealed with.
    blind: Arc<AtomicBool>,
    /// What it makes anew holds another key.
    lies: Arc<AtomicBool>,
    directory: PathBuf,
    opened: Arc<AtomicUsize>,
}

impl Service {
    fn new(directory: PathBuf) -> Self {
        let service = Self {
            material: Arc::default(),
            blind: Arc::default(),
            lies: Arc::default(),
            directory,
            opened: Arc::default(),
        };
        service.rotate();
        service
    }

    fn rotate(&self) {
        let mut material = self.material.lock().unwrap();
        let path = self.directory.join(format!("material-{}", material.len()));
        material.push(Some(Arc::new(KeyFile::generate(path, None).unwrap())));
    }

    fn destroy(&self, number: usize) {
        self.material.lock().unwrap()[number] = None;
    }

    fn first(&self) -> PathBuf {
        self.directory.join("material-0")
    }

    fn material(&self, number: usize) -> Result<Arc<KeyFile>> {
        let found = self.material.lock().unwrap().get(number).cloned().flatten();
        found.ok_or_else(|| Error::new(ErrorKind::KeyUnavailable, "this material is destroyed"))
    }

    async fn open(&self, cx: &Context, body: &WrapBody, of: &KeyContext) -> Result<DataKey> {
        let refused = || Error::new(ErrorKind::KeyUnavailable, "the wrapped key does not open");
        let number = body.key().and_then(|key| key.parse().ok()).ok_or_else(refused)?;
        let by = self.material(number)?;
        by.unwrap(cx, &by.recipient(cx).await?, body, of).await
    }
}

#[async_trait]
impl KeyProvider for Service {
    fn address(&self) -> String {
        "service:key".to_owned()
    }

    async fn proves(&self, _: &Context) -> Result<Option<String>> {
        Ok(None)
    }

    async fn recipient(&self, cx: &Context) -> Result<Recipient> {
        // The key keeps its name whatever it is made of.
        let first = KeyFile::open(self.first())?;
        first.recipient(cx).await
    }

    async fn wrap(&self, cx: &Context, key: &DataKey, of: &KeyContext) -> Result<WrapBody> {
        let newest = self.material.lock().unwrap().len() - 1;
        let body = self.material(newest)?.wrap(cx, key, of).await?;
        Ok(body.with_key(newest.to_string()))
    }

    async fn unwrap(
        &self,
        cx: &Context,
        recipient: &Recipient,
        body: &WrapBody,
        of: &KeyContext,
    ) -> Result<DataKey> {
        let own = self.recipient(cx).await?;
        let is_content = matches!(of.purpose.as_str(), "archive" | "secrets");
        if own.id != recipient.id || is_content && self.blind.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::KeyUnavailable, "the service denies it"));
        }
        self.opened.fetch_add(1, Ordering::Relaxed);
        self.open(cx, body, of).await
    }

    async fn rewrap(
        &self,
        cx: &Context,
        recipient: &Recipient,
        body: &WrapBody,
        of: &KeyContext,
    ) -> Result<WrapBody> {
        if self.recipient(cx).await?.id != recipient.id {
            return Err(Error::new(ErrorKind::KeyUnavailable, "the service denies it"));
        }
        let key = self.open(cx, body, of).await?;
        let key = if self.lies.load(Ordering::Relaxed) { DataKey::new([0; 32]) } else { key };
        self.wrap(cx, &key, of).await
    }

    fn local_path(&self) -> Option<PathBuf> {
        None
    }
}

/// A repository on two copies whose keys a service and a key file hold.
struct Rig {
    bench: Bench,
    service: Service,
    file: Arc<KeyFile>,
    contents: BTreeMap<String, look::Content>,
    _keys: tempfile::TempDir,
}

impl Rig {
    /// With this many monthly backups, every third one full.
    async fn new(backups: u64) -> Self {
        let keys = tempfile::tempdir().unwrap();
        let service = Service::new(keys.path().to_owned());
        let bench = Bench::empty(2);
        let file = Arc::clone(&bench.key);
        let new = Repository::create().key(Arc::new(service.clone())).key(Arc::clone(&file) as _);
        let new = new.state(bench.directory.path().join("state"));
        let copies = bench.sinks.iter().map(|sink| Copy::new(Arc::new(sink.clone())));
        copies.fold(new, NewRepositoryBuilder::copy).run(&bench.cx).await.unwrap();
        let mut rig = Self { bench, service, file, contents: BTreeMap::new(), _keys: keys };
        let both: [Arc<dyn KeyProvider>; 2] = [Arc::new(rig.service.clone()), rig.file()];
        let repository = rig.open(&both).await.unwrap();
        let gateway = MemoryGateway::kong_like();
        for month in 0..backups {
            gateway.populate(month + 1, 5);
            rig.bench.clock.advance(Duration::from_hours(24 * 30));
            let kind = if month % 3 == 0 { BackupType::Full } else { BackupType::Incremental };
            let backup = repository.backup(Arc::new(gateway.clone())).application("shop");
            let made = backup.environment("prod").kind(kind).run(&rig.bench.cx).await.unwrap();
            rig.contents.insert(made.id.to_string(), look::gateway(&gateway));
        }
        rig
    }

    fn file(&self) -> Arc<dyn KeyProvider> {
        Arc::clone(&self.file) as _
    }

    /// By these keys.
    async fn open(&self, keys: &[Arc<dyn KeyProvider>]) -> Result<Repository> {
        self.open_with(keys, Faults::none()).await
    }

    /// By these keys, over the first copy as it is and a second one that has these faults.
    async fn open_with(&self, keys: &[Arc<dyn KeyProvider>], faults: Faults) -> Result<Repository> {
        let state = self.bench.directory.path().join("state");
        let second: Arc<dyn Sink> = Arc::new(self.bench.sinks[1].clone());
        let second = Arc::new(FaultySink::new(second, faults));
        let open = Repository::builder().copy(Copy::new(Arc::new(self.bench.sinks[0].clone())));
        let open = open.copy(Copy::new(second)).state(state);
        keys.iter().fold(open, |open, key| open.key(Arc::clone(key))).open(&self.bench.cx).await
    }

    async fn open_by_service(&self) -> Result<Repository> {
        self.open(&[Arc::new(self.service.clone())]).await
    }

    /// Every backup reads as it was made.
    async fn assert_whole(&self, repository: &Repository) {
        let cx = &self.bench.cx;
        let all = repository.list(cx).await.unwrap();
        assert_eq!(all.len(), self.contents.len());
        for backup in &all {
            let content = look::backup(cx, repository, backup).await.unwrap();
            assert_eq!(content, self.contents[&backup.id().to_string()], "{}", backup.name());
        }
    }

    async fn archives(&self) -> BTreeMap<String, Vec<u8>> {
        let mut objects = look::objects(&self.bench.cx, &self.bench.sinks[0]).await;
        objects.retain(|name, _| name.starts_with("data/"));
        objects
    }

    /// How often wraps were made anew, by the log.
    async fn told(&self, repository: &Repository) -> Vec<u64> {
        let events = repository.events(&self.bench.cx).await.unwrap();
        let own = events.iter().filter(|event| event.kind == EventKind::KEY_ROTATE);
        own.map(|event| event.detail.as_ref().unwrap().counts["keys"]).collect()
    }
}

#[tokio::test]
async fn the_service_of_these_tests_keeps_the_promises_of_a_provider() {
    let scratch = tempfile::tempdir().unwrap();
    let mut number = 0;
    conformance::key_provider(&mut || {
        number += 1;
        let directory = scratch.path().join(number.to_string());
        std::fs::create_dir(&directory).unwrap();
        let service = Service::new(directory);
        service.rotate();
        Box::new(service)
    })
    .await;
}

#[tokio::test]
async fn after_a_rotation_the_old_material_is_not_needed() {
    let rig = Rig::new(24).await;
    let archives = rig.archives().await;
    let repository = rig.open_by_service().await.unwrap();
    rig.service.rotate();
    rig.assert_whole(&repository).await;
    let report = repository.rewrap(&rig.bench.cx).await.unwrap();
    // Repository key, digest key, signing seed; an archive's key and that of its secrets.
    assert_eq!(report.rewrapped, 3 + 24 * 2);
    let others = repository.recipients().len() - 1;
    assert_eq!(report.carried.len(), others, "key file and kit were not given");
    assert!(report.left.is_empty() && report.away.is_empty(), "{report:?}");
    assert_eq!(rig.archives().await, archives, "archives are not touched");
    assert_eq!(rig.told(&repository).await, [3 + 24 * 2]);

    rig.service.destroy(0);
    let repository = rig.open_by_service().await.unwrap();
    rig.assert_whole(&repository).await;
    let repository = rig.open(&[rig.file()]).await.unwrap();
    rig.assert_whole(&repository).await;

    let untouched = Rig::new(1).await;
    untouched.service.rotate();
    untouched.service.destroy(0);
    let error = untouched.open_by_service().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::KeyUnavailable, "else this test shows nothing");
}

#[tokio::test]
async fn who_may_only_make_wraps_anew_reads_no_archive_key() {
    let rig = Rig::new(2).await;
    let repository = rig.open_by_service().await.unwrap();
    rig.service.rotate();
    rig.service.blind.store(true, Ordering::Relaxed);
    let before = rig.service.opened.load(Ordering::Relaxed);
    let report = repository.rewrap(&rig.bench.cx).await.unwrap();
    assert_eq!((report.rewrapped, report.left.len()), (3 + 4, 0));
    let opened = rig.service.opened.load(Ordering::Relaxed) - before;
    assert_eq!(opened, 3 * 2, "the repository's own keys, before and after");
    rig.service.blind.store(false, Ordering::Relaxed);
    rig.service.destroy(0);
    rig.assert_whole(&rig.open_by_service().await.unwrap()).await;
}

#[tokio::test]
async fn a_service_that_wraps_another_key_changes_nothing() {
    let rig = Rig::new(1).await;
    let repository = rig.open_by_service().await.unwrap();
    let before = look::objects(&rig.bench.cx, &rig.bench.sinks[0]).await;
    rig.service.lies.store(true, Ordering::Relaxed);
    let error = repository.rewrap(&rig.bench.cx).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::KeyUnavailable);
    assert_eq!(look::objects(&rig.bench.cx, &rig.bench.sinks[0]).await, before);
}

#[tokio::test]
async fn what_was_cut_off_is_done_by_calling_again() {
    // The second copy fails at its nth write, for every n there is.
    for number in 0.. {
        let rig = Rig::new(2).await;
        rig.service.rotate();
        let mut writes = 0;
        let fail = Faults::when(move |call| {
            let is_wrap = call.operation == "put" && call.subject.starts_with("keys/");
            writes += u64::from(is_wrap);
            (is_wrap && writes == number + 1).then_some(Fault::Fail(ErrorKind::Denied))
        });
        let keys: [Arc<dyn KeyProvider>; 1] = [Arc::new(rig.service.clone())];
        let repository = rig.open_with(&keys, fail).await.unwrap();
        let first = repository.rewrap(&rig.bench.cx).await;
        if first.is_ok() {
            assert_eq!(number, 3 + 4, "every write has failed once");
            break;
        }
        assert_eq!(first.unwrap_err().kind(), ErrorKind::Denied);
        rig.assert_whole(&repository).await;
        let repository = rig.open_by_service().await.unwrap();
        assert_eq!(repository.rewrap(&rig.bench.cx).await.unwrap().rewrapped, 3 + 4);
        rig.service.destroy(0);
        rig.assert_whole(&rig.open_by_service().await.unwrap()).await;
    }
}

#[tokio::test]
async fn a_copy_that_was_away_is_brought_up_by_calling_again() {
    let rig = Rig::new(2).await;
    rig.service.rotate();
    let keys: [Arc<dyn KeyProvider>; 1] = [Arc::new(rig.service.clone())];
    let away = Faults::when(|_| Some(Fault::Fail(ErrorKind::Unavailable)));
    let repository = rig.open_with(&keys, away).await.unwrap();
    let report = repository.rewrap(&rig.bench.cx).await.unwrap();
    assert_eq!((report.rewrapped, report.away.len()), (3 + 4, 1));

    let repository = rig.open_by_service().await.unwrap();
    let again = repository.rewrap(&rig.bench.cx).await.unwrap();
    assert!(again.away.is_empty());
    rig.service.destroy(0);
    // The second copy alone.
    let second = Copy::new(Arc::new(rig.bench.sinks[1].clone()));
    let open = Repository::builder().copy(second).key(Arc::new(rig.service.clone()));
    let open = open.state(rig.bench.directory.path().join("state"));
    rig.assert_whole(&open.open(&rig.bench.cx).await.unwrap()).await;
}
