//! Taking a backup: capture, seal, copy, read back, commit.

mod base;
mod capture;
mod commit;
mod prepare;
mod tear;
mod write;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use uuid::Uuid;

use crate::catalog::{BackupFacts, EventDraft, EventKind, EventOutcome, State};
use crate::clock::{Timestamp, millis};
use crate::context::Context;
use crate::crypt::{hex, random, uuid_v7};
use crate::error::{Error, Result};
use crate::model::{Description, Gap, Kind, Presence, Rules, Scope, Verdict};
use crate::plan::Selector;
use crate::sink::ObjectName;
use crate::source::{Purpose, Source};
use crate::vault::{Vault, stamp};

pub use crate::vault::LeftOut;
pub(crate) use base::{Base, choose};
pub(crate) use commit::commit;
pub(crate) use prepare::{Prepared, prepare};

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
    /// Recipients with a right to it who cannot open it, because their secret was not given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    /// What people should know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// When the capture began.
    #[serde(serialize_with = "millis")]
    pub started_at: Timestamp,
    /// When it ended.
    #[serde(serialize_with = "millis")]
    pub ended_at: Timestamp,
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
    let rules = Rules::new(Arc::clone(&description.schema));
    options.only.iter().try_for_each(|selector| selector.known_to(&rules))?;
    let (base, why_full) = choose(vault, cx, source.as_ref(), &description, options).await?;
    let kind = if base.is_some() { "incremental" } else { "full" };
    let task = Task { why_full, ..Task::new(cx, options, kind)? };
    let backup = task.backup;
    let base_id = base.as_ref().map(|base| base.found.manifest.backup);
    announce(vault, cx, backup, BackupFacts { base: base_id, ..task.facts(options) }).await?;
    let made = async {
        let prepared = prepare(vault, cx, &source, &description, options, task, base).await?;
        commit(vault, cx, prepared).await
    };
    match made.await {
        Ok(mut report) => {
            if report.kinds.keys().all(|kind| is_always_there(kind, &description)) {
                report.warnings.extend(why_empty(cx, source.as_ref(), &rules, options).await);
            }
            Ok(report)
        }
        Err(e) => {
            // The deadline ends it anyway if this cannot be written.
            let draft = EventDraft::new(
                cx,
                EventKind::BACKUP_FAIL,
                "backup",
                backup,
                EventOutcome::Failed,
            )?;
            let text = match e.reason() {
                Some(reason) => format!("{reason}: {e}"),
                None => e.to_string(),
            };
            let _ = vault.record(&cx.uncancelled(), draft.text(text)).await;
            Err(e)
        }
    }
}

/// Whether things of this kind are there in an empty gateway, too.
fn is_always_there(kind: &Kind, description: &Description) -> bool {
    let spec = description.schema.kinds.iter().find(|spec| spec.kind == *kind);
    spec.is_some_and(|spec| matches!(spec.presence, Presence::Fixed(_)))
}

/// An empty backup is rarely what somebody wanted; the gateway may know more.
async fn why_empty(
    cx: &Context,
    source: &dyn Source,
    rules: &Rules,
    options: &BackupOptions,
) -> Vec<String> {
    let what = if options.only.is_empty() {
        "nothing was found: this is a backup of an empty gateway"
    } else {
        "nothing in the gateway fits the selection"
    };
    let mut warnings = vec![what.to_owned()];
    let hints = options.only.iter().filter_map(|selector| selector.hint(rules));
    warnings.extend(hints.map(|(kind, hint)| format!("{kind}: there is no such kind; {hint}")));
    let found = source.preflight(cx, Purpose::Backup, &Scope::everything()).await;
    let told = found.unwrap_or_default().into_iter().filter(|found| found.verdict != Verdict::Ok);
    warnings.extend(told.map(|found| format!("{}: {}", found.subject, found.detail)));
    warnings
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
    backup: Uuid,
    archive: [u8; 16],
    name: String,
    kind: String,
    started: Timestamp,
    why_full: Option<String>,
}

impl Task {
    /// A safety backup of a target, before it is written.
    pub(crate) fn safety(cx: &Context, options: &BackupOptions) -> Result<Self> {
        Self::new(cx, options, "safety")
    }

    fn new(cx: &Context, options: &BackupOptions, kind: &str) -> Result<Self> {
        let started = cx.now();
        let name = format!(
            "{}-{}-{}-{kind}",
            ObjectName::part_of(&options.application),
            ObjectName::part_of(&options.environment),
            stamp(started)
        );
        Ok(Self {
            backup: uuid_v7(cx.clock().as_ref())?,
            archive: random()?,
            name,
            kind: kind.to_owned(),
            started,
            why_full: None,
        })
    }

    /// What is known of it before it is captured.
    fn facts(&self, options: &BackupOptions) -> BackupFacts {
        BackupFacts {
            name: self.name.clone(),
            application: options.application.clone(),
            environment: options.environment.clone(),
            kind: self.kind.clone(),
            archive: hex::encode(&self.archive),
            ..BackupFacts::default()
        }
    }
}

/// Says that a backup begins: before anything of it is stored.
async fn announce(vault: &Vault, cx: &Context, backup: Uuid, mut facts: BackupFacts) -> Result<()> {
    facts.deadline = cx.now().checked_add(DEADLINE).ok();
    let kind = EventKind::BACKUP_START;
    let draft = EventDraft::new(cx, kind, "backup", backup, EventOutcome::Started)?;
    vault.record(cx, draft.data(&facts)?).await.map(drop)
}
