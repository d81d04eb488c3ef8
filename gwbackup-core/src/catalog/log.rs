//! The log in a repository: numbered objects on its home, identical ones on the mirrors.

mod pending;

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use tokio::sync::Mutex;

use super::chain::{Cell, Chain, MAX_VOID, Problem, Rows};
use super::event::{Content, Event, EventDraft, EventKind, EventOutcome, Scribe};
use super::signed::FileKind;
use super::store::{self, Put};
use super::{Catalog, Head, Marks, Role, Trust, TrustAnchor};
use crate::context::Context;
use crate::crypt::{Signer, SmallSeal};
use crate::error::{Error, ErrorKind, Result};
use crate::sink::{ObjectName, Sink};
use crate::source::BoxStream;

pub use pending::Folded;

/// The log as the copies show it. Cheap to clone; clones share what was read.
///
/// One instance appends one event at a time; any number of instances, on any machines, may append
/// to one home: its create-only writes decide who comes first.
#[derive(Debug, Clone)]
pub struct Log(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    scribe: Scribe,
    /// The home, then the mirrors.
    places: Vec<Arc<dyn Sink>>,
    anchor: Option<Arc<dyn TrustAnchor>>,
    chain: Mutex<Option<Chain>>,
}

/// What is wrong with the log, if anything.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Integrity {
    /// The end of the longest consistent chain.
    pub head: Head,
    /// Everything that should not be, in the order in which it was found.
    pub problems: Vec<Problem>,
    /// Number of the last event by which an admin accepted what was there; 0 without one.
    pub accepted: u64,
    /// How many events each mirror lacks, in the order in which the mirrors were given.
    pub behind: Vec<u64>,
}

impl Integrity {
    /// Whether history is in no doubt, but for what an admin accepted. Deleting, destroying and
    /// healing are refused otherwise.
    pub fn is_whole(&self) -> bool {
        let accepted = |problem: &Problem| grave_at(problem).is_some_and(|at| at < self.accepted);
        !self.problems.iter().any(|problem| problem.is_grave() && !accepted(problem))
    }
}

/// What a replay of the whole log found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditReport {
    /// Events replayed.
    pub events: u64,
    /// Whether nothing grave was found and every event counts.
    pub ok: bool,
    /// The first number at which something grave was found.
    pub first_broken: Option<u64>,
    /// Numbers of events whose signer lacked the role.
    pub without_right: Vec<u64>,
    /// Everything else that was found.
    pub integrity: Integrity,
}

impl Log {
    /// The log of `trust`'s repository on `home`. Reads nothing yet.
    pub fn new(trust: Arc<Trust>, home: Arc<dyn Sink>) -> Self {
        Self(Arc::new(Inner {
            scribe: Scribe { trust, signer: None, seal: None },
            places: vec![home],
            anchor: None,
            chain: Mutex::new(None),
        }))
    }

    fn with(self, change: impl FnOnce(&mut Inner)) -> Self {
        let inner = &self.0;
        let mut inner = Inner {
            scribe: inner.scribe.clone(),
            places: inner.places.clone(),
            anchor: inner.anchor.clone(),
            chain: Mutex::new(None),
        };
        change(&mut inner);
        Self(Arc::new(inner))
    }

    /// The same, writing every event to this copy, too. A mirror that fails does not fail an
    /// append; see [`integrity`](Self::integrity) and [`catch_up`](Self::catch_up).
    #[must_use]
    pub fn mirror(self, mirror: Arc<dyn Sink>) -> Self {
        self.with(|inner| inner.places.push(mirror))
    }

    /// The same, able to read the private part of events; needed to append.
    #[must_use]
    pub fn seal(self, seal: Arc<SmallSeal>) -> Self {
        self.with(|inner| inner.scribe.seal = Some(seal))
    }

    /// The same, signing by `signer`; needed to append.
    #[must_use]
    pub fn signer(self, signer: Arc<dyn Signer>) -> Self {
        self.with(|inner| inner.scribe.signer = Some(signer))
    }

