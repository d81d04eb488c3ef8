//! Bringing a sealed capture to the copies, and saying that it counts.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{BackupReport, CopyOutcome, Prepared};
use crate::archive::{ArchiveRef, Capture, CatalogMark, Details, Expected, Manifest, Part};
use crate::catalog::{
    Catalog as _, CopyResult, EventDraft, EventKind, EventOutcome, FileKind, Head, SignedFile,
    State,
};
use crate::context::Context;
use crate::crypt::{KeyPurpose, hex};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Gap, Kind};
use crate::sink::{Body, ObjectName, Sink, put_once};
use crate::task::blocking;
use crate::vault::{Place, Standing, Vault, archive_name, base_name, manifest_name};

/// Gaps that a manifest names one by one.
const GAPS: usize = 1000;

/// Brings a prepared backup to the copies and commits it.
pub(crate) async fn commit(
    vault: &Vault,
    cx: &Context,
    prepared: Prepared,
) -> Result<BackupReport> {
    vault.writable()?;
    let base = base_name(
        &prepared.details.application,
        &prepared.details.environment,
        &prepared.details.name,
        &prepared.archive,
    );
    let (mut objects, mut left_out) = (Vec::new(), Vec::new());
    let (id, own) = (prepared.archive, Some(prepared.sealed.commitment));
    let (name, file) =
        vault.wrap(cx, KeyPurpose::Archive, id, &prepared.dek, own, &mut left_out).await?;
    objects.push((name, Body::Bytes(file.stored().clone())));
    // Readers go by the count, which for an incremental includes what only its base holds.
    if prepared.sealed.has_secrets || prepared.details.secrets > 0 {
        let (name, file) =
            vault.wrap(cx, KeyPurpose::Secrets, id, &prepared.sdek, None, &mut left_out).await?;
        objects.push((name, Body::Bytes(file.stored().clone())));
    }
    objects.insert(0, (archive_name(&base)?, Body::Spool(prepared.spool.clone())));
    let archive = ArchiveRef {
        id: hex::encode(&prepared.archive),
        path: archive_name(&base)?.as_str().to_owned(),
        size: prepared.sealed.size,
        sha256: hex::encode(&prepared.sealed.sha256),
        suite: prepared.suite,
    };
    let writes = vault.places.iter().map(|place| {
        let (objects, archive, prepared) = (&objects, &archive, &prepared);
        async move { on_copy(vault, cx, place, objects, archive, prepared).await }
    });
    let mut outcomes: Vec<Result<()>> = futures_util::future::join_all(writes).await;
    cx.check()?;
    let passed = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    if passed == 0 {
        let first = outcomes.into_iter().find_map(Result::err);
        return Err(first.unwrap_or_else(|| Error::new(ErrorKind::Unavailable, "no copy answers")));
    }
    still_wanted(vault, cx, prepared.backup).await?;
    // From here on it is a backup: to stop now would only leave the commit to the next opening.
    let cx = &cx.uncancelled();
    let manifest = manifest(vault, cx, &prepared, archive).await?;
    let name = manifest_name(&base, 1)?;
    let body = Body::Bytes(manifest.stored().clone());
    for (place, outcome) in vault.places.iter().zip(&mut outcomes) {
        if outcome.is_ok() {
            *outcome = put_once(place.sink(), cx, &name, &body).await;
        }
    }
    if outcomes.iter().all(Result::is_err) {
        let first = outcomes.into_iter().find_map(Result::err);
        return Err(first.unwrap_or_else(|| Error::new(ErrorKind::Unavailable, "no copy answers")));
    }
    let warnings = match &prepared.base {
        Some(base) => keep_base(vault, cx, base.backup, &outcomes).await,
        None => Vec::new(),
    };
    let report = finish(vault, cx, &prepared, &name, &manifest.digest(), &outcomes).await?;
    Ok(BackupReport { left_out, warnings, ..report })
}

