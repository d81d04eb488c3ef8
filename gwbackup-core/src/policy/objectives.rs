//! What an owner promises about time.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A length of time as a configuration writes it: a whole number and one of `s`, `m`, `h`, `d`
/// (24 h) and `w`: `90s`, `24h`, `30d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(Duration);

/// Units, longest first.
const UNITS: [(&str, u64); 5] =
    [("w", 7 * 86_400), ("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)];

impl Span {
    /// This many days of 24 hours.
    pub const fn days(days: u32) -> Self {
        Self(Duration::from_secs(days as u64 * 86_400))
    }

    /// The length.
    pub const fn duration(self) -> Duration {
        self.0
    }
}

impl From<Duration> for Span {
    /// Whole seconds; a part of one is left out.
    fn from(duration: Duration) -> Self {
        Self(Duration::from_secs(duration.as_secs()))
    }
}

impl std::str::FromStr for Span {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let unit = UNITS.iter().find_map(|(unit, each)| Some((text.strip_suffix(unit)?, *each)));
        let seconds = unit.and_then(|(number, each)| number.parse::<u64>().ok()?.checked_mul(each));
        seconds.map(Duration::from_secs).map(Self).ok_or_else(|| {
            Error::invalid("this is no length of time").on(text).help("write 90s, 15m, 24h or 30d")
        })
    }
}

impl TryFrom<String> for Span {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = self.0.as_secs();
        let fits = |each: &u64| seconds > 0 && seconds.is_multiple_of(*each);
        let (unit, each) = UNITS.iter().find(|(_, each)| fits(each)).unwrap_or(&("s", 1));
        write!(f, "{}{unit}", seconds / each)
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

/// How long a recovery may take, and how much may be lost by it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Objectives {
    /// How long a recovery may take (RTO).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rto: Option<Span>,
    /// How far back in time what is recovered may lie (RPO).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rpo: Option<Span>,
}

/// How often recoveries are rehearsed, and what depends on it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Drills {
    /// A drill is overdue when the last good one of a gateway was longer ago.
    pub every: Option<Span>,
    /// Environments whose backups may be restored only after a drill of the very same backup has
    /// passed.
    pub required_for: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_written_as_it_is_read() {
        for (text, seconds) in [("0s", 0), ("90s", 90), ("2h", 7200), ("30d", 2_592_000)] {
            let span: Span = text.parse().unwrap();
            assert_eq!((span.duration().as_secs(), span.to_string()), (seconds, text.to_owned()));
        }
        assert_eq!("120m".parse::<Span>().unwrap().to_string(), "2h");
        for bad in ["", "d", "5", "-1h", "1.5h", "1h30m", "99999999999999999999d", "5 d"] {
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
    }
}
