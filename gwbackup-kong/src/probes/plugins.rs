//! What shows on the proxy that a plugin is in force. A row for each plugin that does.

use std::net::IpAddr;

use gwbackup_core::probe::{Ask, Expect, Probe, Request, Topic};

use super::NO_ROUTE;
use super::login::{self, Access, Whom, access, access_of};
use super::route::Aim;
use super::site::{Plugin, Route, Site};

/// Where a plugin is looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) site: &'a Site,
    pub(super) route: &'a Route,
    pub(super) aim: &'a Aim,
    /// All plugins in force there.
    pub(super) over: &'a [&'a Plugin],
    pub(super) ask: &'a Ask,
}

type Made = fn(&Plugin, &Place<'_>) -> Vec<Probe>;

/// Each plugin that can be seen from outside, what of the gateway it is about, and how.
const TABLE: [(&str, Topic, Made); 12] = [
    ("key-auth", Topic::Authentication, guard),
    ("basic-auth", Topic::Authentication, guard),
    ("jwt", Topic::Authentication, guard),
    ("hmac-auth", Topic::Authentication, guard),
    ("acl", Topic::Authorisation, acl),
    ("rate-limiting", Topic::RateLimit, limit),
    ("request-size-limiting", Topic::RequestSize, size),
    ("ip-restriction", Topic::Address, address),
    ("cors", Topic::Cors, cors),
    ("proxy-cache", Topic::Caching, cache),
    ("correlation-id", Topic::Transformation, correlation),
    ("request-termination", Topic::Transformation, termination),
];

fn row(plugin: &Plugin) -> Option<&'static (&'static str, Topic, Made)> {
    TABLE.iter().find(|(name, ..)| *name == plugin.name)
}

/// Whether anything of the plugin can be seen from outside.
pub(super) fn shows(plugin: &Plugin) -> bool {
    row(plugin).is_some()
}

/// A probe of a plugin, and what it shows.
pub(super) fn named(plugin: &Plugin, what: &str) -> Probe {
    let topic = row(plugin).map_or(Topic::Custom, |(_, topic, _)| *topic);
    let colon = if what.is_empty() { "" } else { ": " };
    Probe::new(format!("{}{colon}{what}", plugin.label()), topic).proves(&plugin.key)
}

/// The probes of a plugin at a place; nothing if it does not show.
pub(super) fn probes(plugin: &Plugin, place: &Place<'_>) -> Option<Vec<Probe>> {
    let (.., make) = row(plugin)?;
    let on = |mut probe: Probe| {
        probe.name = format!("{} (route {})", probe.name, place.route.label());
        probe.intrusive(place.aim.writes)
    };
    Some(make(plugin, place).into_iter().map(on).collect())
}

impl Place<'_> {
    fn request(&self) -> Request {
        self.aim.request.clone()
    }

    /// A request of somebody who is let in, or why there is none.
    fn let_in(&self) -> Result<Request, String> {
        let access = access(self.site, self.over, None, self.ask, &self.aim.request)?;
        Ok(access.onto(self.request()))
    }

    /// Such a request into a probe, or the probe says why not.
    fn entering(&self, probe: Probe, then: impl FnOnce(Probe, Request) -> Probe) -> Probe {
        match self.let_in() {
            Ok(request) => then(probe, request),
            Err(why) => probe.cannot_run(why),
        }
    }
}

/// Who shows nothing, or something wrong, stays outside; who shows what the backup knows comes in.
fn guard(plugin: &Plugin, place: &Place<'_>) -> Vec<Probe> {
    let outside = named(plugin, "without a credential nobody comes in");
    let outside = if plugin.text("anonymous").is_some() {
        outside.cannot_run("callers without a credential are let in as somebody")
    } else {
        let (site, ask) = (place.site, place.ask);
        match access(site, place.over, Some(plugin), ask, &place.aim.request) {
            Err(why) => outside.cannot_run(why),
            Ok(others) => {
                let wrong = match plugin.name.as_str() {
                    "key-auth" => login::key(plugin, "gwbackup-wrong-key").ok(),
                    "basic-auth" => Some(login::basic("gwbackup-nobody", "wrong")),
                    _ => None,
                };
                let bare = others.clone().onto(place.request());
                let outside = outside.call(bare, Expect::status(401));
                match wrong.map(|wrong: Access| wrong.onto(others.onto(place.request()))) {
                    Some(request) => outside.call(request, Expect::status(401)),
                    None => outside,
                }
            }
        }
    };
    let inside = named(plugin, "a known credential opens");
    let expect = Expect::not(&[401, 403]).without(NO_ROUTE);
    vec![outside, place.entering(inside, |probe, request| probe.call(request, expect))]
}

