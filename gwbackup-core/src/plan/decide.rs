//! What happens to each resource.

mod change;
mod family;
mod names;
mod outside;
mod stranded;
mod surplus;
mod verdict;

use std::collections::BTreeSet;

use self::verdict::absences;
use super::decided::{Decided, Links};
use super::diff::FieldChange;
use super::index::Head;
use super::join::Join;
use super::matching::{Matching, PlannedPlaces, Sides};
use super::object::{object, spare};
use super::policies::Policies;
use super::select::{Selected, label};
use super::translate::Translator;
use super::{Decision, Existing, Item, PlanOptions};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Absence, Action, Key, Kind, KindSpec, Member, Resource, Restore};

/// What else is known when a plan is made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) selected: Option<&'a Selected>,
    pub(super) soft_deleted: &'a BTreeSet<Key>,
    /// Newcomers that our own steps made: they may go without `prune`.
    pub(super) ours: &'a BTreeSet<Key>,
}

pub(crate) struct Decider<'a> {
    sides: Sides<'a>,
    matching: &'a Matching,
    options: &'a PlanOptions,
    policies: &'a Policies,
    selected: Option<&'a Selected>,
    soft_deleted: &'a BTreeSet<Key>,
    ours: &'a BTreeSet<Key>,
    /// Whether equal text may mean another thing: a key or the gateway's own name changed, or
    /// something that the server names will be made.
    moved: bool,
    /// Keys in the backup of what will be replaced and then bear another name.
    renewed: BTreeSet<Key>,
    decided: Decided,
}

