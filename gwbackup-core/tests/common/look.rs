//! Readers of the tests' own: what a gateway holds, what a backup holds, what a copy holds.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use futures_util::TryStreamExt as _;
use gwbackup_core::catalog::RecoveryPoint;
use gwbackup_core::repository::BackupInfo;
use gwbackup_core::sink::{Listed, MemorySink, Sink as _};
use gwbackup_core::testing::MemoryGateway;
use gwbackup_core::{Context, Repository};

/// Documents by key.
pub type Content = BTreeMap<String, String>;

/// What the gateway holds now.
pub fn gateway(gateway: &MemoryGateway) -> Content {
    let resources = gateway.resources().into_iter();
    resources.map(|r| (r.key.to_string(), r.document.as_str().to_owned())).collect()
}

/// What the backup holds.
pub async fn backup(
    cx: &Context,
    repository: &Repository,
    backup: &BackupInfo,
) -> gwbackup_core::Result<Content> {
    let found = Arc::new(Mutex::new(Content::new()));
    let into = Arc::clone(&found);
    let view = repository.view(cx, backup).await?;
    view.each(&[], move |_, r| {
        let twin = into.lock().unwrap().insert(r.key.to_string(), r.document.as_str().to_owned());
        assert!(twin.is_none(), "{} came twice", r.key);
        true
    })
    .await?;
    let found = found.lock().unwrap().clone();
    Ok(found)
}

/// Every object on a copy, with its bytes.
pub async fn objects(cx: &Context, sink: &MemorySink) -> BTreeMap<String, Vec<u8>> {
    let listed: Vec<Listed> = sink.list(cx, "").try_collect().await.unwrap();
    let mut objects = BTreeMap::new();
    for item in listed {
        let Listed::Object(meta) = item else { panic!("a foreign name") };
        let bytes = sink.get(cx, &meta.name, None).await.unwrap();
        objects.insert(meta.name.as_str().to_owned(), bytes.to_vec());
    }
    objects
}

/// Names on a copy that belong to backups and to none of these.
pub async fn left_over(cx: &Context, sink: &MemorySink, listed: &[BackupInfo]) -> Vec<String> {
    let own = |p: &RecoveryPoint| p.facts.archive.clone();
    let archives: Vec<String> = listed.iter().map(|b| own(b.point())).collect();
    let names = objects(cx, sink).await.into_keys();
    names
        .filter(|name| {
            ["data/", "keys/archive/", "keys/secrets/"].iter().any(|p| name.starts_with(p))
        })
        .filter(|name| {
            !archives.iter().any(|a| name.contains(&format!(".{}.", &a[..8])) || name.contains(a))
        })
        .collect()
}
