//! What becomes of one resource of the backup.

use super::Decider;
use crate::error::Result;
use crate::model::{
    Absence, Action, Gap, Key, KindSpec, Member, Replace, Resource, Restore, Role, Says, To,
};
use crate::plan::diff::{FieldChange, MASK, field_changes, secret_pointers, unseen};
use crate::plan::matching::Sides;
use crate::plan::translate::Translator;
use crate::plan::{Decision, Existing};

impl Decider<'_> {
    /// The action, or why there is none; and what differs.
    pub(super) fn verdict(
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

    pub(super) fn creation(
        &self,
        spec: &KindSpec,
        resource: &Resource,
    ) -> Result<Action, Decision> {
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
        let spare = |at: &str| spec.members.iter().any(|m| m.is == Member::Spare && m.at == at);
        let mut absent = absences(resource).filter(|(at, _)| !spare(at));
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
    pub(super) fn unsendable(&self, resource: &Resource) -> Vec<(String, String)> {
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
    pub(super) fn dangling(&self, resource: &Resource) -> Option<Decision> {
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
}

pub(super) fn covering<'a>(gaps: &'a [Gap], key: &Key) -> Option<&'a Gap> {
    gaps.iter().find(|gap| gap.covers(key))
}

pub(super) fn absences(resource: &Resource) -> impl Iterator<Item = (&str, Absence)> + Clone {
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
