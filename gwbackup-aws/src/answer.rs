//! What the service answered.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use gwbackup_core::error::{ErrorKind, Retry};
use gwbackup_core::{Error, Result};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::signed::Told;

/// A pause where the service asks for one and does not say how long.
const PAUSE: Duration = Duration::from_secs(1);

/// Status and body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    body: Bytes,
    /// The name of the error.
    code: String,
    retry_after: Option<Duration>,
    at: String,
}

#[derive(Default, Deserialize)]
struct Said {
    #[serde(alias = "Message", default)]
    message: String,
}

/// One page of a list.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) items: Vec<Box<RawValue>>,
    pub(crate) next: Option<String>,
}

impl Answer {
    pub(crate) fn new(told: Told, at: String) -> Self {
        let status = told.status.as_u16();
        let retry_after = told.headers.get("retry-after").and_then(|value| value.to_str().ok());
        let retry_after = retry_after.and_then(|text| text.parse().ok()).map(Duration::from_secs);
        let code = if status >= 400 { told.code() } else { String::new() };
        Self { status, body: told.body, code, retry_after, at }
    }

    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub(crate) fn is_missing(&self) -> bool {
        self.status == 404
    }

    /// The pause that the service asks for. Not for a limit of the account, which no pause moves.
    pub(crate) fn pause(&self) -> Option<Duration> {
        let throttled = self.status == 429 && self.code != "LimitExceededException";
        throttled.then(|| self.retry_after.unwrap_or(PAUSE))
    }

    /// Itself, unless calling again may help.
    pub(crate) fn settled(self) -> Result<Self> {
        match self.error() {
            Some(error) if error.retry() != Retry::Never => Err(error),
            Some(error) if error.kind() == ErrorKind::Unauthenticated => Err(error),
            _ => Ok(self),
        }
    }

    /// The body of a success.
    pub(crate) fn success(self) -> Result<Bytes> {
        match self.error() {
            Some(error) => Err(error),
            None => Ok(self.body),
        }
    }

    /// The body of a success, as text.
    pub(crate) fn text(self) -> Result<String> {
        let at = self.at.clone();
        String::from_utf8(self.success()?.to_vec())
            .map_err(|_| Error::invalid("the answer is no text").on(at))
    }

    pub(crate) fn page(self) -> Result<Page> {
        let at = self.at.clone();
        let body = self.success()?;
        let wrong = || Error::invalid("the answer is no list").on(&at);
        let heads: Heads = serde_json::from_slice(&body).map_err(|_| wrong())?;
        let all: BTreeMap<String, Box<RawValue>> =
            serde_json::from_slice(&body).map_err(|_| wrong())?;
        let list = ["item", "items", "routingRules"].iter().find_map(|name| all.get(*name));
        let items = match list {
            Some(list) if list.get() != "null" => items(list.get()).ok_or_else(wrong)?,
            _ => Vec::new(),
        };
        let next = heads.position.or(heads.next).filter(|token| !token.is_empty());
        Ok(Page { items, next })
    }

    /// What went wrong, if anything did.
    pub(crate) fn error(&self) -> Option<Error> {
        if self.is_success() {
            return None;
        }
        let said: Said = serde_json::from_slice(&self.body).unwrap_or_default();
        let text = |what: &str| {
            if said.message.is_empty() {
                what.to_owned()
            } else {
                format!("{what}: {}", said.message)
            }
        };
        let busy = said.message.to_ascii_lowercase().contains("concurrent");
        let error = match (self.status, self.code.as_str()) {
            (429, "LimitExceededException") => {
                Error::refused(text("a limit of the account is reached"))
                    .help("have the limit raised, or delete what is not needed")
            }
            (429, _) => Error::new(ErrorKind::Throttled, "the service asks for a pause (429)")
                .with_retry(Retry::After(self.retry_after.unwrap_or(PAUSE))),
            (401, _)
            | (
                _,
                "UnrecognizedClientException"
                | "InvalidClientTokenId"
                | "InvalidSignatureException"
                | "SignatureDoesNotMatch"
                | "IncompleteSignature",
            ) => Error::new(
                ErrorKind::Unauthenticated,
                text("the service does not accept the credentials"),
            ),
            // Every call is signed: so it says that it knows no such path.
            (403, "MissingAuthenticationToken" | "MissingAuthenticationTokenException") => {
                Error::new(ErrorKind::NotFound, "this endpoint knows no such path (403)")
            }
            (403, _) => Error::new(ErrorKind::Denied, text("the service denies it (403)")),
            (404, _) => Error::new(ErrorKind::NotFound, text("the service does not have it (404)")),
            (409, _) if busy => {
                Error::new(ErrorKind::Unavailable, "another change is under way (409)")
            }
            (409, _) => Error::new(ErrorKind::AlreadyExists, text("the service refuses it (409)")),
            (500.., _) => {
                let retry = self.retry_after.map_or(Retry::Later, Retry::After);
                Error::new(ErrorKind::Unavailable, format!("the service failed ({})", self.status))
                    .with_retry(retry)
            }
            (status, _) => Error::invalid(text(&format!("the service refuses it ({status})"))),
        };
        Some(error.on(&self.at))
    }
}

#[derive(Deserialize)]
struct Heads {
    position: Option<String>,
    #[serde(rename = "nextToken")]
    next: Option<String>,
}

/// Elements of a list; a page of one element may be that element alone.
fn items(text: &str) -> Option<Vec<Box<RawValue>>> {
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(text).ok().map(|one| vec![one]);
    }
    serde_json::from_str(text).ok()
}