impl<'a> Decider<'a> {
    pub(crate) fn new(
        sides: Sides<'a>,
        matching: &'a Matching,
        options: &'a PlanOptions,
        policies: &'a Policies,
        known: Known<'a>,
    ) -> Self {
        let Known { selected, soft_deleted, ours } = known;
        let named_by_server = |head: Head<'_>| {
            !matching.is_matched(head)
                && sides.rules.spec(head.kind()).is_some_and(KindSpec::is_assigned_by_server)
        };
        let moved = matching.rekeyed() > 0
            || sides.desired.gateway != sides.actual.gateway
            || sides.desired.heads().any(named_by_server);
        let mut decided = Decided::default();
        decided.summary.adopt = matching.rekeyed() as u64;
        let renewed = BTreeSet::new();
        Self {
            sides,
            matching,
            options,
            policies,
            selected,
            soft_deleted,
            ours,
            moved,
            renewed,
            decided,
        }
    }

    /// Decides on every resource of both sides.
    pub(crate) fn run(mut self) -> Result<Decided> {
        let sides = self.sides;
        let theirs = sides.theirs();
        let renewed = self.renewed(&theirs)?;
        self.moved |= !renewed.is_empty();
        self.renewed.clone_from(&renewed);
        let matching = self.matching;
        let places = PlannedPlaces { matching, renewed: Some(&renewed) };
        let ours = sides.ours(&places);
        if self.moved {
            ours.learn_contents()?;
            theirs.learn_contents()?;
        }
        let mut history = Vec::new();
        for pair in Join::new(sides.backup.scan()?, sides.live, |key| matching.there(key)) {
            let (resource, actual) = pair?;
            let when_referenced =
                sides.rules.restore(&resource.key.kind) == Some(Restore::WhenReferenced);
            if when_referenced && actual.is_none() {
                history.push(resource);
                continue;
            }
            self.one(&ours, &theirs, &resource, actual)?;
        }
        self.history(&ours, &theirs, history)?;
        self.surplus()?;
        stranded::give_up(self.matching, &mut self.decided);
        self.pull()?;
        object(&sides, &mut self.decided)?;
        spare(&sides, &mut self.decided)?;
        self.decided.items.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(self.decided)
    }

    /// What will be replaced and then bear another name: whatever names it must be written, too.
    fn renewed(&self, theirs: &Translator<'_>) -> Result<BTreeSet<Key>> {
        let sides = self.sides;
        let mut renewed = BTreeSet::new();
        let is_named =
            |kind: &Kind| sides.rules.spec(kind).is_some_and(KindSpec::is_assigned_by_server);
        if !sides.rules.schema().kinds.iter().any(KindSpec::is_assigned_by_server) {
            return Ok(renewed);
        }
        let may_be = |head: &Head<'_>| {
            let spec = sides.rules.spec(head.kind()).filter(|_| self.matching.is_matched(*head));
            spec.is_some_and(|spec| self.may_replace(head.kind(), spec))
                && self.selected.is_none_or(|s| s.keys.contains(&head.key()))
        };
        let mut open: Vec<Head<'_>> = sides.desired.heads().filter(may_be).collect();
        // Each round may bring to light things that name, for good, one of the round before.
        loop {
            let found = self.replaced(&open, &renewed, theirs)?;
            if found.is_empty() {
                return Ok(renewed);
            }
            open.retain(|head| !found.contains(&head.key()));
            // What goes along is made again as well.
            let roots = found.iter().filter_map(|key| self.matching.there(key)).collect();
            let along = self.family(&roots)?.into_keys();
            let along = along.filter_map(|there| self.matching.own(&there));
            renewed.extend(found.into_iter().chain(along).filter(|key| is_named(&key.kind)));
        }
    }

    /// Which of these are replaced if those get new names.
    fn replaced(
        &self,
        open: &[Head<'_>],
        renewed: &BTreeSet<Key>,
        theirs: &Translator<'_>,
    ) -> Result<BTreeSet<Key>> {
        let (sides, matching) = (self.sides, self.matching);
        let places = PlannedPlaces { matching, renewed: Some(renewed) };
        let ours = sides.ours(&places);
        let moved = self.moved || !renewed.is_empty();
        let mut found = BTreeSet::new();
        if open.is_empty() {
            return Ok(found);
        }
        if moved {
            ours.learn_contents()?;
            theirs.learn_contents()?;
        }
        let own = open.iter().filter_map(|head| sides.backup.get(&head.key()).transpose());
        for pair in Join::new(own, sides.live, |key| matching.there(key)) {
            let (resource, Some(actual)) = pair? else { continue };
            let (verdict, _) = self.verdict(&ours, theirs, &resource, Some(&actual), moved)?;
            if verdict == Ok(Action::Replace) {
                found.insert(resource.key);
            }
        }
        Ok(found)
    }

    /// Whether a difference can become a replacement.
    fn may_replace(&self, kind: &Kind, spec: &KindSpec) -> bool {
        self.policies.of(kind) == Existing::Replace
            || !spec.verbs.update
            || spec.members.iter().any(|member| member.is == Member::Immutable)
    }

    /// History is written only where something that is written points to it.
    fn history(
        &mut self,
        ours: &Translator<'_>,
        theirs: &Translator<'_>,
        mut open: Vec<Resource>,
    ) -> Result<()> {
        loop {
            let wanted: BTreeSet<&Key> = self
                .decided
                .links
                .iter()
                .flat_map(|links| links.needs.iter().map(|(key, _)| key))
                .collect();
            let (now, later): (Vec<_>, Vec<_>) =
                open.into_iter().partition(|resource| wanted.contains(&resource.key));
            if now.is_empty() {
                for resource in later {
                    let why = "history that nothing restored points to";
                    self.item(&resource, Decision::Skipped(why.to_owned()), None, Vec::new());
                }
                return Ok(());
            }
            open = later;
            for resource in now {
                self.one(ours, theirs, &resource, None)?;
            }
        }
    }

    fn one(
        &mut self,
        ours: &Translator<'_>,
        theirs: &Translator<'_>,
        resource: &Resource,
        actual: Option<Resource>,
    ) -> Result<()> {
        if self.selected.is_some_and(|selected| !selected.keys.contains(&resource.key)) {
            return Ok(());
        }
        let (verdict, fields) =
            self.verdict(ours, theirs, resource, actual.as_ref(), self.moved)?;
        let decision = match verdict {
            Ok(action) => Decision::Do(action),
            Err(other) => other,
        };
        let ended = |at| self.sides.rules.has_ended(resource, at);
        let decision = match decision {
            Decision::Do(_) if self.options.at.is_some_and(ended) => {
                Decision::Skipped("it has ended by itself since the backup".to_owned())
            }
            Decision::Do(_) => {
                self.dangling(resource).or_else(|| self.unmapped(resource)).unwrap_or(decision)
            }
            other => other,
        };
        if let Decision::Do(action) = decision {
            refuse_sealed(resource)?;
            self.change(resource, actual.as_ref(), action)?;
        }
        let there = actual.map(|actual| actual.key);
        self.item(resource, decision, there, fields);
        Ok(())
    }

    fn item(
        &mut self,
        resource: &Resource,
        decision: Decision,
        there: Option<Key>,
        fields: Vec<FieldChange>,
    ) {
        self.decided.summary.count(&decision);
        if decision == Decision::Unchanged {
            return;
        }
        let pulled = self.selected.is_some_and(|s| s.pulled.contains(&resource.key));
        self.decided.items.push(Item {
            key: resource.key.clone(),
            name: label(self.sides.rules, resource),
            there: there.filter(|there| *there != resource.key),
            decision,
            fields,
            pulled,
        });
    }
}

/// A reader without the right to secrets cannot write a resource that holds one.
fn refuse_sealed(resource: &Resource) -> Result<()> {
    match absences(resource).find(|(_, why)| *why == Absence::Sealed) {
        None => Ok(()),
        Some((at, _)) => {
            let message =
                format!("the secret at {at} is needed, and the key lacks the right `secrets`");
            Err(Error::new(ErrorKind::KeyUnavailable, message)
                .on(&resource.key)
                .help("use a key whose recipient has the right `secrets`"))
        }
    }
}
