//! core

pub mod archive;
pub mod catalog;
pub mod clock;
pub mod connect;
pub mod context;
pub mod crypt;
pub mod error;
pub mod model;
pub mod observe;
pub mod sink;
#[allow(dead_code, reason = "the capture is not built on it yet")]
pub(crate) mod sort;
pub mod source;
pub mod target;
#[cfg(feature = "testing")]
pub mod testing;

pub use error::{Error, ErrorKind, Result};
