//! Asking for secrets that the backup does not hold, or that shall be others.

use std::fmt::Debug;

use async_trait::async_trait;
use futures_util::StreamExt as _;

use super::desired::Desired;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::model::{Key, Member, Resource, Rules, Secret, Supplied, secret_places};
use crate::task::streaming;

/// Knows secrets for a restore: a file, a vault, a person who is asked.
#[async_trait]
pub trait SecretProvider: Debug + Send + Sync + 'static {
    /// The secret for the value at this JSON pointer of a resource; `None` to leave what the backup
    /// has. It is written as a JSON string, as it is: no mapping reads it.
    ///
    /// Asked once for each place that is secret or whose value the backup does not have, in the
    /// order of keys; by the key that the plan shows, and where a mapping changed that, for want of
    /// an answer by the backup's. An error ends the planning. Changes nothing; safe to drop.
    async fn secret(&self, cx: &Context, key: &Key, pointer: &str) -> Result<Option<Secret>>;
}

/// Everything that a provider knows about what the restore wants. `Invalid` for a secret where the
/// target takes a hash as it is: written there, it would let nobody in.
pub(crate) async fn ask(
    cx: &Context,
    provider: &dyn SecretProvider,
    desired: &Desired,
    rules: &Rules,
) -> Result<Supplied> {
    let snapshot = desired.snapshot();
    let hashed = {
        let rules = rules.clone();
        move |resource: &Resource| {
            let here = |is: fn(&Member) -> bool| rules.members(resource, is);
            let made = here(|m| matches!(m, Member::Unreadable | Member::UnreadableIf { .. }));
            let mut kept = here(|m| matches!(m, Member::Salted { .. }));
            kept.retain(|at| !made.contains(at));
            kept
        }
    };
    let mut places = Box::pin(streaming(cx, 16, move |outlet| {
        for resource in snapshot.scan()? {
            let resource = resource?;
            let places: Vec<String> = secret_places(&resource).map(str::to_owned).collect();
            if !places.is_empty() {
                let hashed = hashed(&resource);
                outlet.put(vec![(resource.key, places, hashed)])?;
            }
        }
        Ok(())
    }));
    let mut supplied = Supplied::default();
    while let Some(found) = places.next().await {
        let (key, pointers, hashed) = found?;
        let original = desired.original(&key);
        for pointer in pointers {
            let mut secret = provider.secret(cx, &key, &pointer).await?;
            if secret.is_none() && original != key {
                secret = provider.secret(cx, &original, &pointer).await?;
            }
            if let Some(secret) = secret {
                if hashed.contains(&pointer) {
                    return Err(Error::invalid("this target takes a hash there, as it is")
                        .on(format!("{key}#{pointer}"))
                        .help("leave it out: the backup's hash comes back by itself"));
                }
                supplied.insert(key.clone(), pointer, secret);
            }
        }
    }
    Ok(supplied)
}
