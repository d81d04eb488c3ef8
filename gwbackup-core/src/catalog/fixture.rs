//! What the tests of this module share.

use std::sync::Arc;

use super::{
    CopyEntry, CopyId, EventDraft, EventKind, EventOutcome, MemoryCatalog, Role, Trust,
    TrustDocument,
};
use crate::context::Context;
use crate::crypt::{DataKey, SeedSigner, Signer, SmallSeal, Suite};

pub(crate) fn signer(byte: u8) -> SeedSigner {
    SeedSigner::new(&DataKey::new([byte; 32]))
}

/// The signer with every role.
pub(crate) fn writer() -> Arc<dyn Signer> {
    Arc::new(signer(2))
}

/// The signer that may write and nothing else.
pub(crate) fn plain_writer() -> Arc<dyn Signer> {
    Arc::new(signer(4))
}

pub(crate) async fn trust() -> Arc<Trust> {
    let copies = (1..=3)
        .map(|byte| CopyEntry { id: CopyId::new([byte; 16]), medium: None, site: None })
        .collect();
    let (root, writer, plain) = (signer(1).public(), signer(2).public(), signer(4).public());
    let mut document =
        TrustDocument::first(root, writer, vec![], Suite::Aes256Gcm, copies).unwrap();
    let mut entry = document.signers[0].clone();
    (entry.id, entry.public, entry.roles) = (plain.id(), plain, vec![Role::Write]);
    document.signers.push(entry);
    Arc::new(Trust::create(&Context::new(), &document, &signer(1)).await.unwrap())
}

pub(crate) fn seal(trust: &Trust) -> Arc<SmallSeal> {
    let repository = *trust.repository().as_bytes();
    Arc::new(SmallSeal::new(repository, Suite::Aes256Gcm, 1, DataKey::new([7; 32])))
}

pub(crate) fn draft(text: &str) -> EventDraft {
    draft_of(EventKind::VERIFY, text)
}

pub(crate) fn draft_of(kind: EventKind, text: &str) -> EventDraft {
    let cx = Context::new().with_actor("tester");
    EventDraft::new(&cx, kind, "backup", "b1", EventOutcome::Success).unwrap().text(text)
}

pub(crate) async fn memory() -> MemoryCatalog {
    let trust = trust().await;
    let seal = seal(&trust);
    MemoryCatalog::new(trust, writer(), seal)
}
