//! Field-level differences of two documents, secrets masked.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::model::{
    Document, Member, Resource, Rules, Says, Snapshot, absent_places, decode, elements, members,
    push_segment,
};

/// What stands in place of a secret.
pub const MASK: &str = "(secret)";

/// One field that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldChange {
    /// JSON pointer.
    pub at: String,
    /// The JSON text before, cut at 200 characters; absent where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The JSON text after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// Pointers that must not be shown in either of two documents that are compared: those that the
/// resources mark, and those that the table calls secret where they stand in the compared form.
pub(crate) fn secret_pointers(
    rules: &Rules,
    sides: [(&Resource, &Document); 2],
) -> BTreeSet<String> {
    let mut secret = BTreeSet::new();
    for (resource, document) in sides {
        let marked = resource.marks.iter().filter(|mark| matches!(mark.says, Says::Secret));
        secret.extend(marked.map(|mark| mark.at.pointer.clone()));
        let kind = &resource.key.kind;
        secret.extend(rules.members_of(kind, document, |member| *member == Member::Secret));
    }
    secret
}

/// Places of a resource that cannot be compared with what the target has.
pub(crate) struct Unseen {
    /// All of them.
    pub(crate) places: Vec<String>,
    /// Those for which somebody supplied a value.
    pub(crate) supplied: Vec<String>,
}

/// What is absent on either side; and what was supplied where the gateway gives out something else
/// than what it is given.
pub(crate) fn unseen(
    rules: &Rules,
    wanted: &dyn Snapshot,
    resource: &Resource,
    actual: &Resource,
) -> Unseen {
    let mut places: Vec<String> = absent_places(resource).map(str::to_owned).collect();
    places.extend(absent_places(actual).map(str::to_owned));
    places.extend(
        rules.unreadable(actual).into_iter().filter(|at| wanted.is_supplied(&resource.key, at)),
    );
    let is_supplied = |at: &&String| wanted.is_supplied(&resource.key, at);
    let mut supplied: Vec<String> = places.iter().filter(is_supplied).cloned().collect();
    supplied.sort();
    supplied.dedup();
    Unseen { places, supplied }
}

/// The fields that differ, in the order of the text.
pub(crate) fn field_changes(
    before: &Document,
    after: &Document,
    secret: &BTreeSet<String>,
) -> Vec<FieldChange> {
    let mut differ = Differ { secret, pointer: String::new(), found: Vec::new() };
    differ.compare(Some(before.as_str()), Some(after.as_str()));
    differ.found
}

struct Differ<'a> {
    secret: &'a BTreeSet<String>,
    pointer: String,
    found: Vec<FieldChange>,
}

impl Differ<'_> {
    fn compare(&mut self, before: Option<&str>, after: Option<&str>) {
        if before == after {
            return;
        }
        let open = |token: Option<&str>| token.and_then(|t| t.bytes().next());
        match (before, after, open(before), open(after)) {
            (Some(a), Some(b), Some(b'{'), Some(b'{')) if !self.is_secret() => self.objects(a, b),
            (Some(a), Some(b), Some(b'['), Some(b'[')) if !self.is_secret() => {
                let (a, b) = (elements(a), elements(b));
                for n in 0..a.len().max(b.len()) {
                    self.below(&n.to_string(), a.get(n).copied(), b.get(n).copied());
                }
            }
            _ => {
                let change = FieldChange {
                    at: self.pointer.clone(),
                    from: before.map(|token| self.shown(token)),
                    to: after.map(|token| self.shown(token)),
                };
                self.found.push(change);
            }
        }
    }

    fn objects(&mut self, a: &str, b: &str) {
        let (a, b) = (members(a), members(b));
        let mut names: Vec<&str> = a.iter().chain(&b).map(|(name, _)| *name).collect();
        names.sort_by_key(|name| decode(name));
        names.dedup();
        for name in names {
            let of = |side: &[(&str, &str)]| {
                side.iter().find(|(n, _)| *n == name).map(|(_, value)| value.to_string())
            };
            self.below(&decode(name), of(&a).as_deref(), of(&b).as_deref());
        }
    }

    fn below(&mut self, segment: &str, before: Option<&str>, after: Option<&str>) {
        let parent = self.pointer.len();
        push_segment(&mut self.pointer, segment);
        self.compare(before, after);
        self.pointer.truncate(parent);
    }

    fn is_secret(&self) -> bool {
        self.secret.contains(&self.pointer)
    }

    /// The token as it may be shown: masked where a secret stands at, above or below the place.
    fn shown(&self, token: &str) -> String {
        let inside = format!("{}/", self.pointer);
        let masked = self.secret.iter().any(|secret| {
            *secret == self.pointer
                || secret.starts_with(&inside)
                || self.pointer.strip_prefix(secret.as_str()).is_some_and(|r| r.starts_with('/'))
        });
        if masked {
            return MASK.to_owned();
        }
        match token.char_indices().nth(200) {
            Some((cut, _)) => format!("{}…", &token[..cut]),
            None => token.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(a: &str, b: &str, secret: &[&str]) -> Vec<(String, Option<String>, Option<String>)> {
        let secret = secret.iter().map(|s| (*s).to_owned()).collect();
        let (a, b) = (Document::parse(a).unwrap(), Document::parse(b).unwrap());
        field_changes(&a, &b, &secret).into_iter().map(|c| (c.at, c.from, c.to)).collect()
    }

    #[test]
    fn names_each_field_and_nothing_else() {
        let found =
            changes(r#"{"a":1,"b":[1,2],"c":{"d":1}}"#, r#"{"a":1.0,"b":[1],"c":{"e":null}}"#, &[]);
        let text = |t: &str| Some(t.to_owned());
        assert_eq!(
            found,
            [
                ("/a".to_owned(), text("1"), text("1.0")),
                ("/b/1".to_owned(), text("2"), None),
                ("/c/d".to_owned(), text("1"), None),
                ("/c/e".to_owned(), None, text("null")),
            ]
        );
        assert!(changes(r#"{"a":[{}]}"#, r#"{ "a" : [ {} ] }"#, &[]).is_empty());
    }

    #[test]
    fn a_secret_is_masked_at_above_and_below_its_place() {
        for (a, b) in [
            (r#"{"s":"hunter2"}"#, r#"{"s":"hunter3"}"#),
            (r#"{"s":{"x":"hunter2"}}"#, r#"{"s":{"x":"hunter3"}}"#),
            (r#"{"s":"hunter2"}"#, "{}"),
        ] {
            let found = changes(a, b, &["/s"]);
            assert_eq!(found.len(), 1);
            assert!(!format!("{found:?}").contains("hunter"), "{found:?}");
        }
        let found = changes(r#"{"o":{"s":"hunter2"}}"#, r#"{"o":1}"#, &["/o/s"]);
        assert!(!format!("{found:?}").contains("hunter"), "{found:?}");
    }
}
