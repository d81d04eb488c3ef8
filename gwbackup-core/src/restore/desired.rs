//! What a restore wants the target to hold: the backup, as the mapping lets it appear.

use std::sync::Arc;

use crate::archive::View;
use crate::error::Result;
use crate::mapping::{Mapped, Mapping, RuleKind, RuleUse};
use crate::model::{Finding, IdMap, Key, Rules, Snapshot, Supplied, Verdict};
use crate::plan::PlanOptions;

/// The backup in the target's words, with the secrets that were supplied. By the keys of this,
/// everything else knows its resources; the backup's own keys are for people, and for what outlives
/// the run.
#[derive(Debug)]
pub(crate) struct Desired {
    backup: Arc<View>,
    /// Where that is not what the target shall hold.
    mapped: Option<Arc<Mapped>>,
}

impl Desired {
    /// Reads the backup once if there is something to map. Blocking.
    pub(crate) fn new(backup: Arc<View>, rules: &Rules, mapping: &Mapping) -> Result<Self> {
        let mapped = || Mapped::new(Arc::clone(&backup) as _, rules, mapping).map(Arc::new);
        let mapped = mapping.has_words().then(mapped).transpose()?;
        Ok(Self { backup, mapped })
    }

    /// The same with these secrets, by the keys of now.
    pub(crate) fn with(self, supplied: Supplied, rules: &Rules) -> Result<Self> {
        if supplied.is_empty() {
            return Ok(self);
        }
        let Self { backup, mapped } = self;
        let mapped = match mapped {
            Some(mapped) => Arc::unwrap_or_clone(mapped),
            None => Mapped::new(Arc::clone(&backup) as _, rules, &Mapping::new())?,
        };
        Ok(Self { backup, mapped: Some(Arc::new(mapped.with(supplied))) })
    }

    pub(crate) fn snapshot(&self) -> Arc<dyn Snapshot> {
        match &self.mapped {
            None => Arc::clone(&self.backup) as _,
            Some(mapped) => Arc::clone(mapped) as _,
        }
    }

    /// What was supplied.
    pub(crate) fn supplied(&self) -> Option<&Supplied> {
        self.mapped.as_deref().map(Mapped::supplied).filter(|supplied| !supplied.is_empty())
    }

    /// What a resource of the backup is called now.
    fn key(&self, own: &Key) -> Key {
        self.mapped.as_ref().map_or_else(|| own.clone(), |mapped| mapped.key(own))
    }

    /// What the backup calls a resource.
    pub(crate) fn original(&self, key: &Key) -> Key {
        self.mapped.as_ref().map_or_else(|| key.clone(), |mapped| mapped.original(key))
    }

    /// The options, in the keys of now.
    pub(crate) fn options(&self, options: &PlanOptions) -> PlanOptions {
        let mapping = options.mapping.renamed(|key| self.key(key));
        PlanOptions { mapping, ..options.clone() }
    }

    /// What was known before about where things are, in the keys of now.
    pub(crate) fn kept(&self, kept: &IdMap) -> IdMap {
        let entries = kept.entries.iter().map(|(own, there)| (self.key(own), there.clone()));
        IdMap { entries: entries.collect() }
    }

    /// What each rule did.
    pub(crate) fn used(&self) -> Vec<RuleUse> {
        self.mapped.as_ref().map_or_else(Vec::new, |mapped| mapped.used().to_vec())
    }

    /// What a person should know about the rules.
    pub(crate) fn findings(&self) -> Vec<Finding> {
        let Some(mapped) = &self.mapped else { return Vec::new() };
        let mut findings = Vec::new();
        for rule in mapped.used() {
            let word = match rule.rule {
                RuleKind::Exact => "whole string",
                RuleKind::Token => "token",
            };
            let subject = format!("mapping: {word} {}", rule.from);
            let mut warn = |text: String| {
                findings.push(Finding::new(&subject, Verdict::Warning, text));
            };
            if rule.resources == 0 {
                warn("it stands nowhere in the backup, so the rule changes nothing".to_owned());
            }
            if let (Some(first), Some(others)) =
                (rule.inside_keys.first(), rule.inside.checked_sub(1))
            {
                let more = if others > 0 { format!(" and {others} more") } else { String::new() };
                warn(format!("it stays where it is a part of a longer word: in {first}{more}"));
            }
        }
        if mapped.attachments() > 0 {
            let count = mapped.attachments();
            let text = format!("{count} resources have attachments, which no rule reads");
            findings.push(Finding::new("mapping", Verdict::Warning, text));
        }
        findings
    }
}
