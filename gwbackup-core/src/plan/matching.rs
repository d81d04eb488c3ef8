//! The match pass: which resource of the backup is which resource of the target.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::index::{Head, Index, Taken, is_assigned, is_in_scope};
use super::translate::{InPlace, Located, Places, Translator};
use crate::error::{Error, Result};
use crate::model::{
    HandleName, Handles, Id, IdMap, Key, Kind, Resource, Rules, Snapshot, There, Within,
};

/// Candidates that are named for one ambiguous resource.
const CANDIDATES: usize = 10;

/// What the match pass found.
#[derive(Debug, Default)]
pub(crate) struct Matching {
    /// Backup key to target key, where they differ.
    pairs: BTreeMap<Key, Key>,
    /// Backup keys that have an equal in the target.
    matched: Taken,
    /// Target keys that have an equal in the backup.
    taken: Taken,
    /// Backup keys that fit several, or fit one by a name that is not unique; with the first of
    /// those that they fit.
    pub(crate) ambiguous: BTreeMap<Key, Vec<Key>>,
    /// All target keys that an ambiguous one fits.
    contested: Taken,
    /// How many were taken by a name that is not unique.
    pub(crate) adopted: u64,
}

impl Matching {
    /// The target's key of a backup's resource.
    pub(crate) fn there<'a>(&'a self, key: &'a Key) -> Option<&'a Key> {
        self.pairs.get(key).or_else(|| self.matched.contains(key).then_some(key))
    }

    /// Whether the target's resource is one of the backup's.
    pub(crate) fn is_taken(&self, there: &Key) -> bool {
        self.taken.contains(there)
    }

    /// Whether the target's resource may be an ambiguous one of the backup's.
    pub(crate) fn is_contested(&self, there: &Key) -> bool {
        self.contested.contains(there)
    }

    fn doubt(&mut self, key: &Key, fits: Vec<Key>) {
        self.ambiguous.insert(key.clone(), fits.iter().take(CANDIDATES).cloned().collect());
        self.contested.extend(fits);
    }

    /// Whether any pair has two different keys.
    pub(crate) fn rekeyed(&self) -> bool {
        !self.pairs.is_empty()
    }

    /// Pairs with different keys.
    pub(crate) fn pairs(&self) -> &BTreeMap<Key, Key> {
        &self.pairs
    }

    /// Notes that `key` of the backup is `there` in the target.
    pub(crate) fn pair(&mut self, key: &Key, there: &Key) {
        self.matched.insert(key.clone());
        self.taken.insert(there.clone());
        if key != there {
            self.pairs.insert(key.clone(), there.clone());
        }
    }

    /// Whether both lie below the same thing. Also when the parent is nowhere in the target: then
    /// the child was given to another.
    fn is_below_the_same(&self, sides: &Sides<'_>, head: &Head, there: &Head) -> bool {
        let Some(parent) = &head.parent else { return true };
        if let Some(parent) = self.there(parent) {
            return there.parent.as_ref() == Some(parent);
        }
        // Without identities from outside, equal parents become a pair by themselves.
        let same = there.parent.as_ref() == Some(parent);
        (same && !self.rekeyed()) || sides.actual.head(parent).is_none()
    }

    /// The map to keep with the run.
    pub(crate) fn id_map(&self, desired: &Index, actual: &Index) -> IdMap {
        let entries = self.pairs.iter().map(|(key, there)| {
            let handles = |index: &Index, key| {
                index.head(key).map(|head| head.assigned.clone()).unwrap_or_default()
            };
            let entry = There {
                key: there.clone(),
                was: handles(desired, key),
                is: handles(actual, there),
            };
            (key.clone(), entry)
        });
        IdMap { entries: entries.collect() }
    }
}

/// Both sides of a plan.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sides<'a> {
    pub(crate) rules: &'a Rules,
    pub(crate) desired: &'a Index,
    pub(crate) actual: &'a Index,
    pub(crate) backup: &'a dyn Snapshot,
    pub(crate) live: &'a dyn Snapshot,
}

impl<'a> Sides<'a> {
    /// Reads the backup's documents in the target's handles.
    pub(crate) fn ours(&self, places: &'a dyn Places) -> Translator<'a> {
        Translator::new(self.rules, self.desired, self.backup, &self.actual.gateway, places)
    }

    /// Reads the target's documents.
    pub(crate) fn theirs(&self) -> Translator<'a> {
        Translator::new(self.rules, self.actual, self.live, &self.actual.gateway, &InPlace)
    }
}

