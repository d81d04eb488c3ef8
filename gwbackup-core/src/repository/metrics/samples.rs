//! What each operation's result says, as samples. Pure.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::backup::{BackupOptions, BackupReport, BackupType};
use crate::catalog::{AuditReport, DrillVerdict, RecoveryPoint, State};
use crate::clock::Timestamp;
use crate::drill::DrillReport;
use crate::error::{Error, ErrorKind, Result};
use crate::metrics::{Label, Metric, Sample};
use crate::model::{Cause, Kind};
use crate::policy::{Objectives, Span};
use crate::report::RestoreReport;
use crate::restore::RunStatus;
use crate::vault::Place;
use crate::verify::{Depth, VerifyReport};

/// The whole of an operation, among its stages.
const ALL: &str = "all";

/// A gateway, as labels name it.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::repository) struct Named {
    application: String,
    environment: String,
}

/// How the drills of a gateway stand: the last that did not fail, and whether one is wanted by now.
#[derive(Debug, Clone, Copy)]
pub(in crate::repository) struct Rehearsed {
    pub(in crate::repository) passed: Option<Timestamp>,
    pub(in crate::repository) overdue: bool,
}

impl Named {
    pub(in crate::repository) fn new(application: &str, environment: &str) -> Self {
        Self { application: application.to_owned(), environment: environment.to_owned() }
    }

    pub(in crate::repository) fn of(point: &RecoveryPoint) -> Self {
        Self::new(&point.facts.application, &point.facts.environment)
    }

    fn sample(&self, metric: Metric, value: f64) -> Sample {
        let sample = Sample::new(metric, value).with(Label::Gateway, &self.application);
        sample.with(Label::Environment, &self.environment)
    }

    fn targets(&self, objectives: Objectives) -> impl Iterator<Item = Sample> {
        let of = |metric, span: Option<Span>| {
            span.map(|span| self.sample(metric, span.duration().as_secs_f64()))
        };
        [of(Metric::RtoTarget, objectives.rto), of(Metric::RpoTarget, objectives.rpo)]
            .into_iter()
            .flatten()
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.application, self.environment)
    }
}

/// How a backup ended that began then.
pub(in crate::repository) fn backup(
    options: &BackupOptions,
    (started, ended): (Timestamp, Timestamp),
    result: Result<&BackupReport, &Error>,
) -> Vec<Sample> {
    let named = Named::new(&options.application, &options.environment);
    let (kind, status, reason) = match result {
        Ok(report) => (report.kind.as_str(), report.status, missing(report)),
        Err(error) => (asked(options.kind), State::Failed, Some(word(error))),
    };
    let count = |metric| named.sample(metric, 1.0).with(Label::Type, kind);
    let counted = count(Metric::BackupResults)
        .with(Label::Status, &format!("{status:?}"))
        .with(Label::Reason, reason.unwrap_or_default());
    let mut found = vec![
        count(Metric::BackupAttempts),
        counted,
        named.sample(Metric::BackupLastAttempt, time(started)),
        named.sample(Metric::BackupLastStatus, grade(status)),
    ];
    let Ok(report) = result else { return found };
    let took = |stage, from, to| {
        let sample = named.sample(Metric::BackupDuration, seconds(from, to));
        sample.with(Label::Type, kind).with(Label::Stage, stage)
    };
    found.push(took(ALL, started, ended));
    found.push(took("capture", report.started_at, report.ended_at));
    if status == State::Success {
        found.push(named.sample(Metric::BackupLastSuccess, time(ended)));
        found.extend(report.kinds.iter().map(|(kind, resources)| {
            named
                .sample(Metric::BackupResources, number(*resources))
                .with(Label::Kind, kind.as_str())
        }));
    }
    found.extend(omitted(&named, report));
    for (form, bytes) in [("raw", report.bytes), ("stored", report.stored_bytes)] {
        found.push(named.sample(Metric::BackupSize, number(bytes)).with(Label::Form, form));
    }
    let healthy = report.copies.iter().filter(|copy| copy.ok).count();
    found.extend(copies(&named, healthy as u64, report.copies.len() as u64));
    found
}

/// What a backup lacks that is no `Success`.
fn missing(report: &BackupReport) -> Option<&'static str> {
    let copies = report.copies.iter().all(|copy| copy.ok);
    (report.status != State::Success).then_some(if copies { "gaps" } else { "copies" })
}

fn grade(state: State) -> f64 {
    match state {
        State::Success => 1.0,
        State::Partial => 0.5,
        State::Started | State::Failed => 0.0,
    }
}

fn asked(kind: BackupType) -> &'static str {
    match kind {
        BackupType::Auto => "auto",
        BackupType::Full => "full",
        BackupType::Incremental => "incremental",
    }
}

