//! What CloudWatch calls things, whichever way they reach it.

use gwbackup_core::metrics::{Metric, Sample, Unit, check};
use gwbackup_core::{Error, Result};
use sha2::{Digest as _, Sha256};

use crate::kms::hex;

/// Where nobody named another namespace.
pub(super) const NAMESPACE: &str = "gwbackup";
/// Characters of a namespace.
const LONGEST: usize = 255;
/// Characters of a dimension's value.
const VALUE: usize = 1024;
/// Beyond two to this power, values are refused.
const POWER: i32 = 360;

/// A name for series of our own; `Invalid` for what CloudWatch does not take for one, and for what is
/// its own.
pub(crate) fn namespace(name: &str) -> Result<&str> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b".-_/#:".contains(&b);
    let legal = (1..=LONGEST).contains(&name.len()) && name.bytes().all(fits);
    if !legal || name.starts_with(':') || name.starts_with("AWS/") {
        return Err(Error::invalid("this cannot be a namespace of CloudWatch").on(name).help(
            "write 1 to 255 letters, digits and . - _ / # : that do not begin with a colon or AWS/",
        ));
    }
    Ok(name)
}

/// `Invalid` for a value that CloudWatch would not take, before anything is sent.
pub(super) fn checked(samples: &[Sample]) -> Result<()> {
    check(samples)?;
    let most = 2_f64.powi(POWER);
    match samples.iter().find(|sample| sample.value().abs() > most) {
        Some(large) => {
            Err(Error::invalid("a measured value is beyond 2^360").on(large.metric().name()))
        }
        None => Ok(()),
    }
}

pub(super) fn unit(metric: Metric) -> &'static str {
    match metric.unit() {
        Unit::Seconds => "Seconds",
        Unit::Bytes => "Bytes",
        Unit::Count => "Count",
        _ => "None",
    }
}

/// Names and values of a sample's dimensions.
pub(super) fn dimensions(sample: &Sample) -> impl Iterator<Item = (&'static str, String)> {
    sample.labels().iter().map(|(label, text)| (label.name(), dimension(text)))
}

/// A text as a dimension's value, of which ASCII alone is allowed: other characters become `\u{..}`,
/// and a backslash two, so that different texts stay different. What is too long ends in a digest of
/// the whole.
fn dimension(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => written.push_str("\\\\"),
            ' '..='~' => written.push(c),
            other => written.extend(other.escape_unicode()),
        }
    }
    if written.len() > VALUE {
        let digest = hex(&Sha256::digest(text)[..8]);
        written.truncate(VALUE - 1 - digest.len());
        written.push('~');
        written.push_str(&digest);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_our_own() {
        for good in ["gwbackup", "Shop/Gate-ways_1.2#a:b", &"n".repeat(255)] {
            assert_eq!(namespace(good).unwrap(), good);
        }
        for bad in ["", "AWS/ApiGateway", ":a", "a b", "caf\u{e9}", "a%20b", &"n".repeat(256)] {
            assert!(namespace(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn dimensions_are_ascii_and_stay_apart() {
        for (text, wanted) in [
            ("s3://a/b c", "s3://a/b c"),
            ("caf\u{e9}", "caf\\u{e9}"),
            ("caf\\u{e9}", "caf\\\\u{e9}"),
            ("\u{1f6a2}", "\\u{1f6a2}"),
        ] {
            assert_eq!(dimension(text), wanted);
        }
        let (one, two) = ("\u{fc}".repeat(250), format!("{}\u{fd}", "\u{fc}".repeat(249)));
        let (one, two) = (dimension(&one), dimension(&two));
        assert_eq!((one.len(), two.len()), (1024, 1024));
        assert_ne!(one, two);
    }

    #[test]
    fn what_is_too_large_is_refused() {
        let of = |value| vec![Sample::new(Metric::Rto, value)];
        assert!(checked(&of(-2_f64.powi(360))).is_ok());
        assert!(checked(&of(2_f64.powi(361))).is_err());
        assert!(checked(&of(f64::NAN)).is_err());
    }
}
