//! Keys, and who may open what.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::clock::{Clock, Timestamp};
use crate::error::{Error, ErrorKind, Result};

/// Fresh bytes from the system's generator: the one place that asks it.
#[expect(clippy::disallowed_methods, reason = "the one place that asks for random bytes")]
pub fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|e| {
        Error::new(ErrorKind::Other, "the system gives no random bytes").with_source(e)
    })?;
    Ok(bytes)
}

/// A fresh time-ordered id.
pub fn uuid_v7(clock: &dyn Clock) -> Result<Uuid> {
    let millis = u64::try_from(clock.now().as_millisecond()).unwrap_or_default();
    Ok(uuid::Builder::from_unix_timestamp_millis(millis, &random()?).into_uuid())
}

/// The moment in a time-ordered id.
pub fn time_of(id: Uuid) -> Option<Timestamp> {
    let (seconds, nanos) = id.get_timestamp()?.to_unix();
    Timestamp::new(i64::try_from(seconds).ok()?, i32::try_from(nanos).ok()?).ok()
}

/// 32 secret bytes, wiped when dropped. Copies made by moves, swap or core dumps are out of reach.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct DataKey([u8; 32]);

impl DataKey {
    /// A fresh key.
    pub fn generate() -> Result<Self> {
        random().map(Self)
    }

    /// A key of these bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, for a cipher or a wrap.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey(..)")
    }
}

/// What a wrapped key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum KeyPurpose {
    /// An archive's data key.
    Archive,
    /// The same archive's secrets key.
    Secrets,
    /// The repository key of an epoch.
    Repository,
    /// The digest key.
    Digest,
    /// A signing seed.
    Signer,
}

impl KeyPurpose {
    /// As derivations and wraps write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Archive => "archive",
            Self::Secrets => "secrets",
            Self::Repository => "repository",
            Self::Digest => "digest",
            Self::Signer => "signer",
        }
    }

    /// The right that opens it.
    pub fn right(self) -> Right {
        match self {
            Self::Archive => Right::Content,
            Self::Secrets => Right::Secrets,
            Self::Repository | Self::Digest | Self::Signer => Right::Meta,
        }
    }
}

/// What a wrap is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyContext {
    /// The repository.
    pub repository: [u8; 32],
    /// What the key is for.
    pub purpose: KeyPurpose,
    /// The archive id; the epoch; zero for the digest key; the signer id.
    pub object: [u8; 16],
}

/// What a recipient may open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Right {
    /// Archives without their secrets.
    Content,
    /// The secrets in them.
    Secrets,
    /// Names, tags, events, the signing seed.
    Meta,
}

impl Right {
    /// Every right, which one recipient holds unless it is told otherwise.
    pub const ALL: [Self; 3] = [Self::Content, Self::Secrets, Self::Meta];

    /// As the trust document writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Content => "content",
            Self::Secrets => "secrets",
            Self::Meta => "meta",
        }
    }
}

impl std::str::FromStr for Right {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|right| right.as_str() == text).ok_or_else(|| {
            Error::invalid("this is no right").on(text).help("use content, secrets or meta")
        })
    }
}

/// The trust document's entry for one recipient key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// Id, as its kind forms it.
    pub id: String,
    /// Version of the key.
    pub version: u32,
    /// What may be opened with it.
    #[serde(rename = "for")]
    pub rights: Vec<Right>,
    /// `active` or `retired`.
    pub state: RecipientState,
    /// How wraps for it are made.
    #[serde(flatten)]
    pub kind: RecipientKind,
}

/// Whether new wraps are made for a recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecipientState {
    /// Yes.
    Active,
    /// No; old wraps still open.
    Retired,
}

/// How wraps for a recipient are made, with what is public about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
#[non_exhaustive]
pub enum RecipientKind {
    /// A 32-byte secret: a key file, or a passphrase with its parameters.
    Secret {
        /// Present for a passphrase.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        argon2: Option<super::Argon2Params>,
    },
    /// An age identity, of which the trust document holds the public half alone.
    Age {
        /// The recipient as age writes it: `age1...`.
        public: String,
    },
    /// A symmetric key of AWS KMS, whose wraps are bound to their context.
    AwsKms {
        /// Where it is.
        uri: String,
    },
}

impl RecipientKind {
    /// As the trust document writes it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Secret { .. } => "secret",
            Self::Age { .. } => "age",
            Self::AwsKms { .. } => "awskms",
        }
    }

    /// How the addresses of those begin who alone can open what is wrapped for it; `None` where
    /// providers of several kinds can.
    pub(crate) fn scheme(&self) -> Option<&'static str> {
        match self {
            Self::AwsKms { .. } => Some("awskms:"),
            Self::Secret { .. } | Self::Age { .. } => None,
        }
    }

    /// Whether a wrap that opens shows that a holder of the key has bound it to its context. To a
    /// public key anyone can seal anything.
    pub(crate) fn binds(&self) -> bool {
        match self {
            Self::Secret { .. } | Self::AwsKms { .. } => true,
            Self::Age { .. } => false,
        }
    }
}
