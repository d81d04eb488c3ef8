//! A key file: the secret that opens a repository, as lines of text.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use zeroize::Zeroizing;

use super::keys::RecipientState;
use super::wrap::{key_id, unwrap_with, wrap_with};
use super::{
    DataKey, KeyContext, KeyProvider, Recipient, RecipientKind, Right, WrapBody, hex, secret_file,
};
use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};

const MAGIC: &str = "gwbackup-key-v1";
const LIMIT: u64 = 64 * 1024;

/// A key provider whose secrets stand in one file, readable by its owner alone. The newest version
/// wraps; every version in the file unwraps.
#[derive(Debug)]
pub struct KeyFile {
    path: PathBuf,
    repository: Mutex<Option<[u8; 32]>>,
    keys: Vec<Version>,
    rights: Vec<Right>,
}

#[derive(Debug)]
struct Version {
    number: u32,
    id: String,
    key: DataKey,
}

impl KeyFile {
    /// Reads a key file. Blocking. `KeyUnavailable` when it is missing, malformed, longer than
    /// 64 KiB, or open to others than its owner.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let text = secret_file::read_text(&path, LIMIT)?;
        let (repository, keys) = parse(&text).map_err(|e| e.on(path.display()))?;
        let rights = Right::ALL.to_vec();
        Ok(Self { path, repository: Mutex::new(repository), keys, rights })
    }

    /// Writes a new key file with one fresh key of version 1, and opens it. Blocking; durable on
    /// return. `AlreadyExists` when something is there: nothing is ever overwritten.
    pub fn generate(path: impl Into<PathBuf>, repository: Option<[u8; 32]>) -> Result<Self> {
        let path = path.into();
        let key = DataKey::generate()?;
        let mut text = Zeroizing::new(String::with_capacity(512));
        text.push_str(MAGIC);
        text.push('\n');
        if let Some(id) = repository {
            text.push_str(&repository_line(&id));
        }
        text.push_str("key: 1 ");
        BASE64.encode_string(key.expose(), &mut text);
        text.push('\n');
        secret_file::create(&path, text.as_bytes())?;
        Self::open(path)
    }

    /// The same with fewer rights, as the trust document will state them. All three by default.
    #[must_use]
    pub fn with_rights(mut self, rights: impl Into<Vec<Right>>) -> Self {
        self.rights = rights.into();
        self
    }

    /// Writes the repository's id into the file, so that the file proves it from now on. Blocking;
    /// the file is replaced as a whole, the rest of its text stays. Doing it again is no change;
    /// `Conflict` when it names another repository.
    pub fn bind(&self, repository: [u8; 32]) -> Result<()> {
        let mut bound = self.repository.lock().unwrap_or_else(PoisonError::into_inner);
        let text = secret_file::read_text(&self.path, LIMIT)?;
        let (present, _) = parse(&text).map_err(|e| e.on(self.path.display()))?;
        match present {
            Some(id) if id == repository => {}
            Some(_) => {
                return Err(Error::new(
                    ErrorKind::Conflict,
                    "the key file belongs to another repository",
                )
                .on(self.path.display())
                .help("use a key file of its own for each repository"));
            }
            None => {
                let at = end_of_magic(&text).unwrap_or_default();
                let (head, rest) = text.split_at(at);
                let line = repository_line(&repository);
                let mut new = Zeroizing::new(String::with_capacity(text.len() + line.len()));
                new.push_str(head);
                new.push_str(&line);
                new.push_str(rest);
                secret_file::replace(&self.path, new.as_bytes())?;
            }
        }
        *bound = Some(repository);
        Ok(())
    }

    /// The repository that the file names.
    pub fn repository(&self) -> Option<[u8; 32]> {
        *self.repository.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl KeyProvider for KeyFile {
    fn address(&self) -> String {
        format!("key-file:{}", self.path.display())
    }

    async fn proves(&self, _: &Context) -> Result<Option<String>> {
        Ok(self.repository().map(|id| hex::encode(&id)))
    }

    async fn recipient(&self, _: &Context) -> Result<Recipient> {
        let newest = self.newest()?;
        Ok(Recipient {
            id: newest.id.clone(),
            version: newest.number,
            rights: self.rights.clone(),
            state: RecipientState::Active,
            kind: RecipientKind::Secret { argon2: None },
        })
    }

    async fn wrap(&self, _: &Context, key: &DataKey, context: &KeyContext) -> Result<WrapBody> {
        wrap_with(&self.newest()?.key, key, context)
    }

    async fn unwrap(
        &self,
        _: &Context,
        recipient: &Recipient,
        body: &WrapBody,
        context: &KeyContext,
    ) -> Result<DataKey> {
        let held =
            self.keys.iter().find(|version| version.id == recipient.id).ok_or_else(|| {
                Error::new(
                    ErrorKind::KeyUnavailable,
                    "the key file does not hold this recipient's key",
                )
                .on(&recipient.id)
                .help("use the key file that belongs to the repository")
            })?;
        unwrap_with(&held.key, body, context)
    }

    fn local_path(&self) -> Option<PathBuf> {
        Some(self.path.clone())
    }
}

impl KeyFile {
    fn newest(&self) -> Result<&Version> {
        self.keys.first().ok_or_else(|| malformed("no key in it", 0))
    }
}

fn repository_line(id: &[u8; 32]) -> String {
    format!("repository: {}\n", hex::encode(id))
}

/// Where the line of the magic word ends.
fn end_of_magic(text: &str) -> Option<usize> {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        at += line.len();
        if content(line) == MAGIC {
            return line.ends_with('\n').then_some(at);
        }
    }
    None
}

