//! From a URL to the part that it names.

mod copy;
mod url;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use ::url::Url;

use crate::crypt::{AgeIdentity, KeyFile, KeyProvider, Passphrase, Right};
use crate::error::{Error, ErrorKind, Result};
use crate::history::HistoryLink;
use crate::jsonl;
use crate::metrics::MetricsRecorder;
use crate::sink::{DirectorySink, MemorySink, Sink};
use crate::source::Source;
use crate::target::Target;
use crate::task::blocking;

pub use self::copy::CopySpec;
pub use self::url::{local_path, masked};

type Made<T> = Pin<Box<dyn Future<Output = Result<Arc<T>>> + Send>>;
type Make<T> = Arc<dyn Fn(Url, Settings) -> Made<T> + Send + Sync>;

/// What a URL must not hold or cannot: a token, the path of a certificate authority, a program to
/// call. Each part documents the names it reads. `Debug` shows names only.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Settings(BTreeMap<String, String>);

impl Settings {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with one more; the last one of a name counts.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.insert(name.into(), value.into());
        self
    }

    /// The setting of this name.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// The makers of one sort of part, by scheme.
struct Makers<T: ?Sized>(BTreeMap<String, Make<T>>);

impl<T: ?Sized> Makers<T> {
    fn add<F, Fut>(&mut self, scheme: &str, make: F)
    where
        F: Fn(Url, Settings) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Arc<T>>> + Send + 'static,
    {
        let make: Make<T> = Arc::new(move |url, settings| Box::pin(make(url, settings)));
        self.0.insert(scheme.to_ascii_lowercase(), make);
    }
}

impl<T: ?Sized> Default for Makers<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T: ?Sized> Clone for Makers<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// Which part answers to which URL scheme. Providers bring their own; so may anybody:
///
/// ```
/// use std::sync::Arc;
/// use gwbackup_core::connect::{Connectors, Settings};
/// use gwbackup_core::sink::{MemorySink, Sink};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let connectors = Connectors::new().add_sink("attic", |url, _settings| async move {
///     Ok(Arc::new(MemorySink::named(url.path())) as Arc<dyn Sink>)
/// });
/// let sink = connectors.sink("attic:box", &Settings::new()).await.unwrap();
/// assert_eq!(sink.info().url, "memory:box");
/// # });
/// ```
///
/// A value that does not begin with a scheme (a letter, then letters, digits, `+`, `-` or `.`, at
/// least two in all, then a colon) is a path of this machine: for sinks of `file:`, for gateways of
/// the scheme that claimed its suffix, for keys of `key-file:`. Write `./a:b` for a path that would
/// be taken for a URL.
///
/// Every lookup fails with `Invalid` for a malformed URL, for one with user or password, and for an
/// unknown scheme (naming those there are, or the feature that brings it), and otherwise as the
/// part itself does. Makers may do I/O: calling again makes the part anew.
#[derive(Clone, Default)]
pub struct Connectors {
    sources: Makers<dyn Source>,
    targets: Makers<dyn Target>,
    sinks: Makers<dyn Sink>,
    keys: Makers<dyn KeyProvider>,
    histories: Makers<dyn HistoryLink>,
    metrics: Makers<dyn MetricsRecorder>,
    suffixes: BTreeMap<String, String>,
    hints: BTreeMap<String, String>,
}

impl Connectors {
    /// The core's own: `file:` and `memory:` sinks, `jsonl:` gateways, and `key-file:`,
    /// `passphrase-file:` and `age-file:` keys. All `memory:` URLs of one name give the same sink, as
    /// long as they are asked of this value or its clones.
    ///
    /// A key's URL may say which rights its recipient gets when a repository is made:
    /// `key-file:///path?rights=content,meta`.
    pub fn new() -> Self {
        let memories: Arc<Mutex<BTreeMap<String, MemorySink>>> = Arc::default();
        Self::default()
            .add_sink("file", |url, _| async move {
                let sink = DirectorySink::open(local_path(&url)?).await?;
                Ok(Arc::new(sink) as Arc<dyn Sink>)
            })
            .add_target("jsonl", |url, _| async move {
                Ok(Arc::new(jsonl::open(local_path(&url)?)?) as Arc<dyn Target>)
            })
            .add_path_suffix("jsonl", "jsonl")
            .add_key_provider("key-file", |url, _| async move {
                let (path, rights) = key_of(&url)?;
                let key = blocking(move || KeyFile::open(path)).await?;
                Ok(Arc::new(key.with_rights(rights)) as Arc<dyn KeyProvider>)
            })
            .add_key_provider("passphrase-file", |url, _| async move {
                let (path, rights) = key_of(&url)?;
                let key = blocking(move || Passphrase::from_file(path)).await?;
                Ok(Arc::new(key.with_rights(rights)) as Arc<dyn KeyProvider>)
            })
            .add_key_provider("age-file", |url, _| async move {
                let (path, rights) = key_of(&url)?;
                let key = blocking(move || AgeIdentity::open(path)).await?;
                Ok(Arc::new(key.with_rights(rights)) as Arc<dyn KeyProvider>)
            })
            .add_sink("memory", move |url, _| {
                let mut memories = memories.lock().unwrap_or_else(PoisonError::into_inner);
                let name = url.path().to_owned();
                let sink =
                    memories.entry(name).or_insert_with_key(|name| MemorySink::named(name)).clone();
                std::future::ready(Ok(Arc::new(sink) as Arc<dyn Sink>))
            })
    }

