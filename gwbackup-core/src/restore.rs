//! Writing a backup back: apply, roll back, resume, compare.

mod journal;
mod run;
mod world;

pub use journal::RunStatus;