/// The parts that were left out, by kind and cause.
fn omitted(named: &Named, report: &BackupReport) -> Vec<Sample> {
    let mut counts: BTreeMap<(Option<&Kind>, &str), u64> = BTreeMap::new();
    for gap in &report.gaps {
        *counts.entry((gap.kind.as_ref(), cause(gap.cause))).or_default() += 1;
    }
    let sample = |((kind, cause), count): ((Option<&Kind>, &str), u64)| {
        let sample = named.sample(Metric::BackupOmitted, number(count)).with(Label::Cause, cause);
        sample.with(Label::Kind, kind.map_or("any", Kind::as_str))
    };
    counts.into_iter().map(sample).collect()
}

fn copies(named: &Named, healthy: u64, required: u64) -> [Sample; 2] {
    [
        named.sample(Metric::CopiesHealthy, number(healthy)),
        named.sample(Metric::CopiesRequired, number(required)),
    ]
}

/// What a verification found on these copies; `all`: none of the backups was left out, `chance`:
/// except by lot.
pub(in crate::repository) fn verify(
    depth: Depth,
    (all, chance): (bool, bool),
    sinks: &[String],
    ended: Timestamp,
    report: &VerifyReport,
) -> Vec<Sample> {
    let mut found = Vec::new();
    let looked = all && report.checked > 0;
    if looked && report.failures.is_empty() {
        let name = match depth {
            Depth::Manifest => "manifest",
            Depth::Checksum => "checksum",
            Depth::Full => "full",
        };
        found.push(Sample::new(Metric::VerifyLastSuccess, time(ended)).with(Label::Depth, name));
    }
    for sink in sinks {
        let of = |metric, value| Sample::new(metric, value).with(Label::Sink, sink);
        let failures = || report.failures.iter().filter(|failure| failure.copy == *sink);
        let corrupt = failures().filter(|f| matches!(f.kind.as_str(), "damaged" | "missing"));
        let healed = report.healed.iter().filter(|healed| healed.copy == *sink).count();
        found.push(of(Metric::ScrubCorrupt, number((corrupt.count() + healed) as u64)));
        found.push(of(Metric::ScrubHealed, number(healed as u64)));
        if looked && !chance && depth >= Depth::Checksum && failures().next().is_none() {
            found.push(of(Metric::ScrubLastSuccess, time(ended)));
        }
    }
    found
}

/// How a restore ended of backups of this gateway; the report may name it, too. `measured`: its times
/// are those of a whole recovery.
pub(in crate::repository) fn restore(
    of: Option<Named>,
    result: Result<&RestoreReport, &Error>,
    measured: bool,
) -> Vec<Sample> {
    let told = result.ok().map(|r| Named::new(&r.origin.application, &r.origin.environment));
    let named = &of.or(told).unwrap_or_default();
    let status = match result {
        Ok(report) => format!("{:?}", report.status),
        Err(_) => "Failed".to_owned(),
    };
    let mut found = vec![
        named.sample(Metric::RestoreAttempts, 1.0),
        named.sample(Metric::RestoreResults, 1.0).with(Label::Status, &status),
    ];
    let Ok(report) = result else { return found };
    let took = |stage: &str, from, to| {
        named.sample(Metric::RestoreDuration, seconds(from, to)).with(Label::Stage, stage)
    };
    found.push(took(ALL, report.started_at, report.ended_at));
    let phases = report.phases.iter();
    found.extend(phases.map(|phase| took(&phase.name, phase.started_at, phase.ended_at)));
    let recovered = matches!(report.status, RunStatus::Success | RunStatus::Partial);
    if measured && recovered && report.run.is_some() {
        found.extend(recovery(named, report.rto(), report.rpo()));
        found.extend(named.targets(report.objectives));
    }
    found
}

fn recovery(named: &Named, rto: Duration, rpo: Duration) -> [Sample; 2] {
    [named.sample(Metric::Rto, rto.as_secs_f64()), named.sample(Metric::Rpo, rpo.as_secs_f64())]
}

/// How a drill ended; of which gateway, where that was said.
pub(in crate::repository) fn drill(
    asked: Option<&(String, String)>,
    result: Result<&DrillReport, &Error>,
) -> Vec<Sample> {
    let named = match (result, asked) {
        (Ok(report), _) => Named::new(&report.application, &report.environment),
        (Err(_), Some((application, environment))) => Named::new(application, environment),
        (Err(_), None) => Named::default(),
    };
    let verdict = match result {
        Ok(report) => format!("{:?}", report.verdict),
        Err(_) => "NotRun".to_owned(),
    };
    let mut found = vec![named.sample(Metric::DrillResults, 1.0).with(Label::Verdict, &verdict)];
    let Ok(report) = result else { return found };
    if report.verdict != DrillVerdict::Fail {
        found.push(named.sample(Metric::DrillLastSuccess, time(report.ended_at)));
        if let Some(rto) = report.rto_seconds {
            let seconds = Duration::from_secs;
            found.extend(recovery(&named, seconds(rto), seconds(report.rpo_seconds)));
            found.extend(named.targets(report.objectives));
        }
    }
    found
}

