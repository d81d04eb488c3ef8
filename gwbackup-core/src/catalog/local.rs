//! What this machine remembers of a repository, outside its copies: who shows less is lying.

use std::collections::HashMap;
use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::RepositoryId;
use super::signed::misread;
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, Result};

const LIMIT: u64 = 64 * 1024;

/// The highest that was ever seen of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marks {
    /// Number of the newest trust document.
    pub trust: u64,
    /// Number of the newest event; 0 before the first.
    pub seq: u64,
    /// Its digest, hex; empty before the first.
    pub digest: String,
    /// When it was seen, by this machine's clock.
    pub time: Timestamp,
}

impl Marks {
    /// The higher of both, number by number. `Corrupt` when one number has two digests.
    fn raised(self, new: &Self) -> Result<Self> {
        if self.seq == new.seq && self.digest != new.digest {
            return Err(Error::corrupt("the log shows another event than it did before")
                .on(format!("event {}", new.seq))
                .help("compare the copies; an admin may accept what is there"));
        }
        let higher = if new.seq > self.seq { new.clone() } else { self.clone() };
        Ok(Self { trust: self.trust.max(new.trust), ..higher })
    }
}

/// Remembers [`Marks`] per repository, where no copy's owner can reach.
///
/// Several processes may use one anchor. Expected kinds of error: `Denied`, `Corrupt` (the memory
/// itself is damaged, or contradicts what it is given), `Other` (a full disk).
#[async_trait]
pub trait TrustAnchor: Debug + Send + Sync + 'static {
    /// What is remembered; `None` for a repository never seen.
    async fn load(&self, repository: &RepositoryId) -> Result<Option<Marks>>;

    /// Remembers the higher of what is remembered and `marks`, each number by itself; durable on
    /// return, never lower. `Corrupt` when `marks` gives a remembered event another digest; nothing
    /// is changed then. A dropped call leaves the old or the new marks.
    async fn raise(&self, repository: &RepositoryId, marks: &Marks) -> Result<()>;

    /// Remembers `marks` even where they are lower: an admin has looked at the loss and accepted
    /// it.
    async fn accept(&self, repository: &RepositoryId, marks: &Marks) -> Result<()>;
}

/// Forgets with the process. Clones share what they remember.
#[derive(Debug, Clone, Default)]
pub struct MemoryAnchor(Arc<Mutex<HashMap<RepositoryId, Marks>>>);

impl MemoryAnchor {
    /// Remembers nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    fn map(&self) -> std::sync::MutexGuard<'_, HashMap<RepositoryId, Marks>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl TrustAnchor for MemoryAnchor {
    async fn load(&self, repository: &RepositoryId) -> Result<Option<Marks>> {
        Ok(self.map().get(repository).cloned())
    }

    async fn raise(&self, repository: &RepositoryId, marks: &Marks) -> Result<()> {
        let mut map = self.map();
        let raised = match map.get(repository) {
            Some(old) => old.clone().raised(marks)?,
            None => marks.clone(),
        };
        map.insert(*repository, raised);
        Ok(())
    }

    async fn accept(&self, repository: &RepositoryId, marks: &Marks) -> Result<()> {
        self.map().insert(*repository, marks.clone());
        Ok(())
    }
}

/// One file per repository in a directory of this machine, readable by its owner alone.
#[derive(Debug, Clone)]
pub struct FileAnchor {
    directory: PathBuf,
}

impl FileAnchor {
    /// Remembers below `directory`, which is made at the first write. It must not lie in a copy.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    /// Runs `work` on the repository's file. Once started it runs to its end.
    async fn blocking<T: Send + 'static>(
        &self,
        repository: &RepositoryId,
        work: impl FnOnce(&Memory) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let memory = Memory {
            directory: self.directory.clone(),
            file: self.directory.join(format!("{repository}.json")),
        };
        let subject = memory.file.display().to_string();
        tokio::task::spawn_blocking(move || work(&memory))
            .await
            .map_err(|_| Error::new(ErrorKind::Other, "the local state was not written"))?
            .map_err(|e| e.or_on(subject))
    }
}

#[async_trait]
impl TrustAnchor for FileAnchor {
    async fn load(&self, repository: &RepositoryId) -> Result<Option<Marks>> {
        self.blocking(repository, Memory::load).await
    }

    async fn raise(&self, repository: &RepositoryId, marks: &Marks) -> Result<()> {
        let marks = marks.clone();
        self.blocking(repository, move |memory| {
            let _lock = memory.lock()?;
            let old = memory.load()?;
            let raised = match old.clone() {
                Some(old) => old.raised(&marks)?,
                None => marks,
            };
            if old.as_ref() == Some(&raised) { Ok(()) } else { memory.replace(&raised) }
        })
        .await
    }

    async fn accept(&self, repository: &RepositoryId, marks: &Marks) -> Result<()> {
        let marks = marks.clone();
        self.blocking(repository, move |memory| {
            let _lock = memory.lock()?;
            memory.replace(&marks)
        })
        .await
    }
}

