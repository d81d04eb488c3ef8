//! `plan`, `restore`, `resume` and `rollback`.

use std::path::Path;
use std::sync::Arc;

use gwbackup::mapping::RuleKind;
use gwbackup::model::{Key, Undo};
use gwbackup::plan::{Decision, FieldChange, Item, Summary};
use gwbackup::repository::{PreparedRestore, RestoreBuilder, RestoreOutcome};
use gwbackup::restore::{ApplyOptions, Plan};
use gwbackup::target::Target;
use gwbackup::{Error, ErrorKind, Repository, Result};
use serde_json::Value;

use crate::cli::{Consent, PlanArgs, PlanOptions, Probes, Restore, Resume, Run};
use crate::config::{mapping_text, read_mapping, read_plan};
use crate::document::{Document, Form, json};
use crate::output::{DIFFERENCES, Outcome, run_code};
use crate::secrets::SecretsFile;
use crate::session::{Session, new_file, write_new};
use crate::table::table;

pub(crate) async fn plan(session: &Session, arguments: PlanArgs) -> Result<Outcome> {
    let target = session.target(&arguments.onto).await?;
    let repository = session.repository().await?;
    let prepared =
        prepare(session, &repository, &arguments.backup, target, &arguments.options).await?;
    let plan = prepared.plan();
    if let Some(path) = &arguments.out {
        let text = match (Form::of(path), path.extension()) {
            (Form::Html, _) => plan.to_html(),
            (_, Some(ending)) if ending == "md" => plan.to_markdown(),
            _ => format!("{}\n", json(plan)?),
        };
        write_new(path, &text)?;
    }
    let differ = session.global.detailed_exitcode && !plan.is_empty();
    Ok(Outcome::new(plan, describe(plan))?.with_code(if differ { DIFFERENCES } else { 0 }))
}

async fn prepare(
    session: &Session,
    repository: &Repository,
    backup: &str,
    target: Arc<dyn Target>,
    options: &PlanOptions,
) -> Result<PreparedRestore> {
    let backup = repository.find(&session.cx, backup).await?;
    let mut restore = repository.restore(&backup, target).only(options.only.iter().cloned());
    for (kind, policy) in &options.policy {
        restore = match kind {
            Some(kind) => restore.existing_of(kind, *policy),
            None => restore.existing(*policy),
        };
    }
    if options.prune {
        restore = restore.prune(options.prune_limit);
    }
    if let Some(map) = &options.map {
        restore = restore.mapping(read_mapping(map)?);
    }
    planned(session, restore, options.secrets.as_deref()).await
}

/// Plans with the secrets of a file; one that nothing asked for is an error.
async fn planned(
    session: &Session,
    restore: RestoreBuilder,
    secrets: Option<&Path>,
) -> Result<PreparedRestore> {
    let Some(path) = secrets else { return restore.plan(&session.cx).await };
    let file = Arc::new(SecretsFile::read(path)?);
    let prepared = restore.secrets(Arc::clone(&file) as _).plan(&session.cx).await?;
    file.all_used()?;
    Ok(prepared)
}

/// Makes a stored plan again. Refuses when it would do something else by now.
async fn again(
    session: &Session,
    repository: &Repository,
    stored: &Plan,
    onto: Option<&str>,
    secrets: Option<&Path>,
) -> Result<PreparedRestore> {
    let target = session.target(onto.unwrap_or(&stored.target)).await?;
    let backup = repository.find(&session.cx, &stored.backup.to_string()).await?;
    let options = stored.options.clone();
    if secrets.is_none() && !stored.supplied.is_empty() {
        return Err(Error::invalid("the plan was made with secrets, which it does not hold")
            .help("give the file again with --secrets"));
    }
    let restore = repository.restore(&backup, target).options(options);
    let prepared = planned(session, restore, secrets).await?;
    if prepared.plan().agrees_with(stored) {
        return Ok(prepared);
    }
    Err(Error::refused("the plan is not what would be done now: gateway or backup changed")
        .on(&stored.target)
        .help("make and approve a new plan"))
}

