//! Changes, groups and their order: what a run needs of a plan.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::decided::Links;
use crate::model::{Change, ChangeNo, Group};

/// Changes, groups and their order.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Arranged {
    /// By their numbers; the early ones come last.
    pub(crate) changes: Vec<Change>,
    pub(crate) groups: Vec<Group>,
    pub(crate) waves: Vec<Vec<usize>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) early: Vec<Early>,
}

/// A write ahead of its time: it makes room for a later change of the same resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Early {
    /// Its own number.
    pub(crate) no: ChangeNo,
    /// The later change.
    pub(crate) of: ChangeNo,
    pub(crate) what: Room,
}

/// How room is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Room {
    /// The resource goes, since it would go along with one that is replaced.
    Removal,
    /// The texts at these pointers become such as nobody else has, since somebody waits for them who
    /// is waited for.
    Rename(Vec<String>),
}

impl Arranged {
    /// The changes of the plan, without the early writes. Of an arrangement that goes forward.
    pub(crate) fn planned(&self) -> &[Change] {
        let count = self.changes.len().saturating_sub(self.early.len());
        self.changes.get(..count).unwrap_or_default()
    }

    /// The early writes. Of an arrangement that goes forward.
    pub(crate) fn ahead(&self) -> &[Change] {
        self.changes.get(self.planned().len()..).unwrap_or_default()
    }

    /// How long the writing takes, with so many calls at one time.
    pub(crate) fn estimate(&self, parallel: u16) -> Duration {
        let parallel = u32::from(parallel.max(1));
        let wave = |wave: &Vec<usize>| {
            let times = wave.iter().filter_map(|n| self.groups.get(*n)).map(|g| g.estimate);
            let longest = times.clone().max().unwrap_or_default();
            longest.max(times.sum::<Duration>() / parallel)
        };
        self.waves.iter().map(wave).sum()
    }
}

/// The links of all changes: those of the early ones follow from those of the later.
pub(crate) fn with_early(mut links: Vec<Links>, early: &[Early]) -> Vec<Links> {
    for early in early {
        let of = usize::try_from(early.of.0).ok().and_then(|of| links.get_mut(of));
        let holds = match (of, &early.what) {
            // What the old one needs may go once it is gone.
            (Some(of), Room::Removal) => std::mem::take(&mut of.holds),
            _ => Vec::new(),
        };
        links.push(Links { holds, ..Links::default() });
    }
    links
}
