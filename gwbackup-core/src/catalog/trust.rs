//! Who is trusted: a chain of documents that begins at the repository's id.

mod document;

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::signed::{FileKind, SignedFile, Verified, Verifier};
use super::{CopyId, RepositoryId, store};
use crate::clock::rfc3339;
use crate::context::Context;
use crate::crypt::{PublicKey, Signer, SignerId};
use crate::error::{Error, ErrorKind, Result};
use crate::sink::{ObjectName, Sink};

pub use document::{CopyEntry, Home, Role, Roots, SignerEntry, SignerState, TrustDocument, Until};

const MAX_DOCUMENTS: u64 = 10_000;

/// A verified chain of trust documents, and what the last of them says.
#[derive(Debug, Clone)]
pub struct Trust {
    repository: RepositoryId,
    files: Vec<SignedFile>,
    current: TrustDocument,
}

impl Trust {
    /// Signs document 1; its digest becomes the repository's id. Stores nothing.
    pub async fn create(cx: &Context, document: &TrustDocument, root: &dyn Signer) -> Result<Self> {
        let file = SignedFile::sign(cx, FileKind::Repository, None, document, &[root]).await?;
        Self::first(file.stored().clone(), None)
    }

    /// Takes document 1 as stored: signed by the threshold of its own roots, and giving `expected`
    /// where that is known. `Corrupt` otherwise. Without `expected` the id is whatever the document
    /// gives, and nothing yet proves that it is the right one.
    pub fn first(stored: Bytes, expected: Option<&RepositoryId>) -> Result<Self> {
        let file = SignedFile::parse(FileKind::Repository, stored)?;
        let repository = id_of(&file);
        if expected.is_some_and(|id| *id != repository) {
            let error = Error::corrupt("the trust document is that of another repository");
            return Err(error.on(repository));
        }
        let current: TrustDocument = file.unverified(None)?;
        if current.number != 1 {
            return Err(Error::corrupt("the first trust document does not have number 1"));
        }
        sound(&current)?;
        threshold(&file.clone().verify(&current.roots.keys[..])?, &current.roots)?;
        Ok(Self { repository, files: vec![file], current })
    }

    /// Adds document n+1 as stored. It must name document n, and be signed by the threshold of n's
    /// roots (and of its own, where it changes them), or by one active admin of n where it leaves
    /// roots and signers as they are. `Corrupt` otherwise.
    pub fn next(&self, stored: Bytes) -> Result<Self> {
        let file = SignedFile::parse(FileKind::Repository, stored)?;
        let next: TrustDocument = match file.unverified(Some(&self.repository)) {
            // Anyone can write a large number; only those who may go on with the chain are heard.
            Err(e) if e.is_newer() => {
                let heirs = [self.current.roots.keys.clone(), self.admins()].concat();
                file.verify(&heirs[..])?;
                return Err(e);
            }
            read => read?,
        };
        sound(&next)?;
        if next.number != self.current.number + 1
            || next.number > MAX_DOCUMENTS
            || next.previous.as_deref() != Some(self.digest().as_str())
        {
            return Err(Error::corrupt("the trust document does not follow the one before"));
        }
        let old = &self.current;
        let rooted = file
            .clone()
            .verify(&old.roots.keys[..])
            .and_then(|verified| threshold(&verified, &old.roots));
        if next.roots != old.roots {
            rooted?;
            threshold(&file.clone().verify(&next.roots.keys[..])?, &next.roots)?;
        } else if next.signers != old.signers {
            rooted?;
        } else if rooted.is_err() {
            file.clone().verify(&self.admins()[..])?;
        }
        let mut files = self.files.clone();
        files.push(file);
        Ok(Self { repository: self.repository, files, current: next })
    }

    /// Keys that may change what roots and signers do not concern.
    fn admins(&self) -> Vec<PublicKey> {
        let signers = self.current.signers.iter();
        signers
            .filter(|s| s.state == SignerState::Active && s.roles.contains(&Role::Admin))
            .map(|s| s.public)
            .collect()
    }

    /// Signs `change` as document n+1: number and predecessor are filled in. `Corrupt` when
    /// `signers` do not suffice. Stores nothing.
    pub async fn extend(
        &self,
        cx: &Context,
        mut change: TrustDocument,
        signers: &[&dyn Signer],
    ) -> Result<Self> {
        change.number = self.current.number + 1;
        change.previous = Some(self.digest());
        change.nonce = None;
        let repository = Some(&self.repository);
        let file = SignedFile::sign(cx, FileKind::Repository, repository, &change, signers).await?;
        self.next(file.stored().clone())
    }

    /// The highest valid chain that any of `sinks` shows; sinks that do not answer are passed over,
    /// unless all are. `NotFound` when there is no repository; `Corrupt` when two valid documents
    /// have one number.
    pub async fn read(
        cx: &Context,
        sinks: &[Arc<dyn Sink>],
        expected: Option<&RepositoryId>,
    ) -> Result<Self> {
        let first = |bytes| Self::first(bytes, expected);
        let Some(mut trust) = Self::agreed(cx, sinks, 1, first).await? else {
            return Err(Error::new(ErrorKind::NotFound, "there is no repository here"));
        };
        while trust.number() < MAX_DOCUMENTS {
            let next = |bytes| trust.next(bytes);
            match Self::agreed(cx, sinks, trust.number() + 1, next).await {
                Ok(Some(higher)) => trust = higher,
                Ok(None) => break,
                // Bytes that no trusted key signed prove nothing about the chain.
                Err(e) if e.kind() == ErrorKind::Corrupt && e.advice().is_none() => break,
                Err(e) => return Err(e),
            }
        }
        Ok(trust)
    }

