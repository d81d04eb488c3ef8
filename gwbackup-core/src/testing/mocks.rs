//! Mocks of every trait, for tests that expect calls one by one.
//!
//! Each is made by [`mockall`](https://docs.rs/mockall): `expect_x` says what `x` is called with and
//! answers, and a mock that is dropped checks that its expectations were met. A call that was not
//! expected panics. Where a test wants something that works, and fails now and then, the gateway in
//! memory and the wrappers over [`Faults`](super::Faults) serve better.
//!
//! ```
//! use gwbackup_core::{Context, Error, ErrorKind};
//! use gwbackup_core::sink::{ObjectName, Sink, put_once};
//! use gwbackup_core::testing::mocks::MockSink;
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let mut sink = MockSink::new();
//! sink.expect_put()
//!     .withf(|_, name, _| name.as_str() == "copy.json")
//!     .times(1)
//!     .returning(|_, _, _| Err(Error::new(ErrorKind::Denied, "read only")));
//!
//! let name = ObjectName::new("copy.json")?;
//! let refused = put_once(&sink, &Context::new(), &name, &vec![1].into()).await;
//! assert_eq!(refused.unwrap_err().kind(), ErrorKind::Denied);
//! # Ok::<(), Error>(())
//! # }).unwrap();
//! ```

#![allow(missing_docs, reason = "the generated methods are described by mockall")]

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use mockall::mock;

use crate::catalog::{Catalog, Event, EventDraft, Head, Marks, RepositoryId, TrustAnchor};
use crate::clock::{Clock, Timestamp};
use crate::context::Context;
use crate::crypt::{
    Cipher, DataKey, KeyContext, KeyProvider, PublicKey, Recipient, Signature, Signer, Suite,
    WrapBody,
};
use crate::error::Result;
use crate::history::{Asked, HistoryLink, Linked};
use crate::metrics::{MetricsRecorder, Sample};
use crate::model::{
    Captured, Change, Description, Finding, Group, Key, Kind, Resolved, Revision, Scope, Side,
    Step, StepReceipt,
};
use crate::observe::{Observer, Progress};
use crate::sink::{Body, Listed, ObjectMeta, ObjectName, Sink, SinkInfo};
use crate::source::{BoxStream, Known, Purpose, Source};
use crate::target::{Check, States, StepLog, Target};

mock! {
    /// A gateway that is only read.
    #[derive(Debug)]
    pub Source {}

    #[async_trait]
    impl Source for Source {
        fn address(&self) -> String;
        async fn describe(&self, cx: &Context) -> Result<Description>;
        async fn preflight(
            &self,
            cx: &Context,
            purpose: Purpose,
            scope: &Scope,
        ) -> Result<Vec<Finding>>;
        async fn revision(&self, cx: &Context, scope: &Scope) -> Result<Option<Revision>>;
        fn read(
            &self,
            cx: &Context,
            description: &Description,
            scope: &Scope,
            known: Option<Arc<dyn Known>>,
        ) -> BoxStream<Result<Captured>>;
    }
}

mock! {
    /// A gateway that is read and written.
    #[derive(Debug)]
    pub Target {
        /// Answers [`Target::arrange`].
        fn arrange_changes(&self, description: &Description, changes: &[Change]) -> Vec<Group>;
        /// Answers [`Target::validate`].
        fn validate_changes(
            &self,
            description: &Description,
            changes: &[Change],
        ) -> Result<Vec<Finding>>;
        /// Answers [`Target::apply`].
        fn apply_step(&self, description: &Description, step: &Step) -> Result<StepReceipt>;
    }

    #[async_trait]
    impl Source for Target {
        fn address(&self) -> String;
        async fn describe(&self, cx: &Context) -> Result<Description>;
        async fn preflight(
            &self,
            cx: &Context,
            purpose: Purpose,
            scope: &Scope,
        ) -> Result<Vec<Finding>>;
        async fn revision(&self, cx: &Context, scope: &Scope) -> Result<Option<Revision>>;
        fn read(
            &self,
            cx: &Context,
            description: &Description,
            scope: &Scope,
            known: Option<Arc<dyn Known>>,
        ) -> BoxStream<Result<Captured>>;
    }
}

