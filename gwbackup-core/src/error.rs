//! The one error type of all seams.

use std::fmt;

/// Any error that can travel between threads; what a caller may chain.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// Result with the library's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, named after what the caller can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The named thing does not exist.
    NotFound,
    /// A create-only write met an object of that name.
    AlreadyExists,
    /// The state is not the one that the call was made for: look again.
    Conflict,
    /// The right to do this is missing.
    Denied,
    /// The credentials are missing, wrong or expired.
    Unauthenticated,
    /// The other side asked for a pause; see [`Error::retry`].
    Throttled,
    /// The other side does not answer or answers with a passing fault.
    Unavailable,
    /// This part cannot do that.
    Unsupported,
    /// The input or the configuration is wrong.
    Invalid,
    /// Stored bytes are damaged, forged, truncated, or of an unknown newer version.
    Corrupt,
    /// A key is missing, malformed, wrong, or lacks the right that is needed.
    KeyUnavailable,
    /// A policy forbids it, or consent is missing.
    Refused,
    /// The context was cancelled.
    Cancelled,
    /// Anything else: a full disk, a failed system call.
    Other,
}

/// Whether calling again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Retry {
    /// The same call will fail again.
    #[default]
    Never,
    /// The same call may succeed, after a pause of the caller's choice.
    Later,
    /// The same call may succeed after this long.
    After(std::time::Duration),
}

/// An error: its kind, a sentence, and what helps.
///
/// The text is lower case, has no full stop, and never holds a secret or a whole document. It does
/// not repeat the text of [`source`](std::error::Error::source).
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    subject: Option<String>,
    help: Option<String>,
    retry: Retry,
    reason: Option<&'static str>,
    newer: bool,
    source: Option<BoxError>,
}

impl Error {
    /// The reason of [`expired`](Self::expired).
    pub const CREDENTIALS_EXPIRED: &'static str = "credentials_expired";

    /// An error of this kind; `message` says what happened, without the name of its subject.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let retry = match kind {
            ErrorKind::Throttled | ErrorKind::Unavailable => Retry::Later,
            _ => Retry::Never,
        };
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            subject: None,
            help: None,
            retry,
            reason: None,
            newer: false,
            source: None,
        }))
    }

    /// Shorthand for [`ErrorKind::Invalid`].
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    /// Shorthand for [`ErrorKind::Corrupt`].
    pub fn corrupt(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupt, message)
    }

    /// `Unauthenticated`, because credentials that were good are no more, and no fresh ones are to be
    /// had: with the [`reason`](Self::reason) [`CREDENTIALS_EXPIRED`](Self::CREDENTIALS_EXPIRED).
    pub fn expired(message: impl Into<String>) -> Self {
        let mut error = Self::new(ErrorKind::Unauthenticated, message);
        error.0.reason = Some(Self::CREDENTIALS_EXPIRED);
        error
    }

    /// `Corrupt` as far as this version can tell: a later one wrote it. `message` says so.
    pub(crate) fn newer(message: impl Into<String>) -> Self {
        let mut error = Self::corrupt(message).help("update this program and try again");
        error.0.newer = true;
        error
    }

    /// Shorthand for [`ErrorKind::Refused`].
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Refused, message)
    }

    /// What it happened to: an object's name, a resource's key, a masked URL.
    #[must_use]
    pub fn on(mut self, subject: impl fmt::Display) -> Self {
        self.0.subject = Some(subject.to_string());
        self
    }

    /// What it happened to, unless whoever saw it closer has named that.
    #[must_use]
    pub(crate) fn or_on(self, subject: impl fmt::Display) -> Self {
        if self.0.subject.is_some() { self } else { self.on(subject) }
    }

    /// What the reader should do next.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.0.help = Some(help.into());
        self
    }

    /// Overrides whether calling again can help.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.0.retry = retry;
        self
    }

    /// The error below this one. Never pass an error whose text quotes a document.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The same without what is below it, for whoever can only look at it.
    #[cfg(feature = "object-store")]
    pub(crate) fn again(&self) -> Self {
        let Inner { kind, message, subject, help, retry, reason, newer, source: _ } = &*self.0;
        Self(Box::new(Inner {
            kind: *kind,
            message: message.clone(),
            subject: subject.clone(),
            help: help.clone(),
            retry: *retry,
            reason: *reason,
            newer: *newer,
            source: None,
        }))
    }

    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether calling again can help.
    pub fn retry(&self) -> Retry {
        self.0.retry
    }

    /// A word for programs where the kind alone does not tell what helps, such as
    /// [`CREDENTIALS_EXPIRED`](Self::CREDENTIALS_EXPIRED): its own, or that of the error below it.
    pub fn reason(&self) -> Option<&'static str> {
        let below = || self.0.source.as_ref()?.downcast_ref::<Self>()?.reason();
        self.0.reason.or_else(below)
    }

    /// Whether a later version of this library wrote what was met. Such a thing is whole, and only
    /// that version may judge, mend or remove it.
    pub fn is_newer(&self) -> bool {
        self.0.newer
    }

    /// What happened, without subject and source.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What it happened to.
    pub fn subject(&self) -> Option<&str> {
        self.0.subject.as_deref()
    }

    /// What the reader should do next.
    pub fn advice(&self) -> Option<&str> {
        self.0.help.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(subject) = &self.0.subject {
            write!(f, "{subject}: ")?;
        }
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)?;
        if let Some(help) = &self.0.help {
            write!(f, " ({help})")?;
        }
        if let Some(source) = &self.0.source {
            write!(f, ": {source}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|e| e as _)
    }
}

impl From<std::io::Error> for Error {
    fn from(e: std::io::Error) -> Self {
        use std::io::ErrorKind as Io;
        let kind = match e.kind() {
            Io::NotFound => ErrorKind::NotFound,
            Io::AlreadyExists => ErrorKind::AlreadyExists,
            Io::PermissionDenied => ErrorKind::Denied,
            Io::UnexpectedEof => ErrorKind::Corrupt,
            _ => ErrorKind::Other,
        };
        let help = match e.kind() {
            Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => {
                Some("free space or choose another directory")
            }
            _ => None,
        };
        let mut error = Self::new(kind, e.to_string());
        error.0.help = help.map(str::to_owned);
        error
    }
}
