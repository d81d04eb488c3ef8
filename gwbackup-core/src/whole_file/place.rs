//! The file itself: finding, reading and replacing it.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::error::{Error, ErrorKind, Result};

const BUFFER: usize = 256 << 10;

/// Where the file lies.
#[derive(Debug, Clone)]
pub(super) struct Place(Arc<Path>);

/// The content that a file had: its SHA-256, or nothing for no file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Digest(Option<[u8; 32]>);

impl Digest {
    pub(super) fn text(self) -> String {
        let Some(digest) = self.0 else { return "absent".to_owned() };
        let [high, low] = [0, 16].map(|at| {
            digest.iter().skip(at).take(16).fold(0_u128, |sum, byte| sum << 8 | u128::from(*byte))
        });
        format!("{high:032x}{low:032x}")
    }
}

impl Place {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(path.into())
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    fn fail(&self, error: io::Error) -> Error {
        Error::from(error).on(self.0.display())
    }

    /// The file behind links, and whether it is there.
    fn real(&self) -> Result<(PathBuf, bool)> {
        match fs::canonicalize(&self.0) {
            Ok(real) if fs::metadata(&real).map_err(|e| self.fail(e))?.is_file() => {
                Ok((real, true))
            }
            Ok(_) => Err(Error::invalid("this is no regular file").on(self.0.display())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if fs::symlink_metadata(&self.0).is_ok() {
                    return Err(Error::invalid("a symbolic link that leads nowhere")
                        .on(self.0.display())
                        .help("remove the link or create the file that it names"));
                }
                let parent = self.0.parent().unwrap_or(&self.0);
                if !parent.is_dir() {
                    return Err(Error::new(ErrorKind::NotFound, "the directory does not exist")
                        .on(parent.display())
                        .help("create the directory, or correct the path"));
                }
                Ok((self.0.to_path_buf(), false))
            }
            Err(error) => Err(self.fail(error)),
        }
    }

    /// The open file; `None` where there is none.
    pub(super) fn open(&self) -> Result<Option<File>> {
        let (real, there) = self.real()?;
        if !there {
            return Ok(None);
        }
        File::open(real).map(Some).map_err(|e| self.fail(e))
    }

    /// `Denied` where the file or its directory is read-only by its permissions.
    pub(super) fn writable(&self) -> Result<()> {
        let (real, there) = self.real()?;
        let read_only = |path: &Path| {
            let permissions = fs::metadata(path).map_err(|e| self.fail(e))?.permissions();
            Ok::<_, Error>(permissions.readonly())
        };
        let directory = real.parent().unwrap_or(&real);
        if read_only(directory)? || (there && read_only(&real)?) {
            return Err(Error::new(ErrorKind::Denied, "the file may not be written")
                .on(self.0.display())
                .help("give write permission on the file and its directory"));
        }
        Ok(())
    }

    pub(super) fn digest(&self) -> Result<Digest> {
        self.with_reader(|input| {
            loop {
                let read = input.fill_buf()?.len();
                if read == 0 {
                    return Ok(());
                }
                input.consume(read);
            }
        })
        .map(|(_, digest)| digest)
    }

    /// Runs `read` over the file and says which content it was; `None` where there is no file.
    pub(super) fn with_reader<T>(
        &self,
        read: impl FnOnce(&mut dyn BufRead) -> Result<T>,
    ) -> Result<(Option<T>, Digest)> {
        let Some(file) = self.open()? else { return Ok((None, Digest(None))) };
        let mut input = BufReader::with_capacity(BUFFER, Hashing { file, digest: Sha256::new() });
        let value = read(&mut input)?;
        let mut hashing = input.into_inner();
        io::copy(&mut hashing, &mut io::sink()).map_err(|e| self.fail(e))?;
        Ok((Some(value), Digest(Some(hashing.digest.finalize().into()))))
    }

    /// Replaces the file by what `write` writes, all or nothing. `Conflict` when the file has no
    /// longer the content `unless_changed`.
    pub(super) fn replace(
        &self,
        unless_changed: Option<Digest>,
        write: impl FnOnce(&mut dyn Write) -> Result<()>,
    ) -> Result<()> {
        let (real, there) = self.real()?;
        let directory = real.parent().unwrap_or(&real).to_path_buf();
        let kept = there.then(|| fs::metadata(&real).map(|m| m.permissions())).transpose();
        let mut new =
            Unfinished::create(&real, kept.map_err(|e| self.fail(e))?).map_err(|e| self.fail(e))?;
        write(&mut new.out)?;
        new.out.flush().and_then(|()| new.out.get_ref().sync_all()).map_err(|e| self.fail(e))?;
        if let Some(expected) = unless_changed
            && self.digest()? != expected
        {
            return Err(moved());
        }
        new.move_to(&real).and_then(|()| sync_directory(&directory)).map_err(|e| self.fail(e))
    }
}

/// The file is not the one that the plan was made for.
pub(super) fn moved() -> Error {
    Error::new(ErrorKind::Conflict, "the file has changed since the plan was made")
        .help("make the plan again")
}

struct Hashing {
    file: File,
    digest: Sha256,
}

impl Read for Hashing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.digest.update(buffer.get(..read).unwrap_or_default());
        Ok(read)
    }
}

/// A file beside the one that it will replace; removed unless it gets there.
struct Unfinished {
    path: PathBuf,
    out: BufWriter<File>,
    done: bool,
}

impl Unfinished {
    fn create(beside: &Path, permissions: Option<Permissions>) -> io::Result<Self> {
        let mut name = std::ffi::OsString::from(".");
        name.push(beside.file_name().unwrap_or_default());
        // Random, so that two restores never write into one file.
        name.push(format!(".{}.new", uuid::Uuid::now_v7().simple()));
        let path = beside.with_file_name(name);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path)?;
        let new = Self { path, out: BufWriter::with_capacity(BUFFER, file), done: false };
        if let Some(permissions) = permissions {
            new.out.get_ref().set_permissions(permissions)?;
        }
        Ok(new)
    }

    fn move_to(mut self, path: &Path) -> io::Result<()> {
        fs::rename(&self.path, path)?;
        self.done = true;
        Ok(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.done {
            // Nothing depends on it: at worst a file with a telling name stays.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Makes a rename durable. Elsewhere than on Unix a directory cannot be opened for it.
fn sync_directory(directory: &Path) -> io::Result<()> {
    #[cfg(unix)]
    File::open(directory)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = directory;
    Ok(())
}
