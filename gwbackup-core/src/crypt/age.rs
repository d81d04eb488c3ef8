//! Age identities: wraps that are made with the public half alone, so that the secret one can lie
//! in a safe.

mod format;
mod text;

use std::path::PathBuf;

use async_trait::async_trait;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use self::text::Half;
use super::keys::RecipientState;
use super::wrap::{BODY, refused};
use super::{
    DataKey, KeyContext, KeyProvider, Recipient, RecipientKind, Right, WrapBody, hex, secret_file,
};
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};

/// Bytes of an identity's file, recovery kits among them.
pub(super) const LIMIT: u64 = 64 * 1024;
const SECRET_PREFIX: &str = "AGE-SECRET-KEY-1";
/// Only one version of an identity exists: another key is another recipient.
const VERSION: u32 = 1;

/// Wraps `key` for a recipient whose wraps need no secret; `None` for recipients of other kinds.
/// Every call gives other bytes, which the `age` tool opens with the recipient's identity.
///
/// The wrap is bound to no context, and anyone can make one: what it gives when opened counts only
/// once it has reproduced its commitment (see [`Wrap::open`](super::Wrap::open)). Whether the
/// recipient is active and has the right is for the caller to check.
///
/// `KeyUnavailable` when the recipient's public key is malformed, or not the one that its id names.
pub fn wrap_public(recipient: &Recipient, key: &DataKey) -> Result<Option<WrapBody>> {
    match &recipient.kind {
        RecipientKind::Age { public } if recipient.id == id_of(public) => {
            wrap(public, key).map(Some)
        }
        RecipientKind::Age { .. } => Err(malformed_recipient(&recipient.id)),
        RecipientKind::Secret { .. } | RecipientKind::AwsKms { .. } => Ok(None),
    }
}

fn wrap(public: &str, key: &DataKey) -> Result<WrapBody> {
    let malformed = || malformed_recipient(&id_of(public));
    let point = text::decode(Half::Public, public).ok_or_else(malformed)?;
    let body = format::seal(&point, key.expose())?.ok_or_else(malformed)?;
    Ok(WrapBody::new(WrapBody::AGE, body))
}

fn malformed_recipient(id: &str) -> Error {
    Error::new(ErrorKind::KeyUnavailable, "the age recipient is malformed")
        .on(id)
        .help("an age recipient is age1 and 58 further characters, and its id follows from them")
}

/// The first 8 bytes of the SHA-256 of the recipient's text, hex.
fn id_of(public: &str) -> String {
    let digest: [u8; 32] = Sha256::digest(public).into();
    hex::encode(&digest[..8])
}

/// A key provider from an X25519 identity of the age format.
///
/// Its wraps are not bound to the context they were made for: the caller must check that an opened
/// key reproduces its commitment (see [`Wrap::open`](super::Wrap::open)).
#[derive(Debug)]
pub struct AgeIdentity {
    secret: DataKey,
    public: String,
    id: String,
    repository: Option<[u8; 32]>,
    path: Option<PathBuf>,
    rights: Vec<Right>,
}

impl AgeIdentity {
    /// A fresh identity, which exists in memory alone.
    pub fn generate() -> Result<Self> {
        Self::build(DataKey::generate()?)
    }

