//! core

pub mod catalog;
pub mod clock;
pub mod context;
pub mod crypt;
pub mod error;
pub mod observe;
pub mod sink;
#[cfg(feature = "testing")]
pub mod testing;

pub use error::{Error, ErrorKind, Result};

/// Stand-in until the model is merged.
pub mod source {
    use std::pin::Pin;

    use futures_core::Stream;

    /// An owned stream.
    pub type BoxStream<T> = Pin<Box<dyn Stream<Item = T> + Send + 'static>>;
}
