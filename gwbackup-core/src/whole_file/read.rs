//! Streaming a file's resources out of a thread.

use futures_util::{StreamExt as _, stream};
use tokio::sync::mpsc;

use super::FileGateway;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Captured, Resource, Scope};
use crate::source::BoxStream;

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
    let started = stream::once(async move {
        let (sender, receiver) = mpsc::channel(BATCHES);
        let context = cx.clone();
        let reader = tokio::task::spawn_blocking(move || {
            read(&gateway, &context, &scope, &sender).map_err(|error| gateway.named(error))
        });
        stream::unfold((receiver, Some(reader)), move |(mut receiver, mut reader)| {
            let cx = cx.clone();
            async move {
                let reading = reader.as_mut()?;
                if let Some(batch) = receiver.recv().await
                    && cx.check().is_ok()
                {
                    let items: Vec<_> =
                        batch.items.into_iter().map(|r| Ok(Captured::Resource(r))).collect();
                    return Some((stream::iter(items), (receiver, reader)));
                }
                // The thread ends at its next send, if it has not ended yet.
                receiver.close();
                let ended = reading.await.unwrap_or_else(|error| {
                    Err(Error::new(ErrorKind::Other, "a read ended early").with_source(error))
                });
                let error = ended.and_then(|()| cx.check()).err()?;
                Some((stream::iter(vec![Err(error)]), (receiver, None)))
            }
        })
    });
    Box::pin(started.flatten().flatten())
}

fn read(
    gateway: &FileGateway,
    cx: &Context,
    scope: &Scope,
    sender: &mpsc::Sender<Batch>,
) -> Result<()> {
    let mut batch = Batch::default();
    let send = |batch| {
        cx.check()?;
        sender.blocking_send(batch).map_err(|_| unwanted())
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

/// Whoever asked has gone; nobody sees this error.
fn unwanted() -> Error {
    Error::new(ErrorKind::Cancelled, "nobody waits for this any more")
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
