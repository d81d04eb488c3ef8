//! What holders of fewer rights can do, and what other keys than a key file can.

#![allow(
    clippy::unwrap_used,
    clippy::case_sensitive_file_extension_comparisons,
    clippy::similar_names,
    reason = "a test fails by panicking, and names are our own"
)]

mod common;

use std::path::Path;
use std::sync::{Arc, Mutex};

use common::look;
use gwbackup_core::backup::BackupType;
use gwbackup_core::catalog::{MemoryAnchor, RepositoryId, State};
use gwbackup_core::crypt::{
    AgeIdentity, Argon2Params, KeyFile, KeyProvider, Passphrase, RecoveryKit, Right,
};
use gwbackup_core::model::{Absence, Says};
use gwbackup_core::repository::{BackupInfo, RepositoryBuilder, Shown};
use gwbackup_core::sink::{DirectorySink, MemorySink};
use gwbackup_core::testing::{ManualClock, MemoryGateway};
use gwbackup_core::{Context, Copy, Error, ErrorKind, Repository};

const WORDS: &str = "correct horse battery staple";

/// A repository with five recipients: an owner, an auditor, a clerk, a passphrase, and the kit.
struct Office {
    cx: Context,
    sink: MemorySink,
    directory: tempfile::TempDir,
    kit: RecoveryKit,
    id: RepositoryId,
    auditor: String,
    clerk: String,
}

impl Office {
    async fn new() -> Self {
        let clock = ManualClock::auto("2026-11-21T12:00:00Z".parse().unwrap());
        let cx = Context::new().with_clock(Arc::new(clock)).with_actor("test");
        let directory = tempfile::tempdir().unwrap();
        let owner = KeyFile::generate(directory.path().join("owner"), None).unwrap();
        // Whoever writes must be able to wrap for those who are not there.
        let auditor = AgeIdentity::generate().unwrap();
        let clerk = AgeIdentity::generate().unwrap();
        let text = |identity: &AgeIdentity| identity.to_text().unwrap().to_string();
        let texts = (text(&auditor), text(&clerk));
        let params = Argon2Params { m_kib: 19_456, t: 1, p: 1, salt: [7; 16] };
        let phrase = Passphrase::new(WORDS).unwrap().with_params(params).unwrap();
        let sink = MemorySink::new();
        let made = Repository::create()
            .copy(Copy::new(Arc::new(sink.clone())))
            .key(Arc::new(owner))
            .key(Arc::new(auditor.with_rights([Right::Content, Right::Meta])))
            .key(Arc::new(clerk.with_rights([Right::Meta])))
            .key(Arc::new(phrase))
            .run(&cx)
            .await
            .unwrap();
        let (auditor, clerk) = texts;
        Self { cx, sink, directory, kit: made.kit, id: made.id, auditor, clerk }
    }

    fn file(&self, name: &str) -> Arc<dyn KeyProvider> {
        Arc::new(KeyFile::open(self.directory.path().join(name)).unwrap())
    }

    /// As someone who knows the repository's id.
    async fn open_as(&self, identity: &str) -> Repository {
        let identity = Arc::new(AgeIdentity::from_text(identity).unwrap());
        self.builder([identity as _]).expect(self.id).open(&self.cx).await.unwrap()
    }

    /// On a machine that saw nothing yet.
    fn builder(&self, keys: impl IntoIterator<Item = Arc<dyn KeyProvider>>) -> RepositoryBuilder {
        let mut builder = Repository::builder()
            .copy(Copy::new(Arc::new(self.sink.clone())))
            .anchor(Arc::new(MemoryAnchor::new()))
            .spool(self.directory.path().join("spool"));
        for key in keys {
            builder = builder.key(key);
        }
        builder
    }

    async fn open(&self, key: Arc<dyn KeyProvider>) -> Repository {
        self.builder([key]).open(&self.cx).await.unwrap()
    }

