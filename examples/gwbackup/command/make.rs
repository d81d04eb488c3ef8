//! `init` and `backup`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use futures_util::StreamExt as _;
use gwbackup::backup::BackupReport;
use gwbackup::catalog::{RepositoryId, State};
use gwbackup::connect::local_path;
use gwbackup::crypt::{KeyFile, RecoveryKit};
use gwbackup::model::{Captured, Scope};
use gwbackup::source::Source;
use gwbackup::{Copy, Error, ErrorKind, Repository, Result};
use serde_json::json;
use url::Url;

use crate::cli::{Backup, Init};
use crate::output::{Outcome, PARTIAL};
use crate::session::Session;
use crate::table::{size, table};

pub(crate) async fn init(session: &Session, arguments: Init) -> Result<Outcome> {
    let copies = session.copies().await?;
    let keys: Vec<(String, Option<PathBuf>)> =
        session.key_urls().into_iter().map(|url| (url.clone(), key_file(&url))).collect();
    if let Some(kit) = &arguments.kit {
        new_and_apart(kit, &copies)?;
    }
    if session.global.dry_run {
        let text = format!("would create a repository on {} copies\n", copies.len());
        return Outcome::new(&json!({ "repository_id": null, "kit": null }), text);
    }
    let mut new = Repository::create().suite(arguments.suite).state(session.state()?);
    for (_, path) in &keys {
        if let Some(path) = path {
            apart(path, &copies)?;
        }
    }
    for copy in copies {
        new = new.copy(copy);
    }
    let mut made = Vec::new();
    for (url, path) in &keys {
        if let Some(path) = path.as_ref().filter(|path| !path.exists()) {
            KeyFile::generate(path, None).map_err(|e| e.on(path.display()))?;
            made.push(path.clone());
        }
        new = new.key(session.key(url).await?);
    }
    let created = match new.run(&session.cx).await {
        Ok(created) => created,
        Err(e) => {
            // Nothing was sealed for these: the errors below come before the first write.
            let early = matches!(
                e.kind(),
                ErrorKind::AlreadyExists | ErrorKind::Refused | ErrorKind::Unsupported
            );
            for path in made.iter().filter(|_| early) {
                std::fs::remove_file(path).map_err(|e| Error::from(e).on(path.display()))?;
            }
            return Err(e);
        }
    };
    hand_over(session, &created.kit, arguments.kit.as_deref())?;
    for path in keys.iter().filter_map(|(_, path)| path.as_ref()) {
        KeyFile::open(path)?.bind(*created.id.as_bytes())?;
    }
    report_init(session, &created.id, arguments.kit.as_deref(), &made)
}

fn report_init(
    session: &Session,
    id: &RepositoryId,
    kit: Option<&Path>,
    made: &[PathBuf],
) -> Result<Outcome> {
    let mut text = format!("repository {id}\n");
    for path in made {
        text += &format!("new key    {}\n", path.display());
    }
    if let Some(kit) = kit {
        text += &format!("kit        {}\n", kit.display());
        session.output.say("Keep the recovery kit offline, apart from copies and keys.");
    }
    Outcome::new(&json!({ "repository_id": id.to_string(), "kit": kit }), text)
}

/// The kit goes to its file, or is shown: it exists nowhere else.
fn hand_over(session: &Session, kit: &RecoveryKit, path: Option<&Path>) -> Result<()> {
    let written = path.map(|path| kit.write(path));
    if let Some(Ok(())) = written {
        return Ok(());
    }
    session.output.say("RECOVERY KIT. It is shown this once. Write it down, keep it offline:\n");
    session.output.say(kit.to_text()?.as_str());
    written.unwrap_or(Ok(()))
}

/// The file of a key that lies in a key file.
fn key_file(url: &str) -> Option<PathBuf> {
    match Url::parse(url) {
        Ok(url) if url.scheme() == "key-file" => local_path(&url).ok(),
        Ok(_) => None,
        // A name with colons, such as an ARN, is no path either.
        Err(_) if url.contains("://") => None,
        Err(_) => Some(PathBuf::from(url)),
    }
}

fn apart(path: &Path, copies: &[Copy]) -> Result<()> {
    let full = std::path::absolute(path).map_err(|e| Error::from(e).on(path.display()))?;
    let inside = |copy: &Copy| copy.local_path().is_some_and(|root| full.starts_with(root));
    if copies.iter().any(inside) {
        return Err(Error::refused("this file would lie inside a copy of the repository")
            .on(path.display())
            .help("keep keys and recovery kit apart from the copies"));
    }
    Ok(())
}

