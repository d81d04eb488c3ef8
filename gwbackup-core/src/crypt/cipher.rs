//! Stand-in until the ciphers are merged.

use aes_gcm::aead::{Aead, KeyInit};
use serde::{Deserialize, Serialize};

use super::{Cipher, DataKey};
use crate::error::{Error, Result};

/// Which construction seals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Suite {
    /// AES-256-GCM.
    #[serde(rename = "aes-256-gcm")]
    Aes256Gcm,
}

#[derive(Debug)]
struct Gcm;

/// The cipher of a suite.
pub fn cipher(_: Suite) -> &'static dyn Cipher {
    &Gcm
}

impl Cipher for Gcm {
    fn suite(&self) -> Suite {
        Suite::Aes256Gcm
    }

    fn seal(&self, key: &DataKey, nonce: &[u8; 12], buffer: &mut Vec<u8>) -> Result<()> {
        let gcm = aes_gcm::Aes256Gcm::new(key.expose().into());
        *buffer = gcm
            .encrypt(nonce.into(), buffer.as_slice())
            .map_err(|_| Error::invalid("too long to seal"))?;
        Ok(())
    }

    fn open(&self, key: &DataKey, nonce: &[u8; 12], buffer: &mut Vec<u8>) -> Result<()> {
        let gcm = aes_gcm::Aes256Gcm::new(key.expose().into());
        let plain = gcm.decrypt(nonce.into(), buffer.as_slice());
        buffer.clear();
        *buffer = plain.map_err(|_| Error::corrupt("the tag does not fit"))?;
        Ok(())
    }
}
