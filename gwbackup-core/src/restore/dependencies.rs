//! Looking for what a configuration needs, before the first write.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;

use crate::context::Context;
use crate::error::{ErrorKind, Result};
use crate::model::Finding;
use crate::plan::{Dependency, Presence};
use crate::target::Target;

/// Looks whether something outside the gateway is there: a host, a role, a certificate.
#[async_trait]
pub trait DependencyProbe: Debug + Send + Sync + 'static {
    /// How it stands, with a sentence for people that holds no secret; `None` for what this probe
    /// knows nothing about. Changes nothing. An error is told as [`Presence::NotVisible`], except
    /// `Cancelled`. A dropped future changes nothing.
    async fn look(
        &self,
        cx: &Context,
        dependency: &Dependency,
        target: &dyn Target,
    ) -> Result<Option<(Presence, String)>>;
}

/// Asks about each dependency until a probe knows it; what a person must know.
pub(crate) async fn check(
    cx: &Context,
    probes: &[Arc<dyn DependencyProbe>],
    dependencies: &mut [Dependency],
    target: &dyn Target,
) -> Result<Vec<Finding>> {
    for dependency in dependencies.iter_mut() {
        for probe in probes {
            cx.check()?;
            let seen = match probe.look(cx, dependency, target).await {
                Ok(seen) => seen,
                Err(e) if e.kind() == ErrorKind::Cancelled => return Err(e),
                Err(e) => Some((Presence::NotVisible, e.to_string())),
            };
            if let Some((presence, detail)) = seen {
                (dependency.presence, dependency.detail) = (presence, detail);
                break;
            }
        }
    }
    Ok(dependencies.iter().filter_map(Dependency::finding).collect())
}
