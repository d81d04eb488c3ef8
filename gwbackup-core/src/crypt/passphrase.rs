//! A passphrase, stretched by Argon2id with parameters that the trust document keeps.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use tokio::sync::Mutex;
use zeroize::{Zeroize as _, Zeroizing};

use super::keys::RecipientState;
use super::wrap::{key_id, unwrap_with, wrap_with};
use super::{
    DataKey, KeyContext, KeyProvider, Recipient, RecipientKind, Right, WrapBody, random,
    secret_file,
};
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::task::blocking;

const LIMIT: u64 = 64 * 1024;
const CHARACTERS: usize = 12;
/// Derived keys kept: one per parameter set that was met, which are few.
const KEPT: usize = 8;

/// How a passphrase becomes a key. Public: it stands in the trust document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Argon2Params {
    /// Memory in KiB.
    pub m_kib: u32,
    /// Passes.
    pub t: u32,
    /// Lanes.
    pub p: u32,
    /// Salt.
    #[serde(serialize_with = "salt_to_text", deserialize_with = "salt_from_text")]
    pub salt: [u8; 16],
}

impl Argon2Params {
    /// What new passphrases use: 64 MiB, three passes, four lanes, and a fresh salt.
    pub fn fresh() -> Result<Self> {
        Ok(Self { m_kib: 64 * 1024, t: 3, p: 4, salt: random()? })
    }

    /// `Corrupt` outside the bounds within which a reader works: 19 to 256 MiB, at most 16 passes
    /// and 16 lanes.
    pub fn check(&self) -> Result<()> {
        let within = (19 * 1024..=256 * 1024).contains(&self.m_kib)
            && (1..=16).contains(&self.t)
            && (1..=16).contains(&self.p);
        if within {
            return Ok(());
        }
        Err(Error::corrupt("the passphrase parameters are out of bounds")
            .help("19 to 256 MiB of memory, at most 16 passes and 16 lanes are accepted"))
    }
}

fn salt_to_text<S: Serializer>(salt: &[u8; 16], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&BASE64.encode(salt))
}

fn salt_from_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 16], D::Error> {
    let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
    let mut salt = [0; 16];
    match BASE64.decode_slice(text.as_bytes(), &mut salt) {
        Ok(16) => Ok(salt),
        _ => Err(de::Error::custom("a salt is 16 bytes in base64")),
    }
}

/// A key provider from a passphrase. Each parameter set is derived once, off the async thread; the
/// derived keys stay in memory until the provider is dropped.
pub struct Passphrase {
    text: Arc<Zeroizing<Vec<u8>>>,
    path: Option<PathBuf>,
    rights: Vec<Right>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What [`KeyProvider::recipient`] describes.
    own: Option<(Argon2Params, u32)>,
    derived: Vec<Derived>,
}

#[derive(Clone)]
struct Derived {
    params: Argon2Params,
    id: String,
    key: Arc<DataKey>,
}

impl Passphrase {
    /// A passphrase of at least 12 characters; one final line feed is dropped. `KeyUnavailable`
    /// when it is shorter or not UTF-8. The bytes are wiped when this is dropped.
    pub fn new(text: impl Into<Vec<u8>>) -> Result<Self> {
        Self::build(Zeroizing::new(text.into()), None)
    }

    /// The passphrase in a file that its owner alone can read. Blocking. `KeyUnavailable` when the
    /// file is missing, open to others, longer than 64 KiB, or no passphrase.
    pub fn from_file(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let text = secret_file::read(&path, LIMIT)?;
        let shown = path.display().to_string();
        Self::build(text, Some(path)).map_err(|e| e.on(shown))
    }

    fn build(mut text: Zeroizing<Vec<u8>>, path: Option<PathBuf>) -> Result<Self> {
        if text.last() == Some(&b'\n') {
            text.pop();
        }
        let unavailable = |message: &str| Error::new(ErrorKind::KeyUnavailable, message);
        let characters = std::str::from_utf8(&text)
            .map_err(|_| unavailable("the passphrase is not UTF-8 text"))?
            .chars()
            .count();
        if characters < CHARACTERS {
            return Err(unavailable("the passphrase is shorter than 12 characters")
                .help("use several words"));
        }
        let rights = Right::ALL.to_vec();
        Ok(Self { text: Arc::new(text), path, rights, state: Mutex::default() })
    }

