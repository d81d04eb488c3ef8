//! Documents of one gateway in the handles of another.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Mutex, PoisonError};

use super::index::{Index, content_name, is_assigned};
use crate::error::Result;
use crate::model::{
    Document, HandleName, Handles, Key, Place, Reference, Resource, Rules, Snapshot, To,
    absent_places,
};

/// Where a thing is in the target, as far as one of its handles is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Located {
    /// Under the handle that it has in its own gateway.
    AsItIs,
    /// Under this one.
    At(String),
    /// It is not there (yet).
    Nowhere,
}

/// Where things are in the target.
pub(crate) trait Places: Debug + Send + Sync {
    /// The target's value of a handle that it assigns.
    fn locate(&self, key: &Key, handle: &HandleName) -> Located;
}

/// Everything is where it is.
#[derive(Debug)]
pub(crate) struct InPlace;

impl Places for InPlace {
    fn locate(&self, _: &Key, _: &HandleName) -> Located {
        Located::AsItIs
    }
}

/// Reads documents of one snapshot as the target would hold them.
#[derive(Debug)]
pub(crate) struct Translator<'a> {
    rules: &'a Rules,
    own: &'a Index,
    snapshot: &'a dyn Snapshot,
    /// The target's own handles.
    gateway: &'a Handles,
    places: &'a dyn Places,
    contents: Mutex<HashMap<Key, String>>,
}

/// A text for a place, or why there is none yet.
enum Named {
    Text(String),
    /// It will be made, and the server will give it a name.
    Pending,
}

impl<'a> Translator<'a> {
    pub(crate) fn new(
        rules: &'a Rules,
        own: &'a Index,
        snapshot: &'a dyn Snapshot,
        gateway: &'a Handles,
        places: &'a dyn Places,
    ) -> Self {
        Self { rules, own, snapshot, gateway, places, contents: Mutex::default() }
    }

    /// The document to write, and the references to things that are not there yet.
    pub(crate) fn write(&self, resource: &Resource) -> Result<(Document, Vec<Reference>)> {
        let mut texts = Vec::new();
        let mut pending = Vec::new();
        for reference in self.rules.references(resource) {
            match self.named(resource, &reference) {
                Some(Named::Text(text)) => texts.push((reference.at, text)),
                Some(Named::Pending) => pending.push(reference),
                None => {}
            }
        }
        Ok((resource.document.rewrite(&texts)?, pending))
    }

    /// The form in which this resource is compared with one of the other side. `absent`: places
    /// whose value is not known on the other side.
    pub(crate) fn comparable(&self, resource: &Resource, absent: &[String]) -> Result<Document> {
        let mut texts: Vec<(Place, String)> = Vec::new();
        for reference in self.rules.references(resource) {
            if let Some(content) = self.nameless(resource, &reference)? {
                texts.push((reference.at, content));
                continue;
            }
            match self.named(resource, &reference) {
                Some(Named::Text(text)) => texts.push((reference.at, text)),
                // What has no name yet equals nothing that has one.
                Some(Named::Pending) => texts.push((reference.at, "\u{1}new".to_owned())),
                None => {}
            }
        }
        let mut absent: Vec<String> = absent.to_vec();
        absent.extend(absent_places(resource).map(str::to_owned));
        Ok(self.rules.comparable(resource, &texts, &absent))
    }

    /// The content of a nameless thing, as a name.
    pub(crate) fn content(&self, resource: &Resource) -> Result<String> {
        let known = self.contents.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(name) = known.get(&resource.key) {
            return Ok(name.clone());
        }
        drop(known);
        let name = content_name(&self.comparable(resource, &[])?);
        let mut known = self.contents.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(resource.key.clone(), name.clone());
        Ok(name)
    }

    /// The content of what the reference names, if that is of a nameless kind.
    fn nameless(&self, from: &Resource, reference: &Reference) -> Result<Option<String>> {
        let Some(head) = self.own.resolve(from, reference) else { return Ok(None) };
        let nameless = self.rules.spec(&head.key.kind).is_some_and(|spec| spec.match_content);
        if !nameless || head.key == from.key {
            return Ok(None);
        }
        match self.snapshot.get(&head.key)? {
            Some(resource) => self.content(&resource).map(Some),
            None => Ok(None),
        }
    }

    /// What stands in the target where this reference stands; `None` to leave it as it is.
    fn named(&self, from: &Resource, reference: &Reference) -> Option<Named> {
        match &reference.to {
            To::Resource { handle, value, .. } => {
                let head = self.own.resolve(from, reference)?;
                if !is_assigned(self.rules, &head.key.kind, handle) {
                    return None;
                }
                match self.places.locate(&head.key, handle) {
                    Located::At(text) if text != *value => Some(Named::Text(text)),
                    Located::Nowhere if self.is_given_by_server(&head.key, handle) => {
                        Some(Named::Pending)
                    }
                    Located::At(_) | Located::AsItIs | Located::Nowhere => None,
                }
            }
            To::Gateway { handle } => {
                let (was, is) = (self.own.gateway.get(handle)?, self.gateway.get(handle)?);
                (was != is).then(|| Named::Text(is.clone()))
            }
            To::External { .. } => None,
        }
    }

    fn is_given_by_server(&self, key: &Key, handle: &HandleName) -> bool {
        self.rules
            .spec(&key.kind)
            .and_then(|spec| spec.handles.iter().find(|h| h.name == *handle))
            .is_some_and(|spec| spec.by_server)
    }
}