    /// The one document `number` that `take` accepts from any sink.
    async fn agreed(
        cx: &Context,
        sinks: &[Arc<dyn Sink>],
        number: u64,
        take: impl Fn(Bytes) -> Result<Self>,
    ) -> Result<Option<Self>> {
        let name = name(number)?;
        let mut agreed: Option<Self> = None;
        let (mut newer, mut refused, mut away) = (None, None, None);
        let mut answers = 0;
        for sink in sinks {
            match store::read(cx, sink.as_ref(), &name, FileKind::Repository).await {
                Ok(None) => answers += 1,
                Ok(Some(bytes)) => {
                    answers += 1;
                    match (take(bytes), &agreed) {
                        (Ok(new), None) => agreed = Some(new),
                        (Ok(new), Some(old)) if new.digest() == old.digest() => {}
                        (Ok(_), Some(_)) => {
                            return Err(Error::corrupt(
                                "two valid trust documents have one number",
                            )
                            .on(format!("{name} on {sink}"))
                            .help("find out which copy was tampered with and leave it out"));
                        }
                        (Err(e), _) if e.is_newer() => newer = Some(e.on(&name)),
                        (Err(e), _) => refused = Some(e),
                    }
                }
                Err(e) if e.kind() == ErrorKind::Corrupt => refused = Some(e),
                Err(e) if e.kind() == ErrorKind::Cancelled => return Err(e),
                Err(e) => away = Some(e),
            }
        }
        match (agreed, newer.or(refused), away) {
            (None, Some(refused), _) => Err(refused),
            (None, None, Some(away)) if answers == 0 => Err(away),
            (agreed, _, _) => Ok(agreed),
        }
    }

    /// The repository's id.
    pub fn repository(&self) -> &RepositoryId {
        &self.repository
    }

    /// Number of the last document.
    pub fn number(&self) -> u64 {
        self.current.number
    }

    /// Digest of the last document, hex.
    pub fn digest(&self) -> String {
        self.files.last().map(SignedFile::digest).unwrap_or_default()
    }

    /// What the last document says.
    pub fn current(&self) -> &TrustDocument {
        &self.current
    }

    /// All documents, from the first, each with the name under which it is stored.
    pub fn files(&self) -> Result<Vec<(ObjectName, &SignedFile)>> {
        (1..).zip(&self.files).map(|(number, file)| Ok((name(number)?, file))).collect()
    }

    /// Whether a document of this digest is in the chain.
    pub fn holds(&self, digest: &str) -> bool {
        self.files.iter().any(|file| file.digest() == digest)
    }

    /// Whether `signer` may act in one of `roles` (an admin may in each) with event number `seq`.
    pub fn allows(&self, signer: &SignerId, roles: &[Role], seq: u64) -> bool {
        self.current.signers.iter().any(|entry| {
            let in_time = match (entry.state, &entry.until) {
                (SignerState::Revoked, Some(until)) => seq <= until.seq,
                (SignerState::Revoked, None) => false,
                (SignerState::Active | SignerState::Retired, _) => true,
            };
            entry.id == *signer
                && in_time
                && entry.roles.iter().any(|role| *role == Role::Admin || roles.contains(role))
        })
    }
}

impl Verifier for Trust {
    fn key(&self, kind: FileKind, id: &SignerId) -> Option<PublicKey> {
        if kind == FileKind::Repository {
            return None;
        }
        self.current.signers.iter().find(|s| s.id == *id).map(|s| s.public)
    }
}

/// The mark of one copy, `copy.json`: a root without it is not written to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyMark {
    /// Which copy it is.
    pub copy: CopyId,
    /// Since when, as [`rfc3339`] writes it.
    pub created: String,
}

impl CopyMark {
    /// Where it is stored.
    pub fn name() -> Result<ObjectName> {
        ObjectName::new("copy.json")
    }

    /// Signs the mark of a new copy. Stores nothing.
    pub async fn sign(
        cx: &Context,
        trust: &Trust,
        copy: CopyId,
        signer: &dyn Signer,
    ) -> Result<SignedFile> {
        let mark = Self { copy, created: rfc3339(cx.now()) };
        SignedFile::sign(cx, FileKind::Copy, Some(trust.repository()), &mark, &[signer]).await
    }

    /// Takes a stored mark. `Corrupt` when it is forged or another repository's.
    pub fn open(stored: Bytes, trust: &Trust) -> Result<Self> {
        SignedFile::parse(FileKind::Copy, stored)?.verify(trust)?.read(Some(trust.repository()))
    }
}

fn name(number: u64) -> Result<ObjectName> {
    if number == 1 {
        return ObjectName::new("repository.json");
    }
    ObjectName::new(&format!("repository/{number:06}.json"))
}

fn id_of(first: &SignedFile) -> RepositoryId {
    let mut hash = Sha256::new_with_prefix(b"gwbackup/v1/repository-id\0");
    hash.update(first.body());
    RepositoryId::new(hash.finalize().into())
}

fn sound(document: &TrustDocument) -> Result<()> {
    match document.flaw() {
        None => Ok(()),
        Some(flaw) => Err(Error::corrupt(flaw).on(format!("trust document {}", document.number))),
    }
}

fn threshold(verified: &Verified, roots: &Roots) -> Result<()> {
    let signed: BTreeSet<_> = verified.signers().iter().collect();
    if (signed.len() as u64) < u64::from(roots.threshold) {
        return Err(Error::corrupt("fewer roots than needed have signed the trust document"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
