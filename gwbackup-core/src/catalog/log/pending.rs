//! Events that wait while the log's home is away.

use std::collections::BTreeMap;

use futures_util::StreamExt;
use uuid::Uuid;

use super::{Log, writable};
use crate::catalog::event::{Content, Event, EventDraft};
use crate::catalog::signed::FileKind;
use crate::catalog::store::{self, Put};
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::sink::{Listed, ObjectName};

const PREFIX: &str = "pending/";

/// What became of the events that waited.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Folded {
    /// Those that have a number now, in the order of the log.
    pub events: Vec<Event>,
    /// Objects that wait and are no event that may be appended; left where they are.
    pub refused: Vec<ObjectName>,
}

impl Log {
    /// Writes an event for later, without number, to every copy that answers; says its digest, to
    /// be given as `after` with the next one of the same run. For use when
    /// [`append`](crate::catalog::Catalog::append) answers `Unavailable`; the same draft may be
    /// appended, deferred and appended again and is one event. `Refused` for kinds that take
    /// something away; `Unavailable` when no copy answers.
    pub async fn defer(
        &self,
        cx: &Context,
        draft: EventDraft,
        after: Option<String>,
    ) -> Result<String> {
        if draft.kind().is_guarded() {
            return Err(Error::refused("this cannot be done while the log's home is away")
                .on(draft.kind())
                .help("wait until the home answers again"));
        }
        let scribe = &self.0.scribe;
        let signer = scribe.signer()?.public().id();
        let name = ObjectName::new(&format!("{PREFIX}{signer}/{}.json", draft.id()))?;
        let file = scribe.waiting(cx, after, scribe.content(draft)?).await?;
        let (mut stored, mut failure) = (false, None);
        for sink in &self.0.places {
            match store::put(cx, sink.as_ref(), &name, &file).await {
                // Other bytes under this name are the same draft, sealed by an earlier attempt.
                Ok(Put::Stored | Put::Taken(_)) => stored = true,
                Err(e) => failure = Some(e),
            }
        }
        match failure {
            Some(e) if !stored => Err(e),
            _ => Ok(file.digest()),
        }
    }

    /// Appends what waits on any copy that answers, in order of time, then removes it there. Calling
    /// it again, or on two machines at once, makes no event twice. `Unavailable` while the home is
    /// away.
    pub async fn fold_pending(&self, cx: &Context) -> Result<Folded> {
        let mut folded = Folded::default();
        let mut waiting: BTreeMap<(_, Uuid), (Content, Vec<(usize, ObjectName)>)> = BTreeMap::new();
        for (place, sink) in self.0.places.iter().enumerate() {
            let mut listing = sink.list(cx, PREFIX);
            while let Some(listed) = listing.next().await {
                let name = match listed {
                    Ok(Listed::Object(meta)) => meta.name,
                    Ok(Listed::Foreign(_)) => continue,
                    Err(e) if e.kind() == ErrorKind::Cancelled => return Err(e),
                    Err(_) => break,
                };
                match store::read(cx, sink.as_ref(), &name, FileKind::Pending).await {
                    Ok(Some(bytes)) => match self.acceptable(&name, bytes) {
                        Some(content) => {
                            let key = (content.time, content.id);
                            let entry = waiting.entry(key).or_insert_with(|| (content, Vec::new()));
                            entry.1.push((place, name));
                        }
                        None => folded.refused.push(name),
                    },
                    Err(e) if e.kind() == ErrorKind::Corrupt => folded.refused.push(name),
                    Ok(None) | Err(_) => {}
                }
            }
        }
        if waiting.is_empty() {
            return Ok(folded);
        }
        let mut chain = self.0.chain.lock().await;
        let chain = self.0.refreshed(cx, &mut chain).await?;
        writable(chain)?;
        for (mut content, objects) in waiting.into_values() {
            content.of = Some(content.id);
            folded.events.push(self.0.append(cx, chain, content).await?);
            for (place, name) in objects {
                // What cannot be removed is found again, and again known by its id.
                if let Some(sink) = self.0.places.get(place) {
                    let _ = sink.delete(cx, &name).await;
                }
            }
        }
        Ok(folded)
    }

    /// The event that waits under `name`, if its signer may write it and it takes nothing away.
    fn acceptable(&self, name: &ObjectName, bytes: bytes::Bytes) -> Option<Content> {
        let content = self.0.scribe.read_waiting(bytes).ok()?;
        let own = name.as_str().ends_with(&format!("/{}.json", content.id));
        (own && !content.kind.is_guarded()).then_some(content)
    }
}
