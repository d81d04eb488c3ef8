//! A configuration in the words of another environment, account or region.

mod text;
mod view;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt::Display;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::model::{Id, Key, Kind};

pub(crate) use text::{Met, Words};
pub(crate) use view::Mapped;

/// What things and texts of a backup are called in the target.
///
/// Three kinds of rules, the most specific first: a resource's identity; a whole string; a whole
/// token inside a string, a longer token before a shorter one. A text that a rule gave is not read
/// again, so two words can be exchanged. Rules hold in every string that a restore writes: values,
/// names of members, ids, text inside JSON inside a string, text behind percent signs, text that the
/// table says is base64. A text that no rule meets stays as it is, to the byte; numbers are no
/// strings.
///
/// A token is whole where no letter, digit, `-` or `_` stands beside it: `eu-west-1` is one in
/// `arn:x:eu-west-1:y` and in `host.eu-west-1.example`, and none in `eu-west-1a`.
///
/// Its form, as a TOML or JSON document, has the tables `id` (`kind`, `from`, `to`), `exact` and
/// `token` (`from`, `to`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Form", into = "Form")]
pub struct Mapping {
    ids: BTreeMap<Key, Key>,
    exact: BTreeMap<String, String>,
    tokens: BTreeMap<String, String>,
}

/// Which kind of rule a text meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleKind {
    /// The whole string.
    Exact,
    /// A whole token inside a string.
    Token,
}

/// What a rule did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleUse {
    /// Which kind of rule.
    pub rule: RuleKind,
    /// What it looks for.
    pub from: String,
    /// What it puts there.
    pub to: String,
    /// Resources of the backup that it met.
    pub resources: u64,
    /// The first of them, by the keys that they have after the mapping.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<Key>,
    /// Resources in which the text stands inside a longer word, where the rule leaves it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub inside: u64,
    /// The first of those.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inside_keys: Vec<Key>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl Mapping {
    /// No rule at all.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds that `from` of the backup is `to` of the target. `Invalid` where they are of two kinds,
    /// or `from` is said to be another already.
    pub fn identity(mut self, from: Key, to: Key) -> Result<Self> {
        if from.kind != to.kind {
            return Err(Error::invalid("the mapping names resources of two kinds")
                .on(format!("{from} -> {to}"))
                .help("map a resource to one of its own kind"));
        }
        set(&mut self.ids, from, to)?;
        Ok(self)
    }

    /// Adds a whole string. `Invalid` for an empty one, and for one that has another rule already.
    pub fn exact(mut self, from: impl Into<String>, to: impl Into<String>) -> Result<Self> {
        add(&mut self.exact, from.into(), to.into())?;
        Ok(self)
    }

    /// Adds a token. `Invalid` for an empty one, and for one that has another rule already.
    pub fn token(mut self, from: impl Into<String>, to: impl Into<String>) -> Result<Self> {
        add(&mut self.tokens, from.into(), to.into())?;
        Ok(self)
    }

    /// Whether it has no rule.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty() && !self.has_words()
    }

    /// Which resource of the target each resource of the backup is, as far as it says so.
    pub fn identities(&self) -> &BTreeMap<Key, Key> {
        &self.ids
    }

    /// Whether it has rules about text.
    pub(crate) fn has_words(&self) -> bool {
        !self.exact.is_empty() || !self.tokens.is_empty()
    }

    /// The rules about text.
    pub(crate) fn words(&self) -> Words {
        Words::new(&self.exact, &self.tokens)
    }

    /// All rules about text, none used yet; by the numbers that [`Met`] gives.
    pub(crate) fn unused(&self) -> Vec<RuleUse> {
        let rule = |rule| {
            move |(from, to): (&String, &String)| RuleUse {
                rule,
                from: from.clone(),
                to: to.clone(),
                resources: 0,
                keys: Vec::new(),
                inside: 0,
                inside_keys: Vec::new(),
            }
        };
        let exact = self.exact.iter().map(rule(RuleKind::Exact));
        exact.chain(self.tokens.iter().map(rule(RuleKind::Token))).collect()
    }

    /// The same, its identities named as `name` says.
    pub(crate) fn renamed(&self, name: impl Fn(&Key) -> Key) -> Self {
        let ids = self.ids.iter().map(|(from, to)| (name(from), to.clone())).collect();
        Self { ids, ..self.clone() }
    }
}

