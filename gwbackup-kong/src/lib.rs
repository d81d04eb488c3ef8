//! Kong Gateway for gwbackup.
//!
//! `kong-file:` is a gateway that lies in a declarative file: what `kong config db_export` and decK
//! write and what a node without a database loads. Inside the library an entity has one form,
//! whatever file it came from: the Admin API's, with foreign keys as `{"id": "..."}`.

mod file;
mod node;
mod schema;
mod yaml;

use std::sync::Arc;

use gwbackup_core::connect::{Connectors, local_path};
use gwbackup_core::target::Target;

pub use file::{KongFile, open};
pub use schema::schema;

/// What this crate answers to: `kong-file:///path/kong.yml` and, as plain paths, files that end in
/// `.yml` or `.yaml`. It reads no settings. Touches nothing until the gateway is used.
pub fn connectors() -> Connectors {
    Connectors::empty()
        .add_target("kong-file", |url, _settings| async move {
            Ok(Arc::new(open(local_path(&url)?)?) as Arc<dyn Target>)
        })
        .add_path_suffix("yml", "kong-file")
        .add_path_suffix("yaml", "kong-file")
}
