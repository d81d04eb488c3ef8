//! A run's records in the repository: sealed, numbered, on every copy that answers.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use uuid::Uuid;

use super::journal::RecordStore;
use crate::context::Context;
use crate::crypt::Sealed;
use crate::error::{Error, ErrorKind, Result};
use crate::sink::{Body, put_once};
use crate::vault::{Vault, journal_name};

/// Records of one run.
#[derive(Debug)]
pub(crate) struct VaultRecords {
    pub(crate) vault: Arc<Vault>,
    pub(crate) run: Uuid,
}

impl VaultRecords {
    /// What a record is bound to: the run and its number.
    fn object(&self, number: u32) -> Vec<u8> {
        [self.run.as_bytes().as_slice(), &number.to_be_bytes()].concat()
    }

    fn open(&self, number: u32, bytes: &Bytes) -> Result<Vec<u8>> {
        let sealed: Sealed = serde_json::from_slice(bytes).map_err(|e| {
            Error::corrupt(format!("a journal record is malformed (column {})", e.column()))
        })?;
        self.vault.seal.open("journal", &self.object(number), &sealed)
    }
}

#[async_trait]
impl RecordStore for VaultRecords {
    async fn append(&self, cx: &Context, number: u32, record: &[u8]) -> Result<()> {
        let sealed = self.vault.seal.seal("journal", &self.object(number), record)?;
        let bytes = serde_json::to_vec(&sealed)
            .map_err(|_| Error::invalid("a journal record cannot be written"))?;
        let name = journal_name(self.run, number)?;
        let body = Body::from(bytes);
        let mut failure = Error::new(ErrorKind::Unavailable, "no copy answers").on(&name);
        let mut stored = false;
        // Copy by copy, in the same order everywhere: of two processes the first copy lets in one.
        for place in self.vault.ready() {
            match put_once(place.sink(), cx, &name, &body).await {
                Ok(()) => stored = true,
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                    let message = "another process carries on this run";
                    return Err(Error::new(ErrorKind::Conflict, message).on(self.run));
                }
                Err(e) => failure = e,
            }
        }
        if stored { Ok(()) } else { Err(failure) }
    }

    /// A copy that does not answer may hold the last records: without them a run would be taken up
    /// at the wrong place.
    async fn load(&self, cx: &Context) -> Result<Vec<Vec<u8>>> {
        if let Some(place) = self.vault.places.iter().find(|place| !place.is_ready()) {
            let message = "a copy that may hold the end of the journal is not available";
            return Err(Error::new(ErrorKind::Unavailable, message)
                .on(place.sink())
                .help("bring it back, or leave it out if it is lost for good"));
        }
        let mut records = Vec::new();
        for number in 1.. {
            let name = journal_name(self.run, number)?;
            let mut found = None;
            for place in self.vault.ready() {
                match place.sink().get(cx, &name, None).await {
                    Ok(bytes) => match self.open(number, &bytes) {
                        Ok(record) => {
                            found = Some(Ok(record));
                            break;
                        }
                        Err(e) => found = Some(Err(e.on(format!("{name} on {}", place.sink())))),
                    },
                    Err(e) if e.kind() == ErrorKind::NotFound => {}
                    Err(e) if e.kind() == ErrorKind::Cancelled => return Err(e),
                    Err(e) => found = found.or(Some(Err(e))),
                }
            }
            match found {
                Some(record) => records.push(record?),
                None => break,
            }
        }
        if records.is_empty() {
            return Err(Error::new(ErrorKind::NotFound, "there is no such run")
                .on(self.run)
                .help("`audit list` names the runs"));
        }
        Ok(records)
    }
}
