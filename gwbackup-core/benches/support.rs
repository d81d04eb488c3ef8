//! What the measurements share: a meter, a repository, a gateway in memory, and its content.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use gwbackup_core::crypt::KeyFile;
use gwbackup_core::model::{
    Captured, Change, Description, Document, Finding, Group, HandleName, Handles, Id, Key, Kind,
    KindSpec, Limits, Member, MemberRule, Part, RefSpec, Resource, Revision, Role, Schema, Scope,
    Step, StepReceipt,
};
use gwbackup_core::sink::Sink;
use gwbackup_core::source::{BoxStream, Known, Purpose, Source};
use gwbackup_core::target::{States, StepLog, Target};
use gwbackup_core::{Context, Copy, Error, ErrorKind, Repository, Result};

pub mod generator;

/// CPU time of this process so far in nanoseconds, all threads and the system's part included. Does
/// not depend on what else the machine does; what it gives up to other programs is not counted.
pub fn cpu() -> u64 {
    #[cfg(unix)]
    {
        use rustix::time::{ClockId, clock_gettime};
        let time = clock_gettime(ClockId::ProcessCPUTime);
        u64::try_from(time.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap()
    }
    #[cfg(not(unix))]
    {
        panic!("CPU time is measured on Unix only")
    }
}

/// A repository on one copy, with everything it needs in one directory.
pub struct Bench {
    pub cx: Context,
    pub repository: Repository,
    pub directory: tempfile::TempDir,
}

impl Bench {
    /// A new one.
    pub async fn new(sink: impl AsyncFnOnce(&std::path::Path) -> Arc<dyn Sink>) -> Self {
        let cx = Context::new().with_actor("bench");
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        let key = Arc::new(KeyFile::generate(directory.path().join("key"), None).unwrap());
        let sink = sink(directory.path()).await;
        let new = Repository::create().key(Arc::clone(&key) as _).state(&state);
        new.copy(Copy::new(Arc::clone(&sink))).run(&cx).await.unwrap();
        let builder = Repository::builder().key(key).state(&state).copy(Copy::new(sink));
        let repository = builder.open(&cx).await.unwrap();
        Self { cx, repository, directory }
    }
}

/// A gateway that hands out prepared resources and costs nothing itself. Nothing can be written.
#[derive(Debug, Clone)]
pub struct Prepared {
    resources: Arc<Vec<Resource>>,
    schema: Arc<Schema>,
}

impl Prepared {
    /// Of these.
    pub fn new(resources: Vec<Resource>) -> Self {
        let kind = |name: &&'static str| {
            let mut spec = KindSpec::new(Kind::known(name), 1);
            let rule = |at: &&str| MemberRule { at: (*at).into(), is: Member::Secret };
            spec.members = generator::SECRETS.iter().map(rule).collect();
            spec.references = vec![RefSpec {
                at: "/refs/*".into(),
                part: Part::Value,
                prefix: String::new(),
                kinds: Vec::new(),
                handle: HandleName::id(),
                role: Role::Needs,
            }];
            spec
        };
        let kinds = generator::KINDS.iter().map(kind).collect();
        let schema = Schema { id: "bench 1".into(), id_scheme: 1, kinds, ..Schema::default() };
        Self { resources: Arc::new(resources), schema: Arc::new(schema) }
    }

    /// Bytes of all documents.
    pub fn bytes(&self) -> u64 {
        self.resources.iter().map(|resource| resource.document.len() as u64).sum()
    }
}

#[async_trait]
impl Source for Prepared {
    fn address(&self) -> String {
        "bench:".to_owned()
    }

    async fn describe(&self, _: &Context) -> Result<Description> {
        Ok(Description {
            product: "bench".into(),
            version: "1".into(),
            handles: Handles::new(),
            schema: Arc::clone(&self.schema),
            limits: Limits::default(),
        })
    }

    async fn preflight(&self, _: &Context, _: Purpose, _: &Scope) -> Result<Vec<Finding>> {
        Ok(Vec::new())
    }

    async fn revision(&self, _: &Context, _: &Scope) -> Result<Option<Revision>> {
        Ok(None)
    }

    fn read(
        &self,
        _: &Context,
        _: &Description,
        scope: &Scope,
        _: Option<Arc<dyn Known>>,
    ) -> BoxStream<Result<Captured>> {
        let (resources, scope) = (Arc::clone(&self.resources), scope.clone());
        let found = (0..resources.len()).filter_map(move |n| {
            let resource = resources.get(n).filter(|r| scope.contains(&r.key))?;
            Some(Ok(Captured::Resource(resource.clone())))
        });
        stream::iter(found).boxed()
    }
}

#[async_trait]
impl Target for Prepared {
    fn arrange(&self, _: &Description, changes: &[Change]) -> Vec<Group> {
        let alone = |change: &Change| Group {
            changes: vec![change.no],
            rewrites: None,
            lane: None,
            estimate: std::time::Duration::from_millis(10),
        };
        changes.iter().map(alone).collect()
    }

    async fn validate(
        &self,
        _: &Context,
        _: &Description,
        _: &[Change],
        _: &dyn States,
    ) -> Result<Vec<Finding>> {
        Ok(Vec::new())
    }

    async fn apply(
        &self,
        _: &Context,
        _: &Description,
        _: &Step,
        _: &dyn States,
        _: &dyn StepLog,
    ) -> Result<StepReceipt> {
        Err(Error::new(ErrorKind::Unsupported, "nothing can be written here"))
    }
}

/// A resource from its line.
pub fn resource(kind: &str, id: &str, document: &str) -> Resource {
    let key = Key::new(Kind::new(kind).unwrap(), Id::of([id]).unwrap());
    Resource::new(key, Document::parse(document).unwrap())
}
