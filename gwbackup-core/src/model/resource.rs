//! One resource: its document, marks, references.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::document::Document;
use super::key::{HandleName, Key, Kind, Revision};
use super::place::Place;
use crate::error::{Error, Result};

/// One thing that a gateway holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// Its identity.
    pub key: Key,
    /// Set where the parent stands in the address and not in the document; then `key.id` begins
    /// with `parent.id` and a slash.
    pub parent: Option<Key>,
    /// What the vendor says of it, lossless, canonical.
    pub document: Document,
    /// Places that are secret, or whose value is not here.
    pub marks: Vec<Mark>,
    /// Moves when this resource moves.
    pub revision: Option<Revision>,
    /// Made and kept by this other resource; compared, never written by itself.
    pub owner: Option<Key>,
    /// Bytes that are no JSON, as they came.
    pub attachments: Vec<Attachment>,
}

impl Resource {
    /// A resource with a document and nothing else.
    pub fn new(key: Key, document: Document) -> Self {
        Self {
            key,
            parent: None,
            document,
            marks: Vec::new(),
            revision: None,
            owner: None,
            attachments: Vec::new(),
        }
    }

    /// `Invalid` unless its id lies below its parent's: whoever follows parents then comes to an end.
    pub(crate) fn check(&self) -> Result<()> {
        match &self.parent {
            Some(parent) if parent.id == self.key.id || !self.key.id.is_under(&parent.id) => {
                Err(Error::invalid("its id does not lie below its parent's").on(&self.key))
            }
            _ => Ok(()),
        }
    }

    /// Whether a place of it is marked as absent (never readable, withheld, denied).
    pub fn is_incomplete(&self) -> bool {
        self.marks.iter().any(|mark| matches!(mark.says, Says::Absent(_)))
    }
}

/// Bytes that are no JSON, kept beside a document.
#[derive(Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Its name within the resource.
    pub name: String,
    /// Its media type.
    pub media_type: String,
    /// Its content.
    pub bytes: Bytes,
}

impl std::fmt::Debug for Attachment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Attachment({}, {} bytes)", self.name, self.bytes.len())
    }
}

/// Something said about a place of a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Where.
    #[serde(flatten)]
    pub at: Place,
    /// What.
    #[serde(rename = "is")]
    pub says: Says,
}

impl Mark {
    /// The whole value at `pointer` is a secret.
    pub fn secret(pointer: impl Into<String>) -> Self {
        Self { at: Place::value(pointer), says: Says::Secret }
    }

    /// The value at `pointer` exists but is not here.
    pub fn absent(pointer: impl Into<String>, why: Absence) -> Self {
        Self { at: Place::value(pointer), says: Says::Absent(why) }
    }
}

/// What a mark says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Says {
    /// Mask it: it is never shown, logged or compared in clear.
    Secret,
    /// A value exists there but is not here; neither compared nor cleared.
    #[serde(untagged)]
    Absent(Absence),
}

/// Why a value is not here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Absence {
    /// The vendor never gives it out.
    Unreadable,
    /// Left out on purpose, by policy; or the reader lacks the `secrets` right.
    Withheld,
    /// The vendor refused it to this identity.
    Denied,
    /// It stands in the archive, under a key that this reader lacks. Never stored.
    Sealed,
}

/// A place that names something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Where the name stands.
    pub at: Place,
    /// What it names.
    pub to: To,
    /// What follows for order and deletion.
    pub role: Role,
}

/// What a reference names.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum To {
    /// A resource, by one of its handles.
    Resource {
        /// The kinds that it may be of, most likely first.
        kinds: Vec<Kind>,
        /// Which handle.
        handle: HandleName,
        /// The handle's value.
        value: String,
        /// The ancestor in which the handle is unique, if not the whole gateway.
        within: Option<Key>,
    },
    /// The gateway itself: account, region, prefix, project. Where the text at the place is not the
    /// value of that handle, it names another gateway and stays.
    Gateway {
        /// Which of its handles.
        handle: HandleName,
    },
    /// Something outside: role, function, certificate. Mapped by table or reported, never guessed.
    External {
        /// Class of the thing, as the provider calls it.
        class: String,
        /// The name.
        value: String,
    },
}

/// What a reference means for the order of writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The resource goes when the other goes.
    Owner,
    /// The other must exist first.
    Needs,
    /// May be added by a second write once the other exists.
    Later,
    /// May dangle.
    Weak,
}
