//! What differs between two states of a gateway.

use std::cmp::Ordering;
use std::sync::Arc;

use serde::Serialize;

use crate::backup::{self, BackupOptions, Task};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::model::{Absence, Gap, Key, Resource, Restore, Rules, Says, Snapshot, absent_places};
use crate::plan::{FieldChange, field_changes, label, secret_pointers};
use crate::source::Source;
use crate::task::blocking;
use crate::vault::Vault;

/// A resource that only one side has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Named {
    /// Its key.
    #[serde(flatten)]
    pub key: Key,
    /// What people call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A resource that both sides have, and that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// Its key.
    #[serde(flatten)]
    pub key: Key,
    /// What people call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What differs, secrets masked.
    pub fields: Vec<FieldChange>,
}

/// The difference of two states.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Difference {
    /// Only in the second.
    pub added: Vec<Named>,
    /// Only in the first.
    pub removed: Vec<Named>,
    /// In both, and different.
    pub changed: Vec<Changed>,
    /// In both, and the same in everything that counts.
    pub equal: u64,
    /// Resources with a place that could not be compared: its value is not there, or not readable
    /// with the keys given.
    pub not_compared: u64,
    /// Resources that differ and that no restore writes, such as a cluster's own id: kept for the
    /// record, no difference of the configuration.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub for_the_record: Vec<Key>,
    /// Parts of which one side knows nothing; nothing in them counts as added or removed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<Gap>,
}

impl Difference {
    /// Whether nothing that could be compared differs.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

/// Compares two snapshots of one gateway, resource by resource. Blocking.
pub(crate) fn difference(
    rules: &Rules,
    before: &dyn Snapshot,
    after: &dyn Snapshot,
) -> Result<Difference> {
    let mut found = Difference {
        gaps: before.gaps().iter().chain(after.gaps()).cloned().collect(),
        ..Difference::default()
    };
    let covered = |gaps: &[Gap], key: &Key| gaps.iter().any(|gap| gap.covers(key));
    let (mut left, mut right) = (before.scan()?, after.scan()?);
    let (mut old, mut new) = (left.next().transpose()?, right.next().transpose()?);
    loop {
        let order = match (&old, &new) {
            (None, None) => return Ok(found),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => a.key.cmp(&b.key),
        };
        let a = if order.is_le() { old.take() } else { None };
        let b = if order.is_ge() { new.take() } else { None };
        let record_only = |r: &Resource| rules.restore(&r.key.kind) == Some(Restore::Never);
        match (a, b) {
            (Some(one), None) | (None, Some(one)) if record_only(&one) => {
                found.for_the_record.push(one.key);
            }
            (Some(a), Some(b)) if record_only(&a) => {
                let key = a.key.clone();
                let mut other = Difference::default();
                both(rules, &mut other, &a, b);
                found.equal += other.equal;
                found.for_the_record.extend((!other.is_empty()).then_some(key));
            }
            (Some(a), None) if !covered(after.gaps(), &a.key) => {
                found.removed.push(named(rules, a));
            }
            (None, Some(b)) if !covered(before.gaps(), &b.key) => found.added.push(named(rules, b)),
            (Some(a), Some(b)) => both(rules, &mut found, &a, b),
            _ => {}
        }
        if order.is_le() {
            old = left.next().transpose()?;
        }
        if order.is_ge() {
            new = right.next().transpose()?;
        }
    }
}

fn named(rules: &Rules, resource: Resource) -> Named {
    Named { name: label(rules, &resource), key: resource.key }
}

fn both(rules: &Rules, found: &mut Difference, a: &Resource, b: Resource) {
    let hidden = |r: &Resource| {
        r.marks.iter().any(|m| matches!(m.says, Says::Absent(Absence::Sealed | Absence::Withheld)))
    };
    if hidden(a) || hidden(&b) {
        found.not_compared += 1;
    }
    match changes(rules, a, &b) {
        Some(fields) => {
            found.changed.push(Changed { name: label(rules, &b), key: b.key, fields });
        }
        None => found.equal += 1,
    }
}

/// What differs, secrets masked; nothing where two states of a resource are the same in everything
/// that counts.
pub(crate) fn changes(rules: &Rules, a: &Resource, b: &Resource) -> Option<Vec<FieldChange>> {
    if a.document == b.document && a.attachments == b.attachments {
        return None;
    }
    let absent: Vec<String> = absent_places(a).chain(absent_places(b)).map(str::to_owned).collect();
    let (x, y) = (rules.comparable(a, &[], &absent), rules.comparable(b, &[], &absent));
    if x == y && a.attachments == b.attachments {
        return None;
    }
    Some(field_changes(&x, &y, &secret_pointers(rules, [(a, &x), (b, &y)])))
}

/// What differs between a backup and the live gateway: `added` is what only the gateway has.
/// Writes nothing.
pub(crate) async fn drift(
    vault: &Vault,
    cx: &Context,
    source: Arc<dyn Source>,
    backup: Arc<crate::archive::View>,
) -> Result<Difference> {
    let description = source.describe(cx).await?;
    let options = BackupOptions::default();
    let task = Task::safety(cx, &options)?;
    let prepared = backup::prepare(vault, cx, &source, &description, &options, task, None).await?;
    if backup.description().details.id_scheme != description.schema.id_scheme {
        return Err(Error::invalid("ids are formed in another way now: make a new full backup"));
    }
    let live = prepared.view(vault).await?;
    let rules = Rules::new(description.schema);
    blocking(move || difference(&rules, backup.as_ref(), live.as_ref())).await
}