/// A line without comment and spaces around.
fn content(line: &str) -> &str {
    line.split_once('#').map_or(line, |(before, _)| before).trim()
}

fn parse(text: &str) -> Result<(Option<[u8; 32]>, Vec<Version>)> {
    let mut lines = (1..).zip(text.lines().map(content)).filter(|(_, line)| !line.is_empty());
    match lines.next() {
        Some((_, MAGIC)) => {}
        Some((at, _)) => return Err(malformed("it does not begin with gwbackup-key-v1", at)),
        None => return Err(malformed("it is empty", 0)),
    }
    let mut repository = None;
    let mut keys = Vec::<Version>::new();
    for (at, line) in lines {
        if let Some(id) = line.strip_prefix("repository:") {
            let id = hex::decode(id.trim()).ok_or_else(|| malformed("bad repository id", at))?;
            if repository.replace(id).is_some() {
                return Err(malformed("a second repository id", at));
            }
        } else if let Some(key) = line.strip_prefix("key:") {
            let version = parse_key(key).ok_or_else(|| malformed("bad key", at))??;
            // Newest first: the first one wraps, so a wrong order would be a silent step back.
            if keys.last().is_some_and(|newer| newer.number <= version.number) {
                return Err(malformed("versions do not fall from line to line", at));
            }
            keys.push(version);
        } else {
            return Err(malformed("unknown line", at));
        }
    }
    if keys.is_empty() {
        return Err(malformed("no key in it", 0));
    }
    Ok((repository, keys))
}

fn parse_key(text: &str) -> Option<Result<Version>> {
    let (number, encoded) = text.trim().split_once(char::is_whitespace)?;
    let number = number.parse().ok().filter(|number| *number > 0)?;
    let bytes = Zeroizing::new(BASE64.decode(encoded.trim()).ok()?);
    let key = DataKey::new(bytes.as_slice().try_into().ok()?);
    Some(key_id(&key).map(|id| Version { number, id, key }))
}

fn malformed(what: &str, line: usize) -> Error {
    let place = if line == 0 { String::new() } else { format!(" in line {line}") };
    Error::new(ErrorKind::KeyUnavailable, format!("the key file is malformed: {what}{place}"))
        .help("restore the key file from its copy; do not edit it")
}

#[cfg(test)]
mod tests;
