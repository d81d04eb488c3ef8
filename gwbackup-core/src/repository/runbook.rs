//! Checklists, from what the log tells.

use uuid::Uuid;

use super::{BackupInfo, Repository};
use crate::archive::Capture;
use crate::catalog::{DrillVerdict, Event, EventKind, EventOutcome, RecoveryPoint, State};
use crate::clock::rfc3339;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::model::Cause;
use crate::restore::{EndFacts, RunStatus};
use crate::runbook::{Runbook, Standing};

impl Repository {
    /// The checklist "backup" of one backup.
    pub async fn backup_runbook(&self, cx: &Context, backup: &BackupInfo) -> Result<Runbook> {
        let events = self.vault.events(cx).await?;
        let state = self.vault.state(cx).await?;
        let point = state.point(backup.id()).unwrap_or(&backup.point);
        let (manifest, details) = (backup.manifest(), backup.details());
        let mut book = Runbook::new(format!("Backup {}", backup.name()));
        let gaps = details.gaps.iter().filter(|gap| gap.cause != Cause::NotOffered).count();
        book.done_if(
            "Everything of the gateway is in it",
            manifest.capture == Capture::Complete,
            Standing::Failed,
            format!(
                "{} resources of {} kinds, {gaps} gaps",
                details.resources,
                details.kinds.len()
            ),
        );
        book.done_if(
            "Secrets are in it",
            !details.without_secrets,
            Standing::NotApplicable,
            format!("{} secrets, under a key of their own", details.secrets),
        );
        let (healthy, wanted) = (point.healthy(), point.facts.required);
        book.done_if(
            "It is encrypted, and was read back from every copy",
            point.state(cx.now()) == State::Success || healthy as u64 >= u64::from(wanted),
            Standing::Failed,
            format!("{healthy} of {wanted} copies whole, as last seen"),
        );
        let offsite = self.vault.places.iter().filter(|place| place.copy.facts().offsite).count();
        book.done_if(
            "A copy lies elsewhere",
            offsite > 0,
            Standing::Open,
            format!("{offsite} of {} copies are offsite", self.vault.places.len()),
        );
        verified(&mut book, &events, backup.id());
        drilled(&mut book, point);
        let tags = details.tags.len();
        let text = details.description.as_ref().or(details.reason.as_ref());
        book.done_if(
            "It says why it was made",
            text.is_some() || tags > 0,
            Standing::Open,
            text.cloned().unwrap_or_else(|| format!("{tags} tags")),
        );
        let commit = events.iter().find(|e| {
            e.kind == EventKind::BACKUP_COMMIT && e.subject.id == backup.id().to_string()
        });
        logged(&mut book, commit);
        Ok(book)
    }

    /// The checklist "restore" of one run. `NotFound`.
    pub async fn restore_runbook(&self, cx: &Context, run: Uuid) -> Result<Runbook> {
        let events = self.vault.events(cx).await?;
        let state = self.vault.state(cx).await?;
        let (mut start, mut end) = (None, None);
        for event in events.iter().filter(|event| event.counts) {
            let slot = match &event.kind {
                kind if *kind == EventKind::RESTORE_START => &mut start,
                kind if *kind == EventKind::RESTORE_END => &mut end,
                _ => continue,
            };
            if let Some(facts) = event.data::<EndFacts>()?.filter(|facts| facts.run == run) {
                *slot = Some((event, facts));
            }
        }
        let (first, facts) = start
            .or_else(|| end.clone())
            .ok_or_else(|| Error::new(ErrorKind::NotFound, "there is no such run").on(run))?;
        let mut book = Runbook::new(format!("Restore onto {}", facts.target));
        match state.point(facts.backup) {
            Some(point) => {
                let now = point.state(cx.now());
                book.done_if(
                    "The backup is complete and usable",
                    now == State::Success,
                    if now == State::Partial { Standing::Open } else { Standing::Failed },
                    format!("{}: {now:?}", point.visible_name()),
                );
                drilled(&mut book, point);
            }
            None => book.step("The backup is complete and usable", Standing::Open, "it is gone"),
        }
        verified(&mut book, &events, facts.backup);
        book.done_if(
            "The way back is ready before the first write",
            facts.safety.is_some(),
            Standing::Failed,
            facts.safety.map_or("no safety backup".to_owned(), |id| format!("safety backup {id}")),
        );
        allowed(&mut book, &events, facts.backup, first.seq);
        ended(&mut book, end.as_ref().map(|(event, facts)| (*event, facts)));
        logged(&mut book, end.as_ref().map(|(event, _)| *event).or(Some(first)));
        book.step("Affected teams were told", Standing::Open, "not recorded here");
        book.step("Going live was approved", Standing::Open, "not recorded here");
        Ok(book)
    }
}

