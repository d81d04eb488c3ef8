//! Sealing, keys, signatures: the traits, and the parts that come with the library.

mod age;
mod cipher;
pub(crate) mod derive;
mod digest;
mod fingerprint;
pub(crate) mod hex;
mod key_file;
mod keys;
mod kit;
mod passphrase;
mod seal;
mod secret_file;
mod sign;
mod wrap;

use std::fmt::Debug;

use async_trait::async_trait;

use crate::context::Context;
use crate::error::Result;

pub use age::{AgeIdentity, wrap_public};
pub(crate) use cipher::TAG;
pub use cipher::{Aes256Gcm, Suite, XChaCha20Poly1305, cipher};
pub use digest::StateDigest;
pub(crate) use fingerprint::{Fingerprint, fingerprint};
pub use key_file::KeyFile;
pub use keys::{
    DataKey, KeyContext, KeyPurpose, Recipient, RecipientKind, RecipientState, Right, random,
    time_of, uuid_v7,
};
pub use kit::RecoveryKit;
pub use passphrase::{Argon2Params, Passphrase};
pub use seal::{Sealed, SmallSeal};
pub use sign::{PublicKey, SeedSigner, Signature, SignerId, verify};
pub(crate) use wrap::StoredWrap;
pub use wrap::{Wrap, WrapBody, commitment};

/// Seals one chunk. Pure; the caller gives each key and nonce once.
pub trait Cipher: Debug + Send + Sync + 'static {
    /// Which suite it is; stored in every header.
    fn suite(&self) -> Suite;

    /// Replaces plain text in `buffer` by cipher text and 16 bytes of tag. No associated data: what
    /// gives the text its meaning is bound through the derived key.
    ///
    /// `nonce` is the 12-byte form; a suite with a longer nonce puts zero bytes in front.
    fn seal(&self, key: &DataKey, nonce: &[u8; 12], buffer: &mut Vec<u8>) -> Result<()>;

    /// The way back. `Corrupt` on any mismatch; the buffer is then empty.
    fn open(&self, key: &DataKey, nonce: &[u8; 12], buffer: &mut Vec<u8>) -> Result<()>;
}

/// Wraps data keys with keys that live apart from the sinks.
///
/// Expected kinds of error: `KeyUnavailable` (missing, malformed, wrong, disabled, or without the
/// right), `Denied`, `Throttled`, `Unavailable`.
#[async_trait]
pub trait KeyProvider: Debug + Send + Sync + 'static {
    /// URL without anything secret, for people and events.
    fn address(&self) -> String;

    /// The repository id that this provider's secret names, if it names one: it then proves that a
    /// sink shows the right repository.
    async fn proves(&self, cx: &Context) -> Result<Option<String>>;

    /// What the trust document says about this provider's newest key, so that others can tell which
    /// wraps it opens. The same answer each time for the same key.
    async fn recipient(&self, cx: &Context) -> Result<Recipient>;

    /// Wraps `key` for the recipient that [`recipient`](Self::recipient) describes. Every call
    /// gives other bytes. Binds them to `context` where the construction can.
    async fn wrap(&self, cx: &Context, key: &DataKey, context: &KeyContext) -> Result<WrapBody>;

    /// Opens a wrap. `recipient` is the trust document's entry for it; `KeyUnavailable` when this
    /// provider does not hold that key (found out by the recipient's id, never by trying).
    async fn unwrap(
        &self,
        cx: &Context,
        recipient: &Recipient,
        body: &WrapBody,
        context: &KeyContext,
    ) -> Result<DataKey>;

    /// Wraps the key of `body` anew, under the newest material of the same key: for rotation. Errors
    /// as of [`unwrap`](Self::unwrap).
    ///
    /// The default opens and wraps it here. A key service does it by itself, so that the key never
    /// leaves it.
    async fn rewrap(
        &self,
        cx: &Context,
        recipient: &Recipient,
        body: &WrapBody,
        context: &KeyContext,
    ) -> Result<WrapBody> {
        let key = self.unwrap(cx, recipient, body, context).await?;
        self.wrap(cx, &key, context).await
    }

    /// Where its secret lies on this machine, if it does: refused below a sink.
    fn local_path(&self) -> Option<std::path::PathBuf>;
}

/// Signs.
#[async_trait]
pub trait Signer: Debug + Send + Sync + 'static {
    /// The public key.
    fn public(&self) -> PublicKey;

    /// Ed25519 over exactly these bytes. The same bytes give the same signature.
    async fn sign(&self, cx: &Context, message: &[u8]) -> Result<Signature>;
}