pub(crate) async fn restore(session: &Session, arguments: Restore) -> Result<Outcome> {
    let repository = session.repository().await?;
    let prepared = match (&arguments.plan, &arguments.backup, &arguments.onto) {
        (Some(path), _, onto) => {
            let secrets = arguments.options.secrets.as_deref();
            again(session, &repository, &read_plan(path)?, onto.as_deref(), secrets).await?
        }
        (None, Some(backup), Some(onto)) => {
            let target = session.target(onto).await?;
            prepare(session, &repository, backup, target, &arguments.options).await?
        }
        _ => return Err(Error::invalid("a backup and --onto, or --plan, are needed")),
    };
    let plan = prepared.plan();
    if session.global.dry_run {
        return Outcome::new(plan, describe(plan));
    }
    if !plan.is_empty() && !plan.is_blocked() {
        let shown = if session.global.yes { counts(&plan.summary) } else { describe(plan) };
        session.output.say(shown.trim_end());
        session
            .consent(&format!("Write {} resources onto {}?", plan.summary.writes(), plan.target))
            .await?;
    }
    // Files that cannot be made are known before the gateway is written.
    let map_file = arguments.map_out.as_deref().map(new_file).transpose()?;
    let document = arguments.report.as_deref().map(Document::create).transpose()?;
    let named = arguments.onto.as_deref().unwrap_or(&prepared.plan().target);
    let mut options = options(session, &arguments.consent, named);
    super::prove::probe(session, &repository, &mut options, &arguments.probes).await?;
    let outcome = prepared.apply(&session.cx, &options).await?;
    if let Some(mut file) = map_file {
        let text = mapping_text(identities(&outcome));
        std::io::Write::write_all(&mut file, text.as_bytes())?;
    }
    finished(&outcome, document)
}

pub(crate) async fn resume(session: &Session, arguments: Resume) -> Result<Outcome> {
    carry_on(session, arguments.run, Some(&arguments.probes)).await
}

pub(crate) async fn roll_back(session: &Session, arguments: Run) -> Result<Outcome> {
    carry_on(session, arguments, None).await
}

/// Goes on with a run, or turns it round: then there is nothing to probe.
async fn carry_on(session: &Session, arguments: Run, probes: Option<&Probes>) -> Result<Outcome> {
    let repository = session.repository().await?;
    let runs = repository.runs(&session.cx).await?;
    let run = runs.into_iter().find(|run| run.run == arguments.run).ok_or_else(|| {
        Error::new(ErrorKind::NotFound, "there is no such run")
            .on(arguments.run)
            .help("`status` shows the open ones, `audit list` all")
    })?;
    let doing = if probes.is_none() { "turn the run round" } else { "go on with the run" };
    if session.global.dry_run {
        return Outcome::new(&run, format!("would {doing} onto {}\n", run.target));
    }
    let target = session.target(arguments.onto.as_deref().unwrap_or(&run.target)).await?;
    session.consent(&format!("Shall I {doing}, and write {}?", run.target)).await?;
    let named = arguments.onto.as_deref().unwrap_or(&run.target);
    let document = arguments.report.as_deref().map(Document::create).transpose()?;
    let mut options = options(session, &arguments.consent, named);
    let outcome = if let Some(probes) = probes {
        super::prove::probe(session, &repository, &mut options, probes).await?;
        repository.resume(&session.cx, run.run, target, &options).await?
    } else {
        repository.roll_back(&session.cx, run.run, target, &options).await?
    };
    finished(&outcome, document)
}

pub(crate) async fn approve(session: &Session, path: &Path) -> Result<Outcome> {
    let plan = read_plan(path)?;
    let repository = session.repository().await?;
    if session.global.dry_run {
        return Outcome::new(&plan, describe(&plan));
    }
    session.output.say(describe(&plan).trim_end());
    session.consent(&format!("Approve exactly this onto {}?", plan.target)).await?;
    let approval = repository.approve(&session.cx, &plan).await?;
    let text = format!("{} approved plan {}\n", approval.actor, plan.digest()?);
    let result = serde_json::json!({ "plan": plan.digest()?, "approval": approval });
    Outcome::new(&result, text)
}

fn options(session: &Session, consent: &Consent, gateway: &str) -> ApplyOptions {
    ApplyOptions {
        authorizer: session.authorizer(),
        environment: session.environment(gateway),
        accept_partial: consent.accept_partial,
        accept_loss: consent.accept_loss,
        accept_undrilled: consent.accept_undrilled,
        ..ApplyOptions::default()
    }
}

fn identities(outcome: &RestoreOutcome) -> impl Iterator<Item = (&Key, &Key)> {
    let differ = |(from, there): &(&Key, &gwbackup::model::There)| **from != there.key;
    outcome.map.entries.iter().filter(differ).map(|(from, there)| (from, &there.key))
}

