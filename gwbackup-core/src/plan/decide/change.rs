//! A write, what it has to do with others, and how it could be undone.

use super::{Decider, Links};
use crate::error::Result;
use crate::model::{Action, Change, ChangeNo, Key, Place, Resource, Role, Rules, Says, Undo};
use crate::plan::index::{Head, Index};

impl Decider<'_> {
    pub(super) fn change(
        &mut self,
        resource: &Resource,
        actual: Option<&Resource>,
        action: Action,
    ) -> Result<()> {
        let undo = self.undo(resource, actual, action);
        let there = actual.map(|a| &a.key).filter(|there| **there != resource.key);
        let mut links = self.links(resource, actual)?;
        if let Some(actual) = actual.filter(|_| action == Action::Update) {
            links.names = self.names(actual);
        }
        self.note_outside(resource);
        self.push(
            Change {
                no: ChangeNo(0),
                key: resource.key.clone(),
                there: there.cloned(),
                parent: resource.parent.clone(),
                action,
                undo,
                bytes: resource.document.len() as u64,
            },
            links,
        );
        Ok(())
    }

    pub(super) fn push(&mut self, mut change: Change, links: Links) {
        change.no = ChangeNo(u32::try_from(self.decided.changes.len()).unwrap_or(u32::MAX));
        self.decided.changes.push(change);
        self.decided.links.push(links);
    }

    pub(super) fn undo(
        &self,
        resource: &Resource,
        actual: Option<&Resource>,
        action: Action,
    ) -> Undo {
        let Some(spec) = self.sides.rules.spec(&resource.key.kind) else { return Undo::Exact };
        let unreadable = |actual| self.sides.rules.unreadable(actual).into_iter();
        match (action, actual) {
            (Action::Create | Action::Undelete, _) if !spec.verbs.delete => Undo::Residue,
            (Action::Delete | Action::Replace, Some(actual)) => {
                let mut lost: Vec<Place> = actual
                    .marks
                    .iter()
                    .filter(|mark| matches!(mark.says, Says::Absent(_)))
                    .map(|mark| mark.at.clone())
                    .collect();
                lost.extend(unreadable(actual).map(Place::value));
                if !lost.is_empty() {
                    Undo::Lost(lost)
                } else if spec.is_assigned_by_server() {
                    Undo::NewHandles
                } else {
                    Undo::Exact
                }
            }
            (Action::Update, Some(actual)) => {
                let (new, old) = (&resource.document, &actual.document);
                let lost: Vec<Place> = unreadable(actual)
                    .filter(|at| new.get(at) != old.get(at))
                    .map(Place::value)
                    .collect();
                if lost.is_empty() { Undo::Exact } else { Undo::Lost(lost) }
            }
            _ => Undo::Exact,
        }
    }

    fn links(&self, resource: &Resource, actual: Option<&Resource>) -> Result<Links> {
        let rules = self.sides.rules;
        let mut links = Links::default();
        links.needs.extend(resource.parent.iter().map(|parent| (parent.clone(), Role::Owner)));
        for reference in rules.references(resource) {
            if let Some(head) = self.sides.desired.resolve(resource, &reference) {
                links.needs.push((head.key(), reference.role));
            }
        }
        if let Some(actual) = actual {
            links.holds = held(rules, self.sides.actual, actual);
        }
        links.claims = self.claims(resource, actual)?;
        Ok(links)
    }
}

/// Whatever this target resource needs: it may only go after this one.
pub(super) fn held(rules: &Rules, index: &Index, resource: &Resource) -> Vec<Key> {
    let mut keys: Vec<Key> = resource.parent.iter().cloned().collect();
    for reference in rules.references(resource).iter().filter(|r| r.role != Role::Weak) {
        keys.extend(index.resolve(resource, reference).map(Head::key));
    }
    keys
}
