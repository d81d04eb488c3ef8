//! What a deletion would take along though it lies outside of what is looked at.

use std::collections::{BTreeMap, HashMap, HashSet};

use gwbackup_core::Result;
use gwbackup_core::model::{Action, Change, Finding, Id, Key, Kind, Resource, Role, Verdict};
use url::Url;

use crate::admin::discover::Collection;
use crate::admin::page::{Page, Walk};
use crate::admin::write::Writer;
use crate::schema::Foreign;

/// Kong deletes children with their parent. With a filter by tags, or with a kind that is left out, a
/// child may be one that was never seen, so those lists of children are read without the filter;
/// without either, all children are known.
pub(super) async fn findings(writer: &Writer<'_>, changes: &[Change]) -> Result<Vec<Finding>> {
    let seen = &writer.instance.collections;
    let seen = seen.iter().filter(|_| !writer.admin.0.config.tags.is_empty());
    let unseen: Vec<&Collection> = seen.chain(&writer.instance.left_out).collect();
    if unseen.is_empty() {
        return Ok(Vec::new());
    }
    let deleted = changes.iter().filter(|change| change.action == Action::Delete);
    let deleted: HashMap<&Key, &Change> = deleted.map(|c| (c.target_key(), c)).collect();
    let kinds: HashSet<&str> = deleted.keys().map(|key| key.kind.as_str()).collect();
    let mut taken: BTreeMap<&Key, Vec<Key>> = BTreeMap::new();
    for collection in unseen {
        let links = collection.row.map(|row| row.foreign).unwrap_or_default();
        let links: Vec<&Foreign> = links
            .iter()
            .filter(|link| link.role == Role::Owner && kinds.contains(link.kind))
            .collect();
        if links.is_empty() {
            continue;
        }
        for list in lists(writer, collection, &deleted) {
            let each = |child: Resource| {
                for link in &links {
                    let Some(id) = child.document.text(&format!("/{}/id", link.member)) else {
                        continue;
                    };
                    let Ok(id) = Id::of([id]) else { continue };
                    let parent = deleted.get_key_value(&Key::new(Kind::known(link.kind), id));
                    if let Some((parent, _)) = parent.filter(|_| !deleted.contains_key(&child.key))
                    {
                        taken.entry(parent).or_default().push(child.key.clone());
                    }
                }
            };
            walk(writer, collection, list, each).await?;
        }
    }
    let finding = |(parent, children): (&Key, Vec<Key>)| {
        let more = match children.len() - 1 {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let first = children.first().map(ToString::to_string).unwrap_or_default();
        let what = format!("with it {first}{more} would go, which the address leaves out");
        let finding = Finding::new(parent.to_string(), Verdict::Failed, what);
        Finding { change: deleted.get(parent).map(|change| change.no), ..finding }
    };
    Ok(taken.into_iter().map(finding).collect())
}

/// The lists that may hold children; for targets those of the deleted upstreams.
fn lists(
    writer: &Writer<'_>,
    collection: &Collection,
    deleted: &HashMap<&Key, &Change>,
) -> Vec<Url> {
    let client = &writer.admin.0.client;
    if collection.kind.as_str() != "target" {
        return vec![client.at(collection.path.iter().map(String::as_str))];
    }
    let upstreams = deleted.keys().filter(|key| key.kind.as_str() == "upstream");
    upstreams.map(|key| client.at(["upstreams", &key.id.last(), "targets"])).collect()
}

async fn walk(
    writer: &Writer<'_>,
    collection: &Collection,
    list: Url,
    mut each: impl FnMut(Resource),
) -> Result<()> {
    let mut walk = Walk::new(list, &[]);
    let mut next = Some(walk.first());
    while let Some(url) = next {
        let answer = writer.admin.0.client.get(writer.cx, &url).await?;
        if !answer.is_success() {
            return Ok(());
        }
        let page = Page::parse(&answer.body)?;
        for row in &page.rows {
            each(collection.entity(row, writer.cx.now())?);
        }
        next = walk.next(&page)?;
    }
    Ok(())
}