    async fn backup(&self, repository: &Repository, gateway: &MemoryGateway) -> BackupInfo {
        let backup = repository.backup(Arc::new(gateway.clone())).application("a");
        let made = backup.environment("e").run(&self.cx).await.unwrap();
        assert_eq!(made.status, State::Success);
        repository.find(&self.cx, &made.id.to_string()).await.unwrap()
    }
}

fn filled() -> MemoryGateway {
    let gateway = MemoryGateway::kong_like();
    gateway.populate(1, 30);
    gateway
}

/// Every secret value of a gateway, unquoted.
fn secrets(gateway: &MemoryGateway) -> Vec<String> {
    let mut found = Vec::new();
    for resource in gateway.resources() {
        for mark in resource.marks.iter().filter(|mark| mark.says == Says::Secret) {
            found
                .extend(resource.document.text(&mark.at.pointer).map(std::borrow::Cow::into_owned));
        }
    }
    assert!(!found.is_empty());
    found
}

#[tokio::test]
async fn an_auditor_sees_everything_but_secrets() {
    let office = Office::new().await;
    let cx = &office.cx;
    let gateway = filled();
    let hidden = secrets(&gateway);
    let owner = office.open(office.file("owner")).await;
    let before = office.backup(&owner, &gateway).await;
    gateway.populate(2, 5);
    let after = office.backup(&owner, &gateway).await;
    assert_eq!(after.manifest().kind, "incremental");

    let auditor = office.open_as(&office.auditor).await;
    let list = auditor.list(cx).await.unwrap();
    assert_eq!(list.len(), 2);
    for info in &list {
        let seen = Arc::new(Mutex::new((0, Vec::new())));
        let into = Arc::clone(&seen);
        let view = auditor.view(cx, info).await.unwrap();
        view.each(&[], move |_, resource| {
            let mut seen = into.lock().unwrap();
            assert!(!resource.marks.iter().any(|mark| mark.says == Says::Secret));
            let sealed = Says::Absent(Absence::Sealed);
            seen.0 += resource.marks.iter().filter(|mark| mark.says == sealed).count();
            let shown = serde_json::to_string(&Shown::new(&resource, true).unwrap()).unwrap();
            let masks = shown.matches("\"(secret)\"").count();
            assert_eq!(masks, resource.marks.iter().filter(|mark| mark.says == sealed).count());
            seen.1.push(resource.document.as_str().to_owned() + &shown);
            true
        })
        .await
        .unwrap();
        let (sealed, texts) = seen.lock().unwrap().clone();
        assert_eq!(sealed as u64, info.details().secrets);
        assert!(!texts.iter().any(|text| hidden.iter().any(|secret| text.contains(secret))));
    }
    let difference = auditor.diff(cx, &before, &after).await.unwrap();
    assert!(!difference.added.is_empty());
    assert!(difference.changed.is_empty() && difference.removed.is_empty());
    assert!(difference.not_compared > 0);
    let verified = auditor.verify().depth(gwbackup_core::verify::Depth::Full).run(cx).await;
    assert!(verified.unwrap().failures.is_empty());
}

#[tokio::test]
async fn an_auditor_plans_where_no_secret_is_needed_and_is_stopped_where_one_is() {
    let office = Office::new().await;
    let cx = &office.cx;
    let gateway = filled();
    office.backup(&office.open(office.file("owner")).await, &gateway).await;
    let auditor = office.open_as(&office.auditor).await;
    let info = auditor.find(cx, "latest").await.unwrap();

    let drift = auditor.drift(cx, Arc::new(gateway.clone()), &info).await.unwrap();
    assert!(drift.is_empty(), "{drift:?}");
    let same = auditor.restore(&info, Arc::new(gateway.clone())).plan(cx).await.unwrap();
    assert!(same.plan().is_empty(), "{:?}", same.plan().steps);
    let route = gateway.resources().into_iter().find(|r| r.key.kind.as_str() == "target").unwrap();
    gateway.edit(|contents| contents.set(&route.key, "weight", &7.into()));
    let one = auditor.restore(&info, Arc::new(gateway.clone())).plan(cx).await.unwrap();
    assert_eq!(one.plan().summary.update, 1);

    let empty = MemoryGateway::kong_like();
    let planned = auditor.restore(&info, Arc::new(empty.clone())).plan(cx).await;
    let error = planned.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::KeyUnavailable);
    assert!(error.message().contains("secrets"), "{error}");
    assert!(empty.writes().is_empty());
}

