//! Values of arguments: what each is written as.

use gwbackup::backup::BackupType;
use gwbackup::clock::Timestamp;
use gwbackup::crypt::Suite;
use gwbackup::plan::Existing;
use gwbackup::policy::Span;
use gwbackup::source::Purpose;
use gwbackup::verify::Depth;
use uuid::Uuid;

pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("a tag is NAME=VALUE".to_owned()),
    }
}

pub(super) fn app_env(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('/').map(|(app, env)| (app.to_owned(), env.to_owned()));
    parts.ok_or_else(|| "a gateway is named APP/ENV".to_owned())
}

pub(super) fn span(text: &str) -> Result<Span, String> {
    text.parse().map_err(|_| "this is no length of time; write 90s, 15m, 24h or 30d".to_owned())
}

pub(super) fn run_id(text: &str) -> Result<Uuid, String> {
    text.parse().map_err(|_| "this is no run's id; `restore` and `status` show it".to_owned())
}

pub(super) fn time(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|_| "this is no time; write 2026-11-21T12:00:00Z".to_owned())
}

/// A parser for a choice by name.
fn choice<T: Copy>(text: &str, known: &[(&str, T)]) -> Result<T, String> {
    known.iter().find(|(name, _)| *name == text).map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        format!("known are {}", names.join(", "))
    })
}

pub(super) fn suite(text: &str) -> Result<Suite, String> {
    let known = [Suite::Aes256Gcm, Suite::XChaCha20Poly1305];
    choice(text, &known.map(|suite| (suite.as_str(), suite)))
}

pub(super) fn backup_type(text: &str) -> Result<BackupType, String> {
    let incremental = BackupType::Incremental;
    choice(
        text,
        &[("auto", BackupType::Auto), ("full", BackupType::Full), ("incremental", incremental)],
    )
}

pub(super) fn percent(text: &str) -> Result<u8, String> {
    let number = text.strip_suffix('%').unwrap_or(text).parse();
    let fits = number.ok().filter(|percent| (1..=100).contains(percent));
    fits.ok_or_else(|| "a sample is 1% to 100%".to_owned())
}

pub(super) fn depth(text: &str) -> Result<Depth, String> {
    let known =
        [("manifest", Depth::Manifest), ("checksum", Depth::Checksum), ("full", Depth::Full)];
    choice(text, &known)
}

pub(super) fn purpose(text: &str) -> Result<Purpose, String> {
    choice(text, &[("backup", Purpose::Backup), ("restore", Purpose::Restore)])
}

pub(super) fn policy(text: &str) -> Result<(Option<String>, Existing), String> {
    match text.split_once('=') {
        Some((kind, policy)) => Ok((Some(kind.to_owned()), existing(policy)?)),
        None => Ok((None, existing(text)?)),
    }
}

fn existing(text: &str) -> Result<Existing, String> {
    choice(
        text,
        &[
            ("update", Existing::Update),
            ("skip", Existing::Skip),
            ("replace", Existing::Replace),
            ("adopt", Existing::Adopt),
            ("fail", Existing::Fail),
        ],
    )
}