fn new_and_apart(path: &Path, copies: &[Copy]) -> Result<()> {
    if path.exists() {
        return Err(Error::new(ErrorKind::AlreadyExists, "there is such a file already")
            .on(path.display())
            .help("choose another name: nothing is overwritten"));
    }
    apart(path, copies)
}

pub(crate) async fn backup(session: &Session, arguments: Backup) -> Result<Outcome> {
    let entry = session.entry(&arguments.gateway);
    let known = |given: Option<String>, own: Option<&String>, option: &str| {
        given.or_else(|| own.cloned()).ok_or_else(|| {
            Error::invalid(format!("--{option} is missing"))
                .help("give it, or configure the gateway under [gateway.NAME]")
        })
    };
    let app = known(arguments.app, entry.and_then(|entry| entry.app.as_ref()), "app")?;
    let env = known(arguments.env, entry.and_then(|entry| entry.env.as_ref()), "env")?;
    let source = session.source(&arguments.gateway).await?;
    let repository = session.repository().await?;
    if session.global.dry_run {
        return rehearse(session, source.as_ref()).await;
    }
    let mut backup = repository
        .backup(source)
        .application(app)
        .environment(env)
        .kind(arguments.kind)
        .only(arguments.only);
    for (name, value) in arguments.tag {
        backup = backup.tag(name, value);
    }
    if let Some(text) = arguments.description {
        backup = backup.description(text);
    }
    if arguments.without_secrets {
        backup = backup.without_secrets();
    }
    let report = backup.run(&session.cx).await?;
    let partial = report.status != State::Success;
    let outcome = Outcome::new(&report, describe(&report))?;
    Ok(outcome.with_code(if partial { PARTIAL } else { 0 }))
}

/// Reads the gateway and keeps nothing.
async fn rehearse(session: &Session, source: &dyn Source) -> Result<Outcome> {
    let description = source.describe(&session.cx).await?;
    let mut found = source.read(&session.cx, &description, &Scope::everything(), None);
    let (mut kinds, mut gaps) = (BTreeMap::new(), Vec::new());
    while let Some(captured) = found.next().await {
        match captured? {
            Captured::Resource(resource) => {
                *kinds.entry(resource.key.kind.to_string()).or_insert(0_u64) += 1;
            }
            Captured::Gap(gap) => gaps.push(gap),
            _ => {}
        }
    }
    let resources: u64 = kinds.values().sum();
    let text = format!("would back up {resources} resources of {} kinds\n", kinds.len());
    let result = json!({ "id": null, "resources": resources, "kinds": kinds, "gaps": gaps, "dry_run": true });
    Outcome::new(&result, text)
}

/// A backup, for people.
pub(crate) fn describe(report: &BackupReport) -> String {
    let mut text = format!("{:?}  {}  ({})\n", report.status, report.name, report.id);
    let base = match &report.base {
        Some(base) => format!("{} on {base}", report.kind),
        None => report.kind.clone(),
    };
    text += &format!(
        "  {base}: {} resources of {} kinds, {} of documents in {}\n",
        report.resources,
        report.kinds.len(),
        size(report.bytes),
        size(report.stored_bytes),
    );
    if let Some(why) = &report.why_full {
        text += &format!("  full because: {why}\n");
    }
    let rows: Vec<Vec<String>> = report
        .copies
        .iter()
        .map(|copy| {
            let state = if copy.ok { "written and read back" } else { "FAILED" };
            vec![format!("  {}", copy.copy), state.into(), copy.detail.clone().unwrap_or_default()]
        })
        .collect();
    text += &table(&["  COPY", "STATE", ""], &rows);
    for key in &report.left_out {
        let (right, recipient) = (key.right.as_str(), &key.recipient);
        text += &format!("  not for key {recipient} (right `{right}`): it was not given\n");
    }
    for warning in &report.warnings {
        text += &format!("  warning: {warning}\n");
    }
    for gap in &report.gaps {
        let kind = gap.kind.as_ref().map_or("everything", |kind| kind.as_str());
        text += &format!("  not captured: {kind}: {}\n", gap.detail);
    }
    text
}
