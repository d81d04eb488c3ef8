//! Credentials that the node gives out as hashes.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use gwbackup_core::model::{Key, Secret};
use gwbackup_core::plan::Decision;
use gwbackup_core::restore::{ApplyOptions, RunStatus, SecretProvider};
use gwbackup_core::{Context, Error, ErrorKind, Result};
use gwbackup_kong::ImportHook;
use gwbackup_kong::testing::{Fault, KongDouble};
use serde_json::{Value, json};

use crate::bench::{Bench, admin, assert_same, importing};

const CONSUMER: &str = "00000000-0000-4000-8000-000000000001";
const LOGIN: &str = "/basic-auths/00000000-0000-4000-8000-000000000002";
const CLIENT: &str = "/oauth2/00000000-0000-4000-8000-000000000003";

/// A consumer with a password and a hashed secret.
fn fill(node: &KongDouble) {
    let consumer = json!({"id": CONSUMER});
    for (path, body) in [
        (format!("/consumers/{CONSUMER}"), json!({"username": "ada"})),
        (LOGIN.into(), json!({"consumer": consumer, "username": "ada", "password": "old"})),
        (
            CLIENT.into(),
            json!({"consumer": consumer, "name": "app", "client_id": "app",
                "client_secret": "hush", "hash_secret": true, "redirect_uris": ["https://a.example"]}),
        ),
    ] {
        let (status, answer) = node.request("PUT", &path, &body);
        assert_eq!(status, 200, "{answer}");
    }
}

fn get(node: &KongDouble, path: &str) -> Value {
    node.request("GET", path, &Value::Null).1
}

#[tokio::test]
async fn a_changed_password_works_again_after_the_restore() {
    let bench = Bench::new().await;
    let node = Arc::new(bench.node().await);
    fill(&node);
    let before = node.state();
    let backup = bench.backup(&node).await;
    node.request("PATCH", LOGIN, &json!({"password": "new"}));
    node.request("PATCH", CLIENT, &json!({"client_secret": "new", "hash_secret": true}));
    assert!(node.lets_in("ada", "new") && !node.lets_in("ada", "old"));
    bench.succeed(bench.restore(&backup, importing(&node))).await;
    assert_same(&node.state(), &before, "restored");
    assert!(node.lets_in("ada", "old") && !node.lets_in("ada", "new"));
    node.request("DELETE", &format!("/consumers/{CONSUMER}"), &Value::Null);
    bench.succeed(bench.restore(&backup, importing(&node))).await;
    assert_same(&node.state(), &before, "made anew");
    assert!(node.lets_in("ada", "old"));
}

#[tokio::test]
async fn a_hash_below_another_consumer_cannot_be_restored() {
    let bench = Bench::new().await;
    let node = bench.node().await;
    fill(&node);
    let backup = bench.backup(&node).await;
    let other = Arc::new(bench.node().await);
    let (status, _) = other.request("POST", "/consumers", &json!({"username": "ada"}));
    assert_eq!(status, 201);
    let prepared = bench.plan(bench.restore(&backup, importing(&other))).await;
    let left = &prepared.plan().left;
    let [item] = left.as_slice() else { panic!("{left:#?}") };
    assert_eq!(item.key.kind.as_str(), "basicauth_credential");
    assert!(matches!(&item.decision, Decision::CannotRestore(why) if why.contains(CONSUMER)));
    let outcome = prepared.apply(&bench.cx, &ApplyOptions::default()).await.unwrap();
    assert_eq!(outcome.report.status, RunStatus::Partial, "{:?}", outcome.report.failures);
    assert_eq!(other.state()["oauth2"].len(), 1);
    assert!(other.state()["basic-auths"].is_empty());
}

#[tokio::test]
async fn destroying_a_hash_that_cannot_come_back_wants_consent() {
    let bench = Bench::new().await;
    let node = bench.node().await;
    let backup = bench.backup(&node).await;
    fill(&node);
    let before = node.state();
    let prune = bench.restore(&backup, admin(&node)).prune(100);
    let refused = bench.plan(prune.clone()).await.apply(&bench.cx, &ApplyOptions::default()).await;
    let error = refused.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    assert_same(&node.state(), &before, "nothing was written");
    bench.succeed(prune).await;
    assert_eq!(node.state().values().map(Vec::len).sum::<usize>(), 0);
}

