//! Taking a backup: capture, seal, copy, read back, commit.

mod base;
mod capture;
mod tear;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use uuid::Uuid;

use crate::archive::{
    ArchiveIds, ArchiveRef, ArchiveType, BaseRef, Capture, CaptureWindow, CatalogMark, Details,
    Expected, Manifest, Part, Sealed, View,
};
use crate::catalog::{
    BackupFacts, Catalog as _, CopyResult, EventDraft, EventKind, EventOutcome, FileKind,
    SignedFile, State,
};
use crate::clock::{Timestamp, millis};
use crate::context::Context;
use crate::crypt::{DataKey, KeyPurpose, StateDigest, Suite, hex, random, uuid_v7};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Cause, Description, Gap, Key, Kind, Revision, Schema};
use crate::plan::Selector;
use crate::sink::{Body, ObjectName, Sink, Spool, blocking, put_once};
use crate::source::Source;
use crate::vault::{Place, Vault, archive_name, base_name, manifest_name, stamp};

pub(crate) use base::{Base, choose};

/// Gaps that a manifest names one by one.
const GAPS: usize = 1000;
/// How long a backup may be in progress.
const DEADLINE: Duration = Duration::from_hours(6);

/// Characters of an application's or environment's name.
const LONGEST_NAME: usize = 60;

/// Which kind of backup is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BackupType {
    /// Incremental where a good base exists, else full.
    #[default]
    Auto,
    /// Everything, standing alone.
    Full,
    /// What differs from the last full; a full, with the reason, where none can be the base.
    Incremental,
}

/// What a backup is to be.
#[derive(Debug, Clone, Default)]
pub struct BackupOptions {
    /// Whose gateway. Required: 1 to 60 characters, no slash, backslash or control character, not
    /// dots alone, no space at an end.
    pub application: String,
    /// Which stage of it. Required, as the application is.
    pub environment: String,
    /// Which kind is wanted.
    pub kind: BackupType,
    /// Only these; everything else becomes a named gap, and the backup Partial.
    pub only: Vec<Selector>,
    /// Free tags.
    pub tags: BTreeMap<String, String>,
    /// What people should read about it.
    pub description: Option<String>,
    /// Leave secrets out, as marks.
    pub without_secrets: bool,
}

/// How one copy took a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CopyOutcome {
    /// The copy's URL, without secrets.
    pub copy: String,
    /// Whether it was written, read back and found right.
    pub ok: bool,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// What came of a backup.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct BackupReport {
    /// Its id.
    pub id: Uuid,
    /// Its name for people.
    pub name: String,
    /// Its number among the backups of this application and environment; none while the log's home
    /// is away.
    pub version: Option<u64>,
    /// `Success`, or `Partial` where something named is missing.
    pub status: State,
    /// `full`, `incremental` or `safety`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The full backup that an incremental builds on.
    pub base: Option<Uuid>,
    /// Resources in it.
    pub resources: u64,
    /// Resources by kind.
    pub kinds: BTreeMap<Kind, u64>,
    /// What was not captured.
    pub gaps: Vec<Gap>,
    /// Bytes of all documents.
    pub bytes: u64,
    /// Size of the archive.
    pub stored_bytes: u64,
    /// How each copy took it.
    pub copies: Vec<CopyOutcome>,
    /// Keyed digest of the whole state: equal states of one repository have equal digests.
    pub state_digest: String,
    /// Whether the gateway stood still: `consistent` or `fuzzy`.
    pub consistency: String,
    /// Why this is a full backup, where an incremental was asked for or would have been made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why_full: Option<String>,
    /// When the capture began.
    #[serde(serialize_with = "millis")]
    pub started_at: Timestamp,
    /// When it ended.
    #[serde(serialize_with = "millis")]
    pub ended_at: Timestamp,
}

/// A capture that is sealed in a spool and stands on no copy yet.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) backup: Uuid,
    archive: [u8; 16],
    spool: Spool,
    sealed: Sealed,
    dek: DataKey,
    sdek: DataKey,
    suite: Suite,
    pub(crate) details: Details,
    base: Option<BaseRef>,
    base_part: Option<Part>,
    kind: String,
    started: Timestamp,
    ended: Timestamp,
    pub(crate) soft_deleted: BTreeSet<Key>,
    pub(crate) revision: Option<Revision>,
}

impl Prepared {
    /// The capture as a snapshot.
    pub(crate) async fn view(&self, vault: &Vault) -> Result<Arc<View>> {
        let expected = Expected {
            size: self.sealed.size,
            repository: *vault.id().as_bytes(),
            archive: self.archive,
            backup: self.backup,
        };
        let dek = DataKey::new(*self.dek.expose());
        let sdek = DataKey::new(*self.sdek.expose());
        let own = Part::new(self.spool.clone(), expected, dek, Some(sdek));
        let base = self.base_part.clone();
        blocking(move || View::open(own, base).map(Arc::new)).await
    }

