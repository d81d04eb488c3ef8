//! A snapshot as a mapping lets it appear.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Mapping, Met, RuleUse, Words};
use crate::error::{Error, Result};
use crate::model::{
    Coding, Document, Gap, Handles, Id, Key, Member, Place, Resource, Rules, Snapshot, Supplied,
    decode, encode, push_segment, segments, strings,
};

/// Keys that are named for one rule.
const NAMED: usize = 5;

type Scan<'a> = Box<dyn Iterator<Item = Result<Resource>> + Send + 'a>;

/// A snapshot in which every key and every text is the target's already, as far as a mapping says
/// so, and every secret is the one that was supplied. Whoever compares, matches, plans or writes sees
/// nothing else.
#[derive(Debug, Clone)]
pub(crate) struct Mapped {
    inner: Arc<dyn Snapshot>,
    rules: Rules,
    words: Words,
    handles: Handles,
    gaps: Vec<Gap>,
    /// Keys that the mapping changes: as they are now, and as the backup has them.
    renamed: BTreeMap<Key, Key>,
    /// The second half of those.
    gone: BTreeSet<Key>,
    used: Vec<RuleUse>,
    /// Resources with bytes that no rule reads.
    attachments: u64,
    supplied: Supplied,
}

impl Mapped {
    /// Reads the snapshot once. `Invalid` when two of its resources would become one, or a name
    /// becomes one that cannot be. Blocking.
    pub(crate) fn new(inner: Arc<dyn Snapshot>, rules: &Rules, mapping: &Mapping) -> Result<Self> {
        let mut mapped = Self {
            handles: inner.handles().clone(),
            gaps: inner.gaps().to_vec(),
            inner,
            rules: rules.clone(),
            words: mapping.words(),
            renamed: BTreeMap::new(),
            gone: BTreeSet::new(),
            used: mapping.unused(),
            attachments: 0,
            supplied: Supplied::default(),
        };
        if !mapping.has_words() {
            return Ok(mapped);
        }
        let mut met = Met::default();
        for value in mapped.handles.values_mut() {
            if let Some(new) = mapped.words.text(value, &mut met) {
                *value = new;
            }
        }
        for gap in &mut mapped.gaps {
            gap.under =
                gap.under.as_ref().map(|under| mapped.words.id(under, &mut met)).transpose()?;
        }
        mapped.look()?;
        Ok(mapped)
    }

    /// Learns which keys change, and what each rule does.
    fn look(&mut self) -> Result<()> {
        let inner = Arc::clone(&self.inner);
        for resource in inner.scan()? {
            let resource = resource?;
            let old = resource.key.clone();
            self.attachments += u64::from(!resource.attachments.is_empty());
            let mut met = Met::default();
            let new = self.translated(resource, &mut met)?.key;
            for (n, used) in self.used.iter_mut().enumerate() {
                let note = |count: &mut u64, keys: &mut Vec<Key>| {
                    *count += 1;
                    if keys.len() < NAMED {
                        keys.push(new.clone());
                    }
                };
                if met.rules.contains(&n) {
                    note(&mut used.resources, &mut used.keys);
                }
                if met.inside.contains(&n) {
                    note(&mut used.inside, &mut used.inside_keys);
                }
            }
            if new != old {
                if let Some(other) = self.renamed.insert(new.clone(), old.clone()) {
                    return Err(clash(&new, &other, &old));
                }
                self.gone.insert(old);
            }
        }
        for (new, old) in &self.renamed {
            if !self.gone.contains(new) && self.inner.get(new)?.is_some() {
                return Err(clash(new, new, old));
            }
        }
        Ok(())
    }

    /// The same with these values, by the keys of now.
    pub(crate) fn with(self, supplied: Supplied) -> Self {
        Self { supplied, ..self }
    }

    /// What was supplied.
    pub(crate) fn supplied(&self) -> &Supplied {
        &self.supplied
    }

    /// What the rules did.
    pub(crate) fn used(&self) -> &[RuleUse] {
        &self.used
    }

    /// How many resources have bytes that no rule reads.
    pub(crate) fn attachments(&self) -> u64 {
        self.attachments
    }

    /// What a resource of the backup is called now.
    pub(crate) fn key(&self, old: &Key) -> Key {
        self.words.key(old, &mut Met::default()).unwrap_or_else(|_| old.clone())
    }

    /// What the backup calls a resource.
    pub(crate) fn original(&self, new: &Key) -> Key {
        self.renamed.get(new).unwrap_or(new).clone()
    }

    fn translated(&self, resource: Resource, met: &mut Met) -> Result<Resource> {
        let key = self.words.key(&resource.key, met)?;
        let named = |key: Option<Key>, met: &mut Met| key.map(|key| self.words.key(&key, met));
        let parent = named(resource.parent, met).transpose()?;
        let owner = named(resource.owner, met).transpose()?;
        let mut marks = resource.marks;
        let old = Resource { marks: Vec::new(), parent: None, owner: None, ..resource };
        let document = match self.document(&old, met).map_err(|e| e.or_on(&old.key))? {
            None => old.document,
            Some((document, renamed)) => {
                for mark in &mut marks {
                    // Bytes of the text stand elsewhere now.
                    mark.at.range = None;
                    if renamed {
                        mark.at.pointer = self.pointer(&mark.at.pointer);
                    }
                }
                document
            }
        };
        Ok(Resource { key, parent, document, marks, owner, ..old })
    }

