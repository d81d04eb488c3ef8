//! Folders by path, for systems without descriptors of directories. A link that is put in place
//! between a check and its use is not noticed.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use super::strange;

/// A directory by its path.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

/// What an entry of a folder is.
pub(super) enum Entry {
    Object { size: u64, modified: SystemTime },
    Folder,
    Strange,
}

/// The directory that everything lies below.
pub(super) fn root(path: &Path, create: bool) -> io::Result<Folder> {
    if create {
        fs::create_dir_all(path)?;
    }
    if !fs::metadata(path)?.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    Ok(Folder(path.to_owned()))
}

impl Folder {
    pub(super) fn child(&self, name: &str, create: bool) -> io::Result<Self> {
        let path = self.0.join(name);
        let meta = match fs::symlink_metadata(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound && create => {
                match fs::create_dir(&path) {
                    Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
                    _ => fs::symlink_metadata(&path)?,
                }
            }
            meta => meta?,
        };
        match (meta.is_dir(), meta.is_file()) {
            (true, _) => Ok(Self(path)),
            (_, true) => Err(io::ErrorKind::NotADirectory.into()),
            _ => Err(strange()),
        }
    }

    pub(super) fn create(&self, name: &str) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create_new(true).open(self.0.join(name))
    }

    pub(super) fn open(&self, name: &str) -> io::Result<File> {
        match kind(&fs::symlink_metadata(self.0.join(name))?)? {
            Entry::Object { .. } => File::open(self.0.join(name)),
            Entry::Folder => Err(io::ErrorKind::NotFound.into()),
            Entry::Strange => Err(strange()),
        }
    }

    /// Gives a finished file its name, which must be free. Answers whether that was exclusive and
    /// whole.
    pub(super) fn publish(&self, temporary: &str, name: &str, _: &File) -> io::Result<bool> {
        match fs::hard_link(self.0.join(temporary), self.0.join(name)) {
            Ok(()) => return Ok(true),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Err(e),
            Err(_) => {}
        }
        let copy = || {
            let mut to = self.create(name)?;
            io::copy(&mut File::open(self.0.join(temporary))?, &mut to)?;
            to.sync_all()
        };
        match copy() {
            Ok(()) => Ok(false),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Err(e),
            Err(e) => {
                let _ = self.remove(name);
                Err(e)
            }
        }
    }

    pub(super) fn protect(&self, name: &str, _: &File) -> io::Result<()> {
        self.set_readonly(name, true)
    }

    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        // Windows deletes no read-only file.
        self.set_readonly(name, false)?;
        fs::remove_file(self.0.join(name))
    }

    fn set_readonly(&self, name: &str, readonly: bool) -> io::Result<()> {
        let path = self.0.join(name);
        let mut permissions = fs::symlink_metadata(&path)?.permissions();
        permissions.set_readonly(readonly);
        fs::set_permissions(path, permissions)
    }

    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "unix needs both")]
    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn names(&self) -> io::Result<impl Iterator<Item = io::Result<String>> + use<>> {
        Ok(fs::read_dir(&self.0)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())))
    }

    /// What is there under a name; `None` when it has just gone.
    pub(super) fn entry(&self, name: &str) -> io::Result<Option<Entry>> {
        match fs::symlink_metadata(self.0.join(name)) {
            Ok(meta) => kind(&meta).map(Some),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }
}

fn kind(meta: &Metadata) -> io::Result<Entry> {
    Ok(match (meta.is_file(), meta.is_dir()) {
        (true, _) => Entry::Object { size: meta.len(), modified: meta.modified()? },
        (_, true) => Entry::Folder,
        _ => Entry::Strange,
    })
}

/// A file that nobody else can open and that goes with its last handle, where the system can do so.
pub(in crate::sink) fn unlinked_file(directory: &Path) -> io::Result<File> {
    fs::create_dir_all(directory)?;
    let name = super::temporary_name().map_err(io::Error::other)?;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(windows)]
    {
        use std::os::windows::fs::OpenOptionsExt;

        const READ_WRITE_DELETE: u32 = 0x8000_0000 | 0x4000_0000 | 0x0001_0000;
        const DELETE_ON_CLOSE: u32 = 0x0400_0000;
        options.access_mode(READ_WRITE_DELETE).share_mode(0).custom_flags(DELETE_ON_CLOSE);
    }
    options.open(directory.join(name))
}

/// Reads at a place; one reader at a time, since the position belongs to the file.
pub(in crate::sink) fn read_exact_at(
    mut file: &File,
    buffer: &mut [u8],
    at: u64,
) -> io::Result<()> {
    static POSITION: Mutex<()> = Mutex::new(());
    let _turn = POSITION.lock().unwrap_or_else(PoisonError::into_inner);
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(buffer)
}
