//! What IAM is asked about a request to a bucket, as the service's documentation has it.

use super::S3Double;
use super::bucket::Bucket;
use super::wire::Ask;
use crate::testing::iam::Need;

const SSE_KEY: &str = "x-amz-server-side-encryption-aws-kms-key-id";

pub(super) fn needs(bucket: &Bucket, ask: &Ask<'_>) -> Vec<Need> {
    let whole = format!("arn:aws:s3:::{}", S3Double::BUCKET);
    let object = format!("{whole}/{}", ask.key);
    let has = |name: &str| ask.query(name).is_some();
    let on = |action: &str| Need::new(format!("s3:{action}"), &object);
    let listing = |action: &str| {
        let prefix = ask.query("prefix").unwrap_or_default();
        Need::new(format!("s3:{action}"), &whole).when("s3:prefix", prefix)
    };
    let key = |action: &str, key: &str| {
        let arn = format!("arn:aws:kms:{}:123456789012:key/{key}", S3Double::REGION);
        let arn = if key.starts_with("arn:") { key.to_owned() } else { arn };
        let via = format!("s3.{}.amazonaws.com", S3Double::REGION);
        Need::new(format!("kms:{action}"), arn).when("kms:ViaService", via)
    };
    let asked_key = ask.header(SSE_KEY);
    let mut found = Vec::new();
    match (ask.head.method.as_str(), ask.key.is_empty()) {
        ("GET", true) if has("uploads") => found.push(listing("ListBucketMultipartUploads")),
        ("GET", true) if has("versions") => found.push(listing("ListBucketVersions")),
        ("GET", true) => found.push(listing("ListBucket")),
        ("GET", false) if has("uploadId") => found.push(on("ListMultipartUploadParts")),
        (method @ ("GET" | "PUT"), false) if has("retention") || has("legal-hold") => {
            let what = if has("retention") { "Retention" } else { "LegalHold" };
            let verb = if method == "GET" { "Get" } else { "Put" };
            found.push(on(&format!("{verb}Object{what}")));
        }
        ("GET" | "HEAD", false) => {
            found.push(on(if has("versionId") { "GetObjectVersion" } else { "GetObject" }));
            match bucket.current(&ask.key) {
                // Only who may list is told that there is none.
                None => found.push(Need::new("s3:ListBucket", &whole)),
                Some(there) if ask.head.method == "GET" => {
                    found.extend(there.headers.get(SSE_KEY).map(|arn| key("Decrypt", arn)));
                }
                Some(_) => {}
            }
        }
        ("PUT" | "POST", false) => {
            found.push(on("PutObject"));
            if ask.header("x-amz-object-lock-mode").is_some() {
                found.push(on("PutObjectRetention"));
            }
            if ask.header("x-amz-object-lock-legal-hold").is_some() {
                found.push(on("PutObjectLegalHold"));
            }
            found.extend(asked_key.map(|id| key("GenerateDataKey", id)));
            // The parts are read with the key with which the upload was begun.
            let begun = ask.query("uploadId").and_then(|id| bucket.uploads.get(id));
            let with = begun.and_then(|upload| upload.headers.get(SSE_KEY));
            found.extend(with.map(|arn| key("Decrypt", arn)));
        }
        ("DELETE", false) if has("uploadId") => found.push(on("AbortMultipartUpload")),
        ("DELETE", false) if has("versionId") => found.push(on("DeleteObjectVersion")),
        ("DELETE", false) => found.push(on("DeleteObject")),
        _ => {}
    }
    found
}