/// Matches in the order: explicit map, key, kept map, unique handles within the matched parent,
/// content. `adopt`: one candidate by a name that is not unique is taken.
pub(crate) fn match_pass(
    sides: &Sides<'_>,
    explicit: &BTreeMap<Key, Key>,
    kept: &IdMap,
    adopt: bool,
) -> Result<Matching> {
    let mut found = Matching::default();
    check_explicit(sides, explicit)?;
    for (key, there) in explicit {
        found.pair(key, there);
    }
    let mut heads: Vec<&Head> = sides.desired.heads().iter().collect();
    if !explicit.is_empty() {
        // Where a thing was sent elsewhere, its children follow: it must be known before them.
        heads.sort_by_cached_key(|head| parents_first(sides.rules, &head.key));
    }
    for head in heads {
        let free = !found.matched.contains(&head.key) && !found.is_taken(&head.key);
        let there = sides.actual.head(&head.key).filter(|_| free);
        if there.is_some_and(|there| found.is_below_the_same(sides, head, there)) {
            found.pair(&head.key, &head.key);
        }
    }
    let mut kept: Vec<(&Key, &Key)> = kept.entries.iter().map(|(k, t)| (k, &t.key)).collect();
    kept.sort_by_cached_key(|(key, _)| parents_first(sides.rules, key));
    for (key, there) in kept {
        let free = !found.matched.contains(key) && !found.is_taken(there);
        let (Some(head), Some(there)) = (sides.desired.head(key), sides.actual.head(there)) else {
            continue;
        };
        if free && head.key.kind == there.key.kind && found.is_below_the_same(sides, head, there) {
            found.pair(key, &there.key);
        }
    }
    let mut open: Vec<&Head> =
        sides.desired.heads().iter().filter(|h| !found.matched.contains(&h.key)).collect();
    if open.is_empty() {
        return Ok(found);
    }
    open.sort_by_cached_key(|head| parents_first(sides.rules, &head.key));
    let free = unmatched_by_kind(sides, &found);
    for kind_run in open.chunk_by(|a, b| a.key.kind == b.key.kind) {
        let Some(kind) = kind_run.first().map(|head| &head.key.kind) else { continue };
        let candidates = free.get(kind).map(Vec::as_slice).unwrap_or_default();
        match_kind(sides, &mut found, kind, kind_run, candidates, adopt)?;
    }
    Ok(found)
}

/// Refuses identities that cannot be: whoever names one wants it to count.
fn check_explicit(sides: &Sides<'_>, explicit: &BTreeMap<Key, Key>) -> Result<()> {
    let mut given: HashMap<&Key, &Key> = HashMap::new();
    for (key, there) in explicit {
        let wrong = |message: &str, help: &str| {
            Err(Error::invalid(message).on(format!("{key} -> {there}")).help(help))
        };
        if sides.desired.head(key).is_none() {
            let help = "give a key that the backup lists, or take the entry out of the mapping";
            return wrong("the mapping names a resource that is not in the backup", help);
        }
        if sides.actual.head(there).is_none() {
            let help = "give a key that the gateway has, or take the entry out of the mapping";
            return wrong("the mapping names a resource that is not in the gateway", help);
        }
        if key.kind != there.kind {
            let help = "map a resource to one of its own kind";
            return wrong("the mapping names resources of two kinds", help);
        }
        if let Some(other) = given.insert(there, key) {
            let message = format!("the mapping gives the same resource to {other}");
            return wrong(&message, "keep one of the two entries");
        }
    }
    Ok(())
}

/// Parents before their children.
fn parents_first(rules: &Rules, key: &Key) -> (u16, usize) {
    let rank = rules.spec(&key.kind).map_or(u16::MAX, |spec| spec.rank);
    (rank, key.id.as_str().matches('/').count())
}

fn unmatched_by_kind<'a>(sides: &Sides<'a>, found: &Matching) -> HashMap<&'a Kind, Vec<&'a Head>> {
    let mut free: HashMap<&Kind, Vec<&Head>> = HashMap::new();
    for head in sides.actual.heads().iter().filter(|head| !found.is_taken(&head.key)) {
        free.entry(&head.key.kind).or_default().push(head);
    }
    free
}

