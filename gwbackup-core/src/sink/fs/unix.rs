//! Folders by descriptor: no path is walked twice, and no link is followed below the root.

use std::ffi::OsStr;
use std::fs::{DirBuilder, File, Permissions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::strange;

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
const OWNER: Mode = Mode::RUSR.union(Mode::WUSR);

/// An open directory.
#[derive(Debug)]
pub(super) struct Folder(OwnedFd);

/// What an entry of a folder is.
pub(super) enum Entry {
    Object { size: u64, modified: SystemTime },
    Folder,
    Strange,
}

/// How a finished file gets its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Link,
    Rename,
    Copy,
}

/// The directory that everything lies below; links on the way to it are its owner's choice.
pub(super) fn root(path: &Path, create: bool) -> io::Result<Folder> {
    match rustix::fs::openat(CWD, path, FOLDER, Mode::empty()) {
        Err(Errno::NOENT) if create => {
            make_root(path)?;
            Ok(Folder(rustix::fs::openat(CWD, path, FOLDER, Mode::empty())?))
        }
        opened => Ok(Folder(opened?)),
    }
}

fn make_root(path: &Path) -> io::Result<()> {
    let builder = || DirBuilder::new().mode(0o700).create(path);
    let parent = path.parent().ok_or(io::ErrorKind::NotFound)?;
    let made = match builder() {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            make_root(parent)?;
            builder()
        }
        made => made,
    };
    match made {
        // Another writer was faster.
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(e),
        _ => File::open(parent)?.sync_all(),
    }
}

impl Folder {
    pub(super) fn child(&self, name: &str, create: bool) -> io::Result<Self> {
        let open = || rustix::fs::openat(&self.0, name, FOLDER | OFlags::NOFOLLOW, Mode::empty());
        let opened = match open() {
            Err(Errno::NOENT) if create => {
                match rustix::fs::mkdirat(&self.0, name, Mode::RWXU) {
                    Ok(()) | Err(Errno::EXIST) => self.sync()?,
                    Err(e) => return Err(e.into()),
                }
                open()
            }
            opened => opened,
        };
        opened.map(Self).map_err(|e| self.judge(name, e))
    }

    /// The system's answer for a link where a folder or a file was asked for differs by platform.
    fn judge(&self, name: &str, e: Errno) -> io::Error {
        let is_link = || {
            let stat = rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW);
            stat.is_ok_and(|stat| file_type(&stat) == FileType::Symlink)
        };
        if matches!(e, Errno::LOOP | Errno::NOTDIR | Errno::MLINK) && is_link() {
            return strange();
        }
        e.into()
    }

    /// A new file, readable and writable by its owner alone.
    pub(super) fn create(&self, name: &str) -> io::Result<File> {
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&self.0, name, flags, OWNER)?.into())
    }

    pub(super) fn open(&self, name: &str) -> io::Result<File> {
        // Without the last flag, opening a pipe would wait for its writer.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file: File = rustix::fs::openat(&self.0, name, flags, Mode::empty())
            .map_err(|e| self.judge(name, e))?
            .into();
        let meta = file.metadata()?;
        match (meta.is_file(), meta.is_dir()) {
            (true, _) => Ok(file),
            (_, true) => Err(io::ErrorKind::NotFound.into()),
            _ => Err(strange()),
        }
    }

    /// Gives a finished file its name, which must be free. Answers whether that was exclusive and
    /// whole.
    pub(super) fn publish(&self, temporary: &str, name: &str, file: &File) -> io::Result<bool> {
        for way in [Way::Link, Way::Rename] {
            match self.publish_by(way, temporary, name, file) {
                Err(e) if e.kind() == io::ErrorKind::Unsupported => {}
                published => return published.map(|()| true),
            }
        }
        self.publish_by(Way::Copy, temporary, name, file).map(|()| false)
    }

    /// `Unsupported` when the file system does not know this way.
    fn publish_by(&self, way: Way, temporary: &str, name: &str, file: &File) -> io::Result<()> {
        let done = match way {
            Way::Link => rustix::fs::linkat(&self.0, temporary, &self.0, name, AtFlags::empty()),
            Way::Rename => self.rename(temporary, name),
            Way::Copy => return self.copy(name, file),
        };
        match done {
            Ok(()) => Ok(()),
            // On a network mount a repeated request can fail although the first one was done.
            Err(_) if self.is(name, file) => Ok(()),
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::MLINK) => {
                Err(io::ErrorKind::Unsupported.into())
            }
            Err(e) => Err(e.into()),
        }
    }

    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
    fn rename(&self, temporary: &str, name: &str) -> rustix::io::Result<()> {
        let flags = rustix::fs::RenameFlags::NOREPLACE;
        rustix::fs::renameat_with(&self.0, temporary, &self.0, name, flags)
    }

    #[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
    fn rename(&self, _: &str, _: &str) -> rustix::io::Result<()> {
        Err(Errno::NOSYS)
    }

    fn copy(&self, name: &str, mut from: &File) -> io::Result<()> {
        let mut to = self.create(name)?;
        let mut copy = || {
            from.seek(SeekFrom::Start(0))?;
            io::copy(&mut from, &mut to)?;
            to.flush()?;
            to.sync_all()?;
            to.set_permissions(Permissions::from_mode(0o400))
        };
        copy().inspect_err(|_| {
            let _ = self.remove(name);
        })
    }

    fn is(&self, name: &str, file: &File) -> bool {
        let there = rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW);
        match (there, rustix::fs::fstat(file)) {
            (Ok(there), Ok(own)) => there.st_ino == own.st_ino && there.st_dev == own.st_dev,
            _ => false,
        }
    }

    /// Read-only from now on.
    #[expect(clippy::unused_self, reason = "other platforms need the folder")]
    pub(super) fn protect(&self, _: &str, file: &File) -> io::Result<()> {
        file.set_permissions(Permissions::from_mode(0o400))
    }

    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.0, name, AtFlags::empty())?)
    }

    /// Makes its entries durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.0)?)
    }

    /// The names in it, one by one. What is there all the time is named once.
    pub(super) fn names(&self) -> io::Result<impl Iterator<Item = io::Result<String>> + use<>> {
        let entries = Dir::read_from(&self.0)?.map(|entry| {
            let entry = entry?;
            Ok(OsStr::from_bytes(entry.file_name().to_bytes()).to_string_lossy().into_owned())
        });
        Ok(entries.filter(|name| !matches!(name.as_deref(), Ok("." | ".."))))
    }

    /// What is there under a name; `None` when it has just gone.
    pub(super) fn entry(&self, name: &str) -> io::Result<Option<Entry>> {
        let stat = match rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        Ok(Some(match file_type(&stat) {
            FileType::RegularFile => Entry::Object {
                size: u64::try_from(stat.st_size).unwrap_or_default(),
                modified: modified(&stat),
            },
            FileType::Directory => Entry::Folder,
            _ => Entry::Strange,
        }))
    }
}

