//! Text inside text: the strings of a document, and what percent signs hide.

use std::ops::Range;

use super::scan::skip_string;

/// Where the string tokens of a JSON text stand, quotes included, from left to right.
pub(crate) fn strings(json: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + json.get(at..)?.find('"')?;
        at = skip_string(json.as_bytes(), start);
        Some(start..at)
    })
}

/// A text in which percent signs stood for characters.
#[derive(Debug)]
pub(crate) struct Unescaped {
    /// What they stood for.
    pub(crate) text: String,
    /// Where each of its bytes stood, and where the last one ended.
    at: Vec<usize>,
}

impl Unescaped {
    /// The text without its percent signs. `None` where nothing is escaped, or no text comes out.
    pub(crate) fn of(text: &str) -> Option<Self> {
        if !text.contains('%') {
            return None;
        }
        let bytes = text.as_bytes();
        let (mut out, mut places, mut at) = (Vec::with_capacity(bytes.len()), Vec::new(), 0);
        while let Some(byte) = bytes.get(at) {
            let hex = if *byte == b'%' { text.get(at + 1..at + 3) } else { None };
            let hex = hex.filter(|hex| hex.bytes().all(|digit| digit.is_ascii_hexdigit()));
            places.push(at);
            if let Some(code) = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
                out.push(code);
                at += 3;
            } else {
                out.push(*byte);
                at += 1;
            }
        }
        places.push(bytes.len());
        let text = String::from_utf8(out).ok().filter(|out| out.len() < bytes.len())?;
        Some(Self { text, at: places })
    }

    /// Where these bytes of the text stood.
    pub(crate) fn stood(&self, range: &Range<usize>) -> Range<usize> {
        let place = |n: usize| self.at.get(n).or(self.at.last()).copied().unwrap_or_default();
        place(range.start)..place(range.end)
    }

    /// Whether this byte was escaped.
    pub(crate) fn was_escaped(&self, byte: usize) -> bool {
        let stood = self.stood(&(byte..byte + 1));
        byte < self.text.len() && stood.len() == 3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_found_with_their_quotes() {
        let text = r#"{ "a\"b" : [1, "", "x\\"] , "n":{"y":null}}"#;
        let found: Vec<&str> = strings(text).map(|at| &text[at]).collect();
        assert_eq!(found, [r#""a\"b""#, r#""""#, r#""x\\""#, r#""n""#, r#""y""#]);
    }

    #[test]
    fn percent_signs_are_read_and_their_places_kept() {
        let text = "a%3Ab%C3%BC%zz";
        let found = Unescaped::of(text).unwrap();
        assert_eq!(found.text, "a:bü%zz");
        assert_eq!(&text[found.stood(&(1..2))], "%3A");
        assert_eq!(&text[found.stood(&(3..5))], "%C3%BC");
        assert!(found.was_escaped(1) && !found.was_escaped(0) && !found.was_escaped(99));
        for plain in ["", "abc", "100%", "%zz", "%ff"] {
            assert!(Unescaped::of(plain).is_none(), "{plain}");
        }
    }
}
