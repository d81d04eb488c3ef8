//! What a copy has lost or damaged, brought back from another.

use bytes::Bytes;

use super::{Found, Place, Vault, archive_id, keys};
use crate::catalog::{
    CatalogState, CopyFacts, CopyResult, EventDraft, EventKind, EventOutcome, FileKind,
    RecoveryPoint, SignedFile, store,
};
use crate::context::Context;
use crate::crypt::{KeyContext, KeyPurpose};
use crate::error::{Error, ErrorKind, Result};
use crate::sink::{Body, ObjectName, Sink, Spool, put_once};

/// Backups that one opening brings back to their copies at most.
const BACKUPS: usize = 16;
/// And bytes of their archives.
const BYTES: u64 = 256 << 20;

/// What may be written on a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mend {
    /// What is not there.
    Missing,
    /// Also what is there and is not what it should be: it is removed first, once the right bytes
    /// are at hand.
    Damaged,
}

/// A signed file that belongs on every copy.
pub(super) struct Part {
    pub(super) name: ObjectName,
    pub(super) kind: FileKind,
    pub(super) stored: Bytes,
}

impl Vault {
    /// Brings missing objects back to copies of which the log knows that they lack something,
    /// newest backups first, and what opens the repository to all. Bounded, so that opening stays
    /// quick; says what stays.
    pub(super) async fn heal_lacking(
        &self,
        cx: &Context,
        state: &CatalogState,
    ) -> Result<Vec<String>> {
        let mut left = Vec::new();
        let (mut backups, mut bytes) = (0, 0);
        for place in self.ready() {
            let failed = |e: Error| format!("{}: what is missing stays for now: {e}", place.sink());
            match self.heal_repository(cx, place, Mend::Missing).await {
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::Cancelled => return Err(e),
                Err(e) => {
                    left.push(failed(e));
                    continue;
                }
            }
            let mut later = 0;
            for point in state.listed().collect::<Vec<_>>().into_iter().rev() {
                if !lacks(point, place) {
                    continue;
                }
                if backups >= BACKUPS || bytes + point.facts.size > BYTES && backups > 0 {
                    later += 1;
                    continue;
                }
                (backups, bytes) = (backups + 1, bytes + point.facts.size);
                match self.heal(cx, place, point, Mend::Missing).await {
                    Ok(_) => {}
                    Err(e) if e.kind() == ErrorKind::Cancelled => return Err(e),
                    Err(e) => {
                        left.push(failed(e));
                        break;
                    }
                }
            }
            if later > 0 {
                left.push(format!("{}: {later} more backups lack objects here", place.sink()));
            }
        }
        Ok(left)
    }

    /// Makes a backup whole on a copy, from others that have it; the log tells. Says what was
    /// written. `Refused` while history is in doubt; an error when the copy is not whole by then,
    /// and what was written stays.
    pub(crate) async fn heal(
        &self,
        cx: &Context,
        place: &Place,
        point: &RecoveryPoint,
        mend: Mend,
    ) -> Result<Vec<ObjectName>> {
        self.healable(cx).await?;
        let found = self.manifest(cx, point).await?;
        let mut written = Vec::new();
        written.extend(self.heal_archive(cx, place, &found, mend).await?);
        let id = archive_id(&found.manifest.archive.id)?;
        let mut parts = Vec::new();
        for purpose in found.purposes() {
            parts.extend(self.wrap_parts(cx, keys::context(self.id(), purpose, id)).await?);
        }
        // The manifest comes last: where it stands, the rest does.
        let (name, stored) = (ObjectName::new(&found.name)?, found.stored.clone());
        parts.push(Part { name, kind: FileKind::Manifest, stored });
        written.extend(self.bring(cx, place, &parts, mend).await?);
        self.wraps_on(cx, place.sink(), &found).await?;
        if !written.is_empty() || lacks(point, place) {
            let copy = CopyResult { copy: place.id.to_string(), ok: true, detail: None };
            let kind = EventKind::COPY_HEAL;
            let draft = EventDraft::new(cx, kind, "backup", point.backup, EventOutcome::Success)?
                .count("objects", written.len() as u64)
                .data(&CopyFacts { copies: vec![copy] })?;
            self.record(cx, draft).await?;
        }
        Ok(written)
    }

    /// The same for what opens the repository itself: trust documents and wrapped keys.
    pub(crate) async fn heal_repository(
        &self,
        cx: &Context,
        place: &Place,
        mend: Mend,
    ) -> Result<Vec<ObjectName>> {
        let mut parts = Vec::new();
        for context in keys::of_repository(&self.trust) {
            parts.extend(self.wrap_parts(cx, context).await?);
        }
        for (name, file) in self.trust.files()? {
            parts.push(Part { name, kind: FileKind::Repository, stored: file.stored().clone() });
        }
        self.bring(cx, place, &parts, mend).await
    }

