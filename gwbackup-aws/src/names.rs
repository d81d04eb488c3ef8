//! Names inside text: the region, the account and the ids of APIs in ARNs, addresses and schemas.

use std::ops::Range;

use gwbackup_core::model::{
    HandleName, Handles, Kind, Place, Reference, Resource, Role, TextScan, To,
};
use serde_json::Value;

use crate::table::Row;

/// Finds them. What they mean is told apart by where they stand.
#[derive(Debug)]
pub(crate) struct Names;

impl TextScan for Names {
    fn references(&self, resource: &Resource) -> Vec<Reference> {
        let Some(row) = Row::of(&resource.key.kind) else { return Vec::new() };
        let mut found = Vec::new();
        let text = resource.document.as_str();
        let hit = |part: &str| text.contains(part);
        if hit("arn:")
            || hit("execute-api")
            || hit("/restapis/")
            || hit("amazonaws")
            || hit("onnectionId")
        {
            walk(&resource.document.to_value(), &mut String::new(), row, &mut found);
        }
        found
    }

    fn handles(&self, gateway: &Handles, resource: &Resource) -> Handles {
        let region = gateway.get(&HandleName::known("region"));
        let mut handles = Handles::new();
        if let Some(region) = region.filter(|_| resource.key.kind.as_str() == "rest_api") {
            let host = format!("{}.execute-api.{region}.amazonaws.com", resource.key.id.last());
            handles.insert(HandleName::known("host"), host);
        }
        handles
    }
}

fn walk(value: &Value, at: &mut String, row: &Row, found: &mut Vec<Reference>) {
    let len = at.len();
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                at.push('/');
                at.push_str(&name.replace('~', "~0").replace('/', "~1"));
                walk(value, at, row, found);
                at.truncate(len);
            }
        }
        Value::Array(items) => {
            for (n, item) in items.iter().enumerate() {
                at.push('/');
                at.push_str(&n.to_string());
                walk(item, at, row, found);
                at.truncate(len);
            }
        }
        Value::String(text) => in_text(text, at, row, found),
        _ => {}
    }
}

fn in_text(text: &str, at: &str, row: &Row, found: &mut Vec<Reference>) {
    // What only the service sets is never written, and what the table says is not said twice.
    let is_own = |(own, is): &(&str, crate::table::Is)| {
        matches!(is, crate::table::Is::Own) && at.starts_with(own)
    };
    if row.members.iter().any(is_own) || row.refs.iter().any(|own| fits(own.at, at)) {
        return;
    }
    if at.ends_with("/connectionId") && !text.contains("${") {
        let kinds = ["vpc_link", "vpc_link_v2"].map(Kind::known).to_vec();
        let to =
            To::Resource { kinds, handle: HandleName::id(), value: text.to_owned(), within: None };
        found.push(Reference { at: Place::value(at), to, role: Role::Needs });
        return;
    }
    if let Some(class) =
        class_of(at, row).filter(|_| text.starts_with("arn:") || row.kind.starts_with("vpc_link"))
    {
        let to = To::External { class: class.to_owned(), value: text.to_owned() };
        found.push(Reference { at: Place::value(at), to, role: Role::Needs });
    }
    for (range, what) in mentions(text) {
        let place = match (u32::try_from(range.start), u32::try_from(range.end)) {
            (Ok(start), Ok(end)) => Place::within(at, start..end),
            _ => continue,
        };
        let value = text.get(range).unwrap_or_default().to_owned();
        let to = match what {
            Mention::Region => To::Gateway { handle: HandleName::known("region") },
            Mention::Account => To::Gateway { handle: HandleName::known("account") },
            Mention::Of(kinds) => To::Resource {
                kinds: kinds.iter().copied().map(Kind::known).collect(),
                handle: HandleName::id(),
                value,
                within: None,
            },
        };
        // Text may name what is gone, or what is not ours.
        found.push(Reference { at: place, to, role: Role::Weak });
    }
}

fn class_of(at: &str, row: &Row) -> Option<&'static str> {
    row.outside.iter().find(|(pattern, _)| fits(pattern, at)).map(|(_, class)| *class)
}

/// Whether a pointer is one of a pattern, in which `*` stands for one segment.
fn fits(pattern: &str, at: &str) -> bool {
    let mut parts = pattern.split('/');
    at.split('/').all(|own| parts.next().is_some_and(|part| part == "*" || part == own))
        && parts.next().is_none()
}

