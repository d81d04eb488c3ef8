//! A directory as a sink: the one place of the library that names objects as files.

mod list;
#[cfg(not(unix))]
mod other;
#[cfg(unix)]
mod unix;

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use url::Url;

#[cfg(not(unix))]
use other as platform;
#[cfg(unix)]
use unix as platform;

use self::platform::Folder;
use super::{Body, Listed, ObjectMeta, ObjectName, Sink, SinkInfo};
use crate::clock::Timestamp;
use crate::context::Context;
use crate::crypt::random;
use crate::error::{Error, ErrorKind, Result};
use crate::source::BoxStream;
use crate::task::blocking;

pub(super) use self::platform::{read_exact_at, unlinked_file};

/// How every file begins that is not an object yet.
const TEMPORARY: &str = ".tmp-";
/// How much of a body is in memory at a time.
const BLOCK: u64 = 1 << 20;

/// A directory of this machine, or of a mounted medium.
///
/// An object is written under a temporary name, made durable, and only then given its own name by
/// a hard link, so that nobody sees half of it and no name is ever given twice. Nothing below the
/// directory is reached through a symbolic link. Files are read-only and belong to their writer
/// alone, where the file system knows such rights. The directory itself is made by the first write; until then it reads as empty.
///
/// Where the file system knows neither hard links nor a rename that replaces nothing, objects are
/// made in place, a crash can leave one half written, and [`SinkInfo::exclusive_create`] is false.
///
/// On Windows a directory's entries cannot be made durable by themselves; the rest holds.
#[derive(Clone)]
pub struct DirectorySink {
    root: Arc<Path>,
    exclusive: Arc<AtomicBool>,
}

impl DirectorySink {
    /// The sink below `path`, which is made absolute. Tries out what the file system can do when
    /// the directory is there and can be written; changes nothing otherwise. `Invalid` for an empty
    /// path or one that is no directory.
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        blocking(move || {
            let root = std::path::absolute(&path).map_err(|e| Error::invalid(e.to_string()))?;
            let sink = Self { root: root.into(), exclusive: Arc::new(AtomicBool::new(true)) };
            match platform::root(&sink.root, false) {
                Ok(folder) => sink.probe(&folder),
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) if e.kind() == io::ErrorKind::NotADirectory => {
                    return Err(Error::invalid("this is no directory").on(&sink));
                }
                Err(e) => return Err(Error::from(e).on(&sink)),
            }
            Ok(sink)
        })
        .await
    }

    /// A medium that cannot be written says so at the first write, not here.
    fn probe(&self, folder: &Folder) {
        let Ok(temporary) = temporary_name() else { return };
        let Ok(file) = folder.create(&temporary) else { return };
        let second = format!("{temporary}-link");
        if let Ok(exclusive) = folder.publish(&temporary, &second, &file) {
            self.exclusive.store(exclusive, Ordering::Relaxed);
        }
        // What stays behind is swept a day later.
        let _ = folder.remove(&temporary);
        let _ = folder.remove(&second);
    }

    fn folder_of(&self, name: &ObjectName, create: bool) -> io::Result<(Folder, String)> {
        let mut folder = platform::root(&self.root, create)?;
        let mut parts = name.as_str().split('/');
        let last = parts.next_back().unwrap_or_default().to_owned();
        for part in parts {
            folder = folder.child(part, create)?;
        }
        Ok((folder, last))
    }

    fn open_object(&self, name: &ObjectName) -> Result<(File, u64, Timestamp)> {
        let open = || {
            let (folder, file) = self.folder_of(name, false)?;
            let file = folder.open(&file)?;
            let meta = file.metadata()?;
            Ok((file, meta.len(), meta.modified()?))
        };
        let (file, size, modified) = open().map_err(|e| fault(e, name))?;
        Ok((file, size, timestamp(modified)?))
    }

    /// The write protocol. After an error the name is as it was before.
    fn place(&self, name: &ObjectName, write: impl FnOnce(&mut File) -> Result<()>) -> Result<()> {
        let (folder, last) = self.folder_of(name, true).map_err(|e| match e.kind() {
            io::ErrorKind::NotADirectory => {
                Error::invalid("a part of the name is an object, not a folder").on(name)
            }
            _ => fault(e, name),
        })?;
        let temporary = temporary_name()?;
        let mut file = folder.create(&temporary).map_err(|e| fault(e, name))?;
        let placed = write(&mut file)
            .and_then(|()| file.sync_all().map_err(|e| fault(e, name)))
            .and_then(|()| self.publish(&folder, &temporary, &last, &file, name));
        // The object is there or not by now. A name that stays behind is swept a day later (a
        // rename has moved it), and some file systems know no read-only files.
        let _ = folder.remove(&temporary);
        if placed.is_ok() {
            let _ = folder.protect(&last, &file);
        }
        placed
    }

    fn publish(
        &self,
        folder: &Folder,
        temporary: &str,
        last: &str,
        file: &File,
        name: &ObjectName,
    ) -> Result<()> {
        match folder.publish(temporary, last, file) {
            Ok(exclusive) => self.exclusive.store(exclusive, Ordering::Relaxed),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                // Its writer may have died before this; whoever reads it back relies on it.
                folder.sync().map_err(|e| fault(e, name))?;
                return Err(Error::new(ErrorKind::AlreadyExists, "the name is taken").on(name));
            }
            Err(e) => return Err(fault(e, name)),
        }
        folder.sync().map_err(|e| {
            // Not durable, so it must not be found by a reader who would trust it.
            let _ = folder.remove(last);
            fault(e, name)
        })
    }
}

