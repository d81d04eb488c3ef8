//! Opening a repository.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use super::create::keys_apart;
use super::keys::{context, epoch_object, unwrap};
use super::{Copy, Place, Standing, Vault};
use crate::catalog::{
    Catalog as _, CopyId, CopyMark, FileKind, Log, RepositoryId, Role, SignerState, Trust,
    TrustAnchor, store,
};
use crate::context::Context;
use crate::crypt::{
    DataKey, KeyProvider, KeyPurpose, RecipientState, Right, SeedSigner, Signer, SmallSeal,
};
use crate::error::{Error, ErrorKind, Result};
use crate::policy::Policy;
use crate::sink::{AwaySink, Sink};

/// What it takes to open a repository.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) copies: Vec<Copy>,
    pub(crate) keys: Vec<Arc<dyn KeyProvider>>,
    /// The id, where the user knows it.
    pub(crate) expected: Option<RepositoryId>,
    /// An id that is accepted without proof.
    pub(crate) accepted: Option<RepositoryId>,
    /// What the copies must be.
    pub(crate) policy: Policy,
    pub(crate) anchor: Arc<dyn TrustAnchor>,
    pub(crate) spool: PathBuf,
}

impl Opening {
    /// Recognises copies, checks who is trusted, proves the id, opens keys and log. Writes nothing.
    pub(crate) async fn open(self, cx: &Context) -> Result<Vault> {
        for copy in &self.copies {
            keys_apart(copy.sink.as_ref(), &self.keys).await?;
        }
        if self.copies.is_empty() {
            return Err(Error::invalid("no copy of a repository is given").help("use --repo"));
        }
        let facts: Vec<_> = self.copies.iter().map(Copy::facts).collect();
        self.policy.check(&facts)?;
        let named = self.named(cx).await?;
        let expected = self.expected.or(named);
        let trust = Arc::new(self.trust(cx, expected.as_ref()).await?);
        let id = *trust.repository();
        let mut warnings = Vec::new();
        let places = self.places(cx, &trust, &mut warnings).await?;
        let marks = self.anchor.load(&id).await?;
        if marks.as_ref().is_some_and(|marks| trust.number() < marks.trust) {
            return Err(Error::corrupt("the copies show an older state of trust than seen before")
                .on(id)
                .help("a copy was put back; find the newest one"));
        }
        let sinks: Vec<&dyn Sink> =
            places.iter().filter(|p| p.is_ready()).map(Place::sink).collect();
        let repository_key = context(&id, KeyPurpose::Repository, epoch_object(1));
        let key = unwrap(cx, &trust, &self.keys, &sinks, repository_key).await?;
        let digest_key =
            unwrap(cx, &trust, &self.keys, &sinks, context(&id, KeyPurpose::Digest, [0; 16]))
                .await?;
        let signer = self.signer(cx, &trust, &sinks).await?;
        let by_key = self.opened_by_secret(cx, &trust, &sinks, repository_key).await?;
        let proven = expected.is_some()
            || marks.is_some()
            || by_key
            || self.accepted.is_some_and(|accepted| accepted == id);
        let seal = Arc::new(SmallSeal::new(*id.as_bytes(), trust.current().suite, 1, key));
        let log = self.log(&trust, &places, Arc::clone(&seal), Arc::clone(&signer));
        few_recipients(&trust, &mut warnings);
        let Self { keys, spool, policy, .. } = self;
        let vault = Vault {
            trust,
            places,
            log,
            seal,
            digest_key,
            signer,
            keys,
            spool,
            policy,
            proven,
            warnings,
        };
        // A log that was rolled back or forked shows here, before anything rests on it.
        vault.log.head(cx).await?;
        Ok(vault)
    }

    /// The id that a key names.
    async fn named(&self, cx: &Context) -> Result<Option<RepositoryId>> {
        let mut named: Option<RepositoryId> = None;
        for key in &self.keys {
            let Some(text) = key.proves(cx).await? else { continue };
            let id: RepositoryId = text.parse()?;
            if self.expected.or(named).is_some_and(|other| other != id) {
                return Err(Error::refused("the key belongs to another repository")
                    .on(key.address())
                    .help("use the key that was made for this one"));
            }
            named = Some(id);
        }
        Ok(named)
    }

    async fn trust(&self, cx: &Context, expected: Option<&RepositoryId>) -> Result<Trust> {
        let sinks: Vec<Arc<dyn Sink>> =
            self.copies.iter().map(|copy| Arc::clone(&copy.sink)).collect();
        match Trust::read(cx, &sinks, expected).await {
            Err(e) if e.kind() == ErrorKind::Corrupt && expected.is_some() => {
                // Another, sound repository is a wrong address; anything else is damage.
                match Trust::read(cx, &sinks, None).await {
                    Ok(other) => Err(Error::refused("another repository lies here")
                        .on(other.repository())
                        .help("check the URL of the copy, the key, and the configured id")),
                    Err(_) => Err(e),
                }
            }
            other => other,
        }
    }

