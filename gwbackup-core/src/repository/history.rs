//! What became of one resource, over all backups.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use uuid::Uuid;

use super::Repository;
use super::links::{Look, ask};
use super::query::Shown;
use crate::archive::Details;
use crate::catalog::RecoveryPoint;
use crate::clock::{Timestamp, millis};
use crate::context::Context;
use crate::drift::changes;
use crate::error::{Error, ErrorKind, Result};
use crate::history::{Asked, HistoryLink, Linked};
use crate::model::{Key, Rules, Snapshot as _};
use crate::plan::FieldChange;
use crate::task::blocking;
use crate::vault::Found;

/// A backup, as a version names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// The backup.
    pub backup: Uuid,
    /// Its name.
    pub name: String,
    /// When its capture began.
    #[serde(serialize_with = "millis")]
    pub started_at: Timestamp,
    /// When its capture ended.
    #[serde(serialize_with = "millis")]
    pub ended_at: Timestamp,
}

/// How a version came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Became {
    /// It was not there before, or this is the oldest backup that knows of it.
    New,
    /// Something that counts is not as it was before.
    Changed,
    /// It was there before.
    Gone,
}

/// One state of a resource, as long as backups saw it unchanged.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Version {
    /// Whose gateway.
    pub application: String,
    /// Which stage of it.
    pub environment: String,
    /// The gateway's address.
    pub gateway: String,
    /// Against the version before.
    pub became: Became,
    /// The first backup that saw it so.
    pub first: Seen,
    /// The last one.
    pub last: Seen,
    /// How many did.
    pub backups: u64,
    /// Where it changed: what is not as it was, secrets masked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<FieldChange>,
    /// As it stands in the first one, secrets masked; nothing where it is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<Shown>,
    /// What the link has for the end of the first backup's capture; nothing if none was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<Linked>,
}

/// A backup that tells nothing of the resource: neither that it was there nor that it was not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Unread {
    /// The backup.
    pub backup: Uuid,
    /// Its name.
    pub name: String,
    /// Why.
    pub why: String,
}

/// Every version of one resource.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct ResourceHistory {
    /// Gateway by gateway, the oldest first.
    pub versions: Vec<Version>,
    /// Backups that tell nothing of it.
    pub unread: Vec<Unread>,
}

/// A look at one resource over all backups.
#[derive(Debug, Clone)]
#[must_use = "nothing happens before `run`"]
pub struct HistoryBuilder {
    repository: Repository,
    key: Key,
    gateway: Option<(String, String)>,
    link: Option<Arc<dyn HistoryLink>>,
}

impl Repository {
    /// Describes a look at one resource over all backups.
    pub fn history(&self, key: Key) -> HistoryBuilder {
        HistoryBuilder { repository: self.clone(), key, gateway: None, link: None }
    }
}

impl HistoryBuilder {
    /// Only backups of this application and environment.
    pub fn gateway(
        mut self,
        application: impl Into<String>,
        environment: impl Into<String>,
    ) -> Self {
        self.gateway = Some((application.into(), environment.into()));
        self
    }

    /// Asks a history that another service keeps what was valid at each version.
    pub fn link(mut self, link: Arc<dyn HistoryLink>) -> Self {
        self.link = Some(link);
        self
    }

    /// Reads every backup that may differ from the one before, and asks the link last. Writes
    /// nothing.
    ///
    /// A backup that cannot be read, or has a gap there, is [`Unread`], and a link that fails is an
    /// answer: neither is an error. `NotFound` when no backup that can be read holds the resource.
    pub async fn run(self, cx: &Context) -> Result<ResourceHistory> {
        let vault = &self.repository.vault;
        let state = vault.state(cx).await?;
        let mut points: Vec<&RecoveryPoint> =
            state.listed().filter(|point| point.committed.is_some() && self.fits(point)).collect();
        points.sort_by_key(|point| point.committed);
        let (mut chains, mut unread) = (BTreeMap::new(), Vec::new());
        for (n, point) in points.iter().enumerate() {
            cx.check()?;
            cx.progress("look", n as u64, Some(points.len() as u64));
            let read = async {
                let found = vault.manifest(cx, point).await?;
                self.read(cx, point, &found, &mut chains).await
            };
            match read.await {
                Ok(()) => {}
                Err(e) if e.kind() == ErrorKind::Cancelled => return Err(e),
                Err(e) => unread.push(Unread {
                    backup: point.backup,
                    name: point.visible_name(),
                    why: e.message().to_owned(),
                }),
            }
        }
        let (mut versions, looks): (Vec<Version>, Vec<Arc<Look>>) =
            chains.into_values().flat_map(|chain: Chain| chain.versions).unzip();
        if versions.is_empty() {
            let error = Error::new(ErrorKind::NotFound, "no backup holds this resource");
            let help = match unread.len() {
                0 => "name it by its id: `show BACKUP KIND` shows those of a kind".to_owned(),
                unread => format!("{unread} backups tell nothing of it: `verify` says why"),
            };
            return Err(error.on(&self.key).help(help));
        }
        if let Some(link) = &self.link {
            let asked = versions.iter().zip(&looks).map(|(v, look)| look.asked(v.first.ended_at));
            let asked: Vec<Asked> = asked.collect::<Result<_>>()?;
            let found = ask(cx, link.as_ref(), &asked).await?;
            for (version, linked) in versions.iter_mut().zip(found) {
                version.history = Some(linked);
            }
        }
        Ok(ResourceHistory { versions, unread })
    }