/// What a step could look up or note is not handed to the expectations.
#[async_trait]
impl Target for MockTarget {
    fn arrange(&self, description: &Description, changes: &[Change]) -> Vec<Group> {
        self.arrange_changes(description, changes)
    }

    async fn validate(
        &self,
        _: &Context,
        description: &Description,
        changes: &[Change],
        _: &dyn States,
    ) -> Result<Vec<Finding>> {
        self.validate_changes(description, changes)
    }

    async fn apply(
        &self,
        _: &Context,
        description: &Description,
        step: &Step,
        _: &dyn States,
        _: &dyn StepLog,
    ) -> Result<StepReceipt> {
        self.apply_step(description, step)
    }
}

mock! {
    /// What a step may look up.
    #[derive(Debug)]
    pub States {}

    #[async_trait]
    impl States for States {
        async fn one(&self, side: Side, key: &Key) -> Result<Option<Resolved>>;
        fn read(&self, side: Side, scope: &Scope) -> BoxStream<Result<Resolved>>;
    }
}

mock! {
    /// Where a step notes how far it is.
    #[derive(Debug)]
    pub StepLog {}

    #[async_trait]
    impl StepLog for StepLog {
        async fn checkpoint(&self, note: serde_json::Value) -> Result<()>;
    }
}

mock! {
    /// What the base of an incremental holds.
    #[derive(Debug)]
    pub Known {}

    impl Known for Known {
        fn has(&self, key: &Key, revision: &Revision) -> bool;
    }
}

mock! {
    /// A test after a restore.
    #[derive(Debug)]
    pub Check {
        /// Answers [`Check::run`], given the target's address.
        fn run_on(&self, target: &str) -> Result<Vec<Finding>>;
    }
}

#[async_trait]
impl Check for MockCheck {
    async fn run(&self, _: &Context, target: &dyn Target) -> Result<Vec<Finding>> {
        self.run_on(&target.address())
    }
}

mock! {
    /// A place where objects lie.
    #[derive(Debug)]
    pub Sink {}

    #[async_trait]
    impl Sink for Sink {
        fn info(&self) -> SinkInfo;
        async fn put(&self, cx: &Context, name: &ObjectName, body: &Body) -> Result<()>;
        async fn get(
            &self,
            cx: &Context,
            name: &ObjectName,
            range: Option<Range<u64>>,
        ) -> Result<Bytes>;
        async fn head(&self, cx: &Context, name: &ObjectName) -> Result<ObjectMeta>;
        fn list(&self, cx: &Context, prefix: &str) -> BoxStream<Result<Listed>>;
        async fn delete(&self, cx: &Context, name: &ObjectName) -> Result<()>;
    }
}

impl fmt::Display for MockSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("mock:")
    }
}

mock! {
    /// A history that another service keeps.
    #[derive(Debug)]
    pub HistoryLink {}

    #[async_trait]
    impl HistoryLink for HistoryLink {
        fn records(&self, kind: &Kind) -> bool;
        async fn find(&self, cx: &Context, asked: &[Asked]) -> Result<Vec<Linked>>;
    }
}

impl fmt::Display for MockHistoryLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("mock:")
    }
}

mock! {
    /// A cipher.
    #[derive(Debug)]
    pub Cipher {}

    impl Cipher for Cipher {
        fn suite(&self) -> Suite;
        fn seal(&self, key: &DataKey, nonce: &[u8; 12], buffer: &mut Vec<u8>) -> Result<()>;
        fn open(&self, key: &DataKey, nonce: &[u8; 12], buffer: &mut Vec<u8>) -> Result<()>;
    }
}

