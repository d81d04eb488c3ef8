//! Nodes, a repository, and a reader that knows nothing of the library's own comparison.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use gwbackup_core::connect::Settings;
use gwbackup_core::crypt::KeyFile;
use gwbackup_core::model::Cause;
use gwbackup_core::repository::{BackupInfo, PreparedRestore, RestoreBuilder, RestoreOutcome};
use gwbackup_core::restore::{ApplyOptions, RunStatus};
use gwbackup_core::sink::{MemorySink, Sink};
use gwbackup_core::source::Source as _;
use gwbackup_core::testing::{Faults, FaultySink, ManualClock};
use gwbackup_core::{Context, Copy, Repository, Result};
use gwbackup_kong::testing::{Asked, Fault, KongDouble, KongDoubleBuilder};
use gwbackup_kong::{ImportHook, KongAdmin};
use serde_json::Value;
use url::Url;
use uuid::Uuid;

/// Everything that a node holds, by collection.
pub type State = BTreeMap<String, Vec<Value>>;

pub struct Bench {
    pub cx: Context,
    pub clock: ManualClock,
    pub repository: Repository,
    sink: Arc<MemorySink>,
    key: Arc<KeyFile>,
    directory: tempfile::TempDir,
}

impl Bench {
    pub async fn new() -> Self {
        let clock = ManualClock::auto("2026-11-21T12:00:00Z".parse().unwrap());
        let cx = Context::new().with_clock(Arc::new(clock.clone())).with_actor("test");
        let directory = tempfile::tempdir().unwrap();
        let key = Arc::new(KeyFile::generate(directory.path().join("key"), None).unwrap());
        let (sink, state) = (Arc::new(MemorySink::new()), directory.path().join("state"));
        let new = Repository::create().key(Arc::clone(&key) as _).state(&state);
        new.copy(Copy::new(Arc::clone(&sink) as _)).run(&cx).await.unwrap();
        let repository = open(&cx, &key, &state, Arc::clone(&sink) as _).await;
        Self { cx, clock, repository, sink, key, directory }
    }

    /// The same repository for a process that may die: its store meets these faults.
    pub async fn mortal(&self, faults: Faults) -> Repository {
        let sink = FaultySink::new(Arc::clone(&self.sink) as _, faults);
        open(&self.cx, &self.key, &self.directory.path().join("state"), Arc::new(sink)).await
    }

    /// The newest run onto this node.
    pub async fn run_of(&self, node: &KongDouble) -> Uuid {
        let runs = self.repository.runs(&self.cx).await.unwrap();
        let target = admin(node).address();
        // A node of an earlier run may have had the same port.
        runs.into_iter().find(|run| run.target == target && run.status.is_none()).unwrap().run
    }

    /// A node that goes by the clock of this bench.
    pub async fn node(&self) -> KongDouble {
        self.node_with(|builder| builder).await
    }

    pub async fn node_with(
        &self,
        with: impl FnOnce(KongDoubleBuilder) -> KongDoubleBuilder,
    ) -> KongDouble {
        with(KongDouble::builder().clock(Arc::new(self.clock.clone()))).start().await.unwrap()
    }

    /// A node with the 103 recorded entities.
    pub async fn recorded(&self) -> KongDouble {
        let node = self.node().await;
        load(&node);
        node
    }

    pub async fn backup(&self, node: &KongDouble) -> BackupInfo {
        self.backup_of(admin(node)).await
    }

    pub async fn backup_of(&self, source: KongAdmin) -> BackupInfo {
        let run = self.repository.backup(Arc::new(source)).application("shop").environment("prod");
        run.run(&self.cx).await.unwrap();
        let backup = self.repository.find(&self.cx, "latest").await.unwrap();
        let gaps = &backup.details().gaps;
        assert!(gaps.iter().all(|gap| gap.cause == Cause::NotOffered), "{gaps:#?}");
        backup
    }

    pub fn restore(&self, backup: &BackupInfo, target: KongAdmin) -> RestoreBuilder {
        self.repository.restore(backup, Arc::new(target))
    }

    pub async fn plan(&self, restore: RestoreBuilder) -> PreparedRestore {
        let prepared = restore.plan(&self.cx).await.unwrap();
        let plan = prepared.plan();
        assert!(!plan.is_blocked(), "{:#?} {:#?}", plan.blocked, plan.findings);
        prepared
    }

    pub async fn apply(&self, restore: RestoreBuilder) -> RestoreOutcome {
        let options = ApplyOptions { accept_loss: true, ..ApplyOptions::default() };
        self.plan(restore).await.apply(&self.cx, &options).await.unwrap()
    }

    /// Restores, and nothing is left to say.
    pub async fn succeed(&self, restore: RestoreBuilder) -> RestoreOutcome {
        let outcome = self.apply(restore).await;
        let report = &outcome.report;
        assert_eq!(report.status, RunStatus::Success, "{:#?}", report.failures);
        assert_eq!(report.compare.different, 0, "{:#?}", report.compare.differences);
        outcome
    }
}

