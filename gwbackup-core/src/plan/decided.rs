//! What a plan has decided.

use super::dependency::Outside;
use super::{Item, Summary};
use crate::model::{Change, ChangeNo, HandleName, Key, Role};

/// All decisions of a plan.
#[derive(Debug, Default)]
pub(crate) struct Decided {
    pub(crate) items: Vec<Item>,
    pub(crate) changes: Vec<Change>,
    pub(crate) links: Vec<Links>,
    pub(crate) summary: Summary,
    /// What the written resources name outside the gateway.
    pub(crate) outside: Outside,
}

impl Decided {
    /// Keeps these changes alone, under new numbers.
    pub(super) fn retain(&mut self, keep: impl Fn(&Change) -> bool) {
        let links = std::mem::take(&mut self.links);
        let kept = std::mem::take(&mut self.changes).into_iter().zip(links);
        for (mut change, links) in kept.filter(|(change, _)| keep(change)) {
            change.no = ChangeNo(u32::try_from(self.changes.len()).unwrap_or(u32::MAX));
            self.changes.push(change);
            self.links.push(links);
        }
    }
}

/// What a change has to do with other resources: by keys of the backup, and of the target.
#[derive(Debug, Default, Clone)]
pub(crate) struct Links {
    /// What must be there before it is written.
    pub(crate) needs: Vec<(Key, Role)>,
    /// What may only go after it.
    pub(crate) holds: Vec<Key>,
    /// Who has a unique name that it takes, and which.
    pub(crate) claims: Vec<(Key, HandleName)>,
    /// Unique names that it could let go of for a while: where the text of each stands.
    pub(crate) names: Vec<(HandleName, String)>,
    /// What is replaced, by keys of the target, and would take it along.
    pub(crate) falls: Vec<Key>,
}
