//! Identity: kinds, ids, keys, handles.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

macro_rules! text_newtype {
    ($name:ident) => {
        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
        impl TryFrom<String> for $name {
            type Error = Error;
            fn try_from(text: String) -> Result<Self> {
                Self::new(&text)
            }
        }
        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.0.as_ref().to_owned()
            }
        }
    };
}

/// A kind of resource: lower snake case, never reused, never renamed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Kind(Arc<str>);

text_newtype!(Kind);

impl Kind {
    /// `Invalid` unless the name is 1 to 64 of `a-z 0-9 _` and begins with a letter.
    pub fn new(name: &str) -> Result<Self> {
        if Self::is_name(name) {
            Ok(Self(name.into()))
        } else {
            Err(Error::invalid("a kind is lower snake case and at most 64 characters").on(name))
        }
    }

    /// Whether a kind may have this name.
    pub(super) fn is_name(name: &str) -> bool {
        matches!(name.as_bytes(), [b'a'..=b'z', rest @ ..] if name.len() <= 64
            && rest.iter().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_')))
    }

    /// For names written in a provider's table.
    ///
    /// # Panics
    /// When the name is malformed: the table is wrong.
    #[track_caller]
    pub fn known(name: &'static str) -> Self {
        match Self::new(name) {
            Ok(kind) => kind,
            Err(error) => panic!("{error}"),
        }
    }
}

/// A resource's id within its kind: a path of segments joined by `/`, in the provider's normal
/// form (case folded where the vendor folds). In a segment `/ % # *` and controls are escaped as
/// `%XX`, so that `kind/id#/pointer` and globs stay unambiguous.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Id(Arc<str>);

text_newtype!(Id);

impl Id {
    /// An id in its escaped form. `Invalid` when empty, longer than 2,048 bytes, with an empty
    /// segment, or with an unescaped `# *` or control.
    pub fn new(escaped: &str) -> Result<Self> {
        let bad = escaped.is_empty()
            || escaped.len() > 2048
            || escaped.split('/').any(str::is_empty)
            || escaped.bytes().any(|b| b.is_ascii_control() || matches!(b, b'#' | b'*'));
        if bad {
            return Err(Error::invalid(
                "an id is a non-empty path with / % # * and controls escaped",
            ));
        }
        Ok(Self(escaped.into()))
    }

    /// An id that was one before.
    pub(crate) fn stored(escaped: &str) -> Self {
        Self(escaped.into())
    }

    /// The id made of these raw segments. `Invalid` without a segment or with an empty one.
    pub fn of<S: AsRef<str>>(segments: impl IntoIterator<Item = S>) -> Result<Self> {
        let escaped: Vec<_> =
            segments.into_iter().map(|s| escape(s.as_ref()).into_owned()).collect();
        Self::new(&escaped.join("/"))
    }

    /// This id with one more raw segment.
    pub fn child(&self, segment: &str) -> Result<Self> {
        Self::new(&format!("{}/{}", self.0, escape(segment)))
    }

    /// Whether `self` is `prefix` or lies below it.
    pub fn is_under(&self, prefix: &Self) -> bool {
        self.0
            .strip_prefix(prefix.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The raw segments.
    pub fn segments(&self) -> impl Iterator<Item = Cow<'_, str>> {
        self.0.split('/').map(unescape)
    }

    /// The last raw segment: what the vendor calls the thing.
    pub fn last(&self) -> Cow<'_, str> {
        unescape(self.0.rsplit('/').next().unwrap_or_default())
    }
}

fn escape(segment: &str) -> Cow<'_, str> {
    let special = |c: char| c.is_ascii_control() || matches!(c, '/' | '%' | '#' | '*');
    if !segment.contains(special) {
        return Cow::Borrowed(segment);
    }
    let mut out = String::with_capacity(segment.len() + 6);
    for c in segment.chars() {
        if special(c) {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{:02X}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

fn unescape(segment: &str) -> Cow<'_, str> {
    if !segment.contains('%') {
        return Cow::Borrowed(segment);
    }
    let mut out = String::with_capacity(segment.len());
    let mut rest = segment;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let code = rest.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        if let Some(code) = code.filter(u8::is_ascii) {
            out.push(char::from(code));
            rest = &rest[at + 3..];
        } else {
            out.push('%');
            rest = &rest[at + 1..];
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// A resource's identity, unique in one gateway.
///
/// Its order (bytes of the kind's name, then bytes of the id) is the order of every stored stream.
/// It is not the order of writing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    /// The kind.
    pub kind: Kind,
    /// The id within the kind.
    pub id: Id,
}

impl Key {
    /// The key of `id` in `kind`.
    pub fn new(kind: Kind, id: Id) -> Self {
        Self { kind, id }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.id)
    }
}

impl std::str::FromStr for Key {
    type Err = Error;

    /// `kind/id`.
    fn from_str(text: &str) -> Result<Self> {
        let (kind, id) = text
            .split_once('/')
            .ok_or_else(|| Error::invalid("a key is written kind/id").on(text))?;
        Ok(Self { kind: Kind::new(kind)?, id: Id::new(id)? })
    }
}

/// One way of naming a resource in the vendor's world: `id`, `name`, `path`, `arn`, `host`, ...
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HandleName(Arc<str>);

text_newtype!(HandleName);

impl HandleName {
    /// `Invalid` unless it has the form of a [`Kind`].
    pub fn new(name: &str) -> Result<Self> {
        Kind::new(name).map(|kind| Self(kind.0))
    }

    /// For names written in a provider's table.
    ///
    /// # Panics
    /// When the name is malformed: the table is wrong.
    #[track_caller]
    pub fn known(name: &'static str) -> Self {
        Self(Kind::known(name).0)
    }

    /// `id`: the last segment of the key's id, which every resource has.
    pub fn id() -> Self {
        Self::known("id")
    }

    /// `part`: of a gateway, what narrows the view of it, where not all of it is looked at. Of two
    /// views the same text says that they show the same part.
    pub fn part() -> Self {
        Self::known("part")
    }
}

/// The names that one thing has.
pub type Handles = BTreeMap<HandleName, String>;

/// A mark that moves when a thing moves. Opaque, compared for equality only: etag, update time,
/// hash, or a constant for what can never change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision(Arc<str>);

impl Revision {
    /// A revision of this text.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_survive_escaping() {
        let raw = ["a/b", "50%", "x#y*", "\u{1}", "ü"];
        let id = Id::of(raw).unwrap();
        assert_eq!(id.segments().collect::<Vec<_>>(), raw);
        assert_eq!(id.as_str().split('/').count(), raw.len());
    }

    #[test]
    fn a_prefix_ends_at_a_segment() {
        let parent = Id::new("a1").unwrap();
        assert!(Id::new("a1/b").unwrap().is_under(&parent));
        assert!(!Id::new("a12").unwrap().is_under(&parent));
    }
}
