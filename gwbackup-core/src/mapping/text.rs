//! Words of one text in the place of words of another.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::ops::Range;

use crate::model::{Unescaped, decode, encode, strings};

/// How deep JSON is looked for inside the strings of JSON.
const DEPTH: u8 = 8;

/// Rules about text, ready for use.
#[derive(Debug, Clone, Default)]
pub(crate) struct Words {
    exact: HashMap<String, (usize, String)>,
    /// Longest first.
    tokens: Vec<Token>,
}

#[derive(Debug, Clone)]
struct Token {
    no: usize,
    from: String,
    to: String,
}

/// Which rules a text met, by number: first the exact ones, then the tokens, each in the order of
/// their text.
#[derive(Debug, Default)]
pub(crate) struct Met {
    pub(crate) rules: BTreeSet<usize>,
    /// Tokens that stand inside a longer word.
    pub(crate) inside: BTreeSet<usize>,
}

impl Words {
    pub(crate) fn new(exact: &BTreeMap<String, String>, tokens: &BTreeMap<String, String>) -> Self {
        let numbered = exact.iter().enumerate();
        let numbered = numbered.map(|(no, (from, to))| (from.clone(), (no, to.clone())));
        let mut words = Self { exact: numbered.collect(), tokens: Vec::new() };
        words.tokens = tokens
            .iter()
            .zip(exact.len()..)
            .map(|((from, to), no)| Token { no, from: from.clone(), to: to.clone() })
            .collect();
        words.tokens.sort_by_key(|token| std::cmp::Reverse(token.from.len()));
        words
    }

    /// The text with every rule applied; `None` where it stays as it is.
    pub(crate) fn text(&self, text: &str, met: &mut Met) -> Option<String> {
        self.within(text, met, DEPTH)
    }

    /// Whether a rule could meet any string of this JSON text: a quick look that says yes too often.
    pub(crate) fn may_meet(&self, json: &str) -> bool {
        json.contains(['\\', '%'])
            || self.tokens.iter().any(|token| json.contains(&token.from))
            || self.exact.keys().any(|from| json.contains(from.as_str()))
    }

    fn within(&self, text: &str, met: &mut Met, depth: u8) -> Option<String> {
        if let Some((no, to)) = self.exact.get(text) {
            met.rules.insert(*no);
            return Some(to.clone()).filter(|to| to != text);
        }
        let open = text.trim_start().starts_with(['{', '[', '"']);
        if open && depth > 0 && self.may_meet(text) && is_json(text) {
            return self.json(text, met, depth - 1);
        }
        match Unescaped::of(text) {
            Some(plain) => self.escaped(text, &plain, met),
            None => replaced(text, self.found(text, met).into_iter()),
        }
    }

    /// Every string of a JSON text, names as well as values. What stands between them stays.
    pub(crate) fn json(&self, json: &str, met: &mut Met, depth: u8) -> Option<String> {
        let edits: Vec<_> = strings(json)
            .filter_map(|at| {
                let text = decode(json.get(at.clone())?);
                let new = self.within(&text, met, depth)?;
                Some((at, encode(&new)))
            })
            .collect();
        replaced(json, edits.into_iter())
    }

    /// A text behind percent signs: what is put there is written as its surroundings are.
    fn escaped(&self, text: &str, plain: &Unescaped, met: &mut Met) -> Option<String> {
        if let Some((no, to)) = self.exact.get(&plain.text) {
            met.rules.insert(*no);
            return Some(percent(to, true)).filter(|_| *to != plain.text);
        }
        let found = self.found(&plain.text, met).into_iter().map(|(at, to)| {
            let around = at.start.checked_sub(1).into_iter().chain([at.end]);
            let hidden = around.chain(at.clone()).any(|byte| plain.was_escaped(byte));
            (plain.stood(&at), percent(&to, hidden))
        });
        replaced(text, found)
    }

    /// Whole tokens and what takes their place, from left to right; of two that overlap, the longer.
    fn found(&self, text: &str, met: &mut Met) -> Vec<(Range<usize>, String)> {
        let mut found: Vec<(Range<usize>, String)> = Vec::new();
        for token in self.tokens.iter().filter(|token| text.contains(&token.from)) {
            let mut from = 0;
            while let Some(at) = text.get(from..).and_then(|rest| rest.find(&token.from)) {
                let range = from + at..from + at + token.from.len();
                let next = text.get(range.start..).and_then(|rest| rest.chars().next());
                from = range.start + next.map_or(1, char::len_utf8);
                if found.iter().any(|(other, _)| other.start < range.end && range.start < other.end)
                {
                    continue;
                }
                if is_whole(text, &range) {
                    met.rules.insert(token.no);
                    from = range.end;
                    found.push((range, token.to.clone()));
                } else {
                    met.inside.insert(token.no);
                }
            }
        }
        found.sort_by_key(|(range, _)| range.start);
        found
    }
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// Whether no letter, digit, `-` or `_` goes on where the range begins or ends with one.
fn is_whole(text: &str, range: &Range<usize>) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
    let own = text.get(range.clone()).unwrap_or_default();
    let before = text.get(..range.start).unwrap_or_default().chars().next_back();
    let after = text.get(range.end..).unwrap_or_default().chars().next();
    let goes_on = |inner: Option<char>, outer: Option<char>| {
        inner.is_some_and(is_word) && outer.is_some_and(is_word)
    };
    !goes_on(own.chars().next(), before) && !goes_on(own.chars().next_back(), after)
}

