//! The configuration file and the mapping file.

use std::collections::BTreeMap;
use std::path::Path;

use gwbackup::catalog::RepositoryId;
use gwbackup::connect::{CopySpec, Settings};
use gwbackup::mapping::Mapping;
use gwbackup::model::Key;
use gwbackup::policy::Policy;
use gwbackup::probe::Scenario;
use gwbackup::restore::{FourEyes, Plan};
use gwbackup::{Error, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::secret::Secret;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    #[serde(default)]
    version: u32,
    repository: Option<String>,
    #[serde(default)]
    copy: Vec<CopyEntry>,
    #[serde(default)]
    key: Vec<KeyEntry>,
    #[serde(default)]
    metrics: Vec<MetricsEntry>,
    #[serde(default)]
    pub(crate) gateway: BTreeMap<String, GatewayEntry>,
    #[serde(default)]
    pub(crate) policy: Policy,
    pub(crate) approval: Option<ApprovalEntry>,
}

/// Which environments want a second person, and what must vouch for each.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApprovalEntry {
    environments: Vec<String>,
    #[serde(default)]
    claims: BTreeMap<String, Vec<String>>,
}

impl ApprovalEntry {
    pub(crate) fn four_eyes(&self) -> FourEyes {
        let four_eyes = FourEyes::new(self.environments.clone());
        self.claims.iter().fold(four_eyes, |eyes, (name, values)| eyes.claim(name, values.clone()))
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CopyEntry {
    url: String,
    medium: Option<String>,
    site: Option<String>,
    region: Option<String>,
    account: Option<String>,
    #[serde(default)]
    offsite: bool,
    #[serde(default)]
    immutable: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyEntry {
    url: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MetricsEntry {
    url: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GatewayEntry {
    pub(crate) url: String,
    pub(crate) app: Option<String>,
    pub(crate) env: Option<String>,
    /// Where its history is kept.
    pub(crate) history: Option<String>,
    token: Option<Secret>,
    ca: Option<String>,
    import_hook: Option<Vec<String>>,
}

impl GatewayEntry {
    /// What the gateway's connector is told besides the URL: `token`, `ca`, and `import_hook` as a
    /// JSON array.
    pub(crate) async fn settings(&self) -> Result<Settings> {
        let mut settings = Settings::new();
        if let Some(token) = &self.token {
            settings = settings.with("token", token.resolve().await?);
        }
        if let Some(ca) = &self.ca {
            settings = settings.with("ca", ca.as_str());
        }
        if let Some(words) = &self.import_hook {
            settings = settings.with("import_hook", serde_json::json!(words).to_string());
        }
        Ok(settings)
    }
}

impl Config {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let config: Self = toml(path)?;
        if config.version != 1 {
            return Err(Error::invalid("the configuration has an unknown version")
                .on(path.display())
                .help("begin the file with `version = 1`"));
        }
        Ok(config)
    }

    pub(crate) fn repository(&self) -> Result<Option<RepositoryId>> {
        self.repository.as_deref().map(str::parse).transpose()
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.key.iter().map(|key| key.url.as_str())
    }

    pub(crate) fn metrics(&self) -> impl Iterator<Item = &str> {
        self.metrics.iter().map(|place| place.url.as_str())
    }

    pub(crate) fn copies(&self) -> Result<Vec<CopySpec>> {
        let spec = |entry: &CopyEntry| {
            let mut spec = CopySpec::parse(&entry.url)?;
            let fill = |to: &mut Option<String>, from: &Option<String>| {
                if from.is_some() {
                    to.clone_from(from);
                }
            };
            fill(&mut spec.medium, &entry.medium);
            fill(&mut spec.site, &entry.site);
            fill(&mut spec.region, &entry.region);
            fill(&mut spec.account, &entry.account);
            spec.offsite |= entry.offsite;
            spec.immutable |= entry.immutable;
            Ok(spec)
        };
        self.copy.iter().map(spec).collect()
    }
}

/// What things and texts of the backup are called in the gateway.
pub(crate) fn read_mapping(path: &Path) -> Result<Mapping> {
    toml(path)
}

/// The text of a mapping file with these identities.
pub(crate) fn mapping_text<'a>(pairs: impl IntoIterator<Item = (&'a Key, &'a Key)>) -> String {
    // A quoted JSON string is a TOML string, too.
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let entry = |(from, to): (&Key, &Key)| {
        let [kind, from, to] = [from.kind.as_str(), from.id.as_str(), to.id.as_str()].map(quoted);
        format!("[[id]]\nkind = {kind}\nfrom = {from}\nto = {to}\n")
    };
    pairs.into_iter().map(entry).collect()
}

/// Probes and loads that the user wrote down.
pub(crate) fn scenario(path: &Path) -> Result<Scenario> {
    if path.extension().is_none_or(|ending| ending != "json") {
        return toml(path);
    }
    let text = std::fs::read(path).map_err(|e| Error::from(e).on(path.display()))?;
    serde_json::from_slice(&text)
        .map_err(|e| Error::invalid(format!("this is no scenario: {e}")).on(path.display()))
}

/// A plan that was stored.
pub(crate) fn read_plan(path: &Path) -> Result<Plan> {
    serde_json::from_str(&text(path)?).map_err(|e| {
        Error::invalid(format!("this is no plan (line {}, column {})", e.line(), e.column()))
            .on(path.display())
            .help("make one with `plan --out FILE`")
    })
}

fn text(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|e| {
        Error::invalid(format!("the file cannot be read: {}", e.kind())).on(path.display())
    })
}

pub(crate) fn toml<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = text(path)?;
    toml::from_str(&text).map_err(|e| {
        let before = e.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        let message = e.message().lines().next().unwrap_or("malformed");
        // A value that stands in the wrong place may be a secret.
        let message = match message.rsplit_once(", expected ") {
            Some((_, expected)) if !message.starts_with("unknown field") => {
                format!("this value does not fit, expected {expected}")
            }
            _ => message.to_owned(),
        };
        Error::invalid(format!("line {line}, column {column}: {message}"))
            .on(path.display())
            .help("correct the file; docs/configuration.md shows every member")
    })
}