fn match_kind(
    sides: &Sides<'_>,
    found: &mut Matching,
    kind: &Kind,
    open: &[&Head],
    candidates: &[&Head],
    adopt: bool,
) -> Result<()> {
    if candidates.is_empty() {
        return Ok(());
    }
    let Some(spec) = sides.rules.spec(kind) else { return Ok(()) };
    let mut left = Vec::new();
    for head in open {
        let parent = match &head.parent {
            // A child of something that is to be made has no equal yet.
            Some(parent) => match found.there(parent) {
                Some(there) => Some(there.clone()),
                None => continue,
            },
            None => None,
        };
        let Some(resource) = sides.backup.get(&head.key)? else { continue };
        let handles = sides.rules.handles(&sides.desired.gateway, &resource);
        let unique = spec.handles.iter().filter(|h| h.unique != Within::Nothing).find_map(|h| {
            let value = handles.get(&h.name)?;
            let fits: Vec<&Head> = sides
                .actual
                .find(kind, &h.name, value)
                .filter(|c| is_in_scope(c, h.unique, parent.as_ref()) && !found.is_taken(&c.key))
                // An id says nothing once the parent is known to be another.
                .filter(|c| {
                    !is_assigned(sides.rules, kind, &h.name) || c.parent.as_ref() == parent.as_ref()
                })
                .collect();
            (!fits.is_empty()).then_some(fits)
        });
        match unique.as_deref() {
            Some([only]) => found.pair(&head.key, &only.key),
            Some(several) => {
                let keys = several.iter().map(|c| c.key.clone()).collect();
                found.doubt(&head.key, keys);
            }
            None => left.push((*head, resource, handles, parent)),
        }
    }
    if spec.match_content {
        return match_content(sides, found, &left, candidates);
    }
    for (head, _, handles, parent) in left {
        let mut fits: Vec<Key> = Vec::new();
        for handle in spec.handles.iter().filter(|h| h.unique == Within::Nothing) {
            let Some(value) = handles.get(&handle.name) else { continue };
            fits.extend(
                sides
                    .actual
                    .find(kind, &handle.name, value)
                    .filter(|c| c.parent.as_ref() == parent.as_ref() && !found.is_taken(&c.key))
                    .map(|c| c.key.clone()),
            );
        }
        match fits.as_slice() {
            [] => {}
            [only] if adopt => {
                found.pair(&head.key, only);
                found.adopted += 1;
            }
            _ => found.doubt(&head.key, fits),
        }
    }
    Ok(())
}

/// Pairs nameless things of equal content, each at most once, in the order of keys.
fn match_content(
    sides: &Sides<'_>,
    found: &mut Matching,
    open: &[(&Head, Resource, Handles, Option<Key>)],
    candidates: &[&Head],
) -> Result<()> {
    let mut by_content: HashMap<(Option<Key>, String), Vec<Key>> = HashMap::new();
    let theirs = sides.theirs();
    for head in candidates.iter().rev().filter(|head| !found.is_taken(&head.key)) {
        let Some(resource) = sides.live.get(&head.key)? else { continue };
        let content = theirs.content(&resource)?;
        by_content.entry((head.parent.clone(), content)).or_default().push(head.key.clone());
    }
    let mut pairs = Vec::new();
    {
        let placed = PlannedPlaces { matching: found, actual: sides.actual, renewed: None };
        let ours = sides.ours(&placed);
        for (head, resource, _, parent) in open {
            let content = ours.content(resource)?;
            let equal = by_content.get_mut(&(parent.clone(), content)).and_then(Vec::pop);
            pairs.extend(equal.map(|there| (head.key.clone(), there)));
        }
    }
    for (key, there) in pairs {
        found.pair(&key, &there);
    }
    Ok(())
}

/// Where things are, as far as the match pass knows.
#[derive(Debug)]
pub(crate) struct PlannedPlaces<'a> {
    pub(crate) matching: &'a Matching,
    pub(crate) actual: &'a Index,
    /// Keys in the backup of what gets a new name from the server, though it has one.
    pub(crate) renewed: Option<&'a BTreeSet<Key>>,
}

impl Places for PlannedPlaces<'_> {
    fn locate(&self, key: &Key, handle: &HandleName) -> Located {
        if self.renewed.is_some_and(|renewed| renewed.contains(key)) {
            return Located::Nowhere;
        }
        let Some(there) = self.matching.there(key) else { return Located::Nowhere };
        if *handle == HandleName::id() {
            return Located::At(there.id.last().into_owned());
        }
        let assigned = self.actual.head(there).and_then(|head| head.assigned.get(handle));
        assigned.map_or(Located::AsItIs, |value| Located::At(value.clone()))
    }
}

/// The id that a child has under another parent.
pub(crate) fn moved_under(child: &Key, parent: &Key, there: &Key) -> Option<Key> {
    let rest = child.id.as_str().strip_prefix(parent.id.as_str())?.strip_prefix('/')?;
    let id = Id::new(&format!("{}/{rest}", there.id)).ok()?;
    Some(Key::new(child.kind.clone(), id))
}
