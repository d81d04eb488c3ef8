//! Probes of `restore` and `drill`, and `drill` itself.

use std::net::IpAddr;
use std::sync::Arc;

use gwbackup::probe::{Options, Scenario};
use gwbackup::restore::{ApplyOptions, Probing};
use gwbackup::{Repository, Result};

use crate::cli::{Drill, Probes};
use crate::config::scenario;
use crate::document::Document;
use crate::output::Outcome;
use crate::session::Session;

/// How behaviour is probed, if it is.
fn probing(arguments: &Probes) -> Result<Option<Probing>> {
    if arguments.probe.is_empty() {
        return Ok(None);
    }
    let scenario = match &arguments.scenario {
        Some(path) => scenario(path)?,
        None => Scenario::default(),
    };
    let schemes = |scheme: &str| arguments.probe.iter().any(|url| url.scheme() == scheme);
    let options = Options::default().patience(arguments.probe_patience.duration());
    let options = if arguments.intrusive { options.intrusive() } else { options };
    let probing = Probing::new(caller(arguments)?)
        .schemes(schemes("http"), schemes("https"))
        .options(options)
        .scenario(scenario);
    let own = arguments.probe.iter().find_map(|url| match url.host()? {
        url::Host::Ipv4(address) if address.is_loopback() => Some(IpAddr::from([127, 0, 0, 1])),
        _ => None,
    });
    Ok(Some(match arguments.probe_address.or(own) {
        Some(address) => probing.from(address),
        None => probing,
    }))
}

#[cfg(feature = "http")]
fn caller(arguments: &Probes) -> Result<Arc<dyn gwbackup::probe::Caller>> {
    use gwbackup::probe::{HttpCaller, HttpOptions};
    let mut options = HttpOptions::default();
    for url in &arguments.probe {
        options = options.at(url.clone())?;
    }
    options.ca.clone_from(&arguments.probe_ca);
    options.identity.clone_from(&arguments.probe_identity);
    Ok(Arc::new(HttpCaller::new(options)?))
}

#[cfg(not(feature = "http"))]
fn caller(_arguments: &Probes) -> Result<Arc<dyn gwbackup::probe::Caller>> {
    Err(gwbackup::Error::invalid("this program cannot call by HTTP")
        .help("build it with `--features http`"))
}

/// Adds the probes that are asked for: of what is restored, or of what another backup promises.
pub(super) async fn probe(
    session: &Session,
    repository: &Repository,
    options: &mut ApplyOptions,
    arguments: &Probes,
) -> Result<()> {
    let Some(probing) = probing(arguments)? else { return Ok(()) };
    match &arguments.probes_of {
        None => options.probing = Some(probing),
        Some(other) => {
            let other = repository.find(&session.cx, other).await?;
            let promised = repository.view(&session.cx, &other).await?.snapshot();
            options.checks.push(probing.of(promised));
        }
    }
    Ok(())
}

pub(crate) async fn drill(session: &Session, arguments: Drill) -> Result<Outcome> {
    let target = session.target(&arguments.onto).await?;
    let repository = session.repository().await?;
    let options = ApplyOptions {
        accept_partial: arguments.consent.accept_partial,
        accept_loss: arguments.consent.accept_loss,
        ..ApplyOptions::default()
    };
    let mut drill = repository.drill(Arc::clone(&target)).options(options);
    if arguments.random {
        let seed =
            arguments.seed.unwrap_or_else(|| session.cx.now().as_millisecond().unsigned_abs());
        drill = drill.random(seed, arguments.window.duration());
    }
    if let Some((app, env)) = &arguments.gateway {
        drill = drill.gateway(app, env);
    }
    if let Some(probing) = probing(&arguments.probes)? {
        drill = drill.probing(probing);
    }
    if arguments.onto_occupied {
        drill = drill.onto_occupied();
    }
    if arguments.keep {
        drill = drill.keep();
    }
    let onto = target.address();
    if session.global.dry_run {
        let result = serde_json::json!({ "target": onto });
        return Outcome::new(&result, format!("would rehearse a restore onto {onto}\n"));
    }
    session.consent(&format!("Rehearse a restore onto {onto}, and take it away again?")).await?;
    let document = arguments.report.as_deref().map(Document::create).transpose()?;
    let report = drill.run(&session.cx).await?;
    if let Some(document) = document {
        document.write(&report, || report.to_html(), || report.to_markdown())?;
    }
    let mut text = format!("{:?}: {} onto {onto}\n", report.verdict, report.backup_name);
    for finding in report.findings.iter().chain(&report.left) {
        text += &format!("  {finding}\n");
    }
    let rto = report.rto_seconds.map_or("not measured".to_owned(), |rto| format!("{rto} s"));
    text += &format!("  recovered in {rto}; {} s would have been lost\n", report.rpo_seconds);
    let failed = report.verdict == gwbackup::catalog::DrillVerdict::Fail;
    Ok(Outcome::new(&report, text)?.with_code(u8::from(failed)))
}

pub(crate) async fn runbook(
    session: &Session,
    what: &str,
    out: Option<std::path::PathBuf>,
) -> Result<Outcome> {
    let repository = session.repository().await?;
    let runs = repository.runs(&session.cx).await?;
    let book = if let Some(run) = runs.iter().find(|run| run.run.to_string() == what) {
        repository.restore_runbook(&session.cx, run.run).await?
    } else {
        let backup = repository.find(&session.cx, what).await?;
        repository.backup_runbook(&session.cx, &backup).await?
    };
    if let Some(path) = out {
        Document::create(&path)?.write(&book, || book.to_html(), || book.to_markdown())?;
    }
    Outcome::new(&book, book.to_markdown())
}
