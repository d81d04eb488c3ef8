//! Reading a gateway into sorted lines.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use futures_util::StreamExt as _;

use super::tear::{Loose, Tear};
use crate::archive::line::{LineDigest, LineWriter};
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{
    Absence, Captured, Cause, Description, Gap, Key, Kind, Mark, Resource, Revision, Rules, Says,
    Scope,
};
use crate::plan::Selector;
use crate::sort::{Sorted, Sorter};
use crate::source::{Known, Source};
use crate::task::blocking;

/// Memory for sorting.
const BUDGET: usize = 32 << 20;
/// Readings of a gateway that moves.
const PASSES: u32 = 3;
/// Resources that are handed over at a time.
const BATCH: usize = 256;

/// What is read, and how.
#[derive(Debug, Clone, Default)]
pub(crate) struct CaptureOptions {
    /// Only these; all others become gaps.
    pub(crate) only: Vec<Selector>,
    /// Secrets become marks.
    pub(crate) without_secrets: bool,
    /// What the base of an incremental holds.
    pub(crate) known: Option<Arc<dyn Known>>,
}

/// A gateway as it was read.
pub(crate) struct Reading {
    pub(crate) sorted: Sorted,
    pub(crate) rules: Rules,
    pub(crate) gaps: Vec<Gap>,
    pub(crate) soft_deleted: BTreeSet<Key>,
    pub(crate) passes: u32,
    /// Whether the gateway's own mark stood still.
    pub(crate) consistent: bool,
    pub(crate) revision: Option<Revision>,
}

/// Reads everything, again while the gateway moves, and sorts it.
pub(crate) async fn read(
    cx: &Context,
    source: &Arc<dyn Source>,
    description: &Description,
    spool: &Path,
    options: &CaptureOptions,
) -> Result<Reading> {
    let scope = Scope::everything();
    let rules = Rules::new(Arc::clone(&description.schema));
    let mut passes = 0;
    let mut last = Loose::new();
    loop {
        passes += 1;
        let before = source.revision(cx, &scope).await?;
        // Without a mark of its own the gateway is held against itself. An incremental that is told
        // what stayed the same does not see everything.
        let unmarked = before.is_none() && options.known.is_none() && !source.is_coherent();
        let tear = unmarked.then(|| Tear::new(description.handles.clone()));
        let pass = one_pass(cx, source, description, &rules, spool, options, tear).await?;
        let after = source.revision(cx, &scope).await?;
        let moved = before != after;
        // What is open in the same way twice in a row is how the gateway is.
        let torn = pass.loose != last || pass.gaps.iter().any(|gap| gap.cause == Cause::Torn);
        if (moved || torn) && passes < PASSES {
            last = pass.loose;
            continue;
        }
        let mut gaps = pass.gaps;
        if torn {
            gaps.extend(pass.loose.symmetric_difference(&last).cloned().map(|key| Gap {
                kind: Some(key.kind),
                under: Some(key.id),
                cause: Cause::Torn,
                detail: format!("what it names came or went during each of {passes} readings"),
            }));
        }
        if moved {
            let detail = format!("it moved during each of {passes} readings");
            gaps.push(Gap { kind: None, under: None, cause: Cause::Torn, detail });
        }
        gaps.dedup();
        return Ok(Reading {
            sorted: pass.sorted,
            rules,
            gaps,
            soft_deleted: pass.soft_deleted,
            passes,
            consistent: !moved && after.is_some(),
            revision: after,
        });
    }
}

struct Pass {
    sorted: Sorted,
    gaps: Vec<Gap>,
    soft_deleted: BTreeSet<Key>,
    /// What speaks for a torn reading.
    loose: Loose,
}

