//! Reading URLs and paths, and showing them.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use url::Url;

use crate::error::{Error, Result};

/// Words in the name of a query value that make it a secret.
const SECRET: [&str; 8] = ["token", "secret", "pass", "pwd", "key", "sig", "cred", "auth"];

/// A URL, or a path whose scheme `claim` knows.
pub(super) fn parse<'a>(value: &str, claim: impl FnOnce(&Path) -> Result<&'a str>) -> Result<Url> {
    let Some(scheme) = scheme_of(value) else { return of_path(value, claim) };
    // The parser would read `file:backup` as `/backup`.
    if scheme.eq_ignore_ascii_case("file") && !value[scheme.len() + 1..].starts_with('/') {
        return Err(no_local_form(scheme));
    }
    // The text of a malformed URL is not shown: it may hold a password.
    let url = Url::parse(value)
        .map_err(|e| Error::invalid(format!("a `{scheme}:` url is malformed: {e}")))?;
    if !url.username().is_empty() || url.password().is_some() {
        let mut right = url.clone();
        // Both succeed for a URL that has a user.
        let _ = right.set_username("");
        let _ = right.set_password(None);
        return Err(Error::invalid("a url must not hold a user or a password")
            .on(masked(&url))
            .help(format!("write {} and give the credentials as settings", masked(&right))));
    }
    Ok(url)
}

/// The same with a third slash where what follows two cannot be a host, for its colons.
pub(super) fn name_as_path(value: &str) -> Cow<'_, str> {
    let parts = scheme_of(value).and(value.split_once("://"));
    match (parts, Url::parse(value)) {
        (Some((scheme, name)), Err(url::ParseError::InvalidPort)) if !name.contains('@') => {
            Cow::Owned(format!("{scheme}:///{name}"))
        }
        _ => Cow::Borrowed(value),
    }
}

/// What stands before the first colon, if it is a scheme. A single letter is a Windows drive.
pub(super) fn scheme_of(value: &str) -> Option<&str> {
    let (scheme, _) = value.split_once(':')?;
    let fits = scheme.len() > 1
        && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    fits.then_some(scheme)
}

fn of_path<'a>(value: &str, claim: impl FnOnce(&Path) -> Result<&'a str>) -> Result<Url> {
    let path = std::path::absolute(value)
        .map_err(|_| Error::invalid("an empty value is neither a url nor a path"))?;
    let scheme = claim(&path)?;
    let url = Url::from_file_path(&path)
        .map_err(|()| Error::invalid("this path cannot be written as a url").on(path.display()))?;
    if scheme == url.scheme() {
        return Ok(url);
    }
    Url::parse(&format!("{scheme}://{}", url.path()))
        .map_err(|e| Error::invalid(format!("a `{scheme}:` url is malformed: {e}")))
}

/// The path of this machine that a URL names, such as `file:///path`. `Invalid` for a host (which
/// is mostly a forgotten slash) and for a relative path, with the right form.
pub fn local_path(url: &Url) -> Result<PathBuf> {
    let host = url.host_str().filter(|host| !host.is_empty() && *host != "localhost");
    if let Some(host) = host {
        return Err(Error::invalid("the url of a local path has no host")
            .on(masked(url))
            .help(format!("write {}:///{host}{}", url.scheme(), url.path())));
    }
    if !url.path().starts_with('/') {
        return Err(no_local_form(url.scheme()));
    }
    // Only this scheme has the rules of local paths, drives among them.
    let local = Url::parse(&format!("file://{}", url.path())).ok();
    local
        .and_then(|local| local.to_file_path().ok())
        .ok_or_else(|| Error::invalid("this url is no path of this machine").on(masked(url)))
}

fn no_local_form(scheme: &str) -> Error {
    Error::invalid(format!("a `{scheme}:` url needs a whole path"))
        .help(format!("write {scheme}:///path, or a relative path without a scheme"))
}

/// The URL for logs, events and manifests: without user, password and fragment, and with `***` for
/// each query value whose name sounds secret.
pub fn masked(url: &Url) -> String {
    let mut shown = url.clone();
    // Both fail only where there is none.
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    shown.set_fragment(None);
    let Some(query) = url.query() else { return shown.into() };
    let is_secret = |name: &str| {
        let name = name.to_ascii_lowercase();
        SECRET.iter().any(|word| name.contains(word))
    };
    let pairs: Vec<String> = query
        .split('&')
        .map(|pair| {
            // Decoded, since `t%6Fken` is the same name.
            let secret = url::form_urlencoded::parse(pair.as_bytes())
                .any(|(name, value)| is_secret(&name) && !value.is_empty());
            match pair.split_once('=') {
                Some((name, _)) if secret => format!("{name}=***"),
                _ => pair.to_owned(),
            }
        })
        .collect();
    shown.set_query(Some(&pairs.join("&")));
    shown.into()
}