    /// The same with these parameters for [`recipient`](KeyProvider::recipient) instead of fresh
    /// ones. `Corrupt` when they are out of bounds.
    pub fn with_params(mut self, params: Argon2Params) -> Result<Self> {
        params.check()?;
        self.state.get_mut().own = Some((params, 1));
        Ok(self)
    }

    /// The same with fewer rights, as the trust document will state them. All three by default.
    #[must_use]
    pub fn with_rights(mut self, rights: impl Into<Vec<Right>>) -> Self {
        self.rights = rights.into();
        self
    }

    /// The key of a parameter set. The lock is held while it is derived, so that callers at the
    /// same time do the work once.
    async fn derived(&self, state: &mut State, params: &Argon2Params) -> Result<Derived> {
        params.check()?;
        if let Some(held) = state.derived.iter().find(|derived| derived.params == *params) {
            return Ok(held.clone());
        }
        let (text, owned) = (Arc::clone(&self.text), params.clone());
        let derived = blocking(move || derive(&text, owned)).await?;
        if state.derived.len() >= KEPT {
            state.derived.remove(0);
        }
        state.derived.push(derived.clone());
        Ok(derived)
    }

    /// The key that this provider describes and wraps with, and its version.
    async fn own(&self, state: &mut State) -> Result<(Derived, u32)> {
        let (params, version) = match &state.own {
            Some(own) => own.clone(),
            None => (Argon2Params::fresh()?, 1),
        };
        let derived = self.derived(state, &params).await?;
        state.own = Some((params, version));
        Ok((derived, version))
    }
}

fn derive(text: &[u8], params: Argon2Params) -> Result<Derived> {
    let refused = || Error::corrupt("the passphrase parameters do not fit together");
    let cost =
        argon2::Params::new(params.m_kib, params.t, params.p, Some(32)).map_err(|_| refused())?;
    let argon = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, cost);
    let mut bytes = Zeroizing::new([0; 32]);
    argon.hash_password_into(text, &params.salt, bytes.as_mut()).map_err(|_| refused())?;
    let key = DataKey::new(*bytes);
    bytes.zeroize();
    Ok(Derived { id: key_id(&key)?, key: Arc::new(key), params })
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passphrase").field("path", &self.path).finish_non_exhaustive()
    }
}

#[async_trait]
impl KeyProvider for Passphrase {
    fn address(&self) -> String {
        match &self.path {
            Some(path) => format!("passphrase-file:{}", path.display()),
            None => "passphrase:".to_owned(),
        }
    }

    async fn proves(&self, _: &Context) -> Result<Option<String>> {
        Ok(None)
    }

    /// Before a repository was met the salt is fresh, but stays for the life of this value. Once
    /// [`unwrap`](KeyProvider::unwrap) opened something, it describes that recipient's key.
    async fn recipient(&self, _: &Context) -> Result<Recipient> {
        let mut state = self.state.lock().await;
        let (derived, version) = self.own(&mut state).await?;
        Ok(Recipient {
            id: derived.id,
            version,
            rights: self.rights.clone(),
            state: RecipientState::Active,
            kind: RecipientKind::Secret { argon2: Some(derived.params) },
        })
    }

    async fn wrap(&self, _: &Context, key: &DataKey, context: &KeyContext) -> Result<WrapBody> {
        let (derived, _) = self.own(&mut *self.state.lock().await).await?;
        wrap_with(&derived.key, key, context)
    }

    async fn unwrap(
        &self,
        _: &Context,
        recipient: &Recipient,
        body: &WrapBody,
        context: &KeyContext,
    ) -> Result<DataKey> {
        let RecipientKind::Secret { argon2: Some(params) } = &recipient.kind else {
            return Err(Error::new(ErrorKind::KeyUnavailable, "the recipient is no passphrase")
                .on(&recipient.id));
        };
        let mut state = self.state.lock().await;
        let derived = self.derived(&mut state, params).await?;
        if derived.id != recipient.id {
            return Err(Error::new(ErrorKind::KeyUnavailable, "wrong passphrase")
                .on(&recipient.id)
                .help("check the passphrase, and that no space or line was added to it"));
        }
        let key = unwrap_with(&derived.key, body, context)?;
        if state.own.is_none() && recipient.state == RecipientState::Active {
            state.own = Some((derived.params, recipient.version));
        }
        Ok(key)
    }

    fn local_path(&self) -> Option<PathBuf> {
        self.path.clone()
    }
}

#[cfg(test)]
mod tests;