async fn one_pass(
    cx: &Context,
    source: &Arc<dyn Source>,
    description: &Description,
    rules: &Rules,
    spool: &Path,
    options: &CaptureOptions,
    tear: Option<Tear>,
) -> Result<Pass> {
    let scope = Scope::everything();
    let known = options.known.clone();
    let mut stream = source.read(cx, description, &scope, known);
    let (sender, mut receiver) = tokio::sync::mpsc::channel::<Vec<Captured>>(4);
    let mut encoder = Encoder {
        lines: LineWriter::new()?,
        sorter: Sorter::new(spool.to_owned(), BUDGET),
        rules: rules.clone(),
        options: options.clone(),
        limit: description.limits.record as usize,
        payload: Vec::new(),
        digest: LineDigest::new(rules.clone()),
        gaps: Vec::new(),
        excluded: BTreeSet::new(),
        soft_deleted: BTreeSet::new(),
        tear,
    };
    let work = blocking(move || {
        while let Some(batch) = receiver.blocking_recv() {
            for captured in batch {
                encoder.take(captured)?;
            }
        }
        encoder.finish()
    });
    let feed = async {
        let mut batch = Vec::with_capacity(BATCH);
        let mut count = 0;
        while let Some(item) = stream.next().await {
            batch.push(item?);
            if batch.len() == BATCH {
                cx.check()?;
                count += batch.len() as u64;
                cx.progress("capture", count, None);
                let full = std::mem::replace(&mut batch, Vec::with_capacity(BATCH));
                if sender.send(full).await.is_err() {
                    break;
                }
            }
        }
        cx.check()?;
        // A closed channel means that the encoder failed, and says why itself.
        let _ = sender.send(batch).await;
        drop(sender);
        Ok::<(), Error>(())
    };
    let (sent, pass) = futures_util::future::join(feed, work).await;
    sent?;
    pass
}

/// Turns resources into sorted payloads.
struct Encoder {
    lines: LineWriter,
    sorter: Sorter,
    rules: Rules,
    options: CaptureOptions,
    limit: usize,
    payload: Vec<u8>,
    digest: LineDigest,
    gaps: Vec<Gap>,
    excluded: BTreeSet<Kind>,
    soft_deleted: BTreeSet<Key>,
    tear: Option<Tear>,
}

impl Encoder {
    fn take(&mut self, captured: Captured) -> Result<()> {
        match captured {
            Captured::Resource(resource) => self.resource(resource),
            Captured::Same(key) => self.sorter.push(key.kind.as_str(), key.id.as_str(), &[SAME]),
            Captured::Withdrawn(key) => {
                if let Some(tear) = &mut self.tear {
                    tear.withdraw(&key);
                }
                self.sorter.push(key.kind.as_str(), key.id.as_str(), WITHDRAWN)
            }
            Captured::SoftDeleted { key, .. } => {
                self.soft_deleted.insert(key);
                Ok(())
            }
            Captured::Gap(gap) => {
                self.gaps.push(gap);
                Ok(())
            }
        }
    }

    fn resource(&mut self, mut resource: Resource) -> Result<()> {
        match &mut self.tear {
            Some(tear) => {
                let references = self.rules.survey(&mut resource);
                tear.take(&self.rules, &resource, &references);
            }
            None => self.rules.mark(&mut resource),
        }
        let only = &self.options.only;
        if !only.is_empty() && !only.iter().any(|s| s.matches(&self.rules, &resource)) {
            self.excluded.insert(resource.key.kind);
            return Ok(());
        }
        resource.check()?;
        if self.options.without_secrets {
            withhold(&mut resource)?;
        }
        self.lines.resource(&resource)?;
        if self.lines.line.len() > self.limit {
            let detail = format!("{} bytes, more than {}", self.lines.line.len(), self.limit);
            let Key { kind, id } = resource.key;
            self.gaps.push(Gap {
                kind: Some(kind),
                under: Some(id),
                cause: Cause::TooLarge,
                detail,
            });
            return Ok(());
        }
        let own = self.digest.of(&resource)?;
        let secrets = resource.marks.iter().filter(|mark| mark.says == Says::Secret).count();
        Payload {
            digest: own,
            bytes: resource.document.len(),
            marked: secrets,
            secrets: &self.lines.secrets,
            line: &self.lines.line,
        }
        .write(&mut self.payload)?;
        self.sorter.push(resource.key.kind.as_str(), resource.key.id.as_str(), &self.payload)
    }

