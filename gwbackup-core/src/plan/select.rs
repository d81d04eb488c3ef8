//! Which resources an operation is about.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::index::{Head, Index};
use crate::error::{Error, Result};
use crate::model::{
    HandleName, Handles, Key, Member, Resource, Role, Rules, Snapshot, elements, members,
};

/// Chooses resources: `kind`, `kind/id-or-name`, `tag:NAME`, with `*` for any text. The kind may be
/// given by one of its aliases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Selector {
    text: String,
    what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    Kind(String),
    Thing(String, String),
    Tag(String),
}

impl FromStr for Selector {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let what = if let Some(tag) = text.strip_prefix("tag:") {
            What::Tag(tag.to_owned())
        } else if let Some((kind, name)) = text.split_once('/') {
            What::Thing(kind.to_owned(), name.to_owned())
        } else {
            What::Kind(text.to_owned())
        };
        let empty = match &what {
            What::Kind(text) | What::Tag(text) => text.is_empty(),
            What::Thing(kind, name) => kind.is_empty() || name.is_empty(),
        };
        if empty {
            return Err(Error::invalid("a selector is KIND, KIND/ID-OR-NAME or tag:NAME").on(text));
        }
        Ok(Self { text: text.to_owned(), what })
    }
}

impl TryFrom<String> for Selector {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Selector> for String {
    fn from(selector: Selector) -> Self {
        selector.text
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Selector {
    /// `Invalid` when it asks for a kind that there cannot be, with the names that come near.
    pub(crate) fn known_to(&self, rules: &Rules) -> Result<()> {
        match self.hint(rules) {
            Some((kind, hint)) if rules.schema().other.is_none() => {
                Err(Error::invalid("the gateway has no such kind").on(kind).help(hint))
            }
            _ => Ok(()),
        }
    }

    /// What to ask for instead, when it names a kind that stands in no table; with that kind.
    pub(crate) fn hint(&self, rules: &Rules) -> Option<(&str, String)> {
        let (What::Kind(kind) | What::Thing(kind, _)) = &self.what else { return None };
        let specs = &rules.schema().kinds;
        if specs.is_empty() || kind.contains('*') || rules.kind_named(kind).is_some() {
            return None;
        }
        let names: Vec<&str> = specs.iter().map(|spec| spec.kind.as_str()).collect();
        let near: Vec<&str> = names.iter().copied().filter(|name| is_near(kind, name)).collect();
        let hint = match near.as_slice() {
            [] => format!("there are: {}", names.join(", ")),
            near => format!("did you mean `{}`?", near.join("` or `")),
        };
        Some((kind, hint))
    }

    /// Whether it chooses this resource.
    pub fn matches(&self, rules: &Rules, resource: &Resource) -> bool {
        let is_kind = |wanted: &str| {
            glob(wanted, resource.key.kind.as_str())
                || rules.kind_named(wanted).as_ref() == Some(&resource.key.kind)
        };
        match &self.what {
            What::Kind(kind) => is_kind(kind),
            What::Thing(kind, name) => {
                is_kind(kind)
                    && (glob(name, resource.key.id.as_str())
                        || rules
                            .handles(&Handles::new(), resource)
                            .values()
                            .any(|value| glob(name, value)))
            }
            What::Tag(tag) => tags(resource).iter().any(|own| glob(tag, own)),
        }
    }
}

/// Tags of a resource: strings of an array `tags`, or `name` and `name=value` of an object `tags`.
fn tags(resource: &Resource) -> Vec<String> {
    let Some(token) = resource.document.get("/tags") else { return Vec::new() };
    let text = |token: &str| crate::model::decode(token).into_owned();
    let mut tags: Vec<String> =
        elements(token).into_iter().filter(|t| t.starts_with('"')).map(text).collect();
    for (name, value) in members(token) {
        tags.push(text(name));
        tags.push(format!("{}={}", text(name), text(value)));
    }
    tags
}

/// Whether `text` fits `pattern`, in which `*` stands for any text.
pub(crate) fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    if !pattern.contains('*') {
        return rest.is_empty();
    }
    let mut parts: Vec<&str> = parts.collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.len() >= last.len() && rest.ends_with(last)
}

/// Whether a person may have meant `name`: it begins alike, or differs in up to two characters.
fn is_near(wanted: &str, name: &str) -> bool {
    let short = wanted.len().min(name.len());
    (short > 2 && (name.starts_with(wanted) || wanted.starts_with(name)))
        || distance(wanted, name) <= 2.min(short / 2)
}

/// How many characters must be put in, taken out or replaced.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (n, own) in from.chars().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], n + 1);
        for (at, other) in to.iter().enumerate() {
            let replaced = corner + usize::from(own != *other);
            corner = row[at + 1];
            row[at + 1] = replaced.min(corner + 1).min(row[at] + 1);
        }
    }
    row[to.len()]
}

