//! Doubles, fault injection and conformance suites, for those who build on the library.

pub mod conformance;
mod fault;

pub use fault::{Call, Fault, Faults};