/// Fails, and remembers where the file was.
#[derive(Debug, Default)]
struct Broken(Mutex<Vec<PathBuf>>);

#[async_trait]
impl ImportHook for Broken {
    async fn import(&self, _: &Context, file: &Path) -> Result<()> {
        let text = std::fs::read_to_string(file)?;
        assert!(text.contains("_transform: false"), "hashes must not be hashed");
        self.0.lock().unwrap().push(file.to_owned());
        Err(Error::new(ErrorKind::Other, "no database"))
    }
}

#[tokio::test]
async fn an_import_that_fails_turns_the_run_round_and_leaves_no_file() {
    let bench = Bench::new().await;
    let node = bench.node().await;
    fill(&node);
    let backup = bench.backup(&node).await;
    node.request("DELETE", &format!("/consumers/{CONSUMER}"), &Value::Null);
    let hook = Arc::new(Broken::default());
    let target = admin(&node).with_import_hook(Arc::clone(&hook) as _);
    let outcome = bench.apply(bench.restore(&backup, target)).await;
    assert_eq!(outcome.report.status, RunStatus::RolledBack);
    assert!(outcome.report.failures[0].contains("no database"), "{:?}", outcome.report.failures);
    assert_eq!(node.state().values().map(Vec::len).sum::<usize>(), 0);
    let files = hook.0.lock().unwrap();
    assert_eq!(files.len(), 1);
    assert!(!files[0].exists() && !files[0].parent().unwrap().exists());
}

#[tokio::test]
async fn a_lost_touch_is_made_again() {
    let bench = Bench::new().await;
    let node = Arc::new(bench.node().await);
    fill(&node);
    let before = node.state();
    let backup = bench.backup(&node).await;
    node.request("PATCH", LOGIN, &json!({"password": "new"}));
    assert!(node.lets_in("ada", "new"));
    let mut touched = false;
    node.faults(move |asked| {
        let touch = asked.method == "PATCH" && asked.path == LOGIN && !touched;
        touched |= touch;
        touch.then_some(Fault::Disconnect)
    });
    bench.succeed(bench.restore(&backup, importing(&node))).await;
    assert_same(&node.state(), &before, "restored");
    assert!(node.lets_in("ada", "old"), "the node was not told");
    assert_eq!(get(&node, LOGIN)["username"], "ada");
}

/// Clear text for every place whose value the backup has as a hash.
#[derive(Debug)]
struct Supplies;

#[async_trait]
impl SecretProvider for Supplies {
    async fn secret(&self, _: &Context, _: &Key, pointer: &str) -> Result<Option<Secret>> {
        let wanted = matches!(pointer, "/password" | "/client_secret");
        Ok(wanted.then(|| Secret::new("fresh")))
    }
}

#[tokio::test]
async fn a_password_that_is_supplied_lets_in_without_an_import() {
    let bench = Bench::new().await;
    let node = Arc::new(bench.node().await);
    fill(&node);
    let backup = bench.backup(&node).await;
    node.request("DELETE", &format!("/consumers/{CONSUMER}"), &Value::Null);
    let alone = bench.plan(bench.restore(&backup, admin(&node))).await;
    assert_eq!(alone.plan().summary.cannot_restore, 2, "{:?}", alone.plan().left);
    let told = alone.plan().left.iter().any(|item| {
        matches!(&item.decision, Decision::CannotRestore(why) if why.contains("supply the secret"))
    });
    assert!(told, "{:?}", alone.plan().left);
    bench.succeed(bench.restore(&backup, admin(&node)).secrets(Arc::new(Supplies))).await;
    assert!(node.lets_in("ada", "fresh") && !node.lets_in("ada", "old"));
    let hash = get(&node, CLIENT)["client_secret"].as_str().unwrap().to_owned();
    assert!(hash.starts_with("$pbkdf2"), "{hash}");
    // An import takes what it is given for a hash.
    let import = bench.restore(&backup, importing(&node)).secrets(Arc::new(Supplies));
    let refused = import.plan(&bench.cx).await.unwrap_err();
    assert!(refused.to_string().contains("hash"), "{refused}");
}
