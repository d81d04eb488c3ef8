//! What would go wrong with a file that Kong loads, though it can be written.

use std::collections::HashMap;

use gwbackup_core::model::{Change, ChangeNo, Finding, Key, Resource, Verdict};

use crate::schema::SETTINGS;

/// How a credential's secret stands in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// As Kong stores it; to be loaded with `_transform: false`.
    Hash,
    /// As its owner types it; Kong hashes it when it loads the file, unless told not to.
    Clear,
}

/// The form of a secret that Kong hashes; `None` for what it leaves alone.
pub(super) fn form(kind: &str, secret: &str, hash_secret: bool) -> Option<Form> {
    // A reference into a vault, or a placeholder of decK's: nobody knows what is behind.
    if secret.starts_with("{vault://") || secret.contains("${{") {
        return None;
    }
    let hash = match kind {
        "basicauth_credential" => {
            secret.len() == 40 && secret.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        }
        "oauth2_credential" if hash_secret => secret.starts_with('$'),
        _ => return None,
    };
    Some(if hash { Form::Hash } else { Form::Clear })
}

/// The member that holds such a secret.
pub(super) fn secret_member(kind: &str) -> Option<&'static str> {
    match kind {
        "basicauth_credential" => Some("password"),
        "oauth2_credential" => Some("client_secret"),
        _ => None,
    }
}

/// The longest time to live that Kong takes, in seconds: a greater number is a moment.
pub(super) const MAX_TTL: i64 = 100_000_000;

/// Looks at the resources of a file that is to be written, as far as a restore changes them.
#[derive(Debug)]
pub(super) struct Check<'a> {
    changes: HashMap<&'a Key, ChangeNo>,
    /// Whether the restore changes what the file says of itself.
    settings: bool,
    /// What the file says of hashing; a file that says nothing is hashed.
    transform: bool,
    hashes: Found,
    clear: Found,
    counted_down: Found,
}

/// Credentials of one sort: the first of them, and how many.
#[derive(Debug, Default)]
struct Found {
    first: Option<(Key, Option<ChangeNo>)>,
    number: usize,
}

impl<'a> Check<'a> {
    pub(super) fn new(changes: &'a [Change]) -> Self {
        let keys = || changes.iter().map(Change::target_key);
        Self {
            changes: keys().zip(changes.iter().map(|change| change.no)).collect(),
            settings: keys().any(|key| key.kind.as_str() == SETTINGS),
            transform: true,
            hashes: Found::default(),
            clear: Found::default(),
            counted_down: Found::default(),
        }
    }

    /// Takes the next resource of the file, in the order of keys.
    pub(super) fn see(&mut self, resource: &Resource) {
        let kind = resource.key.kind.as_str();
        if kind == SETTINGS {
            self.transform = resource.document.get("/_transform") != Some("false");
        }
        // What was so before, in the file or in the backup, is not the restore's to refuse: only a
        // secret and a file's word about secrets that come together now.
        let change = self.changes.get(&resource.key).copied();
        if change.is_some() != self.settings
            && let Some(member) = secret_member(kind)
            && let Some(secret) = resource.document.text(&format!("/{member}"))
        {
            let hash_secret = resource.document.get("/hash_secret") == Some("true");
            match form(kind, &secret, hash_secret) {
                Some(Form::Hash) => self.hashes.add(&resource.key, change),
                Some(Form::Clear) => self.clear.add(&resource.key, change),
                None => {}
            }
        }
        let ttl = resource.document.get("/ttl").and_then(|ttl| ttl.parse::<i64>().ok());
        if change.is_some() && ttl.is_some_and(|ttl| ttl <= MAX_TTL) {
            self.counted_down.add(&resource.key, change);
        }
    }

    pub(super) fn findings(self) -> Vec<Finding> {
        let passwords = if self.transform {
            self.hashes.finding(
                Verdict::Failed,
                "the secret is a hash, and the file does not say \
                `_transform: false`, so that Kong would hash it once more and refuse every login: \
                say so in the file, or leave such credentials out",
            )
        } else {
            self.clear.finding(
                Verdict::Failed,
                "the secret is clear text, and the file says \
                `_transform: false`, so that Kong would take it for a hash and refuse every login: \
                remove that line from the file, or leave such credentials out",
            )
        };
        let ttl = self.counted_down.finding(
            Verdict::Warning,
            "the time to live is in seconds \
            left; a node without a database that loads the file takes it for a moment long gone \
            and drops the credential",
        );
        passwords.into_iter().chain(ttl).collect()
    }
}

impl Found {
    fn add(&mut self, key: &Key, change: Option<ChangeNo>) {
        self.first.get_or_insert_with(|| (key.clone(), change));
        self.number += 1;
    }

    fn finding(self, verdict: Verdict, what: &str) -> Option<Finding> {
        let (key, change) = self.first?;
        let others = match self.number {
            1 => String::new(),
            number => format!("; so it is with {} more", number - 1),
        };
        let finding = Finding::new(key.to_string(), verdict, format!("{what}{others}"));
        Some(match change {
            Some(change) => finding.about(change),
            None => finding,
        })
    }
}