    /// Reads an identity file, such as `age-keygen` or a recovery kit writes. Blocking.
    /// `KeyUnavailable` when it is missing, malformed, longer than 64 KiB, or open to others than
    /// its owner.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let text = secret_file::read_text(&path, LIMIT)?;
        let identity = Self::from_text(&text).map_err(|e| e.on(path.display()))?;
        Ok(Self { path: Some(path), ..identity })
    }

    /// Reads the text of an identity file: comment lines, empty lines, and identities, of which the
    /// first one counts. A comment `# repository: <id>` makes it prove that repository.
    /// `KeyUnavailable` when it is malformed; the text is never quoted.
    pub fn from_text(text: &str) -> Result<Self> {
        let mut repository = None;
        let mut secret = None;
        for (at, line) in (1..).zip(text.lines().map(str::trim)) {
            if let Some(id) = field(line, "repository") {
                let id = hex::decode(id).ok_or_else(|| malformed("bad repository id", at))?;
                if repository.replace(id).is_some() {
                    return Err(malformed("a second repository id", at));
                }
            } else if line.starts_with(SECRET_PREFIX) {
                let bytes = text::decode(Half::Secret, line)
                    .ok_or_else(|| malformed("bad identity", at))?;
                secret.get_or_insert(bytes);
            } else if !line.is_empty() && !line.starts_with('#') {
                return Err(malformed("unknown line", at));
            }
        }
        let secret = secret.ok_or_else(|| malformed("no identity in it", 0))?;
        Ok(Self { repository, ..Self::build(DataKey::new(*secret))? })
    }

    fn build(secret: DataKey) -> Result<Self> {
        let mut public = text::encode(Half::Public, &format::public_of(secret.expose()))?;
        let public = std::mem::take(&mut *public);
        let (id, rights) = (id_of(&public), Right::ALL.to_vec());
        Ok(Self { secret, public, id, repository: None, path: None, rights })
    }

    /// The same with fewer rights, as the trust document will state them. All three by default.
    #[must_use]
    pub fn with_rights(mut self, rights: impl Into<Vec<Right>>) -> Self {
        self.rights = rights.into();
        self
    }

    /// The same, proving this repository; nothing is written.
    #[must_use]
    pub(super) fn bound_to(mut self, repository: [u8; 32]) -> Self {
        self.repository = Some(repository);
        self
    }

    /// The public half, `age1...`: what the `age` tool takes as a recipient.
    pub fn public(&self) -> &str {
        &self.public
    }

    /// The repository that the identity's text names.
    pub fn repository(&self) -> Option<[u8; 32]> {
        self.repository
    }

    /// The secret half, `AGE-SECRET-KEY-1...`, wiped when dropped.
    pub fn to_text(&self) -> Result<Zeroizing<String>> {
        text::encode(Half::Secret, self.secret.expose())
    }
}

#[async_trait]
impl KeyProvider for AgeIdentity {
    fn address(&self) -> String {
        match &self.path {
            Some(path) => format!("age-file:{}", path.display()),
            None => format!("age:{}", self.public),
        }
    }

    async fn proves(&self, _: &Context) -> Result<Option<String>> {
        Ok(self.repository.map(|id| hex::encode(&id)))
    }

    async fn recipient(&self, _: &Context) -> Result<Recipient> {
        Ok(Recipient {
            id: self.id.clone(),
            version: VERSION,
            rights: self.rights.clone(),
            state: RecipientState::Active,
            kind: RecipientKind::Age { public: self.public.clone() },
        })
    }

    async fn wrap(&self, _: &Context, key: &DataKey, _: &KeyContext) -> Result<WrapBody> {
        wrap(&self.public, key)
    }

    async fn unwrap(
        &self,
        _: &Context,
        recipient: &Recipient,
        body: &WrapBody,
        _: &KeyContext,
    ) -> Result<DataKey> {
        if recipient.id != self.id {
            return Err(Error::new(
                ErrorKind::KeyUnavailable,
                "the age identity is not this recipient's",
            )
            .on(&recipient.id)
            .help("use the identity or the recovery kit that belongs to the repository"));
        }
        if body.kind() != WrapBody::AGE || body.body().len() > BODY {
            return Err(refused());
        }
        let opened = format::open(self.secret.expose(), body.body(), 32)?.ok_or_else(refused)?;
        <[u8; 32]>::try_from(opened.as_slice()).map(DataKey::new).map_err(|_| refused())
    }

    fn local_path(&self) -> Option<PathBuf> {
        self.path.clone()
    }
}

/// The value of a comment line `# name: value`.
pub(super) fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let value = line.trim().strip_prefix('#')?.trim_start().strip_prefix(name)?;
    value.strip_prefix(':').map(str::trim)
}

/// `line` counts from 1; 0 is the file as a whole.
pub(super) fn malformed(what: &str, line: usize) -> Error {
    let place = if line == 0 { String::new() } else { format!(" in line {line}") };
    Error::new(ErrorKind::KeyUnavailable, format!("the identity is malformed: {what}{place}"))
        .help("use an age identity file or a recovery kit, as it was written")
}

#[cfg(test)]
mod tests;
