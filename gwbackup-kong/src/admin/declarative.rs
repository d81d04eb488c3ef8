//! Writing everything at once: declarative files, and nodes that take nothing else.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::StreamExt as _;
use gwbackup_core::error::ErrorKind;
use gwbackup_core::model::{
    Action, Captured, Cause, Change, Description, Document, Effect, Group, Id, Key, Kind, Outcome,
    Resource, Scope, Side, Step, StepReceipt,
};
use gwbackup_core::source::Source as _;
use gwbackup_core::whole_file::FileFormat as _;
use gwbackup_core::{Error, Result};
use reqwest::Method;
use serde::Deserialize;
use uuid::Uuid;

use super::discover::Mode;
use super::refusal::{Refused, is_name};
use super::requests::absent;
use super::write::{Writer, failed};
use crate::KongFile;
use crate::schema::SETTINGS;

/// What a load takes, whatever it holds.
const LOAD: Duration = Duration::from_secs(1);

/// Whether the node takes its configuration as a whole only.
pub(super) fn is_whole(description: &Description) -> bool {
    let mode = description.handles.iter().find(|(name, _)| name.as_str() == "mode");
    mode.is_some_and(|(_, mode)| mode == Mode::DbLess.as_str())
}

/// The text of a file that holds these entities. Nothing of it is to be hashed when it is loaded.
pub(super) fn text(resources: impl Iterator<Item = Resource>) -> Result<String> {
    let document = Document::parse(r#"{"_format_version":"3.0","_transform":false}"#)?;
    let key = Key::new(Kind::known(SETTINGS), Id::new("settings")?);
    let mut all = std::iter::once(Resource::new(key, document)).chain(resources).map(Ok);
    let mut out = Vec::new();
    KongFile::Yaml.write(&mut all, &mut out)?;
    String::from_utf8(out).map_err(|_| Error::invalid("a declarative file that is no text"))
}

/// One call for all: it takes the whole configuration.
pub(super) fn arrange(changes: &[Change]) -> Vec<Group> {
    if changes.is_empty() {
        return Vec::new();
    }
    vec![Group {
        changes: changes.iter().map(|change| change.no).collect(),
        rewrites: Some(Scope::everything()),
        lane: None,
        estimate: LOAD,
    }]
}

/// Loads the configuration as it shall be: all of it or nothing.
pub(super) async fn apply(
    writer: &Writer<'_>,
    description: &Description,
    step: &Step,
) -> Result<StepReceipt> {
    let hash = writer.admin.revision(writer.cx, &Scope::everything()).await?;
    if holds(writer, description, Side::After).await? {
        return Ok(receipt(step, |_| Effect::AlreadyThere));
    }
    if writer.first && !holds(writer, description, Side::Before).await? {
        return Err(moved());
    }
    let mut wanted = Vec::new();
    let mut after = writer.states.read(Side::After, &Scope::everything());
    while let Some(resolved) = after.next().await {
        let resource = resolved?.resource;
        // The id of the cluster is the node's own.
        if !matches!(resource.key.kind.as_str(), "parameter" | SETTINGS) {
            wanted.push(resource);
        }
    }
    let text = text(wanted.into_iter())?;
    // What somebody else loaded since it was compared would be lost.
    if writer.first && writer.admin.revision(writer.cx, &Scope::everything()).await? != hash {
        return Err(moved());
    }
    let mut url = writer.admin.0.client.at(["config"]);
    url.query_pairs_mut().append_pair("flatten_errors", "1");
    let body = serde_json::json!({ "config": text }).to_string();
    match writer.call(Method::POST, &url, Some(body)).await? {
        Ok(_) => Ok(receipt(step, |action| match action {
            Action::Create | Action::Undelete => Effect::Created,
            Action::Delete => Effect::Deleted,
            _ => Effect::Updated,
        })),
        Err(refused) => Ok(StepReceipt { outcomes: refusals(step, &refused) }),
    }
}

fn moved() -> Error {
    Error::new(ErrorKind::Conflict, "the node's configuration has changed").help("plan again")
}

fn receipt(step: &Step, effect: impl Fn(Action) -> Effect) -> StepReceipt {
    let outcomes = step.changes.iter().map(|change| Outcome {
        there: change.there.clone(),
        ..Outcome::new(change.key.clone(), effect(change.action))
    });
    StepReceipt { outcomes: outcomes.collect() }
}

/// Whether the node holds exactly what that side says. Keeps digests alone.
async fn holds(writer: &Writer<'_>, description: &Description, side: Side) -> Result<bool> {
    let everything = Scope::everything();
    let mut expected: HashMap<Key, (Uuid, Vec<String>)> = HashMap::new();
    let mut state = writer.states.read(side, &everything);
    while let Some(resolved) = state.next().await {
        let resource = resolved?.resource;
        let absent = absent(&resource).map(str::to_owned).collect::<Vec<_>>();
        let content = content(writer, &resource, &absent);
        expected.insert(resource.key, (content, absent));
    }
    let mut found: HashMap<Key, Uuid> = HashMap::new();
    let mut live = writer.admin.read(writer.cx, description, &everything, None);
    while let Some(captured) = live.next().await {
        match captured? {
            Captured::Resource(resource) => {
                let absent = expected.get(&resource.key).map(|(_, absent)| absent.as_slice());
                let content = content(writer, &resource, absent.unwrap_or_default());
                found.insert(resource.key, content);
            }
            Captured::Withdrawn(key) => {
                found.remove(&key);
            }
            Captured::Gap(gap) if !matches!(gap.cause, Cause::NotOffered | Cause::Excluded) => {
                return Err(Error::new(ErrorKind::Unavailable, "the node cannot be read whole"));
            }
            _ => {}
        }
    }
    let same = |(key, (content, _)): (&Key, &(Uuid, _))| found.get(key) == Some(content);
    Ok(expected.len() == found.len() && expected.iter().all(same))
}

fn content(writer: &Writer<'_>, resource: &Resource, absent: &[String]) -> Uuid {
    digest(writer.rules.comparable(resource, &[], absent).as_str())
}

fn digest(text: &str) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, text.as_bytes())
}