/// The file of one repository.
struct Memory {
    directory: PathBuf,
    file: PathBuf,
}

impl Memory {
    fn load(&self) -> Result<Option<Marks>> {
        let file = match File::open(&self.file) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        let mut text = Vec::new();
        file.take(LIMIT).read_to_end(&mut text)?;
        serde_json::from_slice(&text).map(Some).map_err(|e| {
            misread("local state", &e)
                .on(self.file.display())
                .help("compare with another machine or the recovery kit, then remove the file")
        })
    }

    /// Held until it is dropped, so that two processes do not lower each other's marks.
    fn lock(&self) -> Result<File> {
        fs::create_dir_all(&self.directory)?;
        let lock = private(OpenOptions::new().create(true).append(true))
            .open(self.file.with_extension("lock"))?;
        lock.lock()?;
        Ok(lock)
    }

    /// Under the lock there is one writer, so the temporary name may be fixed.
    fn replace(&self, marks: &Marks) -> Result<()> {
        let text = serde_json::to_vec(marks)
            .map_err(|_| Error::new(ErrorKind::Other, "the local state cannot be written"))?;
        let temporary = self.file.with_extension("tmp");
        let mut file =
            private(OpenOptions::new().create(true).write(true).truncate(true)).open(&temporary)?;
        file.write_all(&text)?;
        file.sync_all()?;
        drop(file);
        fs::rename(&temporary, &self.file)?;
        sync_directory(&self.directory)
    }
}

#[cfg(unix)]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600)
}

#[cfg(not(unix))]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

#[cfg(unix)]
fn sync_directory(directory: &Path) -> Result<()> {
    Ok(File::open(directory)?.sync_all()?)
}

#[cfg(not(unix))]
fn sync_directory(_: &Path) -> Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(trust: u64, seq: u64, digest: &str) -> Marks {
        Marks { trust, seq, digest: digest.into(), time: Timestamp::UNIX_EPOCH }
    }

    async fn never_goes_back(anchor: &dyn TrustAnchor) {
        let id = RepositoryId::new([1; 32]);
        assert_eq!(anchor.load(&id).await.unwrap(), None);
        anchor.raise(&id, &marks(2, 5, "five")).await.unwrap();
        anchor.raise(&id, &marks(1, 4, "four")).await.unwrap();
        assert_eq!(anchor.load(&id).await.unwrap(), Some(marks(2, 5, "five")));
        anchor.raise(&id, &marks(1, 6, "six")).await.unwrap();
        anchor.raise(&id, &marks(3, 0, "")).await.unwrap();
        assert_eq!(anchor.load(&id).await.unwrap(), Some(marks(3, 6, "six")));
        let error = anchor.raise(&id, &marks(9, 6, "other")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert_eq!(anchor.load(&id).await.unwrap(), Some(marks(3, 6, "six")));
        assert_eq!(anchor.load(&RepositoryId::new([2; 32])).await.unwrap(), None);
        anchor.accept(&id, &marks(3, 2, "two")).await.unwrap();
        assert_eq!(anchor.load(&id).await.unwrap(), Some(marks(3, 2, "two")));
    }

    #[tokio::test]
    async fn in_memory() {
        never_goes_back(&MemoryAnchor::new()).await;
    }

    #[tokio::test]
    async fn in_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let below = directory.path().join("state/anchors");
        never_goes_back(&FileAnchor::new(&below)).await;
        let again = FileAnchor::new(&below);
        let kept = again.load(&RepositoryId::new([1; 32])).await.unwrap();
        assert_eq!(kept, Some(marks(3, 2, "two")));
        #[cfg(unix)]
        for entry in fs::read_dir(&below).unwrap() {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(entry.unwrap().metadata().unwrap().permissions().mode() & 0o077, 0);
        }
    }

    #[tokio::test]
    async fn damage_is_not_taken_for_a_first_visit() {
        let directory = tempfile::tempdir().unwrap();
        let id = RepositoryId::new([1; 32]);
        let anchor = FileAnchor::new(directory.path());
        anchor.raise(&id, &marks(1, 1, "one")).await.unwrap();
        fs::write(directory.path().join(format!("{id}.json")), b"{\"trust\":1").unwrap();
        assert_eq!(anchor.load(&id).await.unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(
            anchor.raise(&id, &marks(1, 2, "two")).await.unwrap_err().kind(),
            ErrorKind::Corrupt
        );
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn concurrent_raises_keep_the_highest() {
        let directory = tempfile::tempdir().unwrap();
        let id = RepositoryId::new([1; 32]);
        let tasks = (1..=20).map(|seq| {
            let anchor = FileAnchor::new(directory.path());
            tokio::spawn(async move { anchor.raise(&id, &marks(1, seq, "d")).await })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap().unwrap();
        }
        let kept = FileAnchor::new(directory.path()).load(&id).await.unwrap().unwrap();
        assert_eq!(kept.seq, 20);
    }
}
