//! The core of gwbackup: backs up, verifies and restores the configuration of API gateways,
//! whatever their vendor.
//!
//! | Noun | Is |
//! |---|---|
//! | [`Repository`] | sealed backups on one or more copies, with a log; every operation starts here |
//! | [`Copy`](struct@Copy), [`Sink`](sink::Sink) | one place of a repository; how objects are kept there |
//! | [`Source`](source::Source), [`Target`](target::Target) | reads a gateway; writes it, too |
//! | [`Resource`](model::Resource), [`Schema`](model::Schema) | one thing of a gateway; the rules of all its kinds, as data |
//! | [`KeyProvider`](crypt::KeyProvider) | wraps the keys of backups, and lives apart from the copies |
//! | [`Plan`](restore::Plan), [`RestoreReport`](report::RestoreReport) | what a restore would write; what it did, and whether traffic may go back |
//! | [`Probe`](probe::Probe), [`DrillReport`](drill::DrillReport) | what shows that a gateway works; what a rehearsal showed |
//! | [`HistoryLink`](history::HistoryLink) | what another service recorded of a gateway's resources |
//! | [`Gap`](model::Gap), [`Mark`](model::Mark) | what was not captured; a place that is secret or not here |
//! | [`Context`] | who acts and why, by which clock, heard by whom, until when |
//!
//! ```
//! # #[cfg(feature = "testing")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> gwbackup_core::Result<()> {
//! use std::sync::Arc;
//! use gwbackup_core::crypt::Passphrase;
//! use gwbackup_core::report::GoLive;
//! use gwbackup_core::restore::ApplyOptions;
//! use gwbackup_core::sink::MemorySink;
//! use gwbackup_core::testing::MemoryGateway;
//! use gwbackup_core::{Context, Copy, Repository};
//!
//! let cx = Context::new().with_actor("ci");
//! let copy = Copy::new(Arc::new(MemorySink::new())).medium("memory");
//! let key = Arc::new(Passphrase::new("correct horse battery staple")?);
//! Repository::create().copy(copy.clone()).key(key.clone()).run(&cx).await?;
//! let repository = Repository::builder().copy(copy).key(key).open(&cx).await?;
//!
//! let gateway = MemoryGateway::kong_like();
//! gateway.populate(1, 20);
//! let source = Arc::new(gateway.clone());
//! repository.backup(source).application("shop").environment("prod").run(&cx).await?;
//!
//! gateway.clear(); // the accident
//! let latest = repository.find(&cx, "latest").await?;
//! let plan = repository.restore(&latest, Arc::new(gateway)).plan(&cx).await?;
//! let outcome = plan.apply(&cx, &ApplyOptions::default()).await?;
//! assert_eq!(outcome.report.verdict, GoLive::Go);
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "testing"))]
//! # fn main() {}
//! ```
//!
//! # Features
//!
//! | Feature | Brings |
//! |---|---|
//! | `http` | [`probe::HttpCaller`]: probes by HTTP |
//! | `object-store` | [`sink::ObjectSink`]: a sink over any store of the crate `object_store` |
//! | `testing` | a gateway in memory, a manual clock, fault injection, conformance suites for every trait |
//!
//! # Where to read on
//!
//! Those who use the library: [`repository`], [`report`], [`connect`]. Those who write a provider:
//! [`source`], [`target`], [`model`], then `testing::conformance`; for a gateway that is one file,
//! [`whole_file`]. Those who write a place: [`sink`]. Programs use this crate through the facade
//! `gwbackup`; the project's `docs/` hold the architecture, the stored format and the threat model.

pub mod archive;
pub mod backup;
pub mod catalog;
pub mod clock;
pub mod connect;
pub mod context;
pub mod crypt;
pub mod drift;
pub mod drill;
pub mod error;
pub mod history;
pub mod jsonl;
pub mod mapping;
pub mod metrics;
pub mod model;
pub mod observe;
pub mod pace;
pub mod plan;
pub mod policy;
pub mod preflight;
pub mod probe;
pub mod report;
pub mod repository;
pub mod restore;
pub mod retry;
pub mod runbook;
pub mod sink;
mod sort;
pub mod source;
pub mod target;
mod task;
#[cfg(feature = "testing")]
pub mod testing;
mod vault;
pub mod verify;
pub mod whole_file;

pub use context::Context;
pub use error::{Error, ErrorKind, Result};
pub use repository::{Copy, Repository};
