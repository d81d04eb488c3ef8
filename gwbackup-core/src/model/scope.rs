//! Part of a gateway.

use serde::{Deserialize, Serialize};

use super::key::{Key, Kind};

/// Kinds and/or subtrees; empty means everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// These kinds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<Kind>,
    /// These resources and what lies below them (by parent or id prefix).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub under: Vec<Key>,
}

impl Scope {
    /// Everything.
    pub fn everything() -> Self {
        Self::default()
    }

    /// Exactly one resource and what lies below it.
    pub fn of(root: Key) -> Self {
        Self { kinds: Vec::new(), under: vec![root] }
    }

    /// Whether `key` lies in it: its kind is named (or none is), and it is one of `under` or its id
    /// lies below the id of one of them (or none is named). Providers form ids so that an id below
    /// another belongs to it.
    pub fn contains(&self, key: &Key) -> bool {
        (self.kinds.is_empty() || self.kinds.contains(&key.kind))
            && (self.under.is_empty()
                || self
                    .under
                    .iter()
                    .any(|root| key == root || (key.id != root.id && key.id.is_under(&root.id))))
    }
}