#[tokio::test]
async fn an_auditors_own_backup_stands_alone_and_the_kit_reads_it() {
    let office = Office::new().await;
    let gateway = filled();
    office.backup(&office.open(office.file("owner")).await, &gateway).await;
    let auditor = office.open_as(&office.auditor).await;
    let backup = auditor.backup(Arc::new(gateway.clone())).application("a").environment("e");
    let made = backup.kind(BackupType::Incremental).run(&office.cx).await.unwrap();
    assert_eq!(made.kind, "full");
    assert!(made.why_full.unwrap().contains("secrets"));
    let identity = AgeIdentity::from_text(&office.kit.identity().to_text().unwrap()).unwrap();
    let keeper = office.open(Arc::new(identity)).await;
    let info = keeper.find(&office.cx, &made.id.to_string()).await.unwrap();
    let read = look::backup(&office.cx, &keeper, &info).await.unwrap();
    assert_eq!(read, look::gateway(&gateway));
}

#[tokio::test]
async fn a_clerk_lists_and_reads_no_content() {
    let office = Office::new().await;
    let gateway = filled();
    let owner = office.open(office.file("owner")).await;
    office.backup(&owner, &gateway).await;
    let clerk = office.open_as(&office.clerk).await;
    let list = clerk.list(&office.cx).await.unwrap();
    assert_eq!(list.len(), 1);
    assert_eq!(list[0].details().resources, gateway.resources().len() as u64);
    let error = clerk.view(&office.cx, &list[0]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::KeyUnavailable);
    assert!(error.to_string().contains("content"), "{error}");
    let report = clerk.verify().run(&office.cx).await.unwrap();
    assert!(report.failures.is_empty(), "checksums need no key: {:?}", report.failures);
    // It may write, and cannot read back what it wrote.
    let own = office.backup(&clerk, &gateway).await;
    assert_eq!(clerk.view(&office.cx, &own).await.unwrap_err().kind(), ErrorKind::KeyUnavailable);
}

#[tokio::test]
async fn passphrase_and_kit_open_everything() {
    let office = Office::new().await;
    let gateway = filled();
    let phrase = || -> Arc<dyn KeyProvider> { Arc::new(Passphrase::new(WORDS).unwrap()) };
    let both = office.builder([office.file("owner"), phrase()]).open(&office.cx).await.unwrap();
    office.backup(&both, &gateway).await;
    let phrase = phrase();
    let kit = AgeIdentity::from_text(&office.kit.identity().to_text().unwrap()).unwrap();
    for (key, proves) in [(phrase, true), (Arc::new(kit) as _, false)] {
        let repository = office.open(key).await;
        assert_eq!(repository.is_proven(), proves);
        let info = repository.find(&office.cx, "latest").await.unwrap();
        let read = look::backup(&office.cx, &repository, &info).await.unwrap();
        assert_eq!(read, look::gateway(&gateway));
    }
    let wrong: Arc<dyn KeyProvider> = Arc::new(Passphrase::new("another horse entirely").unwrap());
    let error = office.builder([wrong]).open(&office.cx).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::KeyUnavailable);
}

