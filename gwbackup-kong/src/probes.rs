//! Probes from a configuration of Kong: one for each route, and for each plugin what shows on the
//! proxy that it is in force. Pure.

mod login;
mod plugins;
mod route;
mod sample;
mod site;

use std::collections::BTreeSet;

use gwbackup_core::Result;
use gwbackup_core::model::Snapshot;
use gwbackup_core::probe::{Ask, Expect, Probe, Topic};

use plugins::Place;
use route::Aim;
use site::{Plugin, Route, Site};

/// What the proxy says where no route takes a request.
const NO_ROUTE: &str = "no Route matched";

/// The probes of a configuration: one for each plugin that shows on the proxy, on a route that it
/// covers, then one for each route, as many as are asked for. What cannot be tried says why. Secrets
/// are taken from the configuration where they are in it.
pub(crate) fn probes(configuration: &dyn Snapshot, ask: &Ask) -> Result<Vec<Probe>> {
    let site = Site::read(configuration)?;
    let mut all = Vec::new();
    let mut seen = BTreeSet::new();
    // Plugins first: of two kinds of proof theirs says more.
    for route in &site.routes {
        let over = site.over(route);
        let fresh: Vec<&Plugin> =
            over.iter().copied().filter(|plugin| !seen.contains(&plugin.key)).collect();
        if fresh.is_empty() {
            continue;
        }
        let Ok(aim) = route::aim(&site, route, ask) else { continue };
        for plugin in fresh {
            if all.len() >= ask.most {
                break;
            }
            let place = Place { site: &site, route, aim: &aim, over: &over, ask };
            let Some(made) = plugins::probes(plugin, &place) else { continue };
            seen.insert(plugin.key.clone());
            all.extend(made);
        }
    }
    let mut left = 0;
    for plugin in site.plugins.iter().filter(|plugin| plugin.enabled && !seen.contains(&plugin.key))
    {
        if !plugins::shows(plugin) {
            continue;
        }
        if all.len() >= ask.most {
            left += 1;
            continue;
        }
        let why = if plugin.consumer.is_some() {
            "it is in force for one consumer alone"
        } else {
            "no route that it covers can be called"
        };
        all.push(plugins::named(plugin, "").cannot_run(why));
    }
    for route in &site.routes {
        if all.len() >= ask.most {
            left += 1;
            continue;
        }
        all.push(routed(&site, route, ask));
    }
    if left > 0 {
        let why = format!("{} probes are made at most", ask.most);
        let more = Probe::new(format!("{left} more routes and plugins"), Topic::Routing);
        all.push(more.uncritical().cannot_run(why));
    }
    Ok(all)
}

/// A request that only this route takes reaches it.
fn routed(site: &Site, route: &Route, ask: &Ask) -> Probe {
    let probe = Probe::new(format!("route {}", route.label()), Topic::Routing).proves(&route.key);
    let probe = match &route.service {
        Some(service) => site.service_key(service).map_or(probe.clone(), |key| probe.proves(&key)),
        None => probe,
    };
    match route::aim(site, route, ask) {
        Err(why) => probe.cannot_run(why),
        Ok(Aim { request, writes }) => {
            let expect = Expect::not(&[]).without(NO_ROUTE);
            let over = site.over(route);
            let answers_itself = over.iter().any(|plugin| plugin.name == "request-termination");
            let expect = if route.service.is_some() && !answers_itself {
                expect.doubtful(502, 504)
            } else {
                expect
            };
            let request = match login::access(site, &over, None, ask, &request) {
                Ok(access) => access.onto(request),
                Err(_) => request,
            };
            probe.intrusive(writes).call(request, expect)
        }
    }
}
