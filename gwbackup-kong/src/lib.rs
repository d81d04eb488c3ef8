//! Kong Gateway for gwbackup.
//!
//! `kong-file:` is a gateway that lies in a declarative file: what `kong config db_export` and decK
//! write and what a node without a database loads. Inside the library an entity has one form,
//! whatever file it came from: the Admin API's, with foreign keys as `{"id": "..."}`.
//!
//! ```
//! use gwbackup_core::Context;
//! use gwbackup_core::model::{Captured, Scope};
//! use gwbackup_core::source::Source;
//! use futures_util::TryStreamExt;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> gwbackup_core::Result<()> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("kong.yml");
//! let text = "
//! _format_version: '3.0'
//! services:
//! - name: pay
//!   url: http://pay.internal
//!   routes:
//!   - name: pay
//!     paths: [/pay]
//! ";
//! std::fs::write(&path, text)?;
//! let gateway = gwbackup_kong::open(&path)?;
//! let cx = Context::new();
//! let description = gateway.describe(&cx).await?;
//! let all: Vec<Captured> =
//!     gateway.read(&cx, &description, &Scope::everything(), None).try_collect().await?;
//! let kinds: Vec<_> = all
//!     .iter()
//!     .filter_map(|captured| match captured {
//!         Captured::Resource(resource) => Some(resource.key.kind.as_str()),
//!         _ => None,
//!     })
//!     .collect();
//! assert!(kinds.contains(&"service") && kinds.contains(&"route"));
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! | Feature | Brings |
//! |---|---|
//! | `testing` | a double of Kong's Admin API (`testing`); the core's doubles as well |
//!
//! # Where to read on
//!
//! [`schema`] is the table of kinds; [`connectors`] opens a gateway by its URL. Programs reach this
//! crate through the feature `kong` of the facade `gwbackup`.

mod admin;
mod file;
mod node;
mod probes;
mod schema;
#[cfg(feature = "testing")]
pub mod testing;
mod vault;
mod yaml;

use std::sync::Arc;

use gwbackup_core::Result;
use gwbackup_core::connect::{Connectors, Settings, local_path};
use gwbackup_core::target::Target;
use url::Url;

pub use admin::{ImportHook, KongAdmin};
pub use file::{Export, KongFile, open};
pub use schema::schema;

/// What this crate answers to: nodes at `kong+http://HOST:8001` and `kong+https://HOST:8444` (query
/// and settings as [`KongAdmin::new`] has them), and declarative files at
/// `kong-file:///path/kong.yml` or, as plain paths, those that end in `.yml` or `.yaml`. Touches
/// nothing until the gateway is used, but for the PEM files that the settings of a node name.
pub fn connectors() -> Connectors {
    Connectors::empty()
        .add_target("kong-file", |url, _settings| async move {
            Ok(Arc::new(open(local_path(&url)?)?) as Arc<dyn Target>)
        })
        .add_target("kong+http", node)
        .add_target("kong+https", node)
        .add_path_suffix("yml", "kong-file")
        .add_path_suffix("yaml", "kong-file")
}

async fn node(url: Url, settings: Settings) -> Result<Arc<dyn Target>> {
    Ok(Arc::new(KongAdmin::new(&url, &settings)?))
}
