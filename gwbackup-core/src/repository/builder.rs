//! Describing a repository.

use std::path::PathBuf;
use std::sync::Arc;

use super::Repository;
use crate::catalog::{FileAnchor, MemoryAnchor, RepositoryId, TrustAnchor};
use crate::context::Context;
use crate::crypt::{KeyProvider, Suite};
use crate::error::{ErrorKind, Result};
use crate::policy::Policy;
use crate::vault::{Copy, Created, NewRepository, Opening};

/// Collects what it takes to open a repository.
#[derive(Debug, Clone, Default)]
pub struct RepositoryBuilder {
    copies: Vec<Copy>,
    keys: Vec<Arc<dyn KeyProvider>>,
    expected: Option<RepositoryId>,
    accepted: Option<RepositoryId>,
    policy: Policy,
    anchor: Option<Arc<dyn TrustAnchor>>,
    state: Option<PathBuf>,
    spool: Option<PathBuf>,
}

impl RepositoryBuilder {
    /// Adds a copy.
    #[must_use]
    pub fn copy(mut self, copy: Copy) -> Self {
        self.copies.push(copy);
        self
    }

    /// Adds a key. One suffices; each can open by itself what its recipient has the right to.
    #[must_use]
    pub fn key(mut self, key: Arc<dyn KeyProvider>) -> Self {
        self.keys.push(key);
        self
    }

    /// The id that the repository must have.
    #[must_use]
    pub fn expect(mut self, id: RepositoryId) -> Self {
        self.expected = Some(id);
        self
    }

    /// An id that may be written to although nothing proves it: only after comparing it with what
    /// `init` printed.
    #[must_use]
    pub fn trust_new(mut self, id: RepositoryId) -> Self {
        self.accepted = Some(id);
        self
    }

    /// What is demanded of the copies; without it one copy is allowed, with a warning in
    /// [`status`](Repository::status).
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// The directory for what this machine remembers, and for spools: outside every copy. Without
    /// it nothing is remembered, and spools lie in the system's folder for temporary files.
    #[must_use]
    pub fn state(mut self, directory: impl Into<PathBuf>) -> Self {
        self.state = Some(directory.into());
        self
    }

    /// Another place for spools, which hold sealed bytes only.
    #[must_use]
    pub fn spool(mut self, directory: impl Into<PathBuf>) -> Self {
        self.spool = Some(directory.into());
        self
    }

    /// Another memory than the state directory.
    #[must_use]
    pub fn anchor(mut self, anchor: Arc<dyn TrustAnchor>) -> Self {
        self.anchor = Some(anchor);
        self
    }

    /// Opens the repository: recognises copies, checks who is trusted, opens keys and log,
    /// completes what a crash left.
    ///
    /// `NotFound` when there is none; `KeyUnavailable` without the right key; `Refused` when
    /// another repository lies there, the copies break the policy, or a key lies inside a copy; `Corrupt` when trust or log
    /// contradict themselves or what this machine remembers. Copies that do not answer, or are no
    /// copies, are warnings: see [`Repository::copies`].
    pub async fn open(self, cx: &Context) -> Result<Repository> {
        let spool = spool(self.spool, self.state.as_ref());
        let opening = Opening {
            copies: self.copies,
            keys: self.keys,
            expected: self.expected,
            accepted: self.accepted,
            policy: self.policy,
            anchor: anchor(self.anchor, self.state),
            spool,
        };
        let mut vault = opening.open(cx).await?;
        if vault.writable().is_ok() {
            match vault.recover(cx).await {
                Ok(left) => vault.warnings.extend(left),
                Err(e) if e.kind() == ErrorKind::Cancelled => return Err(e),
                // A medium that cannot be written now can still be read.
                Err(e) => vault.warnings.push(format!("what a crash left stays for now: {e}")),
            }
        }
        Ok(Repository { vault: Arc::new(vault) })
    }
}

/// Collects what it takes to make a repository.
#[derive(Debug, Clone, Default)]
pub struct NewRepositoryBuilder {
    copies: Vec<Copy>,
    keys: Vec<Arc<dyn KeyProvider>>,
    suite: Suite,
    anchor: Option<Arc<dyn TrustAnchor>>,
    state: Option<PathBuf>,
}

impl NewRepositoryBuilder {
    /// Adds a copy. The first is the log's home.
    #[must_use]
    pub fn copy(mut self, copy: Copy) -> Self {
        self.copies.push(copy);
        self
    }

    /// Adds a key: its holder becomes a recipient, with the rights that the provider names.
    #[must_use]
    pub fn key(mut self, key: Arc<dyn KeyProvider>) -> Self {
        self.keys.push(key);
        self
    }

    /// How archives are sealed.
    #[must_use]
    pub fn suite(mut self, suite: Suite) -> Self {
        self.suite = suite;
        self
    }

    /// The directory for what this machine remembers.
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

    /// Makes the repository on every copy. The kit comes back once and is stored nowhere.
    ///
    /// `AlreadyExists` when a copy holds anything of a repository; `Refused` when a key lies inside
    /// a copy or belongs to another repository; `Unsupported` when the first copy cannot decide
    /// between two writers.
    pub async fn run(self, cx: &Context) -> Result<Created> {
        let anchor = anchor(self.anchor, self.state);
        let Self { copies, keys, suite, .. } = self;
        NewRepository { copies, keys, suite, anchor }.create(cx).await
    }
}

fn anchor(given: Option<Arc<dyn TrustAnchor>>, state: Option<PathBuf>) -> Arc<dyn TrustAnchor> {
    given.unwrap_or_else(|| match state {
        Some(directory) => Arc::new(FileAnchor::new(directory.join("seen"))),
        None => Arc::new(MemoryAnchor::new()),
    })
}

fn spool(given: Option<PathBuf>, state: Option<&PathBuf>) -> PathBuf {
    given
        .or_else(|| state.map(|directory| directory.join("spool")))
        .unwrap_or_else(|| std::env::temp_dir().join(format!("gwbackup-{}", std::process::id())))
}
