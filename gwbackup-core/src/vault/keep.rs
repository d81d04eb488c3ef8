//! Locks that grow with what depends on an object.

use futures_util::TryStreamExt as _;

use super::{Found, Place, Vault, archive_id, keys};
use crate::clock::Timestamp;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::sink::{ObjectName, VersionedSink};

impl Vault {
    /// Keeps every object of a backup on a copy for as long as one that is written there now, if the
    /// copy keeps objects: whatever builds on it is worth nothing without it.
    pub(crate) async fn keep(&self, cx: &Context, place: &Place, found: &Found) -> Result<()> {
        let Some(sink) = place.sink().versioned() else { return Ok(()) };
        let Some(until) = sink.keeps_for().and_then(|length| cx.now().checked_add(length).ok())
        else {
            return Ok(());
        };
        let archive = archive_id(&found.manifest.archive.id)?;
        for purpose in found.purposes() {
            let context = keys::context(self.id(), purpose, archive);
            for wrap in keys::find(cx, &self.trust, &[place.sink()], context).await? {
                extend(cx, sink, &wrap.name, until).await?;
            }
        }
        for name in [&found.manifest.archive.path, &found.name] {
            extend(cx, sink, &ObjectName::new(name)?, until).await?;
        }
        Ok(())
    }
}

/// Of the version that is read.
async fn extend(
    cx: &Context,
    sink: &dyn VersionedSink,
    name: &ObjectName,
    until: Timestamp,
) -> Result<()> {
    let mut versions = sink.versions(cx, name.as_str());
    while let Some(version) = versions.try_next().await? {
        if version.name == *name && !version.is_marker {
            return sink.extend(cx, &version, until).await.map(drop);
        }
    }
    Err(Error::new(ErrorKind::NotFound, "there is no such object").on(name))
}
