//! Calls to a bucket that the crate `object_store` does not make.

use bytes::Bytes;
use gwbackup_core::{Error, Result};
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde::de::DeserializeOwned;
use url::Url;

use super::transport::Transport;
use crate::signed::Told;

/// A prefix in a bucket.
#[derive(Debug, Clone)]
pub(super) struct Bucket {
    pub(super) transport: Transport,
    pub(super) url: Url,
    /// Without a slash at its end.
    pub(super) prefix: String,
}

impl Bucket {
    /// The key of an object, or the beginning of keys.
    pub(super) fn key(&self, name: &str) -> String {
        match self.prefix.as_str() {
            "" => name.to_owned(),
            prefix => format!("{prefix}/{name}"),
        }
    }

    /// The name to a key.
    pub(super) fn name<'a>(&self, key: &'a str) -> Option<&'a str> {
        match self.prefix.as_str() {
            "" => Some(key),
            prefix => key.strip_prefix(prefix)?.strip_prefix('/'),
        }
    }

    /// A page of a list of what has keys that begin so.
    pub(super) async fn list<T: DeserializeOwned>(
        &self,
        what: &str,
        beginning: &str,
        after: &[(&str, String)],
    ) -> Result<T> {
        let mut url = self.url.clone();
        url.query_pairs_mut().append_pair(what, "").append_pair("prefix", beginning);
        url.query_pairs_mut().extend_pairs(after);
        let told = self.get(url).await?;
        parse(&told.map(|told| told.body).unwrap_or_default())
    }

    pub(super) fn object(&self, key: &str, query: &[(&str, &str)]) -> Url {
        let mut url = self.url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(key.split('/'));
        }
        url.query_pairs_mut().extend_pairs(query);
        url
    }

    /// `None` where there is no such thing.
    pub(super) async fn get(&self, url: Url) -> Result<Option<Told>> {
        self.ask(Method::GET, url, HeaderMap::new(), Bytes::new()).await
    }

    /// `None` where there is no such thing.
    pub(super) async fn delete(&self, url: Url) -> Result<Option<Told>> {
        self.ask(Method::DELETE, url, HeaderMap::new(), Bytes::new()).await
    }

    /// `None` where there is no such thing.
    pub(super) async fn ask(
        &self,
        method: Method,
        url: Url,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Option<Told>> {
        let told = self.transport.ask(method, url, headers, body).await?;
        Ok(told.status.is_success().then_some(told))
    }
}

pub(super) fn parse<T: DeserializeOwned>(body: &Bytes) -> Result<T> {
    quick_xml::de::from_reader(body.as_ref())
        .map_err(|e| Error::invalid("the store's answer cannot be read").with_source(e))
}
