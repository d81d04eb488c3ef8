//! Doubles, fault injection and conformance suites, for those who build on the library.

mod clock;
pub mod conformance;
mod fault;
mod fault_catalog;
mod fault_crypt;
mod fault_gateway;
mod fault_sink;
mod gateway;
mod history;
mod metrics;
pub mod mocks;
mod states;

pub use clock::ManualClock;
pub use fault::{Call, Fault, Faults};
pub use fault_catalog::FaultyCatalog;
pub use fault_crypt::{FaultyCipher, FaultyKeyProvider, FaultySigner};
pub use fault_gateway::{Faulty, FaultyCheck, FaultySource, FaultyTarget};
pub use fault_sink::{FaultySink, Tampering};
pub use gateway::{Contents, MemoryGateway, VendorCall};
pub use history::MemoryHistory;
pub use metrics::{MemoryRecorder, Mood};
pub use states::{FixedStates, Notes};
