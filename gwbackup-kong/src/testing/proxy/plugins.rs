//! What the plugins in force on a route make of a request, in the order of Kong's priorities.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::{Map, Value};
use uuid::Uuid;

use super::auth::{basic_auth, hmac_auth, jwt, key_auth};
use super::{Memory, Passed, Passing, texts};
use crate::testing::kinds::Kind;
use crate::testing::node::Node;
use crate::testing::store::parent;

/// Plugins that the proxy knows, the first to run first. Others do nothing.
const ORDER: [&str; 12] = [
    "correlation-id",
    "cors",
    "jwt",
    "key-auth",
    "basic-auth",
    "hmac-auth",
    "ip-restriction",
    "request-size-limiting",
    "acl",
    "rate-limiting",
    "proxy-cache",
    "request-termination",
];

const WINDOWS: [(&str, &str, i64); 4] = [
    ("second", "Second", 1_000),
    ("minute", "Minute", 60_000),
    ("hour", "Hour", 3_600_000),
    ("day", "Day", 86_400_000),
];

/// A request on its way.
pub(super) struct Passage<'a> {
    pub(super) node: &'a Node,
    pub(super) memory: &'a mut Memory,
    pub(super) request: &'a Passing,
    /// Headers that go onto whatever is answered.
    pub(super) added: Vec<(String, String)>,
}

type Config = Map<String, Value>;

