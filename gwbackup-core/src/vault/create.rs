//! Making a repository.

use std::sync::Arc;

use super::Copy;
use super::keys::{context, epoch_object, wrap, wrap_name};
use crate::catalog::{
    Catalog as _, CopyEntry, CopyId, CopyMark, EventDraft, EventKind, EventOutcome, Log, Marks,
    RepositoryId, SignedFile, Trust, TrustAnchor, TrustDocument,
};
use crate::clock::rfc3339;
use crate::context::Context;
use crate::crypt::{
    AgeIdentity, DataKey, KeyProvider, KeyPurpose, RecoveryKit, SeedSigner, Signer, SmallSeal,
    Suite, hex, random,
};
use crate::error::{Error, ErrorKind, Result};
use crate::sink::{Body, ObjectName, Sink, put_once};
use crate::task::blocking;

/// What a new repository is made of.
#[derive(Debug)]
pub(crate) struct NewRepository {
    pub(crate) copies: Vec<Copy>,
    pub(crate) keys: Vec<Arc<dyn KeyProvider>>,
    pub(crate) suite: Suite,
    pub(crate) anchor: Arc<dyn TrustAnchor>,
}

/// A repository that was just made.
#[derive(Debug)]
pub struct Created {
    /// Its id.
    pub id: RepositoryId,
    /// What opens it when every other key is lost, and what may change its signers: to be kept
    /// offline, nowhere else.
    pub kit: RecoveryKit,
}

impl NewRepository {
    /// Makes the repository: on every copy, or none is usable. The first copy is the log's home.
    ///
    /// `AlreadyExists` when a copy holds anything of a repository; `Unsupported` when the first
    /// copy cannot decide between two writers; nothing was written then.
    pub(crate) async fn create(self, cx: &Context) -> Result<Created> {
        self.check(cx).await?;
        let root_seed = DataKey::generate()?;
        let root = SeedSigner::new(&root_seed);
        let seed = DataKey::generate()?;
        let signer = SeedSigner::new(&seed);
        let identity = AgeIdentity::generate()?;
        let mut recipients = vec![identity.recipient(cx).await?];
        for key in &self.keys {
            recipients.push(key.recipient(cx).await?);
        }
        let mut entries = Vec::new();
        for copy in &self.copies {
            let (medium, site) = (copy.medium.clone(), copy.site.clone());
            entries.push(CopyEntry { id: CopyId::generate()?, medium, site });
        }
        let document = TrustDocument::first(
            root.public(),
            signer.public(),
            recipients,
            self.suite,
            entries.clone(),
        )?;
        let trust = Arc::new(Trust::create(cx, &document, &root).await?);
        let id = *trust.repository();
        for key in &self.keys {
            if key.proves(cx).await?.is_some_and(|named| named != id.to_string()) {
                return Err(Error::refused("the key belongs to another repository")
                    .on(key.address())
                    .help("give a key of its own to each repository"));
            }
        }
        let repository_key = DataKey::generate()?;
        let digest_key = DataKey::generate()?;
        let mut wraps = Vec::new();
        for (purpose, object, key) in [
            (KeyPurpose::Repository, epoch_object(1), &repository_key),
            (KeyPurpose::Digest, [0; 16], &digest_key),
            (KeyPurpose::Signer, *signer.public().id().as_bytes(), &seed),
        ] {
            let context = context(&id, purpose, object);
            // Every key was given: nobody is left out.
            let (file, _) = wrap(cx, &trust, &self.keys, &signer, context, key, None).await?;
            wraps.push((wrap_name(&context, 1)?, file));
        }
        for (copy, entry) in self.copies.iter().zip(&entries) {
            for (name, file) in &wraps {
                put(cx, copy.sink.as_ref(), name, file).await?;
            }
            let mark = CopyMark::sign(cx, &trust, entry.id, &signer).await?;
            put(cx, copy.sink.as_ref(), &CopyMark::name()?, &mark).await?;
        }
        // The trust document comes last: without it there is no repository.
        for copy in &self.copies {
            for (name, file) in trust.files()? {
                put(cx, copy.sink.as_ref(), &name, file).await?;
            }
        }
        let seal = SmallSeal::new(*id.as_bytes(), self.suite, 1, repository_key);
        let signer: Arc<dyn Signer> = Arc::new(signer);
        // A URL that no kit can hold (a memory's) is left out.
        let urls: Vec<url::Url> =
            self.copies.iter().filter_map(|copy| copy.sink.info().url.parse().ok()).collect();
        let kit = RecoveryKit::new(*id.as_bytes(), root_seed, identity, urls, cx.now())?;
        self.first_event(cx, &trust, seal, signer).await?;
        Ok(Created { id, kit })
    }

