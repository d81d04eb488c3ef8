//! What the doubles of services that speak JSON 1.1 have in common.

use bytes::Bytes;
use http_body_util::Full;
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use super::iam::Gate;
use super::sessions::Refused;

/// The region of all of them.
pub(super) const REGION: &str = "eu-central-1";

/// Status and code of an error.
pub(super) type Wrong = (u16, &'static str);

/// The operation, and what it is asked, of a request that is let in and signed.
pub(super) fn asked(
    gate: &Gate,
    head: &Parts,
    body: &Bytes,
    service: &str,
    prefix: &str,
) -> Result<(String, Value), Wrong> {
    match gate.refuses(head) {
        Some(Refused::Expired) => return Err((400, "ExpiredTokenException")),
        Some(Refused::Stranger) => return Err((400, "UnrecognizedClientException")),
        None => {}
    }
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let signed = header("authorization").unwrap_or_default();
    let scope = format!("/{REGION}/{service}/aws4_request");
    if !signed.contains(&scope) || !signed.contains("x-amz-target") {
        return Err((403, "IncompleteSignatureException"));
    }
    let target = header("x-amz-target").unwrap_or_default();
    let operation = target.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('.'));
    let operation = operation.ok_or((400, "UnknownOperationException"))?;
    let ask = serde_json::from_slice(body).map_err(|_| (400, "SerializationException"))?;
    Ok((operation.to_owned(), ask))
}

/// The answer as it is sent.
pub(super) fn told(answer: Result<Value, Wrong>) -> Response<Full<Bytes>> {
    let (status, body) = match answer {
        Ok(value) => (200, value),
        Err((status, code)) => (status, json!({ "__type": code, "message": "said by the double" })),
    };
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
}
