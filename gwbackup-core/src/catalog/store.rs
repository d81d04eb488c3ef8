//! Signed files in a sink: bounded reads, create-only writes that survive a lost answer.

use bytes::Bytes;

use super::signed::{FileKind, SignedFile};
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::sink::{Body, ObjectName, Sink};

/// The stored bytes of `name`, at most `kind`'s limit; `None` where there is no such object.
/// `Corrupt` for an object that is too large to be one.
pub(super) async fn read(
    cx: &Context,
    sink: &dyn Sink,
    name: &ObjectName,
    kind: FileKind,
) -> Result<Option<Bytes>> {
    let size = match sink.head(cx, name).await {
        Ok(meta) => meta.size,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    if size > kind.limit() as u64 {
        return Err(Error::corrupt("the object is larger than its kind may be").on(name));
    }
    match sink.get(cx, name, None).await {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// What a create-only write came to.
#[derive(Debug)]
pub(super) enum Put {
    /// These very bytes are stored now, or were before.
    Stored,
    /// The name holds other bytes; these.
    Taken(Bytes),
}

/// Creates `name` with these bytes. When the name is taken or the answer was lost, the object that
/// is there decides. An error means that the bytes may still arrive later.
pub(super) async fn put(
    cx: &Context,
    sink: &dyn Sink,
    name: &ObjectName,
    file: &SignedFile,
) -> Result<Put> {
    let body = Body::Bytes(file.stored().clone());
    let Err(failure) = sink.put(cx, name, &body).await else { return Ok(Put::Stored) };
    match read(cx, sink, name, file.kind()).await {
        Ok(Some(bytes)) if bytes == file.stored() => Ok(Put::Stored),
        Ok(Some(bytes)) => Ok(Put::Taken(bytes)),
        // An object too large to be one was certainly not written here.
        Err(e) if e.kind() == ErrorKind::Corrupt => Ok(Put::Taken(Bytes::new())),
        Ok(None) | Err(_) => Err(failure),
    }
}