    fn finish(mut self) -> Result<Pass> {
        for kind in self.excluded {
            let detail = "not selected".to_owned();
            let cause = Cause::Excluded;
            self.gaps.push(Gap { kind: Some(kind), under: None, cause, detail });
        }
        Ok(Pass {
            sorted: self.sorter.finish()?,
            gaps: self.gaps,
            soft_deleted: self.soft_deleted,
            loose: self.tear.map(Tear::finish).unwrap_or_default(),
        })
    }
}

/// Secrets become marks of values that were left out.
fn withhold(resource: &mut Resource) -> Result<()> {
    let mut values = Vec::new();
    for mark in &mut resource.marks {
        if mark.says == Says::Secret {
            values.push((mark.at.pointer.clone(), "null".to_owned()));
            *mark = Mark::absent(mark.at.pointer.clone(), Absence::Withheld);
        }
    }
    resource.document = resource.document.with_values(&values)?;
    Ok(())
}

const SAME: u8 = 1;
/// What was pushed before under the same key does not count.
pub(super) const WITHDRAWN: &[u8] = &[2];
const RECORD: u8 = 0;
const HEAD: usize = 1 + 32 + 8 + 4 + 4;

/// What the sorter carries for a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Payload<'a> {
    /// Digest of the resource without what moves by itself.
    pub(crate) digest: [u8; 32],
    /// Size of the document.
    pub(crate) bytes: usize,
    /// Secret marks.
    pub(crate) marked: usize,
    pub(crate) secrets: &'a [u8],
    pub(crate) line: &'a [u8],
}

impl<'a> Payload<'a> {
    fn write(&self, out: &mut Vec<u8>) -> Result<()> {
        let large = || Error::new(ErrorKind::Other, "a resource is too large to sort");
        let marked = u32::try_from(self.marked).map_err(|_| large())?;
        let secrets = u32::try_from(self.secrets.len()).map_err(|_| large())?;
        out.clear();
        out.push(RECORD);
        out.extend_from_slice(&self.digest);
        out.extend_from_slice(&(self.bytes as u64).to_be_bytes());
        out.extend_from_slice(&marked.to_be_bytes());
        out.extend_from_slice(&secrets.to_be_bytes());
        out.extend_from_slice(self.secrets);
        out.extend_from_slice(self.line);
        Ok(())
    }

    /// `None`: the base's record stands.
    pub(crate) fn read(payload: &'a [u8]) -> Result<Option<Self>> {
        let malformed = || Error::corrupt("a sorted record is malformed");
        if payload == [SAME] {
            return Ok(None);
        }
        let (head, rest) = payload.split_at_checked(HEAD).ok_or_else(malformed)?;
        let number = |from: usize, to: usize| {
            let bytes = head.get(from..to).unwrap_or_default();
            usize::try_from(bytes.iter().fold(0_u64, |n, b| n << 8 | u64::from(*b))).ok()
        };
        let digest = head.get(1..33).and_then(|d| d.try_into().ok()).ok_or_else(malformed)?;
        let bytes = number(33, 41).ok_or_else(malformed)?;
        let marked = number(41, 45).ok_or_else(malformed)?;
        let secrets = number(45, 49).ok_or_else(malformed)?;
        let (secrets, line) = rest.split_at_checked(secrets).ok_or_else(malformed)?;
        Ok(Some(Self { digest, bytes, marked, secrets, line }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_comes_back() {
        let payload =
            Payload { digest: [7; 32], bytes: 300, marked: 2, secrets: b"abc", line: b"{}" };
        let mut bytes = Vec::new();
        payload.write(&mut bytes).unwrap();
        assert_eq!(Payload::read(&bytes).unwrap(), Some(payload));
        assert_eq!(Payload::read(&[SAME]).unwrap(), None);
        for cut in 2..HEAD + 3 {
            assert!(Payload::read(&bytes[..cut]).is_err());
        }
    }
}
