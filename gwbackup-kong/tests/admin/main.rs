//! A node as a source, against the double.
#![allow(clippy::unwrap_used, reason = "a failure here fails the test")]

mod calls;
mod common;
mod content;
mod describe;
mod faults;
mod torn;
