//! From options, environment and configuration to the library's values.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gwbackup::connect::{Connectors, CopySpec, Settings};
use gwbackup::crypt::KeyProvider;
use gwbackup::history::HistoryLink;
use gwbackup::restore::Authorizer;
use gwbackup::source::Source;
use gwbackup::target::Target;
use gwbackup::{Context, Copy, Error, ErrorKind, Repository, Result};
use tokio_util::sync::CancellationToken;

use crate::cli::Global;
use crate::config::{Config, GatewayEntry};
use crate::output::Output;
use crate::progress::Bars;

/// Everything that all commands share.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) cx: Context,
    pub(crate) output: Output,
    pub(crate) global: Global,
    config: Config,
    connectors: Connectors,
}

impl Session {
    pub(crate) fn new(global: Global, output: Output, cancel: CancellationToken) -> Result<Self> {
        let config = match &global.config {
            Some(path) => Config::read(path)?,
            None => Config::default(),
        };
        let user = || std::env::var("USER").or_else(|_| std::env::var("USERNAME")).ok();
        let actor = global.actor.clone().or_else(user).unwrap_or_else(|| "unknown".to_owned());
        let mut cx = Context::new()
            .with_actor(actor)
            .with_cancellation(cancel)
            .with_observer(Arc::new(Bars::new(output, global.quiet)));
        if let Some(reason) = &global.reason {
            cx = cx.with_reason(reason.as_str());
        }
        for claim in lines(&global.claim) {
            let (name, value) = claim.split_once('=').ok_or_else(|| {
                Error::invalid("a claim is NAME=VALUE").on(claim).help("write --claim auth=mfa")
            })?;
            cx = cx.with_claim(name, value);
        }
        Ok(Self { cx, output, global, config, connectors: gwbackup::connectors() })
    }

    /// The copies, each with what is said about it.
    pub(crate) async fn copies(&self) -> Result<Vec<Copy>> {
        let given = lines(&self.global.repo);
        let specs = if given.is_empty() {
            self.config.copies()?
        } else {
            given.into_iter().map(CopySpec::parse).collect::<Result<_>>()?
        };
        let mut copies = Vec::new();
        for spec in specs {
            let sink = self.connectors.sink(spec.url.as_str(), &spec.settings()).await?;
            copies.push(Copy::described(sink, &spec));
        }
        Ok(copies)
    }

    /// Whether a repository is named at all.
    pub(crate) fn has_repository(&self) -> Result<bool> {
        Ok(!self.global.repo.is_empty() || !self.config.copies()?.is_empty())
    }

    /// The URLs of the keys.
    pub(crate) fn key_urls(&self) -> Vec<String> {
        let given = lines(&self.global.key);
        if given.is_empty() {
            return self.config.keys().map(str::to_owned).collect();
        }
        given.into_iter().map(str::to_owned).collect()
    }

    /// The URLs of the places for metrics.
    fn metrics_urls(&self) -> Vec<&str> {
        let given = lines(&self.global.metrics);
        if given.is_empty() { self.config.metrics().collect() } else { given }
    }

    pub(crate) async fn key(&self, url: &str) -> Result<Arc<dyn KeyProvider>> {
        self.connectors.key_provider(url, &Settings::new()).await
    }

    /// The directory for what this machine remembers.
    pub(crate) fn state(&self) -> Result<PathBuf> {
        self.global.state.clone().or_else(default_state).ok_or_else(|| {
            Error::invalid("the folder for state is not known").help("give one with --state DIR")
        })
    }

    /// The repository.
    pub(crate) async fn repository(&self) -> Result<Repository> {
        let copies = self.copies().await?;
        if copies.is_empty() {
            return Err(Error::invalid("no repository is named")
                .help("give --repo URL, or a configuration with [[copy]]"));
        }
        let mut builder =
            Repository::builder().state(self.state()?).policy(self.config.policy.clone());
        for copy in copies {
            builder = builder.copy(copy);
        }
        for url in self.key_urls() {
            builder = builder.key(self.key(&url).await?);
        }
        for url in self.metrics_urls() {
            builder = builder.metrics(self.connectors.metrics(url, &Settings::new()).await?);
        }
        if let Some(id) = self.config.repository()? {
            builder = builder.expect(id);
        }
        if let Some(id) = &self.global.trust_new {
            builder = builder.trust_new(id.parse()?);
        }
        let repository = builder.open(&self.cx).await?;
        if self.global.verbose > 0 {
            let copies = repository.copies().len();
            self.output.say(format_args!("repository {} on {copies} copies", repository.id()));
        }
        if !self.global.quiet {
            for warning in repository.warnings() {
                self.output.say(format_args!("warning: {warning}"));
            }
        }
        Ok(repository)
    }

