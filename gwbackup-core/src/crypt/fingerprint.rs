//! Short digests that stand for texts where the texts would take too much memory.

use sha2::{Digest as _, Sha256};

/// Half of a SHA-256.
pub(crate) type Fingerprint = [u8; 16];

/// Stands for these parts, in this order and cut in this way. 128 bits: among all that a gateway
/// holds no two meet by chance, and whoever wants two to meet has 2^64 to try.
pub(crate) fn fingerprint<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Fingerprint {
    let mut digest = Sha256::new();
    for part in parts {
        // Lengths keep "ab" + "c" and "a" + "bc" apart.
        digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        digest.update(part);
    }
    let digest: [u8; 32] = digest.finalize().into();
    let [half @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = digest;
    half
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_told_apart() {
        let of = |parts: &[&str]| fingerprint(parts.iter().map(|part| part.as_bytes()));
        let all = [&["ab", "c"][..], &["a", "bc"], &["abc"], &["abc", ""], &["", "abc"], &[]];
        let found: std::collections::BTreeSet<_> = all.iter().map(|parts| of(parts)).collect();
        assert_eq!(found.len(), all.len());
        // SHA-256 of eight zero bytes and of nothing more.
        assert_eq!(crate::crypt::hex::encode(&of(&[""])), "af5570f5a1810b7af78caf4bc70a660f");
    }
}
