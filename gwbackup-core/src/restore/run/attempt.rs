//! One group, called until it is known what became of it, or nothing more can be learnt.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;

use async_trait::async_trait;

use super::Run;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result, Retry};
use crate::model::{
    Attempt, Change, ChangeNo, Effect, Group, Handles, Key, Outcome, Step, StepReceipt,
};
use crate::plan::Arranged;
use crate::restore::journal::{Became, ChangeResult, GroupResult, Journal, Record};
use crate::retry::{Pauses, rest};
use crate::target::StepLog;

/// In which direction, and of which arrangement, a group is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Forward,
    Back,
    /// Forward again, of the first arrangement, to learn what became of it.
    Settling,
}

/// How the attempts of a group ended.
pub(super) enum End {
    Result(GroupResult),
    /// Before it was known: `Cancelled`, or `Unauthenticated`.
    Interrupted(Error),
}

/// An error that ends a run where it stands. Whoever is not let in can undo nothing either: the run
/// waits for credentials.
pub(super) fn ends_run(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Cancelled | ErrorKind::Unauthenticated)
}

impl Run {
    /// One group, with all its attempts.
    pub(super) async fn call(
        &self,
        cx: &Context,
        arranged: &Arranged,
        group: usize,
        direction: Direction,
    ) -> End {
        let Some(plan) = arranged.groups.get(group) else {
            return End::Interrupted(Error::corrupt("the arrangement names a group that it lacks"));
        };
        let backwards = direction == Direction::Back;
        let settling = direction == Direction::Settling;
        let changes: Vec<Change> =
            plan.changes.iter().filter_map(|no| self.world.asked(*no, backwards)).collect();
        let doubtful = self.world.progress(|p| plan.changes.iter().any(|n| p.doubtful.contains(n)));
        let log = Notes {
            cx,
            journal: &self.journal,
            group,
            settling,
            last: tokio::sync::Mutex::new(self.last_note(group, plan, settling)),
        };
        let first = if settling || self.state.started.contains(&group) || doubtful {
            Attempt::Again { checkpoint: log.last.lock().await.clone() }
        } else {
            Attempt::First
        };
        let mut step = Step {
            token: format!("{}-{}{group}", self.id, if backwards { "r" } else { "" }),
            changes,
            rewrites: plan.rewrites.clone(),
            attempt: first,
        };
        let states = self.world.around(&plan.changes, backwards);
        let mut pauses = Pauses::new();
        let mut heard: Option<GroupResult> = None;
        let is_first = step.attempt == Attempt::First;
        let mut open: HashSet<ChangeNo> =
            if is_first { HashSet::new() } else { plan.changes.iter().copied().collect() };
        loop {
            let fresh = step.attempt == Attempt::First;
            let mut untried = false;
            let answer = self.target.apply(cx, &self.description, &step, &states, &log).await;
            let error = match answer {
                Ok(receipt) => match told(group, &plan.changes, &step.changes, receipt) {
                    Told::Final(mut result) => {
                        self.note_silence(false);
                        keep_open(&mut result, &mut open);
                        return End::Result(result);
                    }
                    Told::Again(error, mut result) => {
                        keep_open(&mut result, &mut open);
                        untried =
                            fresh && result.changes.iter().all(|c| c.became == Became::NotDone);
                        heard = Some(result);
                        error
                    }
                },
                Err(error) => {
                    open.extend(&plan.changes);
                    error
                }
            };
            if ends_run(&error) {
                return End::Interrupted(error);
            }
            let untouched = fresh && error.kind() == ErrorKind::Conflict;
            let Some(pause) = pauses.after(&error) else {
                self.note_silence(error.kind() == ErrorKind::Unavailable);
                let given_up = given_up(group, plan, &step.changes, &error, untouched);
                let Some(mut heard) = heard.filter(|_| !untouched) else {
                    return End::Result(given_up);
                };
                keep_open(&mut heard, &mut open);
                return End::Result(GroupResult { error: given_up.error, ..heard });
            };
            if let Err(error) = rest(cx, pause).await {
                return End::Interrupted(error);
            }
            if !untried {
                step.attempt = Attempt::Again { checkpoint: log.last.lock().await.clone() };
            }
        }
    }

    /// A step that is not called: another had failed, or the target is away. What an earlier call
    /// left in doubt stays so.
    pub(super) fn not_begun(&self, arranged: &Arranged, group: usize) -> End {
        let changes = arranged.groups.get(group).map(|plan| plan.changes.as_slice());
        let changes = changes.unwrap_or_default().iter();
        let became = |no: &ChangeNo| {
            let doubtful = self.world.progress(|p| p.doubtful.contains(no));
            if doubtful { Became::Unknown } else { Became::NotDone }
        };
        End::Result(GroupResult {
            group,
            changes: changes.map(|no| change_result(*no, became(no))).collect(),
            error: Some("not begun: another step had failed, or the target is away".to_owned()),
            side_effects: Vec::new(),
        })
    }

