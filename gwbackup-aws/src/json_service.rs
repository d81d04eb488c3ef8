//! Services that speak JSON: one address, and the operation in a header.

use bytes::Bytes;
use gwbackup_core::retry::{Pauses, rest};
use gwbackup_core::{Context, Error, Result};
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use serde::Serialize;
use url::Url;
use zeroize::Zeroizing;

use crate::config::{checked, suffix};
use crate::signed::{Ask, Signed, Told};

/// One of them in one region. Without `Debug`, as what is asked of it.
pub(crate) struct JsonService {
    pub(crate) signed: Signed,
    pub(crate) endpoint: Url,
    /// In its address and in a signature.
    pub(crate) name: &'static str,
    /// What stands before the operation.
    pub(crate) prefix: &'static str,
    /// The version of the protocol.
    pub(crate) media: &'static str,
}

impl JsonService {
    /// At its own endpoint. `Invalid` when the region has not the form of one.
    pub(crate) fn new(
        name: &'static str,
        prefix: &'static str,
        region: &str,
        credentials: aws_credential_types::provider::SharedCredentialsProvider,
    ) -> Result<Self> {
        let text = format!("https://{name}.{}.{}/", checked(region)?, suffix(region));
        let endpoint = Url::parse(&text)
            .map_err(|_| Error::invalid("this is no region, such as eu-central-1").on(region))?;
        let signed = Signed::new(region, credentials)?;
        Ok(Self { signed, endpoint, name, prefix, media: "application/x-amz-json-1.1" })
    }

    /// The same by the first version of the protocol.
    pub(crate) fn by_first_version(mut self) -> Self {
        self.media = "application/x-amz-json-1.0";
        self
    }

    /// Calls until it is answered for good: only for what may be repeated. `refusal` says of an answer
    /// that is no success which error it is, or that the caller is to read it. Cancel safe.
    pub(crate) async fn call(
        &self,
        cx: &Context,
        operation: &str,
        request: &(impl Serialize + Sync + ?Sized),
        refusal: fn(&Told) -> Option<Error>,
    ) -> Result<Told> {
        let odd = |_| Error::invalid("this cannot be asked");
        let body = Bytes::from_owner(Zeroizing::new(serde_json::to_vec(request).map_err(odd)?));
        let target = HeaderValue::from_str(&format!("{}.{operation}", self.prefix));
        let target = target.map_err(|_| Error::invalid("this cannot be asked"))?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.media));
        headers.insert("x-amz-target", target);
        let url = self.endpoint.clone();
        let ask = Ask { service: self.name, method: Method::POST, url, headers, body };
        let mut pauses = Pauses::new();
        loop {
            let error = match cx.unless_cancelled(self.signed.exchange(cx.now(), &ask)).await {
                Ok(told) if told.status.is_success() => return Ok(told),
                Ok(told) => match refusal(&told) {
                    Some(error) => error,
                    None => return Ok(told),
                },
                Err(error) => error,
            };
            match pauses.after(&error) {
                Some(pause) => rest(cx, pause).await?,
                None => return Err(error),
            }
        }
    }
}
