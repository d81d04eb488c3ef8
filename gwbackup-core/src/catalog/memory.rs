//! A log that forgets with the process.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream;
use tokio::sync::Mutex;

use super::chain::Chain;
use super::event::{Event, EventDraft, Scribe};
use super::{Catalog, Head, Trust};
use crate::context::Context;
use crate::crypt::{Signer, SmallSeal};
use crate::error::Result;
use crate::source::BoxStream;

/// A log in memory, signed and chained as a stored one is. Clones share it.
#[derive(Debug, Clone)]
pub struct MemoryCatalog {
    scribe: Scribe,
    chain: Arc<Mutex<Chain>>,
}

impl MemoryCatalog {
    /// An empty log of `trust`'s repository.
    pub fn new(trust: Arc<Trust>, signer: Arc<dyn Signer>, seal: Arc<SmallSeal>) -> Self {
        let scribe = Scribe { trust, signer: Some(signer), seal: Some(seal) };
        Self { scribe, chain: Arc::new(Mutex::new(Chain::new(0))) }
    }
}

#[async_trait]
impl Catalog for MemoryCatalog {
    async fn append(&self, cx: &Context, draft: EventDraft) -> Result<Event> {
        cx.check()?;
        let mut chain = self.chain.lock().await;
        if let Some(event) = chain.by_id(draft.id()) {
            return Ok(event.as_ref().clone());
        }
        let content = self.scribe.content(draft)?;
        let event = self.scribe.event(cx, chain.next(), chain.prev(), content).await?;
        chain.push(Arc::new(event.clone()));
        Ok(event)
    }

    fn events(&self, cx: &Context, after: u64) -> BoxStream<Result<Event>> {
        let (chain, cx) = (Arc::clone(&self.chain), cx.clone());
        Box::pin(futures_util::StreamExt::flatten(stream::once(async move {
            if let Err(e) = cx.check() {
                return stream::iter(vec![Err(e)]);
            }
            let chain = chain.lock().await;
            let later = chain.events().iter().filter(|event| event.seq > after);
            stream::iter(later.map(|event| Ok(event.as_ref().clone())).collect::<Vec<_>>())
        })))
    }

    async fn head(&self, cx: &Context) -> Result<Head> {
        cx.check()?;
        Ok(self.chain.lock().await.head())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::fixture;

    #[tokio::test(flavor = "multi_thread")]
    async fn keeps_the_contract() {
        crate::testing::conformance::catalog(|| async {
            let catalog = fixture::memory().await;
            (Arc::new(catalog.clone()) as _, Arc::new(catalog) as _)
        })
        .await;
    }
}
