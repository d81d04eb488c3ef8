//! Gateways that break one promise each: the suites must see it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use futures_util::{FutureExt, StreamExt, future};

use super::{SourceFixture, TargetFixture, source, target};
use crate::context::Context;
use crate::error::Result;
use crate::model::{
    Attempt, Captured, Change, Description, Document, Effect, Finding, Group, Kind, RefSpec,
    Resource, Revision, Role, Schema, Scope, Step, StepReceipt,
};
use crate::source::{BoxStream, Known, Purpose, Source};
use crate::target::{States, StepLog, Target};
use crate::testing::MemoryGateway;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Lie {
    None,
    UnknownReference,
    MovingVersion,
    UnmarkedSecret,
    ScopeTooWide,
    ScopeTooNarrow,
    SameUnasked,
    DeafToCancellation,
    StillRevision,
    LosesOne,
    ArrangesTwice,
    DropsChange,
    WritesInValidation,
    IgnoresConflicts,
    DoesItAgain,
    WritesNothing,
    NamesNothing,
}

#[derive(Debug)]
struct Liar {
    inner: MemoryGateway,
    lie: Lie,
    calls: AtomicU64,
}

impl Liar {
    fn new(inner: MemoryGateway, lie: Lie) -> Arc<Self> {
        inner.populate(4, 30);
        Arc::new(Self { inner, lie, calls: AtomicU64::new(0) })
    }

    fn lies(&self, lie: Lie) -> bool {
        self.lie == lie
    }
}

#[async_trait]
impl Source for Liar {
    fn address(&self) -> String {
        self.inner.address()
    }

    async fn describe(&self, cx: &Context) -> Result<Description> {
        let mut description = self.inner.describe(cx).await?;
        if self.lies(Lie::MovingVersion) {
            description.version = self.calls.fetch_add(1, Ordering::Relaxed).to_string();
        }
        if self.lies(Lie::UnknownReference) {
            let mut schema = Schema::clone(&description.schema);
            schema.kinds[0].references.push(RefSpec {
                at: "/x".to_owned(),
                part: crate::model::Part::Value,
                prefix: String::new(),
                kinds: vec![Kind::known("nowhere")],
                handle: crate::model::HandleName::id(),
                role: Role::Needs,
            });
            description.schema = Arc::new(schema);
        }
        Ok(description)
    }

    async fn preflight(&self, cx: &Context, p: Purpose, scope: &Scope) -> Result<Vec<Finding>> {
        self.inner.preflight(cx, p, scope).await
    }

    async fn revision(&self, cx: &Context, scope: &Scope) -> Result<Option<Revision>> {
        let revision = self.inner.revision(cx, scope).await?;
        Ok(if self.lies(Lie::StillRevision) { Some(Revision::new("0")) } else { revision })
    }

    fn read(
        &self,
        cx: &Context,
        d: &Description,
        scope: &Scope,
        known: Option<Arc<dyn Known>>,
    ) -> BoxStream<Result<Captured>> {
        let narrow = *scope != Scope::everything();
        let wide = if self.lies(Lie::ScopeTooWide) { Scope::everything() } else { scope.clone() };
        let cx = if self.lies(Lie::DeafToCancellation) { Context::new() } else { cx.clone() };
        let asked = known.is_some();
        let items = self.inner.read(&cx, d, &wide, known);
        let lie = self.lie;
        let lost = self.lies(Lie::LosesOne) && self.calls.fetch_add(1, Ordering::Relaxed) == 1;
        let skip = lost || (lie == Lie::ScopeTooNarrow && narrow);
        Box::pin(items.skip(usize::from(skip)).map(move |item| match item {
            Ok(Captured::Resource(mut resource)) => {
                if lie == Lie::UnmarkedSecret {
                    resource.marks.clear();
                }
                let same = lie == Lie::SameUnasked && asked;
                Ok(if same { Captured::Same(resource.key) } else { Captured::Resource(resource) })
            }
            other => other,
        }))
    }
}

#[async_trait]
impl Target for Liar {
    fn arrange(&self, d: &Description, changes: &[Change]) -> Vec<Group> {
        let mut groups = self.inner.arrange(d, changes);
        if self.lies(Lie::ArrangesTwice) {
            groups.extend(groups.first().cloned());
        }
        if self.lies(Lie::DropsChange) && groups.len() > 1 {
            groups.pop();
        }
        groups
    }

