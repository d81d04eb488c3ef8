//! Whether what was backed up is still whole.

use serde::Serialize;

use crate::archive::View;
use crate::archive::line::LineDigest;
use crate::catalog::{CopyFacts, CopyResult, EventDraft, EventKind, EventOutcome, RecoveryPoint};
use crate::context::Context;
use crate::crypt::{DataKey, StateDigest};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Rules, Snapshot as _};
use crate::sink::{ObjectName, Sink};
use crate::task::blocking;
use crate::vault::{Found, Mend, Place, Standing, Vault};

/// How deep a verification looks. Each depth includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Depth {
    /// Manifests and wrapped keys are there, signed, and those that the log names; archives have
    /// their size.
    Manifest,
    /// Every byte of every archive is what its manifest says. Needs no key to the content.
    #[default]
    Checksum,
    /// Every archive opens, every line is read, counts and state digest are computed again.
    Full,
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The copy.
    pub copy: String,
    /// The object, or the backup.
    pub object: String,
    /// `missing`, `damaged`, `newer`, `key`, `unavailable` or `other`.
    pub kind: String,
    /// What was found.
    pub detail: String,
}

/// One object that was brought back to a copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Healed {
    /// The copy.
    pub copy: String,
    /// The object.
    pub object: String,
}

/// What a verification found.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct VerifyReport {
    /// How many backups were looked at, times copies.
    pub checked: u64,
    /// What is not as it should be, and was not healed.
    pub failures: Vec<Failure>,
    /// What was brought back; nothing unless that was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub healed: Vec<Healed>,
    /// What people should know.
    pub warnings: Vec<String>,
}

/// How a verification goes about it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Way {
    pub(crate) depth: Depth,
    /// Whether a copy that is not as it should be is made so from another.
    pub(crate) heal: bool,
}

/// Looks at these backups on every copy. What is wrong is a failure in the report, not an error.
pub(crate) async fn run(
    vault: &Vault,
    cx: &Context,
    points: &[RecoveryPoint],
    way: Way,
) -> Result<VerifyReport> {
    let depth = way.depth;
    let mut report = VerifyReport { warnings: vault.warnings.clone(), ..VerifyReport::default() };
    if way.heal {
        vault.writable()?;
        for place in vault.ready() {
            let healed = vault.heal_repository(cx, place, Mend::Damaged).await;
            report.take_healed(place, healed)?;
        }
    }
    for (n, point) in points.iter().enumerate() {
        cx.progress("verify", n as u64, Some(points.len() as u64));
        let mut facts = CopyFacts::default();
        for place in &vault.places {
            cx.check()?;
            report.checked += 1;
            let copy = place.sink().to_string();
            let mut outcome = match &place.standing {
                Standing::Ready => one(vault, cx, place.sink(), point, depth).await,
                Standing::Away(why) | Standing::Foreign(why) => {
                    Err(Error::new(ErrorKind::Unavailable, why.clone()))
                }
            };
            if way.heal && outcome.as_ref().is_err_and(|e| is_loss(kind_of(e))) {
                let healed = vault.heal(cx, place, point, Mend::Damaged).await;
                if report.take_healed(place, healed)? {
                    outcome = one(vault, cx, place.sink(), point, depth).await;
                }
            }
            let result = match outcome {
                Ok(()) => CopyResult { copy: place.id.to_string(), ok: true, detail: None },
                Err(e) if e.kind() == ErrorKind::Cancelled => return Err(e),
                Err(e) => {
                    let kind = kind_of(&e);
                    report.failures.push(Failure {
                        copy,
                        object: e.subject().map_or_else(|| point.visible_name(), str::to_owned),
                        kind: kind.to_owned(),
                        detail: e.message().to_owned(),
                    });
                    // A copy that does not answer, a key that is not here, or what only a newer
                    // version can read, says nothing about what lies there.
                    if !is_loss(kind) {
                        continue;
                    }
                    let detail = Some(e.to_string());
                    CopyResult { copy: place.id.to_string(), ok: false, detail }
                }
            };
            facts.copies.push(result);
        }
        record(vault, cx, point, depth, &facts).await?;
    }
    Ok(report)
}

