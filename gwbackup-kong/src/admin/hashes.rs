//! Credentials whose secret the node gives out as a hash.
//!
//! The Admin API hashes whatever it is sent, so a hash is put back past it: by a program of the
//! operator's that imports a declarative file as it stands. The file holds these credentials and
//! their consumers alone. Nodes keep credentials in memory and learn of the import only by a change
//! that comes through the API, so each is touched after it.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::FutureExt as _;
use gwbackup_core::error::ErrorKind;
use gwbackup_core::model::{Action, Change, Effect, Kind, Outcome, Resource, Side};
use gwbackup_core::{Error, Result};
use reqwest::Method;

use super::declarative;
use super::hook::ImportHook;
use super::requests::Address;
use super::write::{Writer, done, failed, moved};
use crate::schema::{HASHED, hashed};

/// Whether entities of this kind may hold a hash.
pub(super) fn may_hold(kind: &Kind) -> bool {
    HASHED.iter().any(|hash| hash.kind == kind.as_str())
}

/// What there is to do about one change.
enum Work {
    /// Nothing: it is as it shall be.
    Done,
    /// The API can do it.
    Plain,
    /// The API can do the rest: the hash is right.
    Rest {
        live: Resource,
        wanted: Resource,
    },
    Import {
        live: Option<Resource>,
        wanted: Resource,
    },
}

/// Makes changes of credentials, with one import for all that need it.
pub(super) async fn apply(writer: &Writer<'_>, changes: &[Change]) -> Result<Vec<Outcome>> {
    // All are looked at before one is written: a conflict must find nothing done.
    let looks = changes.iter().map(|change| look(writer, change).boxed()).collect();
    let works = changes.iter().zip(writer.all(looks).await?);
    let mut plain = Vec::new();
    let mut imports = Vec::new();
    for (change, work) in works {
        match work {
            Work::Import { live, wanted } => imports.push(Import { change, live, wanted }),
            other => plain.push((change, other)),
        }
    }
    let alone = changes.len() == 1;
    let calls = plain.into_iter().map(|(change, work)| write(writer, change, work, alone).boxed());
    let mut outcomes = writer.all(calls.collect()).await?;
    if let (false, Some(hook)) = (imports.is_empty(), &writer.admin.0.hook) {
        outcomes.extend(import(writer, hook.as_ref(), imports).await?);
    }
    Ok(outcomes)
}

async fn look(writer: &Writer<'_>, change: &Change) -> Result<Work> {
    if change.action == Action::Delete || writer.admin.0.hook.is_none() {
        return Ok(Work::Plain);
    }
    let wanted = writer.wanted(change).await?;
    let Some(at) = hashed(&wanted) else { return Ok(Work::Plain) };
    let live = writer.look(&writer.address(&wanted)?, &wanted.key.kind).await?;
    let is_after = live.as_ref().is_some_and(|live| writer.same(live, &wanted));
    if writer.first && is_after {
        return Ok(Work::Done);
    }
    if writer.first {
        let before = writer.states.one(Side::Before, &change.key).await?;
        let is_before = match (&live, &before) {
            (None, None) => true,
            (Some(live), Some(before)) => writer.same(live, &before.resource),
            _ => false,
        };
        if !is_before {
            return Err(moved(change));
        }
    }
    let right = |live: &Resource| {
        [at, "/hash_secret"].iter().all(|at| live.document.get(at) == wanted.document.get(at))
    };
    Ok(match live {
        // An earlier attempt may have ended between the import and the touch.
        Some(live) if !is_after && right(&live) => Work::Rest { live, wanted },
        live => Work::Import { live, wanted },
    })
}

async fn write(writer: &Writer<'_>, change: &Change, work: Work, alone: bool) -> Result<Outcome> {
    let written = match work {
        Work::Rest { live, wanted } => writer.converge(change, &live, &wanted).await,
        Work::Done => Ok(done(change, &writer.wanted(change).await?, Effect::AlreadyThere)),
        _ => writer.write(change).await,
    };
    match written {
        // Of the others something may be done by now.
        Err(error) if error.kind() == ErrorKind::Conflict && !alone => Ok(failed(change, error)),
        written => written,
    }
}

