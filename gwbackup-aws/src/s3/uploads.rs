//! Uploads that nobody will complete.

use std::time::Duration;

use gwbackup_core::clock::Timestamp;
use gwbackup_core::{Context, Result};
use serde::Deserialize;
use url::Url;

use super::bucket::{Bucket, parse};

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

/// Ends the uploads below the prefix to which nothing was added for a day. Answers how many.
pub(super) async fn sweep(bucket: &Bucket, cx: &Context) -> Result<u64> {
    let folder = bucket.key("");
    let work = async {
        let mut ended = 0;
        let mut after = Vec::new();
        loop {
            let page: Uploads = bucket.list("uploads", &folder, &after).await?;
            for upload in &page.upload {
                if silent(bucket, cx, upload).await? {
                    let told = bucket.delete(at(bucket, upload)).await?;
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
    cx.unless_cancelled(work).await
}

async fn silent(bucket: &Bucket, cx: &Context, upload: &Upload) -> Result<bool> {
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
        // It may have ended meanwhile.
        let Some(told) = bucket.get(url).await? else { return Ok(false) };
        let parts: Parts = parse(&told.body)?;
        if !parts.part.iter().all(|part| old(part.last_modified)) {
            return Ok(false);
        }
        match parts.next_part_number_marker.filter(|_| parts.is_truncated) {
            Some(next) => marker = Some(next),
            None => return Ok(true),
        }
    }
}

fn at(bucket: &Bucket, upload: &Upload) -> Url {
    bucket.object(&upload.key, &[("uploadId", &upload.id)])
}
