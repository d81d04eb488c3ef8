//! What a bucket holds.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use gwbackup_core::clock::{Clock, Timestamp};

/// One version of an object, or a delete marker.
#[derive(Debug, Clone)]
pub(super) struct Version {
    pub(super) id: String,
    /// Nothing in a delete marker.
    pub(super) bytes: Option<Bytes>,
    pub(super) modified: Timestamp,
    pub(super) headers: BTreeMap<String, String>,
}

impl Version {
    /// Whether Object Lock keeps it at this time.
    pub(super) fn is_kept(&self, now: Timestamp) -> bool {
        let text = |name: &str| self.headers.get(name).map(String::as_str);
        let until = text("x-amz-object-lock-retain-until-date");
        let until = until.and_then(|until| until.parse::<Timestamp>().ok());
        until.is_some_and(|until| until > now) || text("x-amz-object-lock-legal-hold") == Some("ON")
    }
}

/// An object that is written in parts.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) key: String,
    pub(super) begun: Timestamp,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) parts: BTreeMap<u32, (Bytes, Timestamp)>,
}

#[derive(Debug)]
pub(super) struct Bucket {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) versioned: bool,
    pub(super) lockable: bool,
    pub(super) encrypts: bool,
    /// Oldest first; the last one counts.
    pub(super) keys: BTreeMap<String, Vec<Version>>,
    pub(super) uploads: BTreeMap<String, Upload>,
    given: u64,
}

impl Bucket {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            versioned: false,
            lockable: false,
            encrypts: true,
            keys: BTreeMap::new(),
            uploads: BTreeMap::new(),
            given: 0,
        }
    }

    /// An id that was never given before.
    pub(super) fn fresh(&mut self) -> String {
        self.given += 1;
        format!("id-{:08}", self.given)
    }

    pub(super) fn current(&self, key: &str) -> Option<&Version> {
        self.keys.get(key)?.last().filter(|version| version.bytes.is_some())
    }

    pub(super) fn version(&self, key: &str, id: &str) -> Option<&Version> {
        self.keys.get(key)?.iter().find(|version| version.id == id)
    }

    pub(super) fn objects(&self) -> BTreeMap<String, Bytes> {
        let current = |key: &String| Some((key.clone(), self.current(key)?.bytes.clone()?));
        self.keys.keys().filter_map(current).collect()
    }

    pub(super) fn versions(&self) -> usize {
        self.keys.values().map(Vec::len).sum()
    }

    /// Writes; answers the version.
    pub(super) fn put(
        &mut self,
        key: &str,
        bytes: Bytes,
        headers: BTreeMap<String, String>,
    ) -> String {
        self.add(key, Some(bytes), headers)
    }

    /// Deletes the newest version, or hides it behind a marker.
    pub(super) fn delete(&mut self, key: &str) {
        if self.versioned {
            self.add(key, None, BTreeMap::new());
        } else {
            self.keys.remove(key);
        }
    }

    fn add(
        &mut self,
        key: &str,
        bytes: Option<Bytes>,
        headers: BTreeMap<String, String>,
    ) -> String {
        let id = if self.versioned { self.fresh() } else { "null".to_owned() };
        let version = Version { id: id.clone(), bytes, modified: self.clock.now(), headers };
        let versions = self.keys.entry(key.to_owned()).or_default();
        if !self.versioned {
            versions.clear();
        }
        versions.push(version);
        id
    }

    /// Takes one version away for good; `false` where Object Lock keeps it.
    pub(super) fn delete_version(&mut self, key: &str, id: &str) -> bool {
        let now = self.clock.now();
        if self.version(key, id).is_some_and(|version| version.is_kept(now)) {
            return false;
        }
        if let Some(versions) = self.keys.get_mut(key) {
            versions.retain(|version| version.id != id);
            if versions.is_empty() {
                self.keys.remove(key);
            }
        }
        true
    }
}
