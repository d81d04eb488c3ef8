//! Small files that hold a secret: readable by their owner alone, never half written.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use zeroize::Zeroizing;

use super::{hex, random};
use crate::error::{Error, ErrorKind, Result};

/// The whole file. `KeyUnavailable` when it is missing, not a file, longer than `limit`, or open
/// to others than its owner.
pub(super) fn read(path: &Path, limit: u64) -> Result<Zeroizing<Vec<u8>>> {
    let unavailable = |message: &str| {
        Error::new(ErrorKind::KeyUnavailable, message.to_owned()).on(path.display())
    };
    let mut file = File::open(path).map_err(|e| {
        let help = match e.kind() {
            io::ErrorKind::NotFound => "check the path, or mount the medium that holds the file",
            _ => "check that this user may read the file",
        };
        unavailable("the key's file cannot be opened").help(help).with_source(e)
    })?;
    let metadata = file.metadata().map_err(Error::from)?;
    if !metadata.is_file() {
        return Err(unavailable("the key's path is not a file"));
    }
    check_mode(&metadata, path)?;
    if metadata.len() > limit {
        return Err(unavailable("the key's file is too long").help("is it the right file?"));
    }
    // Room for all of it at once: a buffer that grows leaves copies behind.
    let capacity = usize::try_from(metadata.len()).unwrap_or_default().saturating_add(1);
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
    (&mut file).take(metadata.len()).read_to_end(&mut bytes).map_err(Error::from)?;
    Ok(bytes)
}

/// The same for a file of text, which [`read`] gives when it is UTF-8; else `KeyUnavailable`.
pub(super) fn read_text(path: &Path, limit: u64) -> Result<Zeroizing<String>> {
    let mut bytes = read(path, limit)?;
    String::from_utf8(std::mem::take(&mut *bytes)).map(Zeroizing::new).map_err(|e| {
        drop(Zeroizing::new(e.into_bytes()));
        Error::new(ErrorKind::KeyUnavailable, "the key's file is not text").on(path.display())
    })
}

#[cfg(unix)]
fn check_mode(metadata: &fs::Metadata, path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let for_others = metadata.permissions().mode() & 0o077;
    if for_others == 0 {
        return Ok(());
    }
    Err(Error::new(ErrorKind::KeyUnavailable, "others than the owner can read the key's file")
        .on(path.display())
        .help(format!("run: chmod 600 {}", path.display())))
}

#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "the same signature on all systems")]
fn check_mode(_: &fs::Metadata, _: &Path) -> Result<()> {
    Ok(())
}

/// Writes a file that must not exist yet, mode 0600; it is durable on return. `AlreadyExists` when
/// it does; after any other error it is removed again.
pub(super) fn create(path: &Path, content: &[u8]) -> Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(|e| Error::from(e).on(path.display()))?;
    let written = file.write_all(content).and_then(|()| file.sync_all());
    if let Err(e) = written.and_then(|()| sync_parent(path)) {
        // The error that matters is the first one.
        let _ = fs::remove_file(path);
        return Err(Error::from(e).on(path.display()));
    }
    Ok(())
}

/// Replaces a file as a whole: readers see the old or the new content, also after a crash.
pub(super) fn replace(path: &Path, content: &[u8]) -> Result<()> {
    let name = format!(".tmp-{}", hex::encode(&random::<8>()?));
    let temporary = path.with_file_name(name);
    create(&temporary, content)?;
    let moved = fs::rename(&temporary, path).and_then(|()| sync_parent(path));
    moved.map_err(|e| {
        let _ = fs::remove_file(&temporary);
        Error::from(e).on(path.display())
    })
}

#[cfg(unix)]
fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(not(unix))]
fn sync_parent(_: &Path) -> io::Result<()> {
    Ok(())
}
