//! What a backup tells people who might otherwise learn it too late.

#![allow(clippy::unwrap_used, reason = "a failure here fails the test")]

mod common;

use std::sync::Arc;

use common::{Bench, look};
use gwbackup_core::backup::BackupReport;
use gwbackup_core::catalog::State;
use gwbackup_core::crypt::{KeyFile, KeyProvider, Right};
use gwbackup_core::jsonl::JsonLines;
use gwbackup_core::model::Verdict;
use gwbackup_core::plan::Selector;
use gwbackup_core::sink::MemorySink;
use gwbackup_core::source::{Purpose, Source};
use gwbackup_core::testing::MemoryGateway;
use gwbackup_core::whole_file::FileGateway;
use gwbackup_core::{Context, Copy, ErrorKind, Repository, Result};

async fn take(repository: &Repository, cx: &Context, source: Arc<dyn Source>) -> BackupReport {
    let backup = repository.backup(source).application("shop").environment("prod");
    backup.run(cx).await.unwrap()
}

#[tokio::test]
async fn who_cannot_open_a_backup_is_named() {
    let (cx, folder) = (Context::new(), tempfile::tempdir().unwrap());
    let key = |name| Arc::new(KeyFile::generate(folder.path().join(name), None).unwrap());
    let (here, absent) = (key("here"), key("absent"));
    let copy = Copy::new(Arc::new(MemorySink::new()));
    let new = Repository::create().copy(copy.clone()).key(Arc::clone(&here) as _);
    new.key(Arc::clone(&absent) as _).run(&cx).await.unwrap();
    let open = Repository::builder().copy(copy).key(here).spool(folder.path().join("spool"));
    let both = open.clone().key(Arc::clone(&absent) as _).open(&cx).await.unwrap();
    let gateway = MemoryGateway::kong_like();
    gateway.populate(1, 12);

    let made = take(&both, &cx, Arc::new(gateway.clone())).await;
    assert!(made.left_out.is_empty(), "{:?}", made.left_out);
    assert!(serde_json::to_value(&made).unwrap().get("left_out").is_none());

    let one = open.open(&cx).await.unwrap();
    let made = take(&one, &cx, Arc::new(gateway)).await;
    assert_eq!(made.status, State::Success, "it can be read, by others");
    let own = absent.recipient(&cx).await.unwrap().id;
    let told: Vec<_> = made.left_out.iter().map(|l| (l.recipient.as_str(), l.right)).collect();
    assert_eq!(told, [(own.as_str(), Right::Content), (own.as_str(), Right::Secrets)]);
    let json = serde_json::to_value(&made).unwrap();
    assert_eq!(json["left_out"][0], serde_json::json!({ "recipient": own, "right": "content" }));
}

#[tokio::test]
async fn a_mistyped_path_is_told() {
    let bench = Bench::new(1).await;
    let repository = bench.open().await;
    let path = bench.directory.path().join("no-such.jsonl");
    let gateway = Arc::new(FileGateway::new(&path, JsonLines).unwrap());
    let found = repository.preflight(&bench.cx, gateway.as_ref(), Purpose::Backup).await.unwrap();
    let told = found.findings.iter().find(|f| f.verdict == Verdict::Warning).unwrap();
    assert!(told.detail.contains("does not exist"), "{told:?}");
    assert!(found.is_ok(), "an absent file is an empty gateway");
    let made = take(&repository, &bench.cx, Arc::clone(&gateway) as _).await;
    assert_eq!((made.status, made.resources, made.warnings.len()), (State::Success, 0, 2));
    assert!(made.warnings[0].contains("empty gateway"), "{:?}", made.warnings);
    assert!(made.warnings[1].contains("does not exist"), "{:?}", made.warnings);

    std::fs::write(&path, "{\"kind\":\"service\",\"id\":\"1\",\"body\":{}}\n").unwrap();
    let made = take(&repository, &bench.cx, gateway).await;
    assert!(made.resources == 1 && made.warnings.is_empty(), "{:?}", made.warnings);
}

#[tokio::test]
async fn a_mistyped_kind_is_refused_with_the_names_that_come_near() {
    let bench = Bench::new(1).await;
    let repository = bench.open().await;
    let gateway = MemoryGateway::kong_like();
    gateway.populate(1, 12);
    let gateway = Arc::new(gateway);
    let only = async |text: &str| -> Result<BackupReport> {
        let selector: Selector = text.parse().unwrap();
        let backup = repository.backup(Arc::clone(&gateway) as _).only([selector]);
        backup.application("shop").environment("prod").run(&bench.cx).await
    };
    let before = look::objects(&bench.cx, &bench.sinks[0]).await;
    for (text, kind) in [("rout", "`route`"), ("srevice/web", "`service`"), ("zzz", "plugin")] {
        let error = only(text).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{text}");
        assert!(error.advice().unwrap().contains(kind), "{text}: {error:?}");
    }
    assert!(look::objects(&bench.cx, &bench.sinks[0]).await == before, "nothing was written");
    assert!(only("route").await.unwrap().resources > 0);
    let empty = only("route/no-such").await.unwrap();
    assert!(empty.warnings[0].contains("fits the selection"), "{:?}", empty.warnings);

    let info = repository.find(&bench.cx, "latest").await.unwrap();
    let restore = repository.restore(&info, gateway as _).only(["rout".parse().unwrap()]);
    let error = restore.plan(&bench.cx).await.unwrap_err();
    assert!(error.advice().unwrap().contains("route"), "{error:?}");
}
