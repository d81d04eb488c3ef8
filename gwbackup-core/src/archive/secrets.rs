//! The tokens that were taken out of the documents of a frame, in order of occurrence.

use zeroize::Zeroizing;
use zstd::bulk::{Compressor, Decompressor};

use super::record::{RECORD, decompress};
use crate::error::{Error, Result};

/// Bytes of the longest number that gives a token's length.
const LENGTH: usize = 5;

/// Bytes of the shortest token that compression is tried on: a frame's own header eats what there is
/// to gain on shorter ones, and a try costs more than all else that is done with them.
const WORTH_IT: usize = 64;

/// Writes tokens. Each is compressed alone, so that its stored length tells nothing about how it
/// compares with text that somebody else chose.
pub struct TokenEncoder {
    zstd: Compressor<'static>,
    packed: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for TokenEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenEncoder(..)")
    }
}

impl TokenEncoder {
    /// An encoder at this level of compression, 1 to 19.
    pub fn new(level: i32) -> Result<Self> {
        let zstd = Compressor::new(level.clamp(1, 19))?;
        Ok(Self { zstd, packed: Zeroizing::default() })
    }

    /// Appends a raw JSON token. `Invalid` when it is longer than a record can be.
    pub fn encode(&mut self, token: &[u8], out: &mut Vec<u8>) -> Result<()> {
        if token.len() > RECORD {
            return Err(Error::invalid("a secret is larger than 65 MiB"));
        }
        self.packed.clear();
        if token.len() >= WORTH_IT {
            self.packed.reserve(zstd::zstd_safe::compress_bound(token.len()));
            self.zstd.compress_to_buffer(token, &mut *self.packed)?;
        }
        let packed = (1..token.len()).contains(&self.packed.len());
        let bytes = if packed { self.packed.as_slice() } else { token };
        let mut number = bytes.len() * 2 + usize::from(packed);
        while number >= 0x80 {
            out.push(u8::try_from(number & 0x7f).unwrap_or_default() | 0x80);
            number >>= 7;
        }
        out.push(u8::try_from(number).unwrap_or_default());
        out.extend_from_slice(bytes);
        Ok(())
    }
}

/// Reads tokens, one after the other.
pub struct TokenDecoder<'a> {
    rest: &'a [u8],
}

impl std::fmt::Debug for TokenDecoder<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenDecoder").field("rest", &self.rest.len()).finish()
    }
}

impl<'a> TokenDecoder<'a> {
    /// Over a sequence as [`TokenEncoder`] writes it.
    pub fn new(sequence: &'a [u8]) -> Self {
        Self { rest: sequence }
    }

    /// The next token; `None` at the end. `Corrupt` when the sequence is malformed or a token is
    /// larger than a record can be; nothing is allocated before its declared length was checked.
    pub fn next_token(&mut self) -> Result<Option<Zeroizing<Vec<u8>>>> {
        let mut token = Zeroizing::new(Vec::new());
        let found = TokenOpener::new()?.next(self, &mut token)?;
        Ok(found.then_some(token))
    }

    /// Steps over `count` tokens and gives the part of the sequence that holds them. `Corrupt` when
    /// there are fewer.
    pub fn take_stored(&mut self, count: usize) -> Result<&'a [u8]> {
        let whole = self.rest;
        for _ in 0..count {
            if self.next_stored()?.is_none() {
                return Err(Error::corrupt("the archive holds fewer secrets than its lines name"));
            }
        }
        Ok(whole.get(..whole.len() - self.rest.len()).unwrap_or_default())
    }

    /// Steps over all tokens that are left and counts them. `Corrupt` when they are malformed.
    pub fn count_stored(&mut self) -> Result<usize> {
        let mut count = 0;
        while self.next_stored()?.is_some() {
            count += 1;
        }
        Ok(count)
    }

    /// Whether all tokens were read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Bytes of the tokens that were not read.
    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }

    fn next_stored(&mut self) -> Result<Option<(&'a [u8], bool)>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let malformed = || Error::corrupt("the sequence of secrets is malformed");
        let mut number = 0_u64;
        let mut used = 0;
        for byte in self.rest.iter().take(LENGTH) {
            number |= u64::from(byte & 0x7f) << (7 * used);
            used += 1;
            if byte & 0x80 == 0 {
                // Numbers have one form: a last byte of zero would be a second one.
                if *byte == 0 && used > 1 {
                    return Err(malformed());
                }
                let length = usize::try_from(number >> 1).map_err(|_| malformed())?;
                let rest = self.rest.get(used..).unwrap_or_default();
                let (token, rest) = rest.split_at_checked(length).ok_or_else(malformed)?;
                self.rest = rest;
                return Ok(Some((token, number & 1 == 1)));
            }
        }
        Err(malformed())
    }
}

