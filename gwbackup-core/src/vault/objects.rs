//! Names, manifests and archives in the repository.

use std::sync::Arc;

use uuid::Uuid;

use super::{Vault, archive_id};
use crate::archive::{ArchiveRef, BaseRef, Details, Expected, Manifest, Part, View};
use crate::catalog::{FileKind, RecoveryPoint, SignedFile, store};
use crate::context::Context;
use crate::crypt::{KeyPurpose, Right, hex};
use crate::error::{Error, ErrorKind, Result};
use crate::sink::{ObjectName, Sink, blocking, fetch};

/// The part of a backup's names that its objects share.
pub(crate) fn base_name(app: &str, env: &str, name: &str, archive: &[u8; 16]) -> String {
    let digits = hex::encode(archive);
    format!(
        "data/{}/{}/{}.{}",
        ObjectName::part_of(app),
        ObjectName::part_of(env),
        ObjectName::part_of(name),
        digits.get(..8).unwrap_or_default()
    )
}

/// Where an archive is stored.
pub(crate) fn archive_name(base: &str) -> Result<ObjectName> {
    ObjectName::new(&format!("{base}.gwb"))
}

/// Where a manifest is stored.
pub(crate) fn manifest_name(base: &str, revision: u32) -> Result<ObjectName> {
    ObjectName::new(&format!("{base}.manifest.{revision:04}.json"))
}

/// Where a record of a run is stored.
pub(crate) fn journal_name(run: Uuid, number: u32) -> Result<ObjectName> {
    ObjectName::new(&format!("runs/{run}/{number:08}.rec"))
}

/// A manifest that was checked.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) manifest: Manifest,
    pub(crate) details: Details,
    pub(crate) digest: String,
    /// The object's name.
    pub(crate) name: String,
    /// Its bytes.
    pub(crate) stored: bytes::Bytes,
}

impl Vault {
    /// The manifest of a recovery point, from any copy that has it whole.
    pub(crate) async fn manifest(&self, cx: &Context, point: &RecoveryPoint) -> Result<Found> {
        let sinks: Vec<&dyn Sink> = self.ready().map(super::Place::sink).collect();
        let mut damage = None;
        for sink in &sinks {
            match self.manifest_on(cx, *sink, point).await {
                Ok(found) => return Ok(found),
                Err(e) if e.kind() == ErrorKind::Cancelled => return Err(e),
                Err(e) if e.kind() == ErrorKind::NotFound && damage.is_some() => {}
                Err(_) if damage.as_ref().is_some_and(Error::is_newer) => {}
                Err(e) => damage = Some(e),
            }
        }
        Err(damage
            .unwrap_or_else(|| Error::new(ErrorKind::Unavailable, "no copy answers"))
            .or_on(point.visible_name()))
    }

