//! Documents of one gateway in the handles of another.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Mutex, PoisonError};

use super::index::{Head, Index, is_assigned};
use crate::crypt::{Fingerprint, fingerprint, hex};
use crate::error::Result;
use crate::model::{
    Document, HandleName, Handles, Key, Kind, Place, Reference, Resource, Rules, Snapshot, To,
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
    /// Of nameless things, by number.
    contents: Mutex<HashMap<u32, Fingerprint>>,
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
        let pending = pending.into_iter().map(|reference| shifted(reference, &texts)).collect();
        Ok((resource.document.rewrite(&texts)?, pending))
    }

    /// The form in which this resource is compared with one of the other side. `absent`: places
    /// whose value is not known on the other side.
    pub(crate) fn comparable(&self, resource: &Resource, absent: &[String]) -> Result<Document> {
        let mut texts: Vec<(Place, String)> = Vec::new();
        for reference in self.rules.references(resource) {
            if let Some(content) = self.nameless(resource, &reference)? {
                let name = format!("\u{1}content:{}", hex::encode(&content));
                texts.push((reference.at, name));
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

    /// The content of a nameless thing, which stands for its name. `None` if it is not there.
    pub(crate) fn content(&self, head: Head<'_>) -> Result<Option<Fingerprint>> {
        let known = || self.contents.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(content) = known().get(&head.no()) {
            return Ok(Some(*content));
        }
        let Some(resource) = self.snapshot.get(&head.key())? else { return Ok(None) };
        let content = fingerprint([self.comparable(&resource, &[])?.as_str().as_bytes()]);
        known().insert(head.no(), content);
        Ok(Some(content))
    }

    /// Learns the content of every nameless thing in the order of keys, so that none has to be
    /// looked for by itself.
    pub(crate) fn learn_contents(&self) -> Result<()> {
        let kinds = &self.rules.schema().kinds;
        let nameless = kinds.iter().filter(|spec| spec.match_content);
        let mut heads = nameless.flat_map(|spec| self.own.heads_of(&spec.kind));
        heads.try_for_each(|head| self.content(head).map(drop))
    }

    fn is_nameless(&self, kind: &Kind) -> bool {
        self.rules.spec(kind).is_some_and(|spec| spec.match_content)
    }

    /// The content of what the reference names, if that is of a nameless kind.
    fn nameless(&self, from: &Resource, reference: &Reference) -> Result<Option<Fingerprint>> {
        let To::Resource { kinds, .. } = &reference.to else { return Ok(None) };
        if !kinds.iter().any(|kind| self.is_nameless(kind)) {
            return Ok(None);
        }
        match self.own.resolve(from, reference) {
            Some(head) if self.is_nameless(head.kind()) && !head.is(&from.key) => {
                self.content(head)
            }
            _ => Ok(None),
        }
    }

    /// What stands in the target where this reference stands; `None` to leave it as it is.
    fn named(&self, from: &Resource, reference: &Reference) -> Option<Named> {
        match &reference.to {
            To::Resource { handle, value, .. } => {
                let head = self.own.resolve(from, reference)?;
                if !is_assigned(self.rules, head.kind(), handle) {
                    return None;
                }
                match self.places.locate(&head.key(), handle) {
                    Located::At(text) if text != *value => Some(Named::Text(text)),
                    Located::Nowhere if self.is_given_by_server(head.kind(), handle) => {
                        Some(Named::Pending)
                    }
                    Located::At(_) | Located::AsItIs | Located::Nowhere => None,
                }
            }
            To::Gateway { handle } => {
                let (was, is) = (self.own.gateway.get(handle)?, self.gateway.get(handle)?);
                // Where it names another gateway, that is not what moves.
                let own = was != is && from.document.text_at(&reference.at).as_ref() == Some(was);
                own.then(|| Named::Text(is.clone()))
            }
            To::External { .. } => None,
        }
    }

    fn is_given_by_server(&self, kind: &Kind, handle: &HandleName) -> bool {
        self.rules
            .spec(kind)
            .and_then(|spec| spec.handles.iter().find(|h| h.name == *handle))
            .is_some_and(|spec| spec.by_server)
    }
}

/// The reference where it stands once these texts are written: names before it in the same string
/// may be longer or shorter than the old ones.
fn shifted(mut reference: Reference, texts: &[(Place, String)]) -> Reference {
    let Some(own) = &mut reference.at.range else { return reference };
    let (mut start, mut end) = (i64::from(own.start), i64::from(own.end));
    for (place, text) in texts.iter().filter(|(place, _)| place.pointer == reference.at.pointer) {
        let Some(range) = place.range.as_ref().filter(|range| range.start < own.start) else {
            continue;
        };
        let more = i64::try_from(text.len()).unwrap_or(0) - i64::from(range.end - range.start);
        (start, end) = (start + more, end + more);
    }
    if let (Ok(start), Ok(end)) = (u32::try_from(start), u32::try_from(end)) {
        *own = start..end;
    }
    reference
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Role;

    #[test]
    fn a_name_still_to_come_is_where_the_names_before_it_leave_it() {
        let text = r#"{"p":"arn:eu-central-1:42:abc/x"}"#;
        let document = Document::parse(text).unwrap();
        let at = |range| Place::within("/p", range);
        let texts = [(at(4..16), "us-1".to_owned()), (at(17..19), "4242".to_owned())];
        let to = To::Gateway { handle: HandleName::id() };
        let pending = Reference { at: at(20..23), to, role: Role::Weak };
        let pending = shifted(pending, &texts);
        let written = document.rewrite(&texts).unwrap();
        let written = written.rewrite(&[(pending.at, "new".to_owned())]).unwrap();
        assert_eq!(written.as_str(), r#"{"p":"arn:us-1:4242:new/x"}"#);
    }
}
