//! Ids and secrets that the node makes, and the hashes it keeps in place of passwords.

use std::collections::VecDeque;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use sha1_smol::Sha1;
use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid};

/// Where a node's ids and secrets come from: those that a test gave, then a seeded sequence.
#[derive(Debug)]
pub(super) struct Source {
    given: VecDeque<Uuid>,
    state: u64,
}

impl Source {
    pub(super) fn new(seed: u64) -> Self {
        Self { given: VecDeque::new(), state: seed }
    }

    pub(super) fn give(&mut self, ids: impl IntoIterator<Item = Uuid>) {
        self.given.extend(ids);
    }

    /// `SplitMix64`: the state moves on by a constant, the output is a mix of it.
    pub(super) fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn bytes(&mut self) -> [u8; 16] {
        (u128::from(self.number()) << 64 | u128::from(self.number())).to_be_bytes()
    }

    pub(super) fn uuid(&mut self) -> Uuid {
        let given = self.given.pop_front();
        given.unwrap_or_else(|| Builder::from_random_bytes(self.bytes()).into_uuid())
    }

    /// 32 letters and digits, as the node makes keys and secrets.
    pub(super) fn text(&mut self) -> String {
        const LETTERS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let mut letter = || {
            let at = self.number() % LETTERS.len() as u64;
            usize::try_from(at).ok().and_then(|at| LETTERS.get(at)).map_or('0', |b| char::from(*b))
        };
        (0..32).map(|_| letter()).collect()
    }

    /// What the node keeps of an OAuth 2 secret. It has the shape of Kong's PBKDF2 string, and the
    /// same property that matters here: hashing again gives something else. It is SHA-256 alone,
    /// because nothing here resists anybody.
    pub(super) fn oauth2(&mut self, secret: &str) -> String {
        let salt = self.bytes();
        let mut hash = Sha256::new();
        hash.update(salt);
        hash.update(secret.as_bytes());
        let (salt, hash) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(hash.finalize()));
        format!("$pbkdf2-sha512$i=10000,l=32${salt}${hash}")
    }
}

/// What the node keeps of a basic-auth password.
pub(super) fn basic_auth(password: &str, consumer: &str) -> String {
    let mut hash = Sha1::new();
    hash.update(password.as_bytes());
    hash.update(consumer.as_bytes());
    hash.digest().to_string()
}

/// SHA-256 in hex.
pub(super) fn sha256(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut out = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        // Writing to a string cannot fail.
        let _ = write!(out, "{byte:02x}");
    }
    out
}
