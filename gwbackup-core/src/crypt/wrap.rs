//! Wrapped keys: the body of a wrap file, and the construction for recipients that are a secret.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::derive::{Derivation, same};
use super::{Aes256Gcm, Cipher, DataKey, KeyContext, KeyProvider, KeyPurpose, Recipient, hex};
use crate::clock::Timestamp;
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};

/// Recipients of one wrap.
const ENTRIES: usize = 32;
/// Bytes of one body, which the largest construction needs.
pub(super) const BODY: usize = 4096;
/// Characters of a key's name at a key service.
const KEY_NAME: usize = 2048;

/// One recipient's part of a wrap: made by a key provider, stored as it is.
///
/// `kind` names the construction; the other parts mean what that construction says.
#[derive(Clone, PartialEq, Eq)]
pub struct WrapBody {
    kind: String,
    key: Option<String>,
    salt: Option<Vec<u8>>,
    body: Vec<u8>,
}

impl WrapBody {
    /// The construction of key files and passphrases.
    pub const SECRET: &'static str = "secret";
    /// The construction of age recipients: an age v1 file that holds the key.
    pub const AGE: &'static str = "age";

    /// A body of the named construction. At most 4 KiB are stored.
    pub fn new(kind: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        Self { kind: kind.into(), key: None, salt: None, body: body.into() }
    }

    /// Adds the full name and version of the key at its service.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Adds the salt that the construction used.
    #[must_use]
    pub fn with_salt(mut self, salt: impl Into<Vec<u8>>) -> Self {
        self.salt = Some(salt.into());
        self
    }

    /// The construction's name.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The key's name at its service.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// The salt.
    pub fn salt(&self) -> Option<&[u8]> {
        self.salt.as_deref()
    }

    /// The sealed key.
    pub fn body(&self) -> &[u8] {
        &self.body
    }
}

impl fmt::Debug for WrapBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WrapBody").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// The body of a wrap file: one key, wrapped for each recipient that may open it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrap {
    context: KeyContext,
    generation: u32,
    commitment: [u8; 32],
    created: Timestamp,
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    recipient: String,
    version: u32,
    body: WrapBody,
}

impl Wrap {
    /// A wrap without recipients yet. `commitment` is the archive's own for an archive's key, and
    /// [`commitment`] of the key for all others. Generations count from 1.
    pub fn new(
        context: KeyContext,
        generation: u32,
        commitment: [u8; 32],
        created: Timestamp,
    ) -> Self {
        Self { context, generation, commitment, created, entries: Vec::new() }
    }

    /// Adds what a provider made for a recipient. `Invalid` beyond 32 recipients, for a second
    /// entry of one recipient's version, or for a body that a file cannot hold.
    pub fn add(&mut self, recipient: &Recipient, body: WrapBody) -> Result<()> {
        if self.entries.len() >= ENTRIES {
            return Err(Error::invalid(format!("a wrap holds at most {ENTRIES} recipients")));
        }
        if self.entry(&recipient.id, recipient.version).is_some() {
            return Err(Error::invalid("a recipient stands twice in one wrap").on(&recipient.id));
        }
        let fits = body.body.len() <= BODY
            && body.salt.as_ref().is_none_or(|salt| salt.len() <= BODY)
            && body.key.as_ref().is_none_or(|key| key.len() <= KEY_NAME);
        if !fits {
            return Err(Error::invalid("a wrapped key is too long to store").on(&recipient.id));
        }
        let (recipient, version) = (recipient.id.clone(), recipient.version);
        self.entries.push(Entry { recipient, version, body });
        Ok(())
    }

    /// What the key is for.
    pub fn context(&self) -> &KeyContext {
        &self.context
    }

    /// How often the key was wrapped, from 1.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// What the opened key must reproduce.
    pub fn commitment(&self) -> &[u8; 32] {
        &self.commitment
    }

