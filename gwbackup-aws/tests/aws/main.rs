//! AWS API Gateway as a source and a target, against the double.
#![allow(clippy::unwrap_used, reason = "a failure here fails the test")]

mod bench;
mod conformance;
mod rich;
mod source;
mod still;
mod whole;