/// The answer to whoever began, where somebody had to be asked.
fn allowed(book: &mut Runbook, events: &[Event], backup: Uuid, before: u64) {
    let (name, id) = ("Who restored was allowed to", backup.to_string());
    let asked = |e: &&Event| e.counts && e.kind == EventKind::RESTORE_AUTHORIZE;
    let mut earlier = events.iter().rev().filter(asked).filter(|e| e.seq < before);
    match earlier.find(|event| event.subject.id == id) {
        None => book.step(name, Standing::NotApplicable, "nobody had to be asked"),
        Some(event) => book.done_if(
            name,
            event.outcome == EventOutcome::Success,
            Standing::Failed,
            format!("event {} of {}", event.seq, rfc3339(event.time)),
        ),
    }
}

fn verified(book: &mut Runbook, events: &[Event], backup: Uuid) {
    let id = backup.to_string();
    let last = events.iter().rev().find(|e| e.kind == EventKind::VERIFY && e.subject.id == id);
    let name = "Its integrity was verified";
    match last {
        None => book.step(name, Standing::Open, "`verify` was not run on it"),
        Some(event) => book.done_if(
            name,
            event.outcome == EventOutcome::Success,
            Standing::Failed,
            format!("event {} of {}", event.seq, rfc3339(event.time)),
        ),
    }
}

fn drilled(book: &mut Runbook, point: &RecoveryPoint) {
    let name = "Its restore was rehearsed";
    match &point.drill {
        None => book.step(name, Standing::Open, "`drill` was not run on it"),
        Some(drill) => book.done_if(
            name,
            drill.verdict != DrillVerdict::Fail,
            Standing::Failed,
            format!("{:?} on {}, drill {}", drill.verdict, rfc3339(drill.ended), drill.drill),
        ),
    }
}

fn logged(book: &mut Runbook, event: Option<&Event>) {
    let evidence = event.map_or("no event yet".to_owned(), |e| format!("signed event {}", e.seq));
    book.done_if("It is in the log", event.is_some(), Standing::Open, evidence);
}

/// What the end of a run tells.
fn ended(book: &mut Runbook, end: Option<(&Event, &EndFacts)>) {
    let names = ["Everything was written", "The gateway was read back and compared"];
    let tests = "Its behaviour was tested";
    let Some((event, facts)) = end else {
        for name in names.into_iter().chain([tests]) {
            book.step(name, Standing::Open, "the run is not over: see `status`");
        }
        return;
    };
    let count = |name: &str| event.detail.as_ref().and_then(|d| d.counts.get(name)).copied();
    book.done_if(
        names[0],
        facts.status == RunStatus::Success,
        Standing::Failed,
        format!("{:?}, {} calls", facts.status, count("applied").unwrap_or_default()),
    );
    match (count("equal"), count("different")) {
        (Some(equal), Some(different)) => book.done_if(
            names[1],
            different == 0,
            Standing::Failed,
            format!("{equal} the same to the byte, {different} different"),
        ),
        _ => book.step(names[1], Standing::Open, "nothing was counted"),
    }
    match (count("tests"), count("tests_failed")) {
        (None | Some(0), _) => book.step(tests, Standing::Open, "no tests were run"),
        (Some(all), failed) => book.done_if(
            tests,
            failed.unwrap_or_default() == 0,
            Standing::Failed,
            format!("{all} tests, {} failed", failed.unwrap_or_default()),
        ),
    }
}
