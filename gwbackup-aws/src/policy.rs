//! Least privilege: policies for IAM, made from the tables that the calls are made from.

mod gateway;
mod history;
mod metrics;
mod storage;

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value, json};

pub use gateway::Region;

/// What a role of gwbackup may do, as a document for IAM: no more than its calls need, and all of it.
///
/// [`Display`](fmt::Display) writes the document (version 2012-10-17). Several are joined by
/// [`and`](Self::and), for one identity that has several roles.
///
/// Not in them, since no call of gwbackup's needs it or it could not be checked what it needs:
/// what AWS itself asks of who makes a VPC link, a custom domain or an access log
/// (`iam:CreateServiceLinkedRole` for `ops.apigateway.amazonaws.com`, `logs:CreateLogDelivery` and
/// its like, `s3:GetObject` on truststores).
///
/// ```
/// use gwbackup_aws::{Policy, Region};
/// use gwbackup_core::model::Scope;
///
/// let region = Region::new("eu-central-1", "123456789012")?;
/// let policy = Policy::backup(&region, &Scope::everything());
/// assert!(policy.to_string().contains("arn:aws:apigateway:eu-central-1::/restapis\""));
/// # Ok::<(), gwbackup_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    statements: Vec<Statement>,
}

/// Actions that are allowed on resources.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statement {
    /// Each allowed on each resource.
    pub actions: Vec<String>,
    /// ARNs, in which `*` stands for any text.
    pub resources: Vec<String>,
    /// Keys of the request's context and what they have to be, letter by letter.
    pub when: BTreeMap<String, String>,
}

impl Statement {
    fn new(actions: &[&str], resources: Vec<String>) -> Self {
        let actions = actions.iter().map(|&action| action.to_owned()).collect();
        Self { actions, resources, when: BTreeMap::new() }
    }

    fn when(mut self, key: &str, value: impl Into<String>) -> Self {
        self.when.insert(key.to_owned(), value.into());
        self
    }

    fn document(&self) -> Value {
        let mut members = Map::new();
        members.insert("Effect".to_owned(), "Allow".into());
        members.insert("Action".to_owned(), json!(self.actions));
        members.insert("Resource".to_owned(), json!(self.resources));
        if !self.when.is_empty() {
            members.insert("Condition".to_owned(), json!({ "StringEquals": self.when }));
        }
        members.into()
    }
}

impl Policy {
    /// What it allows.
    pub fn statements(&self) -> &[Statement] {
        &self.statements
    }

    /// Both in one. A managed policy holds 6,144 characters, spaces not counted, and what is written
    /// into a role 10,240: the policy to restore everything is for the latter.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.statements.extend(other.statements);
        self
    }

    /// The right to ask IAM what one may do: with it a preflight knows the rights to write without
    /// writing. `identity` is the ARN of the user or role itself.
    pub fn preflight(identity: &str) -> Self {
        let own = vec![identity.to_owned()];
        Self { statements: vec![Statement::new(&["iam:SimulatePrincipalPolicy"], own)] }
    }

    /// Every action and resource, one by one.
    pub(crate) fn rights(&self) -> impl Iterator<Item = Right<'_>> {
        self.statements.iter().flat_map(|statement| {
            let Statement { actions, resources, when } = statement;
            let pairs = actions.iter().flat_map(move |a| resources.iter().map(move |r| (a, r)));
            pairs.map(move |(action, resource)| Right { action, resource, when })
        })
    }
}

/// One action on one resource.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Right<'a> {
    pub(crate) action: &'a str,
    pub(crate) resource: &'a str,
    pub(crate) when: &'a BTreeMap<String, String>,
}

impl Right<'_> {
    /// Whether a request of this action on this resource goes by it.
    pub(crate) fn covers(&self, action: &str, resource: &str) -> bool {
        self.action == action && covers(self.resource, resource)
    }

    /// The statement that gives it.
    pub(crate) fn statement(&self) -> String {
        let (actions, resources) = (vec![self.action.to_owned()], vec![self.resource.to_owned()]);
        Statement { actions, resources, when: self.when.clone() }.document().to_string()
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let statements: Vec<Value> = self.statements.iter().map(Statement::document).collect();
        write!(f, "{:#}", json!({ "Version": "2012-10-17", "Statement": statements }))
    }
}

/// One statement for the actions that have the same resources; a resource that another one of the
/// same action covers is left out.
fn compact(rights: impl IntoIterator<Item = (String, String)>) -> Vec<Statement> {
    let mut by_action: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (action, resource) in rights {
        by_action.entry(action).or_default().push(resource);
    }
    let mut by_resources: BTreeMap<Vec<String>, Vec<String>> = BTreeMap::new();
    for (action, mut all) in by_action {
        all.sort();
        all.dedup();
        let kept = |one: &&String| !all.iter().any(|other| other != *one && covers(other, one));
        let resources = all.iter().filter(kept).cloned().collect();
        by_resources.entry(resources).or_default().push(action);
    }
    let statement = |(resources, actions)| Statement { actions, resources, when: BTreeMap::new() };
    by_resources.into_iter().map(statement).collect()
}

/// Whether a pattern stands for all that another one stands for.
fn covers(pattern: &str, other: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = other.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = rest.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_covers_what_it_stands_for() {
        for (pattern, other, wanted) in [
            ("/a", "/a", true),
            ("/a", "/a/b", false),
            ("/a/*", "/a/*/b", true),
            ("/a/*/b", "/a/*", false),
            ("/a/*/b", "/a/*/c/*/b", true),
            ("/a/*/b/*", "/a/*/c", false),
            ("/a/*", "/a", false),
        ] {
            assert_eq!(covers(pattern, other), wanted, "{pattern} {other}");
        }
    }

    #[test]
    fn what_is_covered_is_left_out_and_equals_are_joined() {
        let right = |action: &str, resource: &str| (action.to_owned(), resource.to_owned());
        let found = compact([
            right("GET", "/a"),
            right("GET", "/a/*/b"),
            right("GET", "/a/*"),
            right("PUT", "/a/*"),
            right("PUT", "/a"),
            right("DELETE", "/a/*"),
        ]);
        let found: Vec<_> =
            found.iter().map(|s| (s.actions.join(","), s.resources.join(","))).collect();
        let wanted = [("GET,PUT", "/a,/a/*"), ("DELETE", "/a/*")];
        assert_eq!(found, wanted.map(|(a, b)| (a.to_owned(), b.to_owned())));
    }
}