    /// Counts steps in a row that were given up for want of an answer.
    fn note_silence(&self, silent: bool) {
        if silent {
            self.unanswered.fetch_add(1, Ordering::Relaxed);
        } else {
            self.unanswered.store(0, Ordering::Relaxed);
        }
    }

    /// The last note of this group, or of a step of the other direction with the same change.
    fn last_note(&self, group: usize, plan: &Group, settling: bool) -> Option<serde_json::Value> {
        let of_change = || plan.changes.iter().find_map(|no| self.state.change_notes.get(no));
        let of_group = if settling { None } else { self.state.notes.get(&group) };
        of_group.or_else(of_change).cloned()
    }
}

enum Told {
    Final(GroupResult),
    /// What is known so far, should no attempt tell more.
    Again(Error, GroupResult),
}

/// A refusal tells what one attempt did not do. What an earlier one left open stays open: its effect
/// may be there. `open` is brought up to date.
fn keep_open(result: &mut GroupResult, open: &mut HashSet<ChangeNo>) {
    for told in &mut result.changes {
        match told.became {
            Became::Done => {
                open.remove(&told.no);
            }
            Became::Unknown => {
                open.insert(told.no);
            }
            Became::NotDone if open.contains(&told.no) => told.became = Became::Unknown,
            Became::NotDone => {}
        }
    }
}

/// What a receipt says about the changes of a step, or the error that another attempt may mend.
fn told(group: usize, numbers: &[ChangeNo], asked: &[Change], receipt: StepReceipt) -> Told {
    let mut result =
        GroupResult { group, changes: Vec::new(), error: None, side_effects: Vec::new() };
    let named: HashSet<&Key> = asked.iter().map(|change| &change.key).collect();
    let mut outcomes: HashMap<Key, Outcome> = HashMap::new();
    for outcome in receipt.outcomes {
        if named.contains(&outcome.key) {
            outcomes.insert(outcome.key.clone(), outcome);
        } else {
            result.side_effects.push(outcome.key);
        }
    }
    let mut again = None;
    for (no, change) in numbers.iter().zip(asked) {
        let Some(outcome) = outcomes.remove(&change.key) else {
            result.error =
                Some(format!("{}: the target did not say what became of it", change.key));
            result.changes.push(change_result(*no, Became::Unknown));
            continue;
        };
        let became = match outcome.effect {
            Effect::Failed(error) => {
                if ends_run(&error) {
                    again = Some(error);
                } else if error.retry() == Retry::Never {
                    let text = format!("{}: {}", change.key, full_text(&error));
                    result.error.get_or_insert(text);
                } else {
                    again.get_or_insert(error);
                }
                Became::NotDone
            }
            Effect::Unknown(Some(error)) if error.retry() == Retry::Never => {
                let text = format!("{}: {}", change.key, full_text(&error));
                result.error.get_or_insert(text);
                Became::Unknown
            }
            Effect::Unknown(why) => {
                let message = "the answer is unknown";
                let unknown = || Error::new(ErrorKind::Unavailable, message).on(&change.key);
                again.get_or_insert_with(|| why.unwrap_or_else(unknown));
                Became::Unknown
            }
            _ => Became::Done,
        };
        result.changes.push(ChangeResult {
            no: *no,
            became,
            there: outcome.there,
            handles: outcome.handles,
        });
    }
    match again {
        Some(error) => Told::Again(error, result),
        None => Told::Final(result),
    }
}

/// An error's text with those of its causes.
pub(in crate::restore) fn full_text(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// A step that failed for good without a receipt.
fn given_up(
    group: usize,
    plan: &Group,
    asked: &[Change],
    error: &Error,
    untouched: bool,
) -> GroupResult {
    let became = if untouched { Became::NotDone } else { Became::Unknown };
    let first = asked.first().map(|change| change.key.to_string()).unwrap_or_default();
    GroupResult {
        group,
        changes: plan.changes.iter().map(|no| change_result(*no, became)).collect(),
        error: Some(format!("{first}: {}", full_text(error))),
        side_effects: Vec::new(),
    }
}

fn change_result(no: ChangeNo, became: Became) -> ChangeResult {
    ChangeResult { no, became, there: None, handles: Handles::new() }
}

/// A target's notes go to the journal.
#[derive(Debug)]
struct Notes<'a> {
    cx: &'a Context,
    journal: &'a Journal,
    group: usize,
    settling: bool,
    last: tokio::sync::Mutex<Option<serde_json::Value>>,
}

#[async_trait]
impl StepLog for Notes<'_> {
    async fn checkpoint(&self, note: serde_json::Value) -> Result<()> {
        let (group, settling) = (self.group, self.settling);
        let record = Record::Note { group, note: note.clone(), settling };
        self.journal.write(self.cx, &record).await?;
        *self.last.lock().await = Some(note);
        Ok(())
    }
}
