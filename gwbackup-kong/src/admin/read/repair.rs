//! Mending, by id, what moved while the lists were read.
//!
//! A row that is there the whole time is never missed: pages follow one another by id. What can go
//! wrong is that an entity and one that it needs are read at different moments. If the needed one
//! was born behind the reader, it is read now; if it was deleted, so was the other, which is
//! withdrawn.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use gwbackup_core::model::{Captured, Cause, Gap, Id, Key, Kind, Resource};
use gwbackup_core::{Error, Result};

use super::ledger::Thing;
use super::{Reader, gap, is_target};

/// How often a gateway is followed that goes on moving.
const ROUNDS: u32 = 5;
/// What is looked up one by one; where more is missing, the whole is better read again.
const MOST: usize = 2_000;

/// Mends what was read, and says as gaps what stays torn.
pub(super) async fn run(reader: &Reader) -> Result<()> {
    // Needed, looked for and not there, while what needs it goes on naming it.
    let mut dangling = HashSet::new();
    for _ in 0..ROUNDS {
        let mut missing = reader.ledger().missing();
        missing.retain(|parent, _| !dangling.contains(parent));
        if missing.is_empty() {
            break;
        }
        if missing.len() > MOST {
            return leave(reader, missing.into_values().flatten()).await;
        }
        let parents: Vec<Thing> = missing.keys().copied().collect();
        let there: HashSet<Thing> = add(reader, parents, false).await?;
        let orphans: HashSet<Thing> = missing
            .iter()
            .filter(|(parent, _)| !there.contains(parent))
            .flat_map(|(_, children)| children.iter().copied())
            .collect();
        if orphans.is_empty() {
            continue;
        }
        if orphans.len() > MOST {
            return leave(reader, orphans.into_iter()).await;
        }
        withdraw(reader, &orphans).await?;
        add(reader, orphans.into_iter().collect(), true).await?;
        let still = reader.ledger().missing();
        dangling.extend(missing.into_keys().filter(|parent| still.contains_key(parent)));
    }
    report(reader, &dangling).await
}

/// Reads things by their ids; those that are there.
///
/// Such as were read before are known by their names already.
async fn add(reader: &Reader, things: Vec<Thing>, anew: bool) -> Result<HashSet<Thing>> {
    let connections = reader.admin.0.config.connections.into();
    let found: Vec<(Thing, Option<Resource>)> = stream::iter(things)
        .map(async |thing| Ok::<_, Error>((thing, look(reader, thing).await?)))
        .buffer_unordered(connections)
        .try_collect()
        .await?;
    let mut there = HashSet::new();
    let mut given = Vec::new();
    for (thing, resource) in found {
        let Some(resource) = resource else { continue };
        there.insert(thing);
        let tagged = reader.is_tagged(&resource.document);
        let links = if tagged { reader.links(&resource) } else { Vec::new() };
        let names = if tagged && !anew { reader.names(&resource) } else { Vec::new() };
        reader.ledger().read(thing, links, &names);
        if tagged {
            given.push(Captured::Resource(resource));
        }
    }
    reader.send(given).await?;
    Ok(there)
}

/// One thing as it is now.
async fn look(reader: &Reader, thing: Thing) -> Result<Option<Resource>> {
    let Some(collection) = reader.instance.collections.get(usize::from(thing.at)) else {
        return Ok(None);
    };
    // A target goes with its upstream, and has no address without one.
    if is_target(collection) {
        return Ok(None);
    }
    Ok(reader.one(collection, &id(thing)?).await?.ok())
}

async fn withdraw(reader: &Reader, things: &HashSet<Thing>) -> Result<()> {
    reader.ledger().withdraw(things);
    let keys: Result<Vec<_>> =
        things.iter().filter_map(|thing| key(reader, *thing).transpose()).collect();
    reader.send(keys?.into_iter().map(Captured::Withdrawn).collect()).await
}

/// Gives up on these: their kinds are torn. Where tags choose, what others need may lie outside, and
/// so much of it says nothing.
async fn leave(reader: &Reader, things: impl Iterator<Item = Thing>) -> Result<()> {
    if !reader.admin.0.config.tags.is_empty() {
        return Ok(());
    }
    let kinds: BTreeSet<u16> = things.map(|thing| thing.at).collect();
    let collections =
        kinds.into_iter().filter_map(|at| reader.instance.collections.get(usize::from(at)));
    let gaps = collections.map(|collection| {
        let detail = format!("what more than {MOST} of them need came or went while it was read");
        Captured::Gap(gap(&collection.kind, Cause::Torn, detail))
    });
    reader.send(gaps.collect()).await
}

/// Names what is torn: it needs something that Kong would not let go without it.
async fn report(reader: &Reader, dangling: &HashSet<Thing>) -> Result<()> {
    let mut torn = BTreeMap::new();
    for (parent, children) in reader.ledger().missing() {
        for child in children {
            let checked = |c: &super::Collection| {
                let named =
                    reader.instance.collections.get(usize::from(parent.at)).map(|c| &c.kind);
                c.row.is_none_or(|row| {
                    row.foreign.iter().any(|f| Some(f.kind) == named.map(Kind::as_str))
                })
            };
            let collection = reader.instance.collections.get(usize::from(child.at));
            // Kong lets a service name a certificate authority that is not there.
            if dangling.contains(&parent) && !collection.is_some_and(checked) {
                continue;
            }
            if let (Some(child), Some(parent)) = (key(reader, child)?, key(reader, parent)?) {
                torn.insert(child, parent);
            }
        }
    }
    let needs = |parent| format!("it needs {parent}, which came or went while it was read");
    let mut torn: BTreeMap<Key, String> =
        torn.into_iter().map(|(child, parent)| (child, needs(parent))).collect();
    let doubled = reader.ledger().doubled().to_vec();
    for thing in doubled {
        let detail = "a name moved to it from another while they were read";
        torn.extend(key(reader, thing)?.map(|key| (key, detail.to_owned())));
    }
    let gaps = torn.into_iter().map(|(key, detail)| {
        let (kind, under, cause) = (Some(key.kind), Some(key.id), Cause::Torn);
        Captured::Gap(Gap { kind, under, cause, detail })
    });
    reader.send(gaps.collect()).await
}

fn id(thing: Thing) -> Result<Id> {
    Id::new(&thing.id.to_string())
}

fn key(reader: &Reader, thing: Thing) -> Result<Option<Key>> {
    let collection = reader.instance.collections.get(usize::from(thing.at));
    collection.map(|c| Ok(Key::new(c.kind.clone(), id(thing)?))).transpose()
}
