//! Ciphers and key providers that fail when they are told to.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;

use super::{Fault, Faults};
use crate::context::Context;
use crate::crypt::{
    Cipher, DataKey, KeyContext, KeyProvider, PublicKey, Recipient, Signature, Signer, Suite,
    WrapBody,
};
use crate::error::{Error, ErrorKind, Result};

/// A cipher that fails by a rule. Operations: `seal`, `open`.
#[derive(Debug)]
pub struct FaultyCipher {
    inner: &'static dyn Cipher,
    faults: Faults,
}

impl FaultyCipher {
    /// Puts `faults` before `inner`.
    pub fn new(inner: &'static dyn Cipher, faults: Faults) -> Self {
        Self { inner, faults }
    }

    /// There is no answer to lose between two lines of one process: both faults have no effect but
    /// the error.
    fn meet(&self, operation: &'static str, buffer: &mut Vec<u8>) -> Result<()> {
        let kind = match self.faults.next(operation, "") {
            None => return Ok(()),
            Some(Fault::Fail(kind)) => kind,
            Some(Fault::LoseAnswer) => ErrorKind::Unavailable,
        };
        buffer.clear();
        Err(Error::new(kind, format!("injected into {operation}")))
    }
}

#[deny(clippy::missing_trait_methods)]
impl Cipher for FaultyCipher {
    fn suite(&self) -> Suite {
        self.inner.suite()
    }

    fn seal(&self, key: &DataKey, nonce: &[u8; 12], buffer: &mut Vec<u8>) -> Result<()> {
        self.meet("seal", buffer)?;
        self.inner.seal(key, nonce, buffer)
    }

    fn open(&self, key: &DataKey, nonce: &[u8; 12], buffer: &mut Vec<u8>) -> Result<()> {
        self.meet("open", buffer)?;
        self.inner.open(key, nonce, buffer)
    }
}

/// A key provider that fails by a rule. Operations: `proves`, `recipient`, `wrap`, `unwrap`,
/// `rewrap`; the subject of the last three is what the key is for.
#[derive(Debug, Clone)]
pub struct FaultyKeyProvider {
    inner: Arc<dyn KeyProvider>,
    faults: Faults,
}

impl FaultyKeyProvider {
    /// Puts `faults` before `inner`.
    pub fn new(inner: Arc<dyn KeyProvider>, faults: Faults) -> Self {
        Self { inner, faults }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl KeyProvider for FaultyKeyProvider {
    fn address(&self) -> String {
        self.inner.address()
    }

    async fn proves(&self, cx: &Context) -> Result<Option<String>> {
        self.faults.around("proves", "", self.inner.proves(cx)).await
    }

    async fn recipient(&self, cx: &Context) -> Result<Recipient> {
        self.faults.around("recipient", "", self.inner.recipient(cx)).await
    }

    async fn wrap(&self, cx: &Context, key: &DataKey, context: &KeyContext) -> Result<WrapBody> {
        let call = self.inner.wrap(cx, key, context);
        self.faults.around("wrap", context.purpose.as_str(), call).await
    }

    async fn unwrap(
        &self,
        cx: &Context,
        recipient: &Recipient,
        body: &WrapBody,
        context: &KeyContext,
    ) -> Result<DataKey> {
        let call = self.inner.unwrap(cx, recipient, body, context);
        self.faults.around("unwrap", context.purpose.as_str(), call).await
    }

    async fn rewrap(
        &self,
        cx: &Context,
        recipient: &Recipient,
        body: &WrapBody,
        context: &KeyContext,
    ) -> Result<WrapBody> {
        let call = self.inner.rewrap(cx, recipient, body, context);
        self.faults.around("rewrap", context.purpose.as_str(), call).await
    }

    fn local_path(&self) -> Option<PathBuf> {
        self.inner.local_path()
    }
}

/// A signer that fails by a rule. Operation: `sign`.
#[derive(Debug, Clone)]
pub struct FaultySigner {
    inner: Arc<dyn Signer>,
    faults: Faults,
}

impl FaultySigner {
    /// Puts `faults` before `inner`.
    pub fn new(inner: Arc<dyn Signer>, faults: Faults) -> Self {
        Self { inner, faults }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Signer for FaultySigner {
    fn public(&self) -> PublicKey {
        self.inner.public()
    }

    async fn sign(&self, cx: &Context, message: &[u8]) -> Result<Signature> {
        self.faults.around("sign", "", self.inner.sign(cx, message)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_signer_fails_when_told_and_signs_otherwise() {
        let seed = crate::crypt::SeedSigner::new(&DataKey::new([3; 32]));
        let whole = seed.sign(&Context::new(), b"text").await.unwrap();
        let faults = Faults::nth(1, Fault::Fail(ErrorKind::Unavailable));
        let signer = FaultySigner::new(Arc::new(seed), faults);
        let cx = Context::new();
        let failed = signer.sign(&cx, b"text").await.unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::Unavailable);
        assert_eq!(signer.sign(&cx, b"text").await.unwrap(), whole);
    }
    use crate::crypt::{Aes256Gcm, KeyFile, KeyPurpose};

    #[test]
    fn the_nth_call_fails_and_leaves_nothing() {
        let faults = Faults::nth(2, Fault::Fail(ErrorKind::Other));
        let cipher = FaultyCipher::new(&Aes256Gcm, faults);
        let mut buffer = vec![1; 5];
        cipher.seal(&DataKey::new([1; 32]), &[0; 12], &mut buffer).unwrap();
        let error = cipher.open(&DataKey::new([1; 32]), &[0; 12], &mut buffer).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Other);
        assert!(buffer.is_empty());
    }

    #[tokio::test]
    async fn one_purpose_can_fail_alone() {
        let directory = tempfile::tempdir().unwrap();
        let file = KeyFile::generate(directory.path().join("key"), None).unwrap();
        let faults = Faults::when(|call| {
            (call.subject == "secrets").then_some(Fault::Fail(ErrorKind::Denied))
        });
        let provider = FaultyKeyProvider::new(Arc::new(file), faults);
        let cx = Context::new();
        let key = DataKey::new([1; 32]);
        let context = |purpose| KeyContext { repository: [1; 32], purpose, object: [2; 16] };
        provider.wrap(&cx, &key, &context(KeyPurpose::Archive)).await.unwrap();
        let error = provider.wrap(&cx, &key, &context(KeyPurpose::Secrets)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied);
    }
}
