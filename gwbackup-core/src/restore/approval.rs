//! Who may write to a gateway.

use std::collections::BTreeMap;
use std::fmt::Debug;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Plan;
use crate::catalog::{EventDraft, EventKind, EventOutcome};
use crate::clock::millis;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::vault::Vault;

/// What is about to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Act {
    /// A plan is carried out.
    Restore,
    /// A run goes on in the direction in which it stopped.
    Resume,
    /// A run is turned round.
    RollBack,
}

/// Somebody wants to write to a gateway.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Request {
    /// What.
    pub act: Act,
    /// Who: the context's actor, and what is known about that one.
    pub actor: String,
    /// What vouches for the actor, such as the strength of an authentication: the context's claims.
    pub claims: BTreeMap<String, String>,
    /// Why.
    pub reason: Option<String>,
    /// The gateway's address.
    pub gateway: String,
    /// Which stage it is, as the caller says; otherwise that of the backup.
    pub environment: String,
    /// The backup.
    pub backup: Uuid,
    /// Digest of the plan; of a run that goes on, its id.
    pub subject: String,
    /// Those who approved exactly this.
    pub approvals: Vec<Approval>,
}

/// Somebody has looked at a plan and approved it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Who.
    pub actor: String,
    /// When.
    #[serde(serialize_with = "millis")]
    pub at: crate::clock::Timestamp,
    /// What vouches for that one.
    #[serde(default)]
    pub claims: BTreeMap<String, String>,
}

/// What an authorizer says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// It may be done, for this reason.
    Allowed(String),
    /// It may not, for this reason.
    Refused(String),
    /// It may once somebody else has approved it, for this reason.
    NeedsApproval(String),
}

/// Decides who may write what to which gateway.
#[async_trait]
pub trait Authorizer: Debug + Send + Sync + 'static {
    /// Asked once before the first write. Anything but [`Answer::Allowed`], and an error, leaves the
    /// gateway as it is. The answer goes into the log. Changes nothing; safe to drop.
    async fn authorize(&self, cx: &Context, request: &Request) -> Result<Answer>;
}

/// Wants a second person, and an authentication of some strength, for some environments.
///
/// A run that goes on, or back, was approved when it began: it wants the claims alone.
#[derive(Debug, Clone, Default)]
pub struct FourEyes {
    environments: Vec<String>,
    claims: BTreeMap<String, Vec<String>>,
}

impl FourEyes {
    /// For these environments, `*` standing for any text; all others are free.
    pub fn new(environments: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let environments = environments.into_iter().map(Into::into).collect();
        Self { environments, claims: BTreeMap::new() }
    }

    /// Wants a claim of this name with one of these values, of whoever acts and whoever approves.
    #[must_use]
    pub fn claim(
        mut self,
        name: impl Into<String>,
        values: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        self.claims.insert(name.into(), values.into_iter().map(Into::into).collect());
        self
    }

    /// The first claim that is missing.
    fn lacks(&self, claims: &BTreeMap<String, String>) -> Option<String> {
        let fits = |name: &String, values: &[String]| {
            claims.get(name).is_some_and(|value| values.contains(value))
        };
        let missing = self.claims.iter().find(|(name, values)| !fits(name, values));
        missing.map(|(name, values)| format!("{name} = {}", values.join(" or ")))
    }
}

#[async_trait]
impl Authorizer for FourEyes {
    async fn authorize(&self, _: &Context, request: &Request) -> Result<Answer> {
        let environment = &request.environment;
        if !self.environments.iter().any(|wanted| crate::plan::glob(wanted, environment)) {
            return Ok(Answer::Allowed(format!("{environment} wants no approval")));
        }
        if let Some(claim) = self.lacks(&request.claims) {
            return Ok(Answer::Refused(format!("{environment} wants the claim {claim}")));
        }
        if request.act != Act::Restore {
            return Ok(Answer::Allowed("the run was allowed when it began".to_owned()));
        }
        let other = |approval: &&Approval| approval.actor != request.actor;
        let second = request.approvals.iter().filter(other);
        let mut fit = second.filter(|approval| self.lacks(&approval.claims).is_none());
        Ok(match fit.next_back() {
            Some(approval) => Answer::Allowed(format!("approved by {}", approval.actor)),
            None => Answer::NeedsApproval(format!("{environment} wants a second person")),
        })
    }
}

/// Asks, and writes the answer down. `Refused` unless it is allowed; otherwise the reason.
pub(crate) async fn authorize(
    vault: &Vault,
    cx: &Context,
    authorizer: &dyn Authorizer,
    mut request: Request,
) -> Result<String> {
    request.approvals = approvals(vault, cx, &request.subject).await?;
    let answer = authorizer.authorize(cx, &request).await?;
    let (outcome, text) = match &answer {
        Answer::Allowed(why) => (EventOutcome::Success, why),
        Answer::Refused(why) | Answer::NeedsApproval(why) => (EventOutcome::Denied, why),
    };
    let kind = EventKind::RESTORE_AUTHORIZE;
    let draft = EventDraft::new(cx, kind, "backup", request.backup, outcome)?.text(text.as_str());
    vault.record(cx, draft).await?;
    let help = match answer {
        Answer::Allowed(why) => return Ok(why),
        Answer::Refused(_) => "ask who may do this, or prove who you are",
        Answer::NeedsApproval(_) => {
            "store the plan (`plan --out FILE`), have somebody else `approve` it, and restore it \
             with `--plan FILE`"
        }
    };
    Err(Error::refused(format!("not allowed: {text}")).on(request.gateway).help(help))
}

/// Those who approved a plan, in the order of the log.
async fn approvals(vault: &Vault, cx: &Context, subject: &str) -> Result<Vec<Approval>> {
    let mut found = Vec::new();
    for event in vault.events(cx).await? {
        if event.counts && event.kind == EventKind::RESTORE_APPROVE && event.subject.id == subject {
            found.extend(event.data::<Approval>()?);
        }
    }
    Ok(found)
}

/// Writes down that the context's actor has approved a plan.
pub(crate) async fn approve(vault: &Vault, cx: &Context, plan: &Plan) -> Result<Approval> {
    vault.writable()?;
    let approval =
        Approval { actor: cx.actor().to_owned(), at: cx.now(), claims: cx.claims().clone() };
    let kind = EventKind::RESTORE_APPROVE;
    let draft = EventDraft::new(cx, kind, "plan", plan.digest()?, EventOutcome::Success)?;
    vault.record(cx, draft.data(&approval)?).await?;
    Ok(approval)
}
