//! A method with its integration and responses: one thing to people, up to a dozen calls.

use gwbackup_core::model::{Effect, Key, Resolved};
use gwbackup_core::{Error, Result};
use reqwest::Method;
use serde_json::{Map, Value};

use super::{Told, Work};
use crate::client::Call;
use crate::read::{Node, node};
use gwbackup_core::error::ErrorKind;
use gwbackup_core::model::Document;

impl Work<'_> {
    /// Makes it by its calls. Nothing serves it before it is deployed, so that a half is no harm.
    pub(super) async fn make_method(&mut self, key: &Key, wanted: &Resolved) -> Result<()> {
        let Some(resource) = self.parent_of(&wanted.resource).cloned() else {
            self.refuse(key, Error::new(ErrorKind::NotFound, "its resource is not there").on(key));
            return Ok(());
        };
        let (document, open) = self.resolved(wanted);
        let body = self.body(&wanted.resource, &document).without(open);
        let Value::Object(mut method) = body.to_value() else {
            return Err(Error::invalid("a method is an object").on(key));
        };
        let verb = method.remove("httpMethod");
        let verb = verb.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut at = resource.address.clone();
        at.extend(["methods".to_owned(), verb]);
        match self.put_method(&at, method).await? {
            Ok(()) => {}
            Err(error) => {
                self.refuse(key, error);
                return Ok(());
            }
        }
        let Some(row) = crate::table::Row::of(&key.kind) else { return Ok(()) };
        let call = Call::get(at.iter().map(String::as_str));
        let text = self.aws.0.client.get(self.cx, call).await?.text()?;
        let made = node(row, Some(&resource), Document::parse(&text)?)?;
        self.done.entry(key.clone()).or_insert(Effect::Created);
        self.live.insert(made.resource.key.clone(), made);
        Ok(())
    }

    /// A method cannot be put over another: the old one goes first. Nothing serves it meanwhile but
    /// what is deployed, and that stays.
    pub(super) async fn change_method(
        &mut self,
        key: &Key,
        live: &Node,
        wanted: &Resolved,
    ) -> Result<()> {
        if let Err(error) = self.remove(live).await? {
            self.refuse(key, error);
            return Ok(());
        }
        self.live.remove(&live.resource.key);
        self.done.insert(key.clone(), Effect::Updated);
        self.make_method(key, wanted).await
    }

    async fn put_method(&self, at: &[String], mut method: Map<String, Value>) -> Result<Told<()>> {
        let responses = taken(&mut method, "methodResponses");
        let integration = match method.remove("methodIntegration") {
            Some(Value::Object(integration)) => Some(integration),
            _ => None,
        };
        if let Err(error) = self.put(at, &[], method).await? {
            return Ok(Err(error));
        }
        for (code, response) in responses {
            if let Err(error) = self.put(at, &["responses", &code], coded(response)).await? {
                return Ok(Err(error));
            }
        }
        let Some(mut integration) = integration else { return Ok(Ok(())) };
        let responses = taken(&mut integration, "integrationResponses");
        if let Err(error) = self.put(at, &["integration"], integration).await? {
            return Ok(Err(error));
        }
        for (code, response) in responses {
            let path = ["integration", "responses", &code];
            if let Err(error) = self.put(at, &path, coded(response)).await? {
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    }

    async fn put(
        &self,
        at: &[String],
        more: &[&str],
        body: Map<String, Value>,
    ) -> Result<Told<()>> {
        let path = at.iter().map(String::as_str).chain(more.iter().copied());
        self.plain(Call::new(Method::PUT, path).body(Value::Object(body).to_string())).await
    }
}

/// The entries of a member, which is taken out.
fn taken(object: &mut Map<String, Value>, member: &str) -> Map<String, Value> {
    match object.remove(member) {
        Some(Value::Object(entries)) => entries,
        _ => Map::new(),
    }
}

/// A response without its code, which stands in the address.
fn coded(response: Value) -> Map<String, Value> {
    let Value::Object(mut response) = response else { return Map::new() };
    response.remove("statusCode");
    response
}
