//! A backup's resources, whether it stands alone or on a base.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::line::{Line, LineReader, secret_counter};
use super::{Archive, Expected, StoredDescription};
use crate::crypt::DataKey;
use crate::error::{Error, Result};
use crate::model::{Cause, Gap, Handles, Key, Resource, Snapshot};
use crate::sink::{Spool, SpoolReader};

/// One archive in a spool, with its keys.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    spool: Spool,
    expected: Expected,
    keys: Arc<(DataKey, Option<DataKey>)>,
}

impl Part {
    pub(crate) fn new(
        spool: Spool,
        expected: Expected,
        dek: DataKey,
        sdek: Option<DataKey>,
    ) -> Self {
        Self { spool, expected, keys: Arc::new((dek, sdek)) }
    }

    /// Whether its secrets can be read.
    pub(crate) fn has_secrets_key(&self) -> bool {
        self.keys.1.is_some()
    }

    pub(crate) fn open(&self) -> Result<Lines> {
        let (dek, sdek) = (&self.keys.0, self.keys.1.as_ref());
        let input = self.spool.reader();
        Lines::new(Archive::open(input, &self.expected, dek, sdek, secret_counter())?)
    }
}

/// A backup's resources, sorted by key. Reading blocks. Memory stays at a few frames.
#[derive(Debug)]
pub struct View {
    parts: Vec<Part>,
    /// Newest first: what it says of a key counts.
    lookups: Vec<Mutex<Lines>>,
    description: StoredDescription,
}

impl View {
    /// Opens the archive and, for an incremental, its base.
    pub(crate) fn open(own: Part, base: Option<Part>) -> Result<Self> {
        let parts: Vec<Part> = std::iter::once(own).chain(base).collect();
        let lookups: Vec<Lines> = parts.iter().map(Part::open).collect::<Result<_>>()?;
        let description = lookups.first().map(|own| own.archive.description());
        let description = description.unwrap_or_default();
        let description = serde_json::from_slice(description).map_err(|e| {
            Error::corrupt(format!(
                "the archive's description is malformed (column {})",
                e.column()
            ))
        })?;
        Ok(Self { parts, lookups: lookups.into_iter().map(Mutex::new).collect(), description })
    }

    /// The lines of the archive itself, without its base.
    pub(crate) fn own_lines(&self) -> Result<Lines> {
        let own = self.parts.first().ok_or_else(|| Error::corrupt("a view without an archive"))?;
        own.open()
    }

    /// What the archive says about itself.
    pub fn description(&self) -> &StoredDescription {
        &self.description
    }

    fn resources(&self) -> Result<Resources> {
        let mut parts = self.parts.iter();
        let own = parts.next().map(Part::open).transpose()?;
        let base = parts.next().map(Part::open).transpose()?;
        let gaps = self.description.details.gaps.clone();
        Ok(Resources { own, base, own_next: None, base_next: None, gaps, failed: false })
    }
}

impl Snapshot for View {
    fn scan(&self) -> Result<Box<dyn Iterator<Item = Result<Resource>> + Send + '_>> {
        Ok(Box::new(self.resources()?))
    }

    fn get(&self, key: &Key) -> Result<Option<Resource>> {
        for (n, lines) in self.lookups.iter().enumerate() {
            // Under a gap of the incremental the base's record says nothing about then.
            if n > 0 && unread(self.gaps(), key) {
                return Ok(None);
            }
            match lines.lock().unwrap_or_else(PoisonError::into_inner).find(key)? {
                Some(Line::Resource(resource)) => return Ok(Some(resource)),
                Some(Line::Gone(_)) => return Ok(None),
                None => {}
            }
        }
        Ok(None)
    }

    fn gaps(&self) -> &[Gap] {
        &self.description.details.gaps
    }

    fn handles(&self) -> &Handles {
        &self.description.details.handles
    }
}

/// Whether a gap says that this was not read. What is torn was read, though maybe not as it was at
/// one moment.
pub(crate) fn unread(gaps: &[Gap], key: &Key) -> bool {
    gaps.iter().any(|gap| gap.cause != Cause::Torn && gap.covers(key))
}

/// The lines of one archive, owned.
pub(crate) struct Lines {
    archive: Archive<SpoolReader>,
    position: super::Position,
    reader: LineReader,
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.archive.fmt(f)
    }
}

impl Lines {
    fn new(archive: Archive<SpoolReader>) -> Result<Self> {
        Ok(Self { archive, position: super::Position::default(), reader: LineReader::new()? })
    }

    /// The next line as it is stored.
    pub(crate) fn next_raw(&mut self) -> Result<Option<super::EntryRef<'_>>> {
        self.position.next(&mut self.archive)
    }

    fn next(&mut self) -> Result<Option<Line>> {
        let Self { archive, position, reader } = self;
        position.next_by(archive, |line, tokens| reader.read(line, tokens))
    }

    /// The line of one resource, wherever this stands.
    fn find(&mut self, key: &Key) -> Result<Option<Line>> {
        let Self { archive, reader, .. } = self;
        archive.find(key.kind.as_str(), key.id.as_str(), |entry| {
            reader.read_alone(entry.line, entry.secrets)
        })
    }
}

/// Full and incremental, merged.
struct Resources {
    own: Option<Lines>,
    base: Option<Lines>,
    own_next: Option<Line>,
    base_next: Option<Line>,
    gaps: Vec<Gap>,
    failed: bool,
}

impl Resources {
    fn step(&mut self) -> Result<Option<Resource>> {
        loop {
            refill(&mut self.own, &mut self.own_next)?;
            refill(&mut self.base, &mut self.base_next)?;
            let order = match (&self.own_next, &self.base_next) {
                (None, None) => return Ok(None),
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some(own), Some(base)) => key_of(own).cmp(key_of(base)),
            };
            if order.is_eq() {
                self.base_next = None;
            }
            let line = if order.is_le() { self.own_next.take() } else { self.base_next.take() };
            match line {
                Some(Line::Resource(resource)) => {
                    let hidden = order.is_gt() && unread(&self.gaps, &resource.key);
                    if !hidden {
                        return Ok(Some(resource));
                    }
                }
                Some(Line::Gone(_)) | None => {}
            }
        }
    }
}

impl Iterator for Resources {
    type Item = Result<Resource>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let item = self.step();
        self.failed = item.is_err();
        item.transpose()
    }
}

fn refill(lines: &mut Option<Lines>, next: &mut Option<Line>) -> Result<()> {
    if let (Some(open), None) = (lines.as_mut(), &next) {
        *next = open.next()?;
        if next.is_none() {
            *lines = None;
        }
    }
    Ok(())
}

fn key_of(line: &Line) -> &Key {
    match line {
        Line::Resource(resource) => &resource.key,
        Line::Gone(key) => key,
    }
}
