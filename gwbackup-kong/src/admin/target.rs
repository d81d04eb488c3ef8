//! A node as a target.

use std::time::Duration;

use async_trait::async_trait;
use gwbackup_core::model::{
    Action, Attempt, Change, Description, Finding, Group, Step, StepReceipt,
};
use gwbackup_core::target::{Prober, States, StepLog, Target};
use gwbackup_core::{Context, Result};

use super::declarative::is_whole;
use super::write::Writer;
use super::{KongAdmin, declarative, hashes, validate};

/// What a call takes while others run beside it, on a node with a database.
const CREATE: Duration = Duration::from_millis(17);
const UPDATE: Duration = Duration::from_millis(20);
const DELETE: Duration = Duration::from_millis(29);
/// What a program that imports a file takes, whatever the file.
const IMPORT: Duration = Duration::from_secs(5);

#[async_trait]
impl Target for KongAdmin {
    /// One change to a call: Kong bears several at a time in any order of equals. Credentials that
    /// may hold a hash go together where a program imports them; everything goes together where
    /// there is no database.
    fn arrange(&self, description: &Description, changes: &[Change]) -> Vec<Group> {
        if is_whole(description) {
            return declarative::arrange(changes);
        }
        let together = |change: &&Change| {
            self.0.hook.is_some()
                && hashes::may_hold(&change.key.kind)
                && change.action != Action::Delete
        };
        let (hashed, single): (Vec<&Change>, Vec<&Change>) = changes.iter().partition(together);
        let mut groups: Vec<Group> = single
            .into_iter()
            .map(|change| Group { estimate: estimate(change.action), ..Group::single(change.no) })
            .collect();
        if !hashed.is_empty() {
            let calls = u32::try_from(hashed.len()).unwrap_or(u32::MAX);
            groups.push(Group {
                changes: hashed.iter().map(|change| change.no).collect(),
                rewrites: None,
                lane: None,
                estimate: IMPORT + UPDATE.saturating_mul(calls),
            });
        }
        groups
    }

    fn prober(&self) -> Prober {
        crate::probes::probes
    }

    async fn validate(
        &self,
        cx: &Context,
        description: &Description,
        changes: &[Change],
        states: &dyn States,
    ) -> Result<Vec<Finding>> {
        validate::run(self, cx, description, changes, states).await
    }

    async fn apply(
        &self,
        cx: &Context,
        description: &Description,
        step: &Step,
        states: &dyn States,
        _log: &dyn StepLog,
    ) -> Result<StepReceipt> {
        let writer = Writer::new(self, cx, description, states, step.attempt == Attempt::First);
        let writer = writer.await?;
        if is_whole(description) {
            return declarative::apply(&writer, description, step).await;
        }
        let outcomes = match step.changes.as_slice() {
            [change] if !hashes::may_hold(&change.key.kind) => vec![writer.write(change).await?],
            several => hashes::apply(&writer, several).await?,
        };
        Ok(StepReceipt { outcomes })
    }
}

fn estimate(action: Action) -> Duration {
    match action {
        Action::Create => CREATE,
        Action::Delete => DELETE,
        _ => UPDATE,
    }
}
