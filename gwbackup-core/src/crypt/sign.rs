//! Signatures: Ed25519, verified strictly.

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use super::{DataKey, Signer, hex};
use crate::context::Context;
use crate::error::{Error, Result};

/// A public key. Its text form is base64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// A key of these bytes; whether they are a point of the curve shows when something is
    /// verified.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The name under which it signs.
    pub fn id(&self) -> SignerId {
        let digest: [u8; 32] = Sha256::digest(self.0).into();
        let mut id = [0; 16];
        id.copy_from_slice(&digest[..16]);
        SignerId(id)
    }
}

/// Names a public key: the first half of its SHA-256. Its text form is hex.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SignerId([u8; 16]);

impl SignerId {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl FromStr for SignerId {
    type Err = Error;

    /// `Corrupt` for anything but 32 lower-case hex digits.
    fn from_str(text: &str) -> Result<Self> {
        hex::decode(text).map(Self).ok_or_else(|| Error::corrupt("this is no signer id"))
    }
}

/// A signature. Its text form is base64.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature([u8; 64]);

impl Signature {
    /// A signature of these bytes.
    pub fn new(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

/// Whether `signature` is `public`'s over exactly `message`. Refuses small-order keys and encodings
/// that are not canonical. `Corrupt` on any mismatch.
pub fn verify(public: &PublicKey, message: &[u8], signature: &Signature) -> Result<()> {
    let forged = || Error::corrupt("the signature does not fit");
    let key = VerifyingKey::from_bytes(&public.0).map_err(|_| forged())?;
    let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
    key.verify_strict(message, &signature).map_err(|_| forged())
}

/// Signs with a seed held in memory, wiped when dropped.
pub struct SeedSigner(SigningKey);

impl SeedSigner {
    /// The signer of this seed.
    pub fn new(seed: &DataKey) -> Self {
        Self(SigningKey::from_bytes(seed.expose()))
    }
}

impl fmt::Debug for SeedSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SeedSigner({})", self.public().id())
    }
}

#[async_trait]
impl Signer for SeedSigner {
    fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    async fn sign(&self, _: &Context, message: &[u8]) -> Result<Signature> {
        Ok(Signature(self.0.sign(message).to_bytes()))
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.id())
    }
}

impl fmt::Display for SignerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl fmt::Debug for SignerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignerId({self})")
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signature(..)")
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(self.0))
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_base64(deserializer).map(Self)
    }
}

impl Serialize for Signature {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(self.0))
    }
}

impl<'de> Deserialize<'de> for Signature {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_base64(deserializer).map(Self)
    }
}

impl Serialize for SignerId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SignerId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

fn from_base64<'de, D: Deserializer<'de>, const N: usize>(from: D) -> Result<[u8; N], D::Error> {
    let text = String::deserialize(from)?;
    let bytes = STANDARD.decode(text).map_err(|_| D::Error::custom("no base64"))?;
    bytes.try_into().map_err(|_| D::Error::custom("another length is expected"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes<const N: usize>(text: &str) -> [u8; N] {
        hex::decode(text).unwrap()
    }

    /// RFC 8032, section 7.1, test 2.
    #[tokio::test]
    async fn published_vector() {
        let seed = bytes("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
        let signer = SeedSigner::new(&DataKey::new(seed));
        let public: [u8; 32] =
            bytes("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
        assert_eq!(signer.public().as_bytes(), &public);
        let signature = signer.sign(&Context::new(), &[0x72]).await.unwrap();
        let expected: [u8; 64] = bytes(
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
             085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        );
        assert_eq!(signature.as_bytes(), &expected);
        verify(&signer.public(), &[0x72], &signature).unwrap();
        assert!(verify(&signer.public(), &[0x73], &signature).is_err());
    }

    #[test]
    fn a_small_order_key_signs_nothing() {
        // The neutral element and an all-zero scalar satisfy the lax equation for every message.
        let mut point = [0; 32];
        point[0] = 1;
        let mut signature = [0; 64];
        signature[0] = 1;
        let forged = verify(&PublicKey(point), b"anything", &Signature(signature));
        assert!(forged.is_err());
    }

    #[test]
    fn text_forms_are_strict() {
        let key = PublicKey([7; 32]);
        let text = serde_json::to_string(&key).unwrap();
        assert_eq!(serde_json::from_str::<PublicKey>(&text).unwrap(), key);
        assert!(serde_json::from_str::<PublicKey>("\"AAAA\"").is_err());
        assert!("A18112b0b7b4225ff30527e0f7cf7a1e".parse::<SignerId>().is_err());
    }
}
