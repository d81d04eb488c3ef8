//! What a crash left: completed or given up at the next opening.

use std::time::Duration;

use futures_util::future::join_all;

use super::{
    Found, Place, Standing, Vault, archive_id, archive_name, base_name, keys, manifest_name,
};
use crate::archive::Capture;
use crate::catalog::{CopyResult, EventDraft, EventKind, EventOutcome, RecoveryPoint, State};
use crate::context::Context;
use crate::crypt::KeyPurpose;
use crate::error::{Error, ErrorKind, Result};
use crate::sink::{Body, ObjectName, put_once};

/// How long after its deadline a backup without a manifest is left alone.
const GRACE: Duration = Duration::from_hours(24);

/// Failed backups whose leftovers one opening looks for: the last ones, since earlier openings
/// looked for those of the others.
const PROBES: usize = 32;

impl Vault {
    /// Appends waiting events, completes backups whose manifest was written, gives up those whose
    /// time is over, and brings copies what the log says they lack; says what had to stay. Safe to
    /// call at any time and from several machines.
    pub(crate) async fn recover(&self, cx: &Context) -> Result<Vec<String>> {
        let mut left = self.sweep(cx).await?;
        match self.log.fold_pending(cx).await {
            Ok(folded) => {
                left.extend(
                    folded
                        .refused
                        .iter()
                        .map(|name| format!("{name}: this is no event that may wait")),
                );
            }
            Err(e) if e.kind() == ErrorKind::Unavailable => return Ok(left),
            Err(e) => return Err(e),
        }
        // A mirror that cannot be written keeps its gap, and is told about elsewhere.
        self.log.catch_up(cx).await?;
        let state = self.state(cx).await?;
        let mut probes = 0;
        for point in state.points().iter().rev() {
            if point.committed.is_some() || point.manifest.is_some() {
                continue;
            }
            let outcome = match point.state(cx.now()) {
                State::Started => self.complete(cx, point).await.map(drop),
                State::Failed if probes < PROBES && self.is_over(cx, point) => {
                    probes += 1;
                    self.give_up(cx, point).await
                }
                _ => Ok(()),
            };
            match outcome {
                // Its own version completes it, or gives it up.
                Err(e) if e.is_newer() => left.push(e.to_string()),
                outcome => outcome?,
            }
        }
        left.extend(self.heal_lacking(cx, &state).await?);
        Ok(left)
    }

    /// Has each copy remove what dead writers left there; says where that failed.
    async fn sweep(&self, cx: &Context) -> Result<Vec<String>> {
        let sweeps = self.ready().map(|place| async move { (place, place.sink().sweep(cx).await) });
        let mut failed = Vec::new();
        for (place, swept) in join_all(sweeps).await {
            match swept {
                Ok(0) => {}
                Ok(count) => {
                    tracing::info!(copy = %place.sink(), count, "what dead writers left is gone");
                }
                Err(e) if e.kind() == ErrorKind::Cancelled => return Err(e),
                Err(e) => failed
                    .push(format!("{}: what dead writers left stays for now: {e}", place.sink())),
            }
        }
        Ok(failed)
    }

