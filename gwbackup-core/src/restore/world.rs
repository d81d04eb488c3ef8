//! The target as it is and as it shall be, at any point of a run.
//!
//! Every change of a run is either applied or not. The world with some of them applied is the
//! safety backup, with the applied changes laid over it. A step forward leads from the world without
//! its changes to the world with them; a step of a roll back leads the other way.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;

use crate::context::Context;
use crate::error::Result;
use crate::model::{
    Action, Change, ChangeNo, HandleName, Key, Resolved, Resource, Rules, Scope, Side, Snapshot,
    There, absent_places,
};
use crate::plan::{
    Draft, Head, Index, Located, Matching, Places, PlannedPlaces, Translator, moved_under,
};
use crate::source::BoxStream;
use crate::target::States;
use crate::task::{blocking, streaming};

/// Both snapshots of a run and what the plan knows of them. Never changes.
#[derive(Debug)]
pub(crate) struct Material {
    pub(crate) rules: Rules,
    pub(crate) backup: Arc<dyn Snapshot>,
    pub(crate) live: Arc<dyn Snapshot>,
    pub(crate) desired: Arc<Index>,
    pub(crate) actual: Arc<Index>,
    pub(crate) matching: Matching,
    pub(crate) changes: BTreeMap<ChangeNo, Change>,
    /// Change by key in the backup, and by key in the target.
    by_key: HashMap<Key, ChangeNo>,
    by_target: HashMap<Key, ChangeNo>,
    /// What is made, by the first segment of its id in the backup.
    created: HashMap<String, Vec<ChangeNo>>,
}

/// The first segment of an id.
fn root_of(key: &Key) -> &str {
    key.id.as_str().split('/').next().unwrap_or_default()
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
        let mut created: HashMap<String, Vec<ChangeNo>> = HashMap::new();
        for change in &decided.changes {
            if change.action != Action::Delete {
                by_key.insert(change.key.clone(), change.no);
            }
            if matches!(change.action, Action::Create | Action::Undelete) {
                created.entry(root_of(&change.key).to_owned()).or_default().push(change.no);
            } else {
                by_target.insert(change.target_key().clone(), change.no);
            }
        }
        let changes = decided.changes.into_iter().map(|change| (change.no, change)).collect();
        let material = Self {
            rules,
            backup,
            live,
            desired,
            actual,
            matching,
            changes,
            by_key,
            by_target,
            created,
        };
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
    made: Moved,
    /// Where things of the target are now, as far as a roll back made them again.
    remade: Moved,
    /// Keys in the target of what the run had made and a roll back deleted again.
    pub(crate) unmade: BTreeSet<Key>,
}

impl Progress {
    /// Where things of the backup are now, as far as this run made them.
    pub(crate) fn made(&self) -> &BTreeMap<Key, There> {
        &self.made.there
    }

    /// Where things of the target are now, as far as a roll back made them again.
    pub(crate) fn remade(&self) -> &BTreeMap<Key, There> {
        &self.remade.there
    }

    pub(crate) fn note_made(&mut self, key: &Key, there: There) {
        self.made.insert(key, there);
    }

    pub(crate) fn note_unmade(&mut self, key: &Key) {
        self.made.remove(key);
    }

    /// Whether something that this run made is there now.
    pub(crate) fn is_made(&self, there: &Key) -> bool {
        self.made.own.contains_key(there) || self.remade.own.contains_key(there)
    }

    pub(crate) fn note_remade(&mut self, key: &Key, there: There) {
        self.remade.insert(key, there);
    }
}

/// Things under a new key, found by either.
#[derive(Debug, Default)]
struct Moved {
    there: BTreeMap<Key, There>,
    own: HashMap<Key, Key>,
}

impl Moved {
    fn insert(&mut self, key: &Key, there: There) {
        self.remove(key);
        self.own.insert(there.key.clone(), key.clone());
        self.there.insert(key.clone(), there);
    }

