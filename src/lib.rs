//! Backs up, verifies and restores the configuration of API gateways.
//!
//! The nouns: a **gateway** is read through a [`Source`](source::Source) and written through a
//! [`Target`](target::Target); what is in it are [`Resource`](model::Resource)s. A
//! [`Repository`] lies on one or more [`Copy`](struct@Copy)s, each a [`Sink`](sink::Sink), and is opened with a
//! [`KeyProvider`](crypt::KeyProvider). A backup becomes a [plan](restore::Plan) when it is compared
//! with a gateway, and a [report](report::RestoreReport) when the plan was carried out. Every call
//! takes a [`Context`]: who acts, why, by which clock, until when.
//!
//! ```
//! use std::sync::Arc;
//! use gwbackup::connect::Settings;
//! use gwbackup::crypt::Passphrase;
//! use gwbackup::sink::MemorySink;
//! use gwbackup::{Context, Copy, Repository};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> gwbackup::Result<()> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("gateway.jsonl");
//! # std::fs::write(&path, r#"{"kind":"route","id":"r1","body":{"path":"/pay"}}"#)?;
//! let cx = Context::new().with_actor("ci").with_reason("before release 42");
//! let copy = Copy::new(Arc::new(MemorySink::new()));
//! let key = Arc::new(Passphrase::new("correct horse battery staple")?);
//! let created = Repository::create().copy(copy.clone()).key(key.clone()).run(&cx).await?;
//! // created.kit is shown once: print it, or lose the way back with the key.
//!
//! let repository = Repository::builder().copy(copy).key(key).expect(created.id).open(&cx).await?;
//! // A gateway by its URL, as a command line would name it.
//! let gateway = gwbackup::connectors().target(&path.to_string_lossy(), &Settings::new()).await?;
//! let made = repository.backup(gateway).application("shop").environment("prod").run(&cx).await?;
//! assert_eq!(made.resources, 1);
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! | Feature | Brings |
//! |---|---|
//! | `aws` | AWS API Gateway, REST, HTTP and WebSocket APIs of one region: `aws:`; S3 as a place for backups: `s3:`; KMS as a holder of keys: `awskms:`; metrics to CloudWatch: `cloudwatch:`, `emf:` |
//! | `kong` | Kong Gateway: its Admin API, `kong+http:` and `kong+https:` (to read); declarative files, `kong-file:` |
//! | `http` | probes of a data plane by HTTP; `kong` switches it on |
//! | `object-store` | a place for backups in any store of the crate `object_store`; `aws` switches it on |
//! | `testing` | a gateway in memory, a manual clock, fault injection, conformance suites |
//!
//! None is on by default. The core is re-exported whole: a program needs this crate alone.
//!
//! # Where to read on
//!
//! [`Repository`] for the operations, [`connectors`] for URLs, [`source`], [`target`] and
//! [`sink`] for what can be plugged in. The repository's `docs/` hold the architecture, the stored
//! format and the threat model; `examples/` programs that run.

pub use gwbackup_core::*;

/// AWS API Gateway.
#[cfg(feature = "aws")]
pub use gwbackup_aws as aws;

/// Kong Gateway.
#[cfg(feature = "kong")]
pub use gwbackup_kong as kong;

/// Everything that is built in: what the core knows, and each provider whose feature is on. Schemes
/// of providers that are not built in are answered with the feature that brings them.
pub fn connectors() -> connect::Connectors {
    let connectors = ["kong-file", "kong+http", "kong+https"]
        .into_iter()
        .fold(connect::Connectors::new(), |all, scheme| all.hint(scheme, "kong"));
    let connectors = ["aws", "s3", "awskms", "awsconfig", "cloudwatch", "emf"]
        .into_iter()
        .fold(connectors, |all, scheme| all.hint(scheme, "aws"));
    #[cfg(feature = "aws")]
    let connectors = connectors.with(gwbackup_aws::connectors());
    #[cfg(feature = "kong")]
    let connectors = connectors.with(gwbackup_kong::connectors());
    connectors
}

/// The README's code, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
