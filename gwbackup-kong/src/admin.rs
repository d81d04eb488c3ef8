//! A Kong node, over its Admin API.

mod client;
mod config;
