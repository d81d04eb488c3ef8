//! What a real Kong wrote goes through a repository and comes back the same.

#![cfg(feature = "kong")]
#![allow(clippy::unwrap_used, reason = "a failure here fails the test")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gwbackup::connect::Settings;
use gwbackup::crypt::KeyFile;
use gwbackup::report::GoLive;
use gwbackup::restore::{ApplyOptions, RunStatus};
use gwbackup::sink::DirectorySink;
use gwbackup::target::Target;
use gwbackup::verify::Depth;
use gwbackup::{Context, Copy, Repository};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("gwbackup-kong/tests/fixtures").join(name)
}

async fn gateway(path: &Path) -> Arc<dyn Target> {
    let connectors = gwbackup::connectors();
    connectors.target(path.to_str().unwrap(), &Settings::new()).await.unwrap()
}

/// A repository on two directories.
async fn repository(cx: &Context, root: &Path) -> Repository {
    let key = Arc::new(KeyFile::generate(root.join("key"), None).unwrap());
    let sink = |name: &str| DirectorySink::open(root.join(name));
    let (a, b) = (sink("a").await.unwrap(), sink("b").await.unwrap());
    let copies = [Copy::new(Arc::new(a)), Copy::new(Arc::new(b))];
    let mut new = Repository::create().key(Arc::clone(&key) as _).state(root.join("state"));
    let mut open = Repository::builder().key(key).state(root.join("state"));
    for copy in copies {
        new = new.copy(copy.clone());
        open = open.copy(copy);
    }
    new.run(cx).await.unwrap();
    open.open(cx).await.unwrap()
}

/// File, backup, verify, new file, read back, diff, second plan.
async fn round_trip(source: &Path, suffix: &str) -> u64 {
    let cx = Context::new().with_actor("test");
    let root = tempfile::tempdir().unwrap();
    let repository = repository(&cx, root.path()).await;
    let backup = repository
        .backup(gateway(source).await)
        .application("shop")
        .environment("prod")
        .run(&cx)
        .await
        .unwrap();
    let report = repository.verify().depth(Depth::Full).run(&cx).await.unwrap();
    assert!(report.failures.is_empty(), "{report:?}");

    let new = root.path().join(format!("new.{suffix}"));
    let info = repository.find(&cx, &backup.id.to_string()).await.unwrap();
    let restore = repository.restore(&info, gateway(&new).await);
    let prepared = restore.clone().plan(&cx).await.unwrap();
    assert!(prepared.plan().blocked.is_empty(), "{:?}", prepared.plan().blocked);
    let outcome = prepared.apply(&cx, &ApplyOptions::default()).await.unwrap();
    assert_eq!(outcome.report.status, RunStatus::Success, "{:?}", outcome.report.failures);
    assert_eq!(outcome.report.verdict, GoLive::Go, "{:?}", outcome.report.reasons);
    let again = restore.plan(&cx).await.unwrap();
    assert!(again.plan().is_empty(), "{:?}", again.plan().steps);

    let second = repository
        .backup(gateway(&new).await)
        .application("shop")
        .environment("copy")
        .run(&cx)
        .await
        .unwrap();
    let second = repository.find(&cx, &second.id.to_string()).await.unwrap();
    let difference = repository.diff(&cx, &info, &second).await.unwrap();
    assert!(difference.is_empty(), "{difference:?}");
    // What no restore writes (the cluster's own id) stays where it was.
    let record = difference.for_the_record.len() as u64;
    assert!(difference.for_the_record.iter().all(|key| key.kind.as_str() == "parameter"));
    assert_eq!(difference.equal + record, backup.resources);
    backup.resources
}

#[tokio::test]
async fn a_real_export_comes_back_without_a_difference() {
    // 103 entities, the cluster's parameters, the file's own settings.
    assert_eq!(round_trip(&fixture("12-export.yml"), "yml").await, 105);
}

#[tokio::test]
async fn generated_sets_come_back_without_a_difference() {
    for name in ["generated-nested.yml", "generated-flat.yml"] {
        assert!(round_trip(&fixture(name), "yaml").await >= 200, "{name}");
    }
    for name in ["generated.jsonl", "generated-strict.jsonl"] {
        assert_eq!(round_trip(&fixture(name), "jsonl").await, 200, "{name}");
    }
}

