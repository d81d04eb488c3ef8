//! Making, changing and removing one thing.

use std::borrow::Cow;

use gwbackup_core::error::ErrorKind;
use gwbackup_core::model::{Attempt, Document, Effect, Key, Resolved};
use gwbackup_core::retry::rest;
use gwbackup_core::{Error, Result};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::{LOOK, LOOKS, Told, Work, patch, portal, settle};
use crate::client::Call;
use crate::read::{Node, list_at, node};
use crate::table::{self, Change, Make, Row};

impl Work<'_> {
    /// Makes what is not there, and brings what the creation does not take with a second call.
    pub(super) async fn make(&mut self, key: &Key) -> Result<()> {
        let Some(wanted) = self.after.get(key).cloned() else { return Ok(()) };
        let Some(row) = Row::of(&key.kind) else { return Err(super::unknown(&key.kind)) };
        let adopted = self.left_over(row, &wanted).await?;
        let made = match row.make {
            _ if adopted.is_some() => {
                Ok(adopted.map_or_else(|| Err(super::unknown(&key.kind)), Ok))
            }
            Make::Never => Ok(Err(Error::new(ErrorKind::Unsupported, "it is never made").on(key))),
            Make::Post | Make::Put => self.create(row, &wanted).await,
            Make::Own if row.kind == "rest_method" => return self.make_method(key, &wanted).await,
            Make::Own => self.create_resource(row, &wanted).await,
        };
        let node = match made? {
            Ok(node) => node,
            Err(error) => {
                self.refuse(key, error);
                return Ok(());
            }
        };
        self.done.insert(key.clone(), Effect::Created);
        self.seen(key, node.clone());
        if row.is_assigned() {
            self.checkpoint().await?;
        }
        if row.kind.starts_with("vpc_link") {
            self.wait_for(key, &node).await?;
        }
        let live = self.live.get(&node.resource.key).cloned().unwrap_or(node);
        if self.refused.is_none() && !self.same(&live, &wanted) && row.change != Change::Never {
            self.change(key, &live).await?;
            if self.refused.is_none() {
                self.done.insert(key.clone(), Effect::Created);
            }
        }
        Ok(())
    }

    /// What an earlier attempt made and never heard of: a root bears the step's mark, a nameless
    /// thing is told by its content.
    async fn left_over(&self, row: &'static Row, wanted: &Resolved) -> Result<Option<Node>> {
        if self.step.attempt == Attempt::First || !row.is_assigned() {
            return Ok(None);
        }
        if is_marked(row) {
            let marked = |node: &Node| {
                let mark = node.resource.document.text(&format!("/tags/{MARK}"));
                mark.is_some_and(|mark| mark == self.step.token)
            };
            return Ok(self.aws.roots(self.cx, row).await?.into_iter().find(marked));
        }
        let claimed: Vec<Key> = self.after.keys().map(|key| self.place(key)).collect();
        let parent = self.parent_of(&wanted.resource).map(|parent| parent.resource.key.clone());
        let fits = |node: &&Node| {
            node.row.kind == row.kind
                && node.resource.parent == parent
                && !claimed.contains(&node.resource.key)
                && !self.before.contains_key(&node.resource.key)
                && self.same(node, wanted)
        };
        Ok(self.live.values().find(fits).cloned())
    }

    async fn create(&self, row: &'static Row, wanted: &Resolved) -> Result<Told<Node>> {
        let (document, open) = self.resolved(wanted);
        let resource = &wanted.resource;
        let body = self.body(resource, &document).without(open).without(row.later);
        let parent = match &resource.parent {
            None => None,
            Some(key) => match self.parent_of(resource) {
                Some(parent) => Some(parent.clone()),
                None => return Ok(Err(Error::new(ErrorKind::NotFound, "it is not there").on(key))),
            },
        };
        let own = document.text(&format!("/{}", row.id)).unwrap_or_default().into_owned();
        let below = parent.as_ref().map(|parent| parent.address.clone()).unwrap_or_default();
        let list = list_at(row, &below);
        let mut path: Vec<&str> = list.iter().map(String::as_str).collect();
        let body = if is_marked(row) {
            let tags = body.get("/tags").unwrap_or("{}").to_owned();
            let mark = Value::from(self.step.token.as_str()).to_string();
            body.with_member("/tags", &tags)?.with_member(&format!("/tags/{MARK}"), &mark)?
        } else {
            body
        };
        let method = if row.make == Make::Put { Method::PUT } else { Method::POST };
        if row.make == Make::Put && row.told != table::Told::Alone {
            path.push(&own);
        }
        let mut call = Call::new(method, path).body(sent(row, &body)?);
        call.edge = row.kind == "rest_api"
            && document
                .get("/endpointConfiguration/types")
                .is_none_or(|types| types.contains("EDGE"));
        self.answered(row, parent.as_ref(), call).await
    }

    /// A resource is made below the one that its path names.
    async fn create_resource(&self, row: &'static Row, wanted: &Resolved) -> Result<Told<Node>> {
        let path = wanted.resource.document.text("/path").unwrap_or_default().into_owned();
        let (above, part) = path.rsplit_once('/').unwrap_or(("", &path));
        let above = if above.is_empty() { "/" } else { above };
        let parent = self.live.values().find(|node| {
            node.row.kind == row.kind
                && node.resource.document.text("/path").is_some_and(|p| p == above)
        });
        let id = parent.and_then(|node| node.address.last().cloned());
        let api = self.parent_of(&wanted.resource);
        let (Some(id), Some(api)) = (id, api.cloned()) else {
            return Ok(Err(
                Error::new(ErrorKind::NotFound, "the resource above is not there").on(above)
            ));
        };
        let below: Vec<&str> = api.address.iter().map(String::as_str).collect();
        let call = Call::new(Method::POST, below.into_iter().chain(["resources", &*id]));
        self.answered(row, Some(&api), call.body(json!({ "pathPart": part }).to_string())).await
    }

    /// One call whose answer is the thing.
    pub(super) async fn answered(
        &self,
        row: &'static Row,
        parent: Option<&Node>,
        call: Call<'_>,
    ) -> Result<Told<Node>> {
        let path = call.path.clone();
        let answer = self.aws.0.client.send(self.cx, call).await;
        let mut text = match settle(answer.and_then(crate::answer::Answer::text))? {
            Ok(text) => text,
            Err(error) => return Ok(Err(error)),
        };
        // Where the service says nothing but that it was done.
        if text.is_empty() {
            text = self.aws.0.client.get(self.cx, Call::get(path)).await?.text()?;
        }
        let document = Document::parse(&text)?.without(["/resourceMethods"]);
        node(row, parent, document).map(Ok)
    }

    /// Makes what is there as it shall be.
    pub(super) async fn change(&mut self, key: &Key, live: &Node) -> Result<()> {
        let Some(wanted) = self.after.get(key).cloned() else { return Ok(()) };
        let row = live.row;
        if row.kind == "rest_method" {
            return self.change_method(key, live, &wanted).await;
        }
        let (document, open) = self.resolved(&wanted);
        let new = self.body(&wanted.resource, &document).without(&open);
        let old = self.body(&wanted.resource, &live.resource.document).without(&open);
        let at = || live.address.iter().map(String::as_str);
        let call = match row.change {
            Change::Operations => {
                let operations = patch::operations(row, &old.to_value(), &new.to_value());
                (!operations.is_empty()).then(|| {
                    let body = json!({ "patchOperations": operations }).to_string();
                    Call::new(Method::PATCH, at()).body(body)
                })
            }
            Change::Members => {
                let members = patch::members(row, &old.to_value(), &new.to_value());
                let body = sent(row, &Document::from_value(&members.into())?)?;
                (body != "{}").then(|| Call::new(Method::PATCH, at()).body(body))
            }
            Change::Again => Some(Call::new(Method::PUT, at()).body(sent(row, &new)?)),
            Change::Never => {
                let error = Error::new(ErrorKind::Unsupported, "it cannot be changed").on(key);
                self.refuse(key, error);
                return Ok(());
            }
        };
        if let Some(call) = call {
            let parent =
                wanted.resource.parent.as_ref().and_then(|p| self.live.get(&self.place(p)));
            let parent = parent.cloned();
            match self.answered(row, parent.as_ref(), call).await? {
                Ok(node) => {
                    let kept = Node { address: live.address.clone(), ..node };
                    let kept = Node {
                        resource: gwbackup_core::model::Resource {
                            key: live.resource.key.clone(),
                            ..kept.resource
                        },
                        ..kept
                    };
                    self.live.insert(live.resource.key.clone(), kept);
                }
                Err(error) => {
                    self.refuse(key, error);
                    return Ok(());
                }
            }
        }
        if let Err(error) = self.tag(live, &old, &new).await? {
            self.refuse(key, error);
            return Ok(());
        }
        if row.kind == "portal"
            && let Err(error) = self.publish(live, &wanted).await?
        {
            self.refuse(key, error);
            return Ok(());
        }
        self.done.insert(key.clone(), Effect::Updated);
        Ok(())
    }

    /// Tags have calls of their own.
    async fn tag(&mut self, live: &Node, old: &Document, new: &Document) -> Result<Told<()>> {
        let tags = |document: &Document| -> Map<String, Value> {
            match document.to_value().get("tags") {
                Some(Value::Object(tags)) => tags.clone(),
                _ => Map::new(),
            }
        };
        let (old, new) = (tags(old), tags(new));
        let own = live.resource.document.text(&format!("/{}", live.row.arn));
        let arn = own.map_or_else(|| self.aws.arn(&live.address), Cow::into_owned);
        let second = live.address.first().is_some_and(|part| part == "v2");
        let path = || if second { vec!["v2", "tags", &*arn] } else { vec!["tags", &*arn] };
        let set: Map<String, Value> = new
            .iter()
            .filter(|(k, v)| old.get(*k) != Some(v))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        if !set.is_empty() {
            let method = if second { Method::POST } else { Method::PUT };
            let call = Call::new(method, path()).body(json!({ "tags": set }).to_string());
            if let Err(error) = self.plain(call).await? {
                return Ok(Err(error));
            }
        }
        let gone: Vec<&String> = old.keys().filter(|name| !new.contains_key(*name)).collect();
        if !gone.is_empty() {
            let mut call = Call::new(Method::DELETE, path());
            for name in &gone {
                call = call.query("tagKeys", name.as_str());
            }
            if let Err(error) = self.plain(call).await? {
                // A mark that stays does no harm, and whoever compares finds it.
                return if gone == [MARK] && set.is_empty() { Ok(Ok(())) } else { Ok(Err(error)) };
            }
        }
        if !(set.is_empty() && gone.is_empty())
            && let Some(node) = self.live.get_mut(&live.resource.key)
        {
            let text = Value::Object(new).to_string();
            node.resource.document = node.resource.document.with_member("/tags", &text)?;
        }
        Ok(Ok(()))
    }

    /// One call whose answer says nothing but that it was done.
    pub(super) async fn plain(&self, call: Call<'_>) -> Result<Told<()>> {
        let answer = self.aws.0.client.send(self.cx, call).await;
        settle(answer.and_then(crate::answer::Answer::success).map(drop))
    }

    /// Removes one thing; what is gone already is as it should be.
    pub(super) async fn remove(&self, node: &Node) -> Result<Told<()>> {
        let call = Call::new(Method::DELETE, node.address.iter().map(String::as_str));
        match self.plain(call).await? {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Ok(())),
            told => Ok(told),
        }
    }

    /// Waits until a link stands: nothing can use it before.
    async fn wait_for(&mut self, key: &Key, made: &Node) -> Result<()> {
        for _ in 0..LOOKS {
            let id = made.address.last().map(String::as_str).unwrap_or_default();
            let Some(node) = self.aws.root(self.cx, made.row, id).await? else { break };
            let status = ["/status", "/vpcLinkStatus"]
                .iter()
                .find_map(|at| node.resource.document.text(at).map(Cow::into_owned));
            self.live.insert(node.resource.key.clone(), node);
            match status.as_deref() {
                Some("AVAILABLE") => return Ok(()),
                Some("FAILED") => break,
                _ => rest(self.cx, LOOK).await?,
            }
        }
        let error = Error::new(ErrorKind::Refused, "the link does not become available").on(key);
        self.refuse(key, error);
        Ok(())
    }
}

