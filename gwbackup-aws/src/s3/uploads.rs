//! Uploads that nobody will complete.

use std::time::Duration;

use bytes::Bytes;
use gwbackup_core::clock::Timestamp;
use gwbackup_core::{Context, Error, Result};
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::transport::Transport;

/// How long a writer may be silent and still be alive.
const SILENCE: Duration = Duration::from_hours(24);

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Uploads {
    #[serde(default)]
    upload: Vec<Upload>,
    #[serde(default)]
    is_truncated: bool,
    next_key_marker: Option<String>,
    next_upload_id_marker: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Upload {
    key: String,
    #[serde(rename = "UploadId")]
    id: String,
    initiated: Timestamp,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Parts {
    #[serde(default)]
    part: Vec<Part>,
    #[serde(default)]
    is_truncated: bool,
    next_part_number_marker: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Part {
    last_modified: Timestamp,
}

/// Ends the uploads below `prefix` to which nothing was added for a day. Answers how many.
pub(super) async fn sweep(
    transport: &Transport,
    cx: &Context,
    bucket: &Url,
    prefix: &str,
) -> Result<u64> {
    cx.check()?;
    let work = async {
        let folder = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        let mut ended = 0;
        let mut after: Vec<(&str, String)> = Vec::new();
        loop {
            let mut url = bucket.clone();
            url.query_pairs_mut().append_pair("uploads", "").append_pair("prefix", &folder);
            url.query_pairs_mut().extend_pairs(&after);
            let page: Uploads = read(transport, url).await?;
            for upload in &page.upload {
                if silent(transport, cx, bucket, upload).await? {
                    let url = at(bucket, upload);
                    let told = ask(transport, Method::DELETE, url).await?;
                    ended += u64::from(told.is_some());
                }
            }
            match (page.is_truncated, page.next_key_marker) {
                (true, Some(key)) => {
                    let upload = page.next_upload_id_marker.unwrap_or_default();
                    after = vec![("key-marker", key), ("upload-id-marker", upload)];
                }
                _ => return Ok(ended),
            }
        }
    };
    tokio::select! {
        done = work => done,
        () = cx.cancellation().cancelled() => cx.check().map(|()| 0),
    }
}

async fn silent(
    transport: &Transport,
    cx: &Context,
    bucket: &Url,
    upload: &Upload,
) -> Result<bool> {
    let old = |at: Timestamp| cx.now().duration_since(at).unsigned_abs() > SILENCE && at < cx.now();
    if !old(upload.initiated) {
        return Ok(false);
    }
    let mut marker: Option<String> = None;
    loop {
        let mut url = at(bucket, upload);
        if let Some(marker) = &marker {
            url.query_pairs_mut().append_pair("part-number-marker", marker);
        }
        let Some(body) = ask(transport, Method::GET, url).await? else { return Ok(false) };
        let parts: Parts = parse(&body)?;
        if !parts.part.iter().all(|part| old(part.last_modified)) {
            return Ok(false);
        }
        match parts.next_part_number_marker.filter(|_| parts.is_truncated) {
            Some(next) => marker = Some(next),
            None => return Ok(true),
        }
    }
}

fn at(bucket: &Url, upload: &Upload) -> Url {
    let mut url = bucket.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(upload.key.split('/'));
    }
    url.query_pairs_mut().append_pair("uploadId", &upload.id);
    url
}

/// The body of a success; `None` where the upload has ended meanwhile.
async fn ask(transport: &Transport, method: Method, url: Url) -> Result<Option<Bytes>> {
    let told = transport.ask(method, url, HeaderMap::new(), Bytes::new()).await?;
    Ok(told.status.is_success().then_some(told.body))
}

async fn read<T: DeserializeOwned>(transport: &Transport, url: Url) -> Result<T> {
    let body = ask(transport, Method::GET, url).await?;
    parse(&body.unwrap_or_default())
}

fn parse<T: DeserializeOwned>(body: &Bytes) -> Result<T> {
    quick_xml::de::from_reader(body.as_ref())
        .map_err(|e| Error::invalid("the store's list cannot be read").with_source(e))
}
