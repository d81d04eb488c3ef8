//! From a gateway to a sealed spool that stands on no copy yet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use uuid::Uuid;

use super::{BackupOptions, Base, Task, announce, capture, write};
use crate::archive::{
    ArchiveIds, ArchiveType, BaseRef, CaptureWindow, Details, Expected, Part, Sealed, View,
};
use crate::catalog::BackupFacts;
use crate::clock::Timestamp;
use crate::context::Context;
use crate::crypt::{DataKey, StateDigest, Suite, hex};
use crate::error::{Error, Result};
use crate::model::{Cause, Description, Key, Revision, Schema};
use crate::sink::{Spool, blocking};
use crate::source::Source;
use crate::vault::Vault;

/// A capture that is sealed in a spool and stands on no copy yet.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) backup: Uuid,
    pub(super) archive: [u8; 16],
    pub(super) spool: Spool,
    pub(super) sealed: Sealed,
    pub(super) dek: DataKey,
    pub(super) sdek: DataKey,
    pub(super) suite: Suite,
    pub(crate) details: Details,
    pub(super) base: Option<BaseRef>,
    base_part: Option<Part>,
    pub(super) kind: String,
    pub(super) started: Timestamp,
    pub(super) ended: Timestamp,
    pub(crate) soft_deleted: BTreeSet<Key>,
    pub(crate) revision: Option<Revision>,
}

impl Prepared {
    /// The capture as a snapshot.
    pub(crate) async fn view(&self, vault: &Vault) -> Result<Arc<View>> {
        let expected = Expected {
            size: self.sealed.size,
            repository: *vault.id().as_bytes(),
            archive: self.archive,
            backup: self.backup,
        };
        let dek = DataKey::new(*self.dek.expose());
        let sdek = DataKey::new(*self.sdek.expose());
        let own = Part::new(self.spool.clone(), expected, dek, Some(sdek));
        let base = self.base_part.clone();
        blocking(move || View::open(own, base).map(Arc::new)).await
    }

    /// Says that the backup begins: before anything of it is stored.
    pub(crate) async fn announce(&self, vault: &Vault, cx: &Context) -> Result<()> {
        announce(vault, cx, self.backup, self.facts(0)).await
    }

    pub(super) fn is_complete(&self) -> bool {
        self.details.gaps.iter().all(|gap| gap.cause == Cause::NotOffered)
    }

    pub(super) fn facts(&self, required: usize) -> BackupFacts {
        BackupFacts {
            name: self.details.name.clone(),
            application: self.details.application.clone(),
            environment: self.details.environment.clone(),
            kind: self.kind.clone(),
            archive: hex::encode(&self.archive),
            base: self.base.as_ref().map(|base| base.backup),
            deadline: None,
            capture: None,
            copies: Vec::new(),
            required: u32::try_from(required).unwrap_or(u32::MAX),
            resources: self.details.resources,
            size: self.sealed.size,
        }
    }
}

/// Captures and seals into a spool.
pub(crate) async fn prepare(
    vault: &Vault,
    cx: &Context,
    source: &Arc<dyn Source>,
    description: &Description,
    options: &BackupOptions,
    task: Task,
    base: Option<Base>,
) -> Result<Prepared> {
    let reading = {
        let known = base.as_ref().and_then(Base::known);
        let options = capture::CaptureOptions {
            only: options.only.clone(),
            without_secrets: options.without_secrets,
            known,
        };
        capture::read(cx, source, description, &vault.spool, &options).await?
    };
    let ended = cx.now();
    let details = details(cx, source.as_ref(), description, options, &task, &reading)?;
    let suite = vault.trust.current().suite;
    let base_ref = base.as_ref().map(|base| BaseRef {
        backup: base.found.manifest.backup,
        archive: base.found.manifest.archive.id.clone(),
        sha256: base.found.manifest.archive.sha256.clone(),
    });
    let ids = ArchiveIds {
        repository: *vault.id().as_bytes(),
        backup: task.backup,
        archive: task.archive,
        base: base_ref.as_ref().map(|base| base.backup),
        kind: if base.is_some() { ArchiveType::Incremental } else { ArchiveType::Full },
    };
    let (dek, sdek) = (DataKey::generate()?, DataKey::generate()?);
    let digest = StateDigest::new(&vault.digest_key)?;
    let padding = vault.trust.current().padding;
    let schema: Arc<Schema> = Arc::clone(&description.schema);
    let (cx, spool) = (cx.clone(), vault.spool.clone());
    let soft_deleted = reading.soft_deleted.clone();
    let revision = reading.revision.clone();
    let view = base.as_ref().map(|base| Arc::clone(&base.view));
    let (dek, sdek, written) = blocking(move || {
        let writing = write::Writing {
            ids,
            suite,
            padding,
            dek: &dek,
            sdek: &sdek,
            digest,
            base: view.as_deref(),
            schema: &schema,
        };
        let written = write::write(&cx, writing, reading, details, &spool)?;
        Ok((dek, sdek, written))
    })
    .await?;
    let (spool, sealed, details) = written;
    Ok(Prepared {
        backup: task.backup,
        archive: task.archive,
        spool,
        sealed,
        dek,
        sdek,
        suite,
        details,
        base: base_ref,
        base_part: base.map(|base| base.part),
        kind: task.kind,
        started: task.started,
        ended,
        soft_deleted,
        revision,
    })
}

fn details(
    cx: &Context,
    source: &dyn Source,
    description: &Description,
    options: &BackupOptions,
    task: &Task,
    reading: &capture::Reading,
) -> Result<Details> {
    Ok(Details {
        name: task.name.clone(),
        application: options.application.clone(),
        environment: options.environment.clone(),
        tags: options.tags.clone(),
        description: options.description.clone(),
        reason: cx.reason().map(str::to_owned),
        actor: cx.actor().to_owned(),
        gateway: source.address(),
        handles: description.handles.clone(),
        product: description.product.clone(),
        version: description.version.clone(),
        kinds: BTreeMap::new(),
        resources: 0,
        bytes: 0,
        gaps: Vec::new(),
        secrets: 0,
        without_secrets: options.without_secrets,
        state_digest: String::new(),
        schema_digest: schema_digest(&description.schema)?,
        id_scheme: description.schema.id_scheme,
        window: CaptureWindow {
            consistency: if reading.consistent { "consistent" } else { "fuzzy" }.to_owned(),
            passes: reading.passes,
        },
        why_full: task.why_full.clone(),
        software: concat!("gwbackup ", env!("CARGO_PKG_VERSION")).to_owned(),
    })
}

fn schema_digest(schema: &Schema) -> Result<String> {
    use sha2::{Digest as _, Sha256};
    let bytes = serde_json::to_vec(schema)
        .map_err(|_| Error::invalid("the gateway's schema cannot be written"))?;
    Ok(hex::encode(&Sha256::digest(bytes)))
}
