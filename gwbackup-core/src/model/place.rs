//! Places of a document, and rewriting them.

use std::collections::BTreeMap;
use std::ops::Range;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};

use super::canonical::{canonical, decode, encode};
use super::scan::{self, Edit, Hit, Matcher};
use crate::error::Result;

/// A value, a member's name, or a byte range of either's decoded text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// JSON pointer (RFC 6901) to the value, or to the member whose name is meant.
    #[serde(rename = "at")]
    pub pointer: String,
    /// The value or the name.
    #[serde(default, skip_serializing_if = "Part::is_value")]
    pub part: Part,
    /// How the text is coded inside the string.
    #[serde(default, skip_serializing_if = "Coding::is_plain")]
    pub coding: Coding,
    /// Bytes of the decoded text; all of it if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<Range<u32>>,
}

impl Place {
    /// The whole value at `pointer`.
    pub fn value(pointer: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), part: Part::Value, coding: Coding::Plain, range: None }
    }

    /// These bytes of the decoded string at `pointer`.
    pub fn within(pointer: impl Into<String>, range: Range<u32>) -> Self {
        Self { range: Some(range), ..Self::value(pointer) }
    }
}

/// Which side of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Its value.
    #[default]
    Value,
    /// Its name.
    Name,
}

impl Part {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    fn is_value(&self) -> bool {
        *self == Self::Value
    }
}

/// How a text stands inside a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Coding {
    /// As it is.
    #[default]
    Plain,
    /// As standard base64 of UTF-8 text.
    Base64,
}

impl Coding {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    fn is_plain(&self) -> bool {
        *self == Self::Plain
    }
}

/// The decoded text of a string under a coding.
pub(crate) fn text_of(token: &str, coding: Coding) -> Option<String> {
    if !token.starts_with('"') {
        return None;
    }
    let text = decode(token);
    match coding {
        Coding::Plain => Some(text.into_owned()),
        Coding::Base64 => String::from_utf8(BASE64_STANDARD.decode(text.as_ref()).ok()?).ok(),
    }
}

/// The text at a place.
pub(super) fn text_at(text: &str, place: &Place) -> Option<String> {
    let mut token = None;
    Matcher::new([&place.pointer]).visit(text, |hit| {
        if hit.pointer == place.pointer {
            let at = if place.part == Part::Name { hit.name } else { Some(hit.value) };
            token = at.and_then(|at| text.get(at));
        }
    });
    let whole = text_of(token?, place.coding)?;
    let Some(range) = &place.range else { return Some(whole) };
    let range = usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?;
    whole.get(range).map(str::to_owned)
}

fn token_of(text: &str, coding: Coding) -> String {
    match coding {
        Coding::Plain => encode(text),
        Coding::Base64 => encode(&BASE64_STANDARD.encode(text)),
    }
}

/// The text with these places rewritten.
pub(super) fn rewrite(text: &str, places: &[(Place, String)]) -> Result<String> {
    let mut by_pointer: BTreeMap<&str, Vec<&(Place, String)>> = BTreeMap::new();
    for place in places {
        by_pointer.entry(place.0.pointer.as_str()).or_default().push(place);
    }
    let pointers: Vec<&str> = by_pointer.keys().copied().collect();
    let mut edits = Vec::new();
    let mut renamed = false;
    Matcher::new(&pointers).visit(text, |hit| {
        // A segment `*` of a pointer is a name here, not a wildcard.
        if let Some(places) = by_pointer.get(hit.pointer) {
            for part in [Part::Value, Part::Name] {
                let range = match part {
                    Part::Value => Some(hit.value.clone()),
                    Part::Name => hit.name.clone(),
                };
                let chosen: Vec<_> = places.iter().filter(|p| p.0.part == part).collect();
                let (false, Some(range)) = (chosen.is_empty(), range) else { continue };
                if let Some(new) = rewritten(&text[range.clone()], &chosen) {
                    edits.push(Edit::Replace(range, new));
                    renamed |= part == Part::Name;
                }
            }
        }
    });
    let new = scan::apply(text, edits);
    if renamed { canonical(&new) } else { Ok(new) }
}

/// One string token with all of its places rewritten.
fn rewritten(token: &str, places: &[&&(Place, String)]) -> Option<String> {
    let coding = places.first()?.0.coding;
    let mut text = text_of(token, coding)?;
    let mut ordered: Vec<_> = places.iter().filter(|p| p.0.coding == coding).collect();
    ordered.sort_by_key(|p| std::cmp::Reverse(p.0.range.as_ref().map_or(0, |r| r.start)));
    for (place, new) in ordered.into_iter().map(|p| (&p.0, &p.1)) {
        match &place.range {
            None => text.clone_from(new),
            Some(range) => {
                let range = usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?;
                text.get(range.clone())?;
                text.replace_range(range, new);
            }
        }
    }
    Some(token_of(&text, coding))
}

/// The text without the members that the matcher names.
pub(super) fn without(text: &str, matcher: &Matcher) -> String {
    let mut edits = Vec::new();
    matcher.visit(text, |hit| edits.extend(removal(&hit)));
    scan::apply(text, edits)
}

