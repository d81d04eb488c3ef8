//! What a configuration needs outside the gateway.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::{Finding, Key, Verdict};

/// Resources that are named for one dependency.
const NAMED: usize = 3;

/// Something outside the gateway that resources to write name: a host, a role, a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Dependency {
    /// What it is, as the provider's table calls it.
    pub class: String,
    /// Its name, in the target's words; masked where it is a secret.
    pub name: String,
    /// How many of the resources to write name it.
    pub resources: u64,
    /// The first of them.
    pub keys: Vec<Key>,
    /// How it stands in the target's surroundings.
    pub presence: Presence,
    /// What whoever looked says about it; no secret.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// How a dependency stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Presence {
    /// Nobody looked.
    #[default]
    Unchecked,
    /// It is there.
    Present,
    /// It is not there: stops a restore before its first write.
    Missing,
    /// It is there, and not as it should be.
    Different,
    /// Whoever looked cannot see it.
    NotVisible,
}

impl fmt::Display for Presence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unchecked => "not checked",
            Self::Present => "present",
            Self::Missing => "missing",
            Self::Different => "different",
            Self::NotVisible => "not visible",
        })
    }
}

impl Dependency {
    /// What a person must know of it, unless it is there or nobody looked.
    pub(crate) fn finding(&self) -> Option<Finding> {
        let (verdict, what) = match self.presence {
            Presence::Unchecked | Presence::Present => return None,
            Presence::Missing => (Verdict::Failed, "is missing"),
            Presence::Different => (Verdict::Warning, "is not as it should be"),
            Presence::NotVisible => (Verdict::Warning, "cannot be seen from here"),
        };
        let count = self.resources;
        let mut text = format!("it {what}, and {count} of the resources to write need it");
        if !self.detail.is_empty() {
            text = format!("{text}: {}", self.detail);
        }
        Some(Finding::new(format!("{} {}", self.class, self.name), verdict, text))
    }
}

/// Everything outside, gathered.
#[derive(Debug, Default)]
pub(crate) struct Outside(BTreeMap<(String, String), (u64, Vec<Key>)>);

impl Outside {
    /// Notes that a resource names something.
    pub(super) fn note(&mut self, class: String, name: String, key: &Key) {
        let (count, keys) = self.0.entry((class, name)).or_default();
        *count += 1;
        if keys.len() < NAMED {
            keys.push(key.clone());
        }
    }

    /// In the order of classes and names.
    pub(crate) fn dependencies(&self) -> Vec<Dependency> {
        let all = self.0.iter().map(|((class, name), (resources, keys))| Dependency {
            class: class.clone(),
            name: name.clone(),
            resources: *resources,
            keys: keys.clone(),
            presence: Presence::Unchecked,
            detail: String::new(),
        });
        all.collect()
    }
}
