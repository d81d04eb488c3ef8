//! What IAM says about rights that cannot be tried.

use std::collections::{BTreeMap, VecDeque};

use gwbackup_core::error::ErrorKind;
use gwbackup_core::{Context, Result};
use serde::Deserialize;
use url::form_urlencoded;

use super::{Said, ends};
use crate::gateway::Aws;
use crate::policy::Right;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Response {
    simulate_principal_policy_result: Outcome,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Outcome {
    evaluation_results: Members,
}

#[derive(Debug, Deserialize)]
struct Members {
    #[serde(default)]
    member: Vec<Evaluation>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Evaluation {
    eval_action_name: String,
    eval_decision: String,
}

/// The question which of these actions are allowed on a resource.
fn form<'a>(principal: &str, resource: &str, actions: impl Iterator<Item = &'a str>) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("Action", "SimulatePrincipalPolicy").append_pair("Version", "2010-05-08");
    form.append_pair("PolicySourceArn", principal).append_pair("ResourceArns.member.1", resource);
    for (n, action) in actions.enumerate() {
        form.append_pair(&format!("ActionNames.member.{}", n + 1), action);
    }
    form.finish()
}

/// One answer for each right, in their order; all open where IAM does not let itself be asked.
pub(super) async fn ask(
    aws: &Aws,
    cx: &Context,
    principal: Option<&str>,
    rights: &[Right<'_>],
) -> Result<VecDeque<Said>> {
    let mut said: VecDeque<Said> = rights.iter().map(|_| Said::Open).collect();
    let Some(principal) = principal else { return Ok(said) };
    // One resource at a time: then each action has one decision.
    let mut by_resource: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (n, right) in rights.iter().enumerate() {
        by_resource.entry(right.resource).or_default().push(n);
    }
    for (resource, numbers) in by_resource {
        let mine = || numbers.iter().filter_map(|n| Some((*n, rights.get(*n)?)));
        let actions = mine().map(|(_, right)| right.action);
        let form = form(principal, resource, actions);
        let answer = match aws.0.client.identities(cx, form).await {
            Err(error) if ends(&error) && error.kind() == ErrorKind::Cancelled => {
                return Err(error);
            }
            answer => answer.and_then(crate::answer::Answer::success),
        };
        // Who may not ask once may not ask at all.
        let Ok(body) = answer else { return Ok(said) };
        let Ok(told) = quick_xml::de::from_reader::<_, Response>(body.as_ref()) else {
            return Ok(said);
        };
        let all = told.simulate_principal_policy_result.evaluation_results.member;
        for (n, right) in mine() {
            let own = all.iter().find(|found| found.eval_action_name == right.action);
            let decision = own.map(|found| found.eval_decision.as_str());
            let found = match decision {
                Some("allowed") => Said::Allowed("IAM says that it is allowed"),
                Some("explicitDeny") => {
                    Said::Denied("a policy denies it (explicitDeny)".to_owned())
                }
                Some("implicitDeny") => {
                    Said::Denied("no policy allows it (implicitDeny)".to_owned())
                }
                _ => Said::Open,
            };
            if let Some(place) = said.get_mut(n) {
                *place = found;
            }
        }
    }
    Ok(said)
}
