//! The match pass: which resource of the backup is which resource of the target.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use super::Existing;
use super::index::{Head, Index, is_assigned, is_in_scope};
use super::policies::Policies;
use super::translate::{InPlace, Located, Places, Translator};
use crate::crypt::Fingerprint;
use crate::error::{Error, Result};
use crate::model::{
    HandleName, HandleSpec, Handles, Id, IdMap, Key, Resource, Rules, Snapshot, There, Within,
};

/// Candidates that are named for one ambiguous resource.
const CANDIDATES: usize = 10;

/// No number: nothing is matched.
const NONE: u32 = u32::MAX;

/// What the match pass found. By numbers in the two indices, so that it stays small.
#[derive(Debug)]
pub(crate) struct Matching {
    desired: Arc<Index>,
    actual: Arc<Index>,
    /// What each resource of the backup is in the target.
    there: Vec<u32>,
    /// What each resource of the target is in the backup.
    own: Vec<u32>,
    /// How many pairs have two different keys.
    rekeyed: usize,
    /// Backup keys that fit several, or fit one by a name that is not unique; with the first of
    /// those that they fit.
    pub(crate) ambiguous: BTreeMap<Key, Vec<Key>>,
    /// All of the target that an ambiguous one fits.
    contested: HashSet<u32>,
}

impl Matching {
    fn new(desired: &Arc<Index>, actual: &Arc<Index>) -> Self {
        Self {
            there: vec![NONE; desired.len()],
            own: vec![NONE; actual.len()],
            desired: Arc::clone(desired),
            actual: Arc::clone(actual),
            rekeyed: 0,
            ambiguous: BTreeMap::new(),
            contested: HashSet::new(),
        }
    }

    /// The target's equal of a resource of the backup.
    fn equal(&self, own: Head<'_>) -> Option<Head<'_>> {
        let no = self.there.get(own.no() as usize).copied().filter(|no| *no != NONE)?;
        Some(self.actual.at(no))
    }

    /// The target's key of a backup's resource.
    pub(crate) fn there(&self, key: &Key) -> Option<Key> {
        self.equal(self.desired.head(key)?).map(Head::key)
    }

    /// The backup's key of a target's resource.
    pub(crate) fn own(&self, there: &Key) -> Option<Key> {
        let there = self.actual.head(there)?;
        let no = self.own.get(there.no() as usize).copied().filter(|no| *no != NONE)?;
        Some(self.desired.at(no).key())
    }

    /// Whether the backup's resource has an equal in the target.
    pub(crate) fn is_matched(&self, own: Head<'_>) -> bool {
        self.equal(own).is_some()
    }

    /// Whether the target's resource is one of the backup's.
    pub(crate) fn is_taken(&self, there: Head<'_>) -> bool {
        self.own.get(there.no() as usize).is_some_and(|no| *no != NONE)
    }

    /// Whether the target's resource may be an ambiguous one of the backup's.
    pub(crate) fn is_contested(&self, there: Head<'_>) -> bool {
        self.contested.contains(&there.no())
    }

    fn doubt(&mut self, own: Head<'_>, fits: &[Head<'_>]) {
        let named = fits.iter().take(CANDIDATES).map(|head| head.key()).collect();
        self.ambiguous.insert(own.key(), named);
        self.contested.extend(fits.iter().map(|head| head.no()));
    }

    /// How many pairs have two different keys.
    pub(crate) fn rekeyed(&self) -> usize {
        self.rekeyed
    }

    /// Notes that one of the backup is one of the target.
    fn pair(&mut self, own: Head<'_>, there: Head<'_>) {
        let (a, b) = (own.no() as usize, there.no() as usize);
        if let (Some(a), Some(b)) = (self.there.get_mut(a), self.own.get_mut(b)) {
            (*a, *b) = (there.no(), own.no());
            self.rekeyed += usize::from((own.kind(), own.id()) != (there.kind(), there.id()));
        }
    }

