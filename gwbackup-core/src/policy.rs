//! What a repository's owner demands, as pure functions from facts to decisions.

mod objectives;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

pub use objectives::{Drills, Objectives, Span};

/// What a policy looks at in a copy; all of it is the owner's word.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CopyFacts {
    /// What it lies on.
    pub medium: Option<String>,
    /// The vendor's region.
    pub region: Option<String>,
    /// It lies elsewhere than the gateway.
    pub offsite: bool,
}

/// What is demanded of a repository and of what is done with it. Nothing, by default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// `3-2-1`: so many copies, on so many media, so many of them offsite.
    pub copies: Option<CopyRule>,
    /// Regions in which copies may lie, with `*` for any text; a copy without a region breaks it.
    /// Empty: anywhere.
    pub regions: Vec<String>,
    /// How long a recovery may take, and how much may be lost.
    pub objectives: Objectives,
    /// How often recoveries are rehearsed.
    pub drills: Drills,
}

/// How many copies, media and offsite copies are demanded; written `3-2-1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CopyRule {
    copies: usize,
    media: usize,
    offsite: usize,
}

impl CopyRule {
    /// Three copies, two media, one offsite.
    pub const THREE_TWO_ONE: Self = Self { copies: 3, media: 2, offsite: 1 };
}

impl TryFrom<String> for CopyRule {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        let numbers: Vec<usize> =
            text.split('-').map(str::parse).collect::<Result<_, _>>().unwrap_or_default();
        match numbers.as_slice() {
            &[copies, media, offsite] if media <= copies && offsite <= copies && copies > 0 => {
                Ok(Self { copies, media, offsite })
            }
            _ => Err(Error::invalid("this is no rule for copies")
                .on(text)
                .help("write COPIES-MEDIA-OFFSITE, for example 3-2-1")),
        }
    }
}

impl From<CopyRule> for String {
    fn from(rule: CopyRule) -> Self {
        format!("{}-{}-{}", rule.copies, rule.media, rule.offsite)
    }
}

impl Policy {
    /// `Refused`, naming what is missing, when these copies break the policy.
    pub fn check(&self, copies: &[CopyFacts]) -> Result<()> {
        if let Some(rule) = self.copies {
            let media: BTreeSet<_> = copies.iter().filter_map(|c| c.medium.as_deref()).collect();
            let offsite = copies.iter().filter(|copy| copy.offsite).count();
            for (what, there, wanted) in [
                ("copies", copies.len(), rule.copies),
                ("media", media.len(), rule.media),
                ("offsite copies", offsite, rule.offsite),
            ] {
                if there < wanted {
                    let rule = String::from(rule);
                    return Err(Error::refused(format!(
                        "the policy {rule} demands {wanted} {what}, and there are {there}"
                    ))
                    .help("add copies, describe them (medium, offsite), or change the policy"));
                }
            }
        }
        for copy in copies {
            let region = copy.region.as_deref().unwrap_or_default();
            let fits = |pattern: &String| crate::plan::glob(pattern, region);
            if !self.regions.is_empty() && !self.regions.iter().any(fits) {
                return Err(Error::refused("a copy lies outside the regions of the policy")
                    .on(if region.is_empty() { "(no region)" } else { region })
                    .help("describe its region, move it, or change the policy"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(medium: &str, region: &str, offsite: bool) -> CopyFacts {
        CopyFacts { medium: Some(medium.into()), region: Some(region.into()), offsite }
    }

    #[test]
    fn three_two_one_counts_copies_media_and_places() {
        let policy = Policy { copies: Some(CopyRule::THREE_TWO_ONE), ..Policy::default() };
        let good = [copy("disk", "", false), copy("disk", "", false), copy("s3", "", true)];
        assert!(policy.check(&good).is_ok());
        let one_medium = [copy("disk", "", false), copy("disk", "", false), copy("disk", "", true)];
        assert!(policy.check(&one_medium).unwrap_err().to_string().contains("media"));
        let here = [copy("disk", "", false), copy("disk", "", false), copy("s3", "", false)];
        assert!(policy.check(&here).unwrap_err().to_string().contains("offsite"));
        assert!(policy.check(&good[1..]).unwrap_err().to_string().contains("copies"));
        assert!(Policy::default().check(&[]).is_ok());
    }

    #[test]
    fn copies_stay_in_their_regions() {
        let policy = Policy { regions: vec!["eu-*".into()], ..Policy::default() };
        assert!(policy.check(&[copy("s3", "eu-central-1", true)]).is_ok());
        assert!(policy.check(&[copy("s3", "us-east-1", true)]).is_err());
        assert!(policy.check(&[CopyFacts::default()]).is_err());
    }

    #[test]
    fn a_rule_is_written_as_people_say_it() {
        for bad in ["", "3", "3-2", "1-2-1", "a-b-c", "0-0-0", "3-2-1-0"] {
            assert!(CopyRule::try_from(bad.to_owned()).is_err(), "{bad}");
        }
        let rule = CopyRule::try_from("3-2-1".to_owned()).unwrap();
        assert_eq!(rule, CopyRule::THREE_TWO_ONE);
        assert_eq!(String::from(rule), "3-2-1");
    }
}
