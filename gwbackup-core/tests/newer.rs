//! A later version of the library wrote to the repository: this one says so, and leaves it alone.

#![allow(clippy::unwrap_used, reason = "a failure here fails the test")]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use common::{Bench, look};
use gwbackup_core::backup::BackupType;
use gwbackup_core::catalog::{State, Trust};
use gwbackup_core::crypt::{
    DataKey, KeyContext, KeyProvider as _, KeyPurpose, SeedSigner, Signer as _, SignerId, WrapBody,
};
use gwbackup_core::sink::{Body, MemorySink, ObjectName, Sink as _};
use gwbackup_core::testing::{Fault, Faults, FaultySink, MemoryGateway, Tampering};
use gwbackup_core::{Context, Error, ErrorKind, Repository, Result};
use serde_json::Value;
use uuid::Uuid;

/// The members that a later version may write otherwise.
const WAYS: [(&str, &str); 3] =
    [("/1\",\"format\"", "/2\",\"format\""), ("\"format\":1", "\"format\":2"), ("[]", "[\"x\"]")];

type Objects = BTreeMap<String, Vec<u8>>;

/// Who signs in this repository: opened from what is stored, by the format's description alone.
async fn signer(bench: &Bench, objects: &Objects) -> SeedSigner {
    let trust = Trust::first(objects["repository.json"].clone().into(), None).unwrap();
    let name = objects.keys().find(|name| name.starts_with("keys/signer/")).unwrap();
    let own = bench.key.recipient(&bench.cx).await.unwrap();
    let line = objects[name].split(|b| *b == b'\n').next().unwrap();
    let wrap: Value = serde_json::from_slice(line).unwrap();
    let entries = wrap["wraps"].as_array().unwrap();
    let entry = entries.iter().find(|entry| entry["recipient"] == own.id.as_str()).unwrap();
    let bytes = |member: &str| BASE64.decode(entry[member].as_str().unwrap()).unwrap();
    let body = WrapBody::new("secret", bytes("body")).with_salt(bytes("salt"));
    let id: SignerId = wrap["object"].as_str().unwrap().parse().unwrap();
    let context = KeyContext {
        repository: *trust.repository().as_bytes(),
        purpose: KeyPurpose::Signer,
        object: *id.as_bytes(),
    };
    SeedSigner::new(&bench.key.unwrap(&bench.cx, &own, &body, &context).await.unwrap())
}

/// A stored object's first line with another text in its head, signed anew.
async fn resigned(by: &SeedSigner, kind: &str, stored: &[u8], way: (&str, &str)) -> Vec<u8> {
    let line = std::str::from_utf8(stored.split(|b| *b == b'\n').next().unwrap()).unwrap();
    let line = line.replacen(way.0, way.1, 1);
    let message = [b"gwbackup/v1/", kind.as_bytes(), b"\0", line.as_bytes()].concat();
    let signature = by.sign(&Context::new(), &message).await.unwrap();
    let (id, signature) = (by.public().id(), BASE64.encode(signature.as_bytes()));
    format!("{line}\n{{\"signatures\":[{{\"key\":\"{id}\",\"sig\":\"{signature}\"}}]}}\n").into()
}

/// What an object is signed as, by its name.
fn kind_of(name: &str) -> Option<&'static str> {
    let kinds = [("log/", "event"), ("keys/", "wrap"), ("copy.json", "copy")];
    let by_folder = kinds.into_iter().find(|(folder, _)| name.starts_with(folder));
    let manifest = name.contains(".manifest.").then_some("manifest");
    by_folder.map(|(_, kind)| kind).or(manifest)
}

/// A repository with two full backups.
struct Scene {
    bench: Bench,
    backups: Vec<Uuid>,
    objects: Objects,
    signer: SeedSigner,
}

impl Scene {
    async fn new() -> Self {
        let bench = Bench::new(1).await;
        let repository = bench.open().await;
        let mut backups = Vec::new();
        for seed in [1, 2] {
            let gateway = MemoryGateway::kong_like();
            gateway.populate(seed, 6);
            bench.clock.advance(Duration::from_mins(1));
            backups.push(take(&bench, &repository, &gateway).await.unwrap());
        }
        let objects = look::objects(&bench.cx, &bench.sinks[0]).await;
        let signer = signer(&bench, &objects).await;
        Self { bench, backups, objects, signer }
    }

