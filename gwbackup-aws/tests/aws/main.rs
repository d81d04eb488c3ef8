//! AWS API Gateway as a source and a target, against the double.
#![allow(clippy::unwrap_used, reason = "a failure here fails the test")]
#![allow(clippy::needless_pass_by_value, reason = "bodies are literals")]

mod bench;
mod conformance;
mod expiry;
mod history;
mod iam;
mod metrics;
mod policy;
mod preflight;
mod rich;
mod shown;
mod source;
mod still;
mod storage;
mod whole;