/// What a piece of text names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mention {
    Region,
    Account,
    /// Something of one of these kinds, by its id.
    Of(&'static [&'static str]),
}

const API: Mention = Mention::Of(&["rest_api", "api"]);

/// What stands before an id.
const MARKERS: &[(&str, Mention)] =
    &[("/restapis/", API), ("/apis/", API), ("/portalproducts/", Mention::Of(&["portal_product"]))];

/// Pieces of text that name a region, an account or an API, in their order.
fn mentions(text: &str) -> Vec<(Range<usize>, Mention)> {
    let mut found = Vec::new();
    for (start, _) in text.match_indices("arn:aws") {
        in_arn(text, start, &mut found);
    }
    for (marker, what) in MARKERS {
        for (at, before) in text.match_indices(marker) {
            let start = at + before.len();
            push(text, start..token(text, start), *what, &mut found);
        }
    }
    for (at, marker) in text.match_indices(".execute-api.") {
        let start = text.get(..at).map_or(at, |before| before.len() - tail(before));
        push(text, start..at, API, &mut found);
        let region = at + marker.len();
        push(text, region..token(text, region), Mention::Region, &mut found);
    }
    found.sort_by_key(|(range, _)| range.start);
    found.dedup_by_key(|(range, _)| range.start);
    found
}

/// `arn:partition:service:region:account:rest`.
fn in_arn(text: &str, start: usize, found: &mut Vec<(Range<usize>, Mention)>) {
    let mut at = start;
    let mut parts = Vec::new();
    for part in text.get(start..).unwrap_or_default().splitn(6, ':') {
        parts.push(at..at + part.len());
        at += part.len() + 1;
    }
    let [_, _, service, region, account, rest] = parts.as_slice() else { return };
    if text.get(region.clone()).is_some_and(|r| r.contains('-')) {
        push(text, region.clone(), Mention::Region, found);
    }
    let digits = |a: &str| a.len() == 12 && a.bytes().all(|b| b.is_ascii_digit());
    if text.get(account.clone()).is_some_and(digits) {
        push(text, account.clone(), Mention::Account, found);
    }
    if text.get(service.clone()) == Some("execute-api") {
        push(text, rest.start..token(text, rest.start), API, found);
    }
}

fn push(text: &str, range: Range<usize>, what: Mention, found: &mut Vec<(Range<usize>, Mention)>) {
    if text.get(range.clone()).is_some_and(|part| !part.is_empty() && !part.contains('*')) {
        found.push((range, what));
    }
}

fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'-'
}

/// Where the word that begins here ends.
fn token(text: &str, start: usize) -> usize {
    let rest = text.as_bytes().get(start..).unwrap_or_default();
    start + rest.iter().take_while(|b| is_word(**b)).count()
}

/// The length of the word at the end.
fn tail(text: &str) -> usize {
    text.bytes().rev().take_while(|b| is_word(*b)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_text_are_found_where_they_stand() {
        let found = |text: &str| -> Vec<String> {
            let all = mentions(text).into_iter();
            let named = |what| match what {
                Mention::Of(kinds) => kinds[0].to_owned(),
                other => format!("{other:?}"),
            };
            all.map(|(range, what)| format!("{} {}", named(what), &text[range])).collect()
        };
        assert_eq!(
            found(
                "arn:aws:apigateway:eu-west-1:lambda:path/2015-03-31/functions/arn:aws:lambda:eu-west-1:123456789012:function:pay:${stageVariables.alias}/invocations"
            ),
            ["Region eu-west-1", "Region eu-west-1", "Account 123456789012"]
        );
        assert_eq!(
            found(r#"{"Resource":"arn:aws:execute-api:eu-west-1:123456789012:a1b2c3/*/GET"}"#),
            ["Region eu-west-1", "Account 123456789012", "rest_api a1b2c3"]
        );
        assert_eq!(found("execute-api:/*"), Vec::<String>::new());
        assert_eq!(
            found("https://a1b2c3.execute-api.eu-west-1.amazonaws.com/prod"),
            ["rest_api a1b2c3", "Region eu-west-1"]
        );
        assert_eq!(
            found("https://apigateway.amazonaws.com/restapis/a1b2c3/models/Pet"),
            ["rest_api a1b2c3"]
        );
        assert_eq!(found("arn:aws:iam::123456789012:role/gw"), ["Account 123456789012"]);
    }
}
