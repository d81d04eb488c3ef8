//! Keys from keys: HKDF-SHA-256, and comparison of what it gives.

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::DataKey;
use crate::error::{Error, ErrorKind, Result};

/// A key, extracted under a salt, from which any number of keys are expanded.
pub(crate) struct Derivation(Hkdf<Sha256>);

impl Derivation {
    /// Extracts from `key`. An empty salt is the standard's default.
    pub(crate) fn new(salt: &[u8], key: &DataKey) -> Self {
        Self::of(salt, key.expose())
    }

    /// The same from secret bytes of any length, for constructions that others defined.
    pub(crate) fn of(salt: &[u8], secret: &[u8]) -> Self {
        Self(Hkdf::new(Some(salt), secret))
    }

    /// Expands to 32 bytes under the joined parts of `info`.
    pub(crate) fn expand(&self, info: &[&[u8]]) -> Result<[u8; 32]> {
        let mut bytes = [0; 32];
        self.0
            .expand_multi_info(info, &mut bytes)
            .map_err(|_| Error::new(ErrorKind::Other, "a key could not be derived"))?;
        Ok(bytes)
    }

    /// Expands to a key.
    pub(crate) fn key(&self, info: &[&[u8]]) -> Result<DataKey> {
        self.expand(info).map(DataKey::new)
    }
}

/// Whether two digests are the same, in a time that does not depend on where they differ.
pub(crate) fn same(left: &[u8; 32], right: &[u8; 32]) -> bool {
    // `Mac` compares tags in constant time, which saves a crate for this one comparison.
    let key = hmac::digest::Key::<Hmac<Sha256>>::default();
    let tag = |bytes: &[u8; 32]| Hmac::<Sha256>::new(&key).chain_update(bytes);
    tag(left).verify(&tag(right).finalize().into_bytes()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_sees_every_bit() {
        let one = [7; 32];
        assert!(same(&one, &[7; 32]));
        for bit in 0..256 {
            let mut other = one;
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(!same(&one, &other));
        }
    }
}
