//! The target as it is and as it shall be, at any point of a run.
//!
//! Every change of a run is either applied or not. The world with some of them applied is the
//! safety backup, with the applied changes laid over it. A step forward leads from the world without
//! its changes to the world with them; a step of a roll back leads the other way.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;

use crate::error::{Error, ErrorKind, Result};
use crate::model::{
    Action, Change, ChangeNo, HandleName, Key, Resolved, Resource, Rules, Scope, Side, Snapshot,
    There,
};
use crate::plan::{
    Draft, Index, Located, Matching, Places, PlannedPlaces, Translator, moved_under,
};
use crate::sink::blocking;
use crate::source::BoxStream;
use crate::target::States;

/// Both snapshots of a run and what the plan knows of them. Never changes.
#[derive(Debug)]
pub(crate) struct Material {
    pub(crate) rules: Rules,
    pub(crate) backup: Arc<dyn Snapshot>,
    pub(crate) live: Arc<dyn Snapshot>,
    pub(crate) desired: Index,
    pub(crate) actual: Index,
    pub(crate) matching: Matching,
    pub(crate) changes: BTreeMap<ChangeNo, Change>,
    /// Change by key in the backup, and by key in the target.
    by_key: HashMap<Key, ChangeNo>,
    by_target: HashMap<Key, ChangeNo>,
}

impl Material {
    pub(crate) fn new(
        rules: Rules,
        backup: Arc<dyn Snapshot>,
        live: Arc<dyn Snapshot>,
        draft: Draft,
    ) -> (Self, Vec<crate::plan::Item>, crate::plan::Summary, Vec<crate::plan::Links>) {
        let Draft { decided, desired, actual, matching, .. } = draft;
        let mut by_key = HashMap::new();
        let mut by_target = HashMap::new();
        for change in &decided.changes {
            if change.action != Action::Delete {
                by_key.insert(change.key.clone(), change.no);
            }
            if !matches!(change.action, Action::Create | Action::Undelete) {
                by_target.insert(change.target_key().clone(), change.no);
            }
        }
        let changes = decided.changes.into_iter().map(|change| (change.no, change)).collect();
        let material =
            Self { rules, backup, live, desired, actual, matching, changes, by_key, by_target };
        (material, decided.items, decided.summary, decided.links)
    }
}

