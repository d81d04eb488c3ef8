//! Gateways that are one file.
//!
//! A format says how resources stand in the file; everything else (streaming, scope, comparison with
//! the state that a plan was made for, replacing the file in one move) is here, once.

mod apply;
mod place;
mod read;

use std::fmt::Debug;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{
    Captured, Change, Description, Finding, Group, Handles, Limits, Resource, Revision, Rules,
    Schema, Scope, Side, Step, StepReceipt, Verdict,
};
use crate::source::{BoxStream, Known, Purpose, Source};
use crate::target::{States, StepLog, Target};
use crate::task::blocking;
use place::Place;

/// What a format says of every gateway in it.
#[derive(Debug, Clone)]
pub struct About {
    /// The product's name.
    pub product: String,
    /// Version of the format.
    pub version: String,
    /// The rules.
    pub schema: Arc<Schema>,
}

/// How resources stand in a file. Pure but for the reader and the writer that it is given; called
/// on threads where blocking is allowed.
pub trait FileFormat: Debug + Send + Sync + 'static {
    /// The scheme of its URLs.
    fn scheme(&self) -> &str;

    /// Product, version and rules. Reads nothing.
    fn about(&self) -> About;

    /// What a gateway holds whose file does not exist: things that are always there. Nothing,
    /// unless the format says otherwise.
    fn initial(&self) -> Result<Vec<Resource>> {
        Ok(Vec::new())
    }

    /// Gives every resource of the file to `found`, in any order, each key once, and ends with the
    /// first error that `found` returns. `Invalid` for a malformed file, with line and (where it is
    /// known) column and never with content.
    fn read(
        &self,
        input: &mut dyn BufRead,
        found: &mut dyn FnMut(Resource) -> Result<()>,
    ) -> Result<()>;

    /// Writes the file that holds exactly these resources, which come sorted by key. Ends with the
    /// first error among them. `Invalid` for what the format cannot hold.
    fn write(
        &self,
        resources: &mut dyn Iterator<Item = Result<Resource>>,
        out: &mut dyn Write,
    ) -> Result<()>;

    /// What would be wrong with the file that holds exactly these resources, when these changes have
    /// made them what they are. `Invalid` for what the format cannot hold, which is found by writing
    /// into nothing, unless the format says otherwise.
    fn validate(
        &self,
        _changes: &[Change],
        resources: &mut dyn Iterator<Item = Result<Resource>>,
    ) -> Result<Vec<Finding>> {
        self.write(resources, &mut std::io::sink())?;
        Ok(Vec::new())
    }

    /// The format that goes on in the style of the file that is there, where there are several;
    /// `None` for this one.
    fn like(&self, _present: &mut dyn BufRead) -> Result<Option<Box<dyn FileFormat>>> {
        Ok(None)
    }
}

/// A gateway that is one file. Cheap to clone.
///
/// A file that does not exist is an empty gateway; a missing directory is `NotFound`. A symbolic
/// link is followed, and the file that it leads to is replaced; one that leads nowhere is `Invalid`,
/// as is anything that is no regular file.
///
/// A restore is one step. The new file is written beside the old one, flushed, and renamed over it:
/// whoever reads sees the old file or the new one. The old file's permissions are kept; a new file
/// is readable by its owner alone. Between the last look at the old file and the rename lies a moment
/// in which another program's write would be lost: do not edit the file during a restore.
#[derive(Debug, Clone)]
pub struct FileGateway {
    place: Place,
    format: Arc<dyn FileFormat>,
    rules: Rules,
}

impl FileGateway {
    /// The gateway in the file at `path` (made absolute). Touches nothing. `Invalid` for a path that
    /// cannot be a file.
    pub fn new(path: impl Into<PathBuf>, format: impl FileFormat) -> Result<Self> {
        let path = path.into();
        let path =
            std::path::absolute(&path).map_err(|error| Error::from(error).on(path.display()))?;
        if path.file_name().is_none() {
            return Err(Error::invalid("the path names no file").on(path.display()));
        }
        let rules = Rules::new(format.about().schema);
        Ok(Self { place: Place::new(path), format: Arc::new(format), rules })
    }