/// The generator's lines, read by `serde_json` alone: kind, id, and everything else as text.
fn lines(path: &Path) -> BTreeMap<(String, String), String> {
    #[derive(serde::Deserialize)]
    struct Line<'a> {
        kind: String,
        id: String,
        #[serde(borrow)]
        body: &'a serde_json::value::RawValue,
        #[serde(borrow)]
        tags: &'a serde_json::value::RawValue,
    }
    let text = std::fs::read_to_string(path).unwrap();
    let line = |line: &str| {
        let line: Line<'_> = serde_json::from_str(line).unwrap();
        let value = |raw: &serde_json::value::RawValue| {
            serde_json::from_str::<serde_json::Value>(raw.get()).unwrap().to_string()
        };
        ((line.kind, line.id), value(line.body) + &value(line.tags))
    };
    text.lines().map(line).collect()
}

#[tokio::test]
async fn every_token_of_a_file_survives() {
    let cx = Context::new();
    let root = tempfile::tempdir().unwrap();
    let odd = root.path().join("odd.jsonl");
    let body = r#"{"a":9007199254740993,"b":9007199254740992,"c":1.0,"d":1,"e":-0,"f":1e400,"g":[],"h":{},"i":null,"j":"\u00e9é\u0000","k":123456789012345678901234567890}"#;
    std::fs::write(&odd, format!("{{\"kind\":\"thing\",\"id\":\"a/b#*%\",\"body\":{body}}}\n"))
        .unwrap();
    let repository = repository(&cx, root.path()).await;
    let backup = repository.backup(gateway(&odd).await).application("a").environment("b");
    let backup = backup.run(&cx).await.unwrap();
    let new = root.path().join("new.jsonl");
    let info = repository.find(&cx, &backup.id.to_string()).await.unwrap();
    let prepared = repository.restore(&info, gateway(&new).await).plan(&cx).await.unwrap();
    prepared.apply(&cx, &ApplyOptions::default()).await.unwrap();
    let text = std::fs::read_to_string(&new).unwrap();
    assert!(text.contains(body), "{text}");
    assert!(text.contains(r#""id":"a/b#*%""#), "{text}");
}

#[tokio::test]
async fn a_restored_file_has_the_lines_of_the_first() {
    let cx = Context::new();
    let root = tempfile::tempdir().unwrap();
    let repository = repository(&cx, root.path()).await;
    let source = fixture("generated.jsonl");
    let backup = repository.backup(gateway(&source).await).application("a").environment("b");
    let backup = backup.run(&cx).await.unwrap();
    let new = root.path().join("new.jsonl");
    let info = repository.find(&cx, &backup.id.to_string()).await.unwrap();
    let prepared = repository.restore(&info, gateway(&new).await).plan(&cx).await.unwrap();
    prepared.apply(&cx, &ApplyOptions::default()).await.unwrap();
    assert_eq!(lines(&source), lines(&new));
}

/// A backup without secrets does not take away those that are there.
#[tokio::test]
async fn what_was_left_out_of_a_backup_stays_in_the_gateway() {
    let cx = Context::new();
    let root = tempfile::tempdir().unwrap();
    let repository = repository(&cx, root.path()).await;
    let live = root.path().join("live.yml");
    let text = std::fs::read_to_string(fixture("12-export.yml")).unwrap();
    std::fs::write(&live, &text).unwrap();
    let backup = repository.backup(gateway(&live).await).application("a").environment("b");
    let backup = backup.without_secrets().run(&cx).await.unwrap();
    // Someone changes a credential's open part, and nothing else.
    let changed =
        text.replace("demo-key-shop-web-0002\n  tags: ~", "demo-key-shop-web-0002\n  tags: [x]");
    assert_ne!(changed, text);
    std::fs::write(&live, &changed).unwrap();
    let info = repository.find(&cx, &backup.id.to_string()).await.unwrap();
    let prepared = repository.restore(&info, gateway(&live).await).plan(&cx).await.unwrap();
    assert_eq!(prepared.plan().summary.update, 1, "{:?}", prepared.plan().summary);
    prepared.apply(&cx, &ApplyOptions::default()).await.unwrap();
    let after = std::fs::read_to_string(&live).unwrap();
    for secret in ["demo-key-shop-web-0002", "demo-oauth-secret-1", "BEGIN PRIVATE KEY"] {
        let count = |text: &str| text.matches(secret).count();
        assert_eq!(count(&after), count(&text), "{secret}");
    }
    assert!(!after.contains("[x]") && !after.contains("- x\n"), "the open part was restored");
}
