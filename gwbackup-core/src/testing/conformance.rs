//! What each trait promises, checked against any implementation.

mod catalog;

pub use catalog::catalog;
