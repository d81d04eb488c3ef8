//! Doubles, fault injection and conformance suites, for those who build on the library.

mod fault;

pub use fault::{Call, Fault, Faults};