    fn fits(&self, point: &RecoveryPoint) -> bool {
        self.gateway.as_ref().is_none_or(|(application, environment)| {
            point.facts.application == *application && point.facts.environment == *environment
        })
    }

    /// Takes one backup into the chain of its gateway.
    async fn read(
        &self,
        cx: &Context,
        point: &RecoveryPoint,
        found: &Found,
        chains: &mut BTreeMap<[String; 3], Chain>,
    ) -> Result<()> {
        let details = &found.details;
        let seen = Seen {
            backup: point.backup,
            name: point.visible_name(),
            started_at: found.manifest.started_at,
            ended_at: found.manifest.ended_at,
        };
        let gateway = [&details.application, &details.environment, &details.gateway];
        let chain = chains.entry(gateway.map(String::clone)).or_default();
        // Two whole captures of one digest hold the same: the archive need not be fetched.
        if chain.before.as_ref().is_some_and(|before| before.is_same(details)) {
            chain.again(seen);
            return Ok(());
        }
        let view = self.repository.vault.view_of(cx, found).await?;
        let (key, rules) =
            (self.key.clone(), Rules::new(Arc::new(view.description().schema.clone())));
        let look =
            blocking(move || view.get(&key)?.map(|resource| Look::at(&view, resource)).transpose());
        let look = look.await?;
        if look.is_none() {
            if let Some(gap) = details.gaps.iter().find(|gap| gap.covers(&self.key)) {
                return Err(Error::invalid(format!("it was not read then: {}", gap.detail)));
            }
            let other = |before: &Before| before.id_scheme != details.id_scheme;
            if chain.before.as_ref().is_some_and(other) {
                return Err(Error::invalid("ids were formed in another way then"));
            }
        }
        chain.before = Some(Before::new(details));
        chain.see(seen, look, &rules, details)
    }
}

/// What is known of the backup that was taken in last.
struct Before {
    state: String,
    schema: String,
    id_scheme: u32,
    is_whole: bool,
}

impl Before {
    fn new(details: &Details) -> Self {
        Self {
            state: details.state_digest.clone(),
            schema: details.schema_digest.clone(),
            id_scheme: details.id_scheme,
            is_whole: details.gaps.is_empty(),
        }
    }

    fn is_same(&self, details: &Details) -> bool {
        self.is_whole
            && details.gaps.is_empty()
            && (&self.state, &self.schema) == (&details.state_digest, &details.schema_digest)
    }
}

/// The versions of one gateway's resource so far.
#[derive(Default)]
struct Chain {
    versions: Vec<(Version, Arc<Look>)>,
    before: Option<Before>,
}

impl Chain {
    /// Takes in a backup that holds what the one before held.
    fn again(&mut self, seen: Seen) {
        if let Some((version, _)) = self.versions.last_mut() {
            version.last = seen;
            version.backups += 1;
        }
    }

    /// Takes in a backup, with what it holds.
    fn see(
        &mut self,
        seen: Seen,
        look: Option<Look>,
        rules: &Rules,
        details: &Details,
    ) -> Result<()> {
        let last = self.versions.last();
        let is_gone = last.is_some_and(|(version, _)| version.became == Became::Gone);
        let became = match (last, &look) {
            (None, None) => return Ok(()),
            (Some(_), None) => (!is_gone).then(|| (Became::Gone, Vec::new())),
            (Some((_, before)), Some(look)) if !is_gone => {
                let found = changes(rules, &before.resource, &look.resource);
                found.map(|changes| (Became::Changed, changes))
            }
            (_, Some(_)) => Some((Became::New, Vec::new())),
        };
        let Some((became, changes)) = became else {
            self.again(seen);
            return Ok(());
        };
        let shown = look.as_ref().map(|look| Shown::new(&look.resource, false)).transpose()?;
        let before = last.map(|(_, look)| Arc::clone(look));
        let Some(look) = look.map(Arc::new).or(before) else { return Ok(()) };
        let version = Version {
            application: details.application.clone(),
            environment: details.environment.clone(),
            gateway: details.gateway.clone(),
            became,
            first: seen.clone(),
            last: seen,
            backups: 1,
            changes,
            resource: shown,
            history: None,
        };
        self.versions.push((version, look));
        Ok(())
    }
}
