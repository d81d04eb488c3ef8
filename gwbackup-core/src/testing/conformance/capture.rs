//! Reading a gateway for the suites.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::StreamExt;

use crate::context::Context;
use crate::error::Result;
use crate::model::{Captured, Description, Document, Gap, Key, Resource, Rules, Scope};
use crate::source::{Known, Source};

pub(super) fn good<T>(result: Result<T>, promise: &str) -> T {
    result.unwrap_or_else(|error| panic!("{promise}: {error:?}"))
}

pub(super) async fn described(source: &dyn Source, cx: &Context) -> Description {
    good(source.describe(cx).await, "a gateway can be described")
}

/// What a read gave, duplicates folded.
#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) resources: BTreeMap<Key, Resource>,
    pub(super) same: Vec<Key>,
    pub(super) gaps: Vec<Gap>,
}

impl Content {
    /// Keys and what of the documents does not move by itself.
    pub(super) fn stable(&self, rules: &Rules) -> BTreeMap<Key, Document> {
        let stable = |r: &Resource| (r.key.clone(), rules.stable(&r.key.kind, &r.document));
        self.resources.values().map(stable).collect()
    }
}

/// Panics with the promise and the first keys at which two contents differ; shows no document.
pub(super) fn alike(a: &BTreeMap<Key, Document>, b: &BTreeMap<Key, Document>, promise: &str) {
    let keys: BTreeSet<&Key> = a.keys().chain(b.keys()).collect();
    let differ: Vec<String> = keys
        .into_iter()
        .filter(|key| a.get(key) != b.get(key))
        .take(5)
        .map(ToString::to_string)
        .collect();
    assert!(differ.is_empty(), "{promise}; see {}", differ.join(", "));
}

pub(super) async fn read(
    source: &dyn Source,
    cx: &Context,
    description: &Description,
    scope: &Scope,
    known: Option<Arc<dyn Known>>,
) -> Content {
    let mut content = Content::default();
    let mut stream = source.read(cx, description, scope, known);
    while let Some(item) = stream.next().await {
        match good(item, "a gateway can be read") {
            Captured::Resource(resource) => {
                content.resources.insert(resource.key.clone(), resource);
            }
            Captured::Withdrawn(key) => drop(content.resources.remove(&key)),
            Captured::Same(key) => content.same.push(key),
            Captured::SoftDeleted { .. } => {}
            Captured::Gap(gap) => content.gaps.push(gap),
        }
    }
    content
}

pub(super) async fn read_all(source: &dyn Source, cx: &Context, d: &Description) -> Content {
    read(source, cx, d, &Scope::everything(), None).await
}
