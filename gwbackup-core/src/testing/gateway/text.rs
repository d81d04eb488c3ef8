//! The vendor's grammar of names inside text: `arn:gw:<account>:...` and `restapis/<api id>`.

use std::ops::Range;

/// What a piece of text names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mention {
    /// The account of a gateway.
    Account,
    /// An api, by its id.
    Api,
}

/// The names in `text`, from left to right, with their places in bytes.
pub(super) fn mentions(text: &str) -> Vec<(Range<usize>, Mention)> {
    let mut found = Vec::new();
    for (marker, what) in [("arn:gw:", Mention::Account), ("restapis/", Mention::Api)] {
        for (at, _) in text.match_indices(marker) {
            let start = at + marker.len();
            let rest = text.get(start..).unwrap_or_default();
            let len = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
            if len > 0 {
                found.push((start..start + len, what));
            }
        }
    }
    found.sort_by_key(|(range, _)| range.start);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_with_their_places() {
        let text = "{\"r\":\"arn:gw:0042:restapis/a1b/*\",\"s\":\"restapis/zz\"} restapis/";
        let found: Vec<_> = mentions(text).into_iter().map(|(r, m)| (&text[r], m)).collect();
        let wanted = [("0042", Mention::Account), ("a1b", Mention::Api), ("zz", Mention::Api)];
        assert_eq!(found, wanted);
    }
}
