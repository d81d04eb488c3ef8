//! The writing half of the adapter.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;

use super::work::Work;
use super::{MemoryGateway, composite, tables};
use crate::context::Context;
use crate::error::Result;
use crate::model::{
    Action, Attempt, Change, Description, Finding, Group, Key, Scope, Side, Step, StepReceipt,
    Verdict,
};
use crate::target::{States, StepLog, Target};

/// What one call takes, for plans.
const CALL: Duration = Duration::from_millis(100);

#[async_trait]
impl Target for MemoryGateway {
    fn arrange(&self, _: &Description, changes: &[Change]) -> Vec<Group> {
        let moved = moved_roots(changes);
        let composite = self.options().composite;
        let mut below: BTreeMap<Key, Vec<&Change>> = BTreeMap::new();
        let mut groups = Vec::new();
        for change in changes {
            match root(change, &moved) {
                Some(root) => below.entry(root).or_default().push(change),
                None => groups.push(Group { estimate: CALL, ..Group::single(change.no) }),
            }
        }
        for (root, mut changes) in below {
            let lane = Some(root.to_string());
            if composite.is_none_or(|threshold| changes.len() < threshold) {
                groups.extend(changes.iter().map(|change| Group {
                    lane: lane.clone(),
                    estimate: CALL,
                    ..Group::single(change.no)
                }));
                continue;
            }
            changes.sort_by_key(|change| self.turn(change));
            let calls = u32::try_from(changes.len()).unwrap_or(u32::MAX);
            groups.push(Group {
                changes: changes.iter().map(|change| change.no).collect(),
                rewrites: Some(Scope::of(root)),
                lane,
                estimate: CALL.saturating_mul(calls),
            });
        }
        groups
    }

    async fn validate(
        &self,
        cx: &Context,
        _: &Description,
        changes: &[Change],
        states: &dyn States,
    ) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        for change in changes {
            cx.check()?;
            if let Some(why) = self.objection(change, states).await? {
                let finding = Finding::new(change.key.to_string(), Verdict::Failed, why);
                findings.push(finding.about(change.no));
            }
        }
        Ok(findings)
    }

    async fn apply(
        &self,
        cx: &Context,
        _: &Description,
        step: &Step,
        states: &dyn States,
        log: &dyn StepLog,
    ) -> Result<StepReceipt> {
        let mut work = Work::new(self, cx, step, states, log)?;
        if step.attempt == Attempt::First {
            for change in &step.changes {
                work.check(change).await?;
            }
            if let Some(scope) = &step.rewrites {
                composite::check(&work, scope).await?;
            }
        }
        match &step.rewrites {
            Some(scope) => composite::write(&mut work, scope).await?,
            None => {
                for change in &step.changes {
                    work.write(change).await?;
                }
            }
        }
        Ok(work.finish())
    }
}

impl MemoryGateway {
    /// Makers first, in the order of the table; then removers, the other way round.
    fn turn(&self, change: &Change) -> (bool, i32, Key) {
        let rank = self.0.rules.spec(&change.key.kind).map_or(0, |spec| i32::from(spec.rank));
        let removes = change.action == Action::Delete;
        (removes, if removes { -rank } else { rank }, change.key.clone())
    }

    /// Why a change cannot be done, as far as that can be told without doing it.
    async fn objection(&self, change: &Change, states: &dyn States) -> Result<Option<String>> {
        let Some(spec) = self.0.rules.spec(&change.key.kind) else {
            return Ok(Some("this gateway has no such kind".to_owned()));
        };
        let can = match change.action {
            Action::Create => spec.verbs.create,
            Action::Update => spec.verbs.update,
            Action::Replace => spec.verbs.create && spec.verbs.delete,
            Action::Delete | Action::Reset => spec.verbs.delete,
            Action::Undelete => spec.verbs.undelete,
        };
        if !can {
            return Ok(Some("this gateway does not offer that for this kind".to_owned()));
        }
        let makes = matches!(change.action, Action::Create | Action::Replace);
        let unreadable = tables::unreadable(&change.key.kind);
        if makes && !unreadable.is_empty() {
            let after = states.one(Side::After, &change.key).await?;
            let missing = unreadable.iter().find(|at| {
                after.as_ref().is_none_or(|after| after.resource.document.get(at).is_none())
            });
            return Ok(missing.map(|at| format!("{at} is needed and not in the backup")));
        }
        Ok(None)
    }
}

/// The api that a change is about or lies below.
fn root(change: &Change, moved: &BTreeMap<String, String>) -> Option<Key> {
    if !tables::is_in_api(&change.key.kind) {
        return None;
    }
    let first = first_segment(change.target_key());
    let first = moved.get(&first).unwrap_or(&first);
    super::key("api", first).ok()
}

/// Apis that have another id in the target, as far as the changes tell: a new thing below one is
/// named as in the backup, a thing that is there as in the target.
fn moved_roots(changes: &[Change]) -> BTreeMap<String, String> {
    let inside = changes.iter().filter(|change| tables::is_in_api(&change.key.kind));
    inside
        .filter_map(|change| {
            let from = first_segment(&change.key);
            let there = change.there.as_ref().or(change.parent.as_ref()).map(first_segment);
            there.filter(|there| *there != from).map(|there| (from, there))
        })
        .collect()
}

fn first_segment(key: &Key) -> String {
    key.id.as_str().split('/').next().unwrap_or_default().to_owned()
}
