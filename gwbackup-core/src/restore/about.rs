//! What a restore is about: for its plan, its report and the log.

use serde::{Deserialize, Serialize};

use crate::archive::Capture;
use crate::catalog::RecoveryPoint;
use crate::clock::{Timestamp, millis};
use crate::model::Finding;
use crate::plan::{Decision, Item, Summary};
use crate::vault::Found;

/// What a run is about, for its report.
#[derive(Debug, Clone)]
pub(crate) struct About {
    pub(crate) backup: uuid::Uuid,
    pub(crate) backup_name: String,
    pub(crate) source: String,
    pub(crate) target: String,
    pub(crate) summary: Summary,
    pub(crate) left: Vec<Item>,
    /// What a person should know that the target or the plan found beforehand.
    pub(crate) findings: Vec<Finding>,
    pub(crate) origin: Origin,
}

/// Where a restored configuration comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Origin {
    /// Whose gateway.
    pub application: String,
    /// Which stage of it.
    pub environment: String,
    /// `full`, `incremental` or `safety`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether all of the gateway was read.
    pub complete: bool,
    /// When it began to be read: what changed later is lost.
    #[serde(serialize_with = "millis")]
    pub taken_at: Timestamp,
    /// Keyed digest of its state.
    pub digest: String,
    /// Product and version.
    pub product: String,
    /// Resources in it.
    pub resources: u64,
}

impl About {
    pub(super) fn new(
        point: &RecoveryPoint,
        found: &Found,
        target: String,
        summary: &Summary,
        items: &[Item],
        findings: &[Finding],
    ) -> Self {
        let Found { manifest, details, .. } = found;
        let origin = Origin {
            application: details.application.clone(),
            environment: details.environment.clone(),
            kind: manifest.kind.clone(),
            complete: manifest.capture == Capture::Complete,
            taken_at: manifest.started_at,
            digest: details.state_digest.clone(),
            product: format!("{} {}", details.product, details.version),
            resources: details.resources,
        };
        Self {
            backup: point.backup,
            backup_name: point.visible_name(),
            source: details.gateway.clone(),
            target,
            summary: summary.clone(),
            left: items.iter().filter(|item| is_left(item)).cloned().collect(),
            findings: findings.to_vec(),
            origin,
        }
    }
}

/// Whether the plan leaves this resource though it is not as in the backup.
pub(super) fn is_left(item: &Item) -> bool {
    matches!(item.decision, Decision::Skipped(_) | Decision::CannotRestore(_))
}

/// What a restore's end leaves in the log.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct EndFacts {
    pub(crate) run: uuid::Uuid,
    pub(crate) source: String,
    pub(crate) target: String,
    pub(crate) backup: uuid::Uuid,
    pub(crate) safety: Option<uuid::Uuid>,
    pub(crate) status: super::RunStatus,
}
