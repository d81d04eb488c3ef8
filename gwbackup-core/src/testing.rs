//! Doubles, fault injection and conformance suites, for those who build on the library.

pub mod conformance;
mod fault;
mod fault_catalog;
mod fault_sink;

pub use fault::{Call, Fault, Faults};
pub use fault_catalog::FaultyCatalog;
pub use fault_sink::{FaultySink, Tampering};
