//! Setting members of a document without touching any other token.

use crate::error::Result;
use crate::model::Document;
use crate::model::scan::{members, segments};

/// The document with this member of the outermost object set to this JSON text.
pub(super) fn set(document: &Document, name: &str, value: &str) -> Result<Document> {
    let name = serde_json::Value::from(name).to_string();
    let mut text = format!("{{{name}:{value}");
    for (other, value) in members(document.as_str()).into_iter().filter(|(n, _)| *n != name) {
        text.push(',');
        text.push_str(other);
        text.push(':');
        text.push_str(value);
    }
    text.push('}');
    Document::parse(&text)
}

/// The document with the value at this pointer set to this JSON text; unchanged where the object
/// that should hold it is not there.
pub(super) fn put_at(document: &Document, pointer: &str, value: &str) -> Result<Document> {
    let Some((above, _)) = pointer.rsplit_once('/') else { return Ok(document.clone()) };
    let Some(name) = segments(pointer).last() else { return Ok(document.clone()) };
    match document.get(above) {
        Some(object) if object.starts_with('{') => {
            let inner = set(&Document::parse(object)?, &name, value)?;
            document.with_values(&[(above.to_owned(), inner.as_str().to_owned())])
        }
        _ => Ok(document.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_tokens_stay() {
        let document = Document::parse(r#"{"a":{"x~y":1.0},"b":1e400}"#).unwrap();
        let text = set(&document, "a", "2").unwrap();
        assert_eq!(text.as_str(), r#"{"a":2,"b":1e400}"#);
        let text = put_at(&document, "/a/n", "\"v\"").unwrap();
        assert_eq!(text.as_str(), r#"{"a":{"n":"v","x~y":1.0},"b":1e400}"#);
        let text = put_at(&document, "/a/x~0y", "3").unwrap();
        assert_eq!(text.as_str(), r#"{"a":{"x~y":3},"b":1e400}"#);
        assert_eq!(put_at(&document, "/none/n", "1").unwrap(), document);
    }
}
