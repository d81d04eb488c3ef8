//! The main type: every operation starts here.

mod builder;
mod drill;
mod history;
mod links;
mod metrics;
mod operations;
mod query;
mod runbook;

use std::sync::Arc;

use crate::catalog::{AuditReport, Event, RepositoryId};
use crate::context::Context;
use crate::crypt::Recipient;
use crate::drift::{self, Difference};
use crate::error::Result;
use crate::metrics::MetricsRecorder;
use crate::model::Rules;
use crate::preflight::{self, PreflightReport};
use crate::source::{Purpose, Source};
use crate::task::blocking;
use crate::vault::Vault;

pub use crate::vault::{Copy, Created, Place, RewrapReport, Standing};
pub use builder::{Builder, Existing, New, NewRepositoryBuilder, RepositoryBuilder};
pub use drill::{DrillBuilder, DrillStanding};
pub use history::{Became, HistoryBuilder, ResourceHistory, Seen, Unread, Version};
pub use links::LinkedResource;
pub use operations::{
    BackupBuilder, PreparedRestore, RestoreBuilder, RestoreOutcome, VerifyBuilder,
};
pub use query::{BackupInfo, BackupView, RunInfo, Shown, StatusReport};

/// An open repository: copies, keys, log. Cheap to clone.
///
/// ```
/// use std::sync::Arc;
/// use gwbackup_core::{Context, Copy, Repository};
/// use gwbackup_core::crypt::Passphrase;
/// use gwbackup_core::sink::MemorySink;
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// # let spool = tempfile::tempdir().unwrap();
/// let cx = Context::new().with_actor("ci");
/// let sink = Arc::new(MemorySink::new());
/// let key = Arc::new(Passphrase::new("correct horse battery staple")?);
/// let made = Repository::create()
///     .copy(Copy::new(sink.clone()).medium("memory"))
///     .key(key.clone())
///     .run(&cx)
///     .await?;
/// let repository = Repository::builder()
///     .copy(Copy::new(sink))
///     .key(key)
///     .spool(spool.path())
///     .open(&cx)
///     .await?;
/// assert_eq!(*repository.id(), made.id);
/// assert!(repository.list(&cx).await?.is_empty());
/// # Ok::<(), gwbackup_core::Error>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct Repository {
    pub(crate) vault: Arc<Vault>,
    recorders: Arc<[Arc<dyn MetricsRecorder>]>,
}

impl Repository {
    /// Describes a repository to open.
    pub fn builder() -> RepositoryBuilder {
        RepositoryBuilder::default()
    }

    /// Describes a repository to make.
    pub fn create() -> NewRepositoryBuilder {
        NewRepositoryBuilder::default()
    }

    /// Its id: whoever knows it can check everything else without trusting a copy.
    pub fn id(&self) -> &RepositoryId {
        self.vault.id()
    }

    /// Its copies, and how they stand.
    pub fn copies(&self) -> &[Place] {
        &self.vault.places
    }

    /// Whether something proves that the id is the right one. Reading works without; writing is
    /// refused.
    pub fn is_proven(&self) -> bool {
        self.vault.proven
    }

    /// What people should know, found at opening.
    pub fn warnings(&self) -> &[String] {
        &self.vault.warnings
    }

    /// Tries, without side effect, what an operation on `gateway` will need; looks at the copies,
    /// too. What fails is a finding.
    pub async fn preflight(
        &self,
        cx: &Context,
        gateway: &dyn Source,
        purpose: Purpose,
    ) -> Result<PreflightReport> {
        preflight::run(Some(&self.vault), cx, gateway, purpose).await
    }

    /// What differs between two backups, resource by resource, secrets masked. Writes nothing.
    pub async fn diff(
        &self,
        cx: &Context,
        before: &BackupInfo,
        after: &BackupInfo,
    ) -> Result<Difference> {
        let before = self.vault.view(cx, &before.point).await?;
        let after = self.vault.view(cx, &after.point).await?;
        let rules = Rules::new(Arc::new(after.description().schema.clone()));
        blocking(move || drift::difference(&rules, before.as_ref(), after.as_ref())).await
    }

    /// What differs between a backup and the live gateway; `added` is what only the gateway has.
    /// Writes nothing.
    pub async fn drift(
        &self,
        cx: &Context,
        gateway: Arc<dyn Source>,
        backup: &BackupInfo,
    ) -> Result<Difference> {
        let view = self.vault.view(cx, &backup.point).await?;
        drift::drift(&self.vault, cx, gateway, view).await
    }

    /// Whose keys open it, as its trust document says.
    pub fn recipients(&self) -> &[Recipient] {
        &self.vault.trust.current().recipients
    }

    /// Wraps every key anew, under the newest material of the keys that were given when it was
    /// opened, as the next generation, on every copy that answers: what follows a rotation inside a
    /// key service. A service that can do so does it by itself, and the wrapped keys stay unread
    /// where the right to open them is missing.
    ///
    /// Archives are not touched; a few kilobytes are written for each backup. Older generations stay
    /// and open as before, so that a copy that was away loses nothing; against key material that
    /// somebody else has got they are no help, nor is this. Each key is done or not: after an error
    /// or a cancellation call again. The log gets an event for each hundred keys. `Refused` where
    /// nothing may be written.
    pub async fn rewrap(&self, cx: &Context) -> Result<RewrapReport> {
        self.vault.rewrap(cx).await
    }

    /// The whole log, each event checked.
    pub async fn events(&self, cx: &Context) -> Result<Vec<Event>> {
        self.vault.events(cx).await
    }

    /// Replays the whole log from the copies: chain, signatures, roles, and what this machine
    /// remembers.
    pub async fn audit(&self, cx: &Context) -> Result<AuditReport> {
        let result = self.vault.log.audit(cx).await;
        self.measured_aside(cx, metrics::audit(result.as_ref())).await;
        result
    }
}

/// Tries, without side effect, what an operation on `gateway` will need.
pub async fn preflight(
    cx: &Context,
    gateway: &dyn Source,
    purpose: Purpose,
) -> Result<PreflightReport> {
    preflight::run(None, cx, gateway, purpose).await
}
