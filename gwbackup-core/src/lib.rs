//! core

pub mod archive;
pub mod clock;
pub mod context;
pub mod crypt;
pub mod error;
pub mod model;
pub mod observe;
pub mod source;
pub mod target;
#[cfg(feature = "testing")]
pub mod testing;

pub use error::{Error, ErrorKind, Result};
