//! Work that may block, beside tasks that must not.

use futures_util::{Stream, StreamExt as _, stream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};

/// Runs blocking work where it may block, and waits for it. A dropped future does not stop the
/// work: it runs to its end.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    ended(tokio::task::spawn_blocking(work)).await
}

async fn ended<T>(work: JoinHandle<Result<T>>) -> Result<T> {
    work.await.unwrap_or_else(|e| {
        Err(Error::new(ErrorKind::Other, "a blocking call did not end").with_source(e))
    })
}

/// Where blocking work puts what it finds.
#[derive(Debug)]
pub(crate) struct Outlet<T>(mpsc::Sender<Vec<T>>);

impl<T> Outlet<T> {
    /// Hands these on, as soon as there is room for them. `Cancelled` once nobody waits for them.
    pub(crate) fn put(&self, batch: Vec<T>) -> Result<()> {
        let gone = |_| Error::new(ErrorKind::Cancelled, "nobody waits for this any more");
        self.0.blocking_send(batch).map_err(gone)
    }
}

/// What blocking work finds, in its order; then its error, if it ends with one, or `Cancelled` if
/// the context was. The work starts with the first poll, is at most `ahead` batches ahead of its
/// reader, and is refused further ones once the stream has ended or was dropped.
pub(crate) fn streaming<T: Send + 'static>(
    cx: &Context,
    ahead: usize,
    work: impl FnOnce(&Outlet<T>) -> Result<()> + Send + 'static,
) -> impl Stream<Item = Result<T>> + Send + 'static {
    // Nothing runs before the first poll: a stream is made outside of a runtime, too.
    let cx = cx.clone();
    let start = async move {
        let (sender, receiver) = mpsc::channel(ahead);
        let work = tokio::task::spawn_blocking(move || work(&Outlet(sender)));
        stream::unfold(Some((receiver, work)), move |state| {
            let cx = cx.clone();
            async move {
                let (mut receiver, work) = state?;
                if let Some(batch) = receiver.recv().await
                    && cx.check().is_ok()
                {
                    let items: Vec<_> = batch.into_iter().map(Ok).collect();
                    return Some((items, Some((receiver, work))));
                }
                // The work ends at its next batch, if it has not ended yet.
                drop(receiver);
                let error = ended(work).await.and_then(|()| cx.check()).err()?;
                Some((vec![Err(error)], None))
            }
        })
        .flat_map(stream::iter)
    };
    stream::once(start).flatten()
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt as _;

    use super::*;

    #[tokio::test]
    async fn everything_comes_in_order_and_then_the_error() {
        let mut found = Box::pin(streaming(&Context::new(), 1, |outlet| {
            for n in 0..100 {
                outlet.put(vec![2 * n, 2 * n + 1])?;
            }
            outlet.put(Vec::new())?;
            Err(Error::invalid("the end"))
        }));
        for n in 0..200 {
            assert_eq!(found.next().await.unwrap().unwrap(), n);
        }
        assert_eq!(found.next().await.unwrap().unwrap_err().message(), "the end");
        assert!(found.next().await.is_none());
    }

    #[tokio::test]
    async fn a_dropped_stream_stops_the_work() {
        let (told, mut ended) = mpsc::channel(1);
        let mut endless = Box::pin(streaming(&Context::new(), 2, move |outlet| {
            let refusal = std::iter::repeat_with(|| outlet.put(vec![0])).find_map(Result::err);
            let _ = told.blocking_send(refusal.map(|e| e.kind()));
            Ok(())
        }));
        assert!(endless.try_next().await.unwrap().is_some());
        drop(endless);
        assert_eq!(ended.recv().await, Some(Some(ErrorKind::Cancelled)));
    }

    #[tokio::test]
    async fn a_cancelled_context_ends_the_stream() {
        let token = tokio_util::sync::CancellationToken::new();
        let cx = Context::new().with_cancellation(token.clone());
        let mut endless = Box::pin(streaming(&cx, 1, |outlet| {
            std::iter::repeat_with(|| outlet.put(vec![0])).collect()
        }));
        assert!(endless.try_next().await.unwrap().is_some());
        token.cancel();
        let error = endless.try_collect::<Vec<_>>().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
    }

    #[tokio::test]
    async fn work_that_panics_is_an_error() {
        let broken = streaming::<u8>(&Context::new(), 1, |_| panic!("on purpose"));
        let error = broken.try_collect::<Vec<_>>().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Other);
        assert!(blocking::<()>(|| panic!("on purpose")).await.is_err());
    }

    #[test]
    fn a_stream_is_made_outside_of_a_runtime() {
        drop(streaming::<u8>(&Context::new(), 1, |_| Ok(())));
    }
}
