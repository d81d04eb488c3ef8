//! What a node would refuse, found out before anything is written.
//!
//! The node itself is asked, in a bounded number of calls: about each kind of entity once for each
//! set of members that they have, about each plugin for its first few configurations. What further
//! configurations say is held against the plugin's schema.

mod cascade;
mod plugins;

use std::collections::{BTreeMap, HashSet};

use futures_util::{FutureExt as _, StreamExt as _};
use gwbackup_core::error::ErrorKind;
use gwbackup_core::model::{
    Action, Change, ChangeNo, Description, Finding, Key, Kind, Resource, Scope, Side, Verdict,
};
use gwbackup_core::target::States;
use gwbackup_core::{Context, Result};
use reqwest::Method;
use serde_json::Value;
use uuid::Uuid;

use super::KongAdmin;
use super::declarative::is_whole;
use super::discover::Mode;
use super::requests;
use super::write::Writer;
use crate::schema::{Row, hashed};
use crate::vault;

/// Entities of one kind that the node is asked about.
const SAMPLES: usize = 8;

/// Everything that stands against these changes.
pub(super) async fn run(
    admin: &KongAdmin,
    cx: &Context,
    description: &Description,
    changes: &[Change],
    states: &dyn States,
) -> Result<Vec<Finding>> {
    let writer = Writer::new(admin, cx, description, states, true).await?;
    let mut survey = Survey::default();
    for change in changes.iter().filter(|change| change.action != Action::Delete) {
        cx.check()?;
        if let Some(after) = states.one(Side::After, &change.key).await? {
            survey.take(&writer, change, &after.resource)?;
        }
    }
    let mut findings = std::mem::take(&mut survey.findings);
    findings.extend(survey.ask(&writer).await?);
    findings.extend(survey.plugins.findings(&writer).await?);
    findings.extend(survey.dangling(&writer).await?);
    if !is_whole(description) {
        findings.extend(cascade::findings(&writer, changes).await?);
    }
    Ok(findings)
}

/// What is to be written, boiled down.
#[derive(Default)]
struct Survey {
    findings: Vec<Finding>,
    /// By collection: bodies with different sets of members.
    samples: BTreeMap<&'static str, Samples>,
    plugins: plugins::Plugins,
    /// Prefixes of vaults that texts refer to, and who does first.
    vaults: BTreeMap<String, ChangeNo>,
    /// Consumers that plugins name, and which plugin does first.
    anonymous: BTreeMap<String, ChangeNo>,
    missing: HashSet<Kind>,
}

#[derive(Default)]
struct Samples {
    seen: HashSet<Uuid>,
    bodies: Vec<Sample>,
}

/// An entity that the node is asked about.
struct Sample {
    no: ChangeNo,
    key: Key,
    body: String,
}

impl Survey {
    fn take(&mut self, writer: &Writer<'_>, change: &Change, wanted: &Resource) -> Result<()> {
        let kind = wanted.key.kind.as_str();
        let document = &wanted.document;
        let known = writer.instance.collections.iter().any(|c| c.kind == wanted.key.kind);
        if !known {
            if self.missing.insert(wanted.key.kind.clone()) {
                let what = "this node has no such collection";
                self.findings.push(Finding::new(kind, Verdict::Failed, what).about(change.no));
            }
            return Ok(());
        }
        for prefix in vault::prefixes(document) {
            self.vaults.entry(prefix).or_insert(change.no);
        }
        if kind == "upstream"
            && writer.instance.mode == Mode::DbLess
            && document.text("/algorithm").as_deref() == Some("consistent-hashing")
            && document.text("/hash_on").as_deref() == Some("none")
        {
            let what =
                "a node without a database turns consistent hashing on nothing into round robin";
            let finding = Finding::new(wanted.key.to_string(), Verdict::Warning, what);
            self.findings.push(finding.about(change.no));
        }
        if kind == "plugin" {
            if let Some(consumer) = document.text("/config/anonymous").filter(|c| !c.is_empty()) {
                self.anonymous.entry(consumer.into_owned()).or_insert(change.no);
            }
            return self.plugins.take(writer, change.no, wanted);
        }
        let Some(row) = Row::of_kind(kind).filter(|_| hashed(wanted).is_none()) else {
            return Ok(());
        };
        let samples = self.samples.entry(row.collection).or_default();
        if samples.bodies.len() < SAMPLES
            && samples.seen.insert(shape(document.as_str()))
            && let Some(body) = body(writer, wanted)?
        {
            samples.bodies.push(Sample { no: change.no, key: wanted.key.clone(), body });
        }
        Ok(())
    }