    /// The same, held against what this machine remembers, and adding to that.
    #[must_use]
    pub fn anchor(self, anchor: Arc<dyn TrustAnchor>) -> Self {
        self.with(|inner| inner.anchor = Some(anchor))
    }

    /// Reads the log to its end, on all copies, and says what is wrong with it. `Unavailable` only
    /// when no copy answers.
    pub async fn integrity(&self, cx: &Context) -> Result<Integrity> {
        let mut chain = self.0.chain.lock().await;
        Ok(integrity(self.0.refreshed(cx, &mut chain).await?))
    }

    /// Replays the whole log from the copies, whatever was read before: chain, signatures, roles,
    /// and the marks of this machine.
    pub async fn audit(&self, cx: &Context) -> Result<AuditReport> {
        let mut fresh = None;
        let chain = self.0.refreshed(cx, &mut fresh).await?;
        let integrity = integrity(chain);
        let without_right: Vec<u64> =
            chain.events().iter().filter(|event| !event.counts).map(|event| event.seq).collect();
        let first_broken = integrity.problems.iter().filter_map(grave_at).min();
        Ok(AuditReport {
            events: chain.events().len() as u64,
            ok: integrity.is_whole() && without_right.is_empty(),
            first_broken,
            without_right,
            integrity,
        })
    }

    /// Accepts the log as the copies show it now: this machine forgets that it saw more, and an event
    /// says so. `Denied` for a signer who may not; `Corrupt` where the log is broken or forked, which
    /// accepting cannot mend. Calling it again appends another event.
    pub async fn accept(&self, cx: &Context) -> Result<Event> {
        let mut chain = self.0.chain.lock().await;
        let chain = self.0.refreshed(cx, &mut chain).await?;
        let (trust, head) = (&self.0.scribe.trust, chain.head());
        let signer = self.0.scribe.signer()?.public().id();
        if !trust.allows(&signer, &[Role::Delete], chain.next()) {
            return Err(Error::new(ErrorKind::Denied, "this signer may not accept a loss")
                .on(signer)
                .help("use a signer with the role admin or delete"));
        }
        let kind = EventKind::AUDIT_ACCEPT;
        let draft = EventDraft::new(cx, kind, "log", head.seq, EventOutcome::Success)?
            .count("problems", chain.problems.len() as u64);
        let content = self.0.scribe.content(draft)?;
        chain.problems.retain(|problem| {
            !matches!(problem, Problem::RolledBack { .. } | Problem::TrustBehind { .. })
        });
        writable(chain)?;
        if let Some(anchor) = &self.0.anchor {
            let Head { seq, digest } = head;
            let marks = Marks { trust: trust.number(), seq, digest, time: cx.now() };
            anchor.accept(trust.repository(), &marks).await?;
        }
        self.0.append(cx, chain, content).await
    }

    /// Writes to each mirror the events that it lacks; says how many were written. Refused while
    /// history is in doubt. A mirror that does not answer keeps its gap.
    pub async fn catch_up(&self, cx: &Context) -> Result<u64> {
        let mut chain = self.0.chain.lock().await;
        let chain = self.0.refreshed(cx, &mut chain).await?;
        if !integrity(chain).is_whole() {
            return Err(in_doubt());
        }
        let mut written = 0;
        for (place, mirror) in self.0.places.iter().enumerate().skip(1) {
            let lacking = chain.missing.get_mut(place).map(std::mem::take).unwrap_or_default();
            let (mut left, mut other) = (Vec::new(), Vec::new());
            for seq in lacking {
                cx.check()?;
                let Some(event) = chain.at(seq) else { continue };
                match store::put(cx, mirror.as_ref(), &name(seq)?, &event.file).await {
                    Ok(Put::Stored) => written += 1,
                    Ok(Put::Taken(_)) => other.push(seq),
                    Err(_) => left.push(seq),
                }
            }
            for seq in other {
                chain.note(Problem::Differs { place, seq });
            }
            if let Some(missing) = chain.missing.get_mut(place) {
                *missing = left;
            }
        }
        Ok(written)
    }
}

