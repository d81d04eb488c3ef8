//! A region as a target.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use gwbackup_core::model::{
    Action, Change, Description, Finding, Group, Id, Key, Kind, Scope, Side, Step, StepReceipt,
    Verdict,
};
use gwbackup_core::target::{States, StepLog, Target};
use gwbackup_core::{Context, Result};

use crate::gateway::Aws;
use crate::table::Row;
use crate::write::invoke::{self, FUNCTION, Function};
use crate::write::{IMPORT_FROM, Work};

/// Calls that read a tree before and after it is written.
const LOOKS: u32 = 20;
/// What is not the same when it is made anew.
const ANEW: &[(&str, &str)] = &[
    (
        "client_certificate",
        "the service makes another certificate with another key: the back ends that trust the old \
         one must be told",
    ),
    (
        "rest_documentation_version",
        "it is made of the documentation as it is in the backup: what an old version said cannot \
         be read",
    ),
    (
        "portal",
        "its logo cannot be read, and so not brought back: upload it again; what was published is \
         what the portal is in the backup",
    ),
];
/// What deleting a REST API takes.
const DELETION: Duration = Duration::from_secs(30);

#[async_trait]
impl Target for Aws {
    /// What lies below one root is one group: the service takes calls below one API one at a time,
    /// and reading the tree once serves all of its changes.
    fn arrange(&self, _: &Description, changes: &[Change]) -> Vec<Group> {
        let moved = moved_roots(changes);
        let mut trees: BTreeMap<Key, Vec<&Change>> = BTreeMap::new();
        for change in changes {
            trees.entry(root(change, &moved)).or_default().push(change);
        }
        let group = |(root, mut changes): (Key, Vec<&Change>)| {
            changes.sort_by_key(|change| turn(change));
            Group {
                changes: changes.iter().map(|change| change.no).collect(),
                lane: Some(root.to_string()),
                estimate: self.estimate(&changes),
                rewrites: Some(Scope::of(root)),
            }
        };
        trees.into_iter().map(group).collect()
    }

    async fn validate(
        &self,
        cx: &Context,
        _: &Description,
        changes: &[Change],
        states: &dyn States,
    ) -> Result<Vec<Finding>> {
        cx.check()?;
        let mut findings = Vec::new();
        let makes = |kind: &str| {
            let kind = kind.to_owned();
            changes.iter().filter(move |change| {
                change.key.kind.as_str() == kind
                    && matches!(change.action, Action::Create | Action::Replace)
            })
        };
        let mut warn = |change: &Change, what: &str| {
            let finding = Finding::new(change.key.to_string(), Verdict::Warning, what);
            findings.push(finding.about(change.no));
        };
        for (kind, what) in ANEW {
            makes(kind).for_each(|change| warn(change, what));
        }
        for change in changes.iter().filter(|change| change.action != Action::Delete) {
            let calls = |row: &&Row| row.outside.iter().any(|(_, class)| *class == FUNCTION);
            let Some(row) = Row::of(&change.key.kind).filter(calls) else { continue };
            let Some(state) = states.one(Side::After, &change.key).await? else { continue };
            let functions = invoke::functions(row, &state.resource.document);
            if functions.iter().any(Function::is_variable) {
                let what = "a stage variable names its function: if the API is a new one, allow it \
                    by hand to call each of them (lambda:AddPermission)";
                warn(change, what);
            }
        }
        for change in makes("rest_stage") {
            let state = states.one(Side::After, &change.key).await?;
            let acl = state.and_then(|state| {
                state.resource.document.text("/webAclArn").map(std::borrow::Cow::into_owned)
            });
            if let Some(acl) = acl {
                let what = format!(
                    "nothing guards it until the web ACL {acl} is associated with it by hand"
                );
                warn(change, &what);
            }
        }
        for change in makes("rest_deployment").chain(makes("api_deployment")) {
            let state = states.one(Side::After, &change.key).await?;
            let made = |parent: &Key| {
                changes.iter().any(|c| c.key == *parent && c.action == Action::Create)
            };
            let held = state.is_some_and(|state| {
                let anew = change.key.kind.as_str() == "rest_deployment"
                    || state.resource.parent.as_ref().is_some_and(made);
                anew && state.resource.document.get("/export").is_some()
            });
            if !held {
                let what = "it is made of the API as it is in the backup: what it served could not \
                    be exported, or cannot be imported into an HTTP API that is there";
                warn(change, what);
            }
        }
        let apis = u32::try_from(makes("rest_api").count()).unwrap_or(u32::MAX);
        if apis > 0 {
            let time = self.at_budget(DELETION.saturating_mul(apis)).as_secs();
            let what = format!(
                "{apis} new REST APIs have new ids and hosts; taking them back would take {time} s"
            );
            findings.push(Finding::new("rest_api", Verdict::Warning, what));
        }
        Ok(findings)
    }