mock! {
    /// A holder of keys.
    #[derive(Debug)]
    pub KeyProvider {}

    #[async_trait]
    impl KeyProvider for KeyProvider {
        fn address(&self) -> String;
        async fn proves(&self, cx: &Context) -> Result<Option<String>>;
        async fn recipient(&self, cx: &Context) -> Result<Recipient>;
        async fn wrap(
            &self,
            cx: &Context,
            key: &DataKey,
            context: &KeyContext,
        ) -> Result<WrapBody>;
        async fn unwrap(
            &self,
            cx: &Context,
            recipient: &Recipient,
            body: &WrapBody,
            context: &KeyContext,
        ) -> Result<DataKey>;
        fn local_path(&self) -> Option<PathBuf>;
    }
}

mock! {
    /// A signer.
    #[derive(Debug)]
    pub Signer {}

    #[async_trait]
    impl Signer for Signer {
        fn public(&self) -> PublicKey;
        async fn sign(&self, cx: &Context, message: &[u8]) -> Result<Signature>;
    }
}

mock! {
    /// A log.
    #[derive(Debug)]
    pub Catalog {}

    #[async_trait]
    impl Catalog for Catalog {
        async fn append(&self, cx: &Context, draft: EventDraft) -> Result<Event>;
        fn events(&self, cx: &Context, after: u64) -> BoxStream<Result<Event>>;
        async fn head(&self, cx: &Context) -> Result<Head>;
    }
}

mock! {
    /// A machine's memory of repositories.
    #[derive(Debug)]
    pub TrustAnchor {}

    #[async_trait]
    impl TrustAnchor for TrustAnchor {
        async fn load(&self, repository: &RepositoryId) -> Result<Option<Marks>>;
        async fn raise(&self, repository: &RepositoryId, marks: &Marks) -> Result<()>;
        async fn accept(&self, repository: &RepositoryId, marks: &Marks) -> Result<()>;
    }
}

mock! {
    /// A recorder of metrics, called `mock`.
    #[derive(Debug)]
    pub MetricsRecorder {}

    #[async_trait]
    impl MetricsRecorder for MetricsRecorder {
        async fn record(&self, cx: &Context, at: Timestamp, samples: &[Sample]) -> Result<()>;
    }
}

impl fmt::Display for MockMetricsRecorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("mock")
    }
}

mock! {
    /// A clock.
    #[derive(Debug)]
    pub Clock {}

    #[async_trait]
    impl Clock for Clock {
        fn now(&self) -> Timestamp;
        async fn sleep(&self, duration: Duration);
    }
}

mock! {
    /// Someone who watches progress.
    #[derive(Debug)]
    pub Observer {}

    impl Observer for Observer {
        fn progress(&self, progress: &Progress);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, ErrorKind};
    use crate::model::Verdict;
    use crate::testing::{Fault, Faults, FaultyCheck};

    #[tokio::test]
    async fn expectations_of_a_check_see_the_target() {
        let mut target = MockTarget::new();
        target.expect_address().returning(|| "mock:gateway".to_owned());
        let mut check = MockCheck::new();
        check
            .expect_run_on()
            .withf(|address| address == "mock:gateway")
            .times(2)
            .returning(|address| Ok(vec![Finding::new(address, Verdict::Ok, "answers")]));
        let faults = Faults::nth(2, Fault::Fail(ErrorKind::Unavailable));
        let check = FaultyCheck::new(Arc::new(check), faults);
        let cx = Context::new();
        assert_eq!(check.run(&cx, &target).await.unwrap().len(), 1);
        assert_eq!(check.run(&cx, &target).await.unwrap_err().kind(), ErrorKind::Unavailable);
        assert_eq!(check.run(&cx, &target).await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_mocked_gateway_stops_a_run_as_a_real_one_would() {
        let mut source = MockSource::new();
        source
            .expect_describe()
            .times(1)
            .returning(|_| Err(Error::new(ErrorKind::Unauthenticated, "who are you")));
        let source: Arc<dyn Source> = Arc::new(source);
        let error = source.describe(&Context::new()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    }
}
