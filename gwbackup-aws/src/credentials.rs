//! Who signs, kept for as long as it is good.

use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};
use gwbackup_core::clock::Timestamp;
use gwbackup_core::error::ErrorKind;
use gwbackup_core::{Error, Result};
use tokio::sync::Mutex;

/// What does not say when it ends is asked for again after this long.
const LONGEST: Duration = Duration::from_mins(15);
/// What ends is replaced so long before, but not before three quarters of its life.
const EARLY: Duration = Duration::from_mins(5);
/// After a provider has failed, while what it gave before still lives.
const PAUSE: Duration = Duration::from_secs(10);

/// One identity. A provider may have to ask over the network, and so is asked seldom, and never by
/// two at one time. `Debug` shows no secret.
#[derive(Debug)]
pub(crate) struct Keeper {
    provider: SharedCredentialsProvider,
    kept: Mutex<Option<Kept>>,
}

#[derive(Debug)]
struct Kept {
    credentials: Credentials,
    from: Timestamp,
    /// The moment from which others are asked for.
    until: Timestamp,
}

impl Kept {
    fn new(credentials: Credentials, from: Timestamp) -> Self {
        let left = end(&credentials).map(|end| end.duration_since(from).unsigned_abs());
        let is_over = has_ended(&credentials, from);
        let good = match left {
            _ if is_over => Duration::ZERO,
            Some(left) => left.saturating_sub(EARLY.min(left / 4)),
            None => LONGEST,
        };
        let until = from.saturating_add(good).unwrap_or(Timestamp::MAX);
        Self { credentials, from, until }
    }

    /// A clock that was set back says nothing about how old it is.
    fn is_fresh(&self, now: Timestamp) -> bool {
        (self.from..self.until).contains(&now)
    }
}

impl Keeper {
    pub(crate) fn new(provider: SharedCredentialsProvider) -> Self {
        Self { provider, kept: Mutex::default() }
    }

    /// Those to sign with now. `Unauthenticated` when none are to be had; with the reason that they
    /// have expired when there were some before.
    pub(crate) async fn current(&self, now: Timestamp) -> Result<Credentials> {
        let mut kept = self.kept.lock().await;
        if let Some(kept) = kept.as_ref().filter(|kept| kept.is_fresh(now)) {
            return Ok(kept.credentials.clone());
        }
        match (self.provider.provide_credentials().await, kept.as_mut()) {
            (Ok(credentials), _) => {
                *kept = Some(Kept::new(credentials.clone(), now));
                Ok(credentials)
            }
            (Err(_), Some(old)) if !has_ended(&old.credentials, now) => {
                old.from = now;
                old.until = now.saturating_add(PAUSE).unwrap_or(Timestamp::MAX);
                Ok(old.credentials.clone())
            }
            (Err(error), Some(_)) => Err(expired().with_source(error)),
            (Err(error), None) => Err(lacking(error)),
        }
    }

    /// Others than those that the service has refused as expired; `Unauthenticated` with that reason
    /// when the provider has no others.
    pub(crate) async fn instead_of(
        &self,
        refused: &Credentials,
        now: Timestamp,
    ) -> Result<Credentials> {
        let mut kept = self.kept.lock().await;
        // Somebody else was refused, too, and has asked already.
        if let Some(kept) = kept.as_ref().filter(|kept| !is_same(&kept.credentials, refused)) {
            return Ok(kept.credentials.clone());
        }
        let found = self.provider.provide_credentials().await;
        let other = found.map_err(|error| expired().with_source(error))?;
        if is_same(&other, refused) {
            return Err(expired());
        }
        *kept = Some(Kept::new(other.clone(), now));
        Ok(other)
    }
}

/// What is said when credentials were good and are no more.
pub(crate) fn expired() -> Error {
    Error::expired("the credentials have expired")
        .help("log in again; a run that was stopped can be resumed")
}

fn lacking(error: CredentialsError) -> Error {
    Error::new(ErrorKind::Unauthenticated, "no valid credentials are to be had")
        .help("log in again, or name another profile")
        .with_source(error)
}

/// Whether they have ended, as far as they say.
pub(crate) fn has_ended(credentials: &Credentials, now: Timestamp) -> bool {
    end(credentials).is_some_and(|end| end <= now)
}

fn end(credentials: &Credentials) -> Option<Timestamp> {
    Timestamp::try_from(credentials.expiry()?).ok()
}

fn is_same(a: &Credentials, b: &Credentials) -> bool {
    (a.access_key_id(), a.session_token()) == (b.access_key_id(), b.session_token())
}
