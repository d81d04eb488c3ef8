//! A provider's table of kinds, as data: made per connected version, stored in each archive.

use std::fmt::Debug;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::key::{HandleName, Handles, Kind};
use super::place::Part;
use super::resource::{Reference, Resource, Role};

/// The rules of one gateway at one version.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Schema {
    /// Names the table and its version, for people.
    pub id: String,
    /// Raised when ids or kinds are formed differently: forces a new full.
    pub id_scheme: u32,
    /// The kinds that the provider knows.
    pub kinds: Vec<KindSpec>,
    /// How a kind that is not in `kinds` is treated; its `kind` is ignored. `None`: such a resource
    /// is kept and shown, and a plan blocks it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other: Option<Box<KindSpec>>,
    /// What no table can say. Not stored: a corrected provider heals old backups.
    #[serde(skip)]
    pub text: Option<Arc<dyn TextScan>>,
}

/// One kind.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KindSpec {
    /// Its name.
    pub kind: Kind,
    /// Other names that selectors accept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Order of writing where references say nothing; lower is written first.
    pub rank: u16,
    /// The ways it is named. The first is the one in [`Key`](super::Key); matching tries the unique
    /// ones in this order.
    pub handles: Vec<HandleSpec>,
    /// Nameless kinds: equal content is the same thing, and a reference to one compares by content.
    #[serde(default)]
    pub match_content: bool,
    /// Where it names others.
    #[serde(default)]
    pub references: Vec<RefSpec>,
    /// Whether it exists without being created.
    #[serde(default)]
    pub presence: Presence,
    /// What the vendor offers.
    #[serde(default)]
    pub verbs: Verbs,
    /// What a change of an immutable member becomes.
    #[serde(default)]
    pub replace: Replace,
    /// Whether a restore writes it.
    #[serde(default)]
    pub restore: Restore,
    /// What is special about some members.
    #[serde(default)]
    pub members: Vec<MemberRule>,
    /// Where it names what the gateway does not hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outside: Vec<OutsideSpec>,
}

impl KindSpec {
    /// Whether the server gives things of this kind a name of its own.
    pub(crate) fn is_assigned_by_server(&self) -> bool {
        self.handles.iter().any(|handle| handle.by_server)
    }

    /// A kind with the handle `id` alone, given by us, and all verbs.
    pub fn new(kind: Kind, rank: u16) -> Self {
        Self {
            kind,
            aliases: Vec::new(),
            rank,
            handles: vec![HandleSpec {
                name: HandleName::id(),
                at: Vec::new(),
                unique: Within::Gateway,
                by_server: false,
            }],
            match_content: false,
            references: Vec::new(),
            presence: Presence::Free,
            verbs: Verbs::default(),
            replace: Replace::default(),
            restore: Restore::default(),
            members: Vec::new(),
            outside: Vec::new(),
        }
    }
}

/// Text that names something outside the gateway, without which the configuration does not work: a
/// host, a role, a function, a certificate.
///
/// A plan lists what it finds, asks probes about it, and blocks where a name holds a handle of the
/// backup's own gateway which the target has, too, with another value: whether the role of the one
/// account is that of the other, only a mapping can say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutsideSpec {
    /// What it is, for people and probes.
    pub class: String,
    /// Pointer pattern, as in [`RefSpec::at`], to the strings that hold it; any string if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// What the text looks like, anywhere in the string: it begins with literal text; `{account}`
    /// stands for a handle of the gateway, `*` for a word, `**` for words joined by `/` and `:`.
    /// Empty: the whole string.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub form: String,
}

impl OutsideSpec {
    /// Text of this form in any string.
    pub fn form(class: &str, form: &str) -> Self {
        Self { class: class.to_owned(), at: None, form: form.to_owned() }
    }

    /// The whole string at this pointer pattern.
    pub fn at(class: &str, at: &str) -> Self {
        Self { class: class.to_owned(), at: Some(at.to_owned()), form: String::new() }
    }
}

/// One way of naming a resource.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HandleSpec {
    /// Its name.
    pub name: HandleName,
    /// JSON pointers to the members that hold it, joined by a zero byte when several, of which one
    /// that is not there counts as empty text (a plugin of no route). No pointer: the last segment
    /// of the key's id.
    #[serde(default)]
    pub at: Vec<String>,
    /// Where it is unique.
    pub unique: Within,
    /// The server assigns it: a new thing gets a new one.
    #[serde(default)]
    pub by_server: bool,
}

