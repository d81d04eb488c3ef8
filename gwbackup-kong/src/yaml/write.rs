//! From a tree to YAML: block style, every string quoted but multi-line ones that a literal block
//! holds exactly.

use crate::node::{Map, Node, quote};

/// Appends the members of a mapping at this depth, one or more lines each.
pub(crate) fn write_members(members: &Map, depth: usize, out: &mut String) {
    for (n, (name, value)) in members.iter().enumerate() {
        if n > 0 || depth == 0 {
            indent(depth, out);
        }
        write_name(name, out);
        out.push(':');
        // A list under a name may stand at the name's own depth.
        let inner = if matches!(value, Node::List(_)) { depth } else { depth + 1 };
        write_value(value, inner, out);
    }
}

/// Appends a value after `name:` or `-`, with the end of its last line.
fn write_value(value: &Node, depth: usize, out: &mut String) {
    match value {
        Node::Map(members) if !members.is_empty() => {
            out.push('\n');
            indent(depth, out);
            write_members(members, depth, out);
        }
        Node::List(items) if !items.is_empty() => {
            out.push('\n');
            write_items(items, depth, out);
        }
        other => {
            out.push(' ');
            write_leaf(other, depth, out);
            out.push('\n');
        }
    }
}

fn write_items(items: &[Node], depth: usize, out: &mut String) {
    for item in items {
        indent(depth, out);
        out.push('-');
        match item {
            Node::Map(members) if !members.is_empty() => {
                out.push(' ');
                write_members(members, depth + 1, out);
            }
            other => write_value(other, depth + 1, out),
        }
    }
}

fn write_leaf(value: &Node, depth: usize, out: &mut String) {
    match value {
        Node::Token(token) => out.push_str(token),
        Node::Text(text) if fits_block(text) => {
            out.push_str(if text.ends_with('\n') { "|" } else { "|-" });
            for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
                out.push('\n');
                indent(depth, out);
                out.push_str(line);
            }
        }
        Node::Text(text) => match placeholder(text) {
            Some(scalar) => out.push_str(&scalar),
            None => quote(text, out),
        },
        Node::List(_) => out.push_str("[]"),
        Node::Map(_) => out.push_str("{}"),
    }
}

/// A text with a placeholder that decK fills in from its environment: it stays as it is, bare where
/// it is all of the text (it may become a number), since decK reads it before it reads the YAML.
fn placeholder(text: &str) -> Option<String> {
    let start = text.find("${{ env \"DECK_")?;
    if !text.bytes().all(|b| (b' '..=b'~').contains(&b)) {
        return None;
    }
    let bare = |b: u8| b.is_ascii_alphanumeric() || b"_ |\"".contains(&b);
    let inner = text.strip_prefix("${{").and_then(|rest| rest.strip_suffix(" }}"));
    Some(match inner {
        Some(inner) if start == 0 && inner.bytes().all(bare) => text.to_owned(),
        _ => format!("'{}'", text.replace('\'', "''")),
    })
}

/// Whether a literal block gives back exactly this text: several lines of printable text, none of
/// them empty or with space at either end, and at most one break at the end.
fn fits_block(text: &str) -> bool {
    let body = text.strip_suffix('\n').unwrap_or(text);
    let printable =
        |c: char| matches!(c, ' '..='~' | '\u{a0}'..='\u{2027}' | '\u{2030}'..='\u{d7ff}');
    body.contains('\n')
        && !body.contains("${{")
        && body
            .split('\n')
            .all(|line| !line.is_empty() && line.trim() == line && line.chars().all(printable))
}

/// A name that cannot be taken for anything else stands plain.
fn write_name(name: &str, out: &mut String) {
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && !matches!(
            name.to_ascii_lowercase().as_str(),
            "null" | "true" | "false" | "yes" | "no" | "on" | "off" | "y" | "n"
        );
    if plain { out.push_str(name) } else { quote(name, out) }
}

fn indent(depth: usize, out: &mut String) {
    out.extend(std::iter::repeat_n("  ", depth));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::parse;
    use super::*;

    fn node() -> impl Strategy<Value = Node> {
        let token = prop_oneof![
            Just("null".to_owned()),
            Just("true".to_owned()),
            Just("false".to_owned()),
            "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,5})?([eE][+-]?[0-9]{1,3})?",
        ];
        let text = prop_oneof![
            any::<String>(),
            "[ -~\n\t]{0,20}",
            "(-----[A-Z ]{1,8}\n){1,4}",
            "[$][{]{1,3}( env \"DECK_[AB']{0,2}\")?( \\| toInt)?( ?[}]{1,3})?[ -~]{0,3}",
            "~|null|yes|0x1|1_0|<<|- a|# b|a: b|'|\\||>|\\[|\\{|\\*a|&a|!a|%a|@|`",
        ];
        let leaf = prop_oneof![
            token.prop_map(|token| Node::Token(token.into())),
            text.clone().prop_map(Node::Text),
        ];
        leaf.prop_recursive(5, 40, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Node::List),
                prop::collection::btree_map(text.clone(), inner, 0..5)
                    .prop_map(|map| Node::Map(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1024))]
        #[test]
        fn what_is_written_is_read(members in prop::collection::btree_map("[a-z~.: ]{0,9}", node(), 1..5)) {
            let members: Map = members.into_iter().collect();
            let mut text = String::new();
            write_members(&members, 0, &mut text);
            let read = parse(&text);
            prop_assert!(read.is_ok(), "{:?}\n{}", read, text);
            prop_assert!(read.unwrap() == Node::Map(members.clone()), "{}", text);
            let tree = Node::Map(members);
            for indent in [None, Some(0)] {
                let mut json = String::new();
                tree.write_json(&mut json, indent);
                prop_assert!(Node::parse_json(&json).unwrap() == tree, "{}", json);
            }
        }
    }
}
