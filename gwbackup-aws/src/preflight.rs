//! Whether the identity may do what a run will do.

use gwbackup_core::error::ErrorKind;
use gwbackup_core::model::{Finding, Scope, Verdict};
use gwbackup_core::source::Purpose;
use gwbackup_core::{Context, Result};

use crate::client::Call;
use crate::gateway::Aws;
use crate::read::{Node, Wanted, list_at};
use crate::table::{self, Row, Told};

/// Asks who it is, then tries each list: those below a root with the first root that there is.
pub(crate) async fn run(
    aws: &Aws,
    cx: &Context,
    purpose: Purpose,
    scope: &Scope,
) -> Result<Vec<Finding>> {
    let account = aws.account(cx).await?;
    let region = &aws.config().region;
    let about = format!("account {account}, region {region}");
    let mut findings = vec![Finding::new("identity", Verdict::Ok, about)];
    let wanted = Wanted { scope: scope.clone(), ..Wanted::default() };
    for row in table::roots().filter(|row| wanted.has(row)) {
        let first = attempt(aws, cx, row, &[], &mut findings).await?;
        let mut next: Vec<(&'static Row, Node)> = first
            .into_iter()
            .flat_map(|node| row.children().map(move |row| (row, node.clone())))
            .collect();
        while let Some((row, parent)) = next.pop() {
            if row.kind == "rest_method" || !wanted.has(row) {
                continue;
            }
            if let Some(node) = attempt(aws, cx, row, &parent.address, &mut findings).await? {
                next.extend(row.children().map(|row| (row, node.clone())));
            }
        }
    }
    if purpose == Purpose::Restore {
        let detail = "the right to write cannot be tried without writing: the identity needs \
            apigateway:POST, PUT, PATCH and DELETE on what the plan names";
        findings.push(Finding::new(
            "apigateway:POST, PUT, PATCH, DELETE",
            Verdict::Unknown,
            detail,
        ));
    }
    Ok(findings)
}

/// Tries one list with one element, and names the right that it needs.
async fn attempt(
    aws: &Aws,
    cx: &Context,
    row: &'static Row,
    below: &[String],
    findings: &mut Vec<Finding>,
) -> Result<Option<Node>> {
    let path = list_at(row, below);
    let right = format!("apigateway:GET on {}", aws.arn(&path));
    let mut call = Call::get(path.iter().map(String::as_str));
    for (name, value) in row.query {
        call = call.query(name, *value);
    }
    let answer = match aws.0.client.get(cx, call).await {
        Ok(answer) => answer,
        Err(error) if matches!(error.kind(), ErrorKind::Cancelled | ErrorKind::Unauthenticated) => {
            return Err(error);
        }
        Err(error) => {
            findings.push(Finding::new(right, Verdict::Failed, error.to_string()));
            return Ok(None);
        }
    };
    if let Some(error) = answer.error() {
        findings.push(Finding::new(right, Verdict::Failed, error.to_string()));
        return Ok(None);
    }
    findings.push(Finding::new(right, Verdict::Ok, "can be read"));
    if row.told == Told::Alone {
        return Ok(None);
    }
    let first = answer.page()?.items.into_iter().next();
    let Some(item) = first else { return Ok(None) };
    let mut node =
        crate::read::node(row, None, gwbackup_core::model::Document::parse(item.get())?)?;
    node.address = path;
    let id = node.resource.document.text(&format!("/{}", row.id)).unwrap_or_default().into_owned();
    node.address.push(id);
    Ok(Some(node))
}