#[async_trait]
impl Catalog for Log {
    async fn append(&self, cx: &Context, draft: EventDraft) -> Result<Event> {
        let mut chain = self.0.chain.lock().await;
        let chain = self.0.refreshed(cx, &mut chain).await?;
        let content = self.0.scribe.content(draft)?;
        self.0.append(cx, chain, content).await
    }

    fn events(&self, cx: &Context, after: u64) -> BoxStream<Result<Event>> {
        let (inner, cx) = (Arc::clone(&self.0), cx.clone());
        let read = async move {
            let mut chain = inner.chain.lock().await;
            let chain = match inner.refreshed(&cx, &mut chain).await {
                Ok(chain) => chain,
                Err(e) => return stream::iter(vec![Err(e)]),
            };
            let from = chain.events().partition_point(|event| event.seq <= after);
            let events = chain.events().get(from..).unwrap_or_default();
            let mut items: Vec<_> = events.iter().map(|e| Ok(e.as_ref().clone())).collect();
            if let Err(e) = unbroken(chain) {
                items.push(Err(e));
            }
            stream::iter(items)
        };
        Box::pin(stream::once(read).flatten())
    }

    async fn head(&self, cx: &Context) -> Result<Head> {
        let mut chain = self.0.chain.lock().await;
        let chain = self.0.refreshed(cx, &mut chain).await?;
        unbroken(chain)?;
        Ok(chain.head())
    }
}