    /// What the configuration says about a gateway of this name.
    pub(crate) fn entry(&self, gateway: &str) -> Option<&GatewayEntry> {
        self.config.gateway.get(gateway)
    }

    /// Who decides whether a gateway may be written.
    pub(crate) fn authorizer(&self) -> Option<Arc<dyn Authorizer>> {
        self.config.approval.as_ref().map(|approval| Arc::new(approval.four_eyes()) as _)
    }

    /// Which stage the configuration says that a gateway is, by its name or its address.
    pub(crate) fn environment(&self, gateway: &str) -> Option<String> {
        let by_address = || self.config.gateway.values().find(|entry| entry.url == gateway);
        self.entry(gateway).or_else(by_address)?.env.clone()
    }

    fn address<'a>(&'a self, gateway: &'a str) -> &'a str {
        self.entry(gateway).map_or(gateway, |entry| entry.url.as_str())
    }

    async fn settings(&self, gateway: &str) -> Result<Settings> {
        match self.entry(gateway) {
            Some(entry) => entry.settings().await,
            None => Ok(Settings::new()),
        }
    }

    /// A gateway to read.
    pub(crate) async fn source(&self, gateway: &str) -> Result<Arc<dyn Source>> {
        self.connectors.source(self.address(gateway), &self.settings(gateway).await?).await
    }

    /// A gateway to write.
    pub(crate) async fn target(&self, gateway: &str) -> Result<Arc<dyn Target>> {
        self.connectors.target(self.address(gateway), &self.settings(gateway).await?).await
    }

    /// A history that is kept elsewhere.
    pub(crate) async fn link(&self, link: &str) -> Result<Arc<dyn HistoryLink>> {
        let configured = self.entry(link).map(|entry| entry.history.as_deref());
        let url = configured.map_or(Ok(link), |url| {
            url.ok_or_else(|| {
                Error::invalid("this gateway has no history in the configuration")
                    .on(link)
                    .help("give it one with `history = \"URL\"`, or give a url")
            })
        })?;
        self.connectors.history(url, &Settings::new()).await
    }

    /// Asks before a gateway is written.
    pub(crate) async fn consent(&self, question: &str) -> Result<()> {
        if self.global.yes {
            return Ok(());
        }
        let refused = |message: &str| {
            Error::refused(message).help("say --yes, or --dry-run to write nothing")
        };
        if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
            return Err(refused("nobody consented, and there is no terminal to ask on"));
        }
        let prompt = format!("{question} [y/N] ");
        let asked = tokio::task::spawn_blocking(move || {
            let mut err = std::io::stderr().lock();
            err.write_all(prompt.as_bytes())?;
            err.flush()?;
            let mut answer = String::new();
            std::io::stdin().lock().read_line(&mut answer)?;
            Ok::<_, std::io::Error>(answer)
        });
        let answer = tokio::select! {
            answer = asked => answer.map_err(|_| Error::new(ErrorKind::Other, "the question failed"))??,
            () = self.cx.cancellation().cancelled() => {
                return Err(Error::new(ErrorKind::Cancelled, "the run was cancelled"));
            }
        };
        match answer.trim() {
            "y" | "Y" | "yes" => Ok(()),
            _ => Err(refused("you did not consent")),
        }
    }
}

/// Values of options that may stand one per line in the environment.
fn lines(values: &[String]) -> Vec<&str> {
    values.iter().flat_map(|value| value.lines()).filter(|line| !line.is_empty()).collect()
}

/// Writes a new file that is readable by its owner alone. Nothing is overwritten.
pub(crate) fn new_file(path: &Path) -> Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(|e| {
        let exists = e.kind() == std::io::ErrorKind::AlreadyExists;
        let error = Error::from(e).on(path.display());
        if exists { error.help("choose another name: nothing is overwritten") } else { error }
    })
}

pub(crate) fn write_new(path: &Path, text: &str) -> Result<()> {
    Ok(new_file(path)?.write_all(text.as_bytes())?)
}

fn default_state() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let base = if cfg!(windows) {
        folder("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        folder("HOME").map(|home| home.join("Library/Application Support"))
    } else {
        folder("XDG_STATE_HOME").or_else(|| folder("HOME").map(|home| home.join(".local/state")))
    };
    base.map(|base| base.join("gwbackup"))
}
