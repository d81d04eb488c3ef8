//! Signed calls: quotas, pauses, pages, and what an answer means.

use std::sync::Arc;

use bytes::Bytes;
use gwbackup_core::retry::{Pauses, rest};
use gwbackup_core::{Context, Error, Result};
use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use serde_json::value::RawValue;
use tokio::sync::Semaphore;
use url::Url;

use crate::answer::Answer;
use crate::config::Config;
use crate::quota::{Quotas, Sort};
use crate::signed::{Ask, Signed, element, shown};

/// Speaks to one region. Clones share connections and quotas.
#[derive(Debug, Clone)]
pub(crate) struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    signed: Signed,
    config: Config,
    quotas: Arc<Quotas>,
    slots: Semaphore,
}

/// What parts a segment from the `name=value` that has to stand in the query of every call to it and
/// below: of private domains several may have one name. No name of the service holds it.
pub(crate) const ASKED: char = '?';

/// One call.
#[derive(Debug, Clone)]
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    /// Segments, some with what has to be asked for with them ([`ASKED`]).
    pub(crate) path: Vec<&'a str>,
    pub(crate) query: Vec<(&'a str, String)>,
    pub(crate) body: Option<String>,
    /// It makes an edge-optimised API, of which there may be few.
    pub(crate) edge: bool,
}

impl<'a> Call<'a> {
    pub(crate) fn new(method: Method, path: impl IntoIterator<Item = &'a str>) -> Self {
        let path = path.into_iter().collect();
        Self { method, path, query: Vec::new(), body: None, edge: false }
    }

    pub(crate) fn get(path: impl IntoIterator<Item = &'a str>) -> Self {
        Self::new(Method::GET, path)
    }

    #[must_use]
    pub(crate) fn query(mut self, name: &'a str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    #[must_use]
    pub(crate) fn body(mut self, json: impl Into<String>) -> Self {
        self.body = Some(json.into());
        self
    }
}

/// How a list is given out page by page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paging {
    /// `limit` and `position`.
    Position,
    /// `maxResults` and `nextToken`.
    Token,
    /// All at once.
    None,
}

impl Client {
    pub(crate) fn new(config: Config, quotas: Arc<Quotas>) -> Result<Self> {
        let signed = Signed::new(&config.region, config.credentials.clone())?;
        let slots = Semaphore::new(config.calls.into());
        Ok(Self(Arc::new(Inner { signed, config, quotas, slots })))
    }

    pub(crate) fn config(&self) -> &Config {
        &self.0.config
    }

    /// Reads, again and again while the fault may pass. Cancel safe.
    pub(crate) async fn get(&self, cx: &Context, call: Call<'_>) -> Result<Answer> {
        again(cx, || self.send(cx, call.clone())).await
    }

