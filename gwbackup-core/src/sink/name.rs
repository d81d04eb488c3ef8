//! Names of objects.

use std::fmt;

use crate::error::{Error, Result};

/// A checked object name: at most 8 parts joined by `/`, each `[a-z0-9][a-z0-9._-]*`, at most 120
/// bytes, not ending in a dot, and not the name of a Windows device. Safe as a path on every system
/// and as a key in every store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub struct ObjectName(String);

impl ObjectName {
    /// `Corrupt` for a name outside the set: names are read from stored bytes, too.
    pub fn new(name: &str) -> Result<Self> {
        let parts = name.split('/').count();
        if parts > 8 || !name.split('/').all(part_fits) {
            return Err(
                Error::corrupt("this is no name of a stored object").on(format!("{name:?}"))
            );
        }
        Ok(Self(name.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `text` mapped into the set of one part: lower case, everything else to `-`; `x` in front
    /// where it would not begin rightly or be a device.
    pub fn part_of(text: &str) -> String {
        let mut part: String = text
            .chars()
            .flat_map(char::to_lowercase)
            .map(|c| if matches!(c, 'a'..='z' | '0'..='9' | '.' | '_' | '-') { c } else { '-' })
            .take(60)
            .collect();
        while part.ends_with('.') {
            part.pop();
        }
        if !part_fits(&part) {
            part.insert(0, 'x');
        }
        part
    }
}

fn part_fits(part: &str) -> bool {
    let stem = part.split('.').next().unwrap_or_default();
    let device = matches!(stem, "con" | "prn" | "aux" | "nul")
        || (stem.len() == 4
            && (stem.starts_with("com") || stem.starts_with("lpt"))
            && stem.ends_with(|c: char| c.is_ascii_digit()));
    part.len() <= 120
        && part.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && part.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-'))
        && !part.ends_with('.')
        && !device
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_a_path_or_a_store_would_misread() {
        for bad in [
            "",
            "/a",
            "a/",
            "a//b",
            "../a",
            "a/../b",
            "a/.",
            "A",
            "a b",
            "-a",
            ".tmp-a",
            "a.",
            "con",
            "com1.txt",
            "a/b/c/d/e/f/g/h/i",
            "a\\b",
            "a\0b",
        ] {
            assert!(ObjectName::new(bad).is_err(), "{bad:?}");
        }
        assert!(ObjectName::new(&"a".repeat(121)).is_err());
        for good in ["repository.json", "log/000000000001.json", "a/b/c/d/e/f/g/h"] {
            assert!(ObjectName::new(good).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn free_text_becomes_a_part() {
        for text in ["Shop Prod", "../x", "ÄÖ", "con", "", "..", "a.b."] {
            let part = ObjectName::part_of(text);
            assert!(ObjectName::new(&part).is_ok(), "{text:?} -> {part:?}");
        }
    }
}
