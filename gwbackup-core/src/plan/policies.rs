//! What happens to what exists, kind by kind.

use std::collections::BTreeMap;

use super::{Existing, PlanOptions};
use crate::error::{Error, Result};
use crate::model::{Kind, Rules};

/// The policies of a plan.
#[derive(Debug, Default)]
pub(crate) struct Policies {
    all: Existing,
    kinds: BTreeMap<Kind, Existing>,
}

impl Policies {
    /// `Invalid` for a kind that there is not.
    pub(super) fn new(options: &PlanOptions, rules: &Rules) -> Result<Self> {
        let mut kinds = BTreeMap::new();
        for (name, policy) in &options.policies {
            let known = rules.kind_named(name).or_else(|| Kind::new(name).ok());
            let kind = known.filter(|kind| rules.spec(kind).is_some()).ok_or_else(|| {
                let known: Vec<&str> =
                    rules.schema().kinds.iter().map(|spec| spec.kind.as_str()).collect();
                Error::invalid("the policy is about a kind that the gateway does not have")
                    .on(name)
                    .help(format!("there are: {}", known.join(", ")))
            })?;
            kinds.insert(kind, *policy);
        }
        Ok(Self { all: options.existing, kinds })
    }

    /// What happens to a resource of this kind that exists and differs.
    pub(super) fn of(&self, kind: &Kind) -> Existing {
        self.kinds.get(kind).copied().unwrap_or(self.all)
    }
}