/// The tag that a root has until it is known to have been made.
const MARK: &str = "gwbackup-step";

/// Whether a new one would be lost with the answer to its creation.
fn is_marked(row: &Row) -> bool {
    row.parent.is_empty() && row.is_assigned()
}

/// What is said, where that differs from what is read.
fn sent(row: &Row, body: &Document) -> Result<String> {
    let renamed = |from: &str, to: &str| -> Result<Document> {
        match body.get(&format!("/{from}")) {
            Some(value) => body.without([format!("/{from}")]).with_member(&format!("/{to}"), value),
            None => Ok(body.clone()),
        }
    };
    let body = match row.kind {
        "rest_documentation_version" => renamed("version", "documentationVersion")?,
        "usage_plan_key" => {
            let keyed = renamed("id", "keyId")?;
            let kind = keyed.get("/type").unwrap_or("\"API_KEY\"").to_owned();
            keyed.without(["/type"]).with_member("/keyType", &kind)?
        }
        "rest_gateway_response" => body.without(["/responseType"]),
        "portal" => portal::sent(body)?,
        // What is shown may have been derived; from now on it is said.
        "product_rest_endpoint_page" => match body.get("/displayContent") {
            Some(shown) => {
                body.with_member("/displayContent", &format!("{{\"overrides\":{shown}}}"))?
            }
            None => body.clone(),
        },
        _ => body.clone(),
    };
    Ok(body.as_str().to_owned())
}
