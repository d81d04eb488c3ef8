//! core

pub mod clock;
pub mod context;
pub mod error;
pub mod jsonl;
pub mod model;
pub mod observe;
pub mod source;
pub mod target;
#[cfg(feature = "testing")]
pub mod testing;
pub mod whole_file;

pub use error::{Error, ErrorKind, Result};