    /// When it was made, by its maker's clock.
    pub fn created(&self) -> Timestamp {
        self.created
    }

    /// Recipients with their versions, in stored order.
    pub fn recipients(&self) -> impl Iterator<Item = (&str, u32)> {
        self.entries.iter().map(|entry| (entry.recipient.as_str(), entry.version))
    }

    /// The part made for this version of a recipient.
    pub fn entry(&self, recipient: &str, version: u32) -> Option<&WrapBody> {
        self.entries
            .iter()
            .find(|entry| entry.recipient == recipient && entry.version == version)
            .map(|entry| &entry.body)
    }

    /// Opens the part made for `recipient` and checks the commitment where the wrap alone can: for
    /// an archive's data key the caller must let the archive check it.
    ///
    /// `KeyUnavailable` when there is no such part, the provider does not hold the key, or what it
    /// opened is another key than the wrap was made of. Changes nothing; safe to drop.
    pub async fn open(
        &self,
        cx: &Context,
        provider: &dyn KeyProvider,
        recipient: &Recipient,
    ) -> Result<DataKey> {
        let body = self.entry(&recipient.id, recipient.version).ok_or_else(|| {
            Error::new(ErrorKind::KeyUnavailable, "the key is not wrapped for this recipient")
                .on(&recipient.id)
                .help("use a key that was active when this was written, or rotate the keys")
        })?;
        let key = provider.unwrap(cx, recipient, body, &self.context).await?;
        if self.context.purpose != KeyPurpose::Archive {
            self.check(&key)?;
        }
        Ok(key)
    }

    /// `KeyUnavailable` unless `key` is the one that the wrap was made of. Not for an archive's
    /// data key, which is bound to the archive's header.
    pub fn check(&self, key: &DataKey) -> Result<()> {
        let own = commitment(self.context.purpose, &self.context.repository, key)?;
        if same(&own, &self.commitment) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::KeyUnavailable, "the wrap holds another key than it names"))
    }

    /// The body of its file.
    pub(crate) fn to_stored(&self) -> StoredWrap {
        StoredWrap {
            purpose: self.context.purpose,
            object: self.context.object,
            generation: self.generation,
            commitment: self.commitment,
            created: self.created,
            wraps: self.entries.iter().map(StoredEntry::from).collect(),
        }
    }

    /// Takes the verified body of a file. `Corrupt` when it is malformed or beyond the limits.
    pub(crate) fn from_stored(repository: [u8; 32], stored: StoredWrap) -> Result<Self> {
        if stored.wraps.len() > ENTRIES {
            return Err(Error::corrupt(format!("a wrap names more than {ENTRIES} recipients")));
        }
        if stored.generation == 0 {
            return Err(Error::corrupt("a wrap's generation is zero"));
        }
        let context = KeyContext { repository, purpose: stored.purpose, object: stored.object };
        let mut wrap = Self::new(context, stored.generation, stored.commitment, stored.created);
        for entry in stored.wraps {
            let entry = Entry::try_from(entry)?;
            if wrap.entry(&entry.recipient, entry.version).is_some() {
                return Err(Error::corrupt("a recipient stands twice in one wrap"));
            }
            wrap.entries.push(entry);
        }
        Ok(wrap)
    }
}

/// What a key that is bound to no archive must reproduce: the same for the same key, purpose and
/// repository, and of no use for finding the key.
pub fn commitment(purpose: KeyPurpose, repository: &[u8; 32], key: &DataKey) -> Result<[u8; 32]> {
    Derivation::new(repository, key).expand(&[
        b"gwbackup/v1/commit",
        &[0],
        purpose.as_str().as_bytes(),
    ])
}

/// The id of a recipient that is a secret: 16 hex digits that say nothing about it.
pub(super) fn key_id(secret: &DataKey) -> Result<String> {
    let bytes = Derivation::new(&[], secret).expand(&[b"gwbackup/v1/key-id"])?;
    Ok(hex::encode(&bytes[..8]))
}

