//! Objects in parts.

#![allow(clippy::format_collect, reason = "the answers of a double are short")]

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;

use super::bucket::{Bucket, Upload};
use super::wire::{Ask, Reply, escaped};

/// Bytes of a part that is not the last.
const SMALLEST: usize = 5 << 20;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Complete {
    #[serde(default)]
    part: Vec<CompletePart>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CompletePart {
    part_number: u32,
    e_tag: String,
}

fn etag(number: u32) -> String {
    format!("\"part-{number}\"")
}

pub(super) fn begin(bucket: &mut Bucket, ask: &Ask<'_>) -> Result<Reply, Reply> {
    let headers = ask.stored(bucket)?;
    let (id, begun) = (bucket.fresh(), bucket.clock.now());
    let upload = Upload { key: ask.key.clone(), begun, headers, parts: BTreeMap::new() };
    let mut reply = Reply::xml(&format!(
        "<InitiateMultipartUploadResult><Key>{}</Key><UploadId>{id}</UploadId>\
         </InitiateMultipartUploadResult>",
        escaped(&ask.key)
    ));
    reply.headers.extend(upload.headers.clone());
    bucket.uploads.insert(id, upload);
    Ok(reply)
}

fn of<'a>(bucket: &'a mut Bucket, ask: &Ask<'_>) -> Result<&'a mut Upload, Reply> {
    let id = ask.query("uploadId").unwrap_or_default();
    let found = bucket.uploads.get_mut(id).filter(|upload| upload.key == ask.key);
    found.ok_or_else(|| Reply::error(404, "NoSuchUpload"))
}

pub(super) fn part(bucket: &mut Bucket, ask: &Ask<'_>) -> Result<Reply, Reply> {
    let number = ask.query("partNumber").and_then(|n| n.parse().ok());
    let number = number.filter(|n| (1..=10_000).contains(n));
    let number: u32 = number.ok_or_else(|| Reply::error(400, "InvalidArgument"))?;
    let now = bucket.clock.now();
    of(bucket, ask)?.parts.insert(number, (ask.body.clone(), now));
    let mut reply = Reply::new(200, Bytes::new());
    reply.headers.insert("etag".to_owned(), etag(number));
    if let Some(sum) = ask.header("x-amz-checksum-sha256") {
        reply.headers.insert("x-amz-checksum-sha256".to_owned(), sum.to_owned());
    }
    Ok(reply)
}

pub(super) fn complete(bucket: &mut Bucket, ask: &Ask<'_>) -> Result<Reply, Reply> {
    let upload = of(bucket, ask)?;
    let wanted: Complete = quick_xml::de::from_reader(ask.body.as_ref())
        .map_err(|_| Reply::error(400, "MalformedXML"))?;
    let mut whole = Vec::new();
    let mut before = 0;
    for (at, part) in wanted.part.iter().enumerate() {
        let Some((bytes, _)) = upload.parts.get(&part.part_number) else {
            return Err(Reply::error(400, "InvalidPart"));
        };
        if part.e_tag != etag(part.part_number) {
            return Err(Reply::error(400, "InvalidPart"));
        }
        if part.part_number <= before {
            return Err(Reply::error(400, "InvalidPartOrder"));
        }
        if at + 1 < wanted.part.len() && bytes.len() < SMALLEST {
            return Err(Reply::error(400, "EntityTooSmall"));
        }
        before = part.part_number;
        whole.extend_from_slice(bytes);
    }
    if wanted.part.is_empty() {
        return Err(Reply::error(400, "MalformedXML"));
    }
    let headers = upload.headers.clone();
    ask.unless_taken(bucket)?;
    bucket.uploads.remove(ask.query("uploadId").unwrap_or_default());
    bucket.put(&ask.key, whole.into(), headers);
    Ok(Reply::xml(
        "<CompleteMultipartUploadResult><ETag>\"whole\"</ETag></CompleteMultipartUploadResult>",
    ))
}

pub(super) fn abort(bucket: &mut Bucket, ask: &Ask<'_>) -> Result<Reply, Reply> {
    of(bucket, ask)?;
    bucket.uploads.remove(ask.query("uploadId").unwrap_or_default());
    Ok(Reply::new(204, Bytes::new()))
}

pub(super) fn parts(bucket: &mut Bucket, ask: &Ask<'_>) -> Result<Reply, Reply> {
    let upload = of(bucket, ask)?;
    let list: String = upload
        .parts
        .iter()
        .map(|(number, (bytes, at))| {
            let size = bytes.len();
            format!(
                "<Part><PartNumber>{number}</PartNumber><LastModified>{at}</LastModified>\
                 <Size>{size}</Size></Part>"
            )
        })
        .collect();
    Ok(Reply::xml(&format!(
        "<ListPartsResult>{list}<IsTruncated>false</IsTruncated></ListPartsResult>"
    )))
}

pub(super) fn list(bucket: &Bucket, ask: &Ask<'_>) -> Reply {
    let prefix = ask.query("prefix").unwrap_or_default();
    let uploads = bucket.uploads.iter().filter(|(_, upload)| upload.key.starts_with(prefix));
    let list: String = uploads
        .map(|(id, upload)| {
            let (key, begun) = (escaped(&upload.key), upload.begun);
            format!(
                "<Upload><Key>{key}</Key><UploadId>{id}</UploadId>\
                 <Initiated>{begun}</Initiated></Upload>"
            )
        })
        .collect();
    Reply::xml(&format!(
        "<ListMultipartUploadsResult>{list}<IsTruncated>false</IsTruncated>\
         </ListMultipartUploadsResult>"
    ))
}
