//! Deletion for good.

use futures_util::TryStreamExt as _;
use serde::Serialize;

use super::{DeletionReceipt, Lock, ObjectName, Sink, Version, VersionedSink};
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};

/// What became of an object that was to be erased.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Erasure {
    /// What is gone, each with its proof.
    pub deleted: Vec<DeletionReceipt>,
    /// What the store still keeps, and why.
    pub kept: Vec<Kept>,
}

/// A version that cannot be deleted yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Kept {
    /// Which.
    pub version: Version,
    /// What keeps it.
    pub lock: Lock,
}

/// Deletes every version and marker of an object for good, the oldest first, so that nothing old
/// comes to light in between, and looks whether they are gone.
///
/// What a lock keeps stays, is named in the answer, and hinders no other version. An object that is
/// not there is erased: the answer is empty. `Conflict` when somebody writes the name meanwhile. Safe
/// to repeat, after a lost answer too (whose version is then in no receipt). Where a place keeps no
/// versions, the object is deleted.
pub async fn erase(cx: &Context, sink: &dyn Sink, name: &ObjectName) -> Result<Erasure> {
    let Some(place) = sink.versioned() else { return erase_only(cx, sink, name).await };
    let mut erasure = Erasure::default();
    for version in versions_of(cx, place, name).await?.into_iter().rev() {
        match place.delete_version(cx, &version).await {
            Ok(receipt) => erasure.deleted.push(receipt),
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) if e.kind() == ErrorKind::Refused => {
                let lock = place.lock(cx, &version).await?;
                erasure.kept.push(Kept { version, lock });
            }
            Err(e) => return Err(e),
        }
    }
    let is_kept = |version: &Version| erasure.kept.iter().any(|kept| kept.version == *version);
    if versions_of(cx, place, name).await?.iter().all(is_kept) {
        return Ok(erasure);
    }
    Err(written(name))
}

async fn erase_only(cx: &Context, sink: &dyn Sink, name: &ObjectName) -> Result<Erasure> {
    match sink.delete(cx, name).await {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Erasure::default()),
        done => done?,
    }
    match sink.head(cx, name).await {
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(e) => return Err(e),
        Ok(_) => return Err(written(name)),
    }
    let receipt =
        DeletionReceipt { name: name.clone(), version: None, at: cx.now(), request: None };
    Ok(Erasure { deleted: vec![receipt], kept: Vec::new() })
}

async fn versions_of(
    cx: &Context,
    place: &dyn VersionedSink,
    name: &ObjectName,
) -> Result<Vec<Version>> {
    let all: Vec<Version> = place.versions(cx, name.as_str()).try_collect().await?;
    Ok(all.into_iter().filter(|version| version.name == *name).collect())
}

fn written(name: &ObjectName) -> Error {
    Error::new(ErrorKind::Conflict, "somebody writes the object that is to be erased")
        .on(name)
        .help("look who writes it, and erase it again")
}
