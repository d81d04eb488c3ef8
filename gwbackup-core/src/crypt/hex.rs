//! Lower-case hexadecimal text, the one form in which ids and digests are stored.

use std::fmt::Write;

/// `bytes` as lower-case digits.
pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Exactly `N` bytes from exactly `2 N` lower-case digits: each value has one spelling.
pub(crate) fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

fn digit(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_has_one_spelling() {
        assert_eq!(encode(&[0, 0x0f, 0xa0]), "000fa0");
        assert_eq!(decode::<3>("000fa0"), Some([0, 0x0f, 0xa0]));
        for bad in ["000FA0", "000fa", "000fa00", "000fag", " 00fa0", "+00fa0", "000fé"] {
            assert_eq!(decode::<3>(bad), None, "{bad:?}");
        }
    }
}
