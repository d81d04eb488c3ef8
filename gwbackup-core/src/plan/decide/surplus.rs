//! What the target has and the backup does not know.

use std::collections::HashMap;

use super::{Decider, Decision, Links, covering, held};
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
        let gone: Vec<&Head> = sides
            .actual
            .heads()
            .iter()
            .filter(|head| !self.matching.is_taken(&head.key))
            .filter(|head| !self.matching.is_contested(&head.key))
            .collect();
        let mut pruned = 0_usize;
        let mut going: HashMap<&Key, Option<Action>> = HashMap::new();
        for head in &gone {
            going.insert(&head.key, self.removal(head)?);
        }
        for head in &gone {
            let action = match going.get(&head.key).copied().flatten() {
                // What lies below a thing that goes, goes with it: a roll back must know.
                None if self.goes_along(head, &going) => Some(Action::Delete),
                action => action,
            };
            let (Some(action), Some(actual)) = (action, sides.live.get(&head.key)?) else {
                self.decided.summary.foreign += 1;
                continue;
            };
            if let Some(gap) = self.unseen_below(head).filter(|_| action == Action::Delete) {
                let why = format!("what lies below it could not be read: {}", gap.detail);
                self.item(&actual, Decision::Blocked(why), None, Vec::new());
                continue;
            }
            let ours = self.ours.contains(&head.key);
            pruned += usize::from(!ours);
            let undo = self.undo(&actual, Some(&actual), action);
            let links =
                Links { holds: held(sides.rules, sides.actual, &actual), ..Links::default() };
            let change = Change {
                no: ChangeNo(0),
                key: head.key.clone(),
                there: None,
                parent: head.parent.clone(),
                action,
                undo,
                bytes: head.bytes,
            };
            self.push(change, links);
            self.item(&actual, Decision::Do(action), Some(head.key.clone()), Vec::new());
        }
        self.check_prune(pruned)
    }

    /// What is done about one of the target's things that the backup does not know; `None` to leave
    /// it alone.
    fn removal(&self, head: &Head) -> Result<Option<Action>> {
        let sides = self.sides;
        let wanted = self.options.prune || self.ours.contains(&head.key);
        let Some(spec) = sides.rules.spec(&head.key.kind).filter(|_| wanted) else {
            return Ok(None);
        };
        if covering(sides.backup.gaps(), &head.key).is_some() || spec.restore != Restore::Always {
            return Ok(None);
        }
        let Some(actual) = sides.live.get(&head.key)? else { return Ok(None) };
        Ok(match spec.presence.is_fixed(&head.key.id.last()) {
            _ if actual.owner.is_some() || !spec.verbs.delete => None,
            true => Some(Action::Reset),
            false => Some(Action::Delete),
        })
    }

    /// A part of the target that nobody has seen, and that would go with this thing.
    fn unseen_below(&self, head: &Head) -> Option<&'a Gap> {
        let Sides { rules, desired, live, .. } = self.sides;
        let goes_along = |kind: &Kind| {
            let owned = |r: &RefSpec| r.role == Role::Owner && r.kinds.contains(&head.key.kind);
            rules.spec(kind).is_some_and(|spec| spec.references.iter().any(owned))
                || desired.heads().iter().any(|other| {
                    let above = other.parent.as_ref();
                    other.key.kind == *kind && above.is_some_and(|p| p.kind == head.key.kind)
                })
        };
        live.gaps().iter().filter(|gap| gap.cause != Cause::NotOffered).find(|gap| {
            let inside = gap.under.as_ref().is_some_and(|under| under.is_under(&head.key.id));
            let around = gap.under.as_ref().is_none_or(|under| head.key.id.is_under(under));
            inside || (around && gap.kind.as_ref().is_none_or(goes_along))
        })
    }

    /// Whether something above it is deleted.
    fn goes_along(&self, head: &Head, going: &HashMap<&Key, Option<Action>>) -> bool {
        let index = self.sides.actual;
        let mut above = head.parent.as_ref();
        while let Some(key) = above {
            if going.get(key) == Some(&Some(Action::Delete)) {
                return true;
            }
            above = index.head(key).and_then(|head| head.parent.as_ref());
        }
        false
    }

    fn check_prune(&self, pruned: usize) -> Result<()> {
        let all = self.sides.actual.heads().len();
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