    async fn first_event(
        &self,
        cx: &Context,
        trust: &Arc<Trust>,
        seal: SmallSeal,
        signer: Arc<dyn Signer>,
    ) -> Result<()> {
        let mut sinks = self.copies.iter().map(|copy| Arc::clone(&copy.sink));
        let home = sinks.next().ok_or_else(no_copy)?;
        let mut log = Log::new(Arc::clone(trust), home)
            .seal(Arc::new(seal))
            .signer(signer)
            .anchor(Arc::clone(&self.anchor));
        for mirror in sinks {
            log = log.mirror(mirror);
        }
        let marks = Marks { trust: trust.number(), seq: 0, digest: String::new(), time: cx.now() };
        self.anchor.raise(trust.repository(), &marks).await?;
        let kind = EventKind::REPOSITORY_CREATE;
        let id = trust.repository();
        let draft = EventDraft::new(cx, kind, "repository", id, EventOutcome::Success)?
            .vouch("trust", trust.digest());
        log.append(cx, draft).await.map(drop)
    }

    /// Everything that would make the new repository unsafe.
    async fn check(&self, cx: &Context) -> Result<()> {
        if self.copies.is_empty() {
            return Err(no_copy());
        }
        if self.keys.is_empty() {
            return Err(Error::new(ErrorKind::KeyUnavailable, "a repository needs a key")
                .help("give one with --key, for example key-file:///path/gwbackup.key"));
        }
        for copy in &self.copies {
            keys_apart(copy.sink.as_ref(), &self.keys).await?;
            for name in ["repository.json", "copy.json"] {
                let name = ObjectName::new(name)?;
                match copy.sink.head(cx, &name).await {
                    Err(e) if e.kind() == ErrorKind::NotFound => {}
                    Err(e) => return Err(e),
                    Ok(_) => {
                        return Err(Error::new(
                            ErrorKind::AlreadyExists,
                            "a repository lies here already, or one that was begun",
                        )
                        .on(&copy.sink)
                        .help("use another place, or empty this one if nothing in it is needed"));
                    }
                }
            }
        }
        let home = self.copies.first().ok_or_else(no_copy)?;
        race(cx, home.sink.as_ref()).await
    }
}

fn no_copy() -> Error {
    Error::invalid("a repository needs a copy").help("give one with --repo")
}

/// Keys below a copy would be copied with it, whichever way their path takes.
pub(super) async fn keys_apart(sink: &dyn Sink, keys: &[Arc<dyn KeyProvider>]) -> Result<()> {
    let Some(root) = sink.info().local_path else { return Ok(()) };
    let paths: Vec<_> = keys.iter().filter_map(|key| key.local_path()).collect();
    blocking(move || {
        // What cannot be followed counts as it is written.
        let follow = |path: &std::path::Path| {
            path.canonicalize().or_else(|_| std::path::absolute(path)).unwrap_or(path.to_owned())
        };
        let root = follow(&root);
        match paths.iter().find(|path| follow(path).starts_with(&root)) {
            None => Ok(()),
            Some(path) => Err(Error::refused("the key lies inside a copy of the repository")
                .on(path.display())
                .help("keep keys apart from the copies")),
        }
    })
    .await
}

/// Two creates of one name: exactly one may win.
async fn race(cx: &Context, home: &dyn Sink) -> Result<()> {
    let name = ObjectName::new(&format!("probe/{}.json", hex::encode(&random::<8>()?)))?;
    let (a, b) = (Body::from(b"1".to_vec()), Body::from(b"2".to_vec()));
    let (first, second) =
        futures_util::future::join(home.put(cx, &name, &a), home.put(cx, &name, &b)).await;
    let taken = |r: &Result<()>| matches!(r, Err(e) if e.kind() == ErrorKind::AlreadyExists);
    let fair = (first.is_ok() && taken(&second)) || (second.is_ok() && taken(&first));
    if first.is_ok() || second.is_ok() {
        home.delete(cx, &name).await?;
    }
    if fair && home.info().exclusive_create {
        return Ok(());
    }
    first.or(second)?;
    Err(Error::new(ErrorKind::Unsupported, "this place cannot decide between two writers")
        .on(home)
        .help("put a place first that can: it orders the log"))
}

async fn put(cx: &Context, sink: &dyn Sink, name: &ObjectName, file: &SignedFile) -> Result<()> {
    put_once(sink, cx, name, &Body::Bytes(file.stored().clone())).await
}

/// For names of people: the moment, in the form of a part of an object's name.
pub(crate) fn stamp(time: crate::clock::Timestamp) -> String {
    let digits = rfc3339(time);
    digits.chars().filter(|c| !matches!(c, '-' | ':')).take(15).collect::<String>().to_lowercase()
        + "z"
}