fn temporary_name() -> Result<String> {
    Ok(format!("{TEMPORARY}{:032x}", u128::from_be_bytes(random()?)))
}

/// Copies a body into a file, block by block.
fn fill(file: &mut dyn Write, cx: &Context, body: &Body) -> Result<()> {
    let mut at = 0;
    while at < body.len() {
        cx.check()?;
        let end = (at + BLOCK).min(body.len());
        file.write_all(&body.read(at..end)?)?;
        at = end;
    }
    cx.check()
}

fn read(file: &File, size: u64, range: Option<Range<u64>>) -> Result<Bytes> {
    let range = range.unwrap_or(0..size);
    if range.start > range.end || range.end > size {
        return Err(Error::corrupt("the object ends before the range"));
    }
    let too_large = || Error::new(ErrorKind::Other, "the object does not fit into memory");
    let len = usize::try_from(range.end - range.start).map_err(|_| too_large())?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len).map_err(|_| too_large())?;
    bytes.resize(len, 0);
    read_exact_at(file, &mut bytes, range.start)?;
    Ok(bytes.into())
}

/// A link or a device stands where an object or a folder belongs.
fn strange() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "this is neither a plain file nor a plain folder")
}

fn fault(e: io::Error, subject: impl fmt::Display) -> Error {
    let error = match e.kind() {
        io::ErrorKind::InvalidData => Error::corrupt(e.to_string())
            .help("objects are never reached through links: remove it, or restore the object"),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            Error::new(ErrorKind::NotFound, "there is no such object")
        }
        _ => Error::from(e),
    };
    error.on(subject)
}

fn timestamp(time: std::time::SystemTime) -> Result<Timestamp> {
    Timestamp::try_from(time).map_err(|_| Error::corrupt("a file has an impossible time"))
}

#[async_trait]
impl Sink for DirectorySink {
    fn info(&self) -> SinkInfo {
        SinkInfo {
            url: self.to_string(),
            exclusive_create: self.exclusive.load(Ordering::Relaxed),
            local_path: Some(self.root.to_path_buf()),
        }
    }

    async fn put(&self, cx: &Context, name: &ObjectName, body: &Body) -> Result<()> {
        cx.check()?;
        let (sink, cx, name, body) = (self.clone(), cx.clone(), name.clone(), body.clone());
        blocking(move || sink.place(&name, |file| fill(file, &cx, &body).map_err(|e| e.on(&name))))
            .await
    }

    async fn get(
        &self,
        cx: &Context,
        name: &ObjectName,
        range: Option<Range<u64>>,
    ) -> Result<Bytes> {
        cx.check()?;
        let (sink, name) = (self.clone(), name.clone());
        blocking(move || {
            let (file, size, _) = sink.open_object(&name)?;
            read(&file, size, range).map_err(|e| e.on(&name))
        })
        .await
    }

    async fn head(&self, cx: &Context, name: &ObjectName) -> Result<ObjectMeta> {
        cx.check()?;
        let (sink, name) = (self.clone(), name.clone());
        blocking(move || {
            let (_, size, modified) = sink.open_object(&name)?;
            Ok(ObjectMeta { name, size, modified })
        })
        .await
    }

    fn list(&self, cx: &Context, prefix: &str) -> BoxStream<Result<Listed>> {
        list::list(Arc::clone(&self.root), cx.clone(), prefix.to_owned())
    }

    async fn delete(&self, cx: &Context, name: &ObjectName) -> Result<()> {
        cx.check()?;
        let (sink, name) = (self.clone(), name.clone());
        blocking(move || {
            // Opened first: a link or a folder of that name is no object, and is left alone.
            sink.open_object(&name)?;
            let delete = || {
                let (folder, last) = sink.folder_of(&name, false)?;
                folder.remove(&last)?;
                folder.sync()
            };
            delete().map_err(|e| fault(e, &name))
        })
        .await
    }

    async fn sweep(&self, cx: &Context) -> Result<u64> {
        cx.check()?;
        let (root, cx) = (Arc::clone(&self.root), cx.clone());
        blocking(move || list::sweep(&root, &cx)).await
    }
}

impl fmt::Display for DirectorySink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Url::from_directory_path(&self.root) {
            Ok(url) => f.write_str(url.as_str().trim_end_matches('/')),
            Err(()) => write!(f, "file:{}", self.root.display()),
        }
    }
}

impl fmt::Debug for DirectorySink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirectorySink").field("root", &self.root).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