    /// None at all, as a provider crate starts from.
    pub fn empty() -> Self {
        Self::default()
    }

    /// These and `other`'s, whose part counts where both have a scheme, suffix or hint.
    #[must_use]
    pub fn with(mut self, other: Self) -> Self {
        self.sources.0.extend(other.sources.0);
        self.targets.0.extend(other.targets.0);
        self.sinks.0.extend(other.sinks.0);
        self.keys.0.extend(other.keys.0);
        self.histories.0.extend(other.histories.0);
        self.metrics.0.extend(other.metrics.0);
        self.suffixes.extend(other.suffixes);
        self.hints.extend(other.hints);
        self
    }

    /// Adds a gateway that is only read.
    #[must_use]
    pub fn add_source<F, Fut>(mut self, scheme: &str, make: F) -> Self
    where
        F: Fn(Url, Settings) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Arc<dyn Source>>> + Send + 'static,
    {
        self.sources.add(scheme, make);
        self
    }

    /// Adds a gateway that is read and written: it is found as a source, too.
    #[must_use]
    pub fn add_target<F, Fut>(mut self, scheme: &str, make: F) -> Self
    where
        F: Fn(Url, Settings) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<Arc<dyn Target>>> + Send + 'static,
    {
        let target = make.clone();
        self.sources.add(scheme, move |url, settings| {
            let target = target(url, settings);
            async move { Ok(target.await? as Arc<dyn Source>) }
        });
        self.targets.add(scheme, make);
        self
    }

    /// Adds a sink.
    #[must_use]
    pub fn add_sink<F, Fut>(mut self, scheme: &str, make: F) -> Self
    where
        F: Fn(Url, Settings) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Arc<dyn Sink>>> + Send + 'static,
    {
        self.sinks.add(scheme, make);
        self
    }

    /// Adds a key provider.
    #[must_use]
    pub fn add_key_provider<F, Fut>(mut self, scheme: &str, make: F) -> Self
    where
        F: Fn(Url, Settings) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Arc<dyn KeyProvider>>> + Send + 'static,
    {
        self.keys.add(scheme, make);
        self
    }

    /// Adds a history that another service keeps.
    #[must_use]
    pub fn add_history<F, Fut>(mut self, scheme: &str, make: F) -> Self
    where
        F: Fn(Url, Settings) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Arc<dyn HistoryLink>>> + Send + 'static,
    {
        self.histories.add(scheme, make);
        self
    }

    /// Adds a recorder of metrics.
    #[must_use]
    pub fn add_metrics<F, Fut>(mut self, scheme: &str, make: F) -> Self
    where
        F: Fn(Url, Settings) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Arc<dyn MetricsRecorder>>> + Send + 'static,
    {
        self.metrics.add(scheme, make);
        self
    }

    /// Claims gateway paths that end in `.suffix` for `scheme`.
    #[must_use]
    pub fn add_path_suffix(mut self, suffix: &str, scheme: &str) -> Self {
        self.suffixes.insert(suffix.to_ascii_lowercase(), scheme.to_ascii_lowercase());
        self
    }

    /// Says which feature of the library would bring `scheme`; a part that is there wins.
    #[must_use]
    pub fn hint(mut self, scheme: &str, feature: &str) -> Self {
        self.hints.insert(scheme.to_ascii_lowercase(), feature.to_owned());
        self
    }

    /// The gateway to read.
    pub async fn source(&self, value: &str, settings: &Settings) -> Result<Arc<dyn Source>> {
        let url = url::parse(value, |path| self.claim(path))?;
        self.make(&self.sources, "gateway", url, settings).await
    }

    /// The gateway to write.
    pub async fn target(&self, value: &str, settings: &Settings) -> Result<Arc<dyn Target>> {
        let url = url::parse(value, |path| self.claim(path))?;
        self.make(&self.targets, "writable gateway", url, settings).await
    }

    /// The sink. A value with copy descriptors goes through [`CopySpec::parse`] first.
    pub async fn sink(&self, value: &str, settings: &Settings) -> Result<Arc<dyn Sink>> {
        let url = url::parse(value, |_| Ok("file"))?;
        self.make(&self.sinks, "sink", url, settings).await
    }

