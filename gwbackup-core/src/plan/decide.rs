//! What happens to each resource.

mod family;
mod names;
mod outside;
mod stranded;
mod surplus;

use std::collections::BTreeSet;

use super::dependency::Outside;
use super::diff::{FieldChange, MASK, field_changes, secret_pointers, unseen};
use super::index::{Head, Index};
use super::join::Join;
use super::matching::{Matching, PlannedPlaces, Sides};
use super::object::{object, spare};
use super::policies::Policies;
use super::select::{Selected, label};
use super::translate::Translator;
use super::{Decision, Existing, Item, PlanOptions, Summary};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{
    Absence, Action, Change, ChangeNo, Gap, HandleName, Key, Kind, KindSpec, Member, Place,
    Replace, Resource, Restore, Role, Says, To, Undo,
};

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

/// What else is known when a plan is made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) selected: Option<&'a Selected>,
    pub(super) soft_deleted: &'a BTreeSet<Key>,
    /// Newcomers that our own steps made: they may go without `prune`.
    pub(super) ours: &'a BTreeSet<Key>,
}

pub(crate) struct Decider<'a> {
    sides: Sides<'a>,
    matching: &'a Matching,
    options: &'a PlanOptions,
    policies: &'a Policies,
    selected: Option<&'a Selected>,
    soft_deleted: &'a BTreeSet<Key>,
    ours: &'a BTreeSet<Key>,
    /// Whether equal text may mean another thing: a key or the gateway's own name changed, or
    /// something that the server names will be made.
    moved: bool,
    /// Keys in the backup of what will be replaced and then bear another name.
    renewed: BTreeSet<Key>,
    decided: Decided,
}

