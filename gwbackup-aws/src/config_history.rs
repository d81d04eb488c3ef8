//! AWS Config as a history of the gateway.

use std::borrow::Cow;
use std::fmt;

use async_trait::async_trait;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use gwbackup_core::clock::Timestamp;
use gwbackup_core::connect::masked;
use gwbackup_core::error::{ErrorKind, Retry};
use gwbackup_core::history::{Asked, HistoryItem, HistoryLink, Linked, Missing, Presence};
use gwbackup_core::model::{HandleName, Kind};
use gwbackup_core::{Context, Error, Result};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::config::{Identity, partition};
use crate::json_service::JsonService;
use crate::signed::Told;
use crate::table::Row;

/// How late an item is looked for: Config writes it minutes after the change.
const LATE: std::time::Duration = std::time::Duration::from_mins(15);
/// Items of one answer.
const PAGE: u32 = 10;
/// Pages of one question. An answer covers seven days at most, and may be empty for days without a
/// change; items are kept for seven years at most, which are 366 such spans.
const PAGES: u32 = 400;
/// Questions under way at one time.
const CALLS: usize = 4;

/// What Config records of API Gateway: kind, type, and how it forms the id of such a resource.
///
/// Seven types, by its published model: no keys, domains, authorizers, routes or deployments. The ids
/// of REST APIs and of stages are as published items show them. Of the other types no item was seen:
/// an ARN like the others', or what stands in its address joined by `|`, as the resource handlers
/// that newer types are recorded by do it; both are tried.
const TYPES: &[(&str, &str, &[Form])] = &[
    ("rest_api", "AWS::ApiGateway::RestApi", &[Form::Arn]),
    ("rest_stage", "AWS::ApiGateway::Stage", &[Form::Arn]),
    ("rest_method", "AWS::ApiGateway::Method", &[Form::Joined, Form::Arn]),
    ("usage_plan", "AWS::ApiGateway::UsagePlan", &[Form::Joined, Form::Arn]),
    ("api", "AWS::ApiGatewayV2::Api", &[Form::Arn, Form::Joined]),
    ("api_stage", "AWS::ApiGatewayV2::Stage", &[Form::Arn]),
    ("api_integration", "AWS::ApiGatewayV2::Integration", &[Form::Joined, Form::Arn]),
];

#[derive(Debug, Clone, Copy)]
enum Form {
    Arn,
    Joined,
}

/// The history that AWS Config keeps of one region of the account whose credentials are used.
///
/// It knows APIs, stages, methods, usage plans and integrations, where a recorder of the account
/// records them, and of nothing else. It says when something changed; who did it stands in
/// `CloudTrail`, whose events Config has not named in its items for long.
pub struct ConfigHistory {
    service: JsonService,
    region: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Question<'a> {
    resource_type: &'a str,
    resource_id: &'a str,
    /// Seconds since 1970.
    later_time: f64,
    limit: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    #[serde(default)]
    configuration_items: Vec<Item>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    configuration_item_capture_time: f64,
    configuration_item_status: String,
    #[serde(default)]
    configuration_state_id: String,
    #[serde(default)]
    related_events: Vec<String>,
}

impl ConfigHistory {
    /// Config of this region. No I/O. `Invalid` when the region has not the form of one.
    pub fn new(
        region: &str,
        credentials: aws_credential_types::provider::SharedCredentialsProvider,
    ) -> Result<Self> {
        let service = JsonService::new("config", "StarlingDoveService", region, credentials)?;
        Ok(Self { service, region: region.to_owned() })
    }

    /// The same at another endpoint: a private one, or an emulator.
    #[must_use]
    pub fn with_endpoint(mut self, endpoint: Url) -> Self {
        self.service.endpoint = endpoint;
        self
    }

