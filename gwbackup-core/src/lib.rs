//! core

pub mod clock;
pub mod context;
pub mod error;
pub mod model;
pub mod observe;
pub mod plan;
pub mod restore;
pub mod source;
pub mod target;
#[cfg(feature = "testing")]
pub mod testing;

pub use error::{Error, ErrorKind, Result};
