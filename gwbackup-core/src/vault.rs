//! An open repository from inside: its copies, its keys, its log, and what lies in it.
//!
//! Everything that backs up, verifies or restores works on a [`Vault`].

mod confidential;
mod create;
mod heal;
mod keep;
pub(crate) mod keys;
mod objects;
mod open;
mod recover;
mod rewrap;

use std::path::PathBuf;
use std::sync::Arc;

use crate::catalog::{
    Catalog, CatalogState, CopyId, Event, EventDraft, Log, RepositoryId, Trust, fold,
};
use crate::context::Context;
use crate::crypt::{DataKey, KeyProvider, Signer, SmallSeal};
use crate::error::{Error, ErrorKind, Result};
use crate::policy::Policy;
use crate::sink::Sink;

pub(crate) use confidential::Confidential;
pub use create::Created;
pub(crate) use create::NewRepository;
pub(crate) use create::stamp;
pub(crate) use heal::Mend;
pub use keys::LeftOut;
pub(crate) use objects::{Found, archive_name, base_name, journal_name, manifest_name};
pub(crate) use open::Opening;
pub use rewrap::RewrapReport;

/// One place of the repository, with what its owner says about it.
#[derive(Debug, Clone)]
pub struct Copy {
    pub(crate) sink: Arc<dyn Sink>,
    pub(crate) medium: Option<String>,
    pub(crate) site: Option<String>,
    pub(crate) region: Option<String>,
    pub(crate) account: Option<String>,
    pub(crate) offsite: bool,
    pub(crate) immutable: bool,
}

impl Copy {
    /// A copy of which nothing is said.
    pub fn new(sink: Arc<dyn Sink>) -> Self {
        Self {
            sink,
            medium: None,
            site: None,
            region: None,
            account: None,
            offsite: false,
            immutable: false,
        }
    }

    /// A copy with the descriptors of its configuration.
    pub fn described(sink: Arc<dyn Sink>, spec: &crate::connect::CopySpec) -> Self {
        Self {
            sink,
            medium: spec.medium.clone(),
            site: spec.site.clone(),
            region: spec.region.clone(),
            account: spec.account.clone(),
            offsite: spec.offsite,
            immutable: spec.immutable,
        }
    }

    /// The URL of its sink, without user and password.
    pub fn url(&self) -> String {
        self.sink.info().url
    }

    /// Where it is a directory of this machine: keys must not lie below it.
    pub fn local_path(&self) -> Option<PathBuf> {
        self.sink.info().local_path
    }

    /// What a policy looks at.
    pub(crate) fn facts(&self) -> crate::policy::CopyFacts {
        crate::policy::CopyFacts {
            medium: self.medium.clone(),
            region: self.region.clone(),
            offsite: self.offsite,
        }
    }

    /// What it lies on: `disk`, `tape`, `object-store`, ... Compared for equality only.
    #[must_use]
    pub fn medium(mut self, medium: impl Into<String>) -> Self {
        self.medium = Some(medium.into());
        self
    }

    /// The building.
    #[must_use]
    pub fn site(mut self, site: impl Into<String>) -> Self {
        self.site = Some(site.into());
        self
    }

    /// The vendor's region.
    #[must_use]
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region = Some(region.into());
        self
    }

    /// Whose account it lies in.
    #[must_use]
    pub fn account(mut self, account: impl Into<String>) -> Self {
        self.account = Some(account.into());
        self
    }

    /// It lies elsewhere than the gateway.
    #[must_use]
    pub fn offsite(mut self) -> Self {
        self.offsite = true;
        self
    }

    /// Nobody can change or delete it before its time.
    #[must_use]
    pub fn immutable(mut self) -> Self {
        self.immutable = true;
        self
    }
}

/// How a configured copy stands.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Standing {
    /// It is the copy that it should be.
    Ready,
    /// It does not answer.
    Away(String),
    /// It answers, and is no copy of this repository: it is never written to.
    Foreign(String),
}

/// A configured copy, recognised.
#[derive(Debug, Clone)]
pub struct Place {
    /// Its id in the trust document.
    pub id: CopyId,
    /// What its owner says about it.
    pub copy: Copy,
    /// How it stands.
    pub standing: Standing,
}

impl Place {
    pub(crate) fn is_ready(&self) -> bool {
        self.standing == Standing::Ready
    }

    pub(crate) fn sink(&self) -> &dyn Sink {
        self.copy.sink.as_ref()
    }
}

/// An open repository.
#[derive(Debug)]
pub(crate) struct Vault {
    pub(crate) trust: Arc<Trust>,
    pub(crate) places: Vec<Place>,
    pub(crate) log: Log,
    pub(crate) seal: Arc<SmallSeal>,
    pub(crate) digest_key: DataKey,
    pub(crate) signer: Arc<dyn Signer>,
    pub(crate) keys: Vec<Arc<dyn KeyProvider>>,
    pub(crate) spool: PathBuf,
    /// What the owner demands; what concerns the copies was checked at opening.
    pub(crate) policy: Policy,
    /// Whether something proves that the id is the right one.
    pub(crate) proven: bool,
    /// What people should know, found at opening.
    pub(crate) warnings: Vec<String>,
}

impl Vault {
    /// The repository's id.
    pub(crate) fn id(&self) -> &RepositoryId {
        self.trust.repository()
    }

    /// Copies that can be used.
    pub(crate) fn ready(&self) -> impl Iterator<Item = &Place> {
        self.places.iter().filter(|place| place.is_ready())
    }

    /// All backups, as the log tells now.
    pub(crate) async fn state(&self, cx: &Context) -> Result<CatalogState> {
        fold(&self.events(cx).await?)
    }

    /// The whole log.
    pub(crate) async fn events(&self, cx: &Context) -> Result<Vec<Event>> {
        use futures_util::TryStreamExt as _;
        self.log.events(cx, 0).try_collect().await
    }

    /// Refuses to write where it would be wrong: under an unproven id, or past a copy that is not
    /// what it should be.
    pub(crate) fn writable(&self) -> Result<()> {
        if !self.proven {
            return Err(Error::refused("nothing proves that this is the right repository")
                .on(self.id())
                .help("name its id in the configuration, or accept it once with --trust-new"));
        }
        for place in &self.places {
            if let Standing::Foreign(why) = &place.standing {
                return Err(Error::refused(why.clone())
                    .on(place.sink())
                    .help("mount the right medium, correct the URL, or leave the copy out"));
            }
        }
        if self.ready().next().is_none() {
            return Err(Error::new(ErrorKind::Unavailable, "no copy of the repository answers"));
        }
        Ok(())
    }

    /// Appends an event; while the log's home is away it waits on the other copies. Gives the event
    /// if it has a number.
    pub(crate) async fn record(&self, cx: &Context, draft: EventDraft) -> Result<Option<Event>> {
        match self.log.append(cx, draft.clone()).await {
            Ok(event) => Ok(Some(event)),
            Err(e) if e.kind() == ErrorKind::Unavailable => {
                self.log.defer(cx, draft, None).await?;
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }
}

/// An archive id from its hex form.
pub(crate) fn archive_id(text: &str) -> Result<[u8; 16]> {
    crate::crypt::hex::decode(text).ok_or_else(|| Error::corrupt("this is no archive id"))
}
