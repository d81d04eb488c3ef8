//! Sorting more than fits into memory.

mod run;

use std::cmp::Ordering;
use std::collections::binary_heap::PeekMut;
use std::collections::{BTreeMap, BinaryHeap};
use std::path::PathBuf;

use bytes::Bytes;

use self::run::{Cursor, Run, RunSeal};
use crate::error::{Error, Result};

/// How many runs are open at a time; beyond it they are merged into one.
const MAX_RUNS: usize = 64;

/// Sorts records by kind and id, bytewise; records of one key stay in the order of their pushes.
///
/// Holds up to its budget in memory, also while the records come back. What does not fit lies in unlinked spool files, sealed with a
/// key that exists only in this value. All methods block where they touch a file. Dropping it
/// leaves nothing.
#[derive(Debug)]
pub(crate) struct Sorter {
    directory: PathBuf,
    budget: usize,
    arena: Vec<u8>,
    /// What lies in the arena, by kind.
    kinds: BTreeMap<String, Vec<Entry>>,
    count: usize,
    spilled: Option<Spilled>,
}

#[derive(Debug)]
struct Spilled {
    seal: RunSeal,
    runs: Vec<Run>,
}

/// Where a record lies in the arena: kind, id, payload, one after the other.
#[derive(Debug, Clone, Copy)]
struct Entry {
    at: usize,
    head: Head,
    /// How its id begins: this alone tells most ids apart, without a look into the arena.
    prefix: u64,
}

/// The lengths of a record's parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Head {
    kind: u32,
    id: u32,
    payload: u32,
}

impl Head {
    fn of(kind: &str, id: &str, payload: usize) -> Result<Self> {
        let len = |len: usize| {
            u32::try_from(len).map_err(|_| Error::invalid("a record is larger than 4 GiB"))
        };
        Ok(Self { kind: len(kind.len())?, id: len(id.len())?, payload: len(payload)? })
    }

    fn len(self) -> usize {
        self.kind as usize + self.id as usize + self.payload as usize
    }
}

/// Kind and id of a record whose bytes begin with them.
fn key(bytes: &[u8], head: Head) -> (&[u8], &[u8]) {
    let (kind, rest) = bytes.split_at_checked(head.kind as usize).unwrap_or_default();
    (kind, rest.get(..head.id as usize).unwrap_or_default())
}

impl Entry {
    fn bytes(self, arena: &[u8]) -> &[u8] {
        arena.get(self.at..self.at + self.head.len()).unwrap_or_default()
    }

    /// The order of two entries of one kind.
    fn cmp(self, other: Self, arena: &[u8]) -> Ordering {
        let id = |entry: Self| key(entry.bytes(arena), entry.head).1;
        self.prefix.cmp(&other.prefix).then_with(|| id(self).cmp(id(other)))
    }
}

/// The first eight bytes as a number, zeros behind a shorter id: where two differ, they differ as
/// the ids do.
fn prefix(id: &[u8]) -> u64 {
    let mut first = [0; 8];
    first.iter_mut().zip(id).for_each(|(to, from)| *to = *from);
    u64::from_be_bytes(first)
}

impl Sorter {
    /// An empty sorter that holds about `budget_bytes` in memory and spills into `directory`, which
    /// is not touched before that. One record may be larger than the budget.
    pub(crate) fn new(directory: PathBuf, budget_bytes: usize) -> Self {
        Self {
            directory,
            budget: budget_bytes,
            arena: Vec::new(),
            kinds: BTreeMap::new(),
            count: 0,
            spilled: None,
        }
    }

    /// Adds a record, whose payload is these parts one after the other. `Invalid` for a part of more than 4 GiB; otherwise fails only where it has to
    /// spill, and must not be used any more then.
    pub(crate) fn push(&mut self, kind: &str, id: &str, payload: &[&[u8]]) -> Result<()> {
        let head = Head::of(kind, id, payload.iter().map(|part| part.len()).sum())?;
        let memory = self.arena.len() + (self.count + 1) * size_of::<Entry>();
        if self.count > 0 && memory + head.len() > self.budget {
            self.spill()?;
        }
        if self.arena.capacity() == 0 {
            // At once, since growing by doubling would need one and a half budgets. The system
            // gives memory only as it is filled.
            self.arena.reserve_exact(self.budget.max(head.len()));
        }
        let entry = Entry { at: self.arena.len(), head, prefix: prefix(id.as_bytes()) };
        self.arena.extend_from_slice(kind.as_bytes());
        self.arena.extend_from_slice(id.as_bytes());
        for part in payload {
            self.arena.extend_from_slice(part);
        }
        match self.kinds.get_mut(kind) {
            Some(entries) => entries.push(entry),
            None => drop(self.kinds.insert(kind.to_owned(), vec![entry])),
        }
        self.count += 1;
        Ok(())
    }

    /// Ends the pushing: everything, in order.
    pub(crate) fn finish(mut self) -> Result<Sorted> {
        let entries = self.take_sorted().into_iter();
        let mut held = Held { entries, arena: self.arena.into() };
        Ok(Sorted(match self.spilled {
            None => Inner::Memory(held),
            Some(Spilled { seal, runs }) => {
                let mut merge = Merge::new(seal, &runs)?;
                if let Some(first) = held.next() {
                    merge.heap.push(Next { from: Origin::Memory(first, held), age: runs.len() });
                }
                Inner::Merge(merge)
            }
        }))
    }