/// A hash that is not there.
struct Import<'a> {
    change: &'a Change,
    live: Option<Resource>,
    wanted: Resource,
}

async fn import(
    writer: &Writer<'_>,
    hook: &dyn ImportHook,
    imports: Vec<Import<'_>>,
) -> Result<Vec<Outcome>> {
    let consumers = consumers(writer, &imports).await?;
    let (imports, orphans): (Vec<_>, Vec<_>) = imports
        .into_iter()
        .partition(|i| i.consumer().is_some_and(|id| consumers.contains_key(&id)));
    let mut outcomes: Vec<Outcome> = orphans
        .iter()
        .map(|orphan| {
            let error = Error::new(ErrorKind::NotFound, "its consumer is not there");
            failed(orphan.change, error.on(&orphan.change.key))
        })
        .collect();
    if imports.is_empty() {
        return Ok(outcomes);
    }
    let credentials = imports.iter().map(|import| import.wanted.clone());
    let file = declarative::text(consumers.into_values().chain(credentials))?;
    let ended = hook.import_text(writer.cx, file).await;
    if let Err(error) = &ended
        && error.kind() == ErrorKind::Cancelled
    {
        return ended.map(|()| outcomes);
    }
    let ended = &ended;
    let told = imports.iter().map(|import| import.conclude(writer, ended).boxed()).collect();
    outcomes.extend(writer.all(told).await?);
    Ok(outcomes)
}

/// The consumers as they are: the file must hold them, and the import must not change them.
async fn consumers(
    writer: &Writer<'_>,
    imports: &[Import<'_>],
) -> Result<BTreeMap<String, Resource>> {
    let ids: BTreeSet<String> = imports.iter().filter_map(Import::consumer).collect();
    let look = |id: String| async move {
        let at = Address { list: vec!["consumers".to_owned()], id };
        let found = writer.look(&at, &Kind::known("consumer")).await?;
        Ok(found.map(|consumer| (at.id, consumer)))
    };
    let found = writer.all(ids.into_iter().map(|id| look(id).boxed()).collect()).await?;
    Ok(found.into_iter().flatten().collect())
}

impl Import<'_> {
    fn consumer(&self) -> Option<String> {
        self.wanted.document.text("/consumer/id").map(std::borrow::Cow::into_owned)
    }

    /// Touches the credential and reads back what the import made of it.
    async fn conclude(&self, writer: &Writer<'_>, ended: &Result<()>) -> Result<Outcome> {
        let Self { change, live, wanted } = self;
        let address = writer.address(wanted)?;
        if let Err(error) = ended {
            let now = writer.look(&address, &wanted.key.kind).await?;
            let untouched = match (&now, live) {
                (None, None) => true,
                (Some(now), Some(live)) => writer.same(now, live),
                _ => false,
            };
            if untouched {
                return Ok(failed(change, again(error)));
            }
        }
        let tags = wanted.document.get("/tags").unwrap_or("null");
        let at = writer.admin.0.client.at(address.entity());
        let touched = writer.call(Method::PATCH, &at, Some(format!("{{\"tags\":{tags}}}"))).await?;
        if let Err(refused) = touched {
            return Ok(match (live, refused.error) {
                (None, e) if e.kind() == ErrorKind::NotFound => failed(change, not_imported()),
                _ => done(change, wanted, Effect::Unknown(None)),
            });
        }
        let now = writer.look(&address, &wanted.key.kind).await?;
        let right = now.is_some_and(|now| writer.same(&now, wanted));
        let effect = match (right, live) {
            (false, _) => Effect::Unknown(None),
            (true, Some(live)) if writer.same(live, wanted) => Effect::AlreadyThere,
            (true, Some(_)) => Effect::Updated,
            (true, None) => Effect::Created,
        };
        Ok(done(change, wanted, effect))
    }
}

fn not_imported() -> Error {
    Error::new(ErrorKind::NotFound, "the import ended well and did not bring it")
        .help("see that the program of `import_hook` writes the database of this very node")
}

/// The same error for one more change.
fn again(error: &Error) -> Error {
    let copy = Error::new(error.kind(), error.message()).with_retry(error.retry());
    match error.advice() {
        Some(help) => copy.help(help),
        None => copy,
    }
}
