//! What an implementation of a trait has to keep, as suites to run against it.
//!
//! A suite panics at the first broken promise and names it: call it from a test.

mod catalog;
mod cipher;
mod keys;
mod sink;

pub use catalog::catalog;
pub use cipher::cipher;
pub use keys::key_provider;
pub use sink::sink;
