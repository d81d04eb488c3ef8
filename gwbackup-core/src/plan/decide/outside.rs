//! What a resource names outside the gateway.

use std::collections::BTreeSet;

use super::{Decider, Decision};
use crate::model::Resource;
use crate::plan::diff::{MASK, secret_pointers};

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
        let secret = self.secret(resource);
        let named: BTreeSet<(String, String)> = self
            .sides
            .rules
            .outside(resource)
            .into_iter()
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
