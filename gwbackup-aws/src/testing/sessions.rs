//! Credentials of limited life, and who judges them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{
    ProvideCredentials, Result as Provided, SharedCredentialsProvider, future,
};
use gwbackup_core::clock::{Clock, Timestamp};
use hyper::http::request::Parts;

/// Gives out session credentials as a role or an instance does: each with a token, and with an end
/// by the clock of the test. Doubles that are told of it let in nobody else. Clones are one giver.
#[derive(Debug, Clone)]
pub struct Sessions(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    clock: Arc<dyn Clock>,
    life: Duration,
    tells_end: bool,
    given: Mutex<Given>,
}

#[derive(Debug, Default)]
struct Given {
    /// When each ends: the token of the first is `token-0`.
    ends: Vec<Timestamp>,
    asked: usize,
    is_away: bool,
}

impl Sessions {
    /// Whose credentials live for so long.
    pub fn new(clock: Arc<dyn Clock>, life: Duration) -> Self {
        Self::of(clock, life, true)
    }

    /// The same, but nobody is told when they end.
    pub fn silent(clock: Arc<dyn Clock>, life: Duration) -> Self {
        Self::of(clock, life, false)
    }

    fn of(clock: Arc<dyn Clock>, life: Duration, tells_end: bool) -> Self {
        Self(Arc::new(Shared { clock, life, tells_end, given: Mutex::default() }))
    }

    /// Where a configuration gets them from.
    pub fn provider(&self) -> SharedCredentialsProvider {
        SharedCredentialsProvider::new(self.clone())
    }

    /// From now on no credentials are given out, or are again.
    pub fn set_away(&self, is_away: bool) {
        self.given().is_away = is_away;
    }

    /// How many were given out.
    pub fn given_out(&self) -> usize {
        self.given().ends.len()
    }

    /// How often somebody asked, in vain or not.
    pub fn asked(&self) -> usize {
        self.given().asked
    }

    fn given(&self) -> MutexGuard<'_, Given> {
        self.0.given.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give(&self) -> Provided {
        let mut given = self.given();
        given.asked += 1;
        if given.is_away {
            return Err(CredentialsError::provider_error("the giver is away"));
        }
        let (number, now) = (given.ends.len(), self.0.clock.now());
        let end = now.saturating_add(self.0.life).unwrap_or(Timestamp::MAX);
        given.ends.push(end);
        let told = self.0.tells_end.then(|| SystemTime::from(end));
        let (id, token) = (format!("ASIA{number}"), format!("token-{number}"));
        Ok(Credentials::new(id, "secret", Some(token), told, "sessions"))
    }

    /// The name of the error with which a request is refused: nothing of it is good, or no more.
    pub(super) fn refuses(&self, head: &Parts) -> Option<Refused> {
        let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
        let number = text("x-amz-security-token").and_then(|token| token.strip_prefix("token-"));
        let number = number.and_then(|number| number.parse::<usize>().ok());
        let Some(number) = number else { return Some(Refused::Stranger) };
        let signed = text("authorization").unwrap_or_default();
        let own = signed.contains(&format!("Credential=ASIA{number}/"));
        let end = self.given().ends.get(number).copied();
        match end.filter(|_| own) {
            None => Some(Refused::Stranger),
            Some(end) if end <= self.0.clock.now() => Some(Refused::Expired),
            Some(_) => None,
        }
    }
}

/// Why somebody is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    Expired,
    Stranger,
}

impl ProvideCredentials for Sessions {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(self.give())
    }
}