/// What Kong says of one entity that it refuses.
#[derive(Deserialize)]
struct Flat {
    #[serde(default)]
    entity_type: String,
    entity_id: Option<String>,
    #[serde(default)]
    errors: Vec<FlatError>,
}

#[derive(Deserialize)]
struct FlatError {
    field: Option<String>,
}

#[derive(Default, Deserialize)]
struct Flattened {
    #[serde(default)]
    flattened_errors: Vec<Flat>,
}

impl Flat {
    fn is(&self, change: &Change) -> bool {
        let key = change.target_key();
        self.entity_id.as_deref() == Some(&*key.id.last()) && self.entity_type == key.kind.as_str()
    }

    /// Names members, never values.
    fn error(&self) -> Error {
        let fields = self.errors.iter().filter_map(|error| error.field.as_deref());
        let members: Vec<String> = fields
            .filter(|field| field.split('.').all(is_name))
            .map(|field| format!("/{}", field.replace('.', "/")))
            .collect();
        Error::invalid(format!("the node refuses it: {}", members.join(", ")))
    }
}

/// Nothing was loaded: who is to blame, and who is not.
fn refusals(step: &Step, refused: &Refused) -> Vec<Outcome> {
    let flat = serde_json::from_slice::<Flattened>(&refused.body).unwrap_or_default();
    let flat = flat.flattened_errors;
    let named = |change: &Change| flat.iter().find(|flat| flat.is(change));
    let others = match flat.first() {
        Some(first) => {
            let id = first.entity_id.as_deref().unwrap_or("without an id");
            let (kind, why) = (&first.entity_type, first.error());
            format!("nothing was loaded: {kind} {id}: {}", why.message())
        }
        None => format!("nothing was loaded: {}", refused.error.message()),
    };
    let kind = refused.error.kind();
    let outcome = |change: &Change| {
        failed(change, named(change).map_or_else(|| Error::new(kind, &*others), Flat::error))
    };
    step.changes.iter().map(outcome).collect()
}
