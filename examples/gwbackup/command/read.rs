//! What shows and checks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use gwbackup::clock::rfc3339;
use gwbackup::drift::Difference;
use gwbackup::jsonl::JsonLines;
use gwbackup::plan::Selector;
use gwbackup::preflight::PreflightReport;
use gwbackup::repository::{BackupInfo, BackupView, Shown, Standing};
use gwbackup::source::Purpose;
use gwbackup::verify::{Failure, VerifyReport};
use gwbackup::{Error, ErrorKind, Repository, Result};
use serde_json::{Value, json};

use crate::cli::{Export, ExportFormat, List, Show, Verify};
use crate::output::{DIFFERENCES, INTEGRITY, Outcome, PREFLIGHT};
use crate::session::{Session, new_file};
use crate::table::{size, table};

pub(crate) async fn list(session: &Session, arguments: List) -> Result<Outcome> {
    let repository = session.repository().await?;
    let wanted = |backup: &&BackupInfo| {
        let details = backup.details();
        let gateway = format!("{}/{}", details.application, details.environment);
        arguments.gateway.as_ref().is_none_or(|wanted| *wanted == gateway)
            && arguments.since.is_none_or(|since| backup.manifest().started_at >= since)
    };
    let backups = repository.list(&session.cx).await?;
    let backups: Vec<&BackupInfo> = backups.iter().filter(wanted).collect();
    let urls = urls(&repository);
    let now = session.cx.now();
    let rows: Vec<Vec<String>> = backups
        .iter()
        .map(|backup| {
            let (manifest, details) = (backup.manifest(), backup.details());
            vec![
                backup.name(),
                format!("{:?}", backup.state(now)),
                manifest.kind.clone(),
                details.resources.to_string(),
                size(manifest.archive.size),
                format!("{}/{}", backup.point().healthy(), manifest.copies.len()),
                rfc3339(manifest.ended_at),
                backup.id().to_string(),
            ]
        })
        .collect();
    let head = ["NAME", "STATE", "TYPE", "RESOURCES", "SIZE", "COPIES", "ENDED", "ID"];
    let values: Vec<Value> = backups.iter().map(|b| entry(session, b, &urls)).collect();
    Outcome::new(&values, table(&head, &rows))
}

fn urls(repository: &Repository) -> BTreeMap<String, String> {
    repository.copies().iter().map(|place| (place.id.to_string(), place.copy.url())).collect()
}

fn entry(session: &Session, backup: &BackupInfo, urls: &BTreeMap<String, String>) -> Value {
    let (manifest, details, point) = (backup.manifest(), backup.details(), backup.point());
    let copies: Vec<Value> = point
        .facts
        .copies
        .iter()
        .map(|c| json!({ "copy": urls.get(&c.copy).unwrap_or(&c.copy), "ok": c.ok, "detail": c.detail }))
        .collect();
    json!({
        "id": backup.id(),
        "name": backup.name(),
        "application": details.application,
        "environment": details.environment,
        "version": point.version,
        "status": format!("{:?}", backup.state(session.cx.now())),
        "type": manifest.kind,
        "base": manifest.base.as_ref().map(|base| base.backup),
        "resources": details.resources,
        "kinds": details.kinds,
        "gaps": details.gaps,
        "bytes": details.bytes,
        "stored_bytes": manifest.archive.size,
        "copies": copies,
        "state_digest": details.state_digest,
        "started_at": rfc3339(manifest.started_at),
        "ended_at": rfc3339(manifest.ended_at),
        "expires_at": null,
    })
}

pub(crate) async fn show(session: &Session, arguments: Show) -> Result<Outcome> {
    let repository = session.repository().await?;
    let backup = repository.find(&session.cx, &arguments.backup).await?;
    let Some(selector) = arguments.resource else { return manifest(&backup) };
    let view = repository.view(&session.cx, &backup).await?;
    let subject = selector.to_string();
    let shown = resources(&view, &[selector], arguments.reveal_secrets).await?;
    if shown.is_empty() {
        return Err(Error::new(ErrorKind::NotFound, "the backup holds no such resource")
            .on(subject)
            .help("`show BACKUP '*'` shows all"));
    }
    let text = shown
        .iter()
        .map(|shown| format!("{}/{}\n  {}\n", shown.kind, shown.id, shown.document.get()))
        .collect::<String>();
    Outcome::new(&shown, text)
}

