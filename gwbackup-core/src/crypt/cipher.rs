//! The two suites.

use std::fmt;
use std::str::FromStr;

use aes_gcm::aead::{AeadInOut, KeyInit};
use serde::{Deserialize, Serialize};

use super::{Cipher, DataKey};
use crate::error::{Error, Result};

/// Bytes that sealing adds.
pub(crate) const TAG: usize = 16;

/// An authenticated cipher with its key and nonce lengths; stored in every header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Suite {
    /// AES-256-GCM: fast where the processor helps, and approved.
    #[default]
    #[serde(rename = "aes-256-gcm")]
    Aes256Gcm,
    /// XChaCha20-Poly1305: fast and constant in time without help from the processor.
    #[serde(rename = "xchacha20-poly1305")]
    XChaCha20Poly1305,
}

impl Suite {
    /// As configuration and trust documents write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Aes256Gcm => "aes-256-gcm",
            Self::XChaCha20Poly1305 => "xchacha20-poly1305",
        }
    }

    /// As headers write it.
    pub fn code(self) -> u8 {
        match self {
            Self::Aes256Gcm => 1,
            Self::XChaCha20Poly1305 => 2,
        }
    }

    /// The suite of a header's code; `Corrupt` for a code that this version does not know.
    pub fn from_code(code: u8) -> Result<Self> {
        match code {
            1 => Ok(Self::Aes256Gcm),
            2 => Ok(Self::XChaCha20Poly1305),
            _ => Err(Error::corrupt(format!("suite {code} is unknown to this version"))),
        }
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Suite {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        [Self::Aes256Gcm, Self::XChaCha20Poly1305]
            .into_iter()
            .find(|suite| suite.as_str() == text)
            .ok_or_else(|| {
                Error::invalid("no such suite")
                    .on(text)
                    .help("use aes-256-gcm or xchacha20-poly1305")
            })
    }
}

/// The library's own cipher of a suite.
pub fn cipher(suite: Suite) -> &'static dyn Cipher {
    match suite {
        Suite::Aes256Gcm => &Aes256Gcm,
        Suite::XChaCha20Poly1305 => &XChaCha20Poly1305,
    }
}

/// AES-256-GCM in portable code that uses the processor's instructions where it finds them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Aes256Gcm;

impl Cipher for Aes256Gcm {
    fn suite(&self) -> Suite {
        Suite::Aes256Gcm
    }

    fn seal(&self, key: &DataKey, nonce: &[u8; 12], buffer: &mut Vec<u8>) -> Result<()> {
        seal(&aes_gcm::Aes256Gcm::new(key.expose().into()), nonce.into(), buffer)
    }

    fn open(&self, key: &DataKey, nonce: &[u8; 12], buffer: &mut Vec<u8>) -> Result<()> {
        open(&aes_gcm::Aes256Gcm::new(key.expose().into()), nonce.into(), buffer)
    }
}

/// XChaCha20-Poly1305; the 24-byte nonce is 12 zero bytes and the given 12.
#[derive(Debug, Clone, Copy, Default)]
pub struct XChaCha20Poly1305;

impl XChaCha20Poly1305 {
    fn nonce(short: &[u8; 12]) -> [u8; 24] {
        let mut nonce = [0; 24];
        nonce[12..].copy_from_slice(short);
        nonce
    }
}

impl Cipher for XChaCha20Poly1305 {
    fn suite(&self) -> Suite {
        Suite::XChaCha20Poly1305
    }

    fn seal(&self, key: &DataKey, nonce: &[u8; 12], buffer: &mut Vec<u8>) -> Result<()> {
        let cipher = chacha20poly1305::XChaCha20Poly1305::new(key.expose().into());
        seal(&cipher, (&Self::nonce(nonce)).into(), buffer)
    }

    fn open(&self, key: &DataKey, nonce: &[u8; 12], buffer: &mut Vec<u8>) -> Result<()> {
        let cipher = chacha20poly1305::XChaCha20Poly1305::new(key.expose().into());
        open(&cipher, (&Self::nonce(nonce)).into(), buffer)
    }
}

/// Seals in place under any cipher, without associated data.
pub(super) fn seal<A: AeadInOut>(
    cipher: &A,
    nonce: &aes_gcm::aead::Nonce<A>,
    buffer: &mut Vec<u8>,
) -> Result<()> {
    cipher
        .encrypt_in_place(nonce, &[], buffer)
        .map_err(|_| Error::invalid("the text is too long for one seal"))
}

/// The way back. `Corrupt` on any mismatch; the buffer is then empty.
pub(super) fn open<A: AeadInOut>(
    cipher: &A,
    nonce: &aes_gcm::aead::Nonce<A>,
    buffer: &mut Vec<u8>,
) -> Result<()> {
    cipher.decrypt_in_place(nonce, &[], buffer).map_err(|_| {
        buffer.clear();
        Error::corrupt("sealed bytes are damaged or not sealed with this key")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::conformance;

    #[test]
    fn both_ciphers_conform() {
        conformance::cipher(&Aes256Gcm);
        conformance::cipher(&XChaCha20Poly1305);
    }

    /// Test case 14 of "The Galois/Counter Mode of Operation" by its authors.
    #[test]
    fn published_vector_of_gcm() {
        let mut buffer = vec![0; 16];
        Aes256Gcm.seal(&DataKey::new([0; 32]), &[0; 12], &mut buffer).unwrap();
        assert_eq!(
            super::super::hex::encode(&buffer),
            "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"
        );
    }

    #[test]
    fn names_and_codes_come_back() {
        for suite in [Suite::Aes256Gcm, Suite::XChaCha20Poly1305] {
            assert_eq!(suite.to_string().parse::<Suite>().unwrap(), suite);
            assert_eq!(Suite::from_code(suite.code()).unwrap(), suite);
            let json = serde_json::to_string(&suite).unwrap();
            assert_eq!(json, format!("\"{suite}\""));
            assert_eq!(serde_json::from_str::<Suite>(&json).unwrap(), suite);
            assert_eq!(cipher(suite).suite(), suite);
        }
        assert!("aes".parse::<Suite>().is_err());
        assert!(Suite::from_code(0).is_err());
    }
}