impl Inner {
    /// Reads on from where the last reading ended; the first one looks beyond the end, too.
    async fn refreshed<'a>(
        &self,
        cx: &Context,
        known: &'a mut Option<Chain>,
    ) -> Result<&'a mut Chain> {
        let first = known.is_none();
        let mut chain = known.take().unwrap_or_else(|| Chain::new(self.places.len()));
        // The mark before the objects: what others append meanwhile is then no contradiction.
        let mark = self.mark().await?;
        let read = self.rows(cx, chain.next(), if first { MAX_VOID } else { 1 }).await;
        let rows = match read {
            Ok(rows) => rows,
            Err(e) => {
                *known = (!first).then_some(chain);
                return Err(e);
            }
        };
        chain.grow(&rows);
        let chain = known.insert(chain);
        let home_away = rows.values().any(|row| matches!(row.first(), Some(Cell::Away)));
        if !home_away {
            self.hold(chain, mark.as_ref());
            if mark.is_none_or(|mark| mark.seq < chain.head().seq) {
                self.remember(cx, chain).await?;
            }
        }
        Ok(chain)
    }

    /// What the places hold from number `from` on, up to a window without any object.
    async fn rows(&self, cx: &Context, from: u64, window: u64) -> Result<Rows> {
        let (mut rows, mut start, mut window) = (Rows::new(), from, window);
        loop {
            let numbers = start..start + window;
            let read = join_all(numbers.clone().map(|seq| self.row(cx, seq))).await;
            let mut found = false;
            for (seq, row) in numbers.zip(read) {
                let row = row?;
                found |= row.iter().any(|cell| matches!(cell, Cell::Junk | Cell::Event(_)));
                rows.insert(seq, row);
            }
            // Every reader stops at a run of junk this long, so there is no need to look behind it.
            let no_event = |row: &&Vec<Cell>| !row.iter().any(Cell::is_event);
            let junk = rows.values().rev().take_while(no_event).count();
            if !found || junk as u64 > 2 * MAX_VOID {
                self.look_again(cx, &mut rows).await?;
                return Ok(rows);
            }
            (start, window) = (start + window, MAX_VOID);
        }
    }

    /// Others may have appended while the places were read one after the other: holes before the
    /// last event are read once more before they count.
    async fn look_again(&self, cx: &Context, rows: &mut Rows) -> Result<()> {
        let last = rows.iter().rev().find(|(_, row)| row.iter().any(Cell::is_event));
        let Some((&last, _)) = last else { return Ok(()) };
        for (&seq, row) in rows.range_mut(..=last) {
            if matches!(row.first(), Some(Cell::Absent)) {
                *row = self.row(cx, seq).await?;
            }
        }
        Ok(())
    }

    async fn row(&self, cx: &Context, seq: u64) -> Result<Vec<Cell>> {
        cx.check()?;
        let name = name(seq)?;
        let reads =
            self.places.iter().map(|sink| store::read(cx, sink.as_ref(), &name, FileKind::Event));
        let mut away = None;
        let mut row = Vec::with_capacity(self.places.len());
        for read in join_all(reads).await {
            row.push(match read {
                Ok(None) => Cell::Absent,
                Ok(Some(bytes)) => match self.scribe.read(bytes, seq) {
                    Ok(event) => Cell::Event(Arc::new(event)),
                    // Skipping what a newer version wrote would hide it for good.
                    Err(e) if e.is_newer() => return Err(e.on(&name)),
                    Err(_) => Cell::Junk,
                },
                Err(e) if e.kind() == ErrorKind::Corrupt => Cell::Junk,
                Err(e) if e.kind() == ErrorKind::Cancelled => return Err(e),
                Err(e) => {
                    away.get_or_insert(e);
                    Cell::Away
                }
            });
        }
        match away {
            Some(e) if row.iter().all(|cell| matches!(cell, Cell::Away)) => Err(e),
            _ => Ok(row),
        }
    }

    async fn mark(&self) -> Result<Option<Marks>> {
        match &self.anchor {
            Some(anchor) => anchor.load(self.scribe.trust.repository()).await,
            None => Ok(None),
        }
    }

    /// Holds the chain against what this machine remembered before it was read.
    fn hold(&self, chain: &mut Chain, mark: Option<&Marks>) {
        chain.problems.retain(|problem| {
            !matches!(problem, Problem::RolledBack { .. } | Problem::TrustBehind { .. })
        });
        let Some(mark) = mark else { return };
        let same =
            mark.seq == 0 || chain.at(mark.seq).is_some_and(|event| event.digest == mark.digest);
        if !same {
            chain.note(Problem::RolledBack { mark: mark.seq, head: chain.head().seq });
        }
        let shown = self.scribe.trust.number();
        if shown < mark.trust {
            chain.note(Problem::TrustBehind { mark: mark.trust, shown });
        }
    }

    async fn remember(&self, cx: &Context, chain: &Chain) -> Result<()> {
        let Some(anchor) = &self.anchor else { return Ok(()) };
        if unbroken(chain).is_err() {
            return Ok(());
        }
        let Head { seq, digest } = chain.head();
        let marks = Marks { trust: self.scribe.trust.number(), seq, digest, time: cx.now() };
        anchor.raise(self.scribe.trust.repository(), &marks).await
    }

    /// Writes `content` under the next free number, first to the home.
    async fn append(&self, cx: &Context, chain: &mut Chain, content: Content) -> Result<Event> {
        if let Some(event) = chain.by_id(content.id) {
            return Ok(event.as_ref().clone());
        }
        writable(chain)?;
        let takes = content.kind.is_guarded() && content.kind != EventKind::AUDIT_ACCEPT;
        if takes && !integrity(chain).is_whole() {
            return Err(in_doubt().on(&content.kind));
        }
        let home = self.places.first().ok_or_else(|| Error::invalid("the log has no home"))?;
        let event = loop {
            cx.check()?;
            let seq = chain.next();
            let event = self.scribe.event(cx, seq, chain.prev(), content.clone()).await?;
            match store::put(cx, home.as_ref(), &name(seq)?, &event.file).await? {
                Put::Stored => break Arc::new(event),
                Put::Taken(bytes) => match self.scribe.read(bytes, seq) {
                    Ok(other) if chain.continues(&other) => {
                        let ours = other.id == content.id;
                        let other = Arc::new(other);
                        if ours {
                            break other;
                        }
                        chain.push(other);
                        self.note_unmirrored(chain, seq);
                    }
                    Ok(_) => {
                        chain.note(Problem::Broken(seq));
                        return unbroken(chain).and(Err(Error::corrupt("the log is broken")));
                    }
                    Err(e) if e.is_newer() => return Err(e.on(name(seq)?)),
                    Err(_) => {
                        if !chain.skip() {
                            chain.note(Problem::Squatted(seq));
                            writable(chain)?;
                        }
                    }
                },
            }
        };
        chain.push(Arc::clone(&event));
        self.note_unmirrored(chain, event.seq);
        self.to_mirrors(cx, chain, &event).await?;
        self.remember(cx, chain).await?;
        Ok(event.as_ref().clone())
    }

    async fn to_mirrors(&self, cx: &Context, chain: &mut Chain, event: &Event) -> Result<()> {
        let name = name(event.seq)?;
        let puts =
            self.places.iter().skip(1).map(|m| store::put(cx, m.as_ref(), &name, &event.file));
        for (place, put) in (1..).zip(join_all(puts).await) {
            match put {
                Ok(Put::Stored) => {
                    if let Some(missing) = chain.missing.get_mut(place) {
                        missing.retain(|seq| *seq != event.seq);
                    }
                }
                Ok(Put::Taken(_)) => chain.note(Problem::Differs { place, seq: event.seq }),
                Err(e) => {
                    tracing::warn!(seq = event.seq, place, error = %e, "a mirror of the log lags");
                }
            }
        }
        Ok(())
    }

    /// An event counts as missing on the mirrors until it was seen there.
    fn note_unmirrored(&self, chain: &mut Chain, seq: u64) {
        for missing in chain.missing.iter_mut().take(self.places.len()).skip(1) {
            missing.push(seq);
        }
    }
}

