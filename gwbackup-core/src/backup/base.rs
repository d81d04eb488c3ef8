//! Whether a backup can build on an earlier full one.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{BackupOptions, BackupType};
use crate::archive::{Part, View};
use crate::catalog::{Deletion, RecoveryPoint, State};
use crate::context::Context;
use crate::crypt::{Fingerprint, fingerprint};
use crate::error::{ErrorKind, Result};
use crate::model::{Description, Key, Resource, Revision, Snapshot};
use crate::source::{Known, Source};
use crate::task::blocking;
use crate::vault::{Found, Vault};

/// Incrementals that one full carries.
const MAX_DEPENDANTS: usize = 100;
/// Age at which a new full is made.
const FULL_EVERY: Duration = Duration::from_hours(7 * 24);

/// A full backup, read and found good.
#[derive(Debug)]
pub(crate) struct Base {
    pub(crate) found: Found,
    pub(crate) part: Part,
    pub(crate) view: Arc<View>,
    revisions: Option<Arc<Revisions>>,
}

impl Base {
    /// What it holds, for sources that can leave out what did not move.
    pub(crate) fn known(&self) -> Option<Arc<dyn Known>> {
        self.revisions.clone().map(|revisions| revisions as Arc<dyn Known>)
    }
}

/// What each key and its revision come to, sorted: sixteen bytes per resource.
struct Revisions(Vec<Fingerprint>);

impl Revisions {
    /// Of all that have one; `None` when the gateway gives no revisions at all.
    fn of(snapshot: &dyn Snapshot) -> Result<Option<Self>> {
        let mut all = Vec::new();
        for resource in snapshot.scan()? {
            let Resource { key, revision, .. } = resource?;
            match revision {
                Some(revision) => all.push(known(&key, &revision)),
                // One look tells.
                None if all.is_empty() => return Ok(None),
                None => {}
            }
        }
        all.sort_unstable();
        all.shrink_to_fit();
        Ok((!all.is_empty()).then_some(Self(all)))
    }
}

fn known(key: &Key, revision: &Revision) -> Fingerprint {
    fingerprint([key.kind.as_str(), key.id.as_str(), revision.as_str()].map(str::as_bytes))
}

impl fmt::Debug for Revisions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Revisions({})", self.0.len())
    }
}

impl Known for Revisions {
    fn has(&self, key: &Key, revision: &Revision) -> bool {
        self.0.binary_search(&known(key, revision)).is_ok()
    }
}

/// The base to build on, or why there is none where one was wanted.
pub(crate) async fn choose(
    vault: &Vault,
    cx: &Context,
    source: &dyn Source,
    description: &Description,
    options: &BackupOptions,
) -> Result<(Option<Base>, Option<String>)> {
    if options.kind == BackupType::Full {
        return Ok((None, None));
    }
    if !options.only.is_empty() || options.without_secrets {
        return Ok((None, Some("a selection stands alone".to_owned())));
    }
    let state = match vault.state(cx).await {
        Ok(state) => state,
        Err(e) if e.kind() == ErrorKind::Unavailable => {
            return Ok((None, Some("the log is not available".to_owned())));
        }
        Err(e) => return Err(e),
    };
    let ours = |point: &&RecoveryPoint| {
        point.facts.application == options.application
            && point.facts.environment == options.environment
            && point.deletion == Deletion::None
            && matches!(point.state(cx.now()), State::Success | State::Partial)
    };
    let fulls = || state.listed().filter(ours).filter(|point| point.facts.kind == "full");
    let Some(full) = fulls().max_by_key(|point| point.committed) else {
        // The first backup is a full one; nothing to explain.
        return Ok((None, None));
    };
    let dependants: Vec<&RecoveryPoint> =
        state.listed().filter(|point| point.facts.base == Some(full.backup)).collect();
    let grown: u64 = dependants.iter().map(|point| point.facts.size).sum();
    let age = full.committed.map(|at| cx.now().duration_since(at));
    let old = age.is_none_or(|age| age.unsigned_abs() > FULL_EVERY && age.is_positive());
    let why = if dependants.len() >= MAX_DEPENDANTS {
        Some(format!("the last full carries {} incrementals", dependants.len()))
    } else if grown >= full.facts.size && !dependants.is_empty() {
        Some("the incrementals have grown as large as their full".to_owned())
    } else if old {
        Some("the last full is older than 7 days".to_owned())
    } else {
        None
    };
    if let Some(why) = why {
        return Ok((None, Some(why)));
    }
    match open(vault, cx, full).await {
        Ok(base) => {
            let details = &base.view.description().details;
            if details.id_scheme != description.schema.id_scheme {
                return Ok((None, Some("ids are formed in another way now".to_owned())));
            }
            if details.gateway != source.address() {
                return Ok((None, Some("the last full is of another gateway".to_owned())));
            }
            if details.gaps.iter().any(|gap| gap.cause == crate::model::Cause::Excluded)
                || details.without_secrets
            {
                return Ok((None, Some("the last full is a selection".to_owned())));
            }
            Ok((Some(base), None))
        }
        Err(e) if e.kind() == ErrorKind::Cancelled => Err(e),
        Err(e) => Ok((None, Some(format!("the last full cannot be read: {e}")))),
    }
}

/// Reads the full backup from a copy that has it whole; every copy must have it at the right size.
async fn open(vault: &Vault, cx: &Context, full: &RecoveryPoint) -> Result<Base> {
    let found = vault.manifest(cx, full).await?;
    for place in vault.ready() {
        let name = crate::sink::ObjectName::new(&found.manifest.archive.path)?;
        let meta = place.sink().head(cx, &name).await.map_err(|e| e.on(place.sink()))?;
        if meta.size != found.manifest.archive.size {
            let message = "its size on a copy is not the recorded one";
            return Err(crate::error::Error::corrupt(message).on(place.sink()));
        }
    }
    let part = vault.part(cx, &found).await?;
    if found.details.secrets > 0 && !part.has_secrets_key() {
        let message = "the key lacks the right `secrets`";
        return Err(crate::error::Error::new(ErrorKind::KeyUnavailable, message));
    }
    let own = part.clone();
    let (view, revisions) = blocking(move || {
        let view = Arc::new(View::open(own, None)?);
        let revisions = Revisions::of(view.as_ref())?;
        Ok((view, revisions.map(Arc::new)))
    })
    .await?;
    Ok(Base { found, part, view, revisions })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Document, Id, Kind, MemorySnapshot};

    fn thing(id: &str, revision: Option<&str>) -> Resource {
        let key = Key::new(Kind::known("thing"), Id::new(id).unwrap());
        let revision = revision.map(Revision::new);
        Resource { revision, ..Resource::new(key, Document::parse("{}").unwrap()) }
    }

    #[test]
    fn a_revision_is_known_of_its_own_resource_only() {
        let all = [thing("a", Some("1")), thing("b", Some("2")), thing("c", None)];
        let known = Revisions::of(&MemorySnapshot::new(all.clone())).unwrap().unwrap();
        for (of, revision, is_known) in [
            (0, "1", true),
            (1, "2", true),
            (0, "2", false),
            (1, "1", false),
            (2, "1", false),
            (2, "", false),
        ] {
            let found = known.has(&all[of].key, &Revision::new(revision));
            assert_eq!(found, is_known, "{of} {revision}");
        }
        let without = MemorySnapshot::new([thing("a", None), thing("b", Some("2"))]);
        assert!(Revisions::of(&without).unwrap().is_none());
    }
}
