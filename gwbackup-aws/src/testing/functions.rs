//! What functions let others do: the part of the function service that an API needs.

use serde_json::{Value, json};

use super::reply::{Refusal, Reply, Told, bad, missing};
use super::request::Request;
use super::state::{State, text};

/// `AddPermission` and `RemovePermission`. Every function of the account and region is there.
pub(super) fn handle(state: &mut State, request: &Request<'_>) -> Told<Reply> {
    let [_, _, arn, "policy", rest @ ..] =
        &*request.path.iter().map(String::as_str).collect::<Vec<_>>()
    else {
        return Err(missing("function"));
    };
    let here = format!("arn:aws:lambda:{}:{}:function:", state.region, state.account);
    if !arn.starts_with(&here) {
        return Err(missing(arn));
    }
    let name = match request.asks("Qualifier") {
        Some(qualifier) => format!("{arn}:{qualifier}"),
        None => (*arn).to_owned(),
    };
    let policy = state.functions.entry(name.clone()).or_default();
    match (request.method, rest) {
        ("POST", []) => {
            let said = Value::Object(request.object()?);
            for member in ["StatementId", "Action", "Principal"] {
                if text(&said, member).is_empty() {
                    return Err(bad(&format!("{member} is required")));
                }
            }
            let own = text(&said, "StatementId").to_owned();
            if policy.contains_key(&own) {
                let message = format!("The statement id ({own}) provided already exists");
                return Err(Refusal { status: 409, code: "ResourceConflictException", message });
            }
            let statement = json!({ "Sid": own, "Effect": "Allow", "Resource": name,
                "Principal": { "Service": said["Principal"] }, "Action": said["Action"],
                "Condition": { "ArnLike": { "AWS:SourceArn": said["SourceArn"] } } });
            policy.insert(own, statement.clone());
            Ok(Reply::json(201, &json!({ "Statement": statement.to_string() })))
        }
        ("DELETE", [own]) => match policy.remove(*own) {
            Some(_) => Ok(Reply::json(204, &Value::Null)),
            None => Err(missing(own)),
        },
        (method, _) => Err(bad(&format!("{method} is not done here"))),
    }
}