/// What the log and the copies tell now.
pub(in crate::repository) fn status(
    points: &[RecoveryPoint],
    drills: &BTreeMap<Named, Rehearsed>,
    places: &[Place],
    (objectives, rehearsed): (Objectives, bool),
    now: Timestamp,
) -> Vec<Sample> {
    let up = |place: &Place| {
        let sample = Sample::new(Metric::SinkUp, if place.is_ready() { 1.0 } else { 0.0 });
        sample.with(Label::Sink, &place.sink().to_string())
    };
    let mut found: Vec<Sample> = places.iter().map(up).collect();
    let mut gateways: BTreeMap<Named, Vec<&RecoveryPoint>> = BTreeMap::new();
    // Without the repository's key nobody knows whose they are.
    let regular = |point: &&RecoveryPoint| {
        point.facts.kind != "safety" && !point.facts.application.is_empty()
    };
    for point in points.iter().filter(regular) {
        gateways.entry(Named::of(point)).or_default().push(point);
    }
    for (named, points) in &gateways {
        found.extend(last(named, points, now));
        if let Some(drills) = drills.get(named) {
            found.extend(rehearsal(named, *drills, rehearsed));
        }
        found.extend(named.targets(objectives));
    }
    found
}

/// The last backups of one gateway.
fn last(named: &Named, points: &[&RecoveryPoint], now: Timestamp) -> Vec<Sample> {
    let state = |point: &&&RecoveryPoint| point.state(now);
    let mut found = Vec::new();
    if let Some(newest) = points.iter().max_by_key(|point| point.started) {
        found.push(named.sample(Metric::BackupLastAttempt, time(newest.started)));
    }
    let over = points.iter().filter(|point| state(point) != State::Started);
    if let Some(newest) = over.max_by_key(|point| point.started) {
        found.push(named.sample(Metric::BackupLastStatus, grade(newest.state(now))));
    }
    let good = points.iter().filter(|point| state(point) == State::Success);
    if let Some(committed) = good.filter_map(|point| point.committed).max() {
        found.push(named.sample(Metric::BackupLastSuccess, time(committed)));
    }
    let usable =
        points.iter().filter(|point| matches!(state(point), State::Success | State::Partial));
    if let Some(newest) = usable.max_by_key(|point| point.committed) {
        let required = u64::from(newest.facts.required);
        found.extend(copies(named, newest.healthy() as u64, required));
    }
    found
}

/// How the drills of one gateway stand; `rehearsed`: the policy wants them.
fn rehearsal(named: &Named, drills: Rehearsed, rehearsed: bool) -> Vec<Sample> {
    let mut found = Vec::new();
    if let Some(passed) = drills.passed {
        found.push(named.sample(Metric::DrillLastSuccess, time(passed)));
    }
    if rehearsed {
        let overdue = if drills.overdue { 1.0 } else { 0.0 };
        found.push(named.sample(Metric::DrillOverdue, overdue));
    }
    found
}

/// What replaying the log found; nothing where it could not be read.
pub(in crate::repository) fn audit(result: Result<&AuditReport, &Error>) -> Vec<Sample> {
    let chain = |ok: bool| Sample::new(Metric::AuditChainOk, if ok { 1.0 } else { 0.0 });
    match result {
        Ok(report) => {
            vec![chain(report.ok), Sample::new(Metric::AuditEvents, number(report.events))]
        }
        Err(error) if error.kind() == ErrorKind::Corrupt => vec![chain(false)],
        Err(_) => Vec::new(),
    }
}

/// A word for an error, of a closed list.
fn word(error: &Error) -> &'static str {
    error.reason().unwrap_or_else(|| match error.kind() {
        ErrorKind::NotFound => "not_found",
        ErrorKind::AlreadyExists => "already_exists",
        ErrorKind::Conflict => "conflict",
        ErrorKind::Denied => "denied",
        ErrorKind::Unauthenticated => "unauthenticated",
        ErrorKind::Throttled => "throttled",
        ErrorKind::Unavailable => "unavailable",
        ErrorKind::Unsupported => "unsupported",
        ErrorKind::Invalid => "invalid",
        ErrorKind::Corrupt => "corrupt",
        ErrorKind::KeyUnavailable => "key_unavailable",
        ErrorKind::Refused => "refused",
        ErrorKind::Cancelled => "cancelled",
        ErrorKind::Other => "other",
    })
}

fn cause(cause: Cause) -> &'static str {
    match cause {
        Cause::Denied => "denied",
        Cause::Unreachable => "unreachable",
        Cause::NotOffered => "not_offered",
        Cause::NotReadable => "not_readable",
        Cause::TooLarge => "too_large",
        Cause::Torn => "torn",
        Cause::Failed => "failed",
        Cause::Excluded => "excluded",
    }
}

/// A moment, in seconds since the epoch.
fn time(at: Timestamp) -> f64 {
    at.as_duration().as_secs_f64()
}

fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64().max(0.0)
}

#[expect(clippy::cast_precision_loss, reason = "beyond 2^53 no digit is missed")]
fn number(count: u64) -> f64 {
    count as f64
}
