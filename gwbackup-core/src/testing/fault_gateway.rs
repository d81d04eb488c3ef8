//! A gateway whose answers go wrong.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};

use super::fault::{Fault, Faults};
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{
    Captured, Change, Description, Finding, Group, Revision, Scope, Step, StepReceipt,
};
use crate::source::{BoxStream, Known, Purpose, Source};
use crate::target::{Check, States, StepLog, Target};

/// Any gateway, with [`Faults`] between it and its user; see [`FaultySource`] and
/// [`FaultyTarget`].
#[derive(Debug)]
pub struct Faulty<S: ?Sized> {
    inner: Arc<S>,
    faults: Faults,
}

/// A [`Source`] whose calls meet faults: `describe`, `preflight`, `revision`, `read` (when the
/// stream begins), and `item` (each item of a read; its subject is the key, `gap`, or `error`). A
/// fault of `read` or `item` ends the stream.
pub type FaultySource = Faulty<dyn Source>;

/// A [`Target`] whose calls meet faults: those of [`FaultySource`], `validate`, and `apply` (its
/// subject is the step's token). `arrange` always works.
pub type FaultyTarget = Faulty<dyn Target>;

impl<S: ?Sized> Faulty<S> {
    /// `inner` under `faults`.
    pub fn new(inner: Arc<S>, faults: Faults) -> Self {
        Self { inner, faults }
    }
}

/// What a stream gives under a fault.
fn broken(fault: Fault, operation: &str) -> Error {
    let kind = match fault {
        Fault::Fail(kind) => kind,
        Fault::LoseAnswer => ErrorKind::Unavailable,
    };
    Error::new(kind, format!("injected into {operation}"))
}