    /// Of `awsconfig://REGION?endpoint=URL`, where all but the scheme may be left out. Credentials,
    /// and what the URL does not say, as the SDKs find them. `Invalid` when something in it cannot
    /// be. Reads files and may ask the instance it runs on.
    pub async fn from_url(url: &Url) -> Result<Self> {
        let wrong = |what: String| {
            Error::invalid(what).on(masked(url)).help("write awsconfig://REGION?endpoint=URL")
        };
        if !matches!(url.path(), "" | "/") {
            return Err(wrong("a history has no path".to_owned()));
        }
        let mut endpoint = None;
        for (query, value) in url.query_pairs() {
            match &*query {
                "endpoint" => {
                    let bad = |_| wrong("the endpoint is no URL".to_owned());
                    endpoint = Some(Url::parse(&value).map_err(bad)?);
                }
                _ => return Err(wrong(format!("a history's url knows no `{query}`"))),
            }
        }
        let named = url.host_str().filter(|host| !host.is_empty());
        let identity = Identity::find(named.map(str::to_owned)).await?;
        let history = Self::new(&identity.region, identity.credentials)?;
        Ok(match endpoint.or(identity.endpoint) {
            Some(endpoint) => history.with_endpoint(endpoint),
            None => history,
        })
    }

    /// One question, whatever the form of the resource's id.
    async fn one(&self, cx: &Context, asked: &Asked) -> Result<Linked> {
        let kind = &asked.resource.key.kind;
        let Some((_, name, forms)) = row(kind) else {
            return Ok(Linked::nothing(Missing::Kind, format!("Config records no {kind}")));
        };
        let region = asked.gateway.get(&HandleName::known("region"));
        if let Some(other) = region.filter(|region| **region != self.region) {
            let detail = format!("Config of {} knows nothing of {other}", self.region);
            return Ok(Linked::nothing(Missing::Resource, detail));
        }
        let Some(parts) = address(asked) else {
            let detail = "the backup does not hold what its id is made of";
            return Ok(Linked::nothing(Missing::Resource, detail));
        };
        let mut last = Linked::nothing(Missing::Resource, "Config has not seen it");
        for form in *forms {
            let found = self.history(cx, name, &form.id(&self.region, &parts), asked.at).await?;
            match found {
                Linked::Nothing { why: Missing::Resource | Missing::Failed, .. } => last = found,
                _ => return Ok(found),
            }
        }
        Ok(last)
    }

    /// What Config has for an id, the newest first.
    async fn history(&self, cx: &Context, name: &str, id: &str, at: Timestamp) -> Result<Linked> {
        // A second more than wanted, since a limit's fraction may be cut off; never the future.
        let until = (at + LATE).min(cx.now().max(at)).as_second() + 1;
        #[expect(clippy::cast_precision_loss, reason = "seconds of our time fit")]
        let later_time = until as f64;
        let (mut next, mut next_token) = (None, None);
        for _ in 0..PAGES {
            let question = Question {
                resource_type: name,
                resource_id: id,
                later_time,
                limit: PAGE,
                next_token: next_token.take(),
            };
            let told =
                self.service.call(cx, "GetResourceConfigHistory", &question, refusal).await?;
            if !told.status.is_success() {
                return Ok(nothing(&told.code()));
            }
            let odd = |_| Error::invalid("Config answers what it should not").on(self);
            let page: Page = serde_json::from_slice(&told.body).map_err(odd)?;
            for item in page.configuration_items {
                if item.configuration_item_status == "ResourceNotRecorded" {
                    let detail = "the recorder leaves this type out";
                    return Ok(Linked::nothing(Missing::Off, detail));
                }
                let item = item
                    .told(name, id)
                    .ok_or_else(|| Error::invalid("Config gives a time that cannot be").on(self))?;
                if item.captured_at <= at {
                    return Ok(Linked::Found { item: Some(item), next });
                }
                next = Some(item).filter(|item| item.captured_at <= at + LATE).or(next);
            }
            match page.next_token.filter(|token| !token.is_empty()) {
                Some(token) => next_token = Some(token),
                None if next.is_some() => return Ok(Linked::Found { item: None, next }),
                None => {
                    let detail = "Config has items of later moments only";
                    return Ok(Linked::nothing(Missing::Moment, detail));
                }
            }
        }
        Ok(Linked::nothing(Missing::Failed, "Config's pages have no end"))
    }
}

impl Item {
    fn told(self, name: &str, id: &str) -> Option<HistoryItem> {
        #[expect(clippy::cast_possible_truncation, reason = "a time that is too large is refused")]
        let millis = (self.configuration_item_capture_time * 1000.0).round() as i64;
        Some(HistoryItem {
            id: format!("{name} {id}"),
            state: self.configuration_state_id,
            captured_at: Timestamp::from_millisecond(millis).ok()?,
            presence: match self.configuration_item_status.as_str() {
                "ResourceDeleted" | "ResourceDeletedNotRecorded" => Presence::Deleted,
                _ => Presence::Present,
            },
            events: self.related_events,
        })
    }
}