fn manifest(backup: &BackupInfo) -> Result<Outcome> {
    let mut manifest = members(&backup.manifest())?;
    manifest.remove("sealed");
    manifest.extend(members(&backup.details())?);
    let rows: Vec<Vec<String>> = manifest
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            vec![name.clone(), text]
        })
        .collect();
    Outcome::new(&manifest, table(&["MEMBER", "VALUE"], &rows))
}

fn members(value: &impl serde::Serialize) -> Result<serde_json::Map<String, Value>> {
    match serde_json::to_value(value) {
        Ok(Value::Object(members)) => Ok(members),
        _ => Err(Error::invalid("the manifest cannot be written as JSON")),
    }
}

async fn resources(view: &BackupView, only: &[Selector], reveal: bool) -> Result<Vec<Shown>> {
    let shown: Arc<Mutex<Vec<Result<Shown>>>> = Arc::default();
    let taken = Arc::clone(&shown);
    view.each(only, move |_, resource| {
        let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.push(Shown::new(&resource, reveal));
        true
    })
    .await?;
    let shown = std::mem::take(&mut *shown.lock().unwrap_or_else(PoisonError::into_inner));
    shown.into_iter().collect()
}

pub(crate) async fn export(session: &Session, arguments: Export) -> Result<Outcome> {
    let Export { backup, format, out } = arguments;
    if session.output.json() && out.is_none() {
        return Err(Error::invalid("--json needs --out FILE here"));
    }
    let repository = session.repository().await?;
    let backup = repository.find(&session.cx, &backup).await?;
    let view = repository.view(&session.cx, &backup).await?;
    let mut result = json!({
        "backup": backup.id(),
        "format": format!("{format:?}").to_lowercase(),
        "resources": backup.details().resources,
        "out": out,
    });
    if session.global.dry_run
        && let Some(path) = out
    {
        return Outcome::new(&result, format!("would write {}\n", path.display()));
    }
    let left_out = match &out {
        None => write(session, &backup, &view, format, std::io::stdout()).await?,
        Some(path) => {
            let file = std::io::BufWriter::new(new_file(path)?);
            // Half a file must not be taken for a whole one.
            let remove = |_: &Error| drop(std::fs::remove_file(path));
            write(session, &backup, &view, format, file).await.inspect_err(remove)?
        }
    };
    for (what, number) in &left_out {
        session.output.say(format_args!("Left out: {what} ({number})"));
    }
    let Some(path) = out else { return Ok(Outcome::default()) };
    if !left_out.is_empty() {
        result["left_out"] = json!(left_out);
    }
    session.output.say("The file holds secrets: keep it as you would keep them.");
    Outcome::new(&result, format!("wrote {}\n", path.display()))
}

/// Writes the file; what the format has no place for, and how much of it there is.
#[cfg_attr(not(feature = "kong"), expect(unused_variables, reason = "for other products' files"))]
async fn write(
    session: &Session,
    backup: &BackupInfo,
    view: &BackupView,
    format: ExportFormat,
    mut out: impl std::io::Write + Send + 'static,
) -> Result<BTreeMap<String, u64>> {
    match format {
        ExportFormat::Json => {
            let shown = resources(view, &[], true).await?;
            serde_json::to_writer(&mut out, &shown).map_err(std::io::Error::from)?;
            out.write_all(b"\n")?;
            out.flush()?;
        }
        ExportFormat::Jsonl => view.export(JsonLines, out).await?,
        #[cfg(feature = "kong")]
        ExportFormat::Kong | ExportFormat::Deck => {
            return declarative(session, backup, view, format, out).await;
        }
    }
    Ok(BTreeMap::new())
}

#[cfg(feature = "kong")]
async fn declarative(
    session: &Session,
    backup: &BackupInfo,
    view: &BackupView,
    format: ExportFormat,
    out: impl std::io::Write + Send + 'static,
) -> Result<BTreeMap<String, u64>> {
    use gwbackup::kong::Export;
    let details = backup.details();
    let export = match format {
        ExportFormat::Deck => Export::deck().counted_from(session.cx.now()),
        _ => Export::kong().counted_from(backup.manifest().started_at),
    };
    let export = if details.product.starts_with("Kong") {
        export.version(&details.version)
    } else {
        export.only_kong()
    };
    view.export(export.clone(), out).await?;
    Ok(export.left_out())
}

