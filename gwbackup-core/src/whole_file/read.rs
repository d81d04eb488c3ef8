//! Streaming a file's resources out of a thread.

use futures_util::TryStreamExt as _;

use super::FileGateway;
use crate::context::Context;
use crate::error::Result;
use crate::model::{Captured, Resource, Scope};
use crate::source::BoxStream;
use crate::task::{Outlet, streaming};

/// Batches under way at one time.
pub(super) const BATCHES: usize = 4;
/// What one batch holds at most.
const BATCH_ITEMS: usize = 256;
const BATCH_BYTES: usize = 512 << 10;

/// Resources on their way between a thread and a task.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) items: Vec<Resource>,
    bytes: usize,
}

impl Batch {
    /// Adds one; the full batch once it is full.
    pub(super) fn push(&mut self, resource: Resource) -> Option<Self> {
        self.bytes += resource.document.len();
        self.items.push(resource);
        let full = self.items.len() >= BATCH_ITEMS || self.bytes >= BATCH_BYTES;
        full.then(|| std::mem::take(self))
    }
}

/// What lies in `scope`. The thread that reads starts with the first poll and ends soon after the
/// stream is dropped.
pub(super) fn stream(
    gateway: FileGateway,
    cx: Context,
    scope: Scope,
) -> BoxStream<Result<Captured>> {
    let read = streaming(&cx.clone(), BATCHES, move |outlet| {
        read(&gateway, &cx, &scope, outlet).map_err(|error| gateway.named(error))
    });
    Box::pin(read.map_ok(Captured::Resource))
}

fn read(
    gateway: &FileGateway,
    cx: &Context,
    scope: &Scope,
    outlet: &Outlet<Resource>,
) -> Result<()> {
    let mut batch = Batch::default();
    let send = |batch: Batch| {
        cx.check()?;
        outlet.put(batch.items)
    };
    gateway.resources(&mut |mut resource| {
        if !scope.contains(&resource.key) {
            return Ok(());
        }
        gateway.rules.mark(&mut resource);
        batch.push(resource).map_or(Ok(()), send)
    })?;
    send(batch)
}

impl FileGateway {
    /// Gives each resource of the file to `found`; says which content it was.
    pub(super) fn resources(
        &self,
        found: &mut dyn FnMut(Resource) -> Result<()>,
    ) -> Result<super::place::Digest> {
        let (read, digest) = self.place.with_reader(|input| self.format.read(input, found))?;
        if read.is_none() {
            self.format.initial()?.into_iter().try_for_each(found)?;
        }
        Ok(digest)
    }
}
