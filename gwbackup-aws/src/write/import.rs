//! What one import says for hundreds of calls, and the snapshots that stages serve.

use gwbackup_core::Result;
use gwbackup_core::error::ErrorKind;
use gwbackup_core::model::{Effect, Key};
use reqwest::Method;
use serde_json::json;

use super::{IMPORT_FROM, Told, Work, openapi};
use crate::client::Call;
use crate::read::Node;
use crate::table::Row;

/// Bytes that an import takes.
const MOST: usize = 6 << 20;

/// Kinds that an import says.
const SAID: &[&str] = &[
    "rest_model",
    "rest_request_validator",
    "rest_authorizer",
    "rest_gateway_response",
    "rest_resource",
    "rest_method",
    "rest_documentation_part",
];

/// Kinds that the import of an HTTP API says.
const SAID_SECOND: &[&str] = &["api_authorizer", "api_integration", "api_route"];

/// Whether an import into a new HTTP API may have made it.
pub(super) fn is_said(key: &Key) -> bool {
    SAID_SECOND.contains(&key.kind.as_str())
}

impl Work<'_> {
    /// Makes the deployments that the step creates: each export becomes the working copy and is
    /// deployed. The working copy itself is put right after them; stages serve what they served.
    /// A deployment without an export is left to be made of the working copy. False when the
    /// service refused one.
    pub(super) async fn make_deployments(&mut self) -> Result<bool> {
        // An import gives new ids to all of an HTTP API: one that clients use keeps its own.
        let fresh = self.wanted_root().is_some_and(|r| self.made.contains_key(&r.resource.key));
        let missing = |key: &&Key| {
            Row::of(&key.kind)
                .is_some_and(|row| !row.served.is_empty() && (fresh || row.parent != "api"))
                && self.changes.contains_key(*key)
                && !self.live.contains_key(&self.place(key))
        };
        let mut keys: Vec<Key> = self.after.keys().filter(missing).cloned().collect();
        let made = |key: &Key| {
            let state = self.after.get(key);
            state.and_then(|s| s.resource.document.get("/createdDate").map(str::to_owned))
        };
        keys.sort_by_key(|key| (made(key), key.clone()));
        let any = !keys.is_empty();
        for key in keys {
            if !self.make_deployment(&key).await? {
                return Ok(false);
            }
        }
        if any {
            self.look().await?;
        }
        Ok(true)
    }

    async fn make_deployment(&mut self, key: &Key) -> Result<bool> {
        let Some(state) = self.after.get(key).cloned() else { return Ok(true) };
        let Some(api) = self.parent_of(&state.resource).cloned() else { return Ok(true) };
        let (document, _) = self.resolved(&state);
        let Some(export) = document.get("/export") else { return Ok(true) };
        match self.put_api(&api, export.to_owned()).await? {
            Ok(()) => self.deploy(key).await,
            // An endpoint that knows no import: what is read back tells what the stages serve.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
            Err(error) => {
                self.refuse(key, error);
                Ok(false)
            }
        }
    }

    /// Makes a deployment of the working copy as it is now. False when the service refused it.
    pub(super) async fn deploy(&mut self, key: &Key) -> Result<bool> {
        let (Some(state), Some(row)) = (self.after.get(key).cloned(), Row::of(&key.kind)) else {
            return Ok(true);
        };
        let Some(api) = self.parent_of(&state.resource).cloned() else { return Ok(true) };
        let (document, _) = self.resolved(&state);
        let description = document.text("/description").map(std::borrow::Cow::into_owned);
        let body = description.map_or_else(|| json!({}), |text| json!({ "description": text }));
        let path = api.address.iter().map(String::as_str).chain(["deployments"]);
        let call = Call::new(Method::POST, path).body(body.to_string());
        match self.answered(row, Some(&api), call).await? {
            Ok(node) => {
                self.seen(key, node);
                self.done.insert(key.clone(), Effect::Created);
                self.checkpoint().await?;
                Ok(true)
            }
            Err(error) => {
                self.refuse(key, error);
                Ok(false)
            }
        }
    }

    /// Writes the whole working copy where much of it differs.
    pub(super) async fn import_where_cheaper(&mut self) -> Result<()> {
        if self.row.kind != "rest_api" {
            return Ok(());
        }
        let differing: Vec<(Key, Effect)> = self
            .after
            .iter()
            .filter(|(key, _)| SAID.contains(&key.kind.as_str()))
            .filter_map(|(key, wanted)| match self.live.get(&self.place(key)) {
                None => Some((key.clone(), Effect::Created)),
                Some(live) if !self.same(live, wanted) => Some((key.clone(), Effect::Updated)),
                Some(_) => None,
            })
            .collect();
        let api = self.live.get(&self.root_there()).cloned();
        let Some(api) = api.filter(|_| differing.len() >= IMPORT_FROM) else { return Ok(()) };
        let text = openapi::of(self);
        if text.len() > MOST {
            return Ok(());
        }
        // What an import does not take goes by calls of its own, which say why they fail.
        if self.put_api(&api, text).await?.is_ok() {
            self.done.extend(differing);
        }
        self.look().await
    }

    async fn put_api(&self, api: &Node, openapi: String) -> Result<Told<()>> {
        let call = Call::new(Method::PUT, api.address.iter().map(String::as_str));
        if api.row.kind == "api" {
            return self.plain(call.body(json!({ "body": openapi }).to_string())).await;
        }
        let call = call.query("mode", "overwrite").query("failonwarnings", "false");
        self.plain(call.body(openapi)).await
    }
}