    async fn validate(
        &self,
        cx: &Context,
        d: &Description,
        changes: &[Change],
        states: &dyn States,
    ) -> Result<Vec<Finding>> {
        if self.lies(Lie::WritesInValidation) {
            self.inner.edit(|contents| {
                let key = contents.keys().remove(0);
                contents.set(&key, "note", &"validated".into());
            });
        }
        self.inner.validate(cx, d, changes, states).await
    }

    async fn apply(
        &self,
        cx: &Context,
        d: &Description,
        step: &Step,
        states: &dyn States,
        log: &dyn StepLog,
    ) -> Result<StepReceipt> {
        let mut step = step.clone();
        let again = step.attempt != Attempt::First;
        if self.lies(Lie::IgnoresConflicts) && !again {
            step.attempt = Attempt::Again { checkpoint: None };
        }
        let calls = self.calls.fetch_add(1, Ordering::Relaxed);
        if self.lies(Lie::DoesItAgain) {
            step.token = format!("{}-{calls}", step.token);
        }
        if self.lies(Lie::WritesNothing) {
            let outcome = |c: &Change| crate::model::Outcome::new(c.key.clone(), Effect::Updated);
            return Ok(StepReceipt { outcomes: step.changes.iter().map(outcome).collect() });
        }
        let mut receipt = self.inner.apply(cx, d, &step, states, log).await?;
        if self.lies(Lie::NamesNothing) {
            receipt.outcomes.clear();
        }
        Ok(receipt)
    }
}

/// What the suite says of a gateway with this lie.
pub(super) async fn verdict(suite: impl Future<Output = ()>) -> String {
    match AssertUnwindSafe(suite).catch_unwind().await {
        Ok(()) => "kept".to_owned(),
        Err(panic) => panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .unwrap_or_default(),
    }
}

#[tokio::test]
async fn the_source_suite_sees_each_breach() {
    for (lie, said) in [
        (Lie::None, "kept"),
        (Lie::UnknownReference, "no kind nowhere"),
        (Lie::MovingVersion, "the same each time"),
        (Lie::UnmarkedSecret, "not marked"),
        (Lie::ScopeTooWide, "exactly its part"),
        (Lie::ScopeTooNarrow, "exactly its part"),
        (Lie::SameUnasked, "nobody said so"),
        (Lie::DeafToCancellation, "must end with `Cancelled`"),
        (Lie::StillRevision, "must move"),
        (Lie::LosesOne, "repeatable"),
    ] {
        let text = verdict(source(|| {
            let liar = Liar::new(MemoryGateway::kong_like(), lie);
            let touched = liar.inner.clone();
            let touch = move || {
                let key = touched.resources().remove(0).key;
                touched.edit(|contents| contents.set(&key, "note", &"moved".into()));
                future::ready(()).boxed()
            };
            future::ready(SourceFixture { source: liar, touch: Some(Box::new(touch)) })
        }))
        .await;
        assert!(text.contains(said), "{lie:?}: {text}");
    }
}

#[tokio::test]
async fn the_target_suite_sees_each_breach() {
    for (lie, said) in [
        (Lie::None, "kept"),
        (Lie::ArrangesTwice, "exactly one group"),
        (Lie::DropsChange, "exactly one group"),
        (Lie::WritesInValidation, "validation must change nothing"),
        (Lie::IgnoresConflicts, "must be a conflict"),
        (Lie::DoesItAgain, "found done"),
        (Lie::WritesNothing, "found done"),
        (Lie::NamesNothing, "outcome for each change"),
    ] {
        let text = verdict(target(|| {
            let edit = |resource: &Resource| {
                let mut value = resource.document.to_value();
                let number = value.get("comment").map_or(0, |n| n.as_u64().unwrap_or(0));
                value["comment"] = (number + 1).into();
                Document::from_value(&value).ok()
            };
            let liar = Liar::new(MemoryGateway::aws_like(), lie);
            future::ready(TargetFixture { target: liar, edit: Box::new(edit) })
        }))
        .await;
        assert!(text.contains(said), "{lie:?}: {text}");
    }
}