/// What one writes with the passphrase alone, the same passphrase reads elsewhere.
#[tokio::test]
async fn a_passphrase_reads_what_it_wrote() {
    let office = Office::new().await;
    let gateway = filled();
    let open = || office.open(Arc::new(Passphrase::new(WORDS).unwrap()));
    let made = office.backup(&open().await, &gateway).await;
    let repository = open().await;
    let info = repository.find(&office.cx, &made.id().to_string()).await.unwrap();
    let read = look::backup(&office.cx, &repository, &info).await.unwrap();
    assert_eq!(read, look::gateway(&gateway));
}

#[tokio::test]
async fn under_an_unproven_id_nothing_is_written() {
    let office = Office::new().await;
    let gateway = filled();
    office.backup(&office.open(office.file("owner")).await, &gateway).await;
    let kit = || -> Arc<dyn KeyProvider> {
        Arc::new(AgeIdentity::from_text(&office.kit.identity().to_text().unwrap()).unwrap())
    };
    let before = look::objects(&office.cx, &office.sink).await;
    let repository = office.open(kit()).await;
    assert!(!repository.is_proven());
    assert_eq!(repository.list(&office.cx).await.unwrap().len(), 1);
    assert!(repository.verify().run(&office.cx).await.unwrap().failures.is_empty());
    let backup = repository.backup(Arc::new(gateway.clone())).application("a").environment("e");
    let error: Error = backup.run(&office.cx).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.advice().unwrap().contains("--trust-new"));
    assert_eq!(look::objects(&office.cx, &office.sink).await, before);

    let other: RepositoryId = "11".repeat(32).parse().unwrap();
    let repository = office.builder([kit()]).trust_new(other).open(&office.cx).await.unwrap();
    assert!(!repository.is_proven(), "another id was accepted, not this one");
    for builder in [
        office.builder([kit()]).trust_new(office.id),
        office.builder([kit()]).expect(office.id),
        office.builder([kit(), office.file("owner")]),
    ] {
        let repository = builder.open(&office.cx).await.unwrap();
        assert!(repository.is_proven());
        office.backup(&repository, &gateway).await;
    }
}

#[tokio::test]
async fn a_key_inside_a_copy_is_refused() {
    let office = Office::new().await;
    let place = tempfile::tempdir().unwrap();
    let inside = |path: &Path| Arc::new(KeyFile::generate(path, None).unwrap());
    let key = inside(&place.path().join("key"));
    let sink = DirectorySink::open(place.path()).await.unwrap();
    let copy = || Copy::new(Arc::new(sink.clone()));
    let made = Repository::create().copy(copy()).key(Arc::clone(&key) as _).run(&office.cx).await;
    assert_eq!(made.unwrap_err().kind(), ErrorKind::Refused);
    let round = office.directory.path().join("..").join(place.path().file_name().unwrap());
    let links = office.directory.path().join("link");
    #[cfg(unix)]
    std::os::unix::fs::symlink(place.path(), &links).unwrap();
    drop(key);
    for way in [
        place.path(),
        &round,
        #[cfg(unix)]
        &links,
    ] {
        let key = Arc::new(KeyFile::open(way.join("key")).unwrap());
        let opened = Repository::builder().copy(copy()).key(key).open(&office.cx).await;
        assert_eq!(opened.unwrap_err().kind(), ErrorKind::Refused, "{}", way.display());
    }
    let names: Vec<_> = std::fs::read_dir(place.path()).unwrap().flatten().collect();
    assert_eq!(names.len(), 1, "only the key lies there: {names:?}");
}

#[tokio::test]
async fn a_key_of_another_repository_is_refused() {
    let office = Office::new().await;
    let path = office.directory.path().join("bound");
    KeyFile::generate(&path, Some([9; 32])).unwrap();
    let error = office.builder([office.file("bound")]).open(&office.cx).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Refused | ErrorKind::KeyUnavailable), "{error:?}");
    // A file that was bound proves its own.
    let owner = KeyFile::open(office.directory.path().join("owner")).unwrap();
    owner.bind(*office.id.as_bytes()).unwrap();
    assert!(office.open(Arc::new(owner)).await.is_proven());
}
