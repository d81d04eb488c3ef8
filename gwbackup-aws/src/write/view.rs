//! Where things are in the target, what is sent, and what counts as the same.

use std::borrow::Cow;

use gwbackup_core::model::{
    Document, Key, Member, Part, Place, Reference, Resolved, Resource, Says, To,
};

use super::Work;
use crate::read::Node;
use crate::table::Row;

impl Work<'_> {
    /// Where a thing of the view is, or will be as soon as it is made.
    pub(super) fn place(&self, key: &Key) -> Key {
        if let Some(made) = self.made.get(key) {
            return made.clone();
        }
        let state = self.after.get(key).or_else(|| self.before.get(key));
        let parent = state.and_then(|state| state.resource.parent.as_ref());
        if let Some(parent) = parent {
            let there = self.place(parent);
            // A plan's key is named by the key itself, which has another id by now.
            let keyed = state.filter(|_| key.kind.as_str() == "usage_plan_key");
            let keyed = keyed.and_then(|state| state.resource.document.text("/id"));
            if let Ok(id) = there.id.child(keyed.as_deref().unwrap_or(&key.id.last())) {
                return Key::new(key.kind.clone(), id);
            }
        }
        key.clone()
    }

    /// The document to write, with what this step made put into its references; and the members
    /// that name things still to be made.
    pub(super) fn resolved(&self, state: &Resolved) -> (Document, Vec<String>) {
        let mut names: Vec<(Place, String)> = Vec::new();
        let mut open = Vec::new();
        let later = Row::of(&state.resource.key.kind).map(|row| row.later).unwrap_or_default();
        for reference in &state.pending {
            let at = &reference.at.pointer;
            if let Some(name) = self.now(reference) {
                names.push((reference.at.clone(), name));
                continue;
            }
            // What comes later comes whole.
            let whole = later.iter().find(|member| at.starts_with(**member));
            open.push(whole.map_or_else(|| at.clone(), |member| (*member).to_owned()));
        }
        let document = &state.resource.document;
        let document = document.rewrite(&names).unwrap_or_else(|_| document.clone());
        (self.renumbered(&state.resource.key, document), open)
    }

    /// The document with the ids that the service has given meanwhile to what it names below the
    /// same root: an import gives new ones to all that it says.
    fn renumbered(&self, key: &Key, mut document: Document) -> Document {
        for reference in Row::of(&key.kind).into_iter().flat_map(|row| row.refs) {
            let rows = reference.kinds.iter().filter_map(|kind| Row::named(kind));
            let Some(row) = rows.into_iter().find(|row| row.handle() == "server_id") else {
                continue;
            };
            let Some(id) = document.text(reference.at).map(Cow::into_owned) else { continue };
            let was = self.numbers.get(&(row.kind, id.clone()));
            let node = was.and_then(|key| self.live.get(&self.place(key)));
            let now = node.and_then(|node| node.address.last()).filter(|now| **now != id);
            if let Some(now) = now {
                let token = serde_json::Value::from(now.as_str()).to_string();
                document = document.with_member(reference.at, &token).unwrap_or(document);
            }
        }
        document
    }

    /// The present name of what a pending reference names.
    fn now(&self, reference: &Reference) -> Option<String> {
        let To::Resource { kinds, handle, value, .. } = &reference.to else { return None };
        let name = |resource: &Resource, row: &Row| -> String {
            let own = |member: &str| resource.document.text(&format!("/{member}"));
            match handle.as_str() {
                "id" => resource.key.id.last().into_owned(),
                "arn" => own(row.arn).map(Cow::into_owned).unwrap_or_default(),
                _ => own(row.id).map(Cow::into_owned).unwrap_or_default(),
            }
        };
        let found = self.after.iter().find(|(key, state)| {
            kinds.contains(&key.kind)
                && Row::of(&key.kind).is_some_and(|row| name(&state.resource, row) == *value)
        });
        let (key, _) = found?;
        let node = self.live.get(&self.place(key))?;
        Some(name(&node.resource, node.row))
    }

    /// Whether what is there is what is wanted, for all that can be compared.
    pub(super) fn same(&self, live: &Node, wanted: &Resolved) -> bool {
        if !live.row.served.is_empty() {
            return true;
        }
        let (document, open) = self.resolved(wanted);
        let wanted = Resource { document, ..wanted.resource.clone() };
        let absent: Vec<String> =
            absent(&live.resource).chain(absent(&wanted)).chain(open).collect();
        let rules = &self.aws.0.rules;
        rules.comparable(&live.resource, &[], &absent) == rules.comparable(&wanted, &[], &absent)
    }

    /// What is sent of a document: without what the service sets, and without what is not here.
    pub(super) fn body(&self, resource: &Resource, document: &Document) -> Document {
        let whole = Resource { document: document.clone(), ..resource.clone() };
        let own =
            self.aws.0.rules.members(&whole, |m| matches!(m, Member::Volatile | Member::ReadOnly));
        let body = document.without(own).without(absent(resource).collect::<Vec<_>>());
        let policy = body.text("/policy").and_then(|text| unescaped(&text));
        let policy = policy.map(|text| serde_json::Value::from(text).to_string());
        match policy.and_then(|token| body.with_member("/policy", &token).ok()) {
            Some(plain) => plain,
            None => body,
        }
    }

    /// The live thing that a thing of the view lies below.
    pub(super) fn parent_of(&self, resource: &Resource) -> Option<&Node> {
        self.live.get(&self.place(resource.parent.as_ref()?))
    }

    /// Takes in what the service says of a thing.
    pub(super) fn seen(&mut self, key: &Key, node: Node) {
        self.made.insert(key.clone(), node.resource.key.clone());
        self.live.insert(node.resource.key.clone(), node);
    }
}

/// Pointers of the values that are not here.
fn absent(resource: &Resource) -> impl Iterator<Item = String> {
    let absent = resource
        .marks
        .iter()
        .filter(|mark| matches!(mark.says, Says::Absent(_)) && mark.at.part == Part::Value);
    absent.map(|mark| mark.at.pointer.clone())
}

/// A policy as it is taken, where it was read with its quotes escaped, as the service gives it.
fn unescaped(text: &str) -> Option<String> {
    let escaped = serde_json::from_str::<serde::de::IgnoredAny>(text).is_err();
    escaped.then(|| serde_json::from_str(&format!("\"{text}\"")).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_sent_as_it_was_once_taken() {
        assert_eq!(unescaped(r#"{\"a\":\"\/b\"}"#).as_deref(), Some(r#"{"a":"/b"}"#));
        assert_eq!(unescaped(r#"{"a":"b"}"#), None);
        assert_eq!(unescaped("no policy at all \""), None);
    }
}