    /// Calls once. `Err` leaves open whether it did anything.
    pub(crate) async fn send(&self, cx: &Context, call: Call<'_>) -> Result<Answer> {
        let sort = Sort::of(&call.method, &call.path).edge(call.edge);
        if !self.0.config.unpaced {
            self.0.quotas.turn(cx, sort).await?;
        }
        let _slot = self.0.slots.acquire().await;
        let mut url = self.0.config.endpoint.clone();
        let mut query = call.query;
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty();
            for part in call.path {
                let (part, asked) = part.split_once(ASKED).unwrap_or((part, ""));
                path.push(part);
                query.extend(asked.split_once('=').map(|(name, own)| (name, own.to_owned())));
            }
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(&query);
        }
        let answer = self.exchange(cx, "apigateway", call.method, url, call.body).await?;
        if let Some(pause) = answer.pause() {
            self.0.quotas.hold(cx, sort, pause);
        }
        Ok(answer)
    }

    /// Whom the credentials belong to.
    pub(crate) async fn caller(&self, cx: &Context) -> Result<Caller> {
        let body = "Action=GetCallerIdentity&Version=2011-06-15".to_owned();
        let answer = self.form(cx, "sts", &self.0.config.sts, body).await?.success()?;
        match (element(&answer, "Account"), element(&answer, "Arn")) {
            ("", _) => Err(Error::invalid("the identity service names no account")),
            (account, arn) => Ok(Caller { account: account.to_owned(), arn: arn.to_owned() }),
        }
    }

    /// Asks the service that keeps identities, again and again while the fault may pass.
    pub(crate) async fn identities(&self, cx: &Context, form: String) -> Result<Answer> {
        self.form(cx, "iam", &self.0.config.iam, form).await
    }

    async fn form(
        &self,
        cx: &Context,
        service: &'static str,
        url: &Url,
        form: String,
    ) -> Result<Answer> {
        let ask = || self.exchange(cx, service, Method::POST, url.clone(), Some(form.clone()));
        again(cx, ask).await
    }

    /// Asks the function service, again and again while the fault may pass; every call to it may be
    /// repeated.
    pub(crate) async fn lambda(
        &self,
        cx: &Context,
        method: Method,
        path: &[&str],
        query: Option<(&str, &str)>,
        body: Option<String>,
    ) -> Result<Answer> {
        let mut url = self.0.config.lambda.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("2015-03-31").push("functions").extend(path);
        }
        url.query_pairs_mut().extend_pairs(query);
        if query.is_none() {
            url.set_query(None);
        }
        let ask = || self.exchange(cx, "lambda", method.clone(), url.clone(), body.clone());
        again(cx, ask).await
    }

    /// Every element of a list, as it was sent.
    pub(crate) async fn list(
        &self,
        cx: &Context,
        call: Call<'_>,
        paging: Paging,
    ) -> Result<Vec<Box<RawValue>>> {
        let mut all = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let mut call = call.clone();
            match paging {
                Paging::Position => call = call.query("limit", "500"),
                Paging::Token => call = call.query("maxResults", "500"),
                Paging::None => {}
            }
            if let Some(next) = next.take() {
                let name = if paging == Paging::Token { "nextToken" } else { "position" };
                call = call.query(name, next);
            }
            let page = self.get(cx, call).await?.page()?;
            all.extend(page.items);
            match page.next {
                Some(token) if paging != Paging::None => next = Some(token),
                _ => return Ok(all),
            }
        }
    }

    async fn exchange(
        &self,
        cx: &Context,
        service: &'static str,
        method: Method,
        url: Url,
        body: Option<String>,
    ) -> Result<Answer> {
        let kind = match service {
            "sts" | "iam" => "application/x-www-form-urlencoded",
            _ => "application/json",
        };
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if body.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        let body = Bytes::from(body.unwrap_or_default());
        let ask = Ask { service, method, url, headers, body };
        let told = self.0.signed.exchange(cx.now(), &ask).await?;
        let at = shown(&ask.url).to_owned();
        Ok(Answer::new(told, at))
    }
}

/// Whom credentials belong to.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) account: String,
    /// As STS has it: of a session, where a role was taken on.
    pub(crate) arn: String,
}

impl Caller {
    /// The user or the role, whose policies say what is allowed; `None` for whoever has none, such as
    /// the owner of the account.
    pub(crate) fn principal(&self) -> Option<String> {
        let (head, name) = self.arn.split_once(":assumed-role/").unwrap_or((&self.arn, ""));
        if name.is_empty() {
            return self.arn.contains(":user/").then(|| self.arn.clone());
        }
        let role = name.split('/').next().unwrap_or_default();
        Some(format!("{}:role/{role}", head.replace(":sts:", ":iam:")))
    }
}

/// Asks until the answer is one that asking again would not change. Cancel safe.
async fn again<F>(cx: &Context, ask: impl Fn() -> F) -> Result<Answer>
where
    F: Future<Output = Result<Answer>>,
{
    let mut pauses = Pauses::new();
    loop {
        let answer = cx.unless_cancelled(ask()).await.and_then(Answer::settled);
        let Err(error) = answer else { return answer };
        let Some(pause) = pauses.after(&error) else { return Err(error) };
        rest(cx, pause).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_belong_to_the_role_behind_a_session() {
        let principal = |arn: &str| {
            let caller = Caller { account: "1".to_owned(), arn: arn.to_owned() };
            caller.principal().unwrap_or_default()
        };
        let session = "arn:aws-cn:sts::123456789012:assumed-role/backup/i-0abc";
        assert_eq!(principal(session), "arn:aws-cn:iam::123456789012:role/backup");
        let user = "arn:aws:iam::123456789012:user/ops/ada";
        assert_eq!(principal(user), user);
        assert_eq!(principal("arn:aws:iam::123456789012:root"), "");
    }
}
