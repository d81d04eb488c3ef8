//! core

pub mod archive;
pub mod backup;
pub mod catalog;
pub mod clock;
pub mod connect;
pub mod context;
pub mod crypt;
pub mod drift;
pub mod error;
pub mod jsonl;
pub mod model;
pub mod observe;
pub mod plan;
pub mod policy;
pub mod preflight;
pub mod report;
pub mod repository;
pub mod restore;
pub mod sink;
mod sort;
pub mod source;
pub mod target;
#[cfg(feature = "testing")]
pub mod testing;
mod vault;
pub mod verify;
pub mod whole_file;

pub use context::Context;
pub use error::{Error, ErrorKind, Result};
pub use repository::{Copy, Repository};