    /// Whether both lie below the same thing. Also when the parent is nowhere in the target: then
    /// the child was given to another.
    fn is_below_the_same(&self, own: Head<'_>, there: Head<'_>) -> bool {
        let Some(parent) = own.parent() else { return true };
        if let Some(parent) = self.there(&parent) {
            return there.is_child_of(Some(&parent));
        }
        // Without identities from outside, equal parents become a pair by themselves.
        let same = there.is_child_of(Some(&parent));
        (same && self.rekeyed == 0) || self.actual.head(&parent).is_none()
    }

    /// The map to keep with the run.
    pub(crate) fn id_map(&self) -> IdMap {
        let pairs = self.desired.heads().filter_map(|own| Some((own, self.equal(own)?)));
        let entries = pairs.filter_map(|(own, there)| {
            let (key, there_key) = (own.key(), there.key());
            let handles = |head: Head<'_>| head.assigned().cloned().unwrap_or_default();
            let entry = || There { was: handles(own), is: handles(there), key: there_key.clone() };
            (key != there_key).then(|| (key, entry()))
        });
        IdMap { entries: entries.collect() }
    }
}

/// Both sides of a plan.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sides<'a> {
    pub(crate) rules: &'a Rules,
    pub(crate) desired: &'a Arc<Index>,
    pub(crate) actual: &'a Arc<Index>,
    pub(crate) backup: &'a dyn Snapshot,
    pub(crate) live: &'a dyn Snapshot,
}

impl<'a> Sides<'a> {
    /// Reads the backup's documents in the target's handles.
    pub(crate) fn ours(&self, places: &'a dyn Places) -> Translator<'a> {
        Translator::new(self.rules, self.desired, self.backup, &self.actual.gateway, places)
    }

    /// The handles that a resource of the backup has in the target. A handle may hold another's id,
    /// which may be another there; what has none yet is no handle. `moved`: whether that can be.
    pub(crate) fn handles(
        &self,
        resource: &Resource,
        places: &dyn Places,
        moved: bool,
    ) -> Result<Handles> {
        let own = &self.desired.gateway;
        if !moved {
            return Ok(self.rules.handles(own, resource));
        }
        let (document, pending) = self.ours(places).write(resource)?;
        let there = Resource { document, ..resource.clone() };
        let mut handles = self.rules.handles(own, &there);
        for spec in self.rules.unique_handles(&resource.key.kind) {
            if pending.iter().any(|reference| spec.at.contains(&reference.at.pointer)) {
                handles.remove(&spec.name);
            }
        }
        Ok(handles)
    }

    /// Reads the target's documents.
    pub(crate) fn theirs(&self) -> Translator<'a> {
        Translator::new(self.rules, self.actual, self.live, &self.actual.gateway, &InPlace)
    }
}

/// Matches in the order: explicit map, key, kept map, unique handles within the matched parent,
/// content. Where the policy is to adopt, one candidate by a name that is not unique is taken.
pub(crate) fn match_pass(
    sides: &Sides<'_>,
    explicit: &BTreeMap<Key, Key>,
    kept: &IdMap,
    policies: &Policies,
) -> Result<Matching> {
    let mut found = Matching::new(sides.desired, sides.actual);
    for (own, there) in check_explicit(sides, explicit)? {
        found.pair(own, there);
    }
    let mut order: Vec<u32> = (0..).take(sides.desired.len()).collect();
    if !explicit.is_empty() {
        // Where a thing was sent elsewhere, its children follow: it must be known before them.
        order.sort_by_cached_key(|no| parents_first(sides.rules, sides.desired.at(*no)));
    }
    for own in order.into_iter().map(|no| sides.desired.at(no)) {
        let Some(there) = sides.actual.same_as(own) else { continue };
        let free = !found.is_matched(own) && !found.is_taken(there);
        if free && found.is_below_the_same(own, there) {
            found.pair(own, there);
        }
    }
    let heads = |(key, there): (&Key, &There)| {
        Some((sides.desired.head(key)?, sides.actual.head(&there.key)?))
    };
    let mut kept: Vec<(Head<'_>, Head<'_>)> = kept.entries.iter().filter_map(heads).collect();
    kept.sort_by_cached_key(|(own, _)| parents_first(sides.rules, *own));
    for (own, there) in kept {
        let free = !found.is_matched(own) && !found.is_taken(there);
        if free && own.kind() == there.kind() && found.is_below_the_same(own, there) {
            found.pair(own, there);
        }
    }
    let mut open: Vec<Head<'_>> =
        sides.desired.heads().filter(|head| !found.is_matched(*head)).collect();
    if open.is_empty() {
        return Ok(found);
    }
    open.sort_by_cached_key(|head| parents_first(sides.rules, *head));
    let theirs = sides.theirs();
    for run in open.chunk_by(|a, b| a.kind() == b.kind()) {
        match_kind(sides, &mut found, run, &theirs, policies)?;
    }
    Ok(found)
}

