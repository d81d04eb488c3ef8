//! Portals: what is said of one, and when it is published.

use gwbackup_core::error::ErrorKind;
use gwbackup_core::model::{Document, Resolved};
use gwbackup_core::retry::rest;
use gwbackup_core::{Error, Result};
use reqwest::Method;

use super::{LOOK, LOOKS, Told, Work};
use crate::client::Call;
use crate::read::Node;

/// A certificate and a name of its own are said as a choice, and read as members.
pub(super) fn sent(body: &Document) -> Result<Document> {
    let body = body.without(["/publishStatus"]);
    let Some(read) = body.get("/endpointConfiguration") else { return Ok(body) };
    let named = body.text("/endpointConfiguration/certificateArn").is_some_and(|a| !a.is_empty());
    let said =
        if named { format!("{{\"acmManaged\":{read}}}") } else { r#"{"none":{}}"#.to_owned() };
    body.with_member("/endpointConfiguration", &said)
}

impl Work<'_> {
    /// Publishes a portal that was published in the backup, as it is now; withdraws one that was
    /// not. Waits until that is done.
    pub(super) async fn publish(&mut self, live: &Node, wanted: &Resolved) -> Result<Told<()>> {
        let status = |document: &Document| {
            document.text("/publishStatus").is_some_and(|status| status == "PUBLISHED")
        };
        let (is, shall) = (status(&live.resource.document), status(&wanted.resource.document));
        if !is && !shall {
            return Ok(Ok(()));
        }
        let at = || live.address.iter().map(String::as_str);
        let path = at().chain(["publish"]);
        let call = if shall {
            let said = wanted.resource.document.get("/lastPublishedDescription");
            let body =
                said.map_or_else(|| "{}".into(), |said| format!("{{\"description\":{said}}}"));
            Call::new(Method::POST, path).body(body)
        } else {
            Call::new(Method::DELETE, path)
        };
        if let Err(error) = self.plain(call).await? {
            return Ok(Err(error));
        }
        let wanted = if shall { "PUBLISHED" } else { "DISABLED" };
        for _ in 0..LOOKS {
            let answer = self.aws.0.client.get(self.cx, Call::get(at())).await?;
            let document = Document::parse(&answer.text()?)?;
            match document.text("/publishStatus").as_deref() {
                Some(status) if status == wanted => {
                    if let Some(node) = self.live.get_mut(&live.resource.key) {
                        node.resource.document = document;
                    }
                    return Ok(Ok(()));
                }
                Some("PUBLISH_FAILED" | "DISABLE_FAILED") => break,
                _ => rest(self.cx, LOOK).await?,
            }
        }
        Ok(Err(Error::new(ErrorKind::Refused, "the portal does not get published, or withdrawn")
            .on(&live.resource.key)))
    }
}
