//! Where things are now, for whoever reads a document.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};

use super::{Material, Progress, World};
use crate::model::{Action, ChangeNo, HandleName, Key, There};
use crate::plan::{Located, Places, PlannedPlaces};

/// Places of the backup's things, in a run.
#[derive(Debug, Clone)]
pub(super) struct Forward(pub(super) Arc<Material>, pub(super) Arc<RwLock<Progress>>);

impl Places for Forward {
    fn locate(&self, key: &Key, handle: &HandleName) -> Located {
        let Self(material, progress) = self;
        let made = {
            let progress = progress.read().unwrap_or_else(PoisonError::into_inner);
            progress.made().get(key).cloned().or_else(|| {
                let there = material.matching.there(key)?;
                progress.remade().get(&there).cloned()
            })
        };
        if let Some(there) = made {
            of_made(&there, handle)
        } else {
            PlannedPlaces { matching: &material.matching, renewed: None }.locate(key, handle)
        }
    }
}

/// Places of the target's own things, in a roll back.
#[derive(Debug, Clone)]
pub(super) struct Back(pub(super) Arc<Material>, pub(super) Arc<RwLock<Progress>>);

impl Places for Back {
    fn locate(&self, key: &Key, handle: &HandleName) -> Located {
        let Self(material, progress) = self;
        let progress = progress.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(there) = progress.remade().get(key) {
            return of_made(there, handle);
        }
        let gone = material.by_target.get(key).is_some_and(|no| {
            let no = material.removal(*no).unwrap_or(*no);
            let action = material.changes.get(&no).map(|change| change.action);
            let perhaps = progress.applied.contains(&no) || progress.doubtful.contains(&no);
            action == Some(Action::Delete) && perhaps
        });
        if gone { Located::Nowhere } else { Located::AsItIs }
    }
}

/// The same for one step: what that makes anew has no name yet.
#[derive(Debug)]
pub(super) struct Within<'a> {
    pub(super) world: &'a World,
    pub(super) step: &'a BTreeSet<ChangeNo>,
    /// Whether the target's own things are meant.
    pub(super) back: bool,
}

impl Places for Within<'_> {
    fn locate(&self, key: &Key, handle: &HandleName) -> Located {
        let World { material, forward, back, .. } = self.world;
        let (changes, places): (_, &dyn Places) =
            if self.back { (&material.by_target, back) } else { (&material.by_key, forward) };
        let anew = changes.get(key).filter(|no| self.step.contains(no)).is_some_and(|no| {
            material.changes.get(no).is_some_and(|change| change.action == Action::Replace)
        });
        let is_named = |progress: &Progress| {
            let known = if self.back { progress.remade() } else { progress.made() };
            known.contains_key(key)
        };
        if anew && !self.world.progress(is_named) {
            return Located::Nowhere;
        }
        places.locate(key, handle)
    }
}

fn of_made(there: &There, handle: &HandleName) -> Located {
    if *handle == HandleName::id() {
        return Located::At(there.key.id.last().into_owned());
    }
    there.is.get(handle).map_or(Located::AsItIs, |value| Located::At(value.clone()))
}