    fn remove(&mut self, key: &Key) {
        if let Some(there) = self.there.remove(key) {
            self.own.remove(&there.key);
        }
    }
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
        Around { world: self.clone(), step: Arc::new(step.iter().copied().collect()), backwards }
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
            Action::Reset => {}
        }
        inverse.parent = inverse.parent.map(|parent| self.there(&parent).unwrap_or(parent));
        Some(inverse)
    }

    /// The key in the target of what a change writes: the one it has, else the one it would get.
    fn key_of(&self, change: &Change) -> Key {
        if let Some(there) = self.progress(|p| p.made().get(&change.key).map(|t| t.key.clone())) {
            return there;
        }
        if change.action != Action::Create && change.action != Action::Undelete {
            let there = change.target_key();
            let again = self.progress(|p| p.remade().get(there).map(|t| t.key.clone()));
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
        let parent = resource.parent.clone().map(|parent| self.there(&parent).unwrap_or(parent));
        let mut resource = Resource { key, parent, document, ..resource };
        if !matches!(change.action, Action::Create | Action::Undelete)
            && let Some(live) = material.live.get(change.target_key())?
        {
            keep_absent(&mut resource, &live)?;
        }
        Ok(Some(Resolved { resource, pending }))
    }

    /// What was there before the run, in the handles that things have now.
    fn original(&self, key: &Key) -> Result<Option<Resolved>> {
        let material = &self.material;
        let Some(resource) = material.live.get(key)? else { return Ok(None) };
        let again = self.progress(|p| p.remade().get(key).map(|t| t.key.clone()));
        let (document, pending) = self.translator(true).write(&resource)?;
        let parent = resource.parent.as_ref().map(|parent| {
            let again = self.progress(|p| p.remade().get(parent).map(|t| t.key.clone()));
            again.unwrap_or_else(|| parent.clone())
        });
        let moved = || moved_under(key, resource.parent.as_ref()?, parent.as_ref()?);
        let key = again.or_else(moved).unwrap_or_else(|| key.clone());
        Ok(Some(Resolved { resource: Resource { key, parent, document, ..resource }, pending }))
    }
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

/// Places of the backup's things, in a run.
#[derive(Debug, Clone)]
struct Forward(Arc<Material>, Arc<RwLock<Progress>>);

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
struct Back(Arc<Material>, Arc<RwLock<Progress>>);

impl Places for Back {
    fn locate(&self, key: &Key, handle: &HandleName) -> Located {
        let Self(material, progress) = self;
        let progress = progress.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(there) = progress.remade().get(key) {
            return of_made(there, handle);
        }
        let gone = material.by_target.get(key).is_some_and(|no| {
            let action = material.changes.get(no).map(|change| change.action);
            let perhaps = progress.applied.contains(no) || progress.doubtful.contains(no);
            action == Some(Action::Delete) && perhaps
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
    /// The step's changes: applied on one side only. Of all others the progress knows.
    step: Arc<BTreeSet<ChangeNo>>,
    backwards: bool,
}

impl Around {
    fn is_applied(&self, side: Side, no: ChangeNo) -> bool {
        if self.step.contains(&no) {
            return matches!(side, Side::After) != self.backwards;
        }
        self.world.progress(|progress| progress.applied.contains(&no))
    }

    /// The change that a key is about: named as the backup does, as the target did, or as it does
    /// now.
    fn change_of(&self, key: &Key) -> Option<ChangeNo> {
        let material = &self.world.material;
        if let Some(no) = material.by_target.get(key).or_else(|| material.by_key.get(key)) {
            return Some(*no);
        }
        self.world.progress(|progress| {
            let made = progress.made.own.get(key).and_then(|own| material.by_key.get(own));
            let remade =
                || progress.remade.own.get(key).and_then(|own| material.by_target.get(own));
            made.or_else(remade).copied()
        })
    }

    fn find(&self, side: Side, key: &Key) -> Result<Option<Resolved>> {
        let Some(change) = self.change_of(key).and_then(|no| self.world.material.changes.get(&no))
        else {
            return self.world.original(key);
        };
        if self.is_applied(side, change.no) {
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
        let scope = self.widened(scope);
        let mut added: BTreeMap<Key, &Change> = BTreeMap::new();
        for change in self.created_in(&scope) {
            if self.is_applied(side, change.no) {
                let key = self.world.key_of(change);
                if scope.contains(&key) || scope.contains(&change.key) {
                    added.insert(key, change);
                }
            }
        }
        let mut added = added.into_iter().peekable();
        let mut give = |found: Option<Resolved>| found.is_none_or(&mut f);
        let there = material.actual.heads().map(Head::key);
        for there in there.filter(|there| scope.contains(there)) {
            while let Some((_, change)) = added.next_if(|(own, _)| *own < there) {
                if !give(self.world.desired(change)?) {
                    return Ok(());
                }
            }
            if !give(self.find(side, &there)?) {
                return Ok(());
            }
        }
        for (_, change) in added {
            if !give(self.world.desired(change)?) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// What the run makes and may lie in the scope.
    fn created_in<'a>(&'a self, scope: &'a Scope) -> impl Iterator<Item = &'a Change> {
        let material = &self.world.material;
        let roots: BTreeSet<&str> = scope.under.iter().map(root_of).collect();
        let all = scope.under.is_empty();
        let some = roots.into_iter().filter_map(|root| material.created.get(root)).flatten();
        let all = material.created.values().flatten().filter(move |_| all);
        some.chain(all).filter_map(|no| material.changes.get(no))
    }

    /// The scope with each root named as the backup and as the target does.
    fn widened(&self, scope: &Scope) -> Scope {
        let mut scope = scope.clone();
        let matching = &self.world.material.matching;
        let own = |root: &Key| {
            let made = self.world.progress(|p| p.made.own.get(root).cloned());
            made.or_else(|| matching.own(root))
        };
        let other: Vec<Key> = scope
            .under
            .iter()
            .flat_map(|root| self.world.there(root).into_iter().chain(own(root)))
            .collect();
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
        // A step is left by its caller, never in the middle of a reading.
        Box::pin(streaming(&Context::new(), 64, move |outlet| {
            own.each(side, &scope, |found| outlet.put(vec![found]).is_ok())
        }))
    }
}
