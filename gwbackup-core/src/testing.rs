//! Doubles, fault injection and conformance suites, for those who build on the library.

mod clock;
mod fault;
mod gateway;
mod states;

pub use clock::ManualClock;
pub use fault::{Call, Fault, Faults};
pub use gateway::{Contents, MemoryGateway, VendorCall};
pub use states::{FixedStates, Notes};
