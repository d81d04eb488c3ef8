//! Whether an operation could work, before it is tried.

use serde::Serialize;

use crate::context::Context;
use crate::error::Result;
use crate::model::{Finding, Scope, Verdict};
use crate::source::{Purpose, Source};
use crate::vault::{Standing, Vault};

/// What a preflight found.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct PreflightReport {
    /// Each right, endpoint and part that was tried.
    pub findings: Vec<Finding>,
}

impl PreflightReport {
    /// Whether nothing failed.
    pub fn is_ok(&self) -> bool {
        self.findings.iter().all(|finding| finding.verdict != Verdict::Failed)
    }
}

/// Tries what `purpose` will need of the gateway, and looks at the repository where one is given.
/// Changes nothing.
pub(crate) async fn run(
    vault: Option<&Vault>,
    cx: &Context,
    gateway: &dyn Source,
    purpose: Purpose,
) -> Result<PreflightReport> {
    let mut report = PreflightReport::default();
    let address = gateway.address();
    match gateway.describe(cx).await {
        Ok(found) => report.findings.push(Finding::new(
            address.clone(),
            Verdict::Ok,
            format!("{} {}", found.product, found.version),
        )),
        Err(e) => {
            report.findings.push(Finding::new(address, Verdict::Failed, e.to_string()));
            return Ok(report);
        }
    }
    match gateway.preflight(cx, purpose, &Scope::everything()).await {
        Ok(found) => report.findings.extend(found),
        Err(e) => report.findings.push(Finding::new(address, Verdict::Failed, e.to_string())),
    }
    if let Some(vault) = vault {
        repository(vault, &mut report);
    }
    Ok(report)
}

fn repository(vault: &Vault, report: &mut PreflightReport) {
    for place in &vault.places {
        let subject = format!("copy {}", place.sink());
        let finding = match &place.standing {
            Standing::Ready => Finding::new(subject, Verdict::Ok, "ready"),
            Standing::Away(why) => Finding::new(subject, Verdict::Warning, why),
            Standing::Foreign(why) => Finding::new(subject, Verdict::Failed, why),
        };
        report.findings.push(finding);
    }
    let (verdict, detail) = if vault.proven {
        (Verdict::Ok, "proven")
    } else {
        (Verdict::Failed, "nothing proves that this is the right repository")
    };
    report.findings.push(Finding::new(format!("repository {}", vault.id()), verdict, detail));
}
