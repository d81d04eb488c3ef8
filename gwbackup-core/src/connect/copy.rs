//! A copy of the repository, with what a policy wants to know about its place.

use url::{Url, form_urlencoded};

use super::Settings;
use super::url::parse;
use crate::error::{Error, Result};

const KNOWN: &str = "medium, site, region, account, offsite, immutable";

/// Where one copy lies. The descriptors are the owner's word: nothing checks them against the
/// store.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CopySpec {
    /// The sink's URL, without descriptors; what else its query says is for the sink.
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
    /// `/mnt/a?medium=disk&site=berlin&offsite=true`. `Invalid` for a repeated or empty descriptor,
    /// for an unknown one of a directory, and for whatever a sink's URL must not be. Other sinks may
    /// know more than descriptors, and judge the rest themselves.
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
        let local = matches!(spec.url.scheme(), "file" | "memory");
        let mut seen = Vec::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if seen.contains(&name) {
                return Err(bad("is given twice", &name));
            }
            let known = KNOWN.split(", ").any(|known| known == name);
            if known || local {
                spec.describe(&name, &value)?;
            } else {
                spec.url.query_pairs_mut().append_pair(&name, &value);
            }
            seen.push(name);
        }
        Ok(spec)
    }

    /// What the descriptors tell the sink itself: `region`.
    pub fn settings(&self) -> Settings {
        match &self.region {
            Some(region) => Settings::new().with("region", region),
            None => Settings::new(),
        }
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