/// Wraps under a secret. Every call draws a salt, so that every call gives other bytes.
pub(super) fn wrap_with(secret: &DataKey, key: &DataKey, cx: &KeyContext) -> Result<WrapBody> {
    wrap_salted(secret, key, cx, &super::random()?)
}

fn wrap_salted(
    secret: &DataKey,
    key: &DataKey,
    cx: &KeyContext,
    salt: &[u8; 32],
) -> Result<WrapBody> {
    let mut body = Vec::with_capacity(48);
    body.extend_from_slice(key.expose());
    // A fresh salt makes a key that seals once, so that the nonce may be constant.
    Aes256Gcm.seal(&wrap_key(secret, salt, cx)?, &[0; 12], &mut body)?;
    Ok(WrapBody::new(WrapBody::SECRET, body).with_salt(*salt))
}

/// Opens what [`wrap_with`] made. Any failure is `KeyUnavailable`: before the commitment is checked
/// nobody learns whether the key or the bytes were wrong.
pub(super) fn unwrap_with(secret: &DataKey, body: &WrapBody, cx: &KeyContext) -> Result<DataKey> {
    let salt: &[u8; 32] = body.salt().and_then(|s| s.try_into().ok()).ok_or_else(refused)?;
    if body.kind != WrapBody::SECRET || body.body.len() != 48 {
        return Err(refused());
    }
    let mut buffer = Zeroizing::new(body.body.clone());
    Aes256Gcm.open(&wrap_key(secret, salt, cx)?, &[0; 12], &mut buffer).map_err(|_| refused())?;
    <[u8; 32]>::try_from(buffer.as_ref()).map(DataKey::new).map_err(|_| refused())
}

/// What every wrap that does not open is answered with, whatever the cause.
pub(super) fn refused() -> Error {
    Error::new(ErrorKind::KeyUnavailable, "the wrapped key does not open")
        .help("check that key and repository belong together")
}

fn wrap_key(secret: &DataKey, salt: &[u8; 32], cx: &KeyContext) -> Result<DataKey> {
    Derivation::new(salt, secret).key(&[
        b"gwbackup/v1/wrap",
        &[0],
        cx.purpose.as_str().as_bytes(),
        &[0],
        &cx.repository,
        &cx.object,
    ])
}

/// A wrap as the body of a signed file; what every file begins with stands before it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StoredWrap {
    purpose: KeyPurpose,
    #[serde(with = "hex")]
    object: [u8; 16],
    generation: u32,
    #[serde(with = "hex")]
    commitment: [u8; 32],
    created: Timestamp,
    wraps: Vec<StoredEntry>,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredEntry {
    recipient: String,
    version: u32,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    salt: Option<String>,
    body: String,
}

impl From<&Entry> for StoredEntry {
    fn from(entry: &Entry) -> Self {
        Self {
            recipient: entry.recipient.clone(),
            version: entry.version,
            kind: entry.body.kind.clone(),
            key: entry.body.key.clone(),
            salt: entry.body.salt.as_ref().map(|salt| BASE64.encode(salt)),
            body: BASE64.encode(&entry.body.body),
        }
    }
}

impl TryFrom<StoredEntry> for Entry {
    type Error = Error;

    fn try_from(stored: StoredEntry) -> Result<Self> {
        let bytes = |text: &str| {
            if text.len() > BODY.div_ceil(3) * 4 {
                return Err(Error::corrupt("a wrapped key is longer than 4 KiB"));
            }
            BASE64.decode(text).map_err(|_| Error::corrupt("a wrapped key is not base64"))
        };
        let body = WrapBody {
            salt: stored.salt.as_deref().map(bytes).transpose()?,
            body: bytes(&stored.body)?,
            kind: stored.kind,
            key: stored.key,
        };
        Ok(Self { recipient: stored.recipient, version: stored.version, body })
    }
}

#[cfg(test)]
mod tests;
