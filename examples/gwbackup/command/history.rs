//! What became of a resource, and what a history elsewhere says of it.

use std::sync::Arc;

use futures_util::TryStreamExt as _;
use gwbackup::clock::rfc3339;
use gwbackup::history::{HistoryItem, Linked, Presence};
use gwbackup::model::Key;
use gwbackup::repository::{Became, LinkedResource, Version};
use gwbackup::{Error, Result};

use crate::cli::History;
use crate::output::Outcome;
use crate::session::Session;
use crate::table::table;

pub(crate) async fn history(session: &Session, arguments: History) -> Result<Outcome> {
    let link = match &arguments.link {
        Some(link) => Some(session.link(link).await?),
        None => None,
    };
    let repository = session.repository().await?;
    if let (Some(backup), Some(link)) = (&arguments.backup, &link) {
        let backup = repository.find(&session.cx, backup).await?;
        let only: Vec<_> = arguments.resource.into_iter().collect();
        let found = repository.linked(&session.cx, &backup, &only, Arc::clone(link)).await?;
        let found: Vec<LinkedResource> = found.try_collect().await?;
        let row = |one: &LinkedResource| vec![one.key.to_string(), linked(Some(&one.history))];
        let rows: Vec<Vec<String>> = found.iter().map(row).collect();
        return Outcome::new(&found, table(&["RESOURCE", "RECORDED"], &rows));
    }
    let resource = arguments.resource.map(|resource| resource.to_string()).unwrap_or_default();
    let key: Key = resource.parse().map_err(|error: Error| {
        error.help("write KIND/ID; `show BACKUP KIND` shows the ids of a kind")
    })?;
    let mut look = repository.history(key);
    if let Some((application, environment)) = arguments.gateway {
        look = look.gateway(application, environment);
    }
    if let Some(link) = link {
        look = look.link(link);
    }
    let found = look.run(&session.cx).await?;
    for unread in &found.unread {
        session.output.say(format_args!("{} tells nothing of it: {}", unread.name, unread.why));
    }
    Outcome::new(&found.versions, found.versions.iter().map(told).collect::<String>())
}

/// One version, for people.
fn told(version: &Version) -> String {
    let Version { application, environment, gateway, first, last, .. } = version;
    let became = match version.became {
        Became::New => "new",
        Became::Changed => "changed",
        Became::Gone => "gone",
    };
    let from = rfc3339(first.ended_at);
    let mut text = format!("{from} {application}/{environment} {became} ({})\n", first.name);
    text += &super::restore::fields(&version.changes);
    if version.backups > 1 {
        let (until, others) = (rfc3339(last.ended_at), version.backups - 1);
        text += &format!("         the same in {others} more until {until} ({})\n", last.name);
    }
    if version.history.is_some() {
        text += &format!("         recorded: {}\n", linked(version.history.as_ref()));
    }
    text += &format!("         on {gateway}\n");
    text
}

fn linked(linked: Option<&Linked>) -> String {
    let shown = |item: &HistoryItem| {
        let gone = if item.presence == Presence::Deleted { ", deleted" } else { "" };
        format!("{}{gone}", rfc3339(item.captured_at))
    };
    match linked {
        Some(Linked::Found { item, next }) => {
            let item = item.as_ref().map(shown);
            let next = next.as_ref().map(|next| format!("then {}", shown(next)));
            item.into_iter().chain(next).collect::<Vec<_>>().join(", ")
        }
        Some(Linked::Nothing { detail, .. }) => format!("({detail})"),
        _ => String::new(),
    }
}
