//! Kind and id of a line, without reading the rest of it.

use std::borrow::Cow;
use std::io::BufRead as _;

use serde::Deserialize;

use crate::error::{Error, Result};

/// Kind and id of a line.
pub(super) type Names<'a> = (Cow<'a, str>, Cow<'a, str>);

/// Kind and id. The writer puts them first, which is found without parsing; any other form of the
/// same object is parsed whole. `Corrupt` when the line is no object that names both.
pub(super) fn names(line: &[u8]) -> Result<Names<'_>> {
    match fast(line) {
        Some((kind, id)) => Ok((kind.into(), id.into())),
        None => slow(line),
    }
}

fn fast(line: &[u8]) -> Option<(&str, &str)> {
    let (kind, rest) = plain_text(line.strip_prefix(br#"{"kind":""#)?)?;
    let (id, rest) = plain_text(rest.strip_prefix(br#","id":""#)?)?;
    matches!(rest.first(), Some(b',' | b'}')).then_some((kind, id))
}

/// The text up to the closing quote, if it needs no unescaping, and what follows the quote.
fn plain_text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))?;
    let (text, rest) = bytes.split_at_checked(end)?;
    Some((std::str::from_utf8(text).ok()?, rest.strip_prefix(b"\"")?))
}

fn slow(line: &[u8]) -> Result<Names<'_>> {
    #[derive(Deserialize)]
    struct Named<'a> {
        #[serde(borrow)]
        kind: Cow<'a, str>,
        #[serde(borrow)]
        id: Cow<'a, str>,
    }
    let names: Named<'_> = serde_json::from_slice(line).map_err(|e| {
        // Its own text could quote the document.
        let (column, class) = (e.column(), e.classify());
        Error::corrupt(format!("a line is malformed at column {column} ({class:?})"))
    })?;
    Ok((names.kind, names.id))
}

/// Bytes up to the next line feed, and whether there is one.
pub(super) fn line_length(bytes: &[u8]) -> (usize, bool) {
    let mut rest = bytes;
    // Searching a slice cannot fail; the standard library's search is the fast one.
    let passed = rest.skip_until(b'\n').unwrap_or_default();
    match passed.checked_sub(1) {
        Some(before) if bytes.get(before) == Some(&b'\n') => (before, true),
        _ => (passed, false),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn other_forms_of_the_same_object() {
        for line in [
            r#"{"kind":"route","id":"a/b"}"#,
            r#"{"kind":"route","id":"a/b","doc":{"id":"x","kind":"y"}}"#,
            r#"{"id":"a/b","kind":"route"}"#,
            r#"{ "kind": "route", "doc": null, "id": "a/b" }"#,
            r#"{"kind":"rout\u0065","id":"a\/b"}"#,
        ] {
            let (kind, id) = names(line.as_bytes()).unwrap();
            assert_eq!((kind.as_ref(), id.as_ref()), ("route", "a/b"), "{line}");
        }
    }

    #[test]
    fn what_names_nothing_is_refused_and_not_quoted() {
        for line in [
            "",
            "{}",
            r#"{"kind":"hunter2"}"#,
            r#"{"kind":"a","id":1}"#,
            r#"{"kind":"a","id":"b"#,
            r#"{"kind":"a","id":"hunter2"]"#,
            r#"{"kind":"a","id":"hunter2"; }"#,
            r#"{"kind":"a","kind":"b","id":"c"}"#,
            r#"["a","hunter2"]x"#,
        ] {
            let error = names(line.as_bytes()).unwrap_err();
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
        assert!(names(b"{\"kind\":\"a\",\"id\":\"\xff\"}").is_err());
        assert!(names(b"{\"kind\":\"a\",\"id\":\"\x01\"}").is_err());
    }

    #[test]
    fn lengths_of_lines() {
        assert_eq!(line_length(b"ab\nc"), (2, true));
        assert_eq!(line_length(b"\n"), (0, true));
        assert_eq!(line_length(b"ab"), (2, false));
        assert_eq!(line_length(b""), (0, false));
    }

    proptest! {
        #[test]
        fn agrees_with_the_parser(kind in ".{0,12}", id in ".{0,12}", more in any::<bool>()) {
            let mut line = serde_json::json!({"kind": kind, "id": id}).to_string();
            // `json!` sorts members; the writer's form begins with the kind.
            line = format!(r#"{{"kind":{},"id":{}{}}}"#,
                serde_json::to_string(&kind).unwrap(),
                serde_json::to_string(&id).unwrap(),
                if more { r#","doc":{}"# } else { &line[..0] });
            let found = names(line.as_bytes()).unwrap();
            prop_assert_eq!((found.0.as_ref(), found.1.as_ref()), (kind.as_str(), id.as_str()));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = names(&bytes);
            let _ = names(&[br#"{"kind":"a","id":""#, bytes.as_slice()].concat());
        }
    }
}
