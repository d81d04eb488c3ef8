//! What an implementation of a trait has to keep, as suites to run against it.
//!
//! A suite panics at the first broken promise and names it: call it from a test.

mod sink;

pub use sink::sink;