async fn open(cx: &Context, key: &Arc<KeyFile>, state: &Path, sink: Arc<dyn Sink>) -> Repository {
    let repository = Repository::builder().key(Arc::clone(key) as _).state(state);
    repository.copy(Copy::new(sink)).open(cx).await.unwrap()
}

/// One of so many places is tried, unless all are asked for.
pub fn stride() -> usize {
    if std::env::var_os("GWBACKUP_TEST_ALL").is_some() { 1 } else { 8 }
}

/// Fills a node with the recorded state, hashes as they are.
pub fn load(node: &KongDouble) {
    let text = std::fs::read_to_string(fixture("12-export.yml")).unwrap();
    node.import(&text).unwrap();
    // An import forgets how long a key lives.
    for credential in recorded()["key-auths"].iter().filter(|c| !c["ttl"].is_null()) {
        let path = format!("/key-auths/{}", credential["id"].as_str().unwrap());
        let (status, _) = node.request("PATCH", &path, &serde_json::json!({"ttl": 86395}));
        assert_eq!(status, 200);
    }
    assert_eq!(node.state().values().map(Vec::len).sum::<usize>(), 103);
}

pub fn recorded() -> State {
    let text = std::fs::read_to_string(fixture("10-state.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

pub fn fixture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

pub fn admin(node: &KongDouble) -> KongAdmin {
    admin_at(node, "")
}

/// With something in the address, such as `?tags=a`.
pub fn admin_at(node: &KongDouble, more: &str) -> KongAdmin {
    let url = Url::parse(&format!("kong+{}{more}", node.url())).unwrap();
    KongAdmin::new(&url, &Settings::new()).unwrap()
}

/// The operator's program, as far as the node notices.
#[derive(Debug)]
pub struct Import(pub Arc<KongDouble>);

#[async_trait]
impl ImportHook for Import {
    async fn import(&self, _: &Context, file: &Path) -> Result<()> {
        self.0.import(&std::fs::read_to_string(file)?)
    }
}

pub fn importing(node: &Arc<KongDouble>) -> KongAdmin {
    admin(node).with_import_hook(Arc::new(Import(Arc::clone(node))))
}

/// What a node holds, but for what moves by itself: the time of the last change, the seconds left,
/// and the order of sets.
pub fn still(state: &State) -> Vec<String> {
    let mut all = Vec::new();
    for (collection, entities) in state {
        for entity in entities {
            let mut entity = entity.clone();
            let members = entity.as_object_mut().unwrap();
            members.remove("updated_at");
            members.remove("ttl");
            for set in ["tags", "protocols", "methods", "snis", "hosts"] {
                if let Some(items) = members.get_mut(set).and_then(Value::as_array_mut) {
                    items.sort_by_key(ToString::to_string);
                }
            }
            all.push(format!("{collection} {entity}"));
        }
    }
    all.sort();
    all
}

/// The same things, told apart.
#[track_caller]
pub fn assert_same(found: &State, wanted: &State, when: &str) {
    let (found, wanted) = (still(found), still(wanted));
    let missing: Vec<_> = wanted.iter().filter(|item| !found.contains(item)).collect();
    let more: Vec<_> = found.iter().filter(|item| !wanted.contains(item)).collect();
    assert!(found == wanted, "{when}: missing {missing:#?}\nunexpected {more:#?}");
}

/// Deletes everything, children first.
pub fn empty(node: &KongDouble) {
    for _ in 0..4 {
        for (collection, entities) in node.state() {
            for entity in entities {
                let id = entity["id"].as_str().unwrap();
                let path = match collection.as_str() {
                    "targets" => {
                        format!(
                            "/upstreams/{}/targets/{id}",
                            entity["upstream"]["id"].as_str().unwrap()
                        )
                    }
                    _ => format!("/{collection}/{id}"),
                };
                node.request("DELETE", &path, &Value::Null);
            }
        }
    }
    assert_eq!(node.state().values().map(Vec::len).sum::<usize>(), 0);
}

/// Whether a call may change the node.
pub fn is_write(method: &str, path: &str) -> bool {
    method != "GET" && !path.starts_with("/schemas/")
}

/// What happens to the `k`-th write.
pub fn at_write(
    node: &KongDouble,
    k: usize,
    fault: impl Fn(u32) -> Option<Fault> + Send + 'static,
) {
    let mut writes = 0;
    let mut victim: Option<(String, String, u32)> = None;
    node.faults(move |asked: &Asked<'_>| {
        if !is_write(asked.method, asked.path) {
            return None;
        }
        writes += 1;
        if writes == k {
            victim = Some((asked.method.to_owned(), asked.path.to_owned(), 0));
        }
        let (method, path, attempts) = victim.as_mut()?;
        if *method != asked.method || *path != asked.path {
            return None;
        }
        *attempts += 1;
        fault(*attempts)
    });
}
