//! The nouns: what a gateway holds, how things are named, what a restore does.

mod canonical;
mod capture;
mod change;
mod document;
mod key;
mod outside;
mod place;
mod resource;
mod rules;
pub(crate) mod scan;
mod schema;
mod scope;
mod secret;
mod snapshot;
mod text;

pub use capture::{Captured, Cause, Description, Finding, Gap, Limits, Verdict};
pub use change::{
    Action, Attempt, Change, ChangeNo, Effect, Group, IdMap, Outcome, Resolved, Side, Step,
    StepReceipt, There, Undo,
};
pub use document::Document;
pub use key::{HandleName, Handles, Id, Key, Kind, Revision};
pub use place::{Coding, Part, Place};
pub use resource::{Absence, Attachment, Mark, Reference, Resource, Role, Says, To};
pub use rules::Rules;
pub use schema::{
    HandleSpec, KindSpec, Member, MemberRule, OutsideSpec, Presence, RefSpec, Replace, Restore,
    Schema, TextScan, Verbs, Within,
};
pub use scope::Scope;
pub use secret::Secret;
pub use snapshot::{MemorySnapshot, Snapshot};

pub(crate) use canonical::{decode, encode};
pub(crate) use rules::absent_places;
pub(crate) use scan::{Matcher, elements, members, push_segment, segments};
pub(crate) use secret::{Supplied, secret_places};
pub(crate) use text::{Unescaped, strings};
