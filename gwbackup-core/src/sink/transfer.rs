//! Writing and reading whole objects over sinks that lose answers and damage bytes.

use std::io::Write;
use std::ops::Range;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::{Body, ObjectName, Sink, Spool};
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::task::blocking;

/// How much of an object is in memory at a time.
const STRIDE: u64 = 4 << 20;

/// Writes a new object, and takes the same bytes under that name for success: whoever wrote them,
/// they are there. So it may be called again after any error, and a lost answer is no failure.
///
/// `AlreadyExists` when the name is taken by other bytes; otherwise as [`Sink::put`]. The object is
/// read back in parts of 4 MiB, and only when the first write did not answer well.
pub async fn put_once(sink: &dyn Sink, cx: &Context, name: &ObjectName, body: &Body) -> Result<()> {
    let Err(refusal) = sink.put(cx, name, body).await else { return Ok(()) };
    if !matches!(refusal.kind(), ErrorKind::AlreadyExists | ErrorKind::Unavailable) {
        return Err(refusal);
    }
    match holds(sink, cx, name, body).await {
        Ok(true) => Ok(()),
        Ok(false) => {
            Err(Error::new(ErrorKind::AlreadyExists, "the name is taken by other bytes").on(name))
        }
        // Nothing was written: the first error tells more.
        Err(e) if e.kind() == ErrorKind::NotFound => Err(refusal),
        Err(e) => Err(e),
    }
}

/// Whether the object has exactly these bytes. `NotFound`.
async fn holds(sink: &dyn Sink, cx: &Context, name: &ObjectName, body: &Body) -> Result<bool> {
    if sink.head(cx, name).await?.size != body.len() {
        return Ok(false);
    }
    for range in strides(body.len()) {
        let stored = sink.get(cx, name, Some(range.clone())).await?;
        let own = body.clone();
        if !blocking(move || Ok(own.read(range)? == stored)).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Reads an object into a spool below `spool_dir`, in parts of 4 MiB.
///
/// `Corrupt` when its size or SHA-256 is another one, and nothing is kept then; otherwise as
/// [`Sink::get`]. Reading may be repeated.
pub async fn fetch(
    sink: &dyn Sink,
    cx: &Context,
    name: &ObjectName,
    spool_dir: &Path,
    size: u64,
    sha256: &[u8; 32],
) -> Result<Spool> {
    if sink.head(cx, name).await?.size != size {
        return Err(Error::corrupt("the object has another size than recorded").on(name));
    }
    let directory = spool_dir.to_owned();
    let mut spool = blocking(move || Spool::create(&directory)).await?;
    let mut digest = Sha256::new();
    for range in strides(size) {
        cx.check()?;
        let expected = range.end - range.start;
        let bytes = sink.get(cx, name, Some(range)).await?;
        if bytes.len() as u64 != expected {
            return Err(Error::corrupt("the sink answered another range than asked for").on(name));
        }
        (spool, digest) = blocking(move || {
            digest.update(&bytes);
            spool.write_all(&bytes)?;
            Ok((spool, digest))
        })
        .await?;
    }
    if digest.finalize().as_slice() != sha256 {
        return Err(Error::corrupt("the object has other bytes than recorded").on(name));
    }
    Ok(spool.finish())
}

fn strides(size: u64) -> impl Iterator<Item = Range<u64>> {
    let parts = size.div_ceil(STRIDE);
    (0..parts).map(move |part| part * STRIDE..((part + 1) * STRIDE).min(size))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::sink::MemorySink;
    use crate::testing::{Fault, Faults, FaultySink, Tampering};

    fn name() -> ObjectName {
        ObjectName::new("log/000000000001.json").unwrap()
    }

    #[test]
    fn strides_cover_the_object_once() {
        for size in [0, 1, STRIDE - 1, STRIDE, STRIDE + 1, 3 * STRIDE + 5] {
            let mut at = 0;
            for range in strides(size) {
                assert_eq!(range.start, at);
                assert!(range.end > at && range.end - at <= STRIDE);
                at = range.end;
            }
            assert_eq!(at, size);
        }
    }

    #[tokio::test]
    async fn a_lost_answer_is_no_failure() {
        let memory = MemorySink::new();
        let sink = FaultySink::new(Arc::new(memory.clone()), Faults::nth(1, Fault::LoseAnswer));
        let cx = Context::new();
        let body = Body::from(vec![7; 100]);
        put_once(&sink, &cx, &name(), &body).await.unwrap();
        assert_eq!(memory.get(&cx, &name(), None).await.unwrap(), vec![7; 100]);
    }

    #[tokio::test]
    async fn a_write_that_had_no_effect_keeps_its_error() {
        let fault = Fault::Fail(ErrorKind::Unavailable);
        let sink = FaultySink::new(Arc::new(MemorySink::new()), Faults::nth(1, fault));
        let error = put_once(&sink, &Context::new(), &name(), &vec![1].into()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.message().contains("put"));
    }

    #[tokio::test]
    async fn only_the_same_bytes_may_be_there_already() {
        let sink = MemorySink::new();
        let cx = Context::new();
        let large = vec![3; usize::try_from(STRIDE).unwrap() + 9];
        put_once(&sink, &cx, &name(), &large.clone().into()).await.unwrap();
        put_once(&sink, &cx, &name(), &large.clone().into()).await.unwrap();
        let mut other = large.clone();
        *other.last_mut().unwrap() ^= 1;
        for body in [other, large[1..].to_vec(), Vec::new()] {
            let error = put_once(&sink, &cx, &name(), &body.into()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        }
    }

    #[tokio::test]
    async fn fetch_gives_the_recorded_bytes_or_nothing() {
        let scratch = tempfile::tempdir().unwrap();
        let cx = Context::new();
        let memory = MemorySink::new();
        let bytes: Vec<u8> = (0..STRIDE + 77).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let (size, digest) = (bytes.len() as u64, Sha256::digest(&bytes).into());
        memory.put(&cx, &name(), &bytes.clone().into()).await.unwrap();

        let spool = fetch(&memory, &cx, &name(), scratch.path(), size, &digest).await.unwrap();
        assert_eq!(spool.read(0..size).unwrap(), bytes);

        let kind = async |sink: &dyn Sink, size, digest: &[u8; 32]| {
            fetch(sink, &cx, &name(), scratch.path(), size, digest).await.unwrap_err().kind()
        };
        assert_eq!(kind(&memory, size - 1, &digest).await, ErrorKind::Corrupt);
        assert_eq!(kind(&memory, size, &[0; 32]).await, ErrorKind::Corrupt);
        let inner: Arc<dyn Sink> = Arc::new(memory.clone());
        let flipped = Tampering::new(Arc::clone(&inner), |_, bytes| {
            if let Some(last) = bytes.last_mut() {
                *last ^= 1;
            }
        });
        assert_eq!(kind(&flipped, size, &digest).await, ErrorKind::Corrupt);
        let cut = Tampering::new(inner, |_, bytes| bytes.truncate(1_000));
        assert_eq!(kind(&cut, size, &digest).await, ErrorKind::Corrupt);
        #[cfg(unix)]
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
    }
}