    /// Says that the backup begins: before anything of it is stored.
    pub(crate) async fn announce(&self, vault: &Vault, cx: &Context) -> Result<()> {
        let mut facts = self.facts(0);
        facts.deadline = cx.now().checked_add(DEADLINE).ok();
        let kind = EventKind::BACKUP_START;
        let draft = EventDraft::new(cx, kind, "backup", self.backup, EventOutcome::Started)?;
        vault.record(cx, draft.data(&facts)?).await.map(drop)
    }

    fn is_complete(&self) -> bool {
        self.details.gaps.iter().all(|gap| gap.cause == Cause::NotOffered)
    }

    fn facts(&self, required: usize) -> BackupFacts {
        BackupFacts {
            name: self.details.name.clone(),
            application: self.details.application.clone(),
            environment: self.details.environment.clone(),
            kind: self.kind.clone(),
            archive: hex::encode(&self.archive),
            base: self.base.as_ref().map(|base| base.backup),
            deadline: None,
            capture: None,
            copies: Vec::new(),
            required: u32::try_from(required).unwrap_or(u32::MAX),
            resources: self.details.resources,
            size: self.sealed.size,
        }
    }
}

/// Takes a backup of `source` to all copies.
///
/// Nothing counts before the commit; a crash at any point leaves the repository as it was, and the
/// next opening cleans up or completes. `Partial` where a part could not be read, or a copy could
/// not be written.
pub(crate) async fn run(
    vault: &Vault,
    cx: &Context,
    source: Arc<dyn Source>,
    options: &BackupOptions,
) -> Result<BackupReport> {
    vault.writable()?;
    check_name("application", &options.application)?;
    check_name("environment", &options.environment)?;
    let description = source.describe(cx).await?;
    let (base, why_full) = choose(vault, cx, source.as_ref(), &description, options).await?;
    let kind = if base.is_some() { "incremental" } else { "full" };
    let backup = uuid_v7(cx.clock().as_ref())?;
    let archive = random()?;
    let started = cx.now();
    let name = format!(
        "{}-{}-{}-{kind}",
        ObjectName::part_of(&options.application),
        ObjectName::part_of(&options.environment),
        stamp(started)
    );
    announce(vault, cx, backup, &name, kind, &archive, options, base.as_ref()).await?;
    let task = Task { backup, archive, name, kind: kind.to_owned(), started, why_full };
    let made = async {
        let prepared = prepare(vault, cx, &source, &description, options, task, base).await?;
        commit(vault, cx, prepared).await
    };
    match made.await {
        Ok(report) => Ok(report),
        Err(e) => {
            // The deadline ends it anyway if this cannot be written.
            let draft = EventDraft::new(
                cx,
                EventKind::BACKUP_FAIL,
                "backup",
                backup,
                EventOutcome::Failed,
            )?;
            let _ = vault.record(&cx.uncancelled(), draft.text(e.to_string())).await;
            Err(e)
        }
    }
}

/// `Invalid` for what cannot name an application or an environment: it becomes part of paths, of
/// `latest:APP/ENV`, and of what people read on a terminal.
fn check_name(what: &str, name: &str) -> Result<()> {
    let refused = |why: String| {
        let help = "write a short name, for example --app shop --env prod";
        Err(Error::invalid(format!("the {what} {why}")).help(help))
    };
    if name.trim().is_empty() {
        return refused("is missing".to_owned());
    }
    if name.chars().count() > LONGEST_NAME {
        return refused(format!("has more than {LONGEST_NAME} characters"));
    }
    if name.contains(['/', '\\']) || name.chars().all(|c| c == '.') {
        return refused("looks like a path".to_owned());
    }
    if name.chars().any(char::is_control) || name.trim() != name {
        return refused("holds control characters, or space at an end".to_owned());
    }
    Ok(())
}

/// What a backup is called and when it began.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) backup: Uuid,
    pub(crate) archive: [u8; 16],
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) started: Timestamp,
    pub(crate) why_full: Option<String>,
}

impl Task {
    /// A safety backup of a target, before it is written.
    pub(crate) fn safety(cx: &Context, options: &BackupOptions) -> Result<Self> {
        let started = cx.now();
        let name = format!(
            "{}-{}-{}-safety",
            ObjectName::part_of(&options.application),
            ObjectName::part_of(&options.environment),
            stamp(started)
        );
        Ok(Self {
            backup: uuid_v7(cx.clock().as_ref())?,
            archive: random()?,
            name,
            kind: "safety".to_owned(),
            started,
            why_full: None,
        })
    }
}

#[expect(clippy::too_many_arguments, reason = "each is one member of the event")]
async fn announce(
    vault: &Vault,
    cx: &Context,
    backup: Uuid,
    name: &str,
    kind: &str,
    archive: &[u8; 16],
    options: &BackupOptions,
    base: Option<&Base>,
) -> Result<()> {
    let facts = BackupFacts {
        name: name.to_owned(),
        application: options.application.clone(),
        environment: options.environment.clone(),
        kind: kind.to_owned(),
        archive: hex::encode(archive),
        base: base.map(|base| base.found.manifest.backup),
        deadline: cx.now().checked_add(DEADLINE).ok(),
        ..BackupFacts::default()
    };
    let kind = EventKind::BACKUP_START;
    let draft = EventDraft::new(cx, kind, "backup", backup, EventOutcome::Started)?.data(&facts)?;
    vault.record(cx, draft).await.map(drop)
}