fn name(seq: u64) -> Result<ObjectName> {
    ObjectName::new(&format!("log/{seq:012}.json"))
}

fn integrity(chain: &Chain) -> Integrity {
    Integrity {
        head: chain.head(),
        problems: chain.problems.clone(),
        accepted: chain
            .events()
            .iter()
            .rfind(|event| event.counts && event.kind == EventKind::AUDIT_ACCEPT)
            .map_or(0, |event| event.seq),
        behind: chain.missing.iter().skip(1).map(|missing| missing.len() as u64).collect(),
    }
}

fn grave_at(problem: &Problem) -> Option<u64> {
    match problem {
        Problem::Squatted(seq)
        | Problem::Broken(seq)
        | Problem::Fork(seq)
        | Problem::HomeBehind(seq) => Some(*seq),
        Problem::RolledBack { mark, head } => Some((head + 1).min(*mark)),
        Problem::Void(_) | Problem::Differs { .. } | Problem::TrustBehind { .. } => None,
    }
}

/// What a reader must not take for the whole log.
fn unbroken(chain: &Chain) -> Result<()> {
    for problem in &chain.problems {
        let (what, at) = match problem {
            Problem::Broken(seq) => ("the log is broken".to_owned(), *seq),
            Problem::Squatted(seq) => ("too many numbers hold no event".to_owned(), *seq),
            Problem::RolledBack { mark, head } => {
                let was = format!(
                    "the log was rolled back: it ends at {head}, and event {mark} as seen before is not in it"
                );
                (was, *mark)
            }
            _ => continue,
        };
        return Err(Error::corrupt(what)
            .on(format!("event {at}"))
            .help("run an audit, compare the copies, and have an admin accept what is there"));
    }
    Ok(())
}

fn in_doubt() -> Error {
    Error::refused("the log's history is in doubt")
        .help("run an audit and have an admin accept what is there")
}

fn writable(chain: &Chain) -> Result<()> {
    unbroken(chain)?;
    if chain.problems.iter().any(Problem::stops_writing) {
        return Err(Error::corrupt("the log's copies contradict each other")
            .help("run an audit, compare the copies, and have an admin accept what is there"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
