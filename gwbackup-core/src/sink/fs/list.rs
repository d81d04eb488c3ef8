//! Walking a directory: listings, and what killed writers left.

use std::path::Path;
use std::sync::Arc;

use super::platform::{self, Entry, Folder};
use super::{TEMPORARY, fault, timestamp};
use crate::clock::Timestamp;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::sink::{Listed, ObjectMeta, ObjectName};
use crate::source::BoxStream;
use crate::task::{Outlet, streaming};

/// How many entries travel together.
const BATCH: usize = 256;
/// Names have at most this many parts.
const DEPTH: usize = 8;
/// How old a temporary file is before its writer counts as dead.
const STALE: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);

/// A stream over a walk on a blocking thread; the walk ends when the stream is dropped.
pub(super) fn list(root: Arc<Path>, cx: Context, prefix: String) -> BoxStream<Result<Listed>> {
    Box::pin(streaming(&cx.clone(), 2, move |outlet| {
        let mut lister = Lister { cx: &cx, prefix: &prefix, batch: Vec::new(), outlet };
        let walked = lister.run(&root);
        lister.flush()?;
        walked
    }))
}

struct Lister<'a> {
    cx: &'a Context,
    prefix: &'a str,
    batch: Vec<Listed>,
    outlet: &'a Outlet<Listed>,
}

impl Lister<'_> {
    fn run(&mut self, root: &Path) -> Result<()> {
        self.cx.check()?;
        walk(root, &mut |found| self.visit(&found))
    }

    fn visit(&mut self, found: &Found<'_>) -> Result<bool> {
        let Found { path, entry, .. } = *found;
        let listed = match entry {
            _ if found.is_temporary() => return Ok(false),
            Entry::Folder => {
                let inner = format!("{path}/");
                let fits = inner.starts_with(self.prefix) || self.prefix.starts_with(&inner);
                if !fits || (ObjectName::new(path).is_ok() && found.depth < DEPTH) {
                    return Ok(fits);
                }
                Listed::Foreign(inner)
            }
            _ if !path.starts_with(self.prefix) => return Ok(false),
            Entry::Object { size, modified } => match ObjectName::new(path) {
                Ok(name) => Listed::Object(ObjectMeta {
                    name,
                    size: *size,
                    modified: timestamp(*modified)?,
                }),
                Err(_) => Listed::Foreign(path.to_owned()),
            },
            Entry::Strange => Listed::Foreign(path.to_owned()),
        };
        self.batch.push(listed);
        if self.batch.len() >= BATCH {
            self.cx.check()?;
            self.flush()?;
        }
        Ok(false)
    }

    fn flush(&mut self) -> Result<()> {
        self.outlet.put(std::mem::take(&mut self.batch))
    }
}

/// Removes temporary files older than a day; answers how many.
pub(super) fn sweep(root: &Path, cx: &Context) -> Result<u64> {
    let limit: Timestamp = cx
        .now()
        .checked_sub(STALE)
        .map_err(|_| Error::invalid("the clock shows an impossible time"))?;
    let mut removed = 0;
    walk(root, &mut |found| {
        cx.check()?;
        match found.entry {
            Entry::Object { modified, .. }
                if found.is_temporary() && timestamp(*modified)? < limit =>
            {
                match found.folder.remove(found.name) {
                    Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                        return Err(fault(e, found.path));
                    }
                    gone => removed += u64::from(gone.is_ok()),
                }
                Ok(false)
            }
            Entry::Folder => Ok(found.depth < DEPTH && ObjectName::new(found.path).is_ok()),
            _ => Ok(false),
        }
    })?;
    Ok(removed)
}

/// Something in a folder.
struct Found<'a> {
    folder: &'a Folder,
    name: &'a str,
    /// From the root on, parts joined by `/`.
    path: &'a str,
    /// How many parts the path has.
    depth: usize,
    entry: &'a Entry,
}

impl Found<'_> {
    fn is_temporary(&self) -> bool {
        self.name.starts_with(TEMPORARY)
    }
}

/// Calls `visit` for everything below `root`; it answers whether to go into a folder. An absent
/// root is empty.
fn walk(root: &Path, visit: &mut dyn FnMut(Found<'_>) -> Result<bool>) -> Result<()> {
    match platform::root(root, false) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        folder => descend(&folder?, "", 1, visit),
    }
}

fn descend(
    folder: &Folder,
    above: &str,
    depth: usize,
    visit: &mut dyn FnMut(Found<'_>) -> Result<bool>,
) -> Result<()> {
    for name in folder.names().map_err(|e| fault(e, above))? {
        let name = name.map_err(|e| fault(e, above))?;
        let path = if above.is_empty() { name.clone() } else { format!("{above}/{name}") };
        let entry = match folder.entry(&name) {
            Ok(Some(entry)) => entry,
            Ok(None) => continue,
            Err(e) => return Err(fault(e, &path)),
        };
        let found = Found { folder, name: &name, path: &path, depth, entry: &entry };
        if visit(found)? {
            match folder.child(&name, false) {
                Ok(child) => descend(&child, &path, depth + 1, visit)?,
                // It has just gone.
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => return Err(fault(e, &path)),
            }
        }
    }
    Ok(())
}
