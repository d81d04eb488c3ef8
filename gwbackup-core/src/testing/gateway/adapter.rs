//! The reading half of the adapter.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures_util::stream;
use sha2::{Digest, Sha256};

use super::state::Thing;
use super::{MemoryGateway, tables};
use crate::context::Context;
use crate::error::{ErrorKind, Result};
use crate::model::{
    Absence, Captured, Cause, Description, Finding, Gap, Key, Kind, Limits, Mark, Resource,
    Revision, Scope, Verdict,
};
use crate::source::{BoxStream, Known, Purpose, Source};

impl MemoryGateway {
    /// A thing as the adapter gives it out.
    pub(super) fn view(&self, key: Key, thing: &Thing, revisions: bool) -> Resource {
        let absent = tables::unreadable(&key.kind);
        let mut resource = Resource::new(key, thing.document.clone());
        resource.parent.clone_from(&thing.parent);
        resource.revision = revisions.then(|| revision(thing));
        resource.marks.extend(absent.iter().map(|at| Mark::absent(*at, Absence::Unreadable)));
        self.0.rules.mark(&mut resource);
        resource
    }

    /// One thing, by a call to the vendor.
    pub(super) async fn look(&self, key: &Key) -> Result<Option<Resource>> {
        let revisions = self.options().revisions;
        let thing = self.0.vendor.get(key).await?;
        Ok(thing.map(|thing| self.view(key.clone(), &thing, revisions)))
    }

    fn kinds(&self, scope: &Scope) -> VecDeque<Kind> {
        let kinds = self.0.rules.schema().kinds.iter().map(|spec| spec.kind.clone());
        kinds.filter(|kind| scope.kinds.is_empty() || scope.kinds.contains(kind)).collect()
    }
}

pub(super) fn revision(thing: &Thing) -> Revision {
    Revision::new(&thing.revision.to_string())
}

#[async_trait]
impl Source for MemoryGateway {
    fn address(&self) -> String {
        format!("memory-gateway:{}", self.options().name)
    }

    async fn describe(&self, cx: &Context) -> Result<Description> {
        cx.check()?;
        let limits =
            Limits { parallel_writes: self.options().parallel_writes, ..Limits::default() };
        Ok(Description {
            product: if self.0.aws { "memory (AWS-like)" } else { "memory (Kong-like)" }.to_owned(),
            version: "1".to_owned(),
            handles: self.handles(),
            schema: Arc::clone(self.0.rules.schema()),
            limits,
        })
    }

    async fn preflight(
        &self,
        cx: &Context,
        purpose: Purpose,
        scope: &Scope,
    ) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        for kind in self.kinds(scope) {
            cx.check()?;
            let finding = match self.0.vendor.list(&kind, None).await {
                Ok(_) => Finding::new(kind.as_str(), Verdict::Ok, format!("ready for {purpose:?}")),
                Err(error) if error.kind() == ErrorKind::Denied => {
                    Finding::new(kind.as_str(), Verdict::Failed, error.message())
                }
                Err(error) => return Err(error),
            };
            findings.push(finding);
        }
        Ok(findings)
    }

    async fn revision(&self, cx: &Context, scope: &Scope) -> Result<Option<Revision>> {
        cx.check()?;
        if !self.options().revisions {
            return Ok(None);
        }
        // It names what is there, so that a deletion moves it as well.
        let mut hash = Sha256::new();
        for resource in self.resources().iter().filter(|r| scope.contains(&r.key)) {
            let revision = resource.revision.as_ref().map_or("", Revision::as_str);
            hash.update(format!("{}={revision};", resource.key));
        }
        Ok(Some(Revision::new(&BASE64_STANDARD.encode(hash.finalize()))))
    }

    fn read(
        &self,
        cx: &Context,
        _: &Description,
        scope: &Scope,
        known: Option<Arc<dyn Known>>,
    ) -> BoxStream<Result<Captured>> {
        let reader = Reader {
            gateway: self.clone(),
            cx: cx.clone(),
            scope: scope.clone(),
            known,
            kinds: self.kinds(scope),
            after: None,
            ready: VecDeque::new(),
        };
        Box::pin(stream::unfold(Some(reader), |reader| async move {
            let mut reader = reader?;
            match reader.next().await {
                Ok(Some(item)) => Some((Ok(item), Some(reader))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        }))
    }
}

/// A walk over collections and pages.
struct Reader {
    gateway: MemoryGateway,
    cx: Context,
    scope: Scope,
    known: Option<Arc<dyn Known>>,
    /// Kinds still to be read; the first is being read.
    kinds: VecDeque<Kind>,
    /// The last thing of the last page.
    after: Option<Key>,
    ready: VecDeque<Captured>,
}

impl Reader {
    async fn next(&mut self) -> Result<Option<Captured>> {
        loop {
            self.cx.check()?;
            if let Some(item) = self.ready.pop_front() {
                return Ok(Some(item));
            }
            let Some(kind) = self.kinds.front().cloned() else { return Ok(None) };
            match self.gateway.0.vendor.list(&kind, self.after.as_ref()).await {
                Ok(page) => {
                    self.after =
                        page.items.last().map(|(key, _)| key.clone()).or(self.after.take());
                    for (key, thing) in page.items {
                        self.take(key, &thing);
                    }
                    let gone = page.lingering.into_iter().filter(|key| self.scope.contains(key));
                    let gone = gone.map(|key| Captured::SoftDeleted { key, until: None });
                    self.ready.extend(gone);
                    if page.last {
                        self.kinds.pop_front();
                        self.after = None;
                    }
                }
                Err(error) if error.kind() == ErrorKind::Denied => {
                    self.kinds.pop_front();
                    self.after = None;
                    let detail = error.message().to_owned();
                    let cause = Cause::Denied;
                    self.ready.push_back(Captured::Gap(Gap {
                        kind: Some(kind),
                        under: None,
                        cause,
                        detail,
                    }));
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn take(&mut self, key: Key, thing: &Thing) {
        if !self.scope.contains(&key) {
            return;
        }
        let revisions = self.gateway.options().revisions;
        let same =
            revisions && self.known.as_ref().is_some_and(|known| known.has(&key, &revision(thing)));
        self.ready.push_back(if same {
            Captured::Same(key)
        } else {
            Captured::Resource(self.gateway.view(key, thing, revisions))
        });
    }
}