    /// Asks the node about one entity of each shape.
    async fn ask(&self, writer: &Writer<'_>) -> Result<Vec<Finding>> {
        let mut questions = Vec::new();
        for (collection, samples) in &self.samples {
            for sample in &samples.bodies {
                questions.push(ask(writer, collection, sample).boxed());
            }
        }
        Ok(writer.all(questions).await?.into_iter().flatten().collect())
    }

    /// References that Kong does not check itself.
    async fn dangling(&self, writer: &Writer<'_>) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        if !self.vaults.is_empty() {
            let vaults = names(writer, "vault", "/prefix").await?;
            let own = |prefix: &str| BACKENDS.contains(&prefix);
            for (prefix, no) in self.vaults.iter().filter(|(p, _)| !vaults.contains(*p) && !own(p))
            {
                let what = "a text refers to this vault, which is not there";
                let subject = format!("vault {prefix}");
                findings.push(Finding::new(subject, Verdict::Warning, what).about(*no));
            }
        }
        if !self.anonymous.is_empty() {
            let consumers = names(writer, "consumer", "/username").await?;
            for (name, no) in self.anonymous.iter().filter(|(name, _)| !consumers.contains(*name)) {
                let what = "a plugin lets whoever has no credential in as this consumer, which is not there";
                let subject = format!("consumer {name}");
                findings.push(Finding::new(subject, Verdict::Warning, what).about(*no));
            }
        }
        Ok(findings)
    }
}

/// The ids and names of all entities of a kind, as they will be.
async fn names(
    writer: &Writer<'_>,
    kind: &'static str,
    at: &'static str,
) -> Result<HashSet<String>> {
    let mut names = HashSet::new();
    let scope = Scope { kinds: vec![Kind::known(kind)], under: Vec::new() };
    let mut all = writer.states.read(Side::After, &scope);
    while let Some(resolved) = all.next().await {
        let resource = resolved?.resource;
        names.extend(resource.document.text(at).map(std::borrow::Cow::into_owned));
        names.insert(resource.key.id.last().into_owned());
    }
    Ok(names)
}

/// What stands in a reference where there is no vault of that name: Kong's own kinds of vaults.
const BACKENDS: &[&str] = &["env", "aws", "azure", "conjur", "gcp", "hcv"];

/// What the node would be sent, without what only matters once it is.
fn body(writer: &Writer<'_>, wanted: &Resource) -> Result<Option<String>> {
    let document = wanted.document.without(["/ttl"]);
    let lasting = Resource { document, ..wanted.clone() };
    requests::creation(&writer.rules, &lasting, writer.cx.now())
}

/// Asks about one entity; nothing where the node cannot say.
async fn ask(writer: &Writer<'_>, collection: &str, sample: &Sample) -> Result<Option<Finding>> {
    let url = writer.admin.0.client.at(["schemas", collection, "validate"]);
    let refused = match writer.call(Method::POST, &url, Some(sample.body.clone())).await {
        Ok(Ok(_)) => return Ok(None),
        Ok(Err(refused)) => refused.error,
        Err(error) if error.kind() == ErrorKind::Cancelled => return Err(error),
        Err(error) => error,
    };
    let verdict = match refused.kind() {
        ErrorKind::Invalid => Verdict::Failed,
        // Older nodes cannot be asked.
        ErrorKind::NotFound | ErrorKind::Unsupported => return Ok(None),
        _ => Verdict::Unknown,
    };
    let finding = Finding::new(sample.key.to_string(), verdict, refused.message());
    Ok(Some(finding.about(sample.no)))
}

/// Names the set of members that a document has, but for nulls.
fn shape(document: &str) -> Uuid {
    let members: BTreeMap<String, Value> = serde_json::from_str(document).unwrap_or_default();
    let present = members.iter().filter(|(_, value)| !value.is_null());
    let names: Vec<&str> = present.map(|(name, _)| name.as_str()).collect();
    Uuid::new_v5(&Uuid::NAMESPACE_OID, names.join("\0").as_bytes())
}