    /// The manifest of a recovery point on one copy. `NotFound`; `Corrupt` when it is not the one
    /// that the log vouches for.
    pub(crate) async fn manifest_on(
        &self,
        cx: &Context,
        sink: &dyn Sink,
        point: &RecoveryPoint,
    ) -> Result<Found> {
        let facts = &point.facts;
        let archive = archive_id(&facts.archive)?;
        let base = base_name(&facts.application, &facts.environment, &facts.name, &archive);
        let name = manifest_name(&base, 1)?;
        let bytes = store::read(cx, sink, &name, FileKind::Manifest).await?;
        let bytes = bytes.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "the manifest is not on this copy").on(&name)
        })?;
        let found = self.take_manifest(&name, bytes, point.backup).map_err(|e| e.on(&name))?;
        if point.manifest.as_ref().is_some_and(|digest| *digest != found.digest) {
            return Err(Error::corrupt("the manifest is not the one that the log names").on(&name));
        }
        if found.manifest.archive.path != archive_name(&base)?.as_str() {
            return Err(Error::corrupt("the manifest names another archive").on(&name));
        }
        Ok(found)
    }

    fn take_manifest(
        &self,
        name: &ObjectName,
        stored: bytes::Bytes,
        backup: Uuid,
    ) -> Result<Found> {
        let file = SignedFile::parse(FileKind::Manifest, stored.clone())?;
        let digest = file.digest();
        let manifest: Manifest = file.verify(self.trust.as_ref())?.read(Some(self.id()))?;
        if manifest.backup != backup {
            return Err(Error::corrupt("the manifest belongs to another backup"));
        }
        let plain = self.seal.open("manifest", backup.as_bytes(), &manifest.sealed)?;
        let details = serde_json::from_slice(&plain).map_err(|e| {
            Error::corrupt(format!(
                "the manifest's sealed part is malformed (column {})",
                e.column()
            ))
        })?;
        Ok(Found { manifest, details, digest, name: name.as_str().to_owned(), stored })
    }

    /// The whole archive of a backup from any copy that has it undamaged, with its keys.
    /// Without the right to secrets it opens with its secrets sealed.
    pub(crate) async fn part(&self, cx: &Context, found: &Found) -> Result<Part> {
        let archive = &found.manifest.archive;
        let mut damage = None;
        for place in self.ready() {
            match self.part_on(cx, place.sink(), found).await {
                Ok(part) => return Ok(part),
                Err(e) if matches!(e.kind(), ErrorKind::Cancelled | ErrorKind::KeyUnavailable) => {
                    return Err(e);
                }
                Err(e) => {
                    tracing::warn!(copy = %place.sink(), error = %e, "a copy is passed over");
                    damage = Some(e);
                }
            }
        }
        Err(damage
            .unwrap_or_else(|| Error::new(ErrorKind::Unavailable, "no copy answers"))
            .or_on(&archive.path))
    }

    /// The same from one copy.
    pub(crate) async fn part_on(
        &self,
        cx: &Context,
        sink: &dyn Sink,
        found: &Found,
    ) -> Result<Part> {
        let archive = &found.manifest.archive;
        let spool = self.fetch(cx, sink, archive).await?;
        let id = archive_id(&archive.id)?;
        let sinks: Vec<&dyn Sink> =
            std::iter::once(sink).chain(self.ready().map(super::Place::sink)).collect();
        let dek = self.unwrap(cx, KeyPurpose::Archive, id, &sinks).await?;
        let sdek = if found.details.secrets == 0 || !self.may_read_secrets(cx).await? {
            None
        } else {
            Some(self.unwrap(cx, KeyPurpose::Secrets, id, &sinks).await?)
        };
        let expected = Expected {
            size: archive.size,
            repository: *self.id().as_bytes(),
            archive: id,
            backup: found.manifest.backup,
        };
        Ok(Part::new(spool, expected, dek, sdek))
    }

    /// The bytes of an archive from one copy, held against the manifest.
    pub(crate) async fn fetch(
        &self,
        cx: &Context,
        sink: &dyn Sink,
        archive: &ArchiveRef,
    ) -> Result<crate::sink::Spool> {
        let name = ObjectName::new(&archive.path)?;
        let sha256 = hex::decode(&archive.sha256)
            .ok_or_else(|| Error::corrupt("the manifest's digest is malformed").on(&name))?;
        fetch(sink, cx, &name, &self.spool, archive.size, &sha256).await
    }

    /// Whether one of the keys given here has the right to secrets.
    async fn may_read_secrets(&self, cx: &Context) -> Result<bool> {
        for provider in &self.keys {
            let own = provider.recipient(cx).await?;
            let entry = self.trust.current().recipients.iter().find(|r| r.id == own.id);
            if entry.is_some_and(|entry| entry.rights.contains(&Right::Secrets)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A backup as one snapshot: its archive, and its base's where it has one.
    pub(crate) async fn view(&self, cx: &Context, point: &RecoveryPoint) -> Result<Arc<View>> {
        let found = self.manifest(cx, point).await?;
        self.view_of(cx, &found).await
    }

    /// The same for a manifest that was read.
    pub(crate) async fn view_of(&self, cx: &Context, found: &Found) -> Result<Arc<View>> {
        let own = self.part(cx, found).await?;
        let base = match &found.manifest.base {
            None => None,
            Some(base) => Some(self.base_part(cx, base).await?),
        };
        blocking(move || View::open(own, base).map(Arc::new)).await
    }

    /// The archive of the full backup that an incremental names.
    pub(crate) async fn base_part(&self, cx: &Context, base: &BaseRef) -> Result<Part> {
        let state = self.state(cx).await?;
        let point = state.point(base.backup).ok_or_else(|| {
            Error::corrupt("the log does not know the full backup that this one needs")
                .on(base.backup)
        })?;
        let full = self.manifest(cx, point).await?;
        let archive = &full.manifest.archive;
        if archive.id != base.archive || archive.sha256 != base.sha256 {
            let message = "the full backup that this one needs was replaced";
            return Err(Error::corrupt(message).on(base.backup));
        }
        self.part(cx, &full).await
    }
}
