//! What IAM would say to a policy document: enough of it for documents that allow.

use gwbackup_aws::Policy;
use gwbackup_aws::testing::Need;
use serde_json::Value;

/// One action on one resource of a document, with its conditions.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Grant {
    pub(crate) action: String,
    pub(crate) resource: String,
    when: Value,
}

/// Every action and resource of a policy, read from its document.
pub(crate) fn grants(policy: &Policy) -> Vec<Grant> {
    let document: Value = serde_json::from_str(&policy.to_string()).unwrap();
    assert_eq!(document["Version"], "2012-10-17");
    let texts = |value: &Value| -> Vec<String> {
        value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let mut found = Vec::new();
    for statement in document["Statement"].as_array().unwrap() {
        assert_eq!(statement["Effect"], "Allow");
        for action in texts(&statement["Action"]) {
            for resource in texts(&statement["Resource"]) {
                let when = statement["Condition"].clone();
                found.push(Grant { action: action.clone(), resource, when });
            }
        }
    }
    found
}

impl Grant {
    pub(crate) fn allows(&self, need: &Need) -> bool {
        let equal = self.when["StringEquals"].as_object();
        let meets = |(key, value): (&String, &Value)| {
            need.context.get(key).map(String::as_str) == value.as_str()
        };
        self.action == need.action
            && matches(&self.resource, &need.resource)
            && equal.is_none_or(|all| all.iter().all(meets))
    }
}

/// Whether it changes nothing.
pub(crate) fn is_read(grant: &Grant) -> bool {
    let name = grant.action.trim_start_matches("apigateway:");
    ["GET", "Get", "List"].iter().any(|start| name.starts_with(start))
}

/// `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text.strip_prefix(start).is_some_and(|tail| {
            (0..=tail.len()).any(|n| tail.is_char_boundary(n) && matches(rest, &tail[n..]))
        }),
    }
}

/// Every need is granted, and every grant is needed.
#[track_caller]
pub(crate) fn assert_exact(policy: &Policy, needs: &[Need]) {
    let grants = grants(policy);
    let mut missing: Vec<&Need> =
        needs.iter().filter(|need| !grants.iter().any(|grant| grant.allows(need))).collect();
    missing.sort();
    missing.dedup();
    assert!(missing.is_empty(), "not allowed: {missing:#?}");
    let idle: Vec<String> = grants
        .iter()
        .filter(|grant| !needs.iter().any(|need| grant.allows(need)))
        .map(|grant| format!("{} {}", grant.action, grant.resource))
        .collect();
    assert!(idle.is_empty(), "never needed: {idle:#?}");
    let size = policy.to_string().chars().filter(|c| !c.is_whitespace()).count();
    assert!(size <= 10_240, "{size} characters are more than the policies of a role hold");
}

#[test]
fn stars_stand_for_any_text() {
    for (pattern, text, wanted) in [
        ("/a/*/b", "/a/x/y/b", true),
        ("/a/*/b", "/a/x/c", false),
        ("/a/*", "/a/", true),
        ("/a", "/a/b", false),
        ("*b*", "abc", true),
    ] {
        assert_eq!(matches(pattern, text), wanted, "{pattern} {text}");
    }
}
