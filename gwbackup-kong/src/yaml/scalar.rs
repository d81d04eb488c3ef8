//! What a plain (unquoted) scalar means.
//!
//! | plain scalar | is |
//! |---|---|
//! | empty, `~`, `null`, `Null`, `NULL` | null |
//! | `true`, `True`, `TRUE`, `false`, `False`, `FALSE` | boolean |
//! | a number as JSON writes it (`-0`, `1.0`, `1e400`) | that very token |
//! | `+5`, `.5`, `1.`, `-.5e3` | the number, as JSON writes it |
//! | `0x1F`, `0o17` | the number in decimal |
//! | `.inf`, `.nan` (with sign, in any case) | refused: JSON has none |
//! | `yes`, `no`, `on`, `off` (in any usual case), `017`, `1_000` | refused: readers of YAML 1.1 and 1.2 disagree |
//! | anything else | string |
//!
//! A quoted scalar and a block scalar are strings, whatever they hold.

use std::borrow::Cow;

use gwbackup_core::{Error, Result};

use crate::node::Node;

/// The value of a plain scalar. The error has no place yet and no content.
pub(super) fn plain(text: Cow<'_, str>) -> Result<Node> {
    let token: Box<str> = match text.as_ref() {
        "" | "~" | "null" | "Null" | "NULL" => "null".into(),
        "true" | "True" | "TRUE" => "true".into(),
        "false" | "False" | "FALSE" => "false".into(),
        "yes" | "Yes" | "YES" | "no" | "No" | "NO" | "on" | "On" | "ON" | "off" | "Off" | "OFF" => {
            return Err(Error::invalid("an unquoted yes, no, on or off")
                .help("write true or false, or quote the word"));
        }
        other => match number(other)? {
            Some(token) => token,
            None => return Ok(Node::Text(text.into_owned())),
        },
    };
    Ok(Node::Token(token))
}

/// The JSON token of a number; `None` for what is no number.
fn number(text: &str) -> Result<Option<Box<str>>> {
    let (sign, digits) = match text.as_bytes().first() {
        Some(b'-') => ("-", text.get(1..).unwrap_or_default()),
        Some(b'+') => ("", text.get(1..).unwrap_or_default()),
        _ => ("", text),
    };
    if matches!(digits, ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN") {
        return Err(Error::invalid("a number that JSON cannot hold")
            .help("quote it if it is meant as text"));
    }
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        let whole = digits.strip_prefix(prefix).filter(|d| !d.starts_with('+'));
        if let Some(value) = whole.and_then(|d| u128::from_str_radix(d, radix).ok()) {
            return Ok(Some(format!("{sign}{value}").into()));
        }
    }
    let (mantissa, exponent) = match digits.find(['e', 'E']) {
        Some(at) => digits.split_at(at),
        None => (digits, ""),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let power = exponent.get(1..).unwrap_or_default();
    let power = power.strip_prefix(['+', '-']).unwrap_or(power);
    let all_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if digits.contains('_') && underscored(digits) {
        return Err(Error::invalid("a number with underscores")
            .help("write the number without them, or quote it if it is text"));
    }
    let is_number = all_digits(whole)
        && fraction.is_none_or(all_digits)
        && !(whole.is_empty() && fraction.is_none_or(str::is_empty))
        && (exponent.is_empty() || (!power.is_empty() && all_digits(power)));
    if !is_number {
        return Ok(None);
    }
    if whole.len() > 1 && whole.starts_with('0') {
        if fraction.is_some() || !exponent.is_empty() {
            return Ok(None);
        }
        return Err(Error::invalid("a number with leading zeros")
            .help("write it in decimal without zeros in front, or quote it if it is text"));
    }
    let whole = if whole.is_empty() { "0" } else { whole };
    let fraction = match fraction {
        None => String::new(),
        Some("") => ".0".into(),
        Some(fraction) => format!(".{fraction}"),
    };
    Ok(Some(format!("{sign}{whole}{fraction}{exponent}").into()))
}

/// Whether YAML 1.1 would take it for a number.
fn underscored(digits: &str) -> bool {
    digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str) -> String {
        match plain(text.into()).unwrap() {
            Node::Token(token) => token.into(),
            Node::Text(text) => format!("text {text}"),
            _ => unreachable!(),
        }
    }

    #[test]
    fn the_table_holds() {
        for (text, wanted) in [
            ("", "null"),
            ("~", "null"),
            ("NULL", "null"),
            ("nULL", "text nULL"),
            ("TRUE", "true"),
            ("tRUE", "text tRUE"),
            ("0", "0"),
            ("-0", "-0"),
            ("1.0", "1.0"),
            ("1e400", "1e400"),
            ("9007199254740993", "9007199254740993"),
            ("1795182540.713", "1795182540.713"),
            ("+5", "5"),
            (".5", "0.5"),
            ("-.5e3", "-0.5e3"),
            ("1.", "1.0"),
            ("0x1F", "31"),
            ("0o17", "15"),
            ("0x", "text 0x"),
            ("-", "text -"),
            (".", "text ."),
            ("e5", "text e5"),
            ("1e", "text 1e"),
            ("1.2.3", "text 1.2.3"),
            ("10.0.0.1:80", "text 10.0.0.1:80"),
            ("12:30", "text 12:30"),
            ("2001-12-14", "text 2001-12-14"),
            ("00.5", "text 00.5"),
            ("_1", "text _1"),
            ("y", "text y"),
        ] {
            assert_eq!(token(text), wanted, "{text}");
        }
    }

    #[test]
    fn what_readers_disagree_about_is_refused() {
        for text in ["yes", "Off", "017", "1_000", ".inf", "-.Inf", ".NaN"] {
            assert!(plain(text.into()).is_err(), "{text}");
        }
    }
}
