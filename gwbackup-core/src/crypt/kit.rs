//! The recovery kit: what must lie in a safe so that a repository can be used, and its trust be
//! changed, when all else is lost.

use std::fmt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use url::Url;
use zeroize::Zeroizing;

use super::age::{self, field, malformed};
use super::{AgeIdentity, DataKey, hex, secret_file};
use crate::clock::{Timestamp, rfc3339};
use crate::error::{Error, ErrorKind, Result};

const TITLE: &str = "gwbackup recovery kit";
/// Copies that a kit names.
const COPIES: usize = 64;
/// Characters of one copy's URL.
const URL: usize = 512;
/// Room for all but the URLs, so that the text never grows and leaves a copy behind.
const ROOM: usize = 4096;

/// A repository's root seed and an identity that opens all of it, with what a stranger needs to
/// know to use them. Its text is an age identity file too.
pub struct RecoveryKit {
    repository: [u8; 32],
    root: DataKey,
    identity: AgeIdentity,
    copies: Vec<Url>,
    created: Timestamp,
}

impl RecoveryKit {
    /// A kit of these parts; `root` is the seed of the root's Ed25519 key. The identity proves the
    /// repository from here on.
    ///
    /// `Conflict` when the identity names another repository; `Invalid` beyond 64 copies, for a URL
    /// longer than 512 characters, or for one that holds a password.
    pub fn new(
        repository: [u8; 32],
        root: DataKey,
        identity: AgeIdentity,
        copies: impl Into<Vec<Url>>,
        created: Timestamp,
    ) -> Result<Self> {
        if identity.repository().is_some_and(|id| id != repository) {
            return Err(Error::new(
                ErrorKind::Conflict,
                "the identity belongs to another repository",
            )
            .help("generate an identity for each repository"));
        }
        let copies = copies.into();
        if copies.len() > COPIES {
            return Err(Error::invalid(format!("a recovery kit names at most {COPIES} copies")));
        }
        if copies.iter().any(|url| url.as_str().len() > URL) {
            return Err(Error::invalid(format!("a copy's URL is longer than {URL} characters")));
        }
        if copies.iter().any(|url| url.password().is_some()) {
            return Err(Error::invalid("a copy's URL holds a password")
                .help("give the kit the URL without it, and keep the password elsewhere"));
        }
        Ok(Self { repository, root, identity: identity.bound_to(repository), copies, created })
    }

    /// Reads a kit's file. Blocking. `KeyUnavailable` when it is missing, malformed, longer than
    /// 64 KiB, or open to others than its owner.
    pub fn open(path: &Path) -> Result<Self> {
        let text = secret_file::read_text(path, age::LIMIT)?;
        Self::parse(&text).map_err(|e| e.on(path.display()))
    }

    /// Writes the kit to a file of mode 0600. Blocking; durable on return. `AlreadyExists` when
    /// something is there: nothing is ever overwritten.
    pub fn write(&self, path: &Path) -> Result<()> {
        secret_file::create(path, self.to_text()?.as_bytes())
    }

    /// The repository.
    pub fn repository(&self) -> &[u8; 32] {
        &self.repository
    }

    /// The seed of the root's Ed25519 key.
    pub fn root(&self) -> &DataKey {
        &self.root
    }

    /// The identity, which proves the repository.
    pub fn identity(&self) -> &AgeIdentity {
        &self.identity
    }

    /// Where the copies of the repository were when the kit was made.
    pub fn copies(&self) -> &[Url] {
        &self.copies
    }

    /// When the kit was made, to the millisecond once it has been text.
    pub fn created(&self) -> Timestamp {
        self.created
    }

    /// The kit as text for people and for [`parse`](Self::parse), wiped when dropped.
    pub fn to_text(&self) -> Result<Zeroizing<String>> {
        let urls: usize = self.copies.iter().map(|url| url.as_str().len() + 16).sum();
        let mut text = Zeroizing::new(String::with_capacity(ROOM + urls));
        let mut line = |parts: &[&str]| {
            for part in parts {
                text.push_str(part);
            }
            text.push('\n');
        };
        line(&["# ", TITLE]);
        line(&["#"]);
        line(&["# repository: ", &hex::encode(&self.repository)]);
        line(&["# date: ", &rfc3339(self.created)]);
        for url in &self.copies {
            line(&["# copy: ", url.as_str()]);
        }
        line(&["#"]);
        for words in INSTRUCTIONS {
            line(&[if words.is_empty() { "#" } else { "# " }, words]);
        }
        line(&["#"]);
        line(&["# root: ", &Zeroizing::new(BASE64.encode(self.root.expose()))]);
        line(&[&self.identity.to_text()?]);
        Ok(text)
    }

    /// Reads a kit's text. Lines that it does not know are passed over if they are comments.
    /// `KeyUnavailable` when a part is missing, stands twice or is malformed; the text is never
    /// quoted.
    pub fn parse(text: &str) -> Result<Self> {
        let identity = AgeIdentity::from_text(text)?;
        let repository =
            identity.repository().ok_or_else(|| malformed("no repository id in it", 0))?;
        let (mut root, mut created, mut copies) = (None, None, Vec::new());
        for (at, line) in (1..).zip(text.lines()) {
            let second = if let Some(value) = field(line, "root") {
                root.replace(seed(value).ok_or_else(|| malformed("bad root seed", at))?).is_some()
            } else if let Some(value) = field(line, "date") {
                let date = value.parse().map_err(|_| malformed("bad date", at))?;
                created.replace(date).is_some()
            } else if let Some(value) = field(line, "copy") {
                copies.push(Url::parse(value).map_err(|_| malformed("bad URL", at))?);
                false
            } else {
                false
            };
            if second {
                return Err(malformed("the same field again", at));
            }
        }
        let root = root.ok_or_else(|| malformed("no root seed in it", 0))?;
        let created = created.ok_or_else(|| malformed("no date in it", 0))?;
        Self::new(repository, root, identity, copies, created)
            .map_err(|_| malformed("too many copies, or a URL that a kit cannot hold", 0))
    }
}

impl fmt::Debug for RecoveryKit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecoveryKit({})", hex::encode(&self.repository))
    }
}

fn seed(text: &str) -> Option<DataKey> {
    let bytes = Zeroizing::new(BASE64.decode(text).ok()?);
    bytes.as_slice().try_into().map(DataKey::new).ok()
}

/// What a finder of the kit must know. No line may look like one of the kit's fields.
const INSTRUCTIONS: &[&str] = &[
    "This file opens every backup in the repository named above, with the secrets",
    "in them, and can change who is trusted there. So can whoever holds it.",
    "",
    "Keep it offline: print it, or put it on a medium that lies in a safe. Keep it",
    "apart from the backups, and never below a directory that holds one. Two kits",
    "in two places are better than one.",
    "",
    "To list and restore with it, copy it to a file that you alone can read, and",
    "name that file as the key:",
    "",
    "  chmod 600 /path/kit.txt",
    "  gwbackup --key age-file:///path/kit.txt ...",
    "",
    "The last line is an age identity: the age tool opens the wrapped keys with it,",
    "should gwbackup not be at hand. The line before it is the root seed, needed",
    "only to add or remove those who may sign or open backups; without it all goes",
    "on, but that can no longer be changed.",
    "",
    "Delete the copy when you are done. If you think that somebody else has seen",
    "this text, make a new repository and copy the backups into it.",
];

#[cfg(test)]
mod tests;
