//! What a vendor enforces, as data: written down apart from any schema, so that a wrong schema
//! meets a refusal.

use crate::model::{Key, Kind};

/// Who chooses an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ids {
    /// The client; it also stands in the member `id`.
    Client,
    /// The server; it also stands in the member `id`.
    Server,
    /// It is what this member says.
    Natural(&'static str),
}

/// What happens to those who name a thing that is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gone {
    /// The deletion is refused.
    Refuse,
    /// They go too.
    Cascade,
}

/// A member that must name an existing thing.
#[derive(Debug)]
pub(super) struct Link {
    /// Pointer pattern.
    pub(super) at: &'static str,
    /// Text before the id.
    pub(super) prefix: &'static str,
    /// The kind of the thing.
    pub(super) to: &'static str,
    pub(super) gone: Gone,
}

/// Members whose values together stand once.
#[derive(Debug)]
pub(super) struct Unique {
    /// Pointers; a thing without the first is not counted.
    pub(super) members: &'static [&'static str],
    /// Once below one parent, else once in the gateway.
    pub(super) in_parent: bool,
}

/// The rules for one kind.
#[derive(Debug)]
pub(super) struct Law {
    pub(super) kind: &'static str,
    /// The kind in whose address it lives.
    pub(super) parent: Option<&'static str>,
    pub(super) ids: Ids,
    /// Always there: never created, a deletion resets it.
    pub(super) fixed: bool,
    pub(super) update: bool,
    /// A deleted one keeps its name and can be brought back.
    pub(super) lingers: bool,
    /// Names of members.
    pub(super) required: &'static [&'static str],
    pub(super) immutable: &'static [&'static str],
    /// Taken, kept, never given out again.
    pub(super) hidden: &'static [&'static str],
    /// Made up by the server where the client gives none.
    pub(super) generated: &'static [&'static str],
    /// Filled in by the server: member and JSON text.
    pub(super) defaults: &'static [(&'static str, &'static str)],
    /// The server writes the time of the last write here.
    pub(super) stamp: Option<&'static str>,
    pub(super) unique: &'static [Unique],
    pub(super) links: &'static [Link],
    /// Members with text that may name the gateway's account and things in it.
    pub(super) mentions: &'static [&'static str],
    /// What appears with it: kind and JSON text.
    pub(super) born: &'static [(&'static str, &'static str)],
    /// Writes below one such thing are taken one at a time.
    pub(super) serial: bool,
    /// The server keeps a copy of the siblings as they are at creation.
    pub(super) snapshot: bool,
}

/// The rules of a kind without any: created by the server's id, changed, deleted.
pub(super) const PLAIN: Law = Law {
    kind: "",
    parent: None,
    ids: Ids::Server,
    fixed: false,
    update: true,
    lingers: false,
    required: &[],
    immutable: &[],
    hidden: &[],
    generated: &[],
    defaults: &[],
    stamp: None,
    unique: &[],
    links: &[],
    mentions: &[],
    born: &[],
    serial: false,
    snapshot: false,
};

/// A whole vendor.
#[derive(Debug)]
pub(super) struct Code {
    pub(super) laws: &'static [Law],
    /// What is there from the start: key and JSON text.
    pub(super) fixed: &'static [(&'static str, &'static str)],
}

impl Code {
    pub(super) fn law(&self, kind: &str) -> Option<&'static Law> {
        self.laws.iter().find(|law| law.kind == kind)
    }

    /// The kinds whose things may name, or live below, a thing of this kind or of one of them.
    pub(super) fn concerned(&self, kind: &str) -> Vec<Kind> {
        let mut found = vec![kind];
        let mut at = 0;
        let mut concerned = Vec::new();
        while let Some(to) = found.get(at).copied() {
            for law in self.laws {
                let near = law.parent == Some(to) || law.links.iter().any(|link| link.to == to);
                if near && !concerned.contains(&law.kind) {
                    concerned.push(law.kind);
                    found.push(law.kind);
                }
            }
            at += 1;
        }
        concerned.into_iter().map(Kind::known).collect()
    }

    /// The thing below which writes to `key` are serial.
    pub(super) fn lane(&self, key: &Key) -> Option<String> {
        let mut law = self.law(key.kind.as_str())?;
        while let Some(parent) = law.parent {
            law = self.law(parent)?;
        }
        let root = key.id.segments().next()?;
        law.serial.then(|| root.into_owned())
    }
}