/// Captures and seals into a spool.
pub(crate) async fn prepare(
    vault: &Vault,
    cx: &Context,
    source: &Arc<dyn Source>,
    description: &Description,
    options: &BackupOptions,
    task: Task,
    base: Option<Base>,
) -> Result<Prepared> {
    let reading = {
        let known = base.as_ref().and_then(Base::known);
        let options = capture::CaptureOptions {
            only: options.only.clone(),
            without_secrets: options.without_secrets,
            known,
        };
        capture::read(cx, source, description, &vault.spool, &options).await?
    };
    let ended = cx.now();
    let details = details(cx, source.as_ref(), description, options, &task, &reading)?;
    let suite = vault.trust.current().suite;
    let base_ref = base.as_ref().map(|base| BaseRef {
        backup: base.found.manifest.backup,
        archive: base.found.manifest.archive.id.clone(),
        sha256: base.found.manifest.archive.sha256.clone(),
    });
    let ids = ArchiveIds {
        repository: *vault.id().as_bytes(),
        backup: task.backup,
        archive: task.archive,
        base: base_ref.as_ref().map(|base| base.backup),
        kind: if base.is_some() { ArchiveType::Incremental } else { ArchiveType::Full },
    };
    let (dek, sdek) = (DataKey::generate()?, DataKey::generate()?);
    let digest = StateDigest::new(&vault.digest_key)?;
    let padding = vault.trust.current().padding;
    let schema: Arc<Schema> = Arc::clone(&description.schema);
    let (cx, spool) = (cx.clone(), vault.spool.clone());
    let soft_deleted = reading.soft_deleted.clone();
    let revision = reading.revision.clone();
    let view = base.as_ref().map(|base| Arc::clone(&base.view));
    let (dek, sdek, written) = blocking(move || {
        let writing = write::Writing {
            ids,
            suite,
            padding,
            dek: &dek,
            sdek: &sdek,
            digest,
            base: view.as_deref(),
            schema: &schema,
        };
        let written = write::write(&cx, writing, reading, details, &spool)?;
        Ok((dek, sdek, written))
    })
    .await?;
    let (spool, sealed, details) = written;
    Ok(Prepared {
        backup: task.backup,
        archive: task.archive,
        spool,
        sealed,
        dek,
        sdek,
        suite,
        details,
        base: base_ref,
        base_part: base.map(|base| base.part),
        kind: task.kind,
        started: task.started,
        ended,
        soft_deleted,
        revision,
    })
}

fn details(
    cx: &Context,
    source: &dyn Source,
    description: &Description,
    options: &BackupOptions,
    task: &Task,
    reading: &capture::Reading,
) -> Result<Details> {
    Ok(Details {
        name: task.name.clone(),
        application: options.application.clone(),
        environment: options.environment.clone(),
        tags: options.tags.clone(),
        description: options.description.clone(),
        reason: cx.reason().map(str::to_owned),
        actor: cx.actor().to_owned(),
        gateway: source.address(),
        handles: description.handles.clone(),
        product: description.product.clone(),
        version: description.version.clone(),
        kinds: BTreeMap::new(),
        resources: 0,
        bytes: 0,
        gaps: Vec::new(),
        secrets: 0,
        without_secrets: options.without_secrets,
        state_digest: String::new(),
        schema_digest: schema_digest(&description.schema)?,
        id_scheme: description.schema.id_scheme,
        window: CaptureWindow {
            consistency: if reading.consistent { "consistent" } else { "fuzzy" }.to_owned(),
            passes: reading.passes,
        },
        why_full: task.why_full.clone(),
        software: concat!("gwbackup ", env!("CARGO_PKG_VERSION")).to_owned(),
    })
}

fn schema_digest(schema: &Schema) -> Result<String> {
    use sha2::{Digest as _, Sha256};
    let bytes = serde_json::to_vec(schema)
        .map_err(|_| Error::invalid("the gateway's schema cannot be written"))?;
    Ok(hex::encode(&Sha256::digest(bytes)))
}

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
    let mut objects = Vec::new();
    let own = Some(prepared.sealed.commitment);
    let (name, file) =
        vault.wrap(cx, KeyPurpose::Archive, prepared.archive, &prepared.dek, own).await?;
    objects.push((name, Body::Bytes(file.stored().clone())));
    // Readers go by the count, which for an incremental includes what only its base holds.
    if prepared.sealed.has_secrets || prepared.details.secrets > 0 {
        let (name, file) =
            vault.wrap(cx, KeyPurpose::Secrets, prepared.archive, &prepared.sdek, None).await?;
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
    finish(vault, cx, &prepared, &name, &manifest.digest(), &outcomes).await
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
    if let crate::vault::Standing::Away(why) | crate::vault::Standing::Foreign(why) =
        &place.standing
    {
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
        Err(e) if e.kind() == ErrorKind::Unavailable => {
            crate::catalog::Head { seq: 0, digest: String::new() }
        }
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
    })
}
