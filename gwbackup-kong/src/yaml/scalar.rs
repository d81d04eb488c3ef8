//! What a plain (unquoted) scalar means.
//!
//! | plain scalar | is |
//! |---|---|
//! | empty, `~`, `null`, `Null`, `NULL` | null |
//! | `true`, `True`, `TRUE`, `false`, `False`, `FALSE` | boolean |
//! | a number as JSON writes it (`-0`, `1.0`, `1e400`) | that very token |
//! | `+5`, `.5`, `1.`, `-.5e3` | the number, as JSON writes it |
//! | `0x1F` | the number in decimal |
//! | `.inf`, `-.inf`, `.nan` | refused: JSON has none |
//! | `yes`, `no`, `on`, `off` (in any usual case), `017`, `00.5`, `1_000`, `0b11`, `0x1.8`, `12:30` | refused: Kong's reader and others disagree |
//! | anything else, such as `0o17` and `2001-12-14` | string |
//!
//! That is what Kong's own reader makes of it, which takes YAML 1.1; what Kong writes plain is never
//! refused. A quoted scalar and a block scalar are strings, whatever they hold.

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
    if matches!(digits, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Err(Error::invalid("a number that JSON cannot hold")
            .help("quote it if it is meant as text"));
    }
    if let Some(hex) = digits.strip_prefix("0x").filter(|hex| !hex.starts_with('+'))
        && let Ok(value) = u128::from_str_radix(hex, 16)
    {
        return Ok(Some(format!("{sign}{value}").into()));
    }
    if unusual(digits) {
        return Err(Error::invalid("a number that not every reader takes for the same")
            .help("write it in decimal, without underscores or zeros in front; or quote it"));
    }
    Ok(Decimal::parse(digits).map(|decimal| decimal.token(sign)))
}

/// A number in decimal, without its sign.
struct Decimal<'a> {
    whole: &'a str,
    fraction: Option<&'a str>,
    exponent: &'a str,
}

impl<'a> Decimal<'a> {
    fn parse(digits: &'a str) -> Option<Self> {
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
        let is_number = all_digits(whole)
            && fraction.is_none_or(all_digits)
            && !(whole.is_empty() && fraction.is_none_or(str::is_empty))
            && (exponent.is_empty() || (!power.is_empty() && all_digits(power)));
        is_number.then_some(Self { whole, fraction, exponent })
    }

    fn token(&self, sign: &str) -> Box<str> {
        let whole = if self.whole.is_empty() { "0" } else { self.whole };
        let fraction = match self.fraction {
            None => String::new(),
            Some("") => ".0".into(),
            Some(fraction) => format!(".{fraction}"),
        };
        format!("{sign}{whole}{fraction}{}", self.exponent).into()
    }
}

/// Whether Kong's reader takes it for a number that others take for text or for another number.
fn unusual(digits: &str) -> bool {
    let bare = digits.replace('_', "");
    let underscored = bare.len() < digits.len();
    if let Some(hex) = bare.strip_prefix("0x") {
        // With a fraction or an exponent, or with underscores.
        let inner = hex.bytes().all(|b| b.is_ascii_hexdigit() || b".pP+-".contains(&b));
        return inner && (underscored || hex.contains('.'));
    }
    if let Some(binary) = digits.strip_prefix("0b") {
        return binary.len() > 1 && binary.bytes().all(|b| matches!(b, b'0' | b'1' | b'_'));
    }
    if let Some(decimal) = Decimal::parse(&bare) {
        let zeros = decimal.whole.len() > 1 && decimal.whole.starts_with('0');
        return underscored || zeros;
    }
    sexagesimal(digits)
}

/// Whether it is a number to the base of 60, such as a time of day.
fn sexagesimal(digits: &str) -> bool {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let Some((first, rest)) = whole.split_once(':') else { return false };
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let second = rest.split(':').next().unwrap_or_default();
    all_digits(first)
        && all_digits(fraction)
        && rest.bytes().all(|b| b.is_ascii_digit() || b == b':')
        && all_digits(second)
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
            ("0o17", "text 0o17"),
            ("0b1", "text 0b1"),
            ("-.nan", "text -.nan"),
            ("0x", "text 0x"),
            ("-", "text -"),
            (".", "text ."),
            ("e5", "text e5"),
            ("1e", "text 1e"),
            ("1.2.3", "text 1.2.3"),
            ("10.0.0.1:80", "text 10.0.0.1:80"),
            ("12:a", "text 12:a"),
            ("1::1", "text 1::1"),
            ("[::1]:80", "text [::1]:80"),
            ("10.0.0.1:80:90", "text 10.0.0.1:80:90"),
            ("0x1g", "text 0x1g"),
            ("0b12", "text 0b12"),
            ("2001-12-14", "text 2001-12-14"),
            ("_", "text _"),
            ("a_1", "text a_1"),
            ("1_a", "text 1_a"),
            ("y", "text y"),
        ] {
            assert_eq!(token(text), wanted, "{text}");
        }
    }

    #[test]
    fn what_readers_disagree_about_is_refused() {
        for text in [
            "yes",
            "Off",
            "017",
            "089",
            "1_000",
            "_1",
            "1_0e5",
            "1e_5",
            "00.5",
            "-01e5",
            "0b101",
            "0b_11",
            "0x_1F",
            "0x1.8",
            "12:30",
            "-1:59:59",
            "1:2.5",
            "2001:0:0:1",
            ".inf",
            "-.Inf",
            "+.INF",
            ".NaN",
        ] {
            assert!(plain(text.into()).is_err(), "{text}");
        }
    }
}