/// Where copies keep objects, what an incremental builds on is kept as long as itself. What stays
/// shorter is a warning: the backup is whole.
async fn keep_base(
    vault: &Vault,
    cx: &Context,
    base: Uuid,
    outcomes: &[Result<()>],
) -> Vec<String> {
    let keeps = |place: &Place| place.sink().versioned().is_some_and(|s| s.keeps_for().is_some());
    let good = vault.places.iter().zip(outcomes).filter(|(_, outcome)| outcome.is_ok());
    let places: Vec<&Place> = good.map(|(place, _)| place).filter(|place| keeps(place)).collect();
    if places.is_empty() {
        return Vec::new();
    }
    let found = async {
        let state = vault.state(cx).await?;
        let gone = || Error::new(ErrorKind::NotFound, "the base is not in the log").on(base);
        vault.manifest(cx, state.point(base).ok_or_else(gone)?).await
    };
    let short = |why: Error| format!("what it builds on may be deleted before it: {why}");
    let found = match found.await {
        Ok(found) => found,
        Err(e) => return vec![short(e)],
    };
    let mut warnings = Vec::new();
    for place in places {
        let kept = vault.keep(cx, place, &found).await;
        warnings.extend(kept.err().map(|e| format!("{}: {}", place.sink(), short(e))));
    }
    warnings
}

/// Archive and wraps onto one copy, read back from it.
async fn on_copy(
    vault: &Vault,
    cx: &Context,
    place: &Place,
    objects: &[(ObjectName, Body)],
    archive: &ArchiveRef,
    prepared: &Prepared,
) -> Result<()> {
    if let Standing::Away(why) | Standing::Foreign(why) = &place.standing {
        return Err(Error::new(ErrorKind::Unavailable, why.clone()));
    }
    let sink = place.sink();
    for (name, body) in objects {
        put_once(sink, cx, name, body).await?;
        cx.progress("copy", body.len(), None);
    }
    let spool = vault.fetch(cx, sink, archive).await?;
    let only: [&dyn Sink; 1] = [sink];
    let dek = match vault.unwrap(cx, KeyPurpose::Archive, prepared.archive, &only).await {
        Ok(dek) => dek,
        // A machine that may write and not read relies on the digest.
        Err(e) if e.kind() == ErrorKind::KeyUnavailable => return Ok(()),
        Err(e) => return Err(e),
    };
    let expected = Expected {
        size: archive.size,
        repository: *vault.id().as_bytes(),
        archive: prepared.archive,
        backup: prepared.backup,
    };
    blocking(move || Part::new(spool, expected, dek, None).open().map(drop)).await
}

/// A backup that took too long, or was given up by somebody else, is not committed.
async fn still_wanted(vault: &Vault, cx: &Context, backup: Uuid) -> Result<()> {
    let state = match vault.state(cx).await {
        Ok(state) => state,
        Err(e) if e.kind() == ErrorKind::Unavailable => return Ok(()),
        Err(e) => return Err(e),
    };
    match state.point(backup) {
        Some(point) if point.state(cx.now()) != State::Started => Err(given_up(backup)),
        _ => Ok(()),
    }
}

fn given_up(backup: Uuid) -> Error {
    Error::new(ErrorKind::Conflict, "the backup was given up meanwhile").on(backup)
}

async fn manifest(
    vault: &Vault,
    cx: &Context,
    prepared: &Prepared,
    archive: ArchiveRef,
) -> Result<SignedFile> {
    let head = match vault.log.head(cx).await {
        Ok(head) => head,
        Err(e) if e.kind() == ErrorKind::Unavailable => Head { seq: 0, digest: String::new() },
        Err(e) => return Err(e),
    };
    let plain = serde_json::to_vec(&brief(&prepared.details))
        .map_err(|_| Error::invalid("the manifest cannot be written"))?;
    let manifest = Manifest {
        backup: prepared.backup,
        archive,
        kind: prepared.kind.clone(),
        base: prepared.base.clone(),
        capture: if prepared.is_complete() { Capture::Complete } else { Capture::Partial },
        started_at: prepared.started,
        ended_at: prepared.ended,
        revision: 1,
        replaces: None,
        catalog: CatalogMark { seq: head.seq, digest: head.digest, trust: vault.trust.number() },
        copies: vault.places.iter().map(|place| place.id.to_string()).collect(),
        keep_class: if prepared.kind == "safety" { "safety" } else { "regular" }.to_owned(),
        sealed: vault.seal.seal("manifest", prepared.backup.as_bytes(), &plain)?,
    };
    let signer = vault.signer.as_ref();
    SignedFile::sign(cx, FileKind::Manifest, Some(vault.id()), &manifest, &[signer]).await
}