    /// The key provider. Key services name keys by texts with colons, which may follow `//` as they
    /// are: `SCHEME://a:b:c` is read as `SCHEME:///a:b:c`.
    pub async fn key_provider(
        &self,
        value: &str,
        settings: &Settings,
    ) -> Result<Arc<dyn KeyProvider>> {
        let url = url::parse(&url::name_as_path(value), |_| Ok("key-file"))?;
        self.make(&self.keys, "key provider", url, settings).await
    }

    /// The recorder of metrics. Paths name none.
    pub async fn metrics(
        &self,
        value: &str,
        settings: &Settings,
    ) -> Result<Arc<dyn MetricsRecorder>> {
        let of_path = |path: &Path| {
            let error = Error::invalid("a path alone names no place for metrics");
            Err(error.on(path.display()).help("begin with a scheme, such as emf:"))
        };
        let url = url::parse(value, of_path)?;
        self.make(&self.metrics, "place for metrics", url, settings).await
    }

    /// The history that another service keeps. Always a URL: no file is one.
    pub async fn history(&self, value: &str, settings: &Settings) -> Result<Arc<dyn HistoryLink>> {
        let none = |_: &Path| Err(Error::invalid("no file is a history").help("give a url"));
        self.make(&self.histories, "history", url::parse(value, none)?, settings).await
    }

    /// The scheme that a gateway's path belongs to.
    fn claim(&self, path: &Path) -> Result<&str> {
        let suffix = path.extension().and_then(|suffix| suffix.to_str());
        let scheme = suffix.and_then(|suffix| self.suffixes.get(&suffix.to_ascii_lowercase()));
        scheme.map(String::as_str).ok_or_else(|| {
            let known: Vec<_> = self.suffixes.keys().map(|suffix| format!(".{suffix}")).collect();
            let help = match known.as_slice() {
                [] => "give a url with a scheme".to_owned(),
                known => format!("give a url, or a file that ends in {}", known.join(", ")),
            };
            Error::invalid("no kind of gateway has files of this ending")
                .on(path.display())
                .help(help)
        })
    }

    async fn make<T: ?Sized>(
        &self,
        makers: &Makers<T>,
        role: &str,
        url: Url,
        settings: &Settings,
    ) -> Result<Arc<T>> {
        let Some(make) = makers.0.get(url.scheme()) else {
            return Err(self.unknown(makers.0.keys(), role, &url));
        };
        make(url, settings.clone()).await
    }

    fn unknown<'a>(&self, known: impl Iterator<Item = &'a String>, role: &str, url: &Url) -> Error {
        let scheme = url.scheme();
        let known: Vec<_> = known.map(|scheme| format!("{scheme}:")).collect();
        let help = match (self.hints.get(scheme), self.role_of(scheme)) {
            (_, Some(other)) => format!("`{scheme}:` names a {other}"),
            (Some(feature), _) => format!("build with the feature `{feature}`"),
            _ if known.is_empty() => format!("no {role} is built in"),
            _ => format!("known are {}; begin a path with ./ or /", known.join(", ")),
        };
        Error::new(ErrorKind::Invalid, format!("no {role} answers to `{scheme}:`"))
            .on(masked(url))
            .help(help)
    }

    fn role_of(&self, scheme: &str) -> Option<&'static str> {
        [
            (self.targets.0.contains_key(scheme), "gateway"),
            (self.sources.0.contains_key(scheme), "gateway that can only be read"),
            (self.sinks.0.contains_key(scheme), "sink"),
            (self.keys.0.contains_key(scheme), "key provider"),
            (self.histories.0.contains_key(scheme), "history"),
            (self.metrics.0.contains_key(scheme), "place for metrics"),
        ]
        .into_iter()
        .find_map(|(is, role)| is.then_some(role))
    }
}

impl fmt::Debug for Connectors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connectors")
            .field("sources", &self.sources.0.keys())
            .field("targets", &self.targets.0.keys())
            .field("sinks", &self.sinks.0.keys())
            .field("keys", &self.keys.0.keys())
            .field("histories", &self.histories.0.keys())
            .field("metrics", &self.metrics.0.keys())
            .field("suffixes", &self.suffixes)
            .field("hints", &self.hints)
            .finish()
    }
}

/// Path and rights of a key's URL.
fn key_of(url: &Url) -> Result<(std::path::PathBuf, Vec<Right>)> {
    let mut rights = Right::ALL.to_vec();
    for (name, value) in url.query_pairs() {
        if name != "rights" {
            return Err(Error::invalid("a key's url knows `rights` alone").on(name));
        }
        rights = value.split(',').map(str::parse).collect::<Result<_>>()?;
    }
    Ok((local_path(url)?, rights))
}

#[cfg(test)]
mod tests;
