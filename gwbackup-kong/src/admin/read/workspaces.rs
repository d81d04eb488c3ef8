//! Workspaces, which editions other than the open one have: only one of them is read.

use std::borrow::Cow;

use gwbackup_core::Result;
use gwbackup_core::model::{Captured, Cause, Gap};

use super::Reader;
use crate::admin::page::{Page, Walk};

/// The workspace that an address without one means.
const DEFAULT: &str = "default";

/// Gives the workspace that is read. Where the address names none, all others are gaps: their
/// entities are not in the backup, and nobody chose that.
pub(super) async fn read(reader: &Reader, at: usize) -> Result<()> {
    let Some(collection) = reader.instance.collections.get(at) else { return Ok(()) };
    let (client, config) = (&reader.admin.0.client, &reader.admin.0.config);
    // A list of the node itself, below no workspace and without tags.
    let mut walk = Walk::new(client.root(["workspaces"]), &[]);
    let mut next = Some(walk.first());
    while let Some(url) = next {
        let ended = match client.get(&reader.cx, &url).await {
            Ok(answer) if answer.is_success() => {
                let page = Page::parse(&answer.body)?;
                let mut given = Vec::new();
                for row in &page.rows {
                    let resource = reader.resource(collection, row)?;
                    let name = resource.document.text("/name").map(Cow::into_owned);
                    let name = name.unwrap_or_default();
                    if name == config.workspace.as_deref().unwrap_or(DEFAULT) {
                        given.push(Captured::Resource(resource));
                    } else if config.workspace.is_none() {
                        let detail = format!(
                            "workspace `{name}` is not read: name one workspace with `workspace=`"
                        );
                        let (kind, under) = (Some(resource.key.kind), Some(resource.key.id));
                        given.push(Captured::Gap(Gap {
                            kind,
                            under,
                            cause: Cause::Excluded,
                            detail,
                        }));
                    }
                }
                next = walk.next(&page)?;
                reader.send(given).await?;
                continue;
            }
            Ok(answer) => Ok(Some(answer)),
            Err(e) => Err(e),
        };
        let gap = reader.gap_of(collection, ended).await?;
        return reader.send(gap.into_iter().map(Captured::Gap).collect()).await;
    }
    Ok(())
}