    /// Opens the repository with one object as a later version would have written it.
    async fn open_with(&self, name: &str, bytes: Vec<u8>) -> Result<Repository> {
        let changed = name.to_owned();
        let alter = move |object: &ObjectName, stored: &mut Vec<u8>| {
            if object.as_str() == changed {
                stored.clone_from(&bytes);
            }
        };
        let lie = |sink| Arc::new(Tampering::new(Arc::new(sink), alter.clone())) as _;
        self.bench.open_with(lie).await
    }

    /// The same, and reads every backup: what stops that.
    async fn first_error(&self, name: &str, bytes: Vec<u8>) -> Option<Error> {
        let repository = match self.open_with(name, bytes).await {
            Ok(repository) => repository,
            Err(e) => return Some(e),
        };
        let cx = &self.bench.cx;
        for id in &self.backups {
            let info = match repository.find(cx, &id.to_string()).await {
                Ok(info) => info,
                Err(e) => return Some(e),
            };
            if let Err(e) = look::backup(cx, &repository, &info).await {
                return Some(e);
            }
        }
        None
    }

    async fn unchanged(&self) -> bool {
        look::objects(&self.bench.cx, &self.bench.sinks[0]).await == self.objects
    }
}

async fn take(bench: &Bench, repository: &Repository, gateway: &MemoryGateway) -> Result<Uuid> {
    let backup = repository.backup(Arc::new(gateway.clone())).application("shop");
    backup.environment("prod").kind(BackupType::Full).run(&bench.cx).await.map(|made| made.id)
}

fn assert_newer(error: &Error, what: &str) {
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error:?}");
    assert!(error.is_newer() && error.message().contains("newer version"), "{what}: {error:?}");
    assert!(error.advice().is_some_and(|help| help.contains("update")), "{what}: {error:?}");
}

#[tokio::test]
async fn every_signed_object_is_refused_by_name_and_nothing_is_written() {
    let scene = Scene::new().await;
    let mut tried = BTreeMap::new();
    for (name, stored) in &scene.objects {
        let Some(kind) = kind_of(name) else { continue };
        *tried.entry(kind).or_insert(0) += 1;
        let same = resigned(&scene.signer, kind, stored, ("", "")).await;
        assert!(same == *stored, "{name}: the test signs as the library does");
        for way in WAYS {
            let bytes = resigned(&scene.signer, kind, stored, way).await;
            assert!(bytes != *stored, "{name}");
            let error = scene.first_error(name, bytes).await;
            let error = error.unwrap_or_else(|| panic!("{name} was believed"));
            assert_newer(&error, name);
            assert!(error.subject().unwrap().contains(name.as_str()), "{name}: {error:?}");
            assert!(scene.unchanged().await, "{name}: something was written");
        }
    }
    assert_eq!(tried.keys().copied().collect::<Vec<_>>(), ["copy", "event", "manifest", "wrap"]);
    assert!(tried["event"] >= 5 && tried["manifest"] == 2 && tried["wrap"] >= 7, "{tried:?}");
}

/// A verification tells it, and does not call the backup bad.
#[tokio::test]
async fn a_newer_backup_is_not_found_damaged() {
    for part in [".manifest.", "keys/archive/"] {
        let scene = Scene::new().await;
        let cx = &scene.bench.cx;
        let (name, stored) = scene.objects.iter().find(|(name, _)| name.contains(part)).unwrap();
        let kind = kind_of(name).unwrap();
        let bytes = resigned(&scene.signer, kind, stored, WAYS[0]).await;
        let repository = scene.open_with(name, bytes).await.unwrap();
        let report = repository.verify().run(cx).await.unwrap();
        let kinds: Vec<&str> = report.failures.iter().map(|f| f.kind.as_str()).collect();
        assert_eq!(kinds, ["newer"], "{name}");
        for info in scene.bench.open().await.list(cx).await.unwrap() {
            assert_eq!(info.state(cx.now()), State::Success, "{name}");
        }
    }
}