impl Form {
    /// The id of what lies at an address: lists and names in turn.
    fn id(self, region: &str, parts: &[(&str, String)]) -> String {
        match self {
            Self::Arn => {
                let path: Vec<String> =
                    parts.iter().map(|(list, name)| format!("{list}/{name}")).collect();
                format!("arn:{}:apigateway:{region}::/{}", partition(region), path.join("/"))
            }
            Self::Joined => {
                parts.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>().join("|")
            }
        }
    }
}

fn row(kind: &Kind) -> Option<&'static (&'static str, &'static str, &'static [Form])> {
    TYPES.iter().find(|row| row.0 == kind.as_str())
}

/// Lists and names on the way to a resource, as calls have them.
fn address(asked: &Asked) -> Option<Vec<(&'static str, String)>> {
    let key = &asked.resource.key;
    let mut names: Vec<String> = key.id.segments().map(Cow::into_owned).collect();
    if key.kind.as_str() == "rest_method" {
        // Keys name a resource by its path, calls by its id.
        let resource = asked.parent.as_ref()?.document.text("/id")?.into_owned();
        *names.get_mut(1)? = resource;
    }
    let mut rows = Vec::new();
    let mut row = Row::of(&key.kind);
    while let Some(own) = row {
        rows.insert(0, own.list.trim_start_matches("v2/"));
        row = Row::named(own.parent);
    }
    (rows.len() == names.len()).then(|| rows.into_iter().zip(names).collect())
}

/// Codes that say something of one resource and no more.
fn nothing(code: &str) -> Linked {
    match code {
        "NoAvailableConfigurationRecorderException" => {
            Linked::nothing(Missing::Off, "nothing is recorded: the account has no recorder here")
        }
        "ResourceNotDiscoveredException" => {
            Linked::nothing(Missing::Resource, "Config has not seen it")
        }
        code => Linked::nothing(Missing::Failed, format!("Config refuses the question ({code})")),
    }
}

/// What is wrong with every question; the rest is for [`nothing`].
fn refusal(told: &Told) -> Option<Error> {
    let code = told.code();
    let said = |kind, what: &str| Some(Error::new(kind, what));
    match (told.status.as_u16(), code.as_str()) {
        (
            _,
            "NoAvailableConfigurationRecorderException"
            | "ResourceNotDiscoveredException"
            | "ValidationException",
        ) => None,
        (429, _) | (_, "ThrottlingException" | "Throttling") => {
            let error = Error::new(ErrorKind::Throttled, "Config asks for a pause");
            Some(error.with_retry(Retry::Later))
        }
        (_, "AccessDeniedException" | "AccessDenied") => {
            said(ErrorKind::Denied, "the right to read the history is missing")
                .map(|error| error.help("config:GetResourceConfigHistory gives it"))
        }
        (500.., _) => said(ErrorKind::Unavailable, "Config failed")
            .map(|error| error.with_retry(Retry::Later)),
        (
            _,
            "UnrecognizedClientException"
            | "InvalidSignatureException"
            | "IncompleteSignatureException"
            | "MissingAuthenticationTokenException",
        ) => said(ErrorKind::Unauthenticated, "Config does not accept the credentials"),
        (status, "") => Some(Error::invalid(format!("Config refuses it ({status})"))),
        (_, code) => Some(Error::invalid(format!("Config refuses it ({code})"))),
    }
}

#[async_trait]
impl HistoryLink for ConfigHistory {
    fn records(&self, kind: &Kind) -> bool {
        row(kind).is_some()
    }

    async fn find(&self, cx: &Context, asked: &[Asked]) -> Result<Vec<Linked>> {
        cx.check()?;
        let mut all = Vec::with_capacity(asked.len());
        for one in asked {
            all.push(self.one(cx, one));
        }
        stream::iter(all).buffered(CALLS).try_collect().await
    }
}

impl fmt::Display for ConfigHistory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "awsconfig://{}", self.region)
    }
}

impl fmt::Debug for ConfigHistory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigHistory").field("region", &self.region).finish_non_exhaustive()
    }
}
