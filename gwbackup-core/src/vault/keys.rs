//! Keys of the repository: wrapped for its recipients, and opened again.

use std::sync::Arc;

use crate::catalog::{FileKind, RepositoryId, SignedFile, Trust, store};
use crate::context::Context;
use crate::crypt::{
    DataKey, KeyContext, KeyProvider, KeyPurpose, Recipient, RecipientState, Right, Signer,
    StoredWrap, Wrap, commitment, hex,
};
use crate::error::{Error, ErrorKind, Result};
use crate::sink::{ObjectName, Sink};

use super::{Found, Vault, archive_id};

/// Generations of a wrap that are looked for.
const GENERATIONS: u32 = 9999;

/// Where the wrap of a key is stored.
pub(crate) fn wrap_name(context: &KeyContext, generation: u32) -> Result<ObjectName> {
    let object = match context.purpose {
        KeyPurpose::Archive => format!("archive/{}", hex::encode(&context.object)),
        KeyPurpose::Secrets => format!("secrets/{}", hex::encode(&context.object)),
        KeyPurpose::Repository => {
            format!("repository/{}", u128::from_be_bytes(context.object))
        }
        KeyPurpose::Digest => "repository/digest".to_owned(),
        KeyPurpose::Signer => format!("signer/{}", hex::encode(&context.object)),
    };
    ObjectName::new(&format!("keys/{object}.{generation:04}.json"))
}

/// The repository key's object for an epoch.
pub(crate) fn epoch_object(epoch: u32) -> [u8; 16] {
    u128::from(epoch).to_be_bytes()
}

/// The context of one of a repository's keys.
pub(crate) fn context(id: &RepositoryId, purpose: KeyPurpose, object: [u8; 16]) -> KeyContext {
    KeyContext { repository: *id.as_bytes(), purpose, object }
}

/// The keys that open the repository itself.
pub(super) fn of_repository(trust: &Trust) -> Vec<KeyContext> {
    let id = trust.repository();
    let signers = trust.current().signers.iter();
    let seeds = signers.map(|s| context(id, KeyPurpose::Signer, *s.id.as_bytes()));
    [(KeyPurpose::Repository, epoch_object(1)), (KeyPurpose::Digest, [0; 16])]
        .into_iter()
        .map(|(purpose, object)| context(id, purpose, object))
        .chain(seeds)
        .collect()
}

/// A recipient for whom nothing could be wrapped: its secret was not given.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct LeftOut {
    /// Its id in the trust document.
    pub recipient: String,
    /// What it has the right to, and cannot open.
    pub right: Right,
}

/// Wraps a key for each active recipient with the right, and signs; says whom that leaves out.
/// `KeyUnavailable` when none of the providers is one of them and none can do without its secret.
///
/// `own`: the commitment of an archive's header, for an archive's data key.
pub(crate) async fn wrap(
    cx: &Context,
    trust: &Trust,
    providers: &[Arc<dyn KeyProvider>],
    signer: &dyn Signer,
    context: KeyContext,
    key: &DataKey,
    own: Option<[u8; 32]>,
) -> Result<(SignedFile, Vec<LeftOut>)> {
    let committed = match own {
        Some(committed) => committed,
        None => commitment(context.purpose, &context.repository, key)?,
    };
    let mut wrap = Wrap::new(context, 1, committed, cx.now());
    let right = context.purpose.right();
    let mut missing = Vec::new();
    for recipient in &trust.current().recipients {
        if recipient.state != RecipientState::Active || !recipient.rights.contains(&right) {
            continue;
        }
        let body = match crate::crypt::wrap_public(recipient, key)? {
            Some(body) => Some(body),
            None => match provider_of(cx, providers, recipient).await? {
                Some(provider) => Some(provider.wrap(cx, key, &context).await?),
                None => None,
            },
        };
        match body {
            Some(body) => wrap.add(recipient, body)?,
            None => missing.push(LeftOut { recipient: recipient.id.clone(), right }),
        }
    }
    if wrap.recipients().next().is_none() {
        return Err(Error::new(
            ErrorKind::KeyUnavailable,
            format!("no key given here has the right `{}`", right.as_str()),
        )
        .help("give a key whose recipient has that right"));
    }
    let stored = wrap.to_stored();
    let repository = Some(trust.repository());
    let file = SignedFile::sign(cx, FileKind::Wrap, repository, &stored, &[signer]).await?;
    Ok((file, missing))
}