impl<'a> Decider<'a> {
    pub(crate) fn new(
        sides: Sides<'a>,
        matching: &'a Matching,
        options: &'a PlanOptions,
        policies: &'a Policies,
        known: Known<'a>,
    ) -> Self {
        let Known { selected, soft_deleted, ours } = known;
        let named_by_server = |head: Head<'_>| {
            !matching.is_matched(head)
                && sides.rules.spec(head.kind()).is_some_and(is_assigned_by_server)
        };
        let moved = matching.rekeyed() > 0
            || sides.desired.gateway != sides.actual.gateway
            || sides.desired.heads().any(named_by_server);
        let mut decided = Decided::default();
        decided.summary.adopt = matching.rekeyed() as u64;
        let renewed = BTreeSet::new();
        Self {
            sides,
            matching,
            options,
            policies,
            selected,
            soft_deleted,
            ours,
            moved,
            renewed,
            decided,
        }
    }

    /// Decides on every resource of both sides.
    pub(crate) fn run(mut self) -> Result<Decided> {
        let sides = self.sides;
        let theirs = sides.theirs();
        let renewed = self.renewed(&theirs)?;
        self.moved |= !renewed.is_empty();
        self.renewed.clone_from(&renewed);
        let matching = self.matching;
        let places = PlannedPlaces { matching, renewed: Some(&renewed) };
        let ours = sides.ours(&places);
        if self.moved {
            ours.learn_contents()?;
            theirs.learn_contents()?;
        }
        let mut history = Vec::new();
        for pair in Join::new(sides.backup.scan()?, sides.live, |key| matching.there(key)) {
            let (resource, actual) = pair?;
            let when_referenced =
                sides.rules.restore(&resource.key.kind) == Some(Restore::WhenReferenced);
            if when_referenced && actual.is_none() {
                history.push(resource);
                continue;
            }
            self.one(&ours, &theirs, &resource, actual)?;
        }
        self.history(&ours, &theirs, history)?;
        self.surplus()?;
        stranded::give_up(self.matching, &mut self.decided);
        self.pull()?;
        object(&sides, &mut self.decided)?;
        spare(&sides, &mut self.decided)?;
        self.decided.items.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(self.decided)
    }

    /// What will be replaced and then bear another name: whatever names it must be written, too.
    fn renewed(&self, theirs: &Translator<'_>) -> Result<BTreeSet<Key>> {
        let sides = self.sides;
        let mut renewed = BTreeSet::new();
        let is_named = |kind: &Kind| sides.rules.spec(kind).is_some_and(is_assigned_by_server);
        if !sides.rules.schema().kinds.iter().any(is_assigned_by_server) {
            return Ok(renewed);
        }
        let may_be = |head: &Head<'_>| {
            let spec = sides.rules.spec(head.kind()).filter(|_| self.matching.is_matched(*head));
            spec.is_some_and(|spec| self.may_replace(head.kind(), spec))
                && self.selected.is_none_or(|s| s.keys.contains(&head.key()))
        };
        let mut open: Vec<Head<'_>> = sides.desired.heads().filter(may_be).collect();
        // Each round may bring to light things that name, for good, one of the round before.
        loop {
            let found = self.replaced(&open, &renewed, theirs)?;
            if found.is_empty() {
                return Ok(renewed);
            }
            open.retain(|head| !found.contains(&head.key()));
            // What goes along is made again as well.
            let roots = found.iter().filter_map(|key| self.matching.there(key)).collect();
            let along = self.family(&roots)?.into_keys();
            let along = along.filter_map(|there| self.matching.own(&there));
            renewed.extend(found.into_iter().chain(along).filter(|key| is_named(&key.kind)));
        }
    }

    /// Which of these are replaced if those get new names.
    fn replaced(
        &self,
        open: &[Head<'_>],
        renewed: &BTreeSet<Key>,
        theirs: &Translator<'_>,
    ) -> Result<BTreeSet<Key>> {
        let (sides, matching) = (self.sides, self.matching);
        let places = PlannedPlaces { matching, renewed: Some(renewed) };
        let ours = sides.ours(&places);
        let moved = self.moved || !renewed.is_empty();
        let mut found = BTreeSet::new();
        if open.is_empty() {
            return Ok(found);
        }
        if moved {
            ours.learn_contents()?;
            theirs.learn_contents()?;
        }
        let own = open.iter().filter_map(|head| sides.backup.get(&head.key()).transpose());
        for pair in Join::new(own, sides.live, |key| matching.there(key)) {
            let (resource, Some(actual)) = pair? else { continue };
            let (verdict, _) = self.verdict(&ours, theirs, &resource, Some(&actual), moved)?;
            if verdict == Ok(Action::Replace) {
                found.insert(resource.key);
            }
        }
        Ok(found)
    }

    /// Whether a difference can become a replacement.
    fn may_replace(&self, kind: &Kind, spec: &KindSpec) -> bool {
        self.policies.of(kind) == Existing::Replace
            || !spec.verbs.update
            || spec.members.iter().any(|member| member.is == Member::Immutable)
    }

    /// History is written only where something that is written points to it.
    fn history(
        &mut self,
        ours: &Translator<'_>,
        theirs: &Translator<'_>,
        mut open: Vec<Resource>,
    ) -> Result<()> {
        loop {
            let wanted: BTreeSet<&Key> = self
                .decided
                .links
                .iter()
                .flat_map(|links| links.needs.iter().map(|(key, _)| key))
                .collect();
            let (now, later): (Vec<_>, Vec<_>) =
                open.into_iter().partition(|resource| wanted.contains(&resource.key));
            if now.is_empty() {
                for resource in later {
                    let why = "history that nothing restored points to";
                    self.item(&resource, Decision::Skipped(why.to_owned()), None, Vec::new());
                }
                return Ok(());
            }
            open = later;
            for resource in now {
                self.one(ours, theirs, &resource, None)?;
            }
        }
    }

    fn one(
        &mut self,
        ours: &Translator<'_>,
        theirs: &Translator<'_>,
        resource: &Resource,
        actual: Option<Resource>,
    ) -> Result<()> {
        if self.selected.is_some_and(|selected| !selected.keys.contains(&resource.key)) {
            return Ok(());
        }
        let (verdict, fields) =
            self.verdict(ours, theirs, resource, actual.as_ref(), self.moved)?;
        let decision = match verdict {
            Ok(action) => Decision::Do(action),
            Err(other) => other,
        };
        let ended = |at| self.sides.rules.has_ended(resource, at);
        let decision = match decision {
            Decision::Do(_) if self.options.at.is_some_and(ended) => {
                Decision::Skipped("it has ended by itself since the backup".to_owned())
            }
            Decision::Do(_) => {
                self.dangling(resource).or_else(|| self.unmapped(resource)).unwrap_or(decision)
            }
            other => other,
        };
        if let Decision::Do(action) = decision {
            refuse_sealed(resource)?;
            self.change(resource, actual.as_ref(), action)?;
        }
        let there = actual.map(|actual| actual.key);
        self.item(resource, decision, there, fields);
        Ok(())
    }

    /// The action, or why there is none; and what differs.
    fn verdict(
        &self,
        ours: &Translator<'_>,
        theirs: &Translator<'_>,
        resource: &Resource,
        actual: Option<&Resource>,
        moved: bool,
    ) -> Result<(Result<Action, Decision>, Vec<FieldChange>)> {
        let key = &resource.key;
        let Some(spec) = self.sides.rules.spec(&key.kind) else {
            let why = format!("the target has no kind {}", key.kind);
            return Ok((Err(Decision::Blocked(why)), Vec::new()));
        };
        if let Some(keys) = self.ambiguous(key) {
            return Ok((Err(keys), Vec::new()));
        }
        let Some(actual) = actual else {
            return Ok((self.creation(spec, resource), Vec::new()));
        };
        let mut fields = Vec::new();
        let none = self.unchanged_or(ours, theirs, resource, actual, moved, &mut fields)?;
        Ok((none.map_or_else(|| self.update(spec, resource, &fields), Err), fields))
    }

    fn ambiguous(&self, key: &Key) -> Option<Decision> {
        if let Some(keys) = self.matching.ambiguous.get(key) {
            return Some(Decision::Ambiguous(keys.clone()));
        }
        let mut parent = self.sides.desired.head(key)?.parent();
        while let Some(key) = parent {
            if self.matching.ambiguous.contains_key(&key) {
                return Some(Decision::Blocked(format!("its parent {key} is ambiguous")));
            }
            parent = self.sides.desired.head(&key)?.parent();
        }
        None
    }

    fn creation(&self, spec: &KindSpec, resource: &Resource) -> Result<Action, Decision> {
        let key = &resource.key;
        if let Some(owner) = &resource.owner {
            return Err(Decision::Skipped(format!("made and kept by {owner}")));
        }
        if spec.restore == Restore::Never {
            return Err(Decision::Skipped("kept for the record only".to_owned()));
        }
        if let Some(gap) = covering(self.sides.live.gaps(), key) {
            return Err(Decision::Blocked(format!("the target could not be read: {}", gap.detail)));
        }
        if self.soft_deleted.contains(key) && spec.verbs.undelete {
            return Ok(Action::Undelete);
        }
        if spec.presence.is_fixed(&key.id.last()) {
            return Err(Decision::CannotRestore("it is always there, but not here".to_owned()));
        }
        if !spec.verbs.create {
            return Err(Decision::CannotRestore(
                "the vendor offers no way to create it".to_owned(),
            ));
        }
        let mut absent = absences(resource);
        let never = absent.clone().find(|(_, why)| *why == Absence::Unreadable);
        if let Some((at, _)) = never.filter(|_| !self.options.supply) {
            let why = format!(
                "the value at {at} was never readable: supply the secret {key}#{at}, or make it by hand"
            );
            return Err(Decision::CannotRestore(why));
        }
        if let Some((at, why)) = absent.find(|(_, why)| *why != Absence::Sealed) {
            let why = word(why);
            let why = format!("the value at {at} is {why}: supply the secret {key}#{at}");
            return Err(Decision::Blocked(why));
        }
        if let Some((_, why)) = self.unsendable(resource).into_iter().next() {
            return Err(Decision::CannotRestore(why));
        }
        Ok(Action::Create)
    }

    /// A decision where there is nothing to write, or nothing may be written.
    fn unchanged_or(
        &self,
        ours: &Translator<'_>,
        theirs: &Translator<'_>,
        resource: &Resource,
        actual: &Resource,
        moved: bool,
        fields: &mut Vec<FieldChange>,
    ) -> Result<Option<Decision>> {
        let same_bytes = resource.document == actual.document
            && resource.attachments == actual.attachments
            && !resource.is_incomplete()
            && !actual.is_incomplete();
        if same_bytes && !moved {
            return Ok(Some(Decision::Unchanged));
        }
        let unseen = unseen(self.sides.rules, self.sides.backup, resource, actual);
        let wanted = ours.comparable(resource, &unseen.places)?;
        let found = theirs.comparable(actual, &unseen.places)?;
        let same = wanted == found && resource.attachments == actual.attachments;
        if same && unseen.supplied.is_empty() {
            return Ok(Some(Decision::Unchanged));
        }
        *fields = field_changes(
            &found,
            &wanted,
            &secret_pointers(self.sides.rules, [(resource, &wanted), (actual, &found)]),
        );
        // What cannot be compared, and was supplied all the same, is to be written.
        let mask = Some(MASK.to_owned());
        let to_write = unseen.supplied.into_iter();
        fields.extend(to_write.map(|at| FieldChange { at, from: mask.clone(), to: mask.clone() }));
        if let Some(owner) = &resource.owner {
            return Ok(Some(Decision::Skipped(format!("made and kept by {owner}"))));
        }
        Ok(match self.policies.of(&resource.key.kind) {
            Existing::Skip => Some(Decision::Skipped("it exists".to_owned())),
            Existing::Fail => Some(Decision::Blocked("it exists and differs".to_owned())),
            _ => None,
        })
    }

    fn update(
        &self,
        spec: &KindSpec,
        resource: &Resource,
        fields: &[FieldChange],
    ) -> Result<Action, Decision> {
        if spec.restore == Restore::Never {
            return Err(Decision::Skipped("kept for the record only".to_owned()));
        }
        let inside = |field: &FieldChange, place: &String| {
            field.at == *place
                || field.at.strip_prefix(place.as_str()).is_some_and(|r| r.starts_with('/'))
                || place.strip_prefix(field.at.as_str()).is_some_and(|r| r.starts_with('/'))
        };
        let hit = |wanted: fn(&Member) -> bool| {
            let places = self.sides.rules.members(resource, wanted);
            fields.iter().find(|field| places.iter().any(|place| inside(field, place)))
        };
        let mut unsendable = self.unsendable(resource);
        let differs = |at: &String| fields.iter().any(|field| inside(field, at));
        if let Some(n) = unsendable.iter().position(|(at, _)| differs(at)) {
            return Err(Decision::CannotRestore(unsendable.swap_remove(n).1));
        }
        let immutable = hit(|m| *m == Member::Immutable);
        let replaces = self.policies.of(&resource.key.kind) == Existing::Replace;
        if immutable.is_none() && spec.verbs.update && !replaces {
            return Ok(Action::Update);
        }
        let can_replace = spec.verbs.create && spec.verbs.delete && spec.replace != Replace::Never;
        match (immutable, can_replace) {
            (_, true) => match unsendable.into_iter().next() {
                Some((_, why)) => Err(Decision::CannotRestore(why)),
                None => Ok(Action::Replace),
            },
            (Some(field), false) => {
                let why = format!("{} cannot be changed once it exists", field.at);
                Err(Decision::CannotRestore(why))
            }
            (None, false) if spec.verbs.update => Ok(Action::Update),
            (None, false) => {
                Err(Decision::CannotRestore("the vendor offers no way to change it".to_owned()))
            }
        }
    }

    /// Places whose values must not be written, with the reason.
    fn unsendable(&self, resource: &Resource) -> Vec<(String, String)> {
        let Sides { rules, desired, .. } = self.sides;
        let supplied = |at: &String| self.sides.backup.is_supplied(&resource.key, at);
        let unreadable = rules.unreadable(resource).into_iter().filter(|at| !supplied(at));
        let unreadable = unreadable.map(|at| {
            let why = format!(
                "the value at {at} cannot be sent back: supply the secret {}#{at}, or make it by hand",
                resource.key
            );
            (at, why)
        });
        let salted = rules.salted(resource).into_iter().filter(|(at, _)| !supplied(at));
        let salted = salted.filter_map(|(at, salt)| {
            let head = desired.resolve(resource, &salt)?;
            let key = head.key();
            let there = self.matching.there(&key).filter(|there| *there != key)?;
            let why = format!(
                "the hash at {at} holds for {key} alone, which is {there} here: make it by hand"
            );
            Some((at, why))
        });
        unreadable.chain(salted).collect()
    }

    /// A reference to something that is neither in the backup nor in the target.
    fn dangling(&self, resource: &Resource) -> Option<Decision> {
        let rules = self.sides.rules;
        rules.references(resource).iter().find_map(|reference| {
            let To::Resource { kinds, value, .. } = &reference.to else { return None };
            if reference.role == Role::Weak
                || self.sides.desired.resolve(resource, reference).is_some()
                || self.sides.actual.resolve(resource, reference).is_some()
            {
                return None;
            }
            let kind = kinds.first()?;
            let why = format!(
                "{} names {kind} {value}, which is neither in the backup nor in the target",
                reference.at.pointer
            );
            Some(Decision::Blocked(why))
        })
    }

    fn change(
        &mut self,
        resource: &Resource,
        actual: Option<&Resource>,
        action: Action,
    ) -> Result<()> {
        let undo = self.undo(resource, actual, action);
        let there = actual.map(|a| &a.key).filter(|there| **there != resource.key);
        let mut links = self.links(resource, actual)?;
        if let Some(actual) = actual.filter(|_| action == Action::Update) {
            links.names = self.names(actual);
        }
        self.note_outside(resource);
        self.push(
            Change {
                no: ChangeNo(0),
                key: resource.key.clone(),
                there: there.cloned(),
                parent: resource.parent.clone(),
                action,
                undo,
                bytes: resource.document.len() as u64,
            },
            links,
        );
        Ok(())
    }

    fn push(&mut self, mut change: Change, links: Links) {
        change.no = ChangeNo(u32::try_from(self.decided.changes.len()).unwrap_or(u32::MAX));
        self.decided.changes.push(change);
        self.decided.links.push(links);
    }

    fn undo(&self, resource: &Resource, actual: Option<&Resource>, action: Action) -> Undo {
        let Some(spec) = self.sides.rules.spec(&resource.key.kind) else { return Undo::Exact };
        let unreadable = |actual| self.sides.rules.unreadable(actual).into_iter();
        match (action, actual) {
            (Action::Create | Action::Undelete, _) if !spec.verbs.delete => Undo::Residue,
            (Action::Delete | Action::Replace, Some(actual)) => {
                let mut lost: Vec<Place> = actual
                    .marks
                    .iter()
                    .filter(|mark| matches!(mark.says, Says::Absent(_)))
                    .map(|mark| mark.at.clone())
                    .collect();
                lost.extend(unreadable(actual).map(Place::value));
                if !lost.is_empty() {
                    Undo::Lost(lost)
                } else if is_assigned_by_server(spec) {
                    Undo::NewHandles
                } else {
                    Undo::Exact
                }
            }
            (Action::Update, Some(actual)) => {
                let (new, old) = (&resource.document, &actual.document);
                let lost: Vec<Place> = unreadable(actual)
                    .filter(|at| new.get(at) != old.get(at))
                    .map(Place::value)
                    .collect();
                if lost.is_empty() { Undo::Exact } else { Undo::Lost(lost) }
            }
            _ => Undo::Exact,
        }
    }

    fn links(&self, resource: &Resource, actual: Option<&Resource>) -> Result<Links> {
        let rules = self.sides.rules;
        let mut links = Links::default();
        links.needs.extend(resource.parent.iter().map(|parent| (parent.clone(), Role::Owner)));
        for reference in rules.references(resource) {
            if let Some(head) = self.sides.desired.resolve(resource, &reference) {
                links.needs.push((head.key(), reference.role));
            }
        }
        if let Some(actual) = actual {
            links.holds = held(rules, self.sides.actual, actual);
        }
        links.claims = self.claims(resource, actual)?;
        Ok(links)
    }

    fn item(
        &mut self,
        resource: &Resource,
        decision: Decision,
        there: Option<Key>,
        fields: Vec<FieldChange>,
    ) {
        self.decided.summary.count(&decision);
        if decision == Decision::Unchanged {
            return;
        }
        let pulled = self.selected.is_some_and(|s| s.pulled.contains(&resource.key));
        self.decided.items.push(Item {
            key: resource.key.clone(),
            name: label(self.sides.rules, resource),
            there: there.filter(|there| *there != resource.key),
            decision,
            fields,
            pulled,
        });
    }
}

