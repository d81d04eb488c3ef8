//! A copy of the repository, with what a policy wants to know about its place.

use url::{Url, form_urlencoded};

use super::url::parse;
use crate::error::{Error, Result};

const KNOWN: &str = "medium, site, region, account, offsite, immutable";

/// Where one copy lies. The descriptors are the owner's word: nothing checks them against the
/// store.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CopySpec {
    /// The sink's URL, without descriptors.
    pub url: Url,
    /// What it lies on: `disk`, `tape`, `object-store`, ...
    pub medium: Option<String>,
    /// The building.
    pub site: Option<String>,
    /// The vendor's region.
    pub region: Option<String>,
    /// Whose account it lies in.
    pub account: Option<String>,
    /// It lies elsewhere than the gateway.
    pub offsite: bool,
    /// Nobody can change or delete it before its time.
    pub immutable: bool,
}

impl CopySpec {
    /// Reads a sink's URL or path with descriptors in its query, such as
    /// `/mnt/a?medium=disk&site=berlin&offsite=true`. `Invalid` for an unknown, repeated or empty
    /// descriptor, and for whatever a sink's URL must not be.
    pub fn parse(value: &str) -> Result<Self> {
        let (place, query) = value.split_once('?').unwrap_or((value, ""));
        let url = parse(place, |_| Ok("file"))?;
        let mut spec = Self {
            url,
            medium: None,
            site: None,
            region: None,
            account: None,
            offsite: false,
            immutable: false,
        };
        let mut seen = Vec::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if seen.contains(&name) {
                return Err(bad("is given twice", &name));
            }
            spec.describe(&name, &value)?;
            seen.push(name);
        }
        Ok(spec)
    }

    fn describe(&mut self, name: &str, value: &str) -> Result<()> {
        let text = || match value {
            "" => Err(bad("is empty", name)),
            text => Ok(Some(text.to_owned())),
        };
        let flag = || match value {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(bad("is neither `true` nor `false`", name)),
        };
        match name {
            "medium" => self.medium = text()?,
            "site" => self.site = text()?,
            "region" => self.region = text()?,
            "account" => self.account = text()?,
            "offsite" => self.offsite = flag()?,
            "immutable" => self.immutable = flag()?,
            _ => return Err(bad("is unknown", name).help(format!("known are {KNOWN}"))),
        }
        Ok(())
    }
}

fn bad(what: &str, name: &str) -> Error {
    Error::invalid(format!("the copy's descriptor `{}` {what}", name.escape_debug()))
}
