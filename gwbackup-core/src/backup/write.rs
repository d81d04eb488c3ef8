//! Writing sorted lines as an archive, whole or against a base.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::Path;

use super::capture::{Payload, Reading, WITHDRAWN};
use crate::archive::line::{Line, LineDigest, LineReader, LineWriter};
use crate::archive::{
    ArchiveIds, ArchiveOptions, ArchiveWriter, Details, Entry, Lines, Sealed, StoredDescription,
    View, unread,
};
use crate::context::Context;
use crate::crypt::{DataKey, StateDigest, Suite};
use crate::error::{Error, Result};
use crate::model::{Cause, Gap, Id, Key, Kind, Schema};
use crate::sink::{Spool, SpoolWriter};
use crate::sort::Record;

/// What it takes to write an archive.
pub(crate) struct Writing<'a> {
    pub(crate) ids: ArchiveIds,
    pub(crate) suite: Suite,
    pub(crate) padding: bool,
    pub(crate) dek: &'a DataKey,
    pub(crate) sdek: &'a DataKey,
    pub(crate) digest: StateDigest,
    pub(crate) base: Option<&'a View>,
    pub(crate) schema: &'a Schema,
}

/// What was counted on the way.
#[derive(Debug, Default)]
struct Counted {
    kinds: BTreeMap<Kind, u64>,
    resources: u64,
    bytes: u64,
    secrets: u64,
}

/// Writes the archive into a spool. `details` comes back filled in. Blocking.
pub(crate) fn write(
    cx: &Context,
    writing: Writing<'_>,
    reading: Reading,
    mut details: Details,
    spool: &Path,
) -> Result<(Spool, Sealed, Details)> {
    let options = ArchiveOptions { padding: writing.padding, ..ArchiveOptions::default() };
    let Writing { ids, suite, dek, sdek, .. } = writing;
    let archive = ArchiveWriter::new(Spool::create(spool)?, ids, suite, dek, sdek, options)?;
    let mut merge = Merge {
        archive,
        base: writing.base.map(View::own_lines).transpose()?,
        base_next: None,
        gaps: reading.gaps,
        state: writing.digest,
        counted: Counted::default(),
        lines: LineWriter::new()?,
        reader: LineReader::new()?,
        digest: LineDigest::new(reading.rules),
        last: None,
    };
    merge.advance_base()?;
    for (n, record) in reading.sorted.enumerate() {
        let record = record?;
        if n % 4096 == 0 {
            cx.check()?;
            cx.progress("seal", n as u64, None);
        }
        merge.take(record)?;
    }
    merge.rest_of_base()?;
    merge.flush()?;
    details.kinds = merge.counted.kinds;
    details.resources = merge.counted.resources;
    details.bytes = merge.counted.bytes;
    details.secrets = merge.counted.secrets;
    details.gaps = merge.gaps;
    details.state_digest = merge.state.finish();
    let description =
        StoredDescription { schema: writing.schema.clone(), details: details.clone() };
    let bytes = serde_json::to_vec(&description)
        .map_err(|_| Error::invalid("the backup's description cannot be written"))?;
    let (out, sealed): (SpoolWriter, Sealed) = merge.archive.finish(&bytes)?;
    Ok((out.finish(), sealed, details))
}

struct Merge {
    archive: ArchiveWriter<SpoolWriter>,
    base: Option<Lines>,
    base_next: Option<Stored>,
    gaps: Vec<Gap>,
    state: StateDigest,
    counted: Counted,
    lines: LineWriter,
    reader: LineReader,
    digest: LineDigest,
    /// The record that was read last: a later one of the same key replaces it.
    last: Option<Record>,
}

/// A line of the base.
struct Stored {
    kind: String,
    id: String,
    line: Vec<u8>,
    secrets: Option<Vec<u8>>,
}

impl Merge {
    /// Takes the next sorted record. Of two with one key the later reading counts; where they
    /// differ, the gateway moved.
    fn take(&mut self, record: Record) -> Result<()> {
        let withdrawn = *record.payload() == *WITHDRAWN;
        if let Some(last) = &self.last
            && (last.kind(), last.id()) == (record.kind(), record.id())
        {
            if withdrawn {
                self.last = None;
                return Ok(());
            }
            let moved = match (Payload::read(&last.payload())?, Payload::read(&record.payload())?) {
                (Some(a), Some(b)) => a.digest != b.digest,
                _ => false,
            };
            if moved {
                self.gaps.push(Gap {
                    kind: Some(Kind::new(record.kind())?),
                    under: Some(Id::new(record.id())?),
                    cause: Cause::Torn,
                    detail: "it was read twice with different content".to_owned(),
                });
            }
        } else if withdrawn {
            return Ok(());
        } else {
            self.flush()?;
        }
        self.last = Some(record);
        Ok(())
    }

