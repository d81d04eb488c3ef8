//! A resource's document.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use super::canonical::{canonical, decode};
use super::place::{self, Place};
use super::scan::{self, Matcher};
use crate::error::Result;

/// A JSON document in canonical form: members sorted, number and string tokens exactly as written.
/// Cheap to clone. `Debug` shows its size alone, since it may hold secrets.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Document(Arc<str>);

impl Document {
    /// The canonical form of this text. `Invalid` for what is no JSON, has a member twice in one
    /// object, nests deeper than 128 levels, or is larger than 64 MiB.
    pub fn parse(text: &str) -> Result<Self> {
        canonical(text).map(|text| Self(text.into()))
    }

    /// The document of a value. Numbers are written as `serde_json` writes them: parse text where
    /// their tokens matter.
    pub fn from_value(value: &serde_json::Value) -> Result<Self> {
        Self::parse(&value.to_string())
    }

    /// Text that is known to be canonical: it was stored by this library.
    pub(crate) fn stored(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its size in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Never: the shortest document has a byte.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The token(s) of the value at a JSON pointer.
    pub fn get(&self, pointer: &str) -> Option<&str> {
        scan::find(&self.0, pointer)
    }

    /// The text of the string at a JSON pointer; `None` for anything else.
    pub fn text(&self, pointer: &str) -> Option<Cow<'_, str>> {
        self.get(pointer).filter(|token| token.starts_with('"')).map(decode)
    }

    /// The text that stands at a place: decoded, and of a range its bytes alone.
    pub(crate) fn text_at(&self, place: &Place) -> Option<String> {
        place::text_at(&self.0, place)
    }

    /// The document as a value; numbers that no Rust number holds lose digits.
    pub fn to_value(&self) -> serde_json::Value {
        serde_json::from_str(&self.0).unwrap_or_default()
    }

    /// The document with these places rewritten to these texts: exactly the named bytes change.
    /// Places that are not there, or are no string, are left alone.
    pub fn rewrite(&self, places: &[(Place, String)]) -> Result<Self> {
        if places.is_empty() {
            return Ok(self.clone());
        }
        place::rewrite(&self.0, places).map(|text| Self(text.into()))
    }

    /// The document without the members at these pointer patterns (`*` for any member).
    #[must_use]
    pub fn without<S: AsRef<str>>(&self, patterns: impl IntoIterator<Item = S>) -> Self {
        Self(place::without(&self.0, &Matcher::new(patterns)).into())
    }

    /// The document with the member at a JSON pointer set to this JSON text, whether or not it was
    /// there; unchanged where its object is not. `Invalid` when the text is no JSON.
    pub fn with_member(&self, pointer: &str, value: &str) -> Result<Self> {
        place::set(&self.0, pointer, value).map(|text| Self(text.into()))
    }

    /// The document with the values at these JSON pointers replaced by these JSON texts; pointers
    /// that lead nowhere are left alone. `Invalid` when a text is no JSON.
    pub fn with_values(&self, values: &[(String, String)]) -> Result<Self> {
        place::with_values(&self.0, values).map(|text| Self(text.into()))
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Document({} bytes)", self.0.len())
    }
}