/// Reads tokens of many decoders with one context.
pub(super) struct TokenOpener {
    zstd: Decompressor<'static>,
    token: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for TokenOpener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenOpener(..)")
    }
}

impl TokenOpener {
    pub(super) fn new() -> Result<Self> {
        Ok(Self { zstd: Decompressor::new()?, token: Zeroizing::default() })
    }

    /// Appends the next token to `out`; whether there was one. Errors as
    /// [`TokenDecoder::next_token`].
    pub(super) fn next(
        &mut self,
        decoder: &mut TokenDecoder<'_>,
        out: &mut Zeroizing<Vec<u8>>,
    ) -> Result<bool> {
        let Some((bytes, packed)) = decoder.next_stored()? else { return Ok(false) };
        if !packed {
            out.extend_from_slice(bytes);
            return Ok(true);
        }
        let malformed = || Error::corrupt("a stored secret does not decompress");
        let length = zstd::zstd_safe::get_frame_content_size(bytes).map_err(|_| malformed())?;
        let length = length.and_then(|length| usize::try_from(length).ok());
        let length = length.filter(|length| *length <= RECORD).ok_or_else(malformed)?;
        decompress(&mut self.zstd, bytes, length, &mut self.token)?;
        out.extend_from_slice(&self.token);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(tokens: &[Vec<u8>]) -> Vec<u8> {
        let mut encoder = TokenEncoder::new(3).unwrap();
        let mut out = Vec::new();
        for token in tokens {
            encoder.encode(token, &mut out).unwrap();
        }
        out
    }

    #[test]
    fn short_tokens_are_raw_and_long_ones_are_packed() {
        assert_eq!(encoded(&[b"\"abc\"".to_vec()]), b"\x0a\"abc\"");
        let long = encoded(&[vec![b'x'; 5000]]);
        assert!(long.len() < 100);
        assert_eq!(long[0] & 1, 1);
    }

    #[test]
    fn malformed_sequences_are_refused() {
        for bad in [
            &b"\x04a"[..],
            b"\x80",
            b"\x80\x00",
            b"\xff\xff\xff\xff\x7f",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            b"\x09abcd",
        ] {
            assert!(TokenDecoder::new(bad).next_token().is_err(), "{bad:?}");
        }
        assert!(TokenDecoder::new(b"\x02a").take_stored(2).is_err());
    }

    proptest! {
        #[test]
        fn tokens_come_back(
            tokens in prop::collection::vec(prop_oneof![
                prop::collection::vec(any::<u8>(), 0..300),
                (any::<u8>(), 0..3000_usize).prop_map(|(byte, n)| vec![byte; n]),
            ], 0..8),
            split in 0..8_usize,
        ) {
            let sequence = encoded(&tokens);
            let split = split.min(tokens.len());
            let mut decoder = TokenDecoder::new(&sequence);
            let first = decoder.take_stored(split).unwrap();
            let mut found = Vec::new();
            let mut head = TokenDecoder::new(first);
            while let Some(token) = head.next_token().unwrap() {
                found.push(token.to_vec());
            }
            while let Some(token) = decoder.next_token().unwrap() {
                found.push(token.to_vec());
            }
            prop_assert_eq!(found, tokens);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut decoder = TokenDecoder::new(&bytes);
            while let Ok(Some(_)) = decoder.next_token() {}
        }
    }
}
