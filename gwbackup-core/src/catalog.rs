//! The log of everything that was done: index and audit trail in one.

mod ids;
mod signed;

pub use ids::{CopyId, RepositoryId};
pub use signed::{FileKind, SignedFile, Verified, Verifier};