    /// The format in the style of the file that is there.
    fn style(&self) -> Result<Arc<dyn FileFormat>> {
        let like = match self.place.open()? {
            Some(file) => self.format.like(&mut BufReader::new(file))?,
            None => None,
        };
        Ok(like.map_or_else(|| Arc::clone(&self.format), Arc::from))
    }

    fn named(&self, error: Error) -> Error {
        error.or_on(self.address())
    }
}

#[async_trait]
impl Source for FileGateway {
    fn address(&self) -> String {
        format!("{}://{}", self.format.scheme(), self.place.path().display())
    }

    async fn describe(&self, _cx: &Context) -> Result<Description> {
        let About { product, version, schema } = self.format.about();
        let limits = Limits::default();
        Ok(Description { product, version, handles: Handles::new(), schema, limits })
    }

    async fn preflight(
        &self,
        cx: &Context,
        purpose: Purpose,
        _scope: &Scope,
    ) -> Result<Vec<Finding>> {
        cx.check()?;
        let place = self.place.clone();
        let tried = blocking(move || match purpose {
            Purpose::Restore => place.writable().map(|()| true),
            Purpose::Backup => place.open().map(|file| file.is_some()),
        });
        let absent = "the file does not exist: an empty gateway";
        let finding = match tried.await {
            Ok(false) => Finding::new(self.address(), Verdict::Warning, absent),
            Ok(true) => Finding::new(self.address(), Verdict::Ok, "the file can be reached"),
            Err(error) => Finding::new(self.address(), Verdict::Failed, error.message()),
        };
        Ok(vec![finding])
    }

    /// The SHA-256 of the file's bytes, whatever the scope.
    async fn revision(&self, cx: &Context, _scope: &Scope) -> Result<Option<Revision>> {
        cx.check()?;
        let place = self.place.clone();
        let digest = blocking(move || place.digest()).await.map_err(|error| self.named(error))?;
        Ok(Some(Revision::new(&digest.text())))
    }

    fn read(
        &self,
        cx: &Context,
        _description: &Description,
        scope: &Scope,
        _known: Option<Arc<dyn Known>>,
    ) -> BoxStream<Result<Captured>> {
        read::stream(self.clone(), cx.clone(), scope.clone())
    }
}

#[async_trait]
impl Target for FileGateway {
    /// One group with every change, which rewrites everything.
    fn arrange(&self, _description: &Description, changes: &[Change]) -> Vec<Group> {
        if changes.is_empty() {
            return Vec::new();
        }
        vec![Group {
            changes: changes.iter().map(|change| change.no).collect(),
            rewrites: Some(Scope::everything()),
            lane: None,
            estimate: Duration::from_secs(1),
        }]
    }

    /// Writes the state after into nothing, so that what the format cannot hold, and what it finds
    /// wrong, is known before the file is touched.
    async fn validate(
        &self,
        cx: &Context,
        _description: &Description,
        changes: &[Change],
        states: &dyn States,
    ) -> Result<Vec<Finding>> {
        cx.check()?;
        let (this, changes) = (self.clone(), changes.to_vec());
        let checked = apply::feed(states, Side::After, move |resources| {
            this.style()?.validate(&changes, resources)
        });
        match checked.await {
            Ok(findings) => Ok(findings),
            Err(error) if error.kind() == ErrorKind::Invalid => {
                let subject = error.subject().map_or_else(|| self.address(), str::to_owned);
                let detail = match error.advice() {
                    Some(help) => format!("{}; {help}", error.message()),
                    None => error.message().to_owned(),
                };
                Ok(vec![Finding::new(subject, Verdict::Failed, detail)])
            }
            Err(error) => Err(self.named(error)),
        }
    }

    async fn apply(
        &self,
        cx: &Context,
        description: &Description,
        step: &Step,
        states: &dyn States,
        _log: &dyn StepLog,
    ) -> Result<StepReceipt> {
        cx.check()?;
        apply::apply(self, description, step, states).await.map_err(|error| self.named(error))
    }
}