/// The provider that holds a recipient's key.
pub(super) async fn provider_of<'a>(
    cx: &Context,
    providers: &'a [Arc<dyn KeyProvider>],
    recipient: &Recipient,
) -> Result<Option<&'a dyn KeyProvider>> {
    for provider in providers {
        let own = provider.recipient(cx).await?;
        if own.id == recipient.id && own.version == recipient.version {
            return Ok(Some(provider.as_ref()));
        }
    }
    Ok(None)
}

/// Opens a key: the newest wrap on any sink, by any provider that holds one of its recipients.
pub(crate) async fn unwrap(
    cx: &Context,
    trust: &Trust,
    providers: &[Arc<dyn KeyProvider>],
    sinks: &[&dyn Sink],
    context: KeyContext,
) -> Result<DataKey> {
    let found = find(cx, trust, sinks, context).await?;
    let wraps: Vec<Wrap> = found.into_iter().map(|found| found.wrap).collect();
    open(cx, trust, providers, &wraps, context).await
}

/// Opens a key: the newest of its wraps, by any provider that holds one of its recipients.
async fn open(
    cx: &Context,
    trust: &Trust,
    providers: &[Arc<dyn KeyProvider>],
    wraps: &[Wrap],
    context: KeyContext,
) -> Result<DataKey> {
    let right = context.purpose.right();
    let (mut last, mut telling) = (None, false);
    for wrap in wraps.iter().rev() {
        for recipient in trust.current().recipients.iter().filter(|r| r.rights.contains(&right)) {
            if wrap.entry(&recipient.id, recipient.version).is_none() {
                continue;
            }
            for provider in providers {
                match wrap.open(cx, provider.as_ref(), recipient).await {
                    Ok(key) => return Ok(key),
                    Err(e) if e.kind() == ErrorKind::KeyUnavailable => {
                        // Why a service does not serve with its own key tells more than that other
                        // keys are others. A provider is not asked who it is: a passphrase finds
                        // that out by opening.
                        let scheme = recipient.kind.scheme();
                        let own = scheme.is_some_and(|s| provider.address().starts_with(s));
                        if own || !telling {
                            last = Some(e);
                        }
                        telling |= own;
                    }
                    Err(e) => return Err(e),
                }
            }
        }
    }
    if let Some(error) = left_out(cx, trust, providers, wraps, context.purpose).await? {
        return Err(error);
    }
    let message = format!("no key given here opens it (right `{}`)", right.as_str());
    let error = Error::new(ErrorKind::KeyUnavailable, message)
        .help("give a key of this repository that has the right");
    Err(match last {
        // What is wrong with the one key tells most, as long as it opened nothing yet.
        Some(cause) if providers.len() == 1 && context.purpose == KeyPurpose::Repository => cause,
        Some(cause) => error.with_source(cause),
        None if wraps.is_empty() => Error::new(
            ErrorKind::KeyUnavailable,
            "the wrapped key is on none of the copies that answer",
        ),
        None => error,
    })
}

/// Why the keys given here open none of a backup's wraps, where that is known: there is no key, or
/// one has the right and its secret was not at hand when the wraps were made.
async fn left_out(
    cx: &Context,
    trust: &Trust,
    providers: &[Arc<dyn KeyProvider>],
    wraps: &[Wrap],
    purpose: KeyPurpose,
) -> Result<Option<Error>> {
    if providers.is_empty() {
        return Ok(Some(
            Error::new(ErrorKind::KeyUnavailable, "no key is given")
                .help("give one with --key, for example key-file:///path/gwbackup.key"),
        ));
    }
    if wraps.is_empty() || !matches!(purpose, KeyPurpose::Archive | KeyPurpose::Secrets) {
        return Ok(None);
    }
    let right = purpose.right();
    let mut absent = None;
    for recipient in trust.current().recipients.iter().filter(|r| r.rights.contains(&right)) {
        if provider_of(cx, providers, recipient).await?.is_none() {
            continue;
        }
        if wraps.iter().any(|wrap| wrap.entry(&recipient.id, recipient.version).is_some()) {
            return Ok(None);
        }
        absent = Some(recipient);
    }
    Ok(absent.map(|recipient| {
        let message = "the backup was not made for this key; keys of this type must be given \
                       when a backup is made";
        Error::new(ErrorKind::KeyUnavailable, message)
            .on(&recipient.id)
            .help("open it with a key that was given then, and give all keys from now on")
    }))
}

/// A wrap, and the object that holds it.
pub(super) struct FoundWrap {
    pub(super) name: ObjectName,
    pub(super) stored: bytes::Bytes,
    pub(super) wrap: Wrap,
}

