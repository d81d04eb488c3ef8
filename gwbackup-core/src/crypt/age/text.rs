//! Age keys as text: Bech32, as the age specification uses it.

use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32, Hrp};
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind, Result};

/// Longer than either form of a key, so that the buffer never grows and leaves a copy behind.
const ROOM: usize = 80;

/// Which half of a key pair a text is.
#[derive(Clone, Copy)]
pub(super) enum Half {
    Public,
    Secret,
}

impl Half {
    fn prefix(self) -> &'static str {
        match self {
            Self::Public => "age",
            Self::Secret => "AGE-SECRET-KEY-",
        }
    }
}

/// The text of 32 bytes: lower case for the public half, upper case for the secret one.
pub(super) fn encode(half: Half, bytes: &[u8; 32]) -> Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::with_capacity(ROOM));
    let written = Hrp::parse(half.prefix()).is_ok_and(|prefix| {
        match half {
            Half::Public => bech32::encode_lower_to_fmt::<Bech32, _>(&mut *text, prefix, bytes),
            Half::Secret => bech32::encode_upper_to_fmt::<Bech32, _>(&mut *text, prefix, bytes),
        }
        .is_ok()
    });
    if !written {
        return Err(Error::new(ErrorKind::Other, "an age key could not be written as text"));
    }
    Ok(text)
}

/// The bytes of a text; `None` for anything but the one way of writing them.
pub(super) fn decode(half: Half, text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let mut bytes = Zeroizing::new([0; 32]);
    let checked = CheckedHrpstring::new::<Bech32>(text).ok()?;
    let mut given = checked.byte_iter();
    for byte in bytes.iter_mut() {
        *byte = given.next()?;
    }
    // Writing it again refuses a longer text, another prefix or case, and stray padding bits.
    (*encode(half, &bytes).ok()? == text).then_some(bytes)
}