    async fn apply(
        &self,
        cx: &Context,
        description: &Description,
        step: &Step,
        states: &dyn States,
        log: &dyn StepLog,
    ) -> Result<StepReceipt> {
        Work::new(self, cx, description, step, states, log).await?.run().await
    }
}

impl Aws {
    fn at_budget(&self, time: Duration) -> Duration {
        time * 100 / u32::from(self.config().budget)
    }

    /// By the quotas: what one call costs, or less where one call says it all.
    fn estimate(&self, changes: &[&Change]) -> Duration {
        let call = Duration::from_millis(100);
        let mut calls = LOOKS;
        let mut more = Duration::ZERO;
        for change in changes {
            match (change.key.kind.as_str(), change.action) {
                ("rest_api", Action::Delete | Action::Replace) => return self.at_budget(DELETION),
                ("rest_api", Action::Create) => more += Duration::from_secs(3),
                ("rest_deployment", Action::Create) => more += Duration::from_secs(6),
                ("usage_plan" | "account", Action::Update) => more += Duration::from_secs(20),
                ("domain_name" | "vpc_link_v2", _) => more += Duration::from_secs(30),
                ("rest_method", Action::Create | Action::Update) => calls += 6,
                _ => calls += 1,
            }
        }
        if changes.len() >= IMPORT_FROM {
            calls = LOOKS;
            more += Duration::from_secs(1);
        }
        self.at_budget(call * calls + more)
    }
}

/// Makers first, in the order of the table; then removers, the other way round.
fn turn(change: &Change) -> (bool, i32, Key) {
    let rank = Row::of(&change.key.kind).map_or(0, |row| i32::from(row.rank));
    let removes = change.action == Action::Delete;
    (removes, if removes { -rank } else { rank }, change.key.clone())
}

/// The root that a change is about or lies below, as the target knows it.
fn root(change: &Change, moved: &BTreeMap<(Kind, String), String>) -> Key {
    let (kind, first) = first(change.target_key());
    let first = moved.get(&(kind.clone(), first.clone())).cloned().unwrap_or(first);
    let id = Id::new(&first).unwrap_or_else(|_| change.key.id.clone());
    Key::new(kind, id)
}

/// Roots that have another id in the target, as far as the changes tell: a new thing below one is
/// named as in the backup, a thing that is there as in the target.
fn moved_roots(changes: &[Change]) -> BTreeMap<(Kind, String), String> {
    changes
        .iter()
        .filter_map(|change| {
            let from = first(&change.key);
            let (_, there) = first(change.there.as_ref().or(change.parent.as_ref())?);
            (there != from.1).then_some((from, there))
        })
        .collect()
}

/// Kind of the root, and the first segment as it is written.
fn first(key: &Key) -> (Kind, String) {
    let kind = Row::of(&key.kind).map_or(key.kind.clone(), |row| Kind::known(row.root().kind));
    (kind, key.id.as_str().split('/').next().unwrap_or_default().to_owned())
}