/// Valid wraps of a key, by generation; the sinks may each lack some.
pub(super) async fn find(
    cx: &Context,
    trust: &Trust,
    sinks: &[&dyn Sink],
    context: KeyContext,
) -> Result<Vec<FoundWrap>> {
    let mut found = Vec::new();
    let mut damage = None;
    for generation in 1..=GENERATIONS {
        let name = wrap_name(&context, generation)?;
        let mut here = None;
        for sink in sinks {
            match store::read(cx, *sink, &name, FileKind::Wrap).await {
                Ok(Some(stored)) => match parse(trust, stored.clone(), context, generation) {
                    Ok(wrap) => {
                        here = Some((stored, wrap));
                        break;
                    }
                    Err(e) => damage = Some(e.on(format!("{name} on {sink}"))),
                },
                Ok(None) => {}
                Err(e) if e.kind() == ErrorKind::Cancelled => return Err(e),
                Err(e) => damage = Some(e.on(format!("{name} on {sink}"))),
            }
        }
        match here {
            Some((stored, wrap)) => found.push(FoundWrap { name, stored, wrap }),
            None => break,
        }
    }
    match damage {
        Some(damage) if found.is_empty() => Err(damage),
        _ => Ok(found),
    }
}

/// The first generation of a key's wrap is on this sink, signed and about this key. `NotFound`,
/// `Corrupt`; opens nothing.
async fn check(cx: &Context, trust: &Trust, sink: &dyn Sink, context: KeyContext) -> Result<()> {
    let name = wrap_name(&context, 1)?;
    let bytes = store::read(cx, sink, &name, FileKind::Wrap).await?.ok_or_else(|| {
        Error::new(ErrorKind::NotFound, "the wrapped key is not on this copy").on(&name)
    })?;
    parse(trust, bytes, context, 1).map(drop).map_err(|e| e.on(&name))
}

fn parse(trust: &Trust, bytes: bytes::Bytes, context: KeyContext, generation: u32) -> Result<Wrap> {
    let verified = SignedFile::parse(FileKind::Wrap, bytes)?.verify(trust)?;
    let stored: StoredWrap = verified.read(Some(trust.repository()))?;
    let wrap = Wrap::from_stored(context.repository, stored)?;
    if *wrap.context() != context || wrap.generation() != generation {
        return Err(Error::corrupt("the wrapped key is another one than its name says"));
    }
    Ok(wrap)
}

impl Vault {
    /// Wraps one of this repository's keys; whom that leaves out is added to `left_out`.
    pub(crate) async fn wrap(
        &self,
        cx: &Context,
        purpose: KeyPurpose,
        object: [u8; 16],
        key: &DataKey,
        own: Option<[u8; 32]>,
        left_out: &mut Vec<LeftOut>,
    ) -> Result<(ObjectName, SignedFile)> {
        let context = context(self.id(), purpose, object);
        let signer = self.signer.as_ref();
        let (file, missing) = wrap(cx, &self.trust, &self.keys, signer, context, key, own).await?;
        left_out.extend(missing);
        Ok((wrap_name(&context, 1)?, file))
    }

    /// Opens one of this repository's keys from these sinks.
    pub(crate) async fn unwrap(
        &self,
        cx: &Context,
        purpose: KeyPurpose,
        object: [u8; 16],
        sinks: &[&dyn Sink],
    ) -> Result<DataKey> {
        let context = context(self.id(), purpose, object);
        unwrap(cx, &self.trust, &self.keys, sinks, context).await
    }

    /// Opens one of this repository's keys from a wrap of its own, which no sink holds.
    pub(super) async fn unwrap_from(
        &self,
        cx: &Context,
        purpose: KeyPurpose,
        object: [u8; 16],
        stored: bytes::Bytes,
    ) -> Result<DataKey> {
        let context = context(self.id(), purpose, object);
        let wrap = parse(&self.trust, stored, context, 1)?;
        open(cx, &self.trust, &self.keys, &[wrap], context).await
    }

    /// The wraps of a backup's keys are on this copy, each signed and about its archive.
    pub(crate) async fn wraps_on(&self, cx: &Context, sink: &dyn Sink, of: &Found) -> Result<()> {
        let archive = archive_id(&of.manifest.archive.id)?;
        for purpose in of.purposes() {
            check(cx, &self.trust, sink, context(self.id(), purpose, archive)).await?;
        }
        Ok(())
    }
}
