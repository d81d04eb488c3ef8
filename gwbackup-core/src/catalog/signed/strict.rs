//! What a signed body may be made of, beyond being JSON.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// How deep bodies may nest.
const DEPTH: u8 = 32;

/// Numbers from here on are not the same number to every reader.
const NUMBERS: u64 = 1 << 53;

/// Accepts one object in which no member is doubled, nothing nests deeper than 32 levels, and every
/// number is an integer below 2^53.
pub(super) fn check(line: &[u8]) -> serde_json::Result<()> {
    let mut reader = serde_json::Deserializer::from_slice(line);
    Strict { left: DEPTH }.deserialize(&mut reader)?;
    reader.end()
}

#[derive(Clone, Copy)]
struct Strict {
    left: u8,
}

impl Strict {
    fn below<E: Error>(self) -> Result<Self, E> {
        let left = self.left.checked_sub(1).ok_or_else(|| E::custom("nested too deep"))?;
        Ok(Self { left })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that can be signed")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        if number < NUMBERS { Ok(()) } else { Err(E::custom("number out of range")) }
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        self.visit_u64(number.unsigned_abs())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Err(E::custom("number is no integer"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let below = self.below()?;
        while items.next_element_seed(below)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let below = self.below()?;
        let mut seen = HashSet::new();
        while let Some(name) = members.next_key::<String>()? {
            if !seen.insert(name) {
                return Err(A::Error::custom("doubled member"));
            }
            members.next_value_seed(below)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn refuses_what_two_readers_could_read_differently() {
        for bad in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":{"b":1,"\u0062":2}}"#,
            r#"[{"a":[{"x":0,"x":0}]}]"#,
            r#"{"a":1.0}"#,
            r#"{"a":1e3}"#,
            r#"{"a":9007199254740992}"#,
            r#"{"a":-9007199254740992}"#,
            r#"{"a":18446744073709551616}"#,
            r#"{"a":1} x"#,
            r#"{"a":1"#,
        ] {
            assert!(check(bad.as_bytes()).is_err(), "{bad}");
        }
        for good in [r#"{"a":9007199254740991,"b":[-1,null,true,"x"],"c":{"a":{}}}"#, "{}"] {
            assert!(check(good.as_bytes()).is_ok(), "{good}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(check(nested(32).as_bytes()).is_ok());
        assert!(check(nested(33).as_bytes()).is_err());
        assert!(check(nested(100_000).as_bytes()).is_err());
    }
}
