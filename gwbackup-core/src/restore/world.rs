//! The target as it is and as it shall be, at any point of a run.
//!
//! Every change of a run is either applied or not. The world with some of them applied is the
//! safety backup, with the applied changes laid over it. A step forward leads from the world without
//! its changes to the world with them; a step of a roll back leads the other way.

mod around;
mod material;
mod places;
mod progress;

use std::sync::{Arc, PoisonError, RwLock};

use crate::crypt::{fingerprint, hex};
use crate::error::Result;
use crate::model::{
    Action, Change, ChangeNo, Key, Resolved, Resource, Snapshot, Undo, absent_places,
};
use crate::plan::{Index, Places, Translator, moved_under};
use places::{Back, Forward};

pub(crate) use around::Around;
pub(crate) use material::Material;
pub(crate) use progress::Progress;

/// The world of a run.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) material: Arc<Material>,
    progress: Arc<RwLock<Progress>>,
    forward: Forward,
    back: Back,
}

impl World {
    pub(crate) fn new(material: Arc<Material>, progress: Progress) -> Self {
        let progress = Arc::new(RwLock::new(progress));
        let forward = Forward(Arc::clone(&material), Arc::clone(&progress));
        let back = Back(Arc::clone(&material), Arc::clone(&progress));
        Self { material, progress, forward, back }
    }

