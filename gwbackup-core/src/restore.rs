//! Writing a backup back: plan, apply, roll back, resume, compare.
//!
//! A run is a walk over a [`plan`](crate::plan)'s groups, with a journal. Every record stands before
//! what it announces. A step that fails for good turns the run round: what was done, and what may
//! have been, is swapped, arranged again and applied.

mod about;
mod apply;
mod approval;
mod compare;
mod dependencies;
mod desired;
mod journal;
mod kept;
mod phases;
mod plan;
mod prepare;
mod probing;
mod resume;
mod run;
mod store;
mod supply;
mod world;

pub use about::Origin;
pub use apply::{ApplyOptions, RunReport};
pub use approval::{Act, Answer, Approval, Authorizer, FourEyes, Request};
pub use compare::{Comparison, Deviation};
pub use dependencies::DependencyProbe;
pub use journal::RunStatus;
pub use phases::Phase;
pub(crate) use phases::Phases;
pub use plan::Plan;
pub use probing::Probing;
pub use supply::SecretProvider;

pub(crate) use about::{About, EndFacts};
pub(crate) use apply::carry_on;
pub(crate) use approval::approve;
pub(crate) use prepare::{Order, Ready, prepare};
pub(crate) use resume::resume;
