//! The part of YAML that is a tree of JSON values: one document, no tags but `!!str`, no merges, no
//! member twice, at most 128 levels.

mod read;
mod scalar;
mod write;

pub(crate) use read::parse;
pub(crate) use write::write_members;

/// Deepest nesting.
const MAX_DEPTH: usize = 128;