/// The chosen resources, and with them all that they need. `None`: everything.
pub(crate) fn closure(
    selectors: &[Selector],
    rules: &Rules,
    snapshot: &dyn Snapshot,
    index: &Index,
) -> Result<Option<Selected>> {
    if selectors.is_empty() {
        return Ok(None);
    }
    let mut selected = Selected::default();
    for resource in snapshot.scan()? {
        let resource = resource?;
        if selectors.iter().any(|selector| selector.matches(rules, &resource)) {
            selected.keys.insert(resource.key);
        }
    }
    if selected.keys.is_empty() {
        let text: Vec<String> = selectors.iter().map(ToString::to_string).collect();
        let error = Error::invalid("nothing fits the selection").on(text.join(", "));
        let hint = selectors.iter().find_map(|selector| selector.hint(rules));
        return Err(match hint {
            Some((_, hint)) => error.help(hint),
            None => error,
        });
    }
    // Round by round, so that look-ups go in the order of keys.
    let mut open = selected.keys.clone();
    while !open.is_empty() {
        for key in std::mem::take(&mut open) {
            let Some(resource) = snapshot.get(&key)? else { continue };
            for needed in needs(rules, index, &resource) {
                if selected.keys.insert(needed.clone()) {
                    selected.pulled.insert(needed.clone());
                    open.insert(needed);
                }
            }
        }
    }
    Ok(Some(selected))
}

/// What a selection comes to.
#[derive(Debug, Default)]
pub(crate) struct Selected {
    pub(crate) keys: BTreeSet<Key>,
    /// Those that nobody chose, but a chosen one needs.
    pub(crate) pulled: BTreeSet<Key>,
}

/// What must be there for this resource to be written.
fn needs(rules: &Rules, index: &Index, resource: &Resource) -> Vec<Key> {
    let mut keys: Vec<Key> = resource.parent.iter().cloned().collect();
    for reference in rules.references(resource).iter().filter(|r| r.role != Role::Weak) {
        keys.extend(index.resolve(resource, reference).map(Head::key));
    }
    keys
}

/// The name under which people look for a thing; never a secret.
pub(crate) fn label(rules: &Rules, resource: &Resource) -> Option<String> {
    let handles = rules.handles(&Handles::new(), resource);
    let secret = |pointer: &String| {
        resource.marks.iter().any(|mark| mark.at.pointer == *pointer)
            || rules.members(resource, |member| *member == Member::Secret).contains(pointer)
    };
    let specs = &rules.spec(&resource.key.kind)?.handles;
    let named = specs.iter().find(|spec| {
        spec.name != HandleName::id()
            && !spec.at.is_empty()
            && handles.contains_key(&spec.name)
            && !spec.at.iter().any(secret)
    })?;
    handles.get(&named.name).map(|name| name.replace('\0', "/"))
}

#[cfg(test)]
mod tests {
    use super::{distance, glob, is_near};

    #[test]
    fn typing_errors_are_near() {
        for (wanted, name) in [("rout", "route"), ("route-rule", "route"), ("servcie", "service")] {
            assert!(is_near(wanted, name), "{wanted} {name}");
        }
        for (wanted, name) in [("route", "plugin"), ("ca", "key"), ("", "key"), ("x", "sni")] {
            assert!(!is_near(wanted, name), "{wanted} {name}");
        }
        for (from, to, steps) in
            [("", "", 0), ("", "ab", 2), ("kitten", "sitting", 3), ("flaw", "lawn", 2)]
        {
            assert_eq!((distance(from, to), distance(to, from)), (steps, steps), "{from} {to}");
        }
    }

    #[test]
    fn globs() {
        for (pattern, text, fits) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("a*", "ab", true),
            ("*b", "ab", true),
            ("a*c*e", "abcde", true),
            ("a*c*e", "ace", true),
            ("a*a", "a", false),
            ("*", "", true),
            ("a*bc*c", "abc", false),
        ] {
            assert_eq!(glob(pattern, text), fits, "{pattern} {text}");
        }
    }
}
