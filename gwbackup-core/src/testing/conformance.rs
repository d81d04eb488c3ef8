//! What an implementation of a trait has to keep, as suites to run against it.
//!
//! A suite panics at the first broken promise and names it: call it from a test.

#[cfg(test)]
mod breaches;
mod capture;
mod catalog;
mod cipher;
mod history;
mod keys;
mod metrics;
mod sink;
mod source;
mod target;
mod versions;

pub use catalog::catalog;
pub use cipher::cipher;
pub use history::{HistoryFixture, history_link};
pub use keys::key_provider;
pub use metrics::{MetricsFixture, Seen, metrics_recorder};
pub use sink::sink;
pub use source::{SourceFixture, Touch, source};
pub use target::{Edit, TargetFixture, target, target_in};
pub use versions::versioned_sink;