impl Passage<'_> {
    /// The answer of the first plugin that ends the request, if one does.
    pub(super) fn through(&mut self, route: Uuid, service: Option<Uuid>) -> Option<Passed> {
        let plugins = self.node.all("plugins");
        let mut consumer = None;
        for name in ORDER {
            // Who calls may be known by now, and bring a plugin of its own.
            let mut best: BTreeMap<u8, &(Uuid, Config)> = BTreeMap::new();
            for plugin in plugins.iter().filter(|(_, data)| data.get("name") == Some(&name.into()))
            {
                let data = &plugin.1;
                if data.get("enabled") == Some(&Value::Bool(false)) {
                    continue;
                }
                let scopes = [("route", Some(route)), ("service", service), ("consumer", consumer)];
                let mut weight = 0;
                let fits = scopes.iter().zip([1, 2, 4]).all(|((scope, is), bit)| {
                    match parent(data, scope) {
                        None => true,
                        some => {
                            weight |= bit;
                            some == *is
                        }
                    }
                });
                if fits {
                    best.insert(weight, plugin);
                }
            }
            let Some((_, (id, data))) = best.pop_last() else { continue };
            let empty = Config::new();
            let config = data.get("config").and_then(Value::as_object).unwrap_or(&empty);
            if let Some(end) = self.one(name, *id, config, &mut consumer) {
                return Some(end);
            }
        }
        None
    }

    fn one(
        &mut self,
        name: &str,
        id: Uuid,
        c: &Config,
        consumer: &mut Option<Uuid>,
    ) -> Option<Passed> {
        let (node, request, now) = (self.node, self.request, self.node.now());
        let asked = match name {
            "jwt" => jwt(node, c, request, now),
            "key-auth" => key_auth(node, c, request),
            "basic-auth" => basic_auth(node, request),
            "hmac-auth" => hmac_auth(node, c, request, now),
            "ip-restriction" => return self.ip_restriction(c),
            "request-size-limiting" => return self.size(c),
            "acl" => return self.acl(c, *consumer),
            "rate-limiting" => return self.limit(id, c, *consumer),
            "proxy-cache" => return self.cache(id, c),
            "request-termination" => return Some(termination(c)),
            "cors" => return self.cors(c),
            _ => return self.correlation(c),
        };
        match asked {
            Ok(known) => *consumer = Some(known),
            Err(refused) => match c.get("anonymous").and_then(Value::as_str) {
                None => return Some(refused),
                Some(anonymous) => {
                    let kind = Kind::of_schema("consumers")?;
                    *consumer = self.node.find(kind, anonymous);
                }
            },
        }
        None
    }

    fn correlation(&mut self, c: &Config) -> Option<Passed> {
        if c.get("echo_downstream") == Some(&Value::Bool(true)) {
            let name = c.get("header_name").and_then(Value::as_str).unwrap_or("Kong-Request-ID");
            self.added.push((name.to_lowercase(), "00000000-0000-4000-8000-000000000000#1".into()));
        }
        None
    }

    fn cors(&mut self, c: &Config) -> Option<Passed> {
        let origin = self.request.header("origin")?;
        let origins = texts(c.get("origins"));
        if origins.is_empty() || origins.iter().any(|o| o == "*" || o == origin) {
            self.added.push(("access-control-allow-origin".into(), origin.to_owned()));
        }
        None
    }

    fn ip_restriction(&self, c: &Config) -> Option<Passed> {
        let within =
            |name: &str| texts(c.get(name)).iter().any(|range| covers(range, self.request.from));
        let denied = within("deny") || !texts(c.get("allow")).is_empty() && !within("allow");
        let status = c.get("status").and_then(Value::as_u64).and_then(|s| u16::try_from(s).ok());
        let message = format!("IP address not allowed: {}", self.request.from);
        denied.then(|| Passed::refused(status.unwrap_or(403), &message))
    }

    fn size(&self, c: &Config) -> Option<Passed> {
        let allowed = c.get("allowed_payload_size").and_then(Value::as_u64).unwrap_or(128);
        let unit = match c.get("size_unit").and_then(Value::as_str) {
            Some("bytes") => 1,
            Some("kilobytes") => 1_000,
            _ => 1_000_000,
        };
        let large = self.request.body as u64 > allowed * unit;
        large.then(|| Passed::refused(413, "Request size limit exceeded"))
    }

    fn acl(&self, c: &Config, consumer: Option<Uuid>) -> Option<Passed> {
        let Some(consumer) = consumer else { return Some(Passed::refused(401, "Unauthorized")) };
        let own: Vec<Value> = self
            .node
            .all("acls")
            .into_iter()
            .filter(|(_, data)| parent(data, "consumer") == Some(consumer))
            .filter_map(|(_, mut data)| data.remove("group"))
            .collect();
        let among = |name: &str| texts(c.get(name)).into_iter().any(|g| own.contains(&g.into()));
        let allowed =
            if texts(c.get("allow")).is_empty() { !among("deny") } else { among("allow") };
        (!allowed).then(|| Passed::refused(403, "You cannot consume this service"))
    }

    fn limit(&mut self, id: Uuid, c: &Config, consumer: Option<Uuid>) -> Option<Passed> {
        let now = self.node.now();
        let by_address = c.get("limit_by").and_then(Value::as_str) == Some("ip");
        let who = match consumer {
            Some(consumer) if !by_address => consumer.to_string(),
            _ => self.request.from.to_string(),
        };
        let mut wait = None;
        for (member, name, length) in WINDOWS {
            let Some(limit) = c.get(member).and_then(Value::as_f64) else { continue };
            let count =
                self.memory.counts.entry((id, who.clone(), name, now / length)).or_default();
            let over = *count >= limit;
            *count += 1.0;
            if over {
                wait = Some((length - now.rem_euclid(length)) / 1000 + 1);
            }
            if c.get("hide_client_headers") != Some(&Value::Bool(true)) {
                let left = (limit - *count).max(0.0);
                self.added.push((
                    format!("x-ratelimit-limit-{}", name.to_lowercase()),
                    limit.to_string(),
                ));
                let name = format!("x-ratelimit-remaining-{}", name.to_lowercase());
                self.added.push((name, left.to_string()));
            }
        }
        let wait = wait?;
        self.added.push(("retry-after".into(), wait.to_string()));
        Some(Passed::refused(429, "API rate limit exceeded"))
    }

    fn cache(&mut self, id: Uuid, c: &Config) -> Option<Passed> {
        let now = self.node.now();
        let length = c.get("cache_ttl").and_then(Value::as_i64).unwrap_or(300) * 1000;
        let name = format!("{} {}?{}", self.request.method, self.request.path, self.request.query);
        let until = self.memory.cached.entry((id, name)).or_default();
        let hit = *until > now;
        if !hit {
            *until = now + length;
        }
        self.added.push(("x-cache-status".into(), if hit { "Hit" } else { "Miss" }.into()));
        None
    }
}

fn termination(c: &Config) -> Passed {
    let status = c.get("status_code").and_then(Value::as_u64).and_then(|s| u16::try_from(s).ok());
    let message = c.get("message").and_then(Value::as_str).unwrap_or("Service unavailable");
    let passed = Passed::refused(status.unwrap_or(503), message);
    match c.get("body").and_then(Value::as_str) {
        Some(body) => Passed { body: body.to_owned(), ..passed },
        None => passed,
    }
}

/// Whether a range such as `10.0.0.0/8` covers an address.
fn covers(range: &str, address: IpAddr) -> bool {
    let (base, length) = range.split_once('/').unwrap_or((range, "128"));
    let (Ok(base), Ok(length)) = (base.parse::<IpAddr>(), length.parse::<usize>()) else {
        return false;
    };
    let bits = |address: IpAddr| -> Vec<u8> {
        let octets = match address {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        octets.into_iter().flat_map(|octet| (0..8).rev().map(move |n| octet >> n & 1)).collect()
    };
    let (a, b) = (bits(base), bits(address));
    a.len() == b.len() && a.iter().zip(&b).take(length).all(|(x, y)| x == y)
}
