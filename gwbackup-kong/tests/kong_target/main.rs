//! A Kong node as a target, against the double.

#![allow(
    unreachable_pub,
    unnameable_types,
    clippy::unwrap_used,
    reason = "a failure here fails the test"
)]

mod bench;
mod conformance;
mod db_less;
mod failures;
mod hashes;
mod refusals;
mod resume;
mod rules;
mod scene;
mod story;
mod swaps;
mod whole;
