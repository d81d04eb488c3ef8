//! A double, a node that speaks to it, and what was read.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use futures_util::StreamExt as _;
use gwbackup_core::connect::Settings;
use gwbackup_core::model::{Captured, Cause, Description, Gap, Key, Resource, Scope};
use gwbackup_core::source::Source;
use gwbackup_core::testing::ManualClock;
use gwbackup_core::{Context, Result};
use gwbackup_kong::KongAdmin;
use gwbackup_kong::testing::KongDouble;
use serde_json::Value;
use url::Url;

/// A context in which waiting takes no time.
pub(crate) fn quick() -> Context {
    Context::new().with_clock(Arc::new(ManualClock::auto("2026-11-20T12:00:00Z".parse().unwrap())))
}

/// The double's address with this query.
pub(crate) fn address(kong: &KongDouble, query: &str) -> Url {
    Url::parse(&format!("kong+{}{query}", kong.url())).unwrap()
}

pub(crate) fn admin_of(kong: &KongDouble, query: &str) -> KongAdmin {
    KongAdmin::new(&address(kong, query), &Settings::new()).unwrap()
}

pub(crate) fn admin(kong: &KongDouble) -> KongAdmin {
    admin_of(kong, "")
}

pub(crate) fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    std::fs::read_to_string(path).unwrap()
}

/// The recorded state: 103 entities of 19 kinds, hashes as they are.
pub(crate) fn fill(kong: &KongDouble) {
    kong.load(&fixture("10-state.json")).unwrap();
}

/// What one read gave; what was taken back is not in it.
#[derive(Debug, Default)]
pub(crate) struct Content {
    pub(crate) resources: BTreeMap<Key, Resource>,
    pub(crate) gaps: Vec<Gap>,
    /// Resources that were given a second time without having been taken back.
    pub(crate) twice: Vec<Key>,
    pub(crate) withdrawn: usize,
}

impl Content {
    /// Documents of one kind.
    pub(crate) fn of(&self, kind: &str) -> Vec<Value> {
        let of_kind = self.resources.iter().filter(|(key, _)| key.kind.as_str() == kind);
        of_kind.map(|(_, resource)| resource.document.to_value()).collect()
    }

    /// Gaps, but for what the node does not have at all.
    pub(crate) fn lacks(&self) -> Vec<(&str, Cause)> {
        self.gaps
            .iter()
            .filter(|gap| gap.cause != Cause::NotOffered)
            .map(|gap| (gap.kind.as_ref().map_or("", |kind| kind.as_str()), gap.cause))
            .collect()
    }
}

pub(crate) async fn described(admin: &KongAdmin, cx: &Context) -> Result<Description> {
    admin.describe(cx).await
}

pub(crate) async fn read(admin: &KongAdmin, cx: &Context) -> Result<Content> {
    read_scope(admin, cx, &Scope::everything()).await
}

pub(crate) async fn read_scope(admin: &KongAdmin, cx: &Context, scope: &Scope) -> Result<Content> {
    let description = described(admin, cx).await?;
    let mut content = Content::default();
    let mut stream = admin.read(cx, &description, scope, None);
    while let Some(item) = stream.next().await {
        match item? {
            Captured::Resource(resource) => {
                let key = resource.key.clone();
                if content.resources.insert(key.clone(), resource).is_some() {
                    content.twice.push(key);
                }
            }
            Captured::Withdrawn(key) => {
                content.withdrawn += 1;
                content.resources.remove(&key);
            }
            Captured::Gap(gap) => content.gaps.push(gap),
            other => panic!("{other:?}"),
        }
    }
    Ok(content)
}