pub(crate) async fn verify(session: &Session, arguments: Verify) -> Result<Outcome> {
    let repository = session.repository().await?;
    let mut verify = repository.verify().depth(arguments.depth);
    if let Some(name) = arguments.backup {
        verify = verify.backup(&repository.find(&session.cx, &name).await?);
    }
    if let Some(percent) = arguments.sample {
        verify = verify.sample(percent);
    }
    let report = verify.run(&session.cx).await?;
    warn(session, &repository, &report);
    let code = if report.failures.is_empty() { 0 } else { INTEGRITY };
    Ok(Outcome::new(&report, found(&report))?.with_code(code))
}

pub(crate) async fn scrub(session: &Session, heal: bool) -> Result<Outcome> {
    let repository = session.repository().await?;
    let mut verify = repository.verify();
    if heal && !session.global.dry_run {
        verify = verify.heal();
    }
    let report = verify.run(&session.cx).await?;
    warn(session, &repository, &report);
    let mut text = found(&report);
    for one in &report.healed {
        text += &format!("healed  {}  {}\n", one.object, one.copy);
    }
    let result = json!({
        "objects": report.checked,
        "damaged": report.failures,
        "healed": report.healed,
        "warnings": report.warnings,
    });
    let code = if report.failures.is_empty() { 0 } else { INTEGRITY };
    Ok(Outcome::new(&result, text)?.with_code(code))
}

/// Says what the opening has not said already.
fn warn(session: &Session, repository: &Repository, report: &VerifyReport) {
    let said = repository.warnings();
    for warning in report.warnings.iter().filter(|warning| !said.contains(warning)) {
        session.output.say(format_args!("warning: {warning}"));
    }
}

/// What a verification found, for people.
fn found(report: &VerifyReport) -> String {
    let mut text = format!("{} checked, {} failed\n", report.checked, report.failures.len());
    if !report.failures.is_empty() {
        let row =
            |f: &Failure| vec![f.kind.clone(), f.object.clone(), f.copy.clone(), f.detail.clone()];
        let rows: Vec<Vec<String>> = report.failures.iter().map(row).collect();
        text += &table(&["KIND", "OBJECT", "COPY", "DETAIL"], &rows);
    }
    text
}

pub(crate) async fn diff(session: &Session, before: &str, after: &str) -> Result<Outcome> {
    let repository = session.repository().await?;
    let before = repository.find(&session.cx, before).await?;
    let after = repository.find(&session.cx, after).await?;
    differences(session, &repository.diff(&session.cx, &before, &after).await?)
}

pub(crate) async fn drift(session: &Session, gateway: &str, backup: &str) -> Result<Outcome> {
    let source = session.source(gateway).await?;
    let repository = session.repository().await?;
    let backup = repository.find(&session.cx, backup).await?;
    differences(session, &repository.drift(&session.cx, source, &backup).await?)
}

fn differences(session: &Session, found: &Difference) -> Result<Outcome> {
    let mut text = String::new();
    let name = |name: &Option<String>| name.clone().map_or(String::new(), |n| format!(" ({n})"));
    for one in &found.added {
        text += &format!("+ {}{}\n", one.key, name(&one.name));
    }
    for one in &found.removed {
        text += &format!("- {}{}\n", one.key, name(&one.name));
    }
    for one in &found.changed {
        text += &format!("~ {}{}\n", one.key, name(&one.name));
        text += &super::restore::fields(&one.fields);
    }
    text += &format!(
        "{} added, {} removed, {} changed, {} equal\n",
        found.added.len(),
        found.removed.len(),
        found.changed.len(),
        found.equal
    );
    if found.not_compared > 0 {
        text += &format!("{} have a value that could not be compared\n", found.not_compared);
    }
    let differ = session.global.detailed_exitcode && !found.is_empty();
    Ok(Outcome::new(found, text)?.with_code(if differ { DIFFERENCES } else { 0 }))
}

pub(crate) async fn preflight(
    session: &Session,
    gateway: &str,
    purpose: Purpose,
) -> Result<Outcome> {
    let source = session.source(gateway).await?;
    let cx = &session.cx;
    let report = if session.has_repository()? {
        session.repository().await?.preflight(cx, source.as_ref(), purpose).await?
    } else {
        gwbackup::repository::preflight(cx, source.as_ref(), purpose).await?
    };
    let code = if report.is_ok() { 0 } else { PREFLIGHT };
    Ok(Outcome::new(&report, findings(&report))?.with_code(code))
}

