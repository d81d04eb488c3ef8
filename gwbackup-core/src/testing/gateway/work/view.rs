//! Where things are in the target, what is sent, and what counts as the same.

use super::Work;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{
    Action, Change, Document, Effect, Handles, Key, KindSpec, Member, Outcome, Place, Reference,
    Resolved, Resource, To, absent_places,
};
use crate::testing::gateway::json::put_at;
use crate::testing::gateway::state::{Thing, child};

impl<'a> Work<'a> {
    pub(super) fn spec(&self, change: &Change) -> Result<&'a KindSpec> {
        let kind = &change.key.kind;
        let spec = self.gateway.0.rules.spec(kind);
        spec.ok_or_else(|| Error::new(ErrorKind::Unsupported, "no such kind").on(kind))
    }

    /// Where the thing is or will be in the target; `None` if the server has yet to say.
    pub(super) fn address(&self, change: &Change, after: Option<&Resolved>) -> Result<Option<Key>> {
        if let Some(key) = self.made.get(&change.key) {
            return Ok(Some(key.clone()));
        }
        let fresh = matches!(change.action, Action::Create | Action::Undelete);
        let Some(after) = after.filter(|_| fresh) else {
            return Ok(Some(change.target_key().clone()));
        };
        if self.spec(change)?.handles.first().is_some_and(|handle| handle.by_server) {
            return Ok(change.there.clone());
        }
        let parent = self.parent(&after.resource);
        let id = child(parent.as_ref(), &after.resource.key.id.last())?;
        Ok(Some(Key::new(change.key.kind.clone(), id)))
    }

    pub(super) fn parent(&self, resource: &Resource) -> Option<Key> {
        let parent = resource.parent.as_ref()?;
        Some(self.made.get(parent).unwrap_or(parent).clone())
    }

    /// The resource with what this step made meanwhile put into its references, and the members
    /// that name things still to be made.
    pub(in crate::testing::gateway) fn resolved(
        &self,
        state: &Resolved,
    ) -> (Resource, Vec<String>) {
        let mut resource = state.resource.clone();
        let mut names: Vec<(Place, String)> = Vec::new();
        let mut open = Vec::new();
        for reference in &state.pending {
            match self.now(reference) {
                Some(name) => names.push((reference.at.clone(), name)),
                None => open.push(reference.at.pointer.clone()),
            }
        }
        if let Ok(document) = resource.document.rewrite(&names) {
            resource.document = document;
        }
        (resource, open)
    }

    /// The present name of what a pending reference names.
    fn now(&self, reference: &Reference) -> Option<String> {
        let To::Resource { kinds, value, .. } = &reference.to else { return None };
        let mut made = self.made.iter().filter(|(key, _)| kinds.contains(&key.kind));
        let (_, key) = made.find(|(key, _)| key.id.last() == value.as_str())?;
        Some(key.id.last().into_owned())
    }

    /// Whether two things are the same for all that can be compared.
    pub(in crate::testing::gateway) fn same(&self, a: &Resource, b: &Resource) -> bool {
        let absent: Vec<String> =
            absent_places(a).chain(absent_places(b)).map(str::to_owned).collect();
        let rules = &self.gateway.0.rules;
        rules.comparable(a, &[], &absent) == rules.comparable(b, &[], &absent)
    }

    /// What is sent: without what the server sets, and with values that are not here taken from
    /// what is there.
    pub(in crate::testing::gateway) fn body(
        &self,
        wanted: &Resource,
        live: Option<&Resource>,
    ) -> Result<Document> {
        let skip = self.gateway.0.rules.members(wanted, |member| {
            matches!(
                member,
                Member::Volatile
                    | Member::ReadOnly
                    | Member::Unreadable
                    | Member::UnreadableIf { .. }
            )
        });
        let absent: Vec<&str> = absent_places(wanted).collect();
        let mut body = wanted.document.without(skip).without(&absent);
        for at in absent {
            if let Some(value) = live.and_then(|live| live.document.get(at)) {
                body = put_at(&body, at, value)?;
            }
        }
        Ok(body)
    }

    pub(super) fn seen(&self, key: &Key, thing: Option<&Thing>) -> Option<Resource> {
        let revisions = self.gateway.options().revisions;
        thing.map(|thing| self.gateway.view(key.clone(), thing, revisions))
    }

    pub(super) fn outcome(&self, change: &Change, live: &Resource, effect: Effect) -> Outcome {
        let mut handles = Handles::new();
        if let Some(spec) = self.gateway.0.rules.spec(&live.key.kind) {
            handles = self.gateway.0.rules.handles(&self.gateway.handles(), live);
            handles.retain(|name, _| {
                // What neither the table nor we chose, the server did (an address, an ARN).
                spec.handles.iter().find(|h| h.name == *name).is_none_or(|h| h.by_server)
            });
        }
        Outcome {
            key: change.key.clone(),
            there: (live.key != change.key).then(|| live.key.clone()),
            effect,
            handles,
            revision: live.revision.clone(),
        }
    }
}
