//! Backs up and restores the configuration of API gateways.
//!
//! The core lives in [`gwbackup_core`] and is re-exported here whole; each gateway has a feature.

pub use gwbackup_core::*;

/// Kong Gateway.
#[cfg(feature = "kong")]
pub use gwbackup_kong as kong;

/// Everything that is built in: what the core knows, and each provider whose feature is on. Schemes
/// of providers that are not built in are answered with the feature that brings them.
pub fn connectors() -> connect::Connectors {
    let connectors = connect::Connectors::new().hint("kong-file", "kong");
    #[cfg(feature = "kong")]
    let connectors = connectors.with(gwbackup_kong::connectors());
    connectors
}