fn subject(item: &Result<Captured>) -> String {
    match item {
        Ok(Captured::Resource(resource)) => resource.key.to_string(),
        Ok(Captured::Same(key) | Captured::Withdrawn(key) | Captured::SoftDeleted { key, .. }) => {
            key.to_string()
        }
        Ok(Captured::Gap(_)) => "gap".to_owned(),
        Err(_) => "error".to_owned(),
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<S: Source + ?Sized> Source for Faulty<S> {
    fn address(&self) -> String {
        self.inner.address()
    }

    async fn describe(&self, cx: &Context) -> Result<Description> {
        self.faults.around("describe", "", self.inner.describe(cx)).await
    }

    async fn preflight(
        &self,
        cx: &Context,
        purpose: Purpose,
        scope: &Scope,
    ) -> Result<Vec<Finding>> {
        self.faults.around("preflight", "", self.inner.preflight(cx, purpose, scope)).await
    }

    fn is_coherent(&self) -> bool {
        self.inner.is_coherent()
    }

    async fn revision(&self, cx: &Context, scope: &Scope) -> Result<Option<Revision>> {
        self.faults.around("revision", "", self.inner.revision(cx, scope)).await
    }

    fn read(
        &self,
        cx: &Context,
        description: &Description,
        scope: &Scope,
        known: Option<Arc<dyn Known>>,
    ) -> BoxStream<Result<Captured>> {
        if let Some(fault) = self.faults.next("read", "") {
            return Box::pin(stream::iter([Err(broken(fault, "read"))]));
        }
        let items = self.inner.read(cx, description, scope, known);
        let faults = self.faults.clone();
        Box::pin(stream::unfold(Some((items, faults)), |open| async move {
            let (mut items, faults) = open?;
            let item = items.next().await?;
            match faults.next("item", &subject(&item)) {
                Some(fault) => Some((Err(broken(fault, "item")), None)),
                None => Some((item, Some((items, faults)))),
            }
        }))
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<S: Target + ?Sized> Target for Faulty<S> {
    fn prober(&self) -> crate::target::Prober {
        self.inner.prober()
    }

    fn arrange(&self, description: &Description, changes: &[Change]) -> Vec<Group> {
        self.inner.arrange(description, changes)
    }

    async fn validate(
        &self,
        cx: &Context,
        description: &Description,
        changes: &[Change],
        states: &dyn States,
    ) -> Result<Vec<Finding>> {
        let call = self.inner.validate(cx, description, changes, states);
        self.faults.around("validate", "", call).await
    }

    async fn apply(
        &self,
        cx: &Context,
        description: &Description,
        step: &Step,
        states: &dyn States,
        log: &dyn StepLog,
    ) -> Result<StepReceipt> {
        let call = self.inner.apply(cx, description, step, states, log);
        self.faults.around("apply", &step.token, call).await
    }
}

/// A [`Check`] that fails by a rule. Operation: `run`.
#[derive(Debug, Clone)]
pub struct FaultyCheck {
    inner: Arc<dyn Check>,
    faults: Faults,
}

impl FaultyCheck {
    /// Puts `faults` before `inner`.
    pub fn new(inner: Arc<dyn Check>, faults: Faults) -> Self {
        Self { inner, faults }
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Check for FaultyCheck {
    async fn run(&self, cx: &Context, target: &dyn Target) -> Result<Vec<Finding>> {
        self.faults.around("run", "", self.inner.run(cx, target)).await
    }
}

#[cfg(test)]
mod tests {
    use super::super::conformance::{self, SourceFixture};
    use super::super::{FixedStates, MemoryGateway, Notes};
    use super::*;
    use crate::model::{Action, Attempt, ChangeNo, Effect, Undo};

    fn gateway() -> MemoryGateway {
        let gateway = MemoryGateway::kong_like();
        gateway.populate(3, 30);
        gateway
    }

    #[tokio::test]
    async fn without_a_fault_it_is_the_gateway_itself() {
        conformance::source(|| async {
            let inner: Arc<dyn Source> = Arc::new(gateway());
            let source = Arc::new(FaultySource::new(inner, Faults::none()));
            SourceFixture { source, touch: None }
        })
        .await;
    }

    #[tokio::test]
    async fn a_read_breaks_after_some_items_and_ends() {
        let cx = Context::new();
        let inner: Arc<dyn Source> = Arc::new(gateway());
        let faults = Faults::nth(6, Fault::Fail(ErrorKind::Unavailable));
        let source = FaultySource::new(inner, faults);
        let d = source.describe(&cx).await.unwrap();
        let items: Vec<_> = source.read(&cx, &d, &Scope::everything(), None).collect().await;
        assert_eq!(items.len(), 4);
        let errors = items.iter().filter_map(|item| item.as_ref().err());
        assert_eq!(errors.map(Error::kind).collect::<Vec<_>>(), [ErrorKind::Unavailable]);
    }

    #[tokio::test]
    async fn a_lost_answer_has_its_effect_and_a_failure_has_none() {
        let gateway = gateway();
        let cx = Context::new();
        let old = gateway.resources().into_iter().find(|r| r.key.kind.as_str() == "plugin");
        let old = old.unwrap();
        let change = Change {
            no: ChangeNo(0),
            key: old.key.clone(),
            there: None,
            parent: None,
            action: Action::Delete,
            undo: Undo::Exact,
            bytes: 0,
        };
        let states = FixedStates::new([old.clone()], []);
        let mut step = Step {
            token: "t".to_owned(),
            changes: vec![change],
            rewrites: None,
            attempt: Attempt::First,
        };
        let faults = Faults::when(|call| match (call.operation, call.number) {
            ("apply", 1) => Some(Fault::Fail(ErrorKind::Unavailable)),
            ("apply", 2) => Some(Fault::LoseAnswer),
            _ => None,
        });
        let inner: Arc<dyn Target> = Arc::new(gateway.clone());
        let target = FaultyTarget::new(inner, faults);
        let d = gateway.describe(&cx).await.unwrap();
        assert!(target.apply(&cx, &d, &step, &states, &Notes::default()).await.is_err());
        assert!(gateway.resource(&old.key).is_some());
        assert!(target.apply(&cx, &d, &step, &states, &Notes::default()).await.is_err());
        assert!(gateway.resource(&old.key).is_none());
        step.attempt = Attempt::Again { checkpoint: None };
        let receipt = target.apply(&cx, &d, &step, &states, &Notes::default()).await.unwrap();
        assert!(matches!(receipt.outcomes[0].effect, Effect::AlreadyThere));
    }
}