/// Who is in no group that is allowed is known, and yet not served.
fn acl(plugin: &Plugin, place: &Place<'_>) -> Vec<Probe> {
    let inside = named(plugin, "a consumer whom it allows is served");
    let served = Expect::not(&[401, 403]).without(NO_ROUTE);
    let inside = place.entering(inside, |probe, request| probe.call(request, served));
    let outside = named(plugin, "a consumer whom it does not allow is refused");
    let refused =
        access_of(place.site, place.over, None, place.ask, &place.aim.request, Whom::Denied);
    let outside = match refused {
        Ok(access) => outside.call(access.onto(place.request()), Expect::status(403)),
        Err(why) => outside.cannot_run(why),
    };
    vec![outside, inside]
}

const WINDOWS: [(&str, &str); 6] = [
    ("minute", "Minute"),
    ("hour", "Hour"),
    ("day", "Day"),
    ("month", "Month"),
    ("year", "Year"),
    ("second", "Second"),
];

/// The limit is announced; and it bites.
fn limit(plugin: &Plugin, place: &Place<'_>) -> Vec<Probe> {
    let limits: Vec<(&str, u64)> = WINDOWS
        .into_iter()
        .filter_map(|(member, name)| Some((name, plugin.number(member)?)))
        .collect();
    let told = named(plugin, "the limit is announced");
    let told = match limits.first() {
        None => told.cannot_run("no limit is set"),
        Some(_) if plugin.flag("hide_client_headers", false) => {
            told.cannot_run("it is set not to announce its limit")
        }
        Some((window, limit)) => place.entering(told, |probe, request| {
            let name = format!("x-ratelimit-limit-{}", window.to_lowercase());
            probe.call(request, Expect::default().header(name, Some(limit.to_string())))
        }),
    };
    let bites = named(plugin, "the limit bites").intrusive(true);
    // A second passes while the calls are made, so that its limit may never be reached.
    let longer = limits.iter().filter(|(window, _)| *window != "Second");
    let bites = match longer.map(|(_, limit)| *limit).min() {
        None => bites.cannot_run("no limit is set for longer than a second"),
        Some(limit) if limit >= u64::from(place.ask.most_calls) => {
            bites.cannot_run(format!("it takes more than {limit} calls"))
        }
        Some(limit) => {
            let most = u32::try_from(limit + 1).unwrap_or(u32::MAX);
            place.entering(bites, |probe, request| {
                probe.call_until(request, Expect::status(429), most)
            })
        }
    };
    vec![told, bites]
}

/// What is larger than allowed is refused.
fn size(plugin: &Plugin, place: &Place<'_>) -> Vec<Probe> {
    let probe = named(plugin, "a body that is too large is refused");
    let unit: u64 = match plugin.text("size_unit").as_deref() {
        Some("kilobytes") => 1000,
        Some("bytes") => 1,
        _ => 1_000_000,
    };
    let allowed = plugin.number("allowed_payload_size").unwrap_or(128).saturating_mul(unit);
    if allowed >= place.ask.most_bytes {
        return vec![
            probe.cannot_run(format!("it would take a body of more than {allowed} bytes")),
        ];
    }
    vec![place.entering(probe, |probe, mut request| {
        request.body = Some(allowed + 1);
        probe.call(request, Expect::status(413))
    })]
}

