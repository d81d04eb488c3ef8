//! What the tests of whole operations share.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test uses a part; a failure here fails the test"
)]

pub mod look;

use std::sync::Arc;

use gwbackup_core::clock::Timestamp;
use gwbackup_core::crypt::KeyFile;
use gwbackup_core::sink::{MemorySink, Sink};
use gwbackup_core::testing::ManualClock;
use gwbackup_core::{Context, Copy, Repository};

/// A repository in memory, with a clock that waits for nothing.
pub struct Bench {
    pub cx: Context,
    pub clock: ManualClock,
    pub sinks: Vec<MemorySink>,
    pub key: Arc<KeyFile>,
    pub directory: tempfile::TempDir,
}

impl Bench {
    /// A new repository on `copies` copies.
    pub async fn new(copies: usize) -> Self {
        let bench = Self::empty(copies);
        bench.create().await;
        bench
    }

    /// Makes the repository.
    pub async fn create(&self) {
        let mut new = Repository::create()
            .key(Arc::clone(&self.key) as _)
            .state(self.directory.path().join("state"));
        for sink in &self.sinks {
            new = new.copy(Copy::new(Arc::new(sink.clone())));
        }
        new.run(&self.cx).await.unwrap();
    }

    /// The same before the repository is made.
    pub fn empty(copies: usize) -> Self {
        let start: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let clock = ManualClock::auto(start);
        let cx = Context::new().with_clock(Arc::new(clock.clone())).with_actor("test");
        let directory = tempfile::tempdir().unwrap();
        let key = Arc::new(KeyFile::generate(directory.path().join("key"), None).unwrap());
        Self {
            cx,
            clock,
            sinks: (0..copies).map(|n| MemorySink::named(&n.to_string())).collect(),
            key,
            directory,
        }
    }

    /// Opens it.
    pub async fn open(&self) -> Repository {
        self.open_with(|sink| Arc::new(sink)).await.unwrap()
    }

    /// Opens it over other sinks.
    pub async fn open_with(
        &self,
        wrap: impl Fn(MemorySink) -> Arc<dyn Sink>,
    ) -> gwbackup_core::Result<Repository> {
        let mut builder = Repository::builder()
            .key(Arc::clone(&self.key) as _)
            .state(self.directory.path().join("state"));
        for sink in &self.sinks {
            builder = builder.copy(Copy::new(wrap(sink.clone())));
        }
        builder.open(&self.cx).await
    }
}
