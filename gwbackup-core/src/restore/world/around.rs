//! The target before a step and after it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;

use super::material::root_of;
use super::places::Within;
use super::{World, with_other_names};
use crate::context::Context;
use crate::error::Result;
use crate::model::{Action, Change, ChangeNo, Key, Resolved, Scope, Side};
use crate::plan::{Head, Room};
use crate::source::BoxStream;
use crate::target::States;
use crate::task::{blocking, streaming};

/// The two sides of one step.
#[derive(Debug, Clone)]
pub(crate) struct Around {
    pub(super) world: World,
    /// The step's changes: applied on one side only. Of all others the progress knows.
    pub(super) step: Arc<BTreeSet<ChangeNo>>,
    pub(super) backwards: bool,
}

impl Around {
    fn is_applied(&self, side: Side, no: ChangeNo) -> bool {
        if self.step.contains(&no) {
            return matches!(side, Side::After) != self.backwards;
        }
        self.world.progress(|progress| progress.applied.contains(&no))
    }

    /// The change that a key is about: named as the backup does, as the target did, or as it does
    /// now.
    fn change_of(&self, key: &Key) -> Option<ChangeNo> {
        let material = &self.world.material;
        if let Some(no) = material.by_target.get(key).or_else(|| material.by_key.get(key)) {
            return Some(*no);
        }
        self.world.progress(|progress| {
            let made = progress.made.own.get(key).and_then(|own| material.by_key.get(own));
            let remade =
                || progress.remade.own.get(key).and_then(|own| material.by_target.get(own));
            made.or_else(remade).copied()
        })
    }

    fn within(&self, back: bool) -> Within<'_> {
        Within { world: &self.world, step: &self.step, back }
    }

    fn desired(&self, change: &Change) -> Result<Option<Resolved>> {
        self.world.desired(change, &self.within(false))
    }

    fn original(&self, key: &Key) -> Result<Option<Resolved>> {
        self.world.original(key, &self.within(true))
    }

    fn find(&self, side: Side, key: &Key) -> Result<Option<Resolved>> {
        let Some(change) = self.change_of(key).and_then(|no| self.world.material.changes.get(&no))
        else {
            return self.original(key);
        };
        if self.is_applied(side, change.no) {
            return self.desired(change);
        }
        let early = self.world.material.early.get(&change.no);
        let early = early.filter(|early| self.is_applied(side, early.no)).map(|early| &early.what);
        match (change.action, early) {
            (Action::Create | Action::Undelete, _) | (_, Some(Room::Removal)) => Ok(None),
            (_, Some(Room::Rename(places))) => {
                let found = self.original(change.target_key())?;
                found.map(|found| with_other_names(found, places)).transpose()
            }
            (_, None) => self.original(change.target_key()),
        }
    }

    /// Calls `f` for each resource of the scope on that side, sorted by key.
    fn each(&self, side: Side, scope: &Scope, mut f: impl FnMut(Resolved) -> bool) -> Result<()> {
        let material = &self.world.material;
        let scope = self.widened(scope);
        let mut added: BTreeMap<Key, &Change> = BTreeMap::new();
        for change in self.created_in(&scope) {
            if self.is_applied(side, change.no) {
                let key = self.world.key_of(change);
                if scope.contains(&key) || scope.contains(&change.key) {
                    added.insert(key, change);
                }
            }
        }
        let mut added = added.into_iter().peekable();
        let mut give = |found: Option<Resolved>| found.is_none_or(&mut f);
        let there = material.actual.heads().map(Head::key);
        for there in there.filter(|there| scope.contains(there)) {
            while let Some((_, change)) = added.next_if(|(own, _)| *own < there) {
                if !give(self.desired(change)?) {
                    return Ok(());
                }
            }
            if !give(self.find(side, &there)?) {
                return Ok(());
            }
        }
        for (_, change) in added {
            if !give(self.desired(change)?) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// What the run makes and may lie in the scope.
    fn created_in<'a>(&'a self, scope: &'a Scope) -> impl Iterator<Item = &'a Change> {
        let material = &self.world.material;
        let roots: BTreeSet<&str> = scope.under.iter().map(root_of).collect();
        let all = scope.under.is_empty();
        let some = roots.into_iter().filter_map(|root| material.created.get(root)).flatten();
        let all = material.created.values().flatten().filter(move |_| all);
        some.chain(all).filter_map(|no| material.changes.get(no))
    }

    /// The scope with each root named as the backup and as the target does.
    fn widened(&self, scope: &Scope) -> Scope {
        let mut scope = scope.clone();
        let matching = &self.world.material.matching;
        let own = |root: &Key| {
            let made = self.world.progress(|p| p.made.own.get(root).cloned());
            made.or_else(|| matching.own(root))
        };
        let other: Vec<Key> = scope
            .under
            .iter()
            .flat_map(|root| self.world.there(root).into_iter().chain(own(root)))
            .collect();
        scope.under.extend(other);
        scope
    }
}

#[async_trait]
impl States for Around {
    async fn one(&self, side: Side, key: &Key) -> Result<Option<Resolved>> {
        let (own, key) = (self.clone(), key.clone());
        blocking(move || own.find(side, &key)).await
    }

    fn read(&self, side: Side, scope: &Scope) -> BoxStream<Result<Resolved>> {
        let (own, scope) = (self.clone(), scope.clone());
        // A step is left by its caller, never in the middle of a reading.
        Box::pin(streaming(&Context::new(), 64, move |outlet| {
            own.each(side, &scope, |found| outlet.put(vec![found]).is_ok())
        }))
    }
}