/// The text with these bytes replaced, which come from left to right; `None` if that changes nothing.
fn replaced(text: &str, edits: impl Iterator<Item = (Range<usize>, String)>) -> Option<String> {
    let (mut out, mut at) = (String::new(), 0);
    for (range, new) in edits {
        out.push_str(text.get(at..range.start)?);
        out.push_str(&new);
        at = range.end;
    }
    out.push_str(text.get(at..)?);
    (out != text).then_some(out)
}

/// The text among percent signs; `all`: with everything escaped that may mean something there.
fn percent(text: &str, all: bool) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let stays = |byte: u8| if all { is_plain(byte) } else { byte.is_ascii() && byte != b'%' };
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if stays(byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::Mapping;

    fn words(exact: &[(&str, &str)], tokens: &[(&str, &str)]) -> Words {
        let mut mapping = Mapping::new();
        for (from, to) in exact {
            mapping = mapping.exact(*from, *to).unwrap();
        }
        for (from, to) in tokens {
            mapping = mapping.token(*from, *to).unwrap();
        }
        mapping.words()
    }

    #[track_caller]
    fn becomes(words: &Words, text: &str, wanted: &str) {
        let found = words.text(text, &mut Met::default());
        assert_eq!(found.as_deref(), (text != wanted).then_some(wanted), "{text}");
    }

    #[test]
    fn tokens_are_whole_and_longer_ones_come_first() {
        let words = words(&[], &[("eu-1", "us-2"), ("111", "222"), ("x.eu-1", "y"), ("a/", "b/")]);
        for (text, wanted) in [
            ("eu-1", "us-2"),
            ("arn:aws:eu-1:111:role/r", "arn:aws:us-2:222:role/r"),
            ("eu-1a my-eu-1 eu-1_x 1111 ü111", "eu-1a my-eu-1 eu-1_x 1111 ü111"),
            ("host.eu-1.example,eu-1", "host.us-2.example,us-2"),
            ("x.eu-1", "y"),
            ("111.111.111", "222.222.222"),
            ("q/a/eu-1", "q/b/us-2"),
            ("", ""),
        ] {
            becomes(&words, text, wanted);
        }
    }

    #[test]
    fn an_exact_rule_comes_before_tokens_and_nothing_is_read_twice() {
        let words = words(&[("role 1", "role 9"), ("stay 1", "stay 1")], &[("1", "2"), ("2", "1")]);
        for (text, wanted) in
            [("role 1", "role 9"), ("stay 1", "stay 1"), ("role 1 ", "role 2 "), ("1:2:1", "2:1:2")]
        {
            becomes(&words, text, wanted);
        }
    }

    #[test]
    fn text_inside_json_inside_text_is_reached_and_the_rest_stays() {
        let words = words(&[("old", "n\"w")], &[("eu-1", "us-1")]);
        let text = r#" { "a" : "old", "eu-1":"x:eu-1" , "n" : 1.50, "s":"t\/u", "i":"[\"old\"]" }"#;
        let wanted =
            r#" { "a" : "n\"w", "us-1":"x:us-1" , "n" : 1.50, "s":"t\/u", "i":"[\"n\\\"w\"]" }"#;
        becomes(&words, text, wanted);
        // An escape hides nothing, and what only looks like JSON is text.
        becomes(&words, r#"["x:eu\u002d1"]"#, r#"["x:us-1"]"#);
        becomes(&words, "{not json: eu-1}", "{not json: us-1}");
    }

    #[test]
    fn text_behind_percent_signs_is_reached_and_written_alike() {
        let words = words(&[("a b", "c/d")], &[("111", "2:2"), ("x/y", "z%")]);
        for (text, wanted) in [
            ("arn%3A111%3Arole", "arn%3A2%3A2%3Arole"),
            ("a%20b", "c%2Fd"),
            ("q=%41&r=x%2Fy", "q=%41&r=z%25"),
            ("/%41/111/z", "/%41/2:2/z"),
            ("%3A1111", "%3A1111"),
        ] {
            becomes(&words, text, wanted);
        }
    }

    #[test]
    fn what_rules_met_is_told() {
        let words = words(&[("e", "f")], &[("a", "b"), ("long", "l"), ("same", "same")]);
        let mut met = Met::default();
        assert!(words.text("a longer same", &mut met).is_some());
        assert_eq!((met.rules, met.inside), (BTreeSet::from([1, 3]), BTreeSet::from([2])));
        let mut met = Met::default();
        assert!(words.text("e", &mut met).is_some());
        assert_eq!(met.rules, BTreeSet::from([0]));
    }
}
