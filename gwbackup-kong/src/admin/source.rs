//! A node as a source.

use std::sync::Arc;

use async_trait::async_trait;
use gwbackup_core::model::{Captured, Description, Finding, Revision, Scope};
use gwbackup_core::source::{BoxStream, Known, Purpose, Source};
use gwbackup_core::{Context, Error, Result};
use serde::Deserialize;

use super::discover::Mode;
use super::{KongAdmin, preflight, read};

#[derive(Deserialize)]
struct Status {
    configuration_hash: Option<String>,
}

#[async_trait]
impl Source for KongAdmin {
    fn address(&self) -> String {
        self.0.config.address.clone()
    }

    async fn describe(&self, cx: &Context) -> Result<Description> {
        Ok(self.discover(cx).await?.description(&self.0.config, self.0.hook.is_some()))
    }

    async fn preflight(
        &self,
        cx: &Context,
        purpose: Purpose,
        scope: &Scope,
    ) -> Result<Vec<Finding>> {
        preflight::run(self, cx, purpose, scope).await
    }

    fn is_coherent(&self) -> bool {
        true
    }

    /// The hash of a node without a database: it stands for all of its configuration.
    async fn revision(&self, cx: &Context, _scope: &Scope) -> Result<Option<Revision>> {
        if self.instance(cx).await?.mode != Mode::DbLess {
            return Ok(None);
        }
        let answer = self.0.client.get(cx, &self.0.client.root(["status"])).await?;
        if !answer.is_success() {
            return Ok(None);
        }
        let status: Status = serde_json::from_slice(&answer.body)
            .map_err(|_| Error::invalid("the node's status cannot be read").on(self.address()))?;
        Ok(status.configuration_hash.as_deref().map(Revision::new))
    }

    fn read(
        &self,
        cx: &Context,
        description: &Description,
        scope: &Scope,
        _known: Option<Arc<dyn Known>>,
    ) -> BoxStream<Result<Captured>> {
        read::stream(self.clone(), cx.clone(), Arc::clone(&description.schema), scope.clone())
    }
}