/// An event beyond the head that this version knows must not become a void number.
#[tokio::test]
async fn what_a_newer_version_appended_is_not_skipped() {
    let scene = Scene::new().await;
    let Scene { bench, objects, signer, .. } = &scene;
    let repository = bench.open().await;
    let (last, stored) = objects
        .range("log/".to_owned()..)
        .take_while(|(n, _)| n.starts_with("log/"))
        .last()
        .unwrap();
    let seq: u64 = last["log/".len()..].trim_end_matches(".json").parse().unwrap();
    let bytes = resigned(signer, "event", stored, WAYS[1]).await;
    let next = ObjectName::new(&format!("log/{:012}.json", seq + 1)).unwrap();
    bench.sinks[0].put(&bench.cx, &next, &Body::from(bytes)).await.unwrap();
    let before = look::objects(&bench.cx, &bench.sinks[0]).await;
    // Also by a program that was open already.
    let gateway = MemoryGateway::kong_like();
    assert_newer(&take(bench, &repository, &gateway).await.unwrap_err(), "open");
    assert_newer(&bench.open_with(|sink| Arc::new(sink)).await.unwrap_err(), "opening");
    assert!(look::objects(&bench.cx, &bench.sinks[0]).await == before);
}

/// The next trust document, by the repository's admin or by somebody else.
async fn with_next_trust(by_stranger: bool) -> (Scene, Result<Repository>) {
    let scene = Scene::new().await;
    let Scene { bench, objects, signer, .. } = &scene;
    let trust = Trust::first(objects["repository.json"].clone().into(), None).unwrap();
    let next = trust.extend(&bench.cx, trust.current().clone(), &[signer]).await.unwrap();
    let (name, file) = next.files().unwrap().pop().unwrap();
    let stranger = SeedSigner::new(&DataKey::generate().unwrap());
    let by = if by_stranger { &stranger } else { signer };
    let bytes = resigned(by, "repository", file.stored(), WAYS[0]).await;
    bench.sinks[0].put(&bench.cx, &name, &Body::from(bytes)).await.unwrap();
    let before = look::objects(&bench.cx, &bench.sinks[0]).await;
    let opened = bench.open_with(|sink| Arc::new(sink)).await;
    assert!(look::objects(&bench.cx, &bench.sinks[0]).await == before);
    (scene, opened)
}

#[tokio::test]
async fn a_newer_trust_document_counts_only_from_those_who_may_write_it() {
    let (_, opened) = with_next_trust(false).await;
    let error = opened.unwrap_err();
    assert_newer(&error, "trust");
    assert_eq!(error.subject(), Some("repository/000002.json"));
    let (scene, opened) = with_next_trust(true).await;
    assert_eq!(opened.unwrap().list(&scene.bench.cx).await.unwrap().len(), 2);
}

/// A backup whose program died after the manifest, before it could say that all is complete.
async fn without_commit() -> Bench {
    let bench = Bench::new(1).await;
    let gateway = MemoryGateway::kong_like();
    gateway.populate(1, 6);
    let dead = Arc::new(AtomicBool::new(false));
    let rule = Faults::when(move |call| {
        let last = call.operation == "put" && call.subject.contains(".manifest.");
        let was = dead.fetch_or(last, Ordering::SeqCst);
        was.then_some(Fault::Fail(ErrorKind::Unavailable))
    });
    let sink = |sink: MemorySink| Arc::new(FaultySink::new(Arc::new(sink), rule.clone())) as _;
    let repository = bench.open_with(sink).await.unwrap();
    take(&bench, &repository, &gateway).await.unwrap_err();
    bench
}

#[tokio::test]
async fn a_newer_backup_without_its_commit_is_left_to_its_version() {
    for part in [".manifest.", "keys/archive/", "keys/secrets/"] {
        let bench = without_commit().await;
        let (cx, sink) = (&bench.cx, &bench.sinks[0]);
        let objects = look::objects(cx, sink).await;
        let signer = signer(&bench, &objects).await;
        let (name, stored) = objects.iter().find(|(name, _)| name.contains(part)).unwrap();
        let object = ObjectName::new(name).unwrap();
        let newer = resigned(&signer, kind_of(name).unwrap(), stored, WAYS[1]).await;
        sink.delete(cx, &object).await.unwrap();
        sink.put(cx, &object, &Body::from(newer)).await.unwrap();
        let before = look::objects(cx, sink).await;
        for hours in [1, 31] {
            bench.clock.advance(Duration::from_hours(hours));
            let repository = bench.open().await;
            let told = repository.warnings().iter().any(|text| text.contains("newer version"));
            assert!(told, "{name}: {:?}", repository.warnings());
            assert!(look::objects(cx, sink).await == before, "{name} after {hours} h");
        }
        // As this version wrote it, it is completed.
        sink.delete(cx, &object).await.unwrap();
        sink.put(cx, &object, &Body::from(stored.clone())).await.unwrap();
        assert_eq!(bench.open().await.list(cx).await.unwrap().len(), 1, "{name}");
    }
}