    /// Recognises each configured copy by its mark.
    async fn places(
        &self,
        cx: &Context,
        trust: &Trust,
        warnings: &mut Vec<String>,
    ) -> Result<Vec<Place>> {
        let mut open: BTreeSet<CopyId> = trust.current().copies.iter().map(|c| c.id).collect();
        let mut found: Vec<(Option<CopyId>, &Copy, Standing)> = Vec::new();
        for copy in &self.copies {
            let (id, standing) = match read_mark(cx, copy.sink.as_ref(), trust).await {
                Ok(mark) if open.remove(&mark.copy) => (Some(mark.copy), Standing::Ready),
                Ok(_) => (None, Standing::Foreign("this copy is given twice, or retired".into())),
                Err(e) if e.kind() == ErrorKind::NotFound => {
                    let why = "this place is no copy of the repository (is the medium mounted?)";
                    (None, Standing::Foreign(why.to_owned()))
                }
                Err(e) if e.is_newer() => {
                    return Err(e.on(format!("{} on {}", CopyMark::name()?, copy.sink)));
                }
                Err(e) if e.kind() == ErrorKind::Corrupt => {
                    (None, Standing::Foreign(format!("the mark of this copy is not valid: {e}")))
                }
                Err(e) if e.kind() == ErrorKind::Cancelled => return Err(e),
                Err(e) => (None, Standing::Away(e.to_string())),
            };
            found.push((id, copy, standing));
        }
        let mut places = Vec::new();
        for (id, copy, standing) in found {
            let id = match id.or_else(|| open.pop_first()) {
                Some(id) => id,
                None => CopyId::generate()?,
            };
            if let Standing::Away(why) | Standing::Foreign(why) = &standing {
                warnings.push(format!("{}: {why}", copy.sink));
            }
            places.push(Place { id, copy: copy.clone(), standing });
        }
        Ok(places)
    }

    /// The first active signer whose seed one of the keys opens.
    async fn signer(
        &self,
        cx: &Context,
        trust: &Trust,
        sinks: &[&dyn Sink],
    ) -> Result<Arc<dyn Signer>> {
        let mut refusal = None;
        for entry in &trust.current().signers {
            let may = entry.roles.iter().any(|role| matches!(role, Role::Write | Role::Admin));
            if entry.state != SignerState::Active || !may {
                continue;
            }
            let context = context(trust.repository(), KeyPurpose::Signer, *entry.id.as_bytes());
            match unwrap(cx, trust, &self.keys, sinks, context).await {
                Ok(seed) => return signer_of(&seed, entry.public),
                Err(e) => refusal = Some(e),
            }
        }
        Err(refusal.unwrap_or_else(|| {
            Error::new(ErrorKind::KeyUnavailable, "the repository has no active signer")
        }))
    }

    /// Whether a secret given here opens the repository key: only its holder could have bound that
    /// key to this id. Anyone can name a recipient, and anyone can seal to a public key.
    async fn opened_by_secret(
        &self,
        cx: &Context,
        trust: &Trust,
        sinks: &[&dyn Sink],
        context: crate::crypt::KeyContext,
    ) -> Result<bool> {
        let mut opened = false;
        for key in &self.keys {
            // Each is tried, so that a passphrase meets its parameters and can wrap from now on.
            match unwrap(cx, trust, std::slice::from_ref(key), sinks, context).await {
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::Cancelled => return Err(e),
                Err(_) => continue,
            }
            let own = key.recipient(cx).await?;
            let mut recipients = trust.current().recipients.iter();
            opened |= recipients.any(|r| r.id == own.id && r.kind.binds());
        }
        Ok(opened)
    }

    /// The log on its home, mirrored on all other copies.
    fn log(
        &self,
        trust: &Arc<Trust>,
        places: &[Place],
        seal: Arc<SmallSeal>,
        signer: Arc<dyn Signer>,
    ) -> Log {
        let home = trust.current().home.copy;
        let sink = |place: &Place| -> Arc<dyn Sink> {
            match &place.standing {
                Standing::Ready => Arc::clone(&place.copy.sink),
                // What is not a copy must not be written, and counts as away.
                _ => Arc::new(AwaySink::new(place.sink())),
            }
        };
        let first = places
            .iter()
            .find(|place| place.id == home)
            .map_or_else(|| Arc::new(AwaySink::nowhere()) as Arc<dyn Sink>, sink);
        let mut log = Log::new(Arc::clone(trust), first)
            .seal(seal)
            .signer(signer)
            .anchor(Arc::clone(&self.anchor));
        for place in places.iter().filter(|place| place.id != home) {
            log = log.mirror(sink(place));
        }
        log
    }
}

async fn read_mark(cx: &Context, sink: &dyn Sink, trust: &Trust) -> Result<CopyMark> {
    let name = CopyMark::name()?;
    match store::read(cx, sink, &name, FileKind::Copy).await? {
        Some(bytes) => CopyMark::open(bytes, trust),
        None => Err(Error::new(ErrorKind::NotFound, "there is no mark of a copy")),
    }
}

fn signer_of(seed: &DataKey, public: crate::crypt::PublicKey) -> Result<Arc<dyn Signer>> {
    let signer = SeedSigner::new(seed);
    if signer.public() != public {
        return Err(Error::corrupt("the signing seed belongs to another signer"));
    }
    Ok(Arc::new(signer))
}

fn few_recipients(trust: &Trust, warnings: &mut Vec<String>) {
    let openers = trust
        .current()
        .recipients
        .iter()
        .filter(|r| r.state == RecipientState::Active && r.rights.contains(&Right::Content))
        .count();
    if openers < 2 {
        warnings.push("only one key can open the backups; add a second recipient".to_owned());
    }
}