/// Whatever this target resource needs: it may only go after this one.
fn held(rules: &crate::model::Rules, index: &Index, resource: &Resource) -> Vec<Key> {
    let mut keys: Vec<Key> = resource.parent.iter().cloned().collect();
    for reference in rules.references(resource).iter().filter(|r| r.role != Role::Weak) {
        keys.extend(index.resolve(resource, reference).map(Head::key));
    }
    keys
}

fn covering<'a>(gaps: &'a [Gap], key: &Key) -> Option<&'a Gap> {
    gaps.iter().find(|gap| gap.covers(key))
}

fn absences(resource: &Resource) -> impl Iterator<Item = (&str, Absence)> + Clone {
    resource.marks.iter().filter_map(|mark| match mark.says {
        Says::Absent(why) => Some((mark.at.pointer.as_str(), why)),
        Says::Secret => None,
    })
}

fn word(why: Absence) -> &'static str {
    match why {
        Absence::Unreadable => "not readable",
        Absence::Withheld => "left out of the backup",
        Absence::Denied => "denied to the backup",
        Absence::Sealed => "sealed",
    }
}

/// Whether the server gives things of this kind a name of its own.
pub(crate) fn is_assigned_by_server(spec: &KindSpec) -> bool {
    spec.handles.iter().any(|handle| handle.by_server)
}

/// A reader without the right to secrets cannot write a resource that holds one.
fn refuse_sealed(resource: &Resource) -> Result<()> {
    match absences(resource).find(|(_, why)| *why == Absence::Sealed) {
        None => Ok(()),
        Some((at, _)) => {
            let message =
                format!("the secret at {at} is needed, and the key lacks the right `secrets`");
            Err(Error::new(ErrorKind::KeyUnavailable, message)
                .on(&resource.key)
                .help("use a key whose recipient has the right `secrets`"))
        }
    }
}
