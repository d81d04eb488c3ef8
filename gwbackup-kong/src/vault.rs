//! References into vaults: texts of the form `{vault://PREFIX/...}`.

use std::collections::BTreeSet;
use std::ops::Range;

use gwbackup_core::model::{
    Document, HandleName, Handles, Kind, Place, Reference, Resource, Role, TextScan, To,
};
use serde_json::Value;

const BEGIN: &str = "{vault://";

/// Finds the vaults that texts refer to.
#[derive(Debug)]
pub(crate) struct VaultScan;

impl TextScan for VaultScan {
    fn references(&self, resource: &Resource) -> Vec<Reference> {
        let mut found = Vec::new();
        each(&resource.document, |pointer, range, prefix| {
            found.push(Reference {
                at: Place::within(pointer, range),
                // Kong's own vaults need no entity, so that it may dangle.
                to: To::Resource {
                    kinds: vec![Kind::known("vault")],
                    handle: HandleName::known("prefix"),
                    value: prefix.to_owned(),
                    within: None,
                },
                role: Role::Weak,
            });
        });
        found
    }

    fn handles(&self, _: &Handles, _: &Resource) -> Handles {
        Handles::new()
    }
}

/// The vaults that a document refers to.
pub(crate) fn prefixes(document: &Document) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    each(document, |_, _, prefix| {
        found.insert(prefix.to_owned());
    });
    found
}

/// Calls `f` with the place and the prefix of each reference.
fn each(document: &Document, mut f: impl FnMut(&str, Range<u32>, &str)) {
    if document.as_str().contains(BEGIN) {
        walk(&document.to_value(), &mut String::new(), &mut f);
    }
}

fn walk(value: &Value, at: &mut String, f: &mut impl FnMut(&str, Range<u32>, &str)) {
    let len = at.len();
    match value {
        Value::String(text) => {
            let inside = text.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix('}'));
            let prefix = inside.and_then(|rest| rest.split(['/', '?']).next());
            if let Some(prefix) = prefix.filter(|prefix| !prefix.is_empty())
                && let Ok(start) = u32::try_from(BEGIN.len())
                && let Ok(end) = u32::try_from(BEGIN.len() + prefix.len())
            {
                f(at, start..end, prefix);
            }
        }
        Value::Object(members) => {
            for (name, value) in members {
                at.push('/');
                at.push_str(&name.replace('~', "~0").replace('/', "~1"));
                walk(value, at, f);
                at.truncate(len);
            }
        }
        Value::Array(items) => {
            for (n, value) in items.iter().enumerate() {
                at.push('/');
                at.push_str(&n.to_string());
                walk(value, at, f);
                at.truncate(len);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use gwbackup_core::model::{Id, Key};

    use super::*;

    #[test]
    fn a_reference_names_its_vault_and_can_be_renamed() {
        let text = r#"{"config":{"a/b":["{vault://my-env/redis/password}","x {vault://no/x}"],
            "c":"{vault://aws/key?region=eu}","d":"{vault:///x}"}}"#;
        let document = Document::parse(text).unwrap();
        let key = Key::new(Kind::known("plugin"), Id::new("p").unwrap());
        let found = VaultScan.references(&Resource::new(key, document.clone()));
        let places: Vec<_> = found.iter().map(|r| r.at.pointer.as_str()).collect();
        assert_eq!(places, ["/config/a~1b/0", "/config/c"]);
        let renamed = document.rewrite(&[(found[0].at.clone(), "other".to_owned())]).unwrap();
        let new = renamed.text("/config/a~1b/0").unwrap();
        assert_eq!(new, "{vault://other/redis/password}");
        assert_eq!(prefixes(&document), ["aws", "my-env"].map(str::to_owned).into());
    }
}
