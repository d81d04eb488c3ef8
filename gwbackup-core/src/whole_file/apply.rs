//! The one step of a restore: compare, then replace.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::{StreamExt as _, future};
use tokio::sync::mpsc;

use super::FileGateway;
use super::place::{Digest, moved};
use super::read::{BATCHES, Batch};
use crate::crypt::{Fingerprint, fingerprint};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{
    Action, Attempt, Description, Effect, Key, Outcome, Resource, Rules, Scope, Side, Step,
    StepReceipt, absent_places,
};
use crate::target::States;
use crate::task::blocking;

pub(super) async fn apply(
    gateway: &FileGateway,
    description: &Description,
    step: &Step,
    states: &dyn States,
) -> Result<StepReceipt> {
    let rules = Rules::new(Arc::clone(&description.schema));
    let first = step.attempt == Attempt::First;
    let before = if first { compare(gateway, &rules, states, Side::Before).await? } else { None };
    if before.is_none() {
        if compare(gateway, &rules, states, Side::After).await?.is_some() {
            return Ok(receipt(step, |_| Effect::AlreadyThere));
        }
        if first {
            return Err(moved());
        }
    }
    let this = gateway.clone();
    feed(states, Side::After, move |resources| {
        let format = this.style()?;
        this.place.replace(before, |out| format.write(resources, out))
    })
    .await?;
    Ok(receipt(step, |action| match action {
        Action::Create => Effect::Created,
        Action::Delete => Effect::Deleted,
        Action::Undelete => Effect::Undeleted,
        Action::Update | Action::Replace | Action::Reset => Effect::Updated,
    }))
}

fn receipt(step: &Step, effect: impl Fn(Action) -> Effect) -> StepReceipt {
    let outcomes = step.changes.iter().map(|change| Outcome {
        there: change.there.clone(),
        ..Outcome::new(change.key.clone(), effect(change.action))
    });
    StepReceipt { outcomes: outcomes.collect() }
}

/// What is expected of one resource.
struct Expected {
    content: Fingerprint,
    /// Pointers whose value is not here, so that nothing can be expected of them.
    absent: Option<Box<[String]>>,
}

/// The content of the file, if it holds exactly the state of that side.
///
/// Keeps digests alone, so that a million resources fit.
async fn compare(
    gateway: &FileGateway,
    rules: &Rules,
    states: &dyn States,
    side: Side,
) -> Result<Option<Digest>> {
    let mut expected = HashMap::new();
    let mut state = states.read(side, &Scope::everything());
    while let Some(resolved) = state.next().await {
        let resource = resolved?.resource;
        let absent: Vec<String> = absent_places(&resource).map(str::to_owned).collect();
        let content = content(rules, &resource, &absent);
        let absent = (!absent.is_empty()).then(|| absent.into_boxed_slice());
        expected.insert(name(&resource.key), Expected { content, absent });
    }
    let (gateway, rules) = (gateway.clone(), rules.clone());
    blocking(move || {
        let mut equal = true;
        let digest = gateway.resources(&mut |resource| {
            let same = expected.remove(&name(&resource.key)).is_some_and(|expected| {
                let absent = expected.absent.as_deref().unwrap_or_default();
                content(&rules, &resource, absent) == expected.content
            });
            equal &= same;
            Ok(())
        })?;
        Ok((equal && expected.is_empty()).then_some(digest))
    })
    .await
}

fn name(key: &Key) -> Fingerprint {
    fingerprint([key.kind.as_str().as_bytes(), key.id.as_str().as_bytes()])
}

fn content(rules: &Rules, resource: &Resource, absent: &[String]) -> Fingerprint {
    let document = rules.comparable(resource, &[], absent);
    let attached = resource.attachments.iter().flat_map(|attachment| {
        [attachment.name.as_bytes(), attachment.media_type.as_bytes(), &attachment.bytes]
    });
    fingerprint(std::iter::once(document.as_str().as_bytes()).chain(attached))
}

enum Fed {
    Some(Batch),
    Broken(Error),
    /// Everything came. A channel that ends without it was dropped on the way.
    All,
}

/// Runs `work` on a thread with the resources of one side, sorted by key.
pub(super) async fn feed<T: Send + 'static>(
    states: &dyn States,
    side: Side,
    work: impl FnOnce(&mut dyn Iterator<Item = Result<Resource>>) -> Result<T> + Send + 'static,
) -> Result<T> {
    let (sender, mut receiver) = mpsc::channel(BATCHES);
    let worker = blocking(move || {
        let mut batch = Vec::new().into_iter();
        let mut ended = false;
        let mut resources = std::iter::from_fn(move || {
            while !ended {
                if let Some(resource) = batch.next() {
                    return Some(Ok(resource));
                }
                match receiver.blocking_recv() {
                    Some(Fed::Some(next)) => batch = next.items.into_iter(),
                    Some(Fed::All) => ended = true,
                    Some(Fed::Broken(error)) => {
                        ended = true;
                        return Some(Err(error));
                    }
                    None => {
                        ended = true;
                        let message = "the step was dropped while it ran";
                        return Some(Err(Error::new(ErrorKind::Cancelled, message)));
                    }
                }
            }
            None
        });
        work(&mut resources)
    });
    let ((), done) = future::join(pump(states, side, sender), worker).await;
    done
}

/// Sends everything on, or until the other end has enough; its result says why.
async fn pump(states: &dyn States, side: Side, sender: mpsc::Sender<Fed>) {
    let mut batch = Batch::default();
    let mut state = states.read(side, &Scope::everything());
    while let Some(resolved) = state.next().await {
        let fed = match resolved.map(|resolved| batch.push(resolved.resource)) {
            Ok(None) => continue,
            Ok(Some(full)) => Fed::Some(full),
            Err(error) => {
                // Nothing follows an error, so its fate shows in the worker's result alone.
                let _ = sender.send(Fed::Broken(error)).await;
                return;
            }
        };
        if sender.send(fed).await.is_err() {
            return;
        }
    }
    if sender.send(Fed::Some(batch)).await.is_ok() {
        let _ = sender.send(Fed::All).await;
    }
}