/// Refuses identities that cannot be: whoever names one wants it to count.
fn check_explicit<'a>(
    sides: &Sides<'a>,
    explicit: &BTreeMap<Key, Key>,
) -> Result<Vec<(Head<'a>, Head<'a>)>> {
    let mut given: HashMap<&Key, &Key> = HashMap::new();
    let mut heads = Vec::with_capacity(explicit.len());
    for (key, there) in explicit {
        let wrong = |message: &str, help: &str| {
            Err(Error::invalid(message).on(format!("{key} -> {there}")).help(help))
        };
        let Some(own_head) = sides.desired.head(key) else {
            let help = "give a key that the backup lists, or take the entry out of the mapping";
            return wrong("the mapping names a resource that is not in the backup", help);
        };
        let Some(there_head) = sides.actual.head(there) else {
            let help = "give a key that the gateway has, or take the entry out of the mapping";
            return wrong("the mapping names a resource that is not in the gateway", help);
        };
        if key.kind != there.kind {
            let help = "map a resource to one of its own kind";
            return wrong("the mapping names resources of two kinds", help);
        }
        if let Some(other) = given.insert(there, key) {
            let message = format!("the mapping gives the same resource to {other}");
            return wrong(&message, "keep one of the two entries");
        }
        heads.push((own_head, there_head));
    }
    Ok(heads)
}

/// Parents before their children.
fn parents_first(rules: &Rules, head: Head<'_>) -> (u16, usize) {
    let rank = rules.spec(head.kind()).map_or(u16::MAX, |spec| spec.rank);
    (rank, head.id().matches('/').count())
}

