//! Keyed digests of what must not be guessable from outside.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::{DataKey, hex};
use crate::error::{Error, ErrorKind, Result};

/// HMAC-SHA-256 under the repository's digest key: tells whether two states are equal, and tells
/// nothing to those without the key.
pub struct StateDigest(Hmac<Sha256>);

impl StateDigest {
    /// Begins a digest.
    pub fn new(digest_key: &DataKey) -> Result<Self> {
        Hmac::new_from_slice(digest_key.expose())
            .map(Self)
            .map_err(|_| Error::new(ErrorKind::Other, "the digest key has no usable length"))
    }

    /// Takes more of the state. How it is cut into calls makes no difference.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest, hex.
    pub fn finish(self) -> String {
        hex::encode(&self.0.finalize().into_bytes())
    }
}

impl fmt::Debug for StateDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StateDigest(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test case 1, whose 20-byte key is filled up with the zero bytes that HMAC itself
    /// would add.
    #[test]
    fn published_vector_in_any_pieces() {
        let mut key = [0; 32];
        key[..20].fill(0x0b);
        let mut digest = StateDigest::new(&DataKey::new(key)).unwrap();
        digest.update(b"Hi ");
        digest.update(b"There");
        assert_eq!(
            digest.finish(),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        );
    }
}
