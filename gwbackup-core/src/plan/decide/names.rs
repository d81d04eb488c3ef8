//! Unique names that changes take from each other.

use super::Decider;
use crate::error::Result;
use crate::model::{HandleName, Key, Member, Resource};
use crate::plan::index::{is_assigned, is_in_scope};
use crate::plan::matching::PlannedPlaces;

impl Decider<'_> {
    /// Target resources that hold a unique name which this one will have.
    pub(super) fn claims(
        &self,
        resource: &Resource,
        actual: Option<&Resource>,
    ) -> Result<Vec<(Key, HandleName)>> {
        let rules = self.sides.rules;
        let places = PlannedPlaces { matching: self.matching, renewed: Some(&self.renewed) };
        let handles = self.sides.handles(resource, &places, self.moved)?;
        let parent = resource.parent.as_ref().and_then(|parent| self.matching.there(parent));
        let own = actual.map(|actual| &actual.key);
        let kind = &resource.key.kind;
        let claims = rules
            .unique_handles(kind)
            .filter(|spec| !is_assigned(rules, kind, &spec.name))
            .filter_map(|spec| Some((spec, handles.get(&spec.name)?)))
            .flat_map(|(spec, value)| {
                self.sides
                    .actual
                    .find(kind, &spec.name, value)
                    .filter(|head| is_in_scope(*head, spec.unique, parent.as_ref()))
                    .map(|head| (head.key(), spec.name.clone()))
                    .collect::<Vec<_>>()
            })
            .filter(|(key, _)| Some(key) != own);
        Ok(claims.collect())
    }

    /// Unique names that a target's resource could let go of for a while, each with the place of a
    /// text that may be any other.
    pub(super) fn names(&self, actual: &Resource) -> Vec<(HandleName, String)> {
        let (rules, kind) = (self.sides.rules, &actual.key.kind);
        let mut bound = rules.members(actual, |member| {
            use Member::{Immutable, ReadOnly, Salted, Unreadable, UnreadableIf};
            matches!(
                member,
                Immutable | ReadOnly | Salted { .. } | Unreadable | UnreadableIf { .. }
            )
        });
        bound.extend(rules.references(actual).into_iter().map(|reference| reference.at.pointer));
        let is_free = |at: &&String| {
            let text = actual.document.text(at);
            text.is_some_and(|text| !text.is_empty()) && !bound.contains(at)
        };
        let names = rules.unique_handles(kind).filter(|spec| !is_assigned(rules, kind, &spec.name));
        names
            .filter_map(|spec| Some((spec.name.clone(), spec.at.iter().find(is_free)?.clone())))
            .collect()
    }
}
