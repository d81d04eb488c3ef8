//! What the services for identities say of who asks: STS and IAM, form-encoded and in XML.

#![allow(clippy::format_push_string, reason = "the answers of a double are short")]

use std::collections::BTreeMap;

use url::form_urlencoded;

use super::iam::{Gate, Need};
use super::reply::Reply;
use super::state::State;

pub(super) fn answer(state: &State, gate: &Gate, body: &[u8]) -> Reply {
    let form: BTreeMap<String, String> = form_urlencoded::parse(body).into_owned().collect();
    let text = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
    match text("Action") {
        "GetCallerIdentity" => {
            let account = &state.account;
            xml(
                200,
                &format!(
                    "<GetCallerIdentityResponse><GetCallerIdentityResult>\
                     <Arn>arn:aws:sts::{account}:assumed-role/backup/session</Arn>\
                     <UserId>AROATEST:session</UserId><Account>{account}</Account>\
                     </GetCallerIdentityResult></GetCallerIdentityResponse>"
                ),
            )
        }
        "SimulatePrincipalPolicy" => {
            let source = text("PolicySourceArn");
            let need = Need::new("iam:SimulatePrincipalPolicy", source);
            if gate.lacks(vec![need]).is_some() {
                return refusal(403, "AccessDenied");
            }
            if source != format!("arn:aws:iam::{}:role/backup", state.account) {
                return refusal(404, "NoSuchEntity");
            }
            xml(200, &simulated(gate, &form))
        }
        _ => refusal(400, "InvalidAction"),
    }
}

/// One result for each action on each resource, in no more than one page.
fn simulated(gate: &Gate, form: &BTreeMap<String, String>) -> String {
    let all = |list: &str| {
        let member = format!("{list}.member.");
        let mine = form.iter().filter(move |(name, _)| name.starts_with(&member));
        mine.map(|(_, value)| value.clone()).collect::<Vec<_>>()
    };
    let context = |need: Need| {
        let entry = |n: usize, part: &str| form.get(&format!("ContextEntries.member.{n}.{part}"));
        let entries = (1..).map_while(|n| {
            Some((entry(n, "ContextKeyName")?, entry(n, "ContextKeyValues.member.1")?))
        });
        entries.fold(need, |need, (key, value)| need.when(key, value))
    };
    let mut results = String::new();
    for action in all("ActionNames") {
        for resource in all("ResourceArns") {
            let need = context(Need::new(&action, &resource));
            let decision = if gate.allows(&need) { "allowed" } else { "implicitDeny" };
            results.push_str(&format!(
                "<member><EvalActionName>{action}</EvalActionName>\
                 <EvalResourceName>{resource}</EvalResourceName>\
                 <EvalDecision>{decision}</EvalDecision></member>"
            ));
        }
    }
    format!(
        "<SimulatePrincipalPolicyResponse><SimulatePrincipalPolicyResult>\
         <IsTruncated>false</IsTruncated><EvaluationResults>{results}</EvaluationResults>\
         </SimulatePrincipalPolicyResult></SimulatePrincipalPolicyResponse>"
    )
}

fn refusal(status: u16, code: &str) -> Reply {
    xml(status, &format!("<ErrorResponse><Error><Code>{code}</Code></Error></ErrorResponse>"))
}

fn xml(status: u16, text: &str) -> Reply {
    Reply { status, code: "", body: text.as_bytes().to_vec() }
}
