//! What a resource names outside the gateway.

use std::collections::BTreeSet;

use super::{Decider, Decision};
use crate::model::Resource;
use crate::plan::diff::{MASK, secret_pointers};
use crate::plan::matching::Sides;

impl Decider<'_> {
    /// Blocks what names something of the backup's own account or region while the target lies in
    /// another: nobody but a mapping can say what that is there.
    pub(super) fn unmapped(&self, resource: &Resource) -> Option<Decision> {
        let (origin, here) = (self.sides.backup.origin(), &self.sides.actual.gateway);
        let moved = |(name, value): &(&_, &String)| {
            origin.get(*name) == Some(*value) && here.get(*name).is_some_and(|own| own != *value)
        };
        if origin == here {
            return None;
        }
        let secret = self.secret(resource);
        self.sides.rules.outside(resource).into_iter().find_map(|named| {
            let (handle, value) = named.handles.iter().find(moved)?;
            let own = here.get(handle)?;
            let name = if secret.contains(&named.at) { MASK } else { &named.name };
            let why = format!(
                "{} names the {} {name} of {handle} {value}, and the target's {handle} is {own}: \
                 map it",
                named.at, named.class
            );
            Some(Decision::Blocked(why))
        })
    }

    pub(super) fn note_outside(&mut self, resource: &Resource) {
        let Sides { rules, desired, .. } = self.sides;
        let found = rules.outside(resource);
        if found.is_empty() {
            return;
        }
        let secret = self.secret(resource);
        // A name that one of the gateway's own things has means that one.
        let inside: BTreeSet<String> = rules
            .references(resource)
            .into_iter()
            .filter(|reference| desired.resolve(resource, reference).is_some())
            .map(|reference| reference.at.pointer)
            .collect();
        let named: BTreeSet<(String, String)> = found
            .into_iter()
            .filter(|named| !inside.contains(&named.at))
            .map(|named| {
                let hidden = secret.contains(&named.at);
                (named.class, if hidden { MASK.to_owned() } else { named.name })
            })
            .collect();
        for (class, name) in named {
            self.decided.outside.note(class, name, &resource.key);
        }
    }

    fn secret(&self, resource: &Resource) -> BTreeSet<String> {
        let document = &resource.document;
        secret_pointers(self.sides.rules, [(resource, document), (resource, document)])
    }
}