    /// Commits a backup whose manifest stands on a copy with everything that it needs, and brings
    /// the manifest to the other copies that have the rest. False where there is no such manifest;
    /// an error where only a newer version can tell.
    async fn complete(&self, cx: &Context, point: &RecoveryPoint) -> Result<bool> {
        let found = match self.manifest(cx, point).await {
            Ok(found) => found,
            Err(e) if e.kind() == ErrorKind::Cancelled || e.is_newer() => return Err(e),
            Err(_) => return Ok(false),
        };
        let mut newer = None;
        let mut copies = Vec::new();
        for place in &self.places {
            let whole = match self.complete_on(cx, place, &found).await {
                Err(e) if e.kind() == ErrorKind::Cancelled => return Err(e),
                outcome => outcome,
            };
            let (ok, detail) = (whole.is_ok(), whole.as_ref().err().map(ToString::to_string));
            copies.push(CopyResult { copy: place.id.to_string(), ok, detail });
            newer = whole.err().filter(Error::is_newer).or(newer);
        }
        if copies.iter().all(|copy| !copy.ok) {
            return newer.map_or(Ok(false), Err);
        }
        let mut facts = point.facts.clone();
        facts.capture = Some(found.manifest.capture);
        facts.copies = copies;
        facts.required = u32::try_from(self.places.len()).unwrap_or(u32::MAX);
        facts.resources = found.details.resources;
        facts.size = found.manifest.archive.size;
        let good = facts.capture == Some(Capture::Complete) && facts.copies.iter().all(|c| c.ok);
        let outcome = if good { EventOutcome::Success } else { EventOutcome::Partial };
        let draft = EventDraft::new(cx, EventKind::BACKUP_COMMIT, "backup", point.backup, outcome)?
            .vouch("manifest", found.digest)
            .text("recovered")
            .data(&facts)?;
        self.record(cx, draft).await?;
        Ok(true)
    }

    /// Archive and wraps are whole on this copy; then the manifest is, too.
    async fn complete_on(&self, cx: &Context, place: &Place, found: &Found) -> Result<()> {
        if let Standing::Away(why) | Standing::Foreign(why) = &place.standing {
            return Err(Error::new(ErrorKind::Unavailable, why.clone()));
        }
        self.wraps_on(cx, place.sink(), found).await?;
        self.fetch(cx, place.sink(), &found.manifest.archive).await?;
        let name = ObjectName::new(&found.name)?;
        put_once(place.sink(), cx, &name, &Body::Bytes(found.stored.clone())).await
    }

    fn is_over(&self, cx: &Context, point: &RecoveryPoint) -> bool {
        let end = point.facts.deadline.and_then(|deadline| deadline.checked_add(GRACE).ok());
        end.is_some_and(|end| end < cx.now()) && self.places.iter().all(Place::is_ready)
    }

    /// Says that a backup is given up, then removes what it left.
    async fn give_up(&self, cx: &Context, point: &RecoveryPoint) -> Result<()> {
        let names = self.left_by(point)?;
        let mut there = Vec::new();
        for place in self.ready() {
            for name in &names {
                match place.sink().head(cx, name).await {
                    Ok(_) => there.push((place, name)),
                    Err(e) if e.kind() == ErrorKind::NotFound => {}
                    Err(e) => return Err(e),
                }
            }
        }
        // Before its deadline only an event makes a backup fail: then no commit counts any more.
        let void = point.state(point.started) == State::Failed;
        if there.is_empty() || (!void && self.complete(cx, point).await?) {
            return Ok(());
        }
        if !void && !self.abandon(cx, point).await? {
            return Ok(());
        }
        for (place, name) in there {
            match place.sink().delete(cx, name).await {
                Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether the log says now that the backup is given up. A commit that came first stays, and an
    /// event without a number decides nothing.
    async fn abandon(&self, cx: &Context, point: &RecoveryPoint) -> Result<bool> {
        let kind = EventKind::BACKUP_ABANDON;
        let draft = EventDraft::new(cx, kind, "backup", point.backup, EventOutcome::Failed)?;
        if self.record(cx, draft).await?.is_none() {
            return Ok(false);
        }
        let state = self.state(cx).await?;
        Ok(state.point(point.backup).is_some_and(|point| point.committed.is_none()))
    }

    /// Names of everything that a backup may have written, the manifest first.
    fn left_by(&self, point: &RecoveryPoint) -> Result<Vec<ObjectName>> {
        let facts = &point.facts;
        let archive = archive_id(&facts.archive)?;
        let base = base_name(&facts.application, &facts.environment, &facts.name, &archive);
        let mut names = vec![manifest_name(&base, 1)?];
        for purpose in [KeyPurpose::Archive, KeyPurpose::Secrets] {
            names.push(keys::wrap_name(&keys::context(self.id(), purpose, archive), 1)?);
        }
        names.push(archive_name(&base)?);
        Ok(names)
    }
}
