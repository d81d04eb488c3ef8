//! Stands in for `crypt` until it is complete: replaced at the merge.

#[path = "crypt/keys.rs"]
#[allow(dead_code, missing_docs, unreachable_pub, reason = "stand-in")]
mod keys;

pub use keys::{DataKey, random};

/// Stand-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Argon2Params {}

/// Stand-in.
pub trait KeyProvider: std::fmt::Debug + Send + Sync + 'static {}
