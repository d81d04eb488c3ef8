//! Describing a repository.

use std::path::PathBuf;
use std::sync::Arc;

use super::Repository;
use crate::catalog::{FileAnchor, MemoryAnchor, RepositoryId, TrustAnchor};
use crate::context::Context;
use crate::crypt::{KeyProvider, Suite};
use crate::error::{ErrorKind, Result};
use crate::metrics::MetricsRecorder;
use crate::policy::Policy;
use crate::vault::{Copy, Created, NewRepository, Opening};

/// Collects what it takes to open a repository.
pub type RepositoryBuilder = Builder<Existing>;

/// Collects what it takes to make a repository.
pub type NewRepositoryBuilder = Builder<New>;

/// Collects what describes a repository: [`RepositoryBuilder`] one that is there,
/// [`NewRepositoryBuilder`] one to be made.
#[derive(Debug, Clone, Default)]
pub struct Builder<For> {
    copies: Vec<Copy>,
    keys: Vec<Arc<dyn KeyProvider>>,
    anchor: Option<Arc<dyn TrustAnchor>>,
    state: Option<PathBuf>,
    own: For,
}

/// What only the opening of a repository asks for.
#[derive(Debug, Clone, Default)]
pub struct Existing {
    expected: Option<RepositoryId>,
    accepted: Option<RepositoryId>,
    policy: Policy,
    recorders: Vec<Arc<dyn MetricsRecorder>>,
    spool: Option<PathBuf>,
}

/// What only the making of a repository asks for.
#[derive(Debug, Clone, Default)]
pub struct New {
    suite: Suite,
}

impl<For> Builder<For> {
    /// Adds a copy. The first one of a new repository becomes the log's home.
    #[must_use]
    pub fn copy(mut self, copy: Copy) -> Self {
        self.copies.push(copy);
        self
    }

    /// Adds a key. Each holder of a new repository's keys becomes a recipient, with the rights that
    /// the provider names. To open a repository one key suffices, for what its recipient has the
    /// right to.
    #[must_use]
    pub fn key(mut self, key: Arc<dyn KeyProvider>) -> Self {
        self.keys.push(key);
        self
    }

    /// The directory for what this machine remembers, and for spools: outside every copy. Without
    /// it nothing is remembered, and spools lie in the system's folder for temporary files.
    #[must_use]
    pub fn state(mut self, directory: impl Into<PathBuf>) -> Self {
        self.state = Some(directory.into());
        self
    }

    /// Another memory than the state directory.
    #[must_use]
    pub fn anchor(mut self, anchor: Arc<dyn TrustAnchor>) -> Self {
        self.anchor = Some(anchor);
        self
    }

    /// What remembers.
    fn memory(&self) -> Arc<dyn TrustAnchor> {
        match (&self.anchor, &self.state) {
            (Some(given), _) => Arc::clone(given),
            (None, Some(directory)) => Arc::new(FileAnchor::new(directory.join("seen"))),
            (None, None) => Arc::new(MemoryAnchor::new()),
        }
    }
}

impl RepositoryBuilder {
    /// The id that the repository must have.
    #[must_use]
    pub fn expect(mut self, id: RepositoryId) -> Self {
        self.own.expected = Some(id);
        self
    }

    /// An id that may be written to although nothing proves it: only after comparing it with what
    /// `init` printed.
    #[must_use]
    pub fn trust_new(mut self, id: RepositoryId) -> Self {
        self.own.accepted = Some(id);
        self
    }

    /// What is demanded of the copies; without it one copy is allowed, with a warning in
    /// [`status`](Repository::status).
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        self.own.policy = policy;
        self
    }

    /// Tells this recorder how each operation ended (may be said again): every backup, verification,
    /// restore, drill, audit and status, once, when it is over, whether or not it failed. Plans, and
    /// whatever only looks at a backup, are not told. What cannot be recorded is a warning, in the
    /// report if it has warnings, and changes nothing else; a recorder that does not answer is
    /// left after half a minute. A repository that cannot be opened records nothing.
    #[must_use]
    pub fn metrics(mut self, recorder: Arc<dyn MetricsRecorder>) -> Self {
        self.own.recorders.push(recorder);
        self
    }

    /// Another place for spools, which hold sealed bytes only.
    #[must_use]
    pub fn spool(mut self, directory: impl Into<PathBuf>) -> Self {
        self.own.spool = Some(directory.into());
        self
    }

    /// Opens the repository: recognises copies, checks who is trusted, opens keys and log,
    /// completes what a crash left.
    ///
    /// `NotFound` when there is none; `KeyUnavailable` without the right key; `Refused` when
    /// another repository lies there, the copies break the policy, or a key lies inside a copy;
    /// `Corrupt` when trust or log contradict themselves or what this machine remembers, or a newer
    /// version wrote them. Copies that do not answer, or are no copies, are warnings: see
    /// [`Repository::copies`].
    pub async fn open(self, cx: &Context) -> Result<Repository> {
        let anchor = self.memory();
        let Self { copies, keys, state, own, .. } = self;
        let Existing { expected, accepted, policy, recorders, spool } = own;
        let spool = spool.or_else(|| state.map(|directory| directory.join("spool")));
        let spool = spool.unwrap_or_else(|| {
            std::env::temp_dir().join(format!("gwbackup-{}", std::process::id()))
        });
        let opening = Opening { copies, keys, expected, accepted, policy, anchor, spool };
        let mut vault = opening.open(cx).await?;
        if vault.writable().is_ok() {
            match vault.recover(cx).await {
                Ok(left) => vault.warnings.extend(left),
                Err(e) if e.kind() == ErrorKind::Cancelled => return Err(e),
                // A medium that cannot be written now can still be read.
                Err(e) => vault.warnings.push(format!("what a crash left stays for now: {e}")),
            }
        }
        Ok(Repository { vault: Arc::new(vault), recorders: recorders.into() })
    }
}

impl NewRepositoryBuilder {
    /// How archives are sealed.
    #[must_use]
    pub fn suite(mut self, suite: Suite) -> Self {
        self.own.suite = suite;
        self
    }

    /// Makes the repository on every copy. The kit comes back once and is stored nowhere.
    ///
    /// `AlreadyExists` when a copy holds anything of a repository; `Refused` when a key lies inside
    /// a copy or belongs to another repository; `Unsupported` when the first copy cannot decide
    /// between two writers.
    pub async fn run(self, cx: &Context) -> Result<Created> {
        let anchor = self.memory();
        let Self { copies, keys, own, .. } = self;
        NewRepository { copies, keys, suite: own.suite, anchor }.create(cx).await
    }
}
