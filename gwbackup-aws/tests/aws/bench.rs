//! Accounts, a repository, and what tests do with them.

use std::sync::Arc;

use gwbackup_aws::testing::{AwsDouble, AwsDoubleBuilder};
use gwbackup_aws::{Aws, Config};
use gwbackup_core::crypt::KeyFile;
use gwbackup_core::repository::{BackupInfo, PreparedRestore, RestoreBuilder, RestoreOutcome};
use gwbackup_core::restore::{ApplyOptions, RunStatus};
use gwbackup_core::sink::MemorySink;
use gwbackup_core::testing::ManualClock;
use gwbackup_core::{Context, Copy, Repository};
use serde_json::Value;
use url::Url;

pub(crate) struct Bench {
    pub(crate) cx: Context,
    pub(crate) clock: ManualClock,
    pub(crate) repository: Repository,
    _directory: tempfile::TempDir,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        let clock = ManualClock::auto("2026-11-21T12:00:00Z".parse().unwrap());
        let cx = Context::new().with_clock(Arc::new(clock.clone())).with_actor("test");
        let directory = tempfile::tempdir().unwrap();
        let key = Arc::new(KeyFile::generate(directory.path().join("key"), None).unwrap());
        let (sink, state) = (Arc::new(MemorySink::new()), directory.path().join("state"));
        let new = Repository::create().key(Arc::clone(&key) as _).state(&state);
        new.copy(Copy::new(Arc::clone(&sink) as _)).run(&cx).await.unwrap();
        let repository = Repository::builder().key(key).state(state).copy(Copy::new(sink));
        let repository = repository.open(&cx).await.unwrap();
        Self { cx, clock, repository, _directory: directory }
    }

    /// An account that goes by the clock of this bench.
    pub(crate) async fn account(&self) -> AwsDouble {
        self.account_with(|builder| builder).await
    }

    pub(crate) async fn account_with(
        &self,
        with: impl FnOnce(AwsDoubleBuilder) -> AwsDoubleBuilder,
    ) -> AwsDouble {
        with(AwsDouble::builder().clock(Arc::new(self.clock.clone()))).start().await.unwrap()
    }

    pub(crate) async fn backup(&self, double: &AwsDouble) -> BackupInfo {
        let backup = self.backup_of(aws(double)).await;
        let gaps = &backup.details().gaps;
        assert!(gaps.is_empty(), "{gaps:#?}");
        backup
    }

    pub(crate) async fn backup_of(&self, source: Aws) -> BackupInfo {
        let run = self.repository.backup(Arc::new(source)).application("shop").environment("prod");
        run.run(&self.cx).await.unwrap();
        self.repository.find(&self.cx, "latest").await.unwrap()
    }

    pub(crate) fn restore(&self, backup: &BackupInfo, target: Aws) -> RestoreBuilder {
        self.repository.restore(backup, Arc::new(target))
    }

    pub(crate) async fn plan(&self, restore: RestoreBuilder) -> PreparedRestore {
        let prepared = restore.plan(&self.cx).await.unwrap();
        let plan = prepared.plan();
        assert!(!plan.is_blocked(), "{:#?} {:#?}", plan.blocked, plan.findings);
        prepared
    }

    pub(crate) async fn apply(&self, restore: RestoreBuilder) -> RestoreOutcome {
        let options = ApplyOptions { accept_loss: true, ..ApplyOptions::default() };
        self.plan(restore).await.apply(&self.cx, &options).await.unwrap()
    }

    /// Restores, and nothing is left to say.
    pub(crate) async fn succeed(&self, restore: RestoreBuilder) -> RestoreOutcome {
        let outcome = self.apply(restore).await;
        let report = &outcome.report;
        assert_eq!(report.status, RunStatus::Success, "{:#?}", report.failures);
        assert_eq!(report.compare.different, 0, "{:#?}", report.compare.differences);
        outcome
    }
}

pub(crate) fn config(double: &AwsDouble) -> Config {
    config_in(double, "eu-central-1")
}

pub(crate) fn config_in(double: &AwsDouble, region: &str) -> Config {
    let config = Config::new(region, Config::fixed("AKIATEST", "secret")).unwrap();
    config.with_endpoint(Url::parse(&double.url()).unwrap())
}

pub(crate) fn aws(double: &AwsDouble) -> Aws {
    Aws::new(config(double)).unwrap()
}

/// A call of the test's own hand that has to succeed.
#[track_caller]
pub(crate) fn ask(double: &AwsDouble, method: &str, path: &str, body: Value) -> Value {
    let (status, answer) = double.request(method, path, &body);
    assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
    answer
}

/// The same, for what is made: its id.
#[track_caller]
pub(crate) fn make(double: &AwsDouble, path: &str, body: Value) -> String {
    let made = ask(double, "POST", path, body);
    let ids = [
        "id",
        "apiId",
        "clientCertificateId",
        "vpcLinkId",
        "authorizerId",
        "integrationId",
        "routeId",
        "deploymentId",
        "portalId",
    ];
    let id = ids.iter().find_map(|name| made[*name].as_str());
    id.unwrap_or_default().to_owned()
}
