//! A log that fails on order.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};

use super::Faults;
use crate::catalog::{Catalog, Event, EventDraft, Head};
use crate::context::Context;
use crate::error::Result;
use crate::source::BoxStream;

/// Any log, under a rule that decides which calls fail. Operations are named `append`, `events` and
/// `head`; the subject of `append` is the kind of event.
#[derive(Debug, Clone)]
pub struct FaultyCatalog {
    inner: Arc<dyn Catalog>,
    faults: Faults,
}

impl FaultyCatalog {
    /// `inner` under `faults`.
    pub fn new(inner: Arc<dyn Catalog>, faults: Faults) -> Self {
        Self { inner, faults }
    }
}

#[async_trait]
impl Catalog for FaultyCatalog {
    async fn append(&self, cx: &Context, draft: EventDraft) -> Result<Event> {
        let kind = draft.kind().clone();
        self.faults.around("append", kind.as_str(), self.inner.append(cx, draft)).await
    }

    fn events(&self, cx: &Context, after: u64) -> BoxStream<Result<Event>> {
        let (this, cx) = (self.clone(), cx.clone());
        let read = async move {
            let begin = async { Ok(this.inner.events(&cx, after)) };
            match this.faults.around("events", "", begin).await {
                Ok(events) => events,
                Err(e) => Box::pin(stream::once(async { Err(e) })),
            }
        };
        Box::pin(stream::once(read).flatten())
    }

    async fn head(&self, cx: &Context) -> Result<Head> {
        self.faults.around("head", "", self.inner.head(cx)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{EventKind, EventOutcome, fixture};
    use crate::error::ErrorKind;
    use crate::testing::Fault;

    #[tokio::test]
    async fn a_lost_answer_has_its_effect() {
        let cx = Context::new();
        let inner = fixture::memory().await;
        let faulty = FaultyCatalog::new(Arc::new(inner), Faults::nth(1, Fault::LoseAnswer));
        let kind = EventKind::VERIFY;
        let draft = EventDraft::new(&cx, kind, "backup", "b", EventOutcome::Success).unwrap();
        let lost = faulty.append(&cx, draft.clone()).await.unwrap_err();
        assert_eq!(lost.kind(), ErrorKind::Unavailable);
        assert_eq!(faulty.head(&cx).await.unwrap().seq, 1);
        assert_eq!(faulty.append(&cx, draft).await.unwrap().seq, 1);
    }
}