/// The edit that removes a member; nothing for an element of an array.
pub(crate) fn removal(hit: &Hit<'_>) -> Option<Edit> {
    hit.name.as_ref().map(|name| Edit::Remove(name.start..hit.value.end))
}

/// The text with these values replaced.
pub(super) fn with_values(text: &str, values: &[(String, String)]) -> Result<String> {
    let new: Vec<String> = values.iter().map(|(_, v)| canonical(v)).collect::<Result<_>>()?;
    let mut edits = Vec::new();
    Matcher::new(values.iter().map(|(pointer, _)| pointer)).visit(text, |hit| {
        if let Some(rule) = hit.rules.first().filter(|r| values[**r].0 == hit.pointer) {
            edits.push(Edit::Replace(hit.value.clone(), new[*rule].clone()));
        }
    });
    Ok(scan::apply(text, edits))
}

/// The text with this member set, whether or not it was there; unchanged where its object is not.
pub(super) fn set(text: &str, pointer: &str, value: &str) -> Result<String> {
    let mut found = false;
    let mut edits = Vec::new();
    let new = canonical(value)?;
    let Some((object, _)) = pointer.rsplit_once('/') else { return Ok(new) };
    let name = scan::segments(pointer).last().unwrap_or_default();
    Matcher::new([pointer, object]).visit(text, |hit| {
        if hit.pointer == pointer {
            found = true;
            edits.push(Edit::Replace(hit.value.clone(), new.clone()));
        } else if hit.pointer == object && text[hit.value.clone()].starts_with('{') {
            let at = hit.value.start + 1;
            let comma = if text[at..].starts_with('}') { "" } else { "," };
            edits.push(Edit::Replace(at..at, format!("{}:{new}{comma}", encode(&name))));
        }
    });
    if found {
        edits.retain(|edit| !matches!(edit, Edit::Replace(range, _) if range.is_empty()));
        return Ok(scan::apply(text, edits));
    }
    canonical(&scan::apply(text, edits))
}

#[cfg(test)]
mod tests {
    use super::super::Document;
    use super::*;

    fn edit(text: &str, places: &[(Place, &str)]) -> String {
        let places: Vec<_> = places.iter().map(|(p, t)| (p.clone(), (*t).to_owned())).collect();
        Document::parse(text).unwrap().rewrite(&places).unwrap().as_str().to_owned()
    }

    #[test]
    fn exactly_the_named_bytes_change() {
        let text = r#"{"arn":"arn:eu:111:x","n":9007199254740993,"z":"q"}"#;
        let places = [(Place::within("/arn", 4..6), "us-1"), (Place::within("/arn", 7..10), "2")];
        assert_eq!(edit(text, &places), text.replace("eu:111", "us-1:2"));
    }

    #[test]
    fn a_renamed_member_moves_to_its_place() {
        let name = Place { part: Part::Name, ..Place::value("/m/a1") };
        assert_eq!(edit(r#"{"m":{"a1":1,"b":2}}"#, &[(name, "c")]), r#"{"m":{"b":2,"c":1}}"#);
    }

    #[test]
    fn text_inside_base64_is_found() {
        let coded = BASE64_STANDARD.encode("id=abc;");
        let place = Place { coding: Coding::Base64, ..Place::within("/d", 3..6) };
        let wanted = BASE64_STANDARD.encode("id=longer;");
        assert_eq!(
            edit(&format!(r#"{{"d":"{coded}"}}"#), &[(place, "longer")]),
            format!(r#"{{"d":"{wanted}"}}"#)
        );
    }

    #[test]
    fn a_member_is_set_wherever_its_object_is() {
        let set = |text: &str, pointer: &str| {
            Document::parse(text).unwrap().with_member(pointer, "1.0").unwrap().as_str().to_owned()
        };
        assert_eq!(set(r#"{"b":2}"#, "/a"), r#"{"a":1.0,"b":2}"#);
        assert_eq!(set(r#"{"b":2}"#, "/c"), r#"{"b":2,"c":1.0}"#);
        assert_eq!(set(r#"{"b":2}"#, "/b"), r#"{"b":1.0}"#);
        assert_eq!(set(r#"{"o":{}}"#, "/o/x~1y"), r#"{"o":{"x/y":1.0}}"#);
        assert_eq!(set(r#"{"o":[]}"#, "/o/0"), r#"{"o":[]}"#);
        assert_eq!(set(r#"{"b":2}"#, "/none/a"), r#"{"b":2}"#);
    }

    #[test]
    fn a_range_outside_or_inside_a_character_changes_nothing() {
        let text = r#"{"a":"ü"}"#;
        assert_eq!(edit(text, &[(Place::within("/a", 1..2), "x")]), text);
        assert_eq!(edit(text, &[(Place::within("/a", 0..9), "x")]), text);
        assert_eq!(edit(text, &[(Place::value("/none"), "x")]), text);
    }
}
