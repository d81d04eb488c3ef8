//! Values that somebody supplies for places of which the backup has none, or another.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

use super::canonical::encode;
use super::key::Key;
use super::resource::{Mark, Resource, Says};
use crate::error::{Error, Result};

/// A secret text, wiped when dropped; `Debug` shows nothing of it. Copies inside documents and
/// buffers that are sent are out of reach.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// This text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text, for whoever must have it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// All that was supplied, by resource and JSON pointer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Supplied(BTreeMap<Key, BTreeMap<String, Secret>>);

/// One of them, as it is sealed into a run's journal.
#[derive(Serialize, Deserialize)]
struct Entry(Key, String, String);

impl Drop for Entry {
    fn drop(&mut self) {
        self.2.zeroize();
    }
}

impl Supplied {
    pub(crate) fn insert(&mut self, key: Key, pointer: String, secret: Secret) {
        self.0.entry(key).or_default().insert(pointer, secret);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a value was supplied for this place.
    pub(crate) fn has(&self, key: &Key, pointer: &str) -> bool {
        self.0.get(key).is_some_and(|places| places.contains_key(pointer))
    }

    /// Each place, written `kind/id#/pointer`.
    pub(crate) fn places(&self) -> Vec<String> {
        let of = |(key, places): (&Key, &BTreeMap<String, Secret>)| {
            places.keys().map(|at| format!("{key}#{at}")).collect::<Vec<_>>()
        };
        self.0.iter().flat_map(of).collect()
    }

    /// The resource with what was supplied for it. `Invalid` where a place cannot be.
    pub(crate) fn fill(&self, mut resource: Resource) -> Result<Resource> {
        for (at, secret) in self.0.get(&resource.key).into_iter().flatten() {
            let token = Zeroizing::new(encode(secret.expose()));
            resource.document = resource.document.with_member(at, &token)?;
            if resource.document.get(at) != Some(token.as_str()) {
                return Err(Error::invalid("the resource has no place for this secret")
                    .on(format!("{}#{at}", resource.key)));
            }
            resource.marks.retain(|mark| mark.at.pointer != *at);
            resource.marks.push(Mark::secret(at));
        }
        Ok(resource)
    }

    /// Everything, to be sealed.
    pub(crate) fn to_plain(&self) -> Result<Zeroizing<Vec<u8>>> {
        let entry = |key: &Key, (at, secret): (&String, &Secret)| {
            Entry(key.clone(), at.clone(), secret.expose().to_owned())
        };
        let all = self.0.iter().flat_map(|(key, places)| places.iter().map(move |p| entry(key, p)));
        serde_json::to_vec(&all.collect::<Vec<_>>())
            .map(Zeroizing::new)
            .map_err(|_| Error::invalid("the supplied secrets cannot be written"))
    }

    /// The way back.
    pub(crate) fn from_plain(plain: &[u8]) -> Result<Self> {
        let entries: Vec<Entry> = serde_json::from_slice(plain)
            .map_err(|_| Error::corrupt("the supplied secrets of the run are malformed"))?;
        let mut supplied = Self::default();
        for entry in &entries {
            supplied.insert(entry.0.clone(), entry.1.clone(), Secret::new(entry.2.as_str()));
        }
        Ok(supplied)
    }
}

/// Places that may be supplied: those that are secret, and those whose value is not here.
pub(crate) fn secret_places(resource: &Resource) -> impl Iterator<Item = &str> {
    let whole = resource.marks.iter().filter(|mark| mark.at.range.is_none());
    whole
        .filter(|mark| matches!(mark.says, Says::Secret | Says::Absent(_)))
        .map(|mark| mark.at.pointer.as_str())
}

#[cfg(test)]
mod tests {
    use super::super::{Absence, Document};
    use super::*;

    #[test]
    fn what_is_supplied_fills_and_replaces_and_comes_back_from_its_plain_form() {
        let key: Key = "certificate/c1".parse().unwrap();
        let mut resource =
            Resource::new(key.clone(), Document::parse(r#"{"a":"old","o":{"x":1}}"#).unwrap());
        resource.marks = vec![Mark::secret("/a"), Mark::absent("/o/k", Absence::Unreadable)];
        assert_eq!(secret_places(&resource).collect::<Vec<_>>(), ["/a", "/o/k"]);
        let mut supplied = Supplied::default();
        supplied.insert(key.clone(), "/a".to_owned(), Secret::new("n\"ew"));
        supplied.insert(key.clone(), "/o/k".to_owned(), Secret::new("hush"));
        assert!(!format!("{supplied:?}").contains("hush"));
        let again = Supplied::from_plain(&supplied.to_plain().unwrap()).unwrap();
        assert_eq!(again.places(), ["certificate/c1#/a", "certificate/c1#/o/k"]);
        let filled = again.fill(resource.clone()).unwrap();
        assert_eq!(filled.document.as_str(), r#"{"a":"n\"ew","o":{"k":"hush","x":1}}"#);
        assert!(!filled.is_incomplete() && again.has(&key, "/o/k") && !again.has(&key, "/o"));
        let mut nowhere = Supplied::default();
        nowhere.insert(key, "/none/k".to_owned(), Secret::new("hush"));
        let error = nowhere.fill(resource).unwrap_err();
        assert_eq!(error.subject(), Some("certificate/c1#/none/k"));
    }
}