    /// Everything in the arena, in order.
    fn take_sorted(&mut self) -> Vec<Entry> {
        let mut sorted = Vec::with_capacity(std::mem::take(&mut self.count));
        for mut entries in std::mem::take(&mut self.kinds).into_values() {
            entries.sort_by(|a, b| a.cmp(*b, &self.arena));
            sorted.append(&mut entries);
        }
        sorted
    }

    fn spill(&mut self) -> Result<()> {
        if self.count == 0 {
            return Ok(());
        }
        let mut spilled = match self.spilled.take() {
            Some(spilled) => spilled,
            None => Spilled { seal: RunSeal::new()?, runs: Vec::new() },
        };
        let mut run = spilled.seal.start(&self.directory)?;
        for entry in self.take_sorted() {
            run.push(entry.head, entry.bytes(&self.arena))?;
        }
        spilled.runs.push(run.finish()?);
        if spilled.runs.len() >= MAX_RUNS {
            spilled = self.merge(spilled)?;
        }
        self.spilled = Some(spilled);
        if self.arena.capacity() > self.budget {
            self.arena = Vec::new();
        }
        self.arena.clear();
        Ok(())
    }

    /// One run instead of many; its records are older than those of all later runs.
    fn merge(&self, spilled: Spilled) -> Result<Spilled> {
        let mut merge = Merge::new(spilled.seal.again(), &spilled.runs)?;
        let mut seal = spilled.seal;
        let mut run = seal.start(&self.directory)?;
        while let Some(record) = merge.pop()? {
            run.push(record.head, &record.bytes)?;
        }
        let runs = vec![run.finish()?];
        Ok(Spilled { seal, runs })
    }
}

/// One record that comes back. Cheap to clone; may keep the memory of its neighbours alive.
#[derive(Clone)]
pub(crate) struct Record {
    bytes: Bytes,
    head: Head,
}

impl Record {
    /// Its kind.
    pub(crate) fn kind(&self) -> &str {
        std::str::from_utf8(key(&self.bytes, self.head).0).unwrap_or_default()
    }

    /// Its id.
    pub(crate) fn id(&self) -> &str {
        std::str::from_utf8(key(&self.bytes, self.head).1).unwrap_or_default()
    }

    /// Its payload.
    pub(crate) fn payload(&self) -> Bytes {
        self.bytes.slice(self.bytes.len().saturating_sub(self.head.payload as usize)..)
    }
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut record = f.debug_struct("Record");
        record.field("kind", &self.kind()).field("id", &self.id());
        record.field("payload_len", &self.head.payload).finish_non_exhaustive()
    }
}

/// The records in order. Blocking. Ends after an error: `Corrupt` when a spool file was altered,
/// `Other` when it could not be read.
pub(crate) struct Sorted(Inner);

enum Inner {
    Memory(Held),
    Merge(Merge),
    Ended,
}

/// What lies in memory, sorted.
struct Held {
    arena: Bytes,
    entries: std::vec::IntoIter<Entry>,
}

impl Iterator for Held {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        let Entry { at, head, .. } = self.entries.next()?;
        Some(Record { bytes: self.arena.slice(at..at + head.len()), head })
    }
}

impl Iterator for Sorted {
    type Item = Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        let record = match &mut self.0 {
            Inner::Memory(held) => return held.next().map(Ok),
            Inner::Merge(merge) => merge.pop().transpose(),
            Inner::Ended => None,
        };
        if !matches!(record, Some(Ok(_))) {
            self.0 = Inner::Ended;
        }
        record
    }
}

impl std::fmt::Debug for Sorted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = match &self.0 {
            Inner::Memory(_) => "memory",
            Inner::Merge(_) => "merge",
            Inner::Ended => "ended",
        };
        f.debug_tuple("Sorted").field(&state).finish()
    }
}

/// Several runs read as one.
struct Merge {
    seal: RunSeal,
    heap: BinaryHeap<Next>,
}

/// The next record of a run; the heap gives the least key first, and of one key the oldest run.
struct Next {
    from: Origin,
    age: usize,
}

enum Origin {
    Run(Cursor),
    /// What was never spilled: its next record, and the rest.
    Memory(Record, Held),
}

impl Next {
    fn key(&self) -> (&[u8], &[u8]) {
        match &self.from {
            Origin::Run(cursor) => cursor.key(),
            Origin::Memory(record, _) => key(&record.bytes, record.head),
        }
    }
}

impl Merge {
    /// `runs` from the oldest to the newest.
    fn new(seal: RunSeal, runs: &[Run]) -> Result<Self> {
        let mut heap = BinaryHeap::with_capacity(runs.len());
        for (age, run) in runs.iter().enumerate() {
            let mut cursor = Cursor::new(run);
            if cursor.advance(&seal)? {
                heap.push(Next { from: Origin::Run(cursor), age });
            }
        }
        Ok(Self { seal, heap })
    }

    fn pop(&mut self) -> Result<Option<Record>> {
        let Some(mut next) = self.heap.peek_mut() else { return Ok(None) };
        let (record, more) = match &mut next.from {
            Origin::Run(cursor) => {
                let (head, bytes) = cursor.take(&self.seal)?;
                (Record { bytes: bytes.into(), head }, cursor.advance(&self.seal)?)
            }
            Origin::Memory(record, held) => match held.next() {
                Some(later) => (std::mem::replace(record, later), true),
                None => (record.clone(), false),
            },
        };
        if !more {
            PeekMut::pop(next);
        }
        Ok(Some(record))
    }
}

impl Ord for Next {
    fn cmp(&self, other: &Self) -> Ordering {
        other.key().cmp(&self.key()).then(other.age.cmp(&self.age))
    }
}

impl PartialOrd for Next {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Next {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Next {}

#[cfg(test)]
mod tests;