/// Where a handle is unique.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Within {
    /// In the gateway, among its kind.
    Gateway,
    /// Among its kind below one parent.
    Parent,
    /// Nowhere: such a handle never matches by itself.
    Nothing,
}

/// A member that names a resource.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RefSpec {
    /// Pointer pattern: a JSON pointer in which a segment `*` stands for any member or element.
    pub at: String,
    /// The value or the member's name.
    #[serde(default)]
    pub part: Part,
    /// Text before the handle's value inside the string.
    #[serde(default)]
    pub prefix: String,
    /// The kinds that it may name. Empty: the kind is called like the last literal segment of `at`,
    /// or like the member itself where that segment is `*`; or like the end of that name after an
    /// underscore (`client_certificate` may name a `certificate`).
    pub kinds: Vec<Kind>,
    /// By which handle.
    pub handle: HandleName,
    /// What it means for the order.
    pub role: Role,
}

/// Whether a thing exists without being created.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// It is created and deleted.
    #[default]
    Free,
    /// Those with these last segments may appear with their parent; creating one converges.
    Born(Vec<String>),
    /// Those with these last segments (all, if empty) are always there: never created, and a
    /// deletion is a reset or nothing.
    Fixed(Vec<String>),
}

impl Presence {
    /// Whether the thing with this last segment is always there.
    pub fn is_fixed(&self, last: &str) -> bool {
        matches!(self, Self::Fixed(ids) if ids.is_empty() || ids.iter().any(|id| id == last))
    }

    /// Whether the thing with this last segment may appear with its parent.
    pub fn is_born(&self, last: &str) -> bool {
        matches!(self, Self::Born(ids) if ids.iter().any(|id| id == last))
    }
}

/// What the vendor offers for a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verbs {
    /// It can be created.
    pub create: bool,
    /// It can be changed in place.
    pub update: bool,
    /// It can be deleted; for a [`Presence::Fixed`] thing, reset.
    pub delete: bool,
    /// A deleted one can be brought back.
    pub undelete: bool,
}

impl Default for Verbs {
    /// Create, update and delete.
    fn default() -> Self {
        Self { create: true, update: true, delete: true, undelete: false }
    }
}

/// What a change of an immutable member becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Replace {
    /// It cannot be changed at all: reported as not restorable.
    Never,
    /// Delete the old, then create the new.
    #[default]
    DeleteFirst,
    /// Create the new under another id, then delete the old.
    CreateFirst,
}

/// Whether a restore writes a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Restore {
    /// Yes.
    #[default]
    Always,
    /// History: only when something restored points to it.
    WhenReferenced,
    /// Kept for the record only.
    Never,
}

/// What is special about some members.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MemberRule {
    /// Pointer pattern, as in [`RefSpec::at`].
    pub at: String,
    /// What they are.
    pub is: Member,
}

/// What is special about a member.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Member {
    /// Moves by itself (update time, time left): no difference, and no reason to store.
    Volatile,
    /// The server sets it: stored, but never compared and never written.
    ReadOnly,
    /// A change of it is a replacement.
    Immutable,
    /// A secret (unless null): sealed under its own key, masked everywhere.
    Secret,
    /// The vendor gives out something that cannot be sent back (a hash): compared, never written.
    Unreadable,
    /// The same, but only of a text that begins so.
    UnreadableIf {
        /// The beginning.
        prefix: String,
    },
    /// The moment at which the thing ends by itself, in seconds since 1970: what has ended is not
    /// made again. A number below 100,000,000 is a duration, of which nobody knows the beginning.
    Ends,
    /// A hash that is salted with the id of what a reference names: worth nothing where that has
    /// another id, so never written there.
    Salted {
        /// Pointer to the reference.
        by: String,
    },
    /// A creation does without it where the backup does not hold it: the target makes the thing
    /// otherwise, and its validation says how.
    Spare,
    /// Absent means this value.
    Default(serde_json::Value),
    /// An array whose order means nothing.
    Unordered,
    /// A string holding base64 of text.
    Base64,
    /// Says again what the member at this pointer says (an old name beside the new one): as
    /// [`ReadOnly`](Self::ReadOnly) where the two are equal, an ordinary member elsewhere.
    Twin(String),
}

/// References and handles that no pointer can name. Pure: no I/O, no clock.
pub trait TextScan: Debug + Send + Sync + 'static {
    /// References inside text.
    fn references(&self, resource: &Resource) -> Vec<Reference>;

    /// Handles that no member holds (ARN, full address).
    fn handles(&self, gateway: &Handles, resource: &Resource) -> Handles;
}
