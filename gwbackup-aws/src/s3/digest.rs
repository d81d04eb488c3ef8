//! The one digest that the crate `object_store` needs here, of the library that this project uses.

use object_store::client::{
    CryptoProvider, DigestAlgorithm, DigestContext, HmacContext, Signer, SigningAlgorithm,
};
use object_store::{Error, Result};
use sha2::{Digest as _, Sha256};

/// SHA-256 for checksums. Signatures are made elsewhere.
#[derive(Debug)]
pub(super) struct Checksums;

#[derive(Default)]
struct Running {
    hasher: Sha256,
    done: Vec<u8>,
}

impl DigestContext for Running {
    fn update(&mut self, data: &[u8]) {
        self.hasher.update(data);
    }

    fn finish(&mut self) -> Result<&[u8]> {
        self.done = self.hasher.finalize_reset().to_vec();
        Ok(&self.done)
    }
}

fn elsewhere(operation: &str) -> Error {
    Error::NotImplemented { operation: operation.to_owned(), implementer: "gwbackup".to_owned() }
}

impl CryptoProvider for Checksums {
    fn digest(&self, algorithm: DigestAlgorithm) -> Result<Box<dyn DigestContext>> {
        match algorithm {
            DigestAlgorithm::Sha256 => Ok(Box::new(Running::default())),
            _ => Err(elsewhere("this digest")),
        }
    }

    fn hmac(&self, _: DigestAlgorithm, _: &[u8]) -> Result<Box<dyn HmacContext>> {
        Err(elsewhere("a message authentication code"))
    }

    fn sign(&self, _: SigningAlgorithm, _: &[u8]) -> Result<Box<dyn Signer>> {
        Err(elsewhere("a signature"))
    }
}
