//! Writing a gateway.

use std::fmt::Debug;

use async_trait::async_trait;

use crate::context::Context;
use crate::error::Result;
use crate::model::{
    Change, Description, Finding, Group, Key, Resolved, Scope, Side, Snapshot, Step, StepReceipt,
};
use crate::probe::{Ask, Probe};
use crate::source::{BoxStream, Source};

/// The gateway before and after a step, in the target's own handles: keys and references are the
/// target's wherever the thing exists there by now, else still the backup's. For a roll back the two
/// sides are swapped.
#[async_trait]
pub trait States: Send + Sync {
    /// One resource on that side; `None` where it is not there. `key` may be given as a change of
    /// the step names it ([`Change::key`]) or as the target does.
    async fn one(&self, side: Side, key: &Key) -> Result<Option<Resolved>>;

    /// What lies in `scope` on that side, sorted by key. Meant for the scope that a step rewrites.
    fn read(&self, side: Side, scope: &Scope) -> BoxStream<Result<Resolved>>;
}

/// Notes of one step, for its next attempt.
#[async_trait]
pub trait StepLog: Send + Sync {
    /// Durable on return: name of an operation, id just assigned, part that is done. Must hold no
    /// secret. The last note comes back in [`Attempt::Again`](crate::model::Attempt::Again).
    async fn checkpoint(&self, note: serde_json::Value) -> Result<()>;
}

/// Makes probes from a configuration. Pure, but reading the configuration may block.
pub type Prober = fn(&dyn Snapshot, &Ask) -> Result<Vec<Probe>>;

/// Writes a gateway, one step at a time. Order, retry, journal and roll back are the core's.
#[async_trait]
pub trait Target: Source {
    /// Cuts the changes into groups, each change in exactly one. Pure: no I/O, the same answer for
    /// the same input. The core orders the groups and refuses a cycle.
    fn arrange(&self, description: &Description, changes: &[Change]) -> Vec<Group>;

    /// The vendor's own dry run, and what only the provider knows. Changes nothing. A finding that
    /// failed stops the restore before its first write.
    async fn validate(
        &self,
        cx: &Context,
        description: &Description,
        changes: &[Change],
        states: &dyn States,
    ) -> Result<Vec<Finding>>;

    /// Performs one step, and waits for the vendor's operation to end.
    ///
    /// On a first attempt: `Conflict` unless the gateway is in the state [`Side::Before`] (or
    /// already in [`Side::After`]). From any state in between, a later attempt ends at `After`;
    /// done things are found and reported as [`AlreadyThere`](crate::model::Effect::AlreadyThere),
    /// never done twice.
    ///
    /// Known failures are outcomes; `Err` means that nothing is known about the step. Stops for
    /// cancellation only right after a checkpoint. A dropped future is the same as a lost answer.
    async fn apply(
        &self,
        cx: &Context,
        description: &Description,
        step: &Step,
        states: &dyn States,
        log: &dyn StepLog,
    ) -> Result<StepReceipt>;

    /// What makes probes from a configuration of this provider: requests to the data plane whose
    /// answers show that it does what the configuration says. By default it makes none.
    fn prober(&self) -> Prober {
        |_, _| Ok(Vec::new())
    }
}

/// A test after a restore: routing, authentication, limits, whatever the user adds.
#[async_trait]
pub trait Check: Debug + Send + Sync + 'static {
    /// Tries it and says what it found. Changes no configuration. A failed finding makes the
    /// verdict `NoGo`.
    async fn run(&self, cx: &Context, target: &dyn Target) -> Result<Vec<Finding>>;
}
