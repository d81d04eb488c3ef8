//! Declarative configuration.

use super::api::Request;
use super::node::Node;
use super::reply::Reply;

impl Node {
    pub(super) fn export(&self) -> Reply {
        Reply::not_found()
    }
    pub(super) fn load(&mut self, _request: &Request<'_>) -> Result<Reply, Reply> {
        Ok(Reply::not_found())
    }
}
