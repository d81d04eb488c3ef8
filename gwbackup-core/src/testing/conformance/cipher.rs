//! What every [`Cipher`] keeps.

use crate::crypt::{Cipher, DataKey};
use crate::error::ErrorKind;

const LENGTHS: [usize; 7] = [0, 1, 15, 16, 17, 4096, 65_536];

/// Checks that sealing is exact, adds 16 bytes, depends on key and nonce, agrees with the library's
/// own cipher of the same suite, and that nothing changed opens.
///
/// # Panics
/// On the first breach.
pub fn cipher(cipher: &dyn Cipher) {
    let key = DataKey::new([0x42; 32]);
    let nonce = [7; 12];
    for length in LENGTHS {
        let plain: Vec<u8> = (0..=u8::MAX).cycle().take(length).collect();
        let sealed = seal(cipher, &key, &nonce, &plain);
        assert_eq!(sealed.len(), length + 16, "sealing must add exactly 16 bytes");
        assert_eq!(
            seal(cipher, &key, &nonce, &plain),
            sealed,
            "the same key, nonce and text must give the same bytes"
        );
        assert_eq!(
            seal(crate::crypt::cipher(cipher.suite()), &key, &nonce, &plain),
            sealed,
            "the bytes must be those of the suite that the cipher names"
        );

        let mut buffer = sealed.clone();
        assert!(cipher.open(&key, &nonce, &mut buffer).is_ok(), "what was sealed must open");
        assert_eq!(buffer, plain, "opening must give back the text");

        let mut other_nonce = nonce;
        other_nonce[11] ^= 1;
        assert_ne!(seal(cipher, &key, &other_nonce, &plain), sealed, "the nonce must count");
        refuses(cipher, &key, &other_nonce, &sealed, "another nonce");
        refuses(cipher, &DataKey::new([0x43; 32]), &nonce, &sealed, "another key");
        for at in [0, length / 2, length, length + 15] {
            let mut changed = sealed.clone();
            changed[at] ^= 0x80;
            refuses(cipher, &key, &nonce, &changed, "a changed bit");
        }
        refuses(cipher, &key, &nonce, &sealed[..length + 15], "a missing byte");
        refuses(cipher, &key, &nonce, &[&sealed[..], &[0]].concat(), "an added byte");
    }
    for length in 0..16 {
        refuses(cipher, &key, &nonce, &vec![0; length], "less than a tag");
    }
}

fn seal(cipher: &dyn Cipher, key: &DataKey, nonce: &[u8; 12], plain: &[u8]) -> Vec<u8> {
    let mut buffer = plain.to_vec();
    let sealed = cipher.seal(key, nonce, &mut buffer);
    assert!(sealed.is_ok(), "{} bytes must seal: {sealed:?}", plain.len());
    buffer
}

fn refuses(cipher: &dyn Cipher, key: &DataKey, nonce: &[u8; 12], sealed: &[u8], what: &str) {
    let mut buffer = sealed.to_vec();
    let kind = cipher.open(key, nonce, &mut buffer).map_err(|e| e.kind());
    assert_eq!(kind, Err(ErrorKind::Corrupt), "{what} must be refused as corrupt");
    assert!(buffer.is_empty(), "after {what} nothing may be left in the buffer");
}
