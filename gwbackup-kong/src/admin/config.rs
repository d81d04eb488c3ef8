//! Where an Admin API is, and how it is spoken to.

use std::path::PathBuf;

use gwbackup_core::connect::{Settings, masked};
use gwbackup_core::{Error, Result};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

/// What Kong bears without trouble, measured at one node with a database of its own.
const CONNECTIONS: u16 = 8;
/// A node may hold a database connection for each.
const MOST_CONNECTIONS: u16 = 64;

/// One node's Admin API. `Debug` shows no secret.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// How people name it: masked, with the scheme that they wrote.
    pub(crate) address: String,
    /// The API's root, of `http` or `https`, ending in a slash.
    pub(crate) base: Url,
    /// Goes before every collection.
    pub(crate) workspace: Option<String>,
    /// Only entities with all of these, as Kong's own `tags` filter has it.
    pub(crate) tags: Vec<String>,
    /// Kinds that are left out on purpose.
    pub(crate) without: Vec<String>,
    /// Calls at one time.
    pub(crate) connections: u16,
    /// Sent with each call; marked as sensitive.
    pub(crate) headers: HeaderMap,
    /// PEM file of certificate authorities to trust beside the system's.
    pub(crate) ca: Option<PathBuf>,
    /// PEM file of the certificate and key to show to the node.
    pub(crate) client_certificate: Option<PathBuf>,
    /// The program that imports a declarative file past the Admin API, word by word.
    pub(crate) import_hook: Option<Vec<String>>,
}

impl Config {
    /// Of `kong+http://HOST:PORT/PREFIX?workspace=W&tags=A,B&without=KIND,KIND&connections=N`. No I/O.
    pub(crate) fn new(url: &Url, settings: &Settings) -> Result<Self> {
        let mut config = Self {
            address: masked(url),
            base: base(url)?,
            workspace: None,
            tags: Vec::new(),
            without: Vec::new(),
            connections: CONNECTIONS,
            headers: HeaderMap::new(),
            ca: settings.value("ca").map(PathBuf::from),
            client_certificate: settings.value("client_certificate").map(PathBuf::from),
            import_hook: None,
        };
        let list =
            |text: &str| text.split(',').map(str::to_owned).filter(|s| !s.is_empty()).collect();
        for (name, value) in url.query_pairs() {
            match &*name {
                "workspace" => config.workspace = Some(value.into_owned()),
                "tags" => config.tags = list(&value),
                "without" => config.without = list(&value),
                "connections" => {
                    let number = value.parse().ok().filter(|n| (1..=MOST_CONNECTIONS).contains(n));
                    config.connections = number.ok_or_else(|| {
                        Error::invalid(format!(
                            "`connections` is a number from 1 to {MOST_CONNECTIONS}"
                        ))
                        .on(&config.address)
                    })?;
                }
                _ => {
                    return Err(Error::invalid(format!("a Kong url knows no `{name}`"))
                        .on(&config.address)
                        .help("known are workspace, tags, without and connections"));
                }
            }
        }
        if let Some(token) = settings.value("token") {
            config.header("kong-admin-token", token)?;
        }
        if let Some(text) = settings.value("headers") {
            let headers: std::collections::BTreeMap<String, String> = serde_json::from_str(text)
                .map_err(|_| malformed("headers", "a JSON object of texts"))?;
            for (name, value) in headers {
                config.header(&name, &value)?;
            }
        }
        if let Some(text) = settings.value("import_hook") {
            let words: Vec<String> = serde_json::from_str(text)
                .map_err(|_| malformed("import_hook", "a JSON array of words"))?;
            if !words.iter().skip(1).any(|word| word.contains("{file}")) {
                return Err(malformed(
                    "import_hook",
                    "a program and words of which one has {file}",
                ));
            }
            config.import_hook = Some(words);
        }
        Ok(config)
    }

    fn header(&mut self, name: &str, value: &str) -> Result<()> {
        let wrong = || Error::invalid("this is no header that a request can have").on(name);
        let name = HeaderName::try_from(name).map_err(|_| wrong())?;
        let mut value = HeaderValue::try_from(value).map_err(|_| wrong())?;
        value.set_sensitive(true);
        self.headers.insert(name, value);
        Ok(())
    }
}

fn malformed(setting: &str, expected: &str) -> Error {
    Error::invalid(format!("the setting `{setting}` is not {expected}"))
}

/// The API's root.
fn base(url: &Url) -> Result<Url> {
    let wrong = || {
        Error::invalid("this is no address of a Kong Admin API")
            .on(masked(url))
            .help("write kong+http://HOST:8001 or kong+https://HOST:8444")
    };
    let rest = url.as_str().strip_prefix("kong+").ok_or_else(wrong)?;
    // Parsed anew: only an `http` URL has the rules of hosts and ports.
    let mut base = Url::parse(rest).map_err(|_| wrong())?;
    if !matches!(base.scheme(), "http" | "https") || base.host().is_none() {
        return Err(wrong());
    }
    base.set_query(None);
    base.set_fragment(None);
    if !base.path().ends_with('/') {
        base.set_path(&format!("{}/", base.path()));
    }
    Ok(base)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(url: &str, settings: &Settings) -> Result<Config> {
        Config::new(&Url::parse(url).unwrap(), settings)
    }

    #[test]
    fn a_url_names_the_root_and_what_is_wanted() {
        let url = "kong+https://admin.example:8444/kong?workspace=w&tags=a,b&connections=3";
        let config = config(url, &Settings::new()).unwrap();
        assert_eq!(config.base.as_str(), "https://admin.example:8444/kong/");
        assert_eq!(config.address, url);
        assert_eq!(config.workspace.as_deref(), Some("w"));
        assert_eq!((config.tags.len(), config.connections), (2, 3));
    }

    #[test]
    fn what_is_wrong_is_refused() {
        for url in ["kong+http:", "kong+http://h?size=3", "kong+http://h?connections=0"] {
            assert!(config(url, &Settings::new()).is_err(), "{url}");
        }
        for (name, value) in [("import_hook", "[\"kong\"]"), ("headers", "[]"), ("token", "a\nb")] {
            let settings = Settings::new().with(name, value);
            let error = config("kong+http://h", &settings).unwrap_err();
            assert!(!format!("{error:?}").contains(value), "{error:?}");
        }
    }

    #[test]
    fn a_token_is_not_shown() {
        let settings = Settings::new().with("token", "hush-hush");
        let config = config("kong+http://h", &settings).unwrap();
        assert!(!format!("{config:?}").contains("hush"));
    }
}