/// The caller's address is let in, or not, as configured.
fn address(plugin: &Plugin, place: &Place<'_>) -> Vec<Probe> {
    let probe = named(plugin, "addresses are told apart");
    let Some(own) = place.ask.from else {
        let why = "the address by which the gateway knows the caller is not given";
        return vec![probe.cannot_run(why)];
    };
    let among = |name: &str| plugin.list(name).iter().any(|range| within(range, own));
    let denied = among("deny") || !plugin.list("allow").is_empty() && !among("allow");
    if !denied {
        let why = "the caller's address is one that it lets in, so that its absence would not show";
        return vec![probe.cannot_run(why)];
    }
    let status = plugin.number("status").and_then(|s| u16::try_from(s).ok()).unwrap_or(403);
    vec![place.entering(probe, |probe, request| probe.call(request, Expect::status(status)))]
}

/// Whether an address lies in `ADDRESS` or `ADDRESS/BITS`.
fn within(range: &str, address: IpAddr) -> bool {
    let (base, bits) = match range.split_once('/') {
        Some((base, bits)) => (base, bits.parse::<u32>().ok()),
        None => (range, None),
    };
    let same = |a: u128, b: u128, all: u32| {
        let bits = bits.unwrap_or(all).min(all);
        a.checked_shr(all - bits).unwrap_or(0) == b.checked_shr(all - bits).unwrap_or(0)
    };
    match (base.parse(), address) {
        (Ok(IpAddr::V4(base)), IpAddr::V4(own)) => {
            same(u32::from(base).into(), u32::from(own).into(), 32)
        }
        (Ok(IpAddr::V6(base)), IpAddr::V6(own)) => same(base.into(), own.into(), 128),
        _ => false,
    }
}

/// A page of an allowed origin may read the answer.
fn cors(plugin: &Plugin, place: &Place<'_>) -> Vec<Probe> {
    let probe = named(plugin, "pages of an allowed origin may call");
    let origins = plugin.list("origins");
    let plain = |origin: &&String| {
        origin.starts_with("http") && !origin.contains(['*', '(', '[', '\\', '$'])
    };
    let origin = match origins.iter().find(plain) {
        Some(origin) => origin.clone(),
        None if origins.is_empty() || origins.iter().any(|o| o == "*") => {
            "https://probe.example".into()
        }
        None => return vec![probe.cannot_run("its origins are regular expressions")],
    };
    vec![place.entering(probe, |probe, mut request| {
        request.headers.push(("origin".to_owned(), origin));
        probe.call(request, Expect::default().header("access-control-allow-origin", None))
    })]
}

/// Answers tell how they stand to the cache.
fn cache(plugin: &Plugin, place: &Place<'_>) -> Vec<Probe> {
    let probe = named(plugin, "answers go through the cache");
    let told = &plugin.config["response_headers"]["X-Cache-Status"];
    if told.as_bool() == Some(false) {
        return vec![probe.cannot_run("it is set not to tell how an answer stands to the cache")];
    }
    let methods = plugin.list("request_method");
    let method = &place.aim.request.method;
    if !methods.is_empty() && !methods.contains(method) {
        return vec![probe.cannot_run(format!("it leaves {method} alone"))];
    }
    vec![place.entering(probe, |probe, request| {
        probe.call(request, Expect::default().header("x-cache-status", None))
    })]
}

/// Answers carry the number of their request.
fn correlation(plugin: &Plugin, place: &Place<'_>) -> Vec<Probe> {
    let probe = named(plugin, "answers carry the number of their request").uncritical();
    if !plugin.flag("echo_downstream", false) {
        return vec![probe.cannot_run("it is set to tell only what lies behind")];
    }
    let name = plugin.text("header_name").unwrap_or_else(|| "Kong-Request-ID".to_owned());
    vec![place.entering(probe, |probe, request| {
        probe.call(request, Expect::default().header(name.to_lowercase(), None))
    })]
}

/// Requests end at the gateway, with the answer that is set.
fn termination(plugin: &Plugin, place: &Place<'_>) -> Vec<Probe> {
    let probe = named(plugin, "requests end at the gateway");
    if plugin.text("trigger").is_some() {
        return vec![probe.cannot_run("it waits for a header or a query")];
    }
    let status = plugin.number("status_code").and_then(|s| u16::try_from(s).ok()).unwrap_or(503);
    let mut expect = Expect::status(status);
    expect.body = plugin.text("message").or_else(|| plugin.text("body"));
    vec![place.entering(probe, |probe, request| probe.call(request, expect))]
}