impl Extend<(Key, Key)> for Mapping {
    /// Adds identities; of two about one resource the later counts.
    fn extend<T: IntoIterator<Item = (Key, Key)>>(&mut self, pairs: T) {
        self.ids.extend(pairs);
    }
}

fn add(rules: &mut BTreeMap<String, String>, from: String, to: String) -> Result<()> {
    if from.is_empty() {
        return Err(Error::invalid("a rule of the mapping looks for nothing")
            .help("give the text to look for as `from`"));
    }
    set(rules, from, to)
}

fn set<K: Ord + Display, V: PartialEq>(rules: &mut BTreeMap<K, V>, from: K, to: V) -> Result<()> {
    match rules.entry(from) {
        Entry::Vacant(free) => {
            free.insert(to);
        }
        Entry::Occupied(known) if *known.get() != to => {
            return Err(Error::invalid("the mapping has two rules for it")
                .on(known.key())
                .help("keep one of them"));
        }
        Entry::Occupied(_) => {}
    }
    Ok(())
}

/// As it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    id: Vec<Identity>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    exact: Vec<Pair>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    token: Vec<Pair>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Identity {
    kind: Kind,
    from: Id,
    to: Id,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pair {
    from: String,
    to: String,
}

impl TryFrom<Form> for Mapping {
    type Error = Error;

    fn try_from(form: Form) -> Result<Self> {
        let mut mapping = Self::new();
        for Identity { kind, from, to } in form.id {
            mapping = mapping.identity(Key::new(kind.clone(), from), Key::new(kind, to))?;
        }
        for Pair { from, to } in form.exact {
            mapping = mapping.exact(from, to)?;
        }
        for Pair { from, to } in form.token {
            mapping = mapping.token(from, to)?;
        }
        Ok(mapping)
    }
}

impl From<Mapping> for Form {
    fn from(mapping: Mapping) -> Self {
        let pair = |(from, to)| Pair { from, to };
        let identity =
            |(from, to): (Key, Key)| Identity { kind: from.kind, from: from.id, to: to.id };
        Self {
            id: mapping.ids.into_iter().map(identity).collect(),
            exact: mapping.exact.into_iter().map(pair).collect(),
            token: mapping.tokens.into_iter().map(pair).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> serde_json::Result<Mapping> {
        serde_json::from_str(json)
    }

    #[test]
    fn it_is_written_as_it_is_read() {
        let text = r#"{"id":[{"kind":"api","from":"a1","to":"b2"}],"exact":[{"from":"x","to":"y"}],"token":[{"from":"eu","to":"us"}]}"#;
        let mapping = read(text).unwrap();
        assert_eq!(serde_json::to_string(&mapping).unwrap(), text);
        let built = Mapping::new().identity("api/a1".parse().unwrap(), "api/b2".parse().unwrap());
        let built = built.unwrap().exact("x", "y").unwrap().token("eu", "us").unwrap();
        assert_eq!(built, mapping);
        assert!(read("{}").unwrap().is_empty() && !mapping.is_empty());
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        for bad in [
            r#"{"token":[{"from":"","to":"y"}]}"#,
            r#"{"token":[{"from":"x","to":"y"},{"from":"x","to":"z"}]}"#,
            r#"{"exact":[{"from":"x","to":"y"},{"from":"x","to":"z"}]}"#,
            r#"{"id":[{"kind":"a","from":"x","to":"y"},{"kind":"a","from":"x","to":"z"}]}"#,
            r#"{"id":[{"kind":"A","from":"x","to":"y"}]}"#,
            r#"{"regex":[]}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert!(read(r#"{"token":[{"from":"x","to":"y"},{"from":"x","to":"y"}]}"#).is_ok());
        let two = Mapping::new().identity("api/a".parse().unwrap(), "plan/a".parse().unwrap());
        assert!(two.is_err());
    }
}
