//! The log of everything that was done: index and audit trail in one.

mod ids;
mod signed;
mod store;
mod trust;

pub use ids::{CopyId, RepositoryId};
pub use signed::{FileKind, SignedFile, Verified, Verifier};
pub use trust::{
    CopyEntry, CopyMark, Home, Role, Roots, SignerEntry, SignerState, Trust, TrustDocument, Until,
};
