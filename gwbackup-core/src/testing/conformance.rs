//! What every implementation of a seam must keep. Each suite panics, with a sentence that names
//! the breach, when the given part does not.

mod catalog;
mod cipher;
mod keys;
mod sink;

pub use catalog::catalog;
pub use cipher::cipher;
pub use keys::key_provider;
pub use sink::sink;
