//! The canonical form: members sorted by name, no space between tokens, number and string tokens
//! exactly as written.
//!
//! It works on tokens, never on values, so that `9007199254740993` and `9007199254740992`, `1.0`
//! and `1`, `-0` and `0` stay apart.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::ops::Range;

use crate::error::{Error, Result};

/// Deepest nesting of a document.
pub(crate) const MAX_DEPTH: usize = 128;
/// Largest document in bytes.
pub(crate) const MAX_BYTES: usize = 64 << 20;

/// The canonical form of `text`. `Invalid` for what is no JSON, has a member twice in one object,
/// nests deeper than 128, or is larger than 64 MiB; the error names line and column, never content.
pub(crate) fn canonical(text: &str) -> Result<String> {
    if text.len() > MAX_BYTES {
        return Err(Error::invalid("a document is larger than 64 MiB"));
    }
    let mut writer = Writer {
        source: text.as_bytes(),
        text,
        at: 0,
        depth: 0,
        out: Vec::with_capacity(text.len()),
        members: Vec::new(),
        scratch: Vec::new(),
    };
    writer.space();
    writer.value()?;
    writer.space();
    if writer.at != writer.source.len() {
        return Err(writer.fail("text after the end of the JSON value"));
    }
    // Tokens were copied whole from a `str`, so this never replaces anything.
    Ok(String::from_utf8(writer.out)
        .unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()))
}

/// The text of a string token (quotes included). What no character stands for (half a surrogate
/// pair) becomes U+FFFD.
pub(crate) fn decode(token: &str) -> Cow<'_, str> {
    let inner = token.get(1..token.len().saturating_sub(1)).unwrap_or_default();
    if !inner.as_bytes().contains(&b'\\') {
        return Cow::Borrowed(inner);
    }
    match serde_json::from_str::<String>(token) {
        Ok(text) => Cow::Owned(text),
        Err(_) => Cow::Owned(decode_lossy(inner)),
    }
}

/// The string token of a text.
pub(crate) fn encode(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn decode_lossy(inner: &str) -> String {
    let mut out = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        // A pair of surrogates takes twelve characters, any other escape six or two.
        let escape =
            [12, 6, 2].into_iter().filter_map(|len| rest.get(at..at + len)).find_map(|e| {
                serde_json::from_str::<String>(&format!("\"{e}\""))
                    .ok()
                    .filter(|text| text.chars().count() == 1)
                    .map(|text| (text, e.len()))
            });
        if let Some((text, len)) = escape {
            out.push_str(&text);
            rest = &rest[at + len..];
        } else {
            out.push(char::REPLACEMENT_CHARACTER);
            rest = rest.get(at + 6..).unwrap_or_default();
        }
    }
    out + rest
}

/// From `at` on, the place of the first byte that means something within a string (a quote, a
/// backslash, a control character), or the end. Most text of a document stands in strings, so
/// eight bytes are looked at in one go.
pub(super) fn plain_end(bytes: &[u8], at: usize) -> usize {
    const ONES: u64 = u64::MAX / 0xff;
    const HIGH: u64 = ONES * 0x80;
    // The lowest high bit that is set stands in the first byte below `bound`; in those above it a
    // borrow may have set more.
    let below = |word: u64, bound: u8| word.wrapping_sub(ONES * u64::from(bound)) & !word & HIGH;
    let equal = |word: u64, byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    let mut at = at;
    while let Some(eight) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*eight);
        let found = equal(word, b'"') | equal(word, b'\\') | below(word, 0x20);
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    let means = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
    at + rest.iter().position(means).unwrap_or(rest.len())
}

struct Member {
    /// The name's token, in the output.
    name: Range<usize>,
    /// Name, colon and value, in the output.
    whole: Range<usize>,
    /// The name has no escape, so that its bytes are its text.
    plain: bool,
}

struct Writer<'a> {
    source: &'a [u8],
    text: &'a str,
    at: usize,
    depth: usize,
    out: Vec<u8>,
    members: Vec<Member>,
    scratch: Vec<u8>,
}