    /// Reads the progress.
    pub(crate) fn progress<T>(&self, read: impl FnOnce(&Progress) -> T) -> T {
        read(&self.progress.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the progress.
    pub(crate) fn advance(&self, write: impl FnOnce(&mut Progress)) {
        write(&mut self.progress.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Where a thing of the backup is in the target now: made by this run, or matched.
    pub(crate) fn there(&self, key: &Key) -> Option<Key> {
        self.progress(|progress| {
            if let Some(there) = progress.made().get(key) {
                return Some(there.key.clone());
            }
            let there = self.material.matching.there(key)?;
            Some(progress.remade().get(&there).map_or(there, |again| again.key.clone()))
        })
    }

    /// Where a thing that a finished run should have left is now: one of the backup, or after a roll
    /// back one of the target as it was.
    pub(crate) fn now_at(&self, key: &Key, rolled_back: bool) -> Option<Key> {
        if !rolled_back {
            return self.there(key).or_else(|| {
                let no = self.material.by_key.get(key)?;
                let done = self.progress(|progress| progress.applied.contains(no));
                done.then(|| self.material.changes.get(no).map(|change| self.key_of(change)))?
            });
        }
        let again = self.progress(|p| p.remade().get(key).map(|t| t.key.clone()));
        let moved = || {
            let parent = self.material.actual.head(key)?.parent()?;
            let there = self.now_at(&parent, true)?;
            moved_under(key, &parent, &there)
        };
        Some(again.or_else(moved).unwrap_or_else(|| key.clone()))
    }

    /// Reads documents of the backup (or of the target as it was) in the handles of now.
    pub(crate) fn translator(&self, rolled_back: bool) -> Translator<'_> {
        self.reading(rolled_back, if rolled_back { &self.back } else { &self.forward })
    }

    fn reading<'a>(&'a self, rolled_back: bool, places: &'a dyn Places) -> Translator<'a> {
        let material = &self.material;
        let gateway = &material.actual.gateway;
        let (index, snapshot): (&Index, &dyn Snapshot) = if rolled_back {
            (&material.actual, material.live.as_ref())
        } else {
            (&material.desired, material.backup.as_ref())
        };
        Translator::new(&material.rules, index, snapshot, gateway, places)
    }

    /// The two sides of a step.
    pub(crate) fn around(&self, step: &[ChangeNo], backwards: bool) -> Around {
        Around { world: self.clone(), step: Arc::new(step.iter().copied().collect()), backwards }
    }

    /// A change as the target is asked to make it.
    pub(crate) fn asked(&self, no: ChangeNo, backwards: bool) -> Option<Change> {
        let material = &self.material;
        let change = material.changes.get(&no)?;
        if !backwards {
            let gone = change.action == Action::Replace && material.is_made(change);
            let made = || Change {
                action: Action::Create,
                there: None,
                undo: Undo::Exact,
                ..change.clone()
            };
            return Some(if gone { made() } else { change.clone() });
        }
        let mut inverse = change.inverted();
        match change.action {
            // What the run made is known by the key that it got.
            _ if material.is_made(change) => {
                inverse.action = Action::Delete;
                let made = self.progress(|p| p.made().get(&change.key).map(|t| t.key.clone()));
                inverse.key = made.unwrap_or_else(|| self.key_of(change));
                inverse.there = None;
            }
            Action::Update | Action::Replace => {
                inverse.there = self.there(&change.key).filter(|there| *there != change.key);
            }
            // It may be there still: whoever makes it again looks there first.
            Action::Delete => {
                let doubtful = self.progress(|p| p.doubtful.contains(&no));
                inverse.there = doubtful.then(|| change.target_key().clone());
            }
            Action::Reset | Action::Create | Action::Undelete => {}
        }
        inverse.parent = inverse.parent.map(|parent| self.there(&parent).unwrap_or(parent));
        Some(inverse)
    }

    /// The key in the target of what a change writes: the one it has, else the one it would get.
    pub(crate) fn key_of(&self, change: &Change) -> Key {
        if let Some(there) = self.progress(|p| p.made().get(&change.key).map(|t| t.key.clone())) {
            return there;
        }
        if change.action != Action::Create && change.action != Action::Undelete {
            let there = change.target_key();
            let again = self.progress(|p| p.remade().get(there).map(|t| t.key.clone()));
            // What went early comes back where its parent is by then.
            let moved = || {
                let parent = change.parent.as_ref().filter(|_| self.material.is_made(change))?;
                moved_under(there, &self.material.matching.there(parent)?, &self.there(parent)?)
            };
            return again.or_else(moved).unwrap_or_else(|| there.clone());
        }
        let under = change.parent.as_ref().and_then(|parent| {
            let there = self.there(parent)?;
            moved_under(&change.key, parent, &there)
        });
        under.unwrap_or_else(|| change.key.clone())
    }

    /// What a change writes, in the target's handles.
    fn desired(&self, change: &Change, places: &dyn Places) -> Result<Option<Resolved>> {
        if change.action == Action::Delete {
            return Ok(None);
        }
        let material = &self.material;
        let Some(resource) = material.backup.get(&change.key)? else { return Ok(None) };
        let (document, pending) = self.reading(false, places).write(&resource)?;
        let key = self.key_of(change);
        let parent = resource.parent.clone().map(|parent| self.there(&parent).unwrap_or(parent));
        let mut resource = Resource { key, parent, document, ..resource };
        if !material.is_made(change)
            && let Some(live) = material.live.get(change.target_key())?
        {
            keep_absent(&mut resource, &live)?;
        }
        Ok(Some(Resolved { resource, pending }))
    }

    /// What was there before the run, in the handles that things have now.
    fn original(&self, key: &Key, places: &dyn Places) -> Result<Option<Resolved>> {
        let material = &self.material;
        let Some(resource) = material.live.get(key)? else { return Ok(None) };
        let again = self.progress(|p| p.remade().get(key).map(|t| t.key.clone()));
        let (document, pending) = self.reading(true, places).write(&resource)?;
        let parent = resource.parent.as_ref().map(|parent| {
            let again = self.progress(|p| p.remade().get(parent).map(|t| t.key.clone()));
            again.unwrap_or_else(|| parent.clone())
        });
        let moved = || moved_under(key, resource.parent.as_ref()?, parent.as_ref()?);
        let key = again.or_else(moved).unwrap_or_else(|| key.clone());
        Ok(Some(Resolved { resource: Resource { key, parent, document, ..resource }, pending }))
    }
}

/// The same with other texts at these places, which nobody else has and every attempt finds again.
fn with_other_names(mut found: Resolved, places: &[String]) -> Result<Resolved> {
    let Resource { key, document, .. } = &found.resource;
    let other = |at: &String| {
        let text = document.text(at).unwrap_or_default();
        let own = [key.kind.as_str(), key.id.as_str(), &*text].map(str::as_bytes);
        let mark = hex::encode(&fingerprint(own));
        // A host's wildcard must stay in front.
        let (front, rest) = text.split_at(if text.starts_with("*.") { 2 } else { 0 });
        let name = serde_json::Value::from(format!("{front}moving-{mark:.12}-{rest}"));
        (at.clone(), name.to_string())
    };
    let names: Vec<(String, String)> = places.iter().map(other).collect();
    found.resource.document = document.with_values(&names)?;
    Ok(found)
}

/// A value that the backup does not have is neither compared nor cleared: what stands in the target
/// stays, and where nothing stands nothing is put.
fn keep_absent(resource: &mut Resource, live: &Resource) -> Result<()> {
    let not_here =
        |resource: &Resource, at: &str| absent_places(resource).any(|pointer| pointer == at);
    let absent: Vec<String> = absent_places(resource).map(str::to_owned).collect();
    for pointer in absent {
        if not_here(live, &pointer) {
            // Only the target itself could keep it; the mark tells it so.
            continue;
        }
        resource.marks.retain(|mark| mark.at.pointer != pointer);
        if let Some(value) = live.document.get(&pointer) {
            resource.document = resource.document.with_member(&pointer, value)?;
            resource.marks.extend(live.marks.iter().filter(|m| m.at.pointer == pointer).cloned());
        } else {
            resource.document = resource.document.without([&pointer]);
        }
    }
    Ok(())
}
