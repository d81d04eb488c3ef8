//! Events that wait while the log's home is away.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use bytes::Bytes;
use futures_util::StreamExt;
use uuid::Uuid;

use super::{Log, writable};
use crate::catalog::event::{Content, Event, EventDraft};
use crate::catalog::signed::FileKind;
use crate::catalog::store::{self, Put};
use crate::clock::Timestamp;
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
        let (mut digest, mut failure) = (None, None);
        for sink in &self.0.places {
            match store::put(cx, sink.as_ref(), &name, &file).await {
                Ok(Put::Stored) => digest = Some(file.digest()),
                // Other bytes may be the same draft, sealed by an earlier attempt.
                Ok(Put::Taken(bytes)) => match self.acceptable(&name, bytes) {
                    Some(waiting) => digest = digest.or(waiting.digests.into_iter().next()),
                    None => failure = Some(Error::corrupt("the name is squatted").on(&name)),
                },
                Err(e) => failure = Some(e),
            }
        }
        match (digest, failure) {
            (Some(digest), _) => Ok(digest),
            (None, Some(e)) => Err(e),
            (None, None) => Err(Error::invalid("the log has no home")),
        }
    }

    /// Appends what waits on any copy that answers, in order of time, and of one run in the order in
    /// which it was deferred; then removes it there. Calling it again, or on two machines at once,
    /// makes no event twice. `Unavailable` while the home is away.
    pub async fn fold_pending(&self, cx: &Context) -> Result<Folded> {
        let (waiting, refused) = self.waiting(cx).await?;
        let mut folded = Folded { events: Vec::new(), refused };
        if waiting.is_empty() {
            return Ok(folded);
        }
        let mut chain = self.0.chain.lock().await;
        let chain = self.0.refreshed(cx, &mut chain).await?;
        writable(chain)?;
        for Waiting { mut content, objects, .. } in in_order(waiting) {
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

    /// What waits on any copy that answers, by time and id; and what only looks like it.
    async fn waiting(
        &self,
        cx: &Context,
    ) -> Result<(BTreeMap<(Timestamp, Uuid), Waiting>, Vec<ObjectName>)> {
        let (mut waiting, mut refused) = (BTreeMap::new(), Vec::new());
        for (place, sink) in self.0.places.iter().enumerate() {
            let mut listing = sink.list(cx, PREFIX);
            while let Some(listed) = listing.next().await {
                let name = match listed {
                    Ok(Listed::Object(meta)) => meta.name,
                    Ok(Listed::Foreign(_)) => continue,
                    Err(e) if e.kind() == ErrorKind::Cancelled => return Err(e),
                    Err(_) => break,
                };
                let found = match store::read(cx, sink.as_ref(), &name, FileKind::Pending).await {
                    Ok(Some(bytes)) => self.acceptable(&name, bytes),
                    Err(e) if e.kind() == ErrorKind::Corrupt => None,
                    Err(e) if e.kind() == ErrorKind::Cancelled => return Err(e),
                    Ok(None) | Err(_) => continue,
                };
                let Some(mut found) = found else {
                    refused.push(name);
                    continue;
                };
                found.objects.push((place, name));
                match waiting.entry((found.content.time, found.content.id)) {
                    Entry::Vacant(entry) => drop(entry.insert(found)),
                    Entry::Occupied(entry) => entry.into_mut().merge(found),
                }
            }
        }
        Ok((waiting, refused))
    }

    /// The event that waits under `name`, if its signer may write it and it takes nothing away.
    fn acceptable(&self, name: &ObjectName, bytes: Bytes) -> Option<Waiting> {
        let (content, after, digest) = self.0.scribe.read_waiting(bytes).ok()?;
        let own = name.as_str().ends_with(&format!("/{}.json", content.id));
        let fits = own && !content.kind.is_guarded();
        fits.then(|| Waiting { content, after, digests: vec![digest], objects: Vec::new() })
    }
}

/// One event that waits, on however many copies.
struct Waiting {
    content: Content,
    after: Option<String>,
    digests: Vec<String>,
    objects: Vec<(usize, ObjectName)>,
}

impl Waiting {
    fn merge(&mut self, other: Self) {
        self.digests.extend(other.digests);
        self.objects.extend(other.objects);
    }
}

/// By time and id, but none before the one that it names: two of one run may bear one millisecond.
fn in_order(waiting: BTreeMap<(Timestamp, Uuid), Waiting>) -> Vec<Waiting> {
    let mut left: Vec<Waiting> = waiting.into_values().collect();
    let mut ordered = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let waits_for_none = |one: &Waiting| {
            !one.after.as_ref().is_some_and(|after| left.iter().any(|w| w.digests.contains(after)))
        };
        let at = left.iter().position(waits_for_none).unwrap_or_default();
        ordered.push(left.remove(at));
    }
    ordered
}