fn file_type(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

fn modified(stat: &Stat) -> SystemTime {
    let epoch = SystemTime::UNIX_EPOCH;
    #[allow(clippy::unnecessary_cast, clippy::useless_conversion, reason = "width by platform")]
    let seconds = i64::from(stat.st_mtime);
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let moment = if seconds < 0 { epoch.checked_sub(whole) } else { epoch.checked_add(whole) };
    #[allow(clippy::useless_conversion, reason = "signed on some platforms")]
    let nanos = Duration::from_nanos(u64::try_from(stat.st_mtime_nsec).unwrap_or_default());
    moment.and_then(|moment| moment.checked_add(nanos)).unwrap_or(epoch)
}

/// A file for its owner alone that has no name any more.
pub(in crate::sink) fn unlinked_file(directory: &Path) -> io::Result<File> {
    let folder = root(directory, true)?;
    let name = super::temporary_name().map_err(io::Error::other)?;
    let file = folder.create(&name)?;
    folder.remove(&name)?;
    // A file system may keep a forgotten name; what others can open must not be used.
    if file.metadata()?.nlink() > 0 {
        return Err(io::Error::other("the spool directory keeps deleted files"));
    }
    Ok(file)
}

/// Reads without moving the file's position.
pub(in crate::sink) fn read_exact_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<()> {
    file.read_exact_at(buffer, at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_gives_the_whole_file_once() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = root(scratch.path(), false).unwrap();
        for way in [Way::Link, Way::Rename, Way::Copy] {
            let [first, second, last] = ["1", "2", "object"].map(|end| format!("{way:?}-{end}"));
            let mut file = folder.create(&first).unwrap();
            file.write_all(b"first").unwrap();
            folder.publish_by(way, &first, &last, &file).unwrap();
            let mut other = folder.create(&second).unwrap();
            other.write_all(b"second").unwrap();
            let error = folder.publish_by(way, &second, &last, &other).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists, "{way:?}");
            assert_eq!(std::fs::read(scratch.path().join(&last)).unwrap(), b"first");
        }
    }

    #[test]
    fn a_repeated_link_of_the_same_file_is_no_failure() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = root(scratch.path(), false).unwrap();
        let file = folder.create("temporary").unwrap();
        assert!(folder.publish("temporary", "object", &file).unwrap());
        assert!(folder.publish("temporary", "object", &file).unwrap());
    }
}
