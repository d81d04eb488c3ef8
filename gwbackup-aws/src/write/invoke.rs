//! Functions let a new API call them.
//!
//! A function's own policy says which API may call it, by the API's id; a new API has a new one.

use std::collections::BTreeSet;

use gwbackup_core::Result;
use gwbackup_core::error::ErrorKind;
use gwbackup_core::model::Document;
use reqwest::Method;
use serde_json::json;

use super::{Work, settle};
use crate::table::Row;

/// What a member that names one stands for, in the table.
pub(crate) const FUNCTION: &str = "function";

/// A function as an API names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Function {
    /// Without version or alias.
    pub(crate) arn: String,
    pub(crate) qualifier: Option<String>,
}

impl Function {
    /// Which it is only a stage knows.
    pub(crate) fn is_variable(&self) -> bool {
        self.arn.contains("${") || self.qualifier.as_ref().is_some_and(|own| own.contains("${"))
    }
}

/// The functions that a document names.
pub(crate) fn functions(row: &Row, document: &Document) -> BTreeSet<Function> {
    let at = row.outside.iter().filter(|(_, class)| *class == FUNCTION).map(|(at, _)| *at);
    at.filter_map(|at| function(&document.text(at)?)).collect()
}

/// The function in an address such as `...:lambda:path/2015-03-31/functions/ARN/invocations`, or in
/// its bare ARN.
pub(crate) fn function(text: &str) -> Option<Function> {
    let (_, own) = text.rsplit_once("/functions/").unwrap_or(("", text));
    let arn = own.split('/').next().filter(|arn| arn.split(':').nth(2) == Some("lambda"))?;
    let parts: Vec<&str> = arn.split(':').collect();
    let (name, rest) = parts.split_at_checked(7)?;
    let qualifier = rest.first().map(|part| (*part).to_owned());
    Some(Function { arn: name.join(":"), qualifier })
}

impl Work<'_> {
    /// Lets a new API call the functions that it names. One that is not there is as little there as
    /// it was for the old one. Nothing is done twice.
    pub(super) async fn allow(&mut self) -> Result<()> {
        let Some(root) = self.wanted_root().map(|state| state.resource.key.clone()) else {
            return Ok(());
        };
        let Some(api) = self.made.get(&root).map(|key| key.id.last().into_owned()) else {
            return Ok(());
        };
        let account = self.aws.caller(self.cx).await?.account;
        let region = &self.aws.config().region;
        let partition = self.aws.partition();
        for function in self.called() {
            let body = json!({ "StatementId": statement(&api), "Action": "lambda:InvokeFunction",
                "Principal": "apigateway.amazonaws.com",
                "SourceArn": format!("arn:{partition}:execute-api:{region}:{account}:{api}/*") });
            let path = [&*function.arn, "policy"];
            let query = function.qualifier.as_deref().map(|own| ("Qualifier", own));
            let client = &self.aws.0.client;
            let answer =
                client.lambda(self.cx, Method::POST, &path, query, Some(body.to_string())).await;
            match settle(answer.and_then(crate::answer::Answer::success))? {
                Err(error)
                    if matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::NotFound) => {}
                Err(error) => {
                    let what = "allow lambda:AddPermission on the functions that the API names";
                    self.refuse(&root, error.help(what));
                    return Ok(());
                }
                Ok(_) => {}
            }
        }
        Ok(())
    }

    /// Takes back what [`allow`](Self::allow) gave. What cannot be taken back does no harm: no API
    /// gets this id again.
    pub(super) async fn disallow(&self, api: &str) {
        for function in self.called() {
            let path = [&*function.arn, "policy", &*statement(api)];
            let query = function.qualifier.as_deref().map(|own| ("Qualifier", own));
            let client = &self.aws.0.client;
            let _ = client.lambda(self.cx, Method::DELETE, &path, query, None).await;
        }
    }

    /// Functions of this region that the live tree names.
    fn called(&self) -> BTreeSet<Function> {
        let named = |node: &crate::read::Node| functions(node.row, &node.resource.document);
        let here = &self.aws.config().region;
        let known = |own: &Function| !own.is_variable() && own.arn.split(':').nth(3) == Some(here);
        self.live.values().flat_map(named).filter(known).collect()
    }
}

/// The name of what is said in a function's policy.
fn statement(api: &str) -> String {
    format!("gwbackup-{api}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_found_in_addresses() {
        let arn = "arn:aws:lambda:eu-west-1:123456789012:function:pay";
        let long = |own: &str| {
            format!(
                "arn:aws:apigateway:eu-west-1:lambda:path/2015-03-31/functions/{own}/invocations"
            )
        };
        let own = |qualifier: Option<&str>| {
            Some(Function { arn: arn.to_owned(), qualifier: qualifier.map(str::to_owned) })
        };
        assert_eq!(function(arn), own(None));
        assert_eq!(function(&long(arn)), own(None));
        assert_eq!(function(&long(&format!("{arn}:live"))), own(Some("live")));
        let variable = function(&long(&format!("{arn}:${{stageVariables.alias}}"))).unwrap();
        assert!(variable.is_variable() && !function(arn).unwrap().is_variable());
        assert_eq!(function("https://pay.internal/functions/a"), None);
        assert_eq!(function("arn:aws:apigateway:eu-west-1:s3:path/bucket"), None);
    }
}
