//! Whether a node would let itself be read.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use gwbackup_core::model::{Cause, Finding, Scope, Verdict};
use gwbackup_core::source::Purpose;
use gwbackup_core::{Context, Error, Result};

use super::KongAdmin;
use super::discover::{Collection, Mode};
use super::read::refused;

/// Tries each list with one row.
pub(super) async fn run(
    admin: &KongAdmin,
    cx: &Context,
    purpose: Purpose,
    scope: &Scope,
) -> Result<Vec<Finding>> {
    let instance = admin.discover(cx).await?;
    let address = &admin.0.config.address;
    let about = format!(
        "Kong {} ({}, {}), {} plugins",
        instance.version,
        instance.edition,
        instance.mode.as_str(),
        instance.plugins.len(),
    );
    let mut findings = vec![Finding::new(address, Verdict::Ok, about)];
    if purpose == Purpose::Restore && instance.mode == Mode::DbLess {
        let detail = "without a database: what is restored is written as a whole";
        findings.push(Finding::new(address, Verdict::Warning, detail));
    }
    for gap in instance.gaps.iter().filter(|gap| gap.cause != Cause::NotOffered) {
        let kind = gap.kind.as_ref().map_or("all kinds", |kind| kind.as_str());
        findings.push(Finding::new(kind, Verdict::Warning, gap.detail.clone()));
    }
    let wanted = |c: &Collection| scope.kinds.is_empty() || scope.kinds.contains(&c.kind);
    let mut lists = instance.collections.clone();
    lists.retain(|c| wanted(c) && c.kind.as_str() != "target");
    let tried: Vec<Finding> = stream::iter(lists)
        .map(|collection| attempt(admin, cx, collection))
        .buffered(admin.0.config.connections.into())
        .try_collect()
        .await?;
    findings.extend(tried);
    Ok(findings)
}

async fn attempt(admin: &KongAdmin, cx: &Context, collection: Collection) -> Result<Finding> {
    let client = &admin.0.client;
    let mut url = client.at(collection.path.iter().map(String::as_str));
    url.query_pairs_mut().append_pair("size", "1");
    let (verdict, detail) = match client.get(cx, &url).await {
        Ok(answer) if answer.is_success() => (Verdict::Ok, "can be read".to_owned()),
        Ok(answer) => match refused(&answer) {
            (Cause::NotOffered, detail) => (Verdict::Ok, detail),
            (_, detail) => (Verdict::Failed, detail),
        },
        Err(e) if e.kind() == gwbackup_core::ErrorKind::Cancelled => return Err(e),
        Err(e) => (Verdict::Failed, e.to_string()),
    };
    Ok::<_, Error>(Finding::new(collection.kind.as_str(), verdict, detail))
}