/// What has happened so far. Rebuilt from the journal.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Changes that are applied.
    pub(crate) applied: BTreeSet<ChangeNo>,
    /// Changes of which nobody knows.
    pub(crate) doubtful: BTreeSet<ChangeNo>,
    /// Where things of the backup are now, as far as this run made them.
    pub(crate) made: BTreeMap<Key, There>,
    /// Where things of the target are now, as far as a roll back made them again.
    pub(crate) remade: BTreeMap<Key, There>,
}

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
            if let Some(there) = progress.made.get(key) {
                return Some(there.key.clone());
            }
            let there = self.material.matching.there(key)?;
            Some(progress.remade.get(there).map_or_else(|| there.clone(), |t| t.key.clone()))
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
        let again = self.progress(|p| p.remade.get(key).map(|t| t.key.clone()));
        let moved = || {
            let parent = self.material.actual.head(key)?.parent.as_ref()?;
            let there = self.now_at(parent, true)?;
            moved_under(key, parent, &there)
        };
        Some(again.or_else(moved).unwrap_or_else(|| key.clone()))
    }

    /// Reads documents of the backup (or of the target as it was) in the handles of now.
    pub(crate) fn translator(&self, rolled_back: bool) -> Translator<'_> {
        let material = &self.material;
        let gateway = &material.actual.gateway;
        if rolled_back {
            let live = material.live.as_ref();
            return Translator::new(&material.rules, &material.actual, live, gateway, &self.back);
        }
        let backup = material.backup.as_ref();
        Translator::new(&material.rules, &material.desired, backup, gateway, &self.forward)
    }

    /// The two sides of a step.
    pub(crate) fn around(&self, step: &[ChangeNo], backwards: bool) -> Around {
        let applied = self.progress(|progress| progress.applied.clone());
        let mut with = applied.clone();
        let mut without = applied;
        for no in step {
            with.insert(*no);
            without.remove(no);
        }
        let (before, after) = if backwards { (with, without) } else { (without, with) };
        Around { world: self.clone(), before: Arc::new(before), after: Arc::new(after) }
    }

    /// A change as the target is asked to make it.
    pub(crate) fn asked(&self, no: ChangeNo, backwards: bool) -> Option<Change> {
        let change = self.material.changes.get(&no)?;
        if !backwards {
            return Some(change.clone());
        }
        let mut inverse = change.inverted();
        match change.action {
            // What the run made is known by the key that it got.
            Action::Create | Action::Undelete => {
                let made = self.progress(|p| p.made.get(&change.key).map(|t| t.key.clone()));
                inverse.key = made.unwrap_or_else(|| self.key_of(change));
                inverse.there = None;
            }
            Action::Update | Action::Replace => {
                inverse.there = self.there(&change.key).filter(|there| *there != change.key);
            }
            Action::Delete | Action::Reset => {}
        }
        inverse.parent = inverse.parent.map(|parent| self.there(&parent).unwrap_or(parent));
        Some(inverse)
    }

    /// The key in the target of what a change writes: the one it has, else the one it would get.
    fn key_of(&self, change: &Change) -> Key {
        if let Some(there) = self.progress(|p| p.made.get(&change.key).map(|t| t.key.clone())) {
            return there;
        }
        if change.action != Action::Create && change.action != Action::Undelete {
            let there = change.target_key();
            let again = self.progress(|p| p.remade.get(there).map(|t| t.key.clone()));
            return again.unwrap_or_else(|| there.clone());
        }
        let under = change.parent.as_ref().and_then(|parent| {
            let there = self.there(parent)?;
            moved_under(&change.key, parent, &there)
        });
        under.unwrap_or_else(|| change.key.clone())
    }

    /// What a change writes, in the target's handles.
    fn desired(&self, change: &Change) -> Result<Option<Resolved>> {
        if change.action == Action::Delete {
            return Ok(None);
        }
        let material = &self.material;
        let Some(resource) = material.backup.get(&change.key)? else { return Ok(None) };
        let (document, pending) = self.translator(false).write(&resource)?;
        let key = self.key_of(change);
        let parent = resource.parent.map(|parent| self.there(&parent).unwrap_or(parent));
        Ok(Some(Resolved { resource: Resource { key, parent, document, ..resource }, pending }))
    }

    /// What was there before the run, in the handles that things have now.
    fn original(&self, key: &Key) -> Result<Option<Resolved>> {
        let material = &self.material;
        let Some(resource) = material.live.get(key)? else { return Ok(None) };
        let again = self.progress(|p| p.remade.get(key).map(|t| t.key.clone()));
        let (document, pending) = self.translator(true).write(&resource)?;
        let parent = resource.parent.as_ref().map(|parent| {
            let again = self.progress(|p| p.remade.get(parent).map(|t| t.key.clone()));
            again.unwrap_or_else(|| parent.clone())
        });
        let moved = || moved_under(key, resource.parent.as_ref()?, parent.as_ref()?);
        let key = again.or_else(moved).unwrap_or_else(|| key.clone());
        Ok(Some(Resolved { resource: Resource { key, parent, document, ..resource }, pending }))
    }
}

/// Places of the backup's things, in a run.
#[derive(Debug, Clone)]
struct Forward(Arc<Material>, Arc<RwLock<Progress>>);

impl Places for Forward {
    fn locate(&self, key: &Key, handle: &HandleName) -> Located {
        let Self(material, progress) = self;
        let made = {
            let progress = progress.read().unwrap_or_else(PoisonError::into_inner);
            progress.made.get(key).cloned().or_else(|| {
                let there = material.matching.there(key)?;
                progress.remade.get(there).cloned()
            })
        };
        match made {
            Some(there) => of_made(&there, handle),
            None => PlannedPlaces { matching: &material.matching, actual: &material.actual }
                .locate(key, handle),
        }
    }
}

/// Places of the target's own things, in a roll back.
#[derive(Debug, Clone)]
struct Back(Arc<Material>, Arc<RwLock<Progress>>);

impl Places for Back {
    fn locate(&self, key: &Key, handle: &HandleName) -> Located {
        let Self(material, progress) = self;
        let progress = progress.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(there) = progress.remade.get(key) {
            return of_made(there, handle);
        }
        let gone = material.by_target.get(key).is_some_and(|no| {
            let action = material.changes.get(no).map(|change| change.action);
            action == Some(Action::Delete) && progress.applied.contains(no)
        });
        if gone { Located::Nowhere } else { Located::AsItIs }
    }
}

fn of_made(there: &There, handle: &HandleName) -> Located {
    if *handle == HandleName::id() {
        return Located::At(there.key.id.last().into_owned());
    }
    there.is.get(handle).map_or(Located::AsItIs, |value| Located::At(value.clone()))
}