/// The details with so few gaps that they fit a manifest; the archive has them all.
fn brief(details: &Details) -> Details {
    let mut brief = details.clone();
    if brief.gaps.len() > GAPS {
        let mut counts: BTreeMap<(Option<Kind>, String), (Gap, u64)> = BTreeMap::new();
        for gap in &details.gaps {
            let of = (gap.kind.clone(), format!("{:?}", gap.cause));
            counts.entry(of).or_insert_with(|| (gap.clone(), 0)).1 += 1;
        }
        let whole = |(gap, count): (Gap, u64)| match count {
            1 => gap,
            count => Gap { under: None, detail: format!("{count} parts"), ..gap },
        };
        brief.gaps = counts.into_values().map(whole).take(GAPS).collect();
    }
    brief
}

async fn finish(
    vault: &Vault,
    cx: &Context,
    prepared: &Prepared,
    name: &ObjectName,
    manifest: &str,
    outcomes: &[Result<()>],
) -> Result<BackupReport> {
    let complete = prepared.is_complete();
    let mut facts = prepared.facts(vault.places.len());
    facts.capture = Some(if complete { Capture::Complete } else { Capture::Partial });
    let mut copies = Vec::new();
    for (place, outcome) in vault.places.iter().zip(outcomes) {
        let (ok, detail) = match outcome {
            Ok(()) => (true, None),
            Err(e) => (false, Some(e.to_string())),
        };
        facts.copies.push(CopyResult { copy: place.id.to_string(), ok, detail: detail.clone() });
        copies.push(CopyOutcome { copy: place.sink().to_string(), ok, detail });
    }
    let good = complete && outcomes.iter().all(Result::is_ok);
    let status = if good { State::Success } else { State::Partial };
    let outcome = if good { EventOutcome::Success } else { EventOutcome::Partial };
    let kind = EventKind::BACKUP_COMMIT;
    let draft = EventDraft::new(cx, kind, "backup", prepared.backup, outcome)?
        .vouch("manifest", manifest)
        .count("resources", prepared.details.resources)
        .data(&facts)?;
    let event = vault.record(cx, draft).await?;
    let mut version = None;
    let mut visible = prepared.details.name.clone();
    // The commit stands: that the log cannot be read again only costs the number.
    if let Some(state) = vault.state(cx).await.ok().filter(|_| event.is_some())
        && let Some(point) = state.point(prepared.backup)
    {
        if point.committed.is_none() {
            for (place, _) in vault.places.iter().zip(outcomes).filter(|(_, o)| o.is_ok()) {
                // What cannot be removed now goes when the backup is cleared away.
                let _ = place.sink().delete(cx, name).await;
            }
            return Err(given_up(prepared.backup));
        }
        version = point.version;
        visible = point.visible_name();
    }
    let details = &prepared.details;
    Ok(BackupReport {
        id: prepared.backup,
        name: visible,
        version,
        status,
        kind: prepared.kind.clone(),
        base: prepared.base.as_ref().map(|base| base.backup),
        resources: details.resources,
        kinds: details.kinds.clone(),
        gaps: details.gaps.clone(),
        bytes: details.bytes,
        stored_bytes: prepared.sealed.size,
        copies,
        state_digest: details.state_digest.clone(),
        consistency: details.window.consistency.clone(),
        why_full: details.why_full.clone(),
        started_at: prepared.started,
        ended_at: prepared.ended,
        left_out: Vec::new(),
        warnings: Vec::new(),
    })
}