/// Findings, for people.
pub(crate) fn findings(report: &PreflightReport) -> String {
    let row = |f: &gwbackup::model::Finding| {
        vec![format!("{:?}", f.verdict), f.subject.clone(), f.detail.clone()]
    };
    let rows: Vec<Vec<String>> = report.findings.iter().map(row).collect();
    table(&["VERDICT", "SUBJECT", "DETAIL"], &rows)
}

pub(crate) async fn events(session: &Session) -> Result<Outcome> {
    let events = session.repository().await?.events(&session.cx).await?;
    let (mut values, mut rows) = (Vec::new(), Vec::new());
    for event in &events {
        let detail = event.detail.as_ref();
        let actor = detail.map(|detail| detail.actor.as_str());
        let reason = detail.and_then(|detail| detail.reason.as_deref());
        values.push(json!({
            "seq": event.seq,
            "id": event.id,
            "time": rfc3339(event.time),
            "kind": event.kind,
            "subject": event.subject,
            "outcome": event.outcome,
            "counts": event.counts,
            "signer": event.signer.to_string(),
            "actor": actor,
            "reason": reason,
            "numbers": detail.map(|detail| &detail.counts),
            "text": detail.and_then(|detail| detail.text.as_deref()),
            "digest": event.digest,
        }));
        rows.push(vec![
            event.seq.to_string(),
            rfc3339(event.time),
            event.kind.to_string(),
            format!("{:?}", event.outcome),
            actor.unwrap_or_default().to_owned(),
            format!("{}/{}", event.subject.kind, event.subject.id),
            reason.unwrap_or_default().to_owned(),
        ]);
    }
    let head = ["SEQ", "TIME", "EVENT", "OUTCOME", "ACTOR", "SUBJECT", "REASON"];
    Outcome::new(&values, table(&head, &rows))
}

pub(crate) async fn audit(session: &Session) -> Result<Outcome> {
    let report = session.repository().await?.audit(&session.cx).await?;
    let problems: Vec<String> =
        report.integrity.problems.iter().map(|problem| format!("{problem:?}")).collect();
    let mut text = format!(
        "{} events, {}\n",
        report.events,
        if report.ok { "chain and signatures are good" } else { "BROKEN" }
    );
    for problem in &problems {
        text += &format!("  {problem}\n");
    }
    let result = json!({
        "events": report.events,
        "ok": report.ok,
        "first_broken": report.first_broken,
        "without_right": report.without_right,
        "problems": problems,
    });
    Ok(Outcome::new(&result, text)?.with_code(if report.ok { 0 } else { INTEGRITY }))
}

pub(crate) async fn status(session: &Session) -> Result<Outcome> {
    let report = session.repository().await?.status(&session.cx).await?;
    let mut rows = vec![
        vec!["repository".to_owned(), report.repository.clone()],
        vec!["proven".to_owned(), report.proven.to_string()],
        vec!["events".to_owned(), report.events.to_string()],
    ];
    rows.extend(report.copies.iter().map(|(url, how)| vec![format!("copy {url}"), how.clone()]));
    rows.extend(report.backups.iter().map(|(s, n)| vec![format!("backups {s}"), n.to_string()]));
    rows.extend(report.newest.iter().map(|(g, name)| vec![format!("newest {g}"), name.clone()]));
    for run in &report.open_runs {
        rows.push(vec![format!("open run {}", run.run), format!("onto {}", run.target)]);
    }
    rows.extend(report.warnings.iter().map(|text| vec!["warning".to_owned(), text.clone()]));
    Outcome::new(&report, table(&["WHAT", "HOW"], &rows))
}

pub(crate) async fn copies(session: &Session) -> Result<Outcome> {
    let repository = session.repository().await?;
    let (mut values, mut rows) = (Vec::new(), Vec::new());
    for place in repository.copies() {
        let (standing, why) = match &place.standing {
            Standing::Ready => ("ready", None),
            Standing::Away(why) => ("away", Some(why)),
            Standing::Foreign(why) => ("foreign", Some(why)),
            _ => ("unknown", None),
        };
        let url = place.copy.url();
        rows.push(vec![
            url.clone(),
            standing.to_owned(),
            place.id.to_string(),
            why.cloned().unwrap_or_default(),
        ]);
        values.push(
            json!({ "url": url, "id": place.id.to_string(), "standing": standing, "detail": why }),
        );
    }
    Outcome::new(&values, table(&["COPY", "STANDING", "ID", "DETAIL"], &rows))
}
