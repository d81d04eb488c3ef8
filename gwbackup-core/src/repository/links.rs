//! Backups, and what a history that another service keeps says of what is in them.

use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;

use super::Repository;
use super::query::{BackupInfo, masked};
use crate::archive::View;
use crate::clock::Timestamp;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::history::{Asked, HistoryLink, Linked, Missing};
use crate::model::{Handles, Key, Resource, Rules, Snapshot as _};
use crate::plan::Selector;
use crate::source::BoxStream;
use crate::task::streaming;

/// Resources that a link is asked about at once.
const BATCH: usize = 64;

/// A resource of a backup, with what the link has for it.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct LinkedResource {
    /// Its key.
    #[serde(flatten)]
    pub key: Key,
    /// What was valid when the backup's capture ended.
    pub history: Linked,
}

impl Repository {
    /// What `link` has for the resources of a backup that fit one of the selectors (all, if there are
    /// none), sorted by key; those of kinds that it does not record are passed by. Writes nothing.
    ///
    /// A link that fails is an answer; errors are those of reading the backup, and `Cancelled`, after
    /// which the stream ends. It asks as it is polled, and may be dropped at any time.
    pub async fn linked(
        &self,
        cx: &Context,
        backup: &BackupInfo,
        selectors: &[Selector],
        link: Arc<dyn HistoryLink>,
    ) -> Result<BoxStream<Result<LinkedResource>>> {
        let view = self.vault.view(cx, &backup.point).await?;
        let rules = Rules::new(Arc::new(view.description().schema.clone()));
        let (selectors, at) = (selectors.to_vec(), backup.manifest().ended_at);
        let asked = {
            let link = Arc::clone(&link);
            streaming(cx, 2, move |outlet| {
                for resource in view.scan()? {
                    let resource = resource?;
                    let chosen = link.records(&resource.key.kind)
                        && (selectors.is_empty()
                            || selectors.iter().any(|s| s.matches(&rules, &resource)));
                    if chosen {
                        outlet.put(vec![Look::at(&view, resource)?.asked(at)?])?;
                    }
                }
                Ok(())
            })
        };
        let cx = cx.clone();
        let answered = asked.try_chunks(BATCH).map_err(|e| e.1).and_then(move |asked| {
            let (cx, link) = (cx.clone(), Arc::clone(&link));
            async move {
                let keys: Vec<Key> = asked.iter().map(|one| one.resource.key.clone()).collect();
                let found = ask(&cx, link.as_ref(), &asked).await?;
                let pairs = keys.into_iter().zip(found);
                Ok(stream::iter(pairs.map(|(key, history)| Ok(LinkedResource { key, history }))))
            }
        });
        Ok(answered.try_flatten().boxed())
    }
}

/// A resource where it lies in a backup.
pub(super) struct Look {
    pub(super) resource: Resource,
    parent: Option<Resource>,
    gateway: Handles,
}

impl Look {
    /// Blocking.
    pub(super) fn at(view: &View, resource: Resource) -> Result<Self> {
        let parent = resource.parent.as_ref().map(|key| view.get(key)).transpose()?.flatten();
        let gateway = view.description().details.handles.clone();
        Ok(Self { resource, parent, gateway })
    }

    /// What a link is told of it.
    pub(super) fn asked(&self, at: Timestamp) -> Result<Asked> {
        let bare = |resource: &Resource| {
            let document = masked(resource, false)?;
            Ok::<_, Error>(Resource { document, attachments: Vec::new(), ..resource.clone() })
        };
        Ok(Asked {
            resource: bare(&self.resource)?,
            parent: self.parent.as_ref().map(bare).transpose()?,
            gateway: self.gateway.clone(),
            at,
        })
    }
}

/// One answer for each question, whatever becomes of the link; `Cancelled` alone is an error.
pub(super) async fn ask(
    cx: &Context,
    link: &dyn HistoryLink,
    asked: &[Asked],
) -> Result<Vec<Linked>> {
    let Some(first) = asked.first() else { return Ok(Vec::new()) };
    if !link.records(&first.resource.key.kind) {
        let detail = format!("{link} records nothing of the kind {}", first.resource.key.kind);
        return Ok(vec![Linked::nothing(Missing::Kind, detail); asked.len()]);
    }
    let failed = |why: String| Ok(vec![Linked::nothing(Missing::Failed, why); asked.len()]);
    match link.find(cx, asked).await {
        Ok(found) if found.len() == asked.len() => Ok(found),
        Ok(_) => failed(format!("{link} does not answer every question")),
        Err(e) if e.kind() == ErrorKind::Cancelled => Err(e),
        Err(e) => failed(e.message().to_owned()),
    }
}
