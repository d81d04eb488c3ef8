//! Taking up a run that was cut off.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use super::about::{About, EndFacts};
use super::journal::{Begin, Journal};
use super::prepare::{desired, material};
use super::run::{Run, State, begin};
use super::store::VaultRecords;
use super::world::{Progress, World};
use crate::archive::Details;
use crate::catalog::{EventDraft, EventKind, EventOutcome};
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Key, Rules, Supplied};
use crate::target::Target;
use crate::task::blocking;
use crate::vault::Vault;

/// A run as its journal left it.
pub(crate) struct Resumed {
    pub(crate) run: Run,
    pub(crate) begin: Begin,
    pub(crate) details: Details,
    pub(crate) about: About,
    pub(crate) left_alone: BTreeSet<Key>,
    /// Whether the plan leaves something that the vendor offers no way for.
    pub(crate) partial: bool,
    /// Whether the log tells of its end.
    pub(crate) announced: bool,
}

/// Takes up a run from its journal.
pub(crate) async fn resume(
    vault: &Arc<Vault>,
    cx: &Context,
    id: uuid::Uuid,
    target: Arc<dyn Target>,
) -> Result<Resumed> {
    let store = Arc::new(VaultRecords { vault: Arc::clone(vault), run: id });
    let told = told_of(vault, cx, id).await?;
    let (journal, records) = match Journal::load(cx, store).await {
        Err(e) if e.kind() == ErrorKind::NotFound => {
            return Err(never_begun(vault, cx, told).await?.unwrap_or(e));
        }
        loaded => loaded?,
    };
    let begin = begin(&records)?.clone();
    if begin.target != target.address() {
        return Err(Error::refused("the run is about another gateway")
            .on(&begin.target)
            .help("give the gateway that the run was started on"));
    }
    let state = vault.state(cx).await?;
    let known = |backup: uuid::Uuid| {
        state.point(backup).ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "a backup that the run needs is gone").on(backup)
        })
    };
    let found = vault.manifest(cx, known(begin.backup)?).await?;
    let backup = vault.view_of(cx, &found).await?;
    let live = vault.view(cx, known(begin.safety)?).await?;
    let description = target.describe(cx).await?;
    let rules = Rules::new(Arc::clone(&description.schema));
    let mut desired = desired(backup, &rules, &begin.options).await?;
    if let Some(sealed) = &begin.secrets {
        let plain = vault.open_confidential(cx, *id.as_bytes(), sealed).await?;
        desired = desired.with(Supplied::from_plain(&plain)?, &rules)?;
    }
    let mut made = {
        let begin = begin.clone();
        blocking(move || {
            let soft_deleted = begin.soft_deleted.iter().cloned().collect();
            material(rules, desired, live, &begin.options, &begin.kept, &soft_deleted)
        })
        .await?
    };
    let same = made.material.changes.values().eq(begin.arranged.planned());
    if !same {
        return Err(Error::new(
            ErrorKind::Conflict,
            "the plan of the run cannot be made again: the provider's rules have changed",
        )
        .on(id)
        .help("use the version that began the run, or restore the safety backup"));
    }
    made.take_early(&begin.arranged);
    let world = World::new(Arc::new(made.material), Progress::default());
    let point = known(begin.backup)?;
    let target_address = begin.target.clone();
    let about =
        About::new(point, &found, target_address, &made.summary, &made.items, &made.findings);
    let left_alone = made.left_alone;
    let partial = made.summary.cannot_restore > 0;
    let mut run = Run {
        id,
        target,
        description,
        world,
        journal,
        links: made.links,
        kept: begin.kept.clone(),
        state: State::new(begin.arranged.clone()),
        unanswered: AtomicUsize::new(0),
    };
    run.replay(&records);
    let announced =
        told.is_some_and(|(ended, facts)| ended && Some(facts.status) == run.state.ended);
    let details = found.details;
    Ok(Resumed { run, begin, details, about, left_alone, partial, announced })
}

/// What the log last told of a run, and whether that was an end.
async fn told_of(vault: &Vault, cx: &Context, run: uuid::Uuid) -> Result<Option<(bool, EndFacts)>> {
    for event in vault.events(cx).await?.iter().rev().filter(|event| event.counts) {
        let ended = event.kind == EventKind::RESTORE_END;
        if !ended && event.kind != EventKind::RESTORE_START {
            continue;
        }
        if let Some(facts) = event.data::<EndFacts>()?.filter(|facts| facts.run == run) {
            return Ok(Some((ended, facts)));
        }
    }
    Ok(None)
}

/// Closes a run that was announced and never got as far as its journal.
async fn never_begun(
    vault: &Vault,
    cx: &Context,
    told: Option<(bool, EndFacts)>,
) -> Result<Option<Error>> {
    let Some((ended, facts)) = told else { return Ok(None) };
    if !ended {
        vault.writable()?;
        let kind = EventKind::RESTORE_END;
        let draft =
            EventDraft::new(cx, kind, "run", facts.run, EventOutcome::Failed)?.data(&facts)?;
        vault.record(cx, draft).await?;
    }
    let error =
        Error::refused("the run was cut off before its first write: the target is as it was");
    Ok(Some(error.on(facts.run).help("make a new plan")))
}