    /// The document in other words, and whether a name in it is another; `None` where it stays.
    fn document(&self, resource: &Resource, met: &mut Met) -> Result<Option<(Document, bool)>> {
        let text = resource.document.as_str();
        let coded = self.rules.members(resource, |member| *member == Member::Base64);
        if coded.is_empty() && !self.words.may_meet(text) {
            return Ok(None);
        }
        let mut new = resource.document.clone();
        for pointer in &coded {
            let place = Place { coding: Coding::Base64, ..Place::value(pointer) };
            if let Some(plain) = new.text_at(&place)
                && let Some(plain) = self.words.text(&plain, met)
            {
                new = new.rewrite(&[(place, plain)])?;
            }
        }
        let mut renamed = false;
        let (mut out, mut at) = (String::new(), 0);
        let text = new.as_str();
        // What base64 hides was read already; to read it as it stands finds nothing by chance only.
        for range in strings(text) {
            let token = text.get(range.clone()).unwrap_or_default();
            let Some(word) = self.words.text(&decode(token), met) else { continue };
            renamed |= text.as_bytes().get(range.end) == Some(&b':');
            out.push_str(text.get(at..range.start).unwrap_or_default());
            out.push_str(&encode(&word));
            at = range.end;
        }
        out.push_str(text.get(at..).unwrap_or_default());
        if out == resource.document.as_str() {
            return Ok(None);
        }
        // Members stand in the order of their names.
        let document = if renamed { Document::parse(&out)? } else { Document::stored(out) };
        Ok(Some((document, renamed)))
    }

    /// A JSON pointer whose names are mapped; what counts elements stays.
    fn pointer(&self, pointer: &str) -> String {
        let mut new = String::new();
        for segment in segments(pointer) {
            let counts = segment.bytes().all(|byte| byte.is_ascii_digit());
            let word = if counts { None } else { self.words.text(&segment, &mut Met::default()) };
            push_segment(&mut new, word.as_deref().unwrap_or(&segment));
        }
        new
    }

    fn translating(&self, resource: Result<Resource>) -> Result<Resource> {
        let resource = resource?;
        if self.used.is_empty() {
            return self.supplied.fill(resource);
        }
        self.supplied.fill(self.translated(resource, &mut Met::default())?)
    }
}

impl Words {
    fn id(&self, id: &Id, met: &mut Met) -> Result<Id> {
        let mut changed = false;
        let segments: Vec<String> = id
            .segments()
            .map(|segment| match self.text(&segment, met) {
                Some(new) => {
                    changed = true;
                    new
                }
                None => segment.into_owned(),
            })
            .collect();
        if changed { Id::of(segments) } else { Ok(id.clone()) }
    }

    fn key(&self, key: &Key, met: &mut Met) -> Result<Key> {
        let id = self.id(&key.id, met).map_err(|e| e.on(key))?;
        Ok(Key::new(key.kind.clone(), id))
    }
}

fn clash(new: &Key, one: &Key, other: &Key) -> Error {
    Error::invalid(format!("the mapping makes one resource of {one} and {other}"))
        .on(new)
        .help("change the rule, or leave one of the two out with a selection")
}

impl Snapshot for Mapped {
    fn scan(&self) -> Result<Scan<'_>> {
        let all = self.inner.scan()?;
        if self.renamed.is_empty() {
            return Ok(Box::new(all.map(|resource| self.translating(resource))));
        }
        let mut stay = all
            .filter(|next| !next.as_ref().is_ok_and(|next| self.gone.contains(&next.key)))
            .peekable();
        let mut moved = self.renamed.iter().peekable();
        Ok(Box::new(std::iter::from_fn(move || {
            let is_next = |(new, _): &&(&Key, &Key)| match stay.peek() {
                Some(Ok(next)) => **new < next.key,
                Some(Err(_)) => false,
                None => true,
            };
            if let Some((_, old)) = moved.peek().filter(is_next).copied() {
                moved.next();
                let found = self.inner.get(old).transpose();
                return found.map(|found| self.translating(found));
            }
            stay.next().map(|next| self.translating(next))
        })))
    }

    fn get(&self, key: &Key) -> Result<Option<Resource>> {
        let old = match self.renamed.get(key) {
            Some(old) => old,
            None if self.gone.contains(key) => return Ok(None),
            None => key,
        };
        self.inner.get(old)?.map(|found| self.translating(Ok(found))).transpose()
    }

    fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    fn handles(&self) -> &Handles {
        &self.handles
    }

    fn is_supplied(&self, key: &Key, pointer: &str) -> bool {
        self.supplied.has(key, pointer)
    }

    fn origin(&self) -> &Handles {
        self.inner.handles()
    }
}

#[cfg(test)]
mod tests;