/// The two sides of one step.
#[derive(Debug, Clone)]
pub(crate) struct Around {
    world: World,
    before: Arc<BTreeSet<ChangeNo>>,
    after: Arc<BTreeSet<ChangeNo>>,
}

impl Around {
    fn applied(&self, side: Side) -> &BTreeSet<ChangeNo> {
        match side {
            Side::Before => &self.before,
            Side::After => &self.after,
        }
    }

    /// The change that a key is about: named as the backup does, as the target did, or as it does
    /// now.
    fn change_of(&self, key: &Key) -> Option<ChangeNo> {
        let material = &self.world.material;
        if let Some(no) = material.by_target.get(key).or_else(|| material.by_key.get(key)) {
            return Some(*no);
        }
        let named = |map: &BTreeMap<Key, There>, by: &HashMap<Key, ChangeNo>| {
            map.iter()
                .find(|(_, there)| there.key == *key)
                .and_then(|(own, _)| by.get(own))
                .copied()
        };
        self.world.progress(|progress| {
            named(&progress.made, &material.by_key)
                .or_else(|| named(&progress.remade, &material.by_target))
        })
    }

    fn find(&self, side: Side, key: &Key) -> Result<Option<Resolved>> {
        let Some(change) = self.change_of(key).and_then(|no| self.world.material.changes.get(&no))
        else {
            return self.world.original(key);
        };
        if self.applied(side).contains(&change.no) {
            return self.world.desired(change);
        }
        match change.action {
            Action::Create | Action::Undelete => Ok(None),
            _ => self.world.original(change.target_key()),
        }
    }

    /// Calls `f` for each resource of the scope on that side, sorted by key.
    fn each(&self, side: Side, scope: &Scope, mut f: impl FnMut(Resolved) -> bool) -> Result<()> {
        let material = &self.world.material;
        let applied = self.applied(side);
        let scope = self.widened(scope);
        let mut added: BTreeMap<Key, ChangeNo> = BTreeMap::new();
        for no in applied {
            let Some(change) = material.changes.get(no) else { continue };
            if matches!(change.action, Action::Create | Action::Undelete) {
                let key = self.world.key_of(change);
                if scope.contains(&key) || scope.contains(&change.key) {
                    added.insert(key, *no);
                }
            }
        }
        let mut added = added.into_iter().peekable();
        let mut give = |found: Option<Resolved>| found.is_none_or(&mut f);
        for resource in material.live.scan()? {
            let key = resource?.key;
            while let Some((_, no)) = added.next_if(|(own, _)| *own < key) {
                let change = &material.changes[&no];
                if !give(self.world.desired(change)?) {
                    return Ok(());
                }
            }
            if scope.contains(&key) && !give(self.find(side, &key)?) {
                return Ok(());
            }
        }
        for (_, no) in added {
            if !give(self.world.desired(&material.changes[&no])?) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The scope with each root named as the backup and as the target does.
    fn widened(&self, scope: &Scope) -> Scope {
        let mut scope = scope.clone();
        let other: Vec<Key> =
            scope.under.iter().filter_map(|root| self.world.there(root)).collect();
        scope.under.extend(other);
        scope
    }
}

#[async_trait]
impl States for Around {
    async fn one(&self, side: Side, key: &Key) -> Result<Option<Resolved>> {
        let (own, key) = (self.clone(), key.clone());
        blocking(move || own.find(side, &key)).await
    }

    fn read(&self, side: Side, scope: &Scope) -> BoxStream<Result<Resolved>> {
        let (own, scope) = (self.clone(), scope.clone());
        let (sender, receiver) = tokio::sync::mpsc::channel(64);
        let work = tokio::task::spawn_blocking(move || {
            let end = own.each(side, &scope, |found| sender.blocking_send(Ok(found)).is_ok());
            if let Err(error) = end {
                // Nobody listens any more: nothing to tell.
                let _ = sender.blocking_send(Err(error));
            }
        });
        Box::pin(futures_util::stream::unfold(
            (receiver, Some(work)),
            |(mut receiver, mut work)| async move {
                if let Some(item) = receiver.recv().await {
                    return Some((item, (receiver, work)));
                }
                match work.take()?.await {
                    Ok(()) => None,
                    Err(e) => {
                        let error = Error::new(ErrorKind::Other, "reading a state stopped");
                        Some((Err(error.with_source(e)), (receiver, None)))
                    }
                }
            },
        ))
    }
}
