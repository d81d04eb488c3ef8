//! The file of secrets for a restore.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use gwbackup::model::{Key, Secret};
use gwbackup::restore::SecretProvider;
use gwbackup::{Context, Error, Result};
use serde::Deserialize;

use crate::config::toml;
use crate::secret;

/// One value: the secret itself, or where it is.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum Value {
    Here(String),
    Elsewhere(secret::Secret),
}

/// Secrets by `kind/id#/json/pointer`.
pub(crate) struct SecretsFile {
    path: PathBuf,
    values: BTreeMap<String, Value>,
    used: Mutex<BTreeSet<String>>,
}

impl fmt::Debug for SecretsFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretsFile({} places)", self.values.len())
    }
}

impl SecretsFile {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let values: BTreeMap<String, Value> = toml(path)?;
        for place in values.keys() {
            let (key, pointer) = place.split_once('#').unwrap_or_default();
            if key.parse::<Key>().is_err() || !pointer.starts_with('/') {
                return Err(Error::invalid("this names no place of a resource")
                    .on(format!("{}: {place}", path.display()))
                    .help("write \"kind/id#/json/pointer\" = \"the secret\""));
            }
        }
        Ok(Self { path: path.to_owned(), values, used: Mutex::default() })
    }

    /// `Invalid` when a place was never asked for: it holds no secret, or there is no such resource.
    pub(crate) fn all_used(&self) -> Result<()> {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let left: Vec<&str> =
            self.values.keys().filter(|place| !used.contains(*place)).map(String::as_str).collect();
        if left.is_empty() {
            return Ok(());
        }
        Err(Error::invalid(format!("no secret of the backup stands at {}", left.join(", ")))
            .on(self.path.display())
            .help("`show BACKUP KIND/ID` shows where secrets stand; take out what is not needed"))
    }
}

#[async_trait]
impl SecretProvider for SecretsFile {
    async fn secret(&self, _: &Context, key: &Key, pointer: &str) -> Result<Option<Secret>> {
        let place = format!("{key}#{pointer}");
        let Some(value) = self.values.get(&place) else { return Ok(None) };
        self.used.lock().unwrap_or_else(PoisonError::into_inner).insert(place);
        let text = match value {
            Value::Here(text) => text.clone(),
            Value::Elsewhere(secret) => secret.resolve().await?,
        };
        Ok(Some(Secret::new(text)))
    }
}
