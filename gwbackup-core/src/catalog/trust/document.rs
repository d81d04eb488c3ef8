//! What a trust document says.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::catalog::CopyId;
use crate::crypt::{PublicKey, Recipient, SignerId, Suite, hex, random};
use crate::error::{Error, Result};

const MAX_RECIPIENTS: usize = 32;
const MAX_KEYS: usize = 256;

/// Who may do what in a repository, and where it lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustDocument {
    /// 1, 2, ...
    pub number: u64,
    /// Digest of the document before; none in document 1.
    pub previous: Option<String>,
    /// 32 random bytes, hex: only in document 1, makes its digest unique.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    /// Who may change this document.
    pub roots: Roots,
    /// Who signs events, manifests and wraps.
    pub signers: Vec<SignerEntry>,
    /// For whom keys are wrapped.
    pub recipients: Vec<Recipient>,
    /// How new objects are sealed.
    pub suite: Suite,
    /// Whether new archives hide their exact size.
    pub padding: bool,
    /// The places.
    pub copies: Vec<CopyEntry>,
    /// The place that orders the log.
    pub home: Home,
}

/// The owner's keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roots {
    /// How many of them must sign.
    pub threshold: u32,
    /// The keys.
    pub keys: Vec<PublicKey>,
}

/// One signer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignerEntry {
    /// Its name, derived from the key.
    pub id: SignerId,
    /// Its key.
    pub public: PublicKey,
    /// What it may do.
    pub roles: Vec<Role>,
    /// Whether it still may.
    pub state: SignerState,
    /// For a revoked one: the last event that counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Until>,
}

/// What a signer may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything, and change recipients, copies and home.
    Admin,
    /// Back up and restore.
    Write,
    /// Delete, abandon, destroy keys.
    Delete,
}

/// Whether a signer may still sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignerState {
    /// Yes.
    Active,
    /// No more; what it signed stays valid.
    Retired,
    /// No, and what it signed counts only up to [`SignerEntry::until`].
    Revoked,
}

/// A position in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Until {
    /// Number of the event.
    pub seq: u64,
    /// Its digest, hex.
    pub digest: String,
}

/// One place of the repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyEntry {
    /// Its id, as its mark says.
    pub id: CopyId,
    /// What it is made of, compared for equality only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub medium: Option<String>,
    /// Where it stands, compared for equality only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
}

/// The place that orders the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Home {
    /// The copy.
    pub copy: CopyId,
    /// The first event that it orders.
    pub from_seq: u64,
}

impl TrustDocument {
    /// Document 1 of a new repository: one root, one signer with every role, home on the first of
    /// `copies`, padding on. `Invalid` for what [`Trust`](super::Trust) would refuse.
    pub fn first(
        root: PublicKey,
        signer: PublicKey,
        recipients: Vec<Recipient>,
        suite: Suite,
        copies: Vec<CopyEntry>,
    ) -> Result<Self> {
        let home = copies.first().ok_or_else(|| Error::invalid("a repository needs a copy"))?.id;
        let document = Self {
            number: 1,
            previous: None,
            nonce: Some(hex::encode(&random::<32>()?)),
            roots: Roots { threshold: 1, keys: vec![root] },
            signers: vec![SignerEntry {
                id: signer.id(),
                public: signer,
                roles: vec![Role::Admin, Role::Write, Role::Delete],
                state: SignerState::Active,
                until: None,
            }],
            recipients,
            suite,
            padding: true,
            copies,
            home: Home { copy: home, from_seq: 1 },
        };
        match document.flaw() {
            None => Ok(document),
            Some(flaw) => Err(Error::invalid(flaw)),
        }
    }

    /// What contradicts itself in it.
    pub(super) fn flaw(&self) -> Option<&'static str> {
        let distinct = |n: usize, set: usize| n == set && n <= MAX_KEYS;
        let roots: BTreeSet<_> = self.roots.keys.iter().collect();
        let signers: BTreeSet<_> = self.signers.iter().map(|s| s.id).collect();
        let copies: BTreeSet<_> = self.copies.iter().map(|c| c.id).collect();
        let recipients: BTreeSet<_> = self.recipients.iter().map(|r| (&r.id, r.version)).collect();
        let threshold = usize::try_from(self.roots.threshold).unwrap_or(usize::MAX);
        let nonce = self.nonce.as_deref().map(hex::decode::<32>);
        let first = self.number == 1;
        if !distinct(self.roots.keys.len(), roots.len()) || !(1..=roots.len()).contains(&threshold)
        {
            Some("the roots are doubled, or fewer than their threshold")
        } else if !distinct(self.signers.len(), signers.len())
            || self.signers.iter().any(|s| s.id != s.public.id())
        {
            Some("a signer is doubled, or named unlike its key")
        } else if self.signers.iter().any(|s| s.state == SignerState::Revoked && s.until.is_none())
        {
            Some("a revoked signer has no last event")
        } else if recipients.len() != self.recipients.len() || recipients.len() > MAX_RECIPIENTS {
            Some("a recipient is doubled, or there are more than 32")
        } else if !distinct(self.copies.len(), copies.len()) || !copies.contains(&self.home.copy) {
            Some("a copy is doubled, or the home is none of them")
        } else if self.number == 0
            || first != self.previous.is_none()
            || first != matches!(nonce, Some(Some(_)))
        {
            Some("number, predecessor and nonce do not fit together")
        } else {
            None
        }
    }
}
