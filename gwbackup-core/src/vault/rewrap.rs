//! Wraps made anew, after a key was rotated.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde::Serialize;

use super::heal::{Mend, Part};
use super::keys::{self, FoundWrap};
use super::{Place, Vault, archive_id};
use crate::catalog::{EventDraft, EventKind, EventOutcome, FileKind, SignedFile};
use crate::context::Context;
use crate::crypt::{KeyContext, Recipient, RecipientState, Wrap, WrapBody};
use crate::error::{Error, ErrorKind, Result};
use crate::sink::Sink;

/// Keys that one event tells of.
const TOLD: usize = 100;

/// What a rotation has done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RewrapReport {
    /// Keys that were wrapped anew.
    pub rewrapped: u64,
    /// Bytes written, on all copies.
    pub bytes_written: u64,
    /// Recipients whose provider was not given: what was wrapped for them stays as it was.
    pub carried: BTreeSet<String>,
    /// Keys, by the names of their wraps, for which no provider was given that may make them anew.
    pub left: Vec<String>,
    /// Copies that did not answer: what they hold is as old as it was.
    pub away: Vec<String>,
}

impl Vault {
    /// Wraps every key of the repository anew for its active recipients, as the next generation, on
    /// every copy that answers, and reads it back. Archives are not touched, and what older
    /// generations opened stays readable by them.
    ///
    /// Each key is done or not: what was cut off is done by calling again. `Refused` where nothing
    /// may be written.
    pub(crate) async fn rewrap(&self, cx: &Context) -> Result<RewrapReport> {
        self.writable()?;
        let mut report = RewrapReport::default();
        let away = self.places.iter().filter(|place| !place.is_ready());
        report.away = away.map(|place| place.sink().to_string()).collect();
        let contexts = self.wrapped(cx).await?;
        for some in contexts.chunks(TOLD) {
            let before = report.rewrapped;
            let done = self.rewrap_some(cx, some, &mut report).await;
            // Also what was done before it failed.
            if report.rewrapped > before {
                self.tell(&cx.uncancelled(), report.rewrapped - before).await?;
            }
            done?;
        }
        Ok(report)
    }

    /// What has a wrapped key: the repository, and every backup.
    async fn wrapped(&self, cx: &Context) -> Result<Vec<KeyContext>> {
        let mut contexts = keys::of_repository(&self.trust);
        let state = self.state(cx).await?;
        for point in state.listed().filter(|point| point.committed.is_some()) {
            let found = self.manifest(cx, point).await?;
            let id = archive_id(&found.manifest.archive.id)?;
            contexts.extend(found.purposes().map(|what| keys::context(self.id(), what, id)));
        }
        Ok(contexts)
    }

    async fn rewrap_some(
        &self,
        cx: &Context,
        contexts: &[KeyContext],
        report: &mut RewrapReport,
    ) -> Result<()> {
        let all = report.rewrapped + report.left.len() as u64;
        for (done, context) in (all..).zip(contexts) {
            cx.check()?;
            cx.progress("rewrap", done, None);
            let sinks: Vec<&dyn Sink> = self.ready().map(Place::sink).collect();
            let found = keys::find(cx, &self.trust, &sinks, *context).await?;
            let Some(newest) = found.last() else {
                let name = keys::wrap_name(context, 1)?;
                return Err(
                    Error::new(ErrorKind::NotFound, "no copy has this wrapped key").on(name)
                );
            };
            let Some(wrap) = self.anew(cx, &newest.wrap, report).await? else {
                report.left.push(newest.name.to_string());
                continue;
            };
            self.store(cx, found, &wrap, report).await?;
            report.rewrapped += 1;
        }
        Ok(())
    }

    /// The next generation of a wrap; `None` where nobody at hand can make it.
    async fn anew(
        &self,
        cx: &Context,
        old: &Wrap,
        report: &mut RewrapReport,
    ) -> Result<Option<Wrap>> {
        let context = *old.context();
        let mut new = Wrap::new(context, old.generation() + 1, *old.commitment(), cx.now());
        let mut is_new = false;
        let right = context.purpose.right();
        for to in &self.trust.current().recipients {
            if to.state != RecipientState::Active || !to.rights.contains(&right) {
                continue;
            }
            match (self.anew_for(cx, old, to).await?, old.entry(&to.id, to.version)) {
                (Some(body), _) => {
                    new.add(to, body)?;
                    is_new = true;
                }
                (None, Some(body)) => {
                    new.add(to, body.clone())?;
                    report.carried.insert(to.id.clone());
                }
                (None, None) => {}
            }
        }
        Ok(is_new.then_some(new))
    }

    /// The part of a recipient, made anew and opened once, if its provider is here.
    async fn anew_for(&self, cx: &Context, old: &Wrap, to: &Recipient) -> Result<Option<WrapBody>> {
        let Some(body) = old.entry(&to.id, to.version) else { return Ok(None) };
        let Some(provider) = keys::provider_of(cx, &self.keys, to).await? else { return Ok(None) };
        let anew = provider.rewrap(cx, to, body, old.context()).await?;
        // Who may only make wraps anew has to take the service's word for it.
        let before = match old.open(cx, provider, to).await {
            Err(e) if e.kind() == ErrorKind::KeyUnavailable => return Ok(Some(anew)),
            opened => opened?,
        };
        let after = provider.unwrap(cx, to, &anew, old.context()).await?;
        if before.expose() != after.expose() {
            return Err(Error::new(
                ErrorKind::KeyUnavailable,
                "the key that was wrapped anew is another one",
            )
            .on(&to.id)
            .help("nothing was written; look into the key service"));
        }
        Ok(Some(anew))
    }

    /// Brings every generation to every copy that answers, and reads the newest back.
    async fn store(
        &self,
        cx: &Context,
        found: Vec<FoundWrap>,
        wrap: &Wrap,
        report: &mut RewrapReport,
    ) -> Result<()> {
        let name = keys::wrap_name(wrap.context(), wrap.generation())?;
        let (id, signer) = (Some(self.id()), self.signer.as_ref());
        let file = SignedFile::sign(cx, FileKind::Wrap, id, &wrap.to_stored(), &[signer]).await?;
        let part = |name, stored: Bytes| Part { name, kind: FileKind::Wrap, stored };
        let mut parts: Vec<Part> = found.into_iter().map(|f| part(f.name, f.stored)).collect();
        parts.push(part(name.clone(), file.stored().clone()));
        for place in self.ready() {
            for written in self.bring(cx, place, &parts, Mend::Missing).await? {
                let size = parts.iter().find(|part| part.name == written);
                report.bytes_written += size.map_or(0, |part| part.stored.len() as u64);
            }
            let there = place.sink().get(cx, &name, None).await?;
            if there != *file.stored() {
                return Err(Error::corrupt("the wrapped key reads back as something else")
                    .on(format!("{name} on {}", place.sink())));
            }
        }
        Ok(())
    }

    async fn tell(&self, cx: &Context, keys: u64) -> Result<()> {
        let (kind, id) = (EventKind::KEY_ROTATE, self.id());
        let draft = EventDraft::new(cx, kind, "repository", id, EventOutcome::Success)?;
        self.record(cx, draft.count("keys", keys)).await.map(drop)
    }
}