impl VerifyReport {
    /// Adds what was brought back to a copy, or why nothing could be; says which.
    fn take_healed(&mut self, place: &Place, healed: Result<Vec<ObjectName>>) -> Result<bool> {
        let copy = place.sink().to_string();
        match healed {
            Ok(names) => {
                let healed =
                    |name: ObjectName| Healed { copy: copy.clone(), object: name.to_string() };
                self.healed.extend(names.into_iter().map(healed));
                Ok(true)
            }
            Err(e) if e.kind() == ErrorKind::Cancelled => Err(e),
            Err(e) => {
                self.warnings.push(format!("{copy}: not healed: {e}"));
                Ok(false)
            }
        }
    }
}

fn is_loss(kind: &str) -> bool {
    matches!(kind, "missing" | "damaged")
}

async fn record(
    vault: &Vault,
    cx: &Context,
    point: &RecoveryPoint,
    depth: Depth,
    facts: &CopyFacts,
) -> Result<()> {
    if facts.copies.is_empty() || !vault.proven {
        return Ok(());
    }
    let good = facts.copies.iter().all(|copy| copy.ok);
    let outcome = if good { EventOutcome::Success } else { EventOutcome::Failed };
    let draft = EventDraft::new(cx, EventKind::VERIFY, "backup", point.backup, outcome)?
        .text(format!("{depth:?}").to_lowercase())
        .data(facts)?;
    match vault.record(cx, draft).await {
        // A reader of a medium that cannot be written still verifies.
        Err(e) if e.kind() != ErrorKind::Cancelled => {
            tracing::warn!(error = %e, "the verification is not in the log");
            Ok(())
        }
        other => other.map(drop),
    }
}

fn kind_of(error: &Error) -> &'static str {
    match error.kind() {
        _ if error.is_newer() => "newer",
        ErrorKind::NotFound => "missing",
        ErrorKind::Corrupt => "damaged",
        ErrorKind::KeyUnavailable => "key",
        ErrorKind::Unavailable | ErrorKind::Denied | ErrorKind::Unauthenticated => "unavailable",
        _ => "other",
    }
}

async fn one(
    vault: &Vault,
    cx: &Context,
    sink: &dyn Sink,
    point: &RecoveryPoint,
    depth: Depth,
) -> Result<()> {
    let found = vault.manifest_on(cx, sink, point).await?;
    vault.wraps_on(cx, sink, &found).await?;
    let archive = &found.manifest.archive;
    let name = ObjectName::new(&archive.path)?;
    let meta = sink.head(cx, &name).await.map_err(|e| e.on(&name))?;
    if meta.size != archive.size {
        return Err(Error::corrupt("the archive has another size than recorded").on(&name));
    }
    match depth {
        Depth::Manifest => Ok(()),
        Depth::Checksum => vault.fetch(cx, sink, archive).await.map(drop),
        Depth::Full => full(vault, cx, sink, &found).await.map_err(|e| e.or_on(&name)),
    }
}

/// Reads everything from this copy, with its base from wherever it is whole.
async fn full(vault: &Vault, cx: &Context, sink: &dyn Sink, found: &Found) -> Result<()> {
    let own = vault.part_on(cx, sink, found).await?;
    let readable = found.details.secrets == 0 || own.has_secrets_key();
    let base = match &found.manifest.base {
        Some(base) => Some(vault.base_part(cx, base).await?),
        None => None,
    };
    let key = DataKey::new(*vault.digest_key.expose());
    let details = found.details.clone();
    let cx = cx.clone();
    blocking(move || {
        let view = View::open(own, base)?;
        let mut digest = LineDigest::new(Rules::new(view.description().schema.clone().into()));
        let mut state = StateDigest::new(&key)?;
        let mut kinds = std::collections::BTreeMap::new();
        for (n, resource) in view.scan()?.enumerate() {
            let resource = resource?;
            if n % 4096 == 0 {
                cx.check()?;
            }
            if readable {
                state.update(&digest.of(&resource)?);
            }
            *kinds.entry(resource.key.kind).or_insert(0_u64) += 1;
        }
        if kinds != details.kinds {
            return Err(Error::corrupt("the archive holds other resources than the manifest says"));
        }
        if readable && state.finish() != details.state_digest {
            return Err(Error::corrupt("the state has another digest than the manifest says"));
        }
        Ok(())
    })
    .await
}