/// Matches what is open of one kind, in the order of keys.
fn match_kind(
    sides: &Sides<'_>,
    found: &mut Matching,
    open: &[Head<'_>],
    theirs: &Translator<'_>,
    policies: &Policies,
) -> Result<()> {
    let Some(kind) = open.first().map(|head| head.kind()) else { return Ok(()) };
    let Some(spec) = sides.rules.spec(kind) else { return Ok(()) };
    if sides.actual.heads_of(kind).all(|head| found.is_taken(head)) {
        return Ok(());
    }
    let mut left = Vec::new();
    for own in open {
        // A child of something that is to be made has no equal yet.
        let Some(parent) = place_of_parent(found, *own) else { continue };
        let Some(resource) = sides.backup.get(&own.key())? else { continue };
        let places = PlannedPlaces { matching: found, renewed: None };
        let handles = sides.handles(&resource, &places, found.rekeyed() > 0)?;
        let unique = spec.handles.iter().filter(|h| h.unique != Within::Nothing).find_map(|h| {
            let value = handles.get(&h.name)?;
            let fits: Vec<Head<'_>> = sides
                .actual
                .find(kind, &h.name, value)
                .filter(|c| is_in_scope(*c, h.unique, parent.as_ref()) && !found.is_taken(*c))
                // An id says nothing once the parent is known to be another.
                .filter(|c| {
                    !is_assigned(sides.rules, kind, &h.name) || c.is_child_of(parent.as_ref())
                })
                .collect();
            (!fits.is_empty()).then_some(fits)
        });
        match unique.as_deref() {
            Some([only]) => found.pair(*own, *only),
            Some(several) => found.doubt(*own, several),
            None => left.push(*own),
        }
    }
    if spec.match_content {
        return match_content(sides, found, &left, theirs);
    }
    let repeated: Vec<&HandleSpec> =
        spec.handles.iter().filter(|h| h.unique == Within::Nothing).collect();
    if repeated.is_empty() {
        return Ok(());
    }
    for own in left {
        let Some(parent) = place_of_parent(found, own) else { continue };
        let Some(resource) = sides.backup.get(&own.key())? else { continue };
        let handles = sides.rules.handles(&sides.desired.gateway, &resource);
        let named = repeated.iter().filter_map(|h| Some((&h.name, handles.get(&h.name)?)));
        let fits: Vec<Head<'_>> = named
            .flat_map(|(name, value)| sides.actual.find(kind, name, value))
            .filter(|c| c.is_child_of(parent.as_ref()) && !found.is_taken(*c))
            .collect();
        match fits.as_slice() {
            [] => {}
            [only] if policies.of(kind) == Existing::Adopt => found.pair(own, *only),
            _ => found.doubt(own, &fits),
        }
    }
    Ok(())
}

/// The target's key of a resource's parent, if it has one; `None` when that is to be made.
#[expect(clippy::option_option, reason = "no parent and no place for it are two things")]
fn place_of_parent(found: &Matching, own: Head<'_>) -> Option<Option<Key>> {
    match own.parent() {
        Some(parent) => found.there(&parent).map(Some),
        None => Some(None),
    }
}

/// Pairs nameless things of equal content, each at most once, in the order of keys.
fn match_content(
    sides: &Sides<'_>,
    found: &mut Matching,
    open: &[Head<'_>],
    theirs: &Translator<'_>,
) -> Result<()> {
    let Some(kind) = open.first().map(|head| head.kind()) else { return Ok(()) };
    let mut by_content: HashMap<(Option<Key>, Fingerprint), VecDeque<Head<'_>>> = HashMap::new();
    for head in sides.actual.heads_of(kind).filter(|head| !found.is_taken(*head)) {
        if let Some(content) = theirs.content(head)? {
            by_content.entry((head.parent(), content)).or_default().push_back(head);
        }
    }
    let mut pairs = Vec::new();
    {
        let placed = PlannedPlaces { matching: found, renewed: None };
        let ours = sides.ours(&placed);
        for own in open {
            let Some(parent) = place_of_parent(found, *own) else { continue };
            let Some(content) = ours.content(*own)? else { continue };
            let equal = by_content.get_mut(&(parent, content)).and_then(VecDeque::pop_front);
            pairs.extend(equal.map(|there| (*own, there)));
        }
    }
    for (own, there) in pairs {
        found.pair(own, there);
    }
    Ok(())
}

/// Where things are, as far as the match pass knows.
#[derive(Debug)]
pub(crate) struct PlannedPlaces<'a> {
    pub(crate) matching: &'a Matching,
    /// Keys in the backup of what gets a new name from the server, though it has one.
    pub(crate) renewed: Option<&'a BTreeSet<Key>>,
}

impl Places for PlannedPlaces<'_> {
    fn locate(&self, key: &Key, handle: &HandleName) -> Located {
        if self.renewed.is_some_and(|renewed| renewed.contains(key)) {
            return Located::Nowhere;
        }
        let own = self.matching.desired.head(key);
        let Some(there) = own.and_then(|own| self.matching.equal(own)) else {
            return Located::Nowhere;
        };
        if *handle == HandleName::id() {
            return Located::At(there.key().id.last().into_owned());
        }
        let assigned = there.assigned().and_then(|assigned| assigned.get(handle));
        assigned.map_or(Located::AsItIs, |value| Located::At(value.clone()))
    }
}

/// The id that a child has under another parent.
pub(crate) fn moved_under(child: &Key, parent: &Key, there: &Key) -> Option<Key> {
    let rest = child.id.as_str().strip_prefix(parent.id.as_str())?.strip_prefix('/')?;
    let id = Id::new(&format!("{}/{rest}", there.id)).ok()?;
    Some(Key::new(child.kind.clone(), id))
}
