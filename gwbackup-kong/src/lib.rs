//! Kong Gateway for gwbackup.
//!
//! `kong-file:` is a gateway that lies in a declarative file: what `kong config db_export` and decK
//! write and what a node without a database loads. Inside the library an entity has one form,
//! whatever file it came from: the Admin API's, with foreign keys as `{"id": "..."}`.

mod file;
mod node;
mod schema;
mod yaml;

pub use file::{KongFile, open, open_url};
pub use schema::schema;