    /// What one copy shows and others do not may be the truth that somebody hid.
    async fn healable(&self, cx: &Context) -> Result<()> {
        if self.log.integrity(cx).await?.is_whole() {
            return Ok(());
        }
        Err(Error::refused("nothing is brought back while the log's history is in doubt")
            .help("run an audit and have an admin accept what is there"))
    }

    async fn heal_archive(
        &self,
        cx: &Context,
        place: &Place,
        found: &Found,
        mend: Mend,
    ) -> Result<Option<ObjectName>> {
        let archive = &found.manifest.archive;
        match self.fetch(cx, place.sink(), archive).await {
            Ok(_) => return Ok(None),
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::Corrupt) => {}
            Err(e) => return Err(e),
        }
        let spool = self.elsewhere(cx, place, found).await?;
        let name = ObjectName::new(&archive.path)?;
        write(cx, place.sink(), &name, &Body::Spool(spool), mend).await?;
        self.fetch(cx, place.sink(), archive).await?;
        Ok(Some(name))
    }

    /// The archive's right bytes, from any other copy.
    async fn elsewhere(&self, cx: &Context, place: &Place, found: &Found) -> Result<Spool> {
        let archive = &found.manifest.archive;
        let mut last = Error::new(ErrorKind::NotFound, "no other copy has it whole");
        for other in self.ready().filter(|other| other.id != place.id) {
            match self.fetch(cx, other.sink(), archive).await {
                Ok(spool) => return Ok(spool),
                Err(e) if e.kind() == ErrorKind::Cancelled => return Err(e),
                Err(e) => last = e,
            }
        }
        Err(last.or_on(&archive.path))
    }

    async fn wrap_parts(&self, cx: &Context, context: KeyContext) -> Result<Vec<Part>> {
        let sinks: Vec<&dyn Sink> = self.ready().map(Place::sink).collect();
        let wraps = keys::find(cx, &self.trust, &sinks, context).await?.into_iter();
        Ok(wraps
            .map(|found| Part { name: found.name, kind: FileKind::Wrap, stored: found.stored })
            .collect())
    }

    /// Writes what the copy does not have as it should be; says what that was.
    pub(super) async fn bring(
        &self,
        cx: &Context,
        place: &Place,
        parts: &[Part],
        mend: Mend,
    ) -> Result<Vec<ObjectName>> {
        let mut written = Vec::new();
        for Part { name, kind, stored } in parts {
            match store::read(cx, place.sink(), name, *kind).await {
                Ok(Some(there)) if there == *stored => continue,
                Ok(Some(there)) => self.not_newer(*kind, there).map_err(|e| e.on(name))?,
                Err(e) if e.kind() != ErrorKind::Corrupt => return Err(e),
                Ok(None) | Err(_) => {}
            }
            write(cx, place.sink(), name, &Body::Bytes(stored.clone()), mend).await?;
            written.push(name.clone());
        }
        Ok(written)
    }

    /// What a newer version signed is no damage.
    fn not_newer(&self, kind: FileKind, stored: Bytes) -> Result<()> {
        let read = SignedFile::parse(kind, stored)
            .and_then(|file| file.verify(self.trust.as_ref()))
            .and_then(|file| file.read::<serde::de::IgnoredAny>(Some(self.id())));
        read.map(drop).or_else(|e| if e.is_newer() { Err(e) } else { Ok(()) })
    }
}

impl Found {
    /// What its keys are for.
    pub(super) fn purposes(&self) -> impl Iterator<Item = KeyPurpose> + use<> {
        let secrets = (self.details.secrets > 0).then_some(KeyPurpose::Secrets);
        std::iter::once(KeyPurpose::Archive).chain(secrets)
    }
}

/// Whether the log knows of a whole copy, and of none on this place.
fn lacks(point: &RecoveryPoint, place: &Place) -> bool {
    let id = place.id.to_string();
    let here = point.facts.copies.iter().any(|copy| copy.ok && copy.copy == id);
    point.committed.is_some() && point.healthy() > 0 && !here
}

async fn write(
    cx: &Context,
    sink: &dyn Sink,
    name: &ObjectName,
    body: &Body,
    mend: Mend,
) -> Result<()> {
    match put_once(sink, cx, name, body).await {
        Err(e) if e.kind() == ErrorKind::AlreadyExists && mend == Mend::Damaged => {
            match sink.delete(cx, name).await {
                Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
                _ => {}
            }
            put_once(sink, cx, name, body).await
        }
        written => written,
    }
}