    /// Writes the record that was read last.
    fn flush(&mut self) -> Result<()> {
        let Some(record) = self.last.take() else { return Ok(()) };
        let (kind, id, payload) = (record.kind(), record.id(), record.payload());
        loop {
            let order = match &self.base_next {
                Some(stored) => (stored.kind.as_str(), stored.id.as_str()).cmp(&(kind, id)),
                None => Ordering::Greater,
            };
            match order {
                Ordering::Less => self.gone()?,
                Ordering::Equal => {
                    self.both(kind, id, &payload)?;
                    self.advance_base()?;
                    break;
                }
                Ordering::Greater => {
                    let new = Payload::read(&payload)?.ok_or_else(|| {
                        Error::invalid("the source says that an unknown resource is the same")
                            .on(format!("{kind}/{id}"))
                    })?;
                    self.count(kind, &new)?;
                    self.state.update(&new.digest);
                    let (line, secrets) = (new.line, new.secrets);
                    self.archive.push(Entry { kind, id, line, secrets })?;
                    break;
                }
            }
        }
        Ok(())
    }

    /// A record that the base has, too.
    fn both(&mut self, kind: &str, id: &str, payload: &[u8]) -> Result<()> {
        let Some(stored) = &self.base_next else { return Ok(()) };
        let new = Payload::read(payload)?;
        if let Some(new) = &new {
            self.state.update(&new.digest);
            let same = stored.line == new.line && stored.secrets.as_deref() == Some(new.secrets);
            let same = same || self.stored_digest()?.0 == new.digest;
            // Under a gap the base's record would be hidden, though this one was read.
            if !same || self.is_hidden(kind, id)? {
                let (line, secrets) = (new.line, new.secrets);
                self.archive.push(Entry { kind, id, line, secrets })?;
            }
            return self.count(kind, new);
        }
        let (own, bytes, marked) = self.stored_digest()?;
        self.state.update(&own);
        if self.is_hidden(kind, id)?
            && let Some(Stored { line, secrets, .. }) = &self.base_next
        {
            let secrets = secrets.as_deref().unwrap_or_default();
            self.archive.push(Entry { kind, id, line, secrets })?;
        }
        self.count(kind, &Payload { digest: own, bytes, marked, secrets: &[], line: &[] })
    }

    /// Whether readers will pass over what the base holds under this key.
    fn is_hidden(&self, kind: &str, id: &str) -> Result<bool> {
        if self.gaps.is_empty() {
            return Ok(false);
        }
        Ok(unread(&self.gaps, &Key::new(Kind::new(kind)?, Id::new(id)?)))
    }

    /// Digest, document size and secret marks of the base's record.
    fn stored_digest(&mut self) -> Result<([u8; 32], usize, usize)> {
        let malformed = || Error::corrupt("a full backup holds a tombstone");
        let stored = self.base_next.as_ref().ok_or_else(malformed)?;
        let read = self.reader.read_alone(&stored.line, stored.secrets.as_deref())?;
        let Line::Resource(resource) = read else { return Err(malformed()) };
        let own = self.digest.of(&resource)?;
        let marked = resource.marks.iter().filter(|m| m.says == crate::model::Says::Secret).count();
        Ok((own, resource.document.len(), marked))
    }

    /// The base's record has no equal any more: it is gone, unless nothing is known of its place.
    fn gone(&mut self) -> Result<()> {
        if let Some(stored) = &self.base_next {
            let key = Key::new(Kind::new(&stored.kind)?, Id::new(&stored.id)?);
            if !unread(&self.gaps, &key) {
                self.lines.gone(&key)?;
                let line = self.lines.line.as_slice();
                let (kind, id) = (stored.kind.as_str(), stored.id.as_str());
                self.archive.push(Entry { kind, id, line, secrets: &[] })?;
            }
        }
        self.advance_base()
    }

    fn rest_of_base(&mut self) -> Result<()> {
        self.flush()?;
        while self.base_next.is_some() {
            self.gone()?;
        }
        Ok(())
    }

    fn advance_base(&mut self) -> Result<()> {
        let Some(base) = &mut self.base else { return Ok(()) };
        let mut slot = self.base_next.take();
        self.base_next = base.next_raw()?.map(|entry| {
            let mut stored = slot.take().unwrap_or_else(|| Stored {
                kind: String::new(),
                id: String::new(),
                line: Vec::new(),
                secrets: None,
            });
            entry.kind.as_ref().clone_into(&mut stored.kind);
            entry.id.as_ref().clone_into(&mut stored.id);
            entry.line.clone_into(&mut stored.line);
            stored.secrets = entry.secrets.map(<[u8]>::to_vec);
            stored
        });
        Ok(())
    }

    fn count(&mut self, kind: &str, payload: &Payload<'_>) -> Result<()> {
        match self.counted.kinds.iter_mut().next_back() {
            Some((last, count)) if last.as_str() == kind => *count += 1,
            _ => drop(self.counted.kinds.insert(Kind::new(kind)?, 1)),
        }
        self.counted.resources += 1;
        self.counted.bytes += payload.bytes as u64;
        self.counted.secrets += payload.marked as u64;
        Ok(())
    }
}
