//! Probes as the tests of a restore.

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;

use crate::context::Context;
use crate::error::Result;
use crate::model::{Finding, Snapshot};
use crate::probe::{Ask, Caller, Load, Options, Probe, Scenario, run};
use crate::target::{Check, Target};
use crate::task::blocking;

/// How the behaviour of a gateway is probed once it was written. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Probing {
    caller: Arc<dyn Caller>,
    options: Options,
    http: bool,
    https: bool,
    from: Option<IpAddr>,
    generated: bool,
    probes: Arc<[Probe]>,
    loads: Arc<[Load]>,
}

impl Probing {
    /// Probes made from the configuration, sent in clear through `caller`.
    pub fn new(caller: Arc<dyn Caller>) -> Self {
        Self {
            caller,
            options: Options::default(),
            http: true,
            https: false,
            from: None,
            generated: true,
            probes: Arc::new([]),
            loads: Arc::new([]),
        }
    }

    /// The same, with this patience and this consent.
    #[must_use]
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Which schemes the caller has an address for.
    #[must_use]
    pub fn schemes(mut self, http: bool, https: bool) -> Self {
        (self.http, self.https) = (http, https);
        self
    }

    /// The address by which the gateway knows the caller.
    #[must_use]
    pub fn from(mut self, address: IpAddr) -> Self {
        self.from = Some(address);
        self
    }

    /// The same, with what a user wrote down besides.
    #[must_use]
    pub fn scenario(mut self, scenario: Scenario) -> Self {
        self.probes = scenario.probes.into();
        self.loads = scenario.loads.into();
        self
    }

    /// Only what a user wrote down, nothing made from the configuration.
    #[must_use]
    pub fn scenario_only(mut self) -> Self {
        self.generated = false;
        self
    }

    /// A test of what this configuration promises. Nothing is made before it runs: signatures are
    /// good for minutes.
    pub fn of(&self, configuration: Arc<dyn Snapshot>) -> Arc<dyn Check> {
        Arc::new(Promised { probing: self.clone(), configuration })
    }
}

/// Probes what a configuration promises.
#[derive(Debug)]
struct Promised {
    probing: Probing,
    configuration: Arc<dyn Snapshot>,
}

#[async_trait]
impl Check for Promised {
    async fn run(&self, cx: &Context, target: &dyn Target) -> Result<Vec<Finding>> {
        let Probing { caller, options, http, https, from, generated, probes, loads } =
            &self.probing;
        let mut all = Vec::new();
        if *generated {
            let mut ask = Ask::new(cx.now());
            (ask.http, ask.https, ask.from) = (*http, *https, *from);
            let make = target.prober();
            let configuration = Arc::clone(&self.configuration);
            all = blocking(move || make(configuration.as_ref(), &ask)).await?;
        }
        all.extend(probes.iter().cloned());
        let mut found = run(cx, caller.as_ref(), &all, options).await?;
        for load in loads.iter() {
            found.push(load.judge(&load.run(cx, caller.as_ref()).await?));
        }
        Ok(found)
    }
}
