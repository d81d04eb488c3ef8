//! Every kind of thing that the service keeps, as a table: where it is listed, how it is named, made
//! and changed, and what of it only the service sets. Reading and writing both go by it.

mod v1;
mod v2;

use gwbackup_core::model::{Kind, Restore, Role};

use crate::client::Paging;

/// One kind.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) kind: &'static str,
    /// The kind that it lies below; empty for a root.
    pub(crate) parent: &'static str,
    /// Order of writing.
    pub(crate) rank: u16,
    /// The path of its list, below its parent's address.
    pub(crate) list: &'static str,
    pub(crate) paging: Paging,
    /// What a list is asked for beside its pages.
    pub(crate) query: &'static [(&'static str, &'static str)],
    pub(crate) told: Told,
    /// The member that stands in its address.
    pub(crate) id: &'static str,
    /// The member by which people know it, unique below its parent; empty where there is none and
    /// the service's own id has to do.
    pub(crate) named: &'static str,
    pub(crate) make: Make,
    pub(crate) change: Change,
    pub(crate) can_go: bool,
    pub(crate) members: &'static [(&'static str, Is)],
    /// Members that only a change takes.
    pub(crate) later: &'static [&'static str],
    /// Members that every change has to name.
    pub(crate) always: &'static [&'static str],
    pub(crate) refs: &'static [Ref],
    pub(crate) restore: Restore,
    /// Equal content is the same thing.
    pub(crate) nameless: bool,
    /// Last segments that come with the parent.
    pub(crate) born: &'static [&'static str],
    /// A name by which people know it that others may have, too.
    pub(crate) called: &'static str,
    /// What of it stands for another thing, and how.
    pub(crate) outside: &'static [(&'static str, &'static str)],
    /// What its rights are named after (`CreateNOUN`), where they are not named after verbs.
    pub(crate) noun: &'static str,
    /// The member with its own ARN; empty where that is made of its address.
    pub(crate) arn: &'static str,
    /// The kind of the stages that serve it, where it is what the API was at one moment: what they
    /// serve is kept with it.
    pub(crate) served: &'static str,
    /// Not every endpoint has it yet.
    pub(crate) young: bool,
}

/// What a list tells of a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// All of it.
    Whole,
    /// All of it, and nothing else tells of one alone.
    Only,
    /// That it is there: each has to be asked for.
    Named,
    /// There is no list but one thing at most, at the list's own address.
    Alone,
}

/// How a thing is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Make {
    /// It is always there.
    Never,
    /// `POST` to its list.
    Post,
    /// `PUT` at its own address.
    Put,
    /// By calls of its own.
    Own,
}

/// How a thing is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Never,
    /// `PATCH` with a list of operations.
    Operations,
    /// `PATCH` with the members that change.
    Members,
    /// As it is made.
    Again,
}

/// What is special about a member.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Is {
    /// The service sets it.
    Own,
    /// It moves by itself.
    Moving,
    Immutable,
    Secret,
    Unordered,
    /// It can be made without.
    Spare,
    /// Absent means this (JSON).
    Default(&'static str),
}

/// A member that names another thing.
#[derive(Debug)]
pub(crate) struct Ref {
    pub(crate) at: &'static str,
    pub(crate) kinds: &'static [&'static str],
    pub(crate) prefix: &'static str,
    /// By its ARN, not by what stands in its address.
    pub(crate) by_arn: bool,
    pub(crate) role: Role,
}

const fn refers(at: &'static str, kinds: &'static [&'static str], role: Role) -> Ref {
    Ref { at, kinds, prefix: "", by_arn: false, role }
}

const fn needs(at: &'static str, kinds: &'static [&'static str]) -> Ref {
    refers(at, kinds, Role::Needs)
}

const fn arn(at: &'static str, kinds: &'static [&'static str], role: Role) -> Ref {
    Ref { by_arn: true, ..refers(at, kinds, role) }
}

const fn row(kind: &'static str, parent: &'static str, rank: u16, list: &'static str) -> Row {
    Row {
        kind,
        parent,
        rank,
        list,
        paging: Paging::Position,
        query: &[],
        told: Told::Whole,
        id: "id",
        named: "",
        make: Make::Post,
        change: Change::Operations,
        can_go: true,
        members: &[],
        later: &[],
        always: &[],
        refs: &[],
        restore: Restore::Always,
        nameless: false,
        born: &[],
        called: "",
        outside: &[],
        noun: "",
        arn: "",
        served: "",
        young: false,
    }
}

impl Row {
    /// The row of a kind.
    pub(crate) fn of(kind: &Kind) -> Option<&'static Self> {
        Self::named(kind.as_str())
    }

    pub(crate) fn named(kind: &str) -> Option<&'static Self> {
        all().find(|row| row.kind == kind)
    }

    /// The rows of what lies right below.
    pub(crate) fn children(&self) -> impl Iterator<Item = &'static Self> + use<> {
        let kind = self.kind;
        all().filter(move |row| row.parent == kind)
    }

    /// Itself and everything below.
    pub(crate) fn family(&'static self) -> Vec<&'static Self> {
        let mut found = vec![self];
        let mut next = 0;
        while let Some(row) = found.get(next) {
            found.extend(row.children());
            next += 1;
        }
        found
    }

    /// The row at the top of its tree.
    pub(crate) fn root(&'static self) -> &'static Self {
        match Self::named(self.parent) {
            Some(parent) => parent.root(),
            None => self,
        }
    }

    /// Whether a new one gets another id in its address.
    pub(crate) fn is_assigned(&self) -> bool {
        self.named.is_empty() && self.told != Told::Alone
    }

    /// By which handle others name it.
    pub(crate) fn handle(&self) -> &'static str {
        if self.named.is_empty() || self.named == self.id { "id" } else { "server_id" }
    }
}

/// All rows.
pub(crate) fn all() -> impl Iterator<Item = &'static Row> {
    v1::ROWS.iter().chain(v2::ROWS)
}

/// The rows of what lies below nothing.
pub(crate) fn roots() -> impl Iterator<Item = &'static Row> {
    all().filter(|row| row.parent.is_empty())
}