fn finished(outcome: &RestoreOutcome, document: Option<Document>) -> Result<Outcome> {
    let report = &outcome.report;
    if let Some(document) = document {
        document.write(report, || report.to_html(), || report.to_markdown())?;
    }
    let map: Vec<Value> = identities(outcome)
        .map(|(from, to)| serde_json::json!({ "kind": from.kind, "from": from.id, "to": to.id }))
        .collect();
    let result = serde_json::json!({
        "run": report.run,
        "status": report.status,
        "applied": report.applied,
        "compare": report.compare,
        "safety": report.safety,
        "map": map,
        "report": report,
    });
    let compare = &report.compare;
    let mut text = format!("{:?}, verdict {}\n", report.status, report.verdict);
    for reason in report.reasons.iter().chain(&report.failures) {
        text += &format!("  {reason}\n");
    }
    text += &format!(
        "  read back: {} equal, {} ignorable, {} different, {} unverifiable\n",
        compare.equal, compare.ignorable, compare.different, compare.unverifiable
    );
    if let Some(run) = report.run {
        text += &format!("  run {run}: `rollback {run}` undoes it\n");
    }
    Ok(Outcome::new(&result, text)?.with_code(run_code(report.status)))
}

/// A plan, for people.
pub(crate) fn describe(plan: &Plan) -> String {
    let mut text = format!("{} onto {}\n", plan.backup_name, plan.target);
    for step in &plan.steps {
        let name = step.name.as_ref().map_or(String::new(), |name| format!(" ({name})"));
        let undo = match &step.undo {
            Undo::NewHandles => " (a roll back gives it another id)",
            Undo::Residue => " (a roll back leaves something harmless)",
            Undo::Lost(_) => " (DESTROYS a value for good: --accept-loss)",
            _ => "",
        };
        text +=
            &format!("  {:>4} {:?} {}/{}{name}{undo}\n", step.n, step.action, step.kind, step.id);
        text += &fields(&step.changes);
    }
    for (word, items) in [("BLOCKED", &plan.blocked), ("left", &plan.left)] {
        for item in items {
            text += &format!("  {word} {}: {}\n", item.key, why(item));
        }
    }
    for rule in &plan.mapping {
        let word = match rule.rule {
            RuleKind::Exact => "string",
            RuleKind::Token => "token",
        };
        let keys: Vec<String> = rule.keys.iter().map(Key::to_string).collect();
        let more = if rule.resources > rule.keys.len() as u64 { ", ..." } else { "" };
        text += &format!(
            "  mapped {word} {} -> {}: {} resources ({}{more})\n",
            rule.from,
            rule.to,
            rule.resources,
            keys.join(", ")
        );
    }
    for place in &plan.supplied {
        text += &format!("  supplied {place}\n");
    }
    for needed in &plan.dependencies {
        let (class, name, count) = (&needed.class, &needed.name, needed.resources);
        text += &format!("  needs {class} {name} ({count} resources): {}\n", needed.presence);
    }
    for finding in &plan.findings {
        text += &format!("  {:?} {}: {}\n", finding.verdict, finding.subject, finding.detail);
    }
    if plan.is_empty() {
        text += "  nothing to write\n";
    }
    text +=
        &format!("  takes about {}.{} s\n", plan.estimate_ms / 1000, plan.estimate_ms % 1000 / 100);
    text + &counts(&plan.summary)
}

fn counts(summary: &Summary) -> String {
    let all = [
        ("CREATE", summary.create + summary.undelete),
        ("UPDATE", summary.update + summary.reset),
        ("REPLACE", summary.replace),
        ("DELETE", summary.delete),
        ("ADOPTED", summary.adopt),
        ("UNCHANGED", summary.unchanged),
        ("SKIPPED", summary.skipped),
        ("BLOCKED", summary.blocked + summary.ambiguous),
        ("FOREIGN", summary.foreign),
    ];
    let (head, row): (Vec<&str>, Vec<String>) =
        all.into_iter().map(|(name, count)| (name, count.to_string())).unzip();
    table(&head, &[row])
}

fn why(item: &Item) -> String {
    match &item.decision {
        Decision::Blocked(why) | Decision::Skipped(why) | Decision::CannotRestore(why) => {
            why.clone()
        }
        Decision::Ambiguous(keys) => {
            let keys: Vec<String> = keys.iter().map(Key::to_string).collect();
            format!("fits {}", keys.join(", "))
        }
        _ => String::new(),
    }
}

/// Field differences, for people.
pub(crate) fn fields(fields: &[FieldChange]) -> String {
    let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "(absent)".to_owned());
    fields
        .iter()
        .map(|field| {
            format!("         {}: {} -> {}\n", field.at, shown(&field.from), shown(&field.to))
        })
        .collect()
}
