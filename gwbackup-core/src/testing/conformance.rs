//! What each trait promises, checked against any implementation.
//!
//! A suite panics at the first broken promise and names it: call it from a test.

mod capture;
mod source;
mod target;

pub use source::{SourceFixture, Touch, source};
pub use target::{Edit, TargetFixture, target};

#[cfg(test)]
mod breaches;