impl Writer<'_> {
    fn fail(&self, what: &str) -> Error {
        let before = self.text.get(..self.at).unwrap_or(self.text);
        let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
        let column = before.len() - before.rfind('\n').map_or(0, |at| at + 1) + 1;
        Error::invalid(format!("{what} at line {line} column {column}"))
    }

    fn peek(&self) -> Option<u8> {
        self.source.get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn value(&mut self) -> Result<()> {
        match self.peek() {
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::array),
            Some(b'"') => self.string().map(drop),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.literal("true"),
            Some(b'f') => self.literal("false"),
            Some(b'n') => self.literal("null"),
            _ => Err(self.fail("this is no JSON value")),
        }
    }

    fn nested(&mut self, body: fn(&mut Self) -> Result<()>) -> Result<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.fail("nested deeper than 128 levels"));
        }
        body(self)?;
        self.depth -= 1;
        Ok(())
    }

    fn array(&mut self) -> Result<()> {
        self.take(b'[');
        self.space();
        if self.peek() != Some(b']') {
            loop {
                self.space();
                self.value()?;
                self.space();
                if self.peek() != Some(b',') {
                    break;
                }
                self.take(b',');
            }
        }
        self.close(b']')
    }

    fn object(&mut self) -> Result<()> {
        self.take(b'{');
        self.space();
        let first = self.members.len();
        let start = self.out.len();
        let mut sorted = true;
        if self.peek() != Some(b'}') {
            loop {
                self.space();
                if self.peek() != Some(b'"') {
                    return Err(self.fail("a member needs a name in quotes"));
                }
                let name = self.string()?;
                self.space();
                if self.peek() != Some(b':') {
                    return Err(self.fail("a colon is missing"));
                }
                self.take(b':');
                self.space();
                self.value()?;
                self.space();
                let plain = !self.out[name.clone()].contains(&b'\\');
                let member = Member { whole: name.start..self.out.len(), name, plain };
                if let Some(last) = self.members[first..].last() {
                    sorted = sorted && self.order(last, &member) == Ordering::Less;
                }
                self.members.push(member);
                if self.peek() != Some(b',') {
                    break;
                }
                self.take(b',');
            }
        }
        if !sorted {
            self.sort_members(first, start)?;
        }
        self.members.truncate(first);
        self.close(b'}')
    }

    /// Puts the members that were written from `start` on into order.
    fn sort_members(&mut self, first: usize, start: usize) -> Result<()> {
        let mut members = self.members.split_off(first);
        members.sort_by(|a, b| self.order(a, b));
        if members.windows(2).any(|pair| self.order(&pair[0], &pair[1]) == Ordering::Equal) {
            return Err(self.fail("a member stands twice in the object that ends"));
        }
        self.scratch.clear();
        for (n, member) in members.iter().enumerate() {
            if n > 0 {
                self.scratch.push(b',');
            }
            self.scratch.extend_from_slice(&self.out[member.whole.clone()]);
        }
        self.out.truncate(start);
        self.out.extend_from_slice(&self.scratch);
        Ok(())
    }

    /// The order of two members by name. Most names have no escape; those are not decoded.
    fn order(&self, a: &Member, b: &Member) -> Ordering {
        if a.plain && b.plain {
            let text = |member: &Member| &self.out[member.name.start + 1..member.name.end - 1];
            return text(a).cmp(text(b));
        }
        self.name(a).cmp(&self.name(b))
    }

    fn name(&self, member: &Member) -> Cow<'_, str> {
        let token = std::str::from_utf8(&self.out[member.name.clone()]).unwrap_or_default();
        decode(token)
    }

    /// Copies one byte that was peeked.
    fn take(&mut self, byte: u8) {
        self.at += 1;
        self.out.push(byte);
    }

    fn close(&mut self, byte: u8) -> Result<()> {
        if self.peek() != Some(byte) {
            return Err(self.fail("a comma or a closing bracket is missing"));
        }
        self.take(byte);
        Ok(())
    }

    fn literal(&mut self, word: &str) -> Result<()> {
        if !self.source[self.at..].starts_with(word.as_bytes()) {
            return Err(self.fail("this is no JSON value"));
        }
        self.at += word.len();
        self.out.extend_from_slice(word.as_bytes());
        Ok(())
    }

    /// Copies a string token; its place in the output.
    fn string(&mut self) -> Result<Range<usize>> {
        let from = self.at;
        self.at += 1;
        loop {
            self.at = plain_end(self.source, self.at);
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => self.escape()?,
                Some(_) => return Err(self.fail("a control character in a string")),
                None => return Err(self.fail("a string does not end")),
            }
        }
        self.at += 1;
        let start = self.out.len();
        self.out.extend_from_slice(&self.source[from..self.at]);
        Ok(start..self.out.len())
    }

    fn escape(&mut self) -> Result<()> {
        let len = match self.source.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
            Some(b'u')
                if self
                    .source
                    .get(self.at + 2..self.at + 6)
                    .is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)) =>
            {
                6
            }
            _ => return Err(self.fail("an unknown escape in a string")),
        };
        self.at += len;
        Ok(())
    }

    fn number(&mut self) -> Result<()> {
        let from = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits()?,
            _ => return Err(self.fail("a digit is missing")),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        self.out.extend_from_slice(&self.source[from..self.at]);
        Ok(())
    }

    fn digits(&mut self) -> Result<()> {
        let from = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == from { Err(self.fail("a digit is missing")) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tokens_stay_as_written() {
        for (text, wanted) in [
            ("9007199254740993", "9007199254740993"),
            (" [ 1.0 , 1 , -0, 1e400 ] ", "[1.0,1,-0,1e400]"),
            (r#"{"b":1,"a":{"d":[],"c":{}}}"#, r#"{"a":{"c":{},"d":[]},"b":1}"#),
            (r#"{"b":"\u00e9","a":"é"}"#, r#"{"a":"é","b":"\u00e9"}"#),
            (r#"{"\u0062":1,"a":2}"#, r#"{"a":2,"\u0062":1}"#),
            ("null", "null"),
        ] {
            assert_eq!(canonical(text).unwrap(), wanted);
        }
    }

    #[test]
    fn refuses_what_is_no_json_or_ambiguous() {
        for bad in [
            "",
            "{",
            "[1,]",
            "{\"a\":1,}",
            "01",
            "1.",
            "-",
            "+1",
            "nul",
            "\"\u{1}\"",
            "\"\\x\"",
            "1 2",
            "{\"a\":1,\"a\":1}",
            r#"{"a":1,"\u0061":2}"#,
            "{a:1}",
            "\"a",
            "[1 2]",
            "NaN",
        ] {
            assert!(canonical(bad).is_err(), "{bad:?}");
        }
        let deep = |n| "[".repeat(n) + &"]".repeat(n);
        assert!(canonical(&deep(MAX_DEPTH)).is_ok());
        assert!(canonical(&deep(MAX_DEPTH + 1)).is_err());
    }

    #[test]
    fn an_error_names_the_place_and_not_the_content() {
        let error = canonical("{\n  \"token\": hunter2\n}").unwrap_err().to_string();
        assert!(error.contains("line 2 column 12"), "{error}");
        assert!(!error.contains("hunter2"));
    }

    #[test]
    fn half_a_surrogate_pair_is_kept_and_decodes_to_a_replacement() {
        let token = r#""a\ud800b\u00e9""#;
        assert_eq!(canonical(token).unwrap(), token);
        assert_eq!(decode(token), "a\u{fffd}bé");
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            ".{0,8}".prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
                prop::collection::btree_map(".{0,5}", inner, 0..5)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_end_of_plain_text_is_found(text in r#"[a-z!#é\\x7f\u{80}"\\\x1f\x00]{0,40}"#, at in 0..50_usize) {
            let bytes = text.as_bytes();
            let wanted = (at..bytes.len()).find(|n| matches!(bytes[*n], b'"' | b'\\' | 0..0x20));
            prop_assert_eq!(plain_end(bytes, at), wanted.unwrap_or(bytes.len().max(at)));
        }

        // serde_json's map is sorted by the bytes of the name, so its compact text is the canonical
        // form of values whose tokens it writes itself.
        #[test]
        fn agrees_with_serde_json_where_both_apply(value in json()) {
            let pretty = serde_json::to_string_pretty(&value).unwrap();
            let text = canonical(&pretty).unwrap();
            prop_assert_eq!(&text, &value.to_string());
            prop_assert_eq!(canonical(&text).unwrap(), text);
        }

        #[test]
        fn never_panics(text in r#"[\[\]{}",:\\u0-9a-f.eE+\- \n]{0,40}"#) {
            let accepted = canonical(&text).is_ok();
            let theirs = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
            // We refuse more (doubled members), never less.
            prop_assert!(!accepted || theirs);
        }
    }
}
