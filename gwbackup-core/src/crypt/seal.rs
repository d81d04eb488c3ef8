//! The small seal: for what describes people and gateways inside otherwise readable documents.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::derive::Derivation;
use super::{DataKey, Suite, TAG, cipher, random};
use crate::error::{Error, ErrorKind, Result};

const SALT: usize = 32;

/// Sealed members of a document, as they are stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// Number of the repository key that opens it.
    pub epoch: u32,
    /// How it is sealed.
    pub suite: Suite,
    /// Salt, cipher text and tag, base64.
    pub data: String,
}

/// Seals and opens with the repository keys of one repository. A fresh salt gives every record a
/// key of its own, so no counter has to survive a crash.
pub struct SmallSeal {
    repository: [u8; 32],
    suite: Suite,
    newest: u32,
    keys: BTreeMap<u32, DataKey>,
}

impl SmallSeal {
    /// Seals under `key`, the repository key of `epoch`.
    pub fn new(repository: [u8; 32], suite: Suite, epoch: u32, key: DataKey) -> Self {
        Self { repository, suite, newest: epoch, keys: BTreeMap::from([(epoch, key)]) }
    }

    /// The same, able to open what was sealed in another epoch. New records use the highest epoch.
    #[must_use]
    pub fn with_epoch(mut self, epoch: u32, key: DataKey) -> Self {
        self.keys.insert(epoch, key);
        self.newest = self.newest.max(epoch);
        self
    }

    /// Seals `plain` as part of the object `object_id` of this type. Every call gives other bytes.
    pub fn seal(&self, object_type: &str, object_id: &[u8], plain: &[u8]) -> Result<Sealed> {
        let salt: [u8; SALT] = random()?;
        self.seal_with(salt, object_type, object_id, plain)
    }

    fn seal_with(
        &self,
        salt: [u8; SALT],
        object_type: &str,
        object_id: &[u8],
        plain: &[u8],
    ) -> Result<Sealed> {
        let key = self.derive(self.newest, &salt, object_type, object_id)?;
        let mut text = plain.to_vec();
        cipher(self.suite).seal(&key, &[0; 12], &mut text)?;
        let mut data = salt.to_vec();
        data.append(&mut text);
        Ok(Sealed { epoch: self.newest, suite: self.suite, data: STANDARD.encode(data) })
    }

    /// The way back. `Corrupt` when the record is damaged or belongs to another object,
    /// `KeyUnavailable` when the key of its epoch is not here.
    pub fn open(&self, object_type: &str, object_id: &[u8], sealed: &Sealed) -> Result<Vec<u8>> {
        let damaged = || Error::corrupt("the sealed part is damaged");
        let data = STANDARD.decode(&sealed.data).map_err(|_| damaged())?;
        if data.len() < SALT + TAG {
            return Err(damaged());
        }
        let (salt, text) = data.split_at(SALT);
        let key = self.derive(sealed.epoch, salt, object_type, object_id)?;
        let mut text = text.to_vec();
        cipher(sealed.suite).open(&key, &[0; 12], &mut text).map_err(|_| damaged())?;
        Ok(text)
    }

    fn derive(
        &self,
        epoch: u32,
        salt: &[u8],
        object_type: &str,
        object_id: &[u8],
    ) -> Result<DataKey> {
        let root = self.keys.get(&epoch).ok_or_else(|| {
            Error::new(ErrorKind::KeyUnavailable, "the repository key of this epoch is not here")
                .on(format!("epoch {epoch}"))
        })?;
        let kind = object_type.as_bytes();
        let info: [&[u8]; 5] = [b"gwbackup/v1/meta\0", kind, b"\0", &self.repository, object_id];
        Derivation::new(salt, root).key(&info)
    }
}

impl fmt::Debug for SmallSeal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SmallSeal")
            .field("suite", &self.suite)
            .field("epochs", &self.keys.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use aes_gcm::aead::{Aead, KeyInit};
    use hmac::{Hmac, Mac};
    use proptest::prelude::*;
    use sha2::Sha256;

    use super::*;

    fn seal() -> SmallSeal {
        SmallSeal::new([1; 32], Suite::Aes256Gcm, 3, DataKey::new([2; 32]))
    }

    fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(key).unwrap();
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }

    /// RFC 5869 by hand, the cipher by its own crate.
    #[test]
    fn the_construction_is_the_written_one() {
        let sealed = seal().seal_with([9; 32], "event", &[5; 16], b"plain").unwrap();
        let prk = hmac(&[9; 32], &[&[2; 32]]);
        let mut info = b"gwbackup/v1/meta\x00event\x00".to_vec();
        info.extend([1; 32]);
        info.extend([5; 16]);
        let key = hmac(&prk, &[&info, &[1]]);
        let text = aes_gcm::Aes256Gcm::new(&key.into())
            .encrypt(&[0; 12].into(), b"plain".as_slice())
            .unwrap();
        let mut data = vec![9; 32];
        data.extend(text);
        assert_eq!(sealed.epoch, 3);
        assert_eq!(STANDARD.decode(sealed.data).unwrap(), data);
    }

    #[test]
    fn opens_only_where_it_was_sealed() {
        let sealed = seal().seal("event", &[5; 16], b"plain").unwrap();
        assert_eq!(seal().open("event", &[5; 16], &sealed).unwrap(), b"plain");
        assert_ne!(seal().seal("event", &[5; 16], b"plain").unwrap(), sealed);
        assert!(seal().open("manifest", &[5; 16], &sealed).is_err());
        assert!(seal().open("event", &[6; 16], &sealed).is_err());
        let other = SmallSeal::new([0; 32], Suite::Aes256Gcm, 3, DataKey::new([2; 32]));
        assert_eq!(other.open("event", &[5; 16], &sealed).unwrap_err().kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn epochs_are_apart() {
        let old = seal().seal("event", &[5; 16], b"old").unwrap();
        let both = seal().with_epoch(4, DataKey::new([4; 32]));
        let new = both.seal("event", &[5; 16], b"new").unwrap();
        assert_eq!(new.epoch, 4);
        assert_eq!(both.open("event", &[5; 16], &old).unwrap(), b"old");
        let error = seal().open("event", &[5; 16], &new).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::KeyUnavailable);
    }

    proptest! {
        #[test]
        fn damage_is_found(
            plain in proptest::collection::vec(any::<u8>(), 0..200),
            at in any::<prop::sample::Index>(),
            bit in 0..8u32,
        ) {
            let mut sealed = seal().seal("event", &[5; 16], &plain).unwrap();
            let mut data = STANDARD.decode(&sealed.data).unwrap();
            let at = at.index(data.len());
            data[at] ^= 1 << bit;
            sealed.data = STANDARD.encode(&data);
            prop_assert!(seal().open("event", &[5; 16], &sealed).is_err());
            data.truncate(at);
            sealed.data = STANDARD.encode(&data);
            prop_assert!(seal().open("event", &[5; 16], &sealed).is_err());
        }
    }
}
