//! What the target has and the backup does not know.

use std::collections::HashMap;

use super::change::held;
use super::verdict::covering;
use super::{Decider, Decision, Links};
use crate::error::{Error, Result};
use crate::model::{Action, Cause, Change, ChangeNo, Gap, Key, Kind, RefSpec, Restore, Role};
use crate::plan::index::Head;
use crate::plan::matching::Sides;

impl<'a> Decider<'a> {
    /// What the target has and the backup does not know.
    pub(super) fn surplus(&mut self) -> Result<()> {
        if self.selected.is_some() {
            return Ok(());
        }
        let sides = self.sides;
        let matching = self.matching;
        let gone = || {
            let free = sides.actual.heads().filter(|head| !matching.is_taken(*head));
            free.filter(|head| !matching.is_contested(*head))
        };
        let mut pruned = 0_usize;
        let mut going: HashMap<u32, Action> = HashMap::new();
        for head in gone() {
            going.extend(self.removal(head)?.map(|action| (head.no(), action)));
        }
        for head in gone() {
            let action = match going.get(&head.no()) {
                // What lies below a thing that goes, goes with it: a roll back must know.
                None if self.goes_along(head, &going) => Some(Action::Delete),
                action => action.copied(),
            };
            let actual = action.map(|_| sides.live.get(&head.key())).transpose()?.flatten();
            let (Some(action), Some(actual)) = (action, actual) else {
                self.decided.summary.foreign += 1;
                continue;
            };
            if let Some(gap) = self.unseen_below(&actual.key).filter(|_| action == Action::Delete) {
                let why = format!("what lies below it could not be read: {}", gap.detail);
                self.item(&actual, Decision::Blocked(why), None, Vec::new());
                continue;
            }
            let ours = self.ours.contains(&actual.key);
            pruned += usize::from(!ours);
            let undo = self.undo(&actual, Some(&actual), action);
            let links =
                Links { holds: held(sides.rules, sides.actual, &actual), ..Links::default() };
            let change = Change {
                no: ChangeNo(0),
                key: actual.key.clone(),
                there: None,
                parent: actual.parent.clone(),
                action,
                undo,
                bytes: actual.document.len() as u64,
            };
            self.push(change, links);
            self.item(&actual, Decision::Do(action), Some(actual.key.clone()), Vec::new());
        }
        self.check_prune(pruned)
    }

    /// What is done about one of the target's things that the backup does not know; `None` to leave
    /// it alone.
    fn removal(&self, head: Head<'_>) -> Result<Option<Action>> {
        let sides = self.sides;
        let wanted = self.options.prune || !self.ours.is_empty();
        let Some(spec) = sides.rules.spec(head.kind()).filter(|_| wanted) else {
            return Ok(None);
        };
        let key = head.key();
        let wanted = self.options.prune || self.ours.contains(&key);
        let known = covering(sides.backup.gaps(), &key).is_none();
        if !wanted || !known || spec.restore != Restore::Always {
            return Ok(None);
        }
        let Some(actual) = sides.live.get(&key)? else { return Ok(None) };
        Ok(match spec.presence.is_fixed(&key.id.last()) {
            _ if actual.owner.is_some() || !spec.verbs.delete => None,
            true => Some(Action::Reset),
            false => Some(Action::Delete),
        })
    }

    /// A part of the target that nobody has seen, and that would go with this thing.
    fn unseen_below(&self, key: &Key) -> Option<&'a Gap> {
        let Sides { rules, desired, live, .. } = self.sides;
        let goes_along = |kind: &Kind| {
            let owned = |r: &RefSpec| r.role == Role::Owner && r.kinds.contains(&key.kind);
            rules.spec(kind).is_some_and(|spec| spec.references.iter().any(owned))
                || desired
                    .heads_of(kind)
                    .any(|other| other.parent().is_some_and(|above| above.kind == key.kind))
        };
        live.gaps().iter().filter(|gap| gap.cause != Cause::NotOffered).find(|gap| {
            let inside = gap.under.as_ref().is_some_and(|under| under.is_under(&key.id));
            let around = gap.under.as_ref().is_none_or(|under| key.id.is_under(under));
            inside || (around && gap.kind.as_ref().is_none_or(goes_along))
        })
    }

    /// Whether something above it is deleted.
    fn goes_along(&self, head: Head<'_>, going: &HashMap<u32, Action>) -> bool {
        if going.is_empty() {
            return false;
        }
        let index = self.sides.actual;
        let above = |head: Head<'_>| head.parent().and_then(|parent| index.head(&parent));
        std::iter::successors(above(head), |head| above(*head))
            .any(|head| going.get(&head.no()) == Some(&Action::Delete))
    }

    fn check_prune(&self, pruned: usize) -> Result<()> {
        let all = self.sides.actual.len();
        let limit = usize::from(self.options.prune_limit);
        if pruned * 100 > all * limit {
            return Err(Error::refused(format!(
                "{pruned} of the target's {all} resources would be deleted, more than {limit} %"
            ))
            .help("raise the limit of the deletion (`--prune-limit`) if that is what you want"));
        }
        Ok(())
    }
}
