//! Probes that a user writes down.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use super::{Expect, Load, Probe, Request, Scheme, Topic};
use crate::error::{Error, Result};
use crate::model::Key;

/// A user's probes and loads, as a file writes them (any form that serde reads; unknown members are
/// refused):
///
/// ```toml
/// [[probe]]
/// name = "checkout answers"
/// path = "/checkout/health"
/// host = "shop.example"
/// headers = { apikey = "…" }
/// proves = ["route/0b5c…"]
/// expect = { status = [200, "3xx"], headers = { x-served-by = "quarry", age = "*" }, body = "ok" }
///
/// [[load]]
/// path = "/checkout/health"
/// rate = 20
/// seconds = 5
/// p95_ms = 250
/// errors_percent = 1
/// ```
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Scenario {
    /// The probes.
    pub probes: Vec<Probe>,
    /// The loads, run one after the other once all probes are through.
    pub loads: Vec<Load>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    probe: Vec<WrittenProbe>,
    #[serde(default)]
    load: Vec<WrittenLoad>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenProbe {
    name: String,
    #[serde(default = "get")]
    method: String,
    #[serde(default)]
    scheme: Scheme,
    host: Option<String>,
    path: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body_bytes: Option<u64>,
    #[serde(default)]
    proves: Vec<String>,
    #[serde(default = "yes")]
    critical: bool,
    #[serde(default)]
    intrusive: bool,
    #[serde(default = "once")]
    most_calls: u32,
    #[serde(default)]
    expect: WrittenExpect,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenLoad {
    #[serde(default = "get")]
    method: String,
    #[serde(default)]
    scheme: Scheme,
    host: Option<String>,
    path: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    rate: u32,
    seconds: u32,
    p95_ms: Option<u64>,
    #[serde(default)]
    errors_percent: u8,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenExpect {
    status: Vec<Status>,
    headers: BTreeMap<String, String>,
    body: Option<String>,
    not_body: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Status {
    Exact(u16),
    Class(String),
}

fn get() -> String {
    "GET".to_owned()
}

fn yes() -> bool {
    true
}

fn once() -> u32 {
    1
}

impl Status {
    fn range(&self) -> Result<(u16, u16)> {
        match self {
            Self::Exact(status @ 100..=599) => Ok((*status, *status)),
            Self::Class(class) => match class.as_bytes() {
                [first @ b'1'..=b'5', b'x', b'x'] => {
                    let first = u16::from(first - b'0') * 100;
                    Ok((first, first + 99))
                }
                _ => Err(Error::invalid("this is no class of status").on(class).help("write 2xx")),
            },
            Self::Exact(other) => Err(Error::invalid("this is no status").on(other)),
        }
    }
}

impl TryFrom<Written> for Scenario {
    type Error = Error;

    fn try_from(written: Written) -> Result<Self> {
        let probes = written.probe.into_iter().map(WrittenProbe::probe).collect::<Result<_>>()?;
        let loads = written.load.into_iter().map(WrittenLoad::load).collect::<Result<_>>()?;
        Ok(Self { probes, loads })
    }
}

impl<'de> Deserialize<'de> for Scenario {
    fn deserialize<D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> std::result::Result<Self, D::Error> {
        Self::try_from(Written::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl WrittenProbe {
    fn probe(self) -> Result<Probe> {
        let mut expect =
            Expect { body: self.expect.body, not_body: self.expect.not_body, ..Expect::default() };
        expect.status = self.expect.status.iter().map(Status::range).collect::<Result<_>>()?;
        let any = |value: String| Some(value).filter(|value| value != "*");
        expect.headers =
            self.expect.headers.into_iter().map(|(name, value)| (name, any(value))).collect();
        if expect.status.is_empty() && expect.headers.is_empty() && expect.body.is_none() {
            expect.not_status.push((400, 599));
        }
        let mut request = request(self.method, self.scheme, self.host, self.path, self.headers)?;
        request.body = self.body_bytes;
        let mut probe = Probe::new(self.name, Topic::Custom).intrusive(self.intrusive);
        probe.critical = self.critical;
        for key in self.proves {
            probe = probe.proves(&key.parse::<Key>()?);
        }
        Ok(probe.call_until(request, expect, self.most_calls))
    }
}

impl WrittenLoad {
    fn load(self) -> Result<Load> {
        let request = request(self.method, self.scheme, self.host, self.path, self.headers)?;
        if !(1..=10_000).contains(&self.rate) || !(1..=600).contains(&self.seconds) {
            return Err(Error::invalid(
                "a load is 1 to 10,000 requests a second for 1 to 600 seconds",
            )
            .on(&request.path));
        }
        let mut load = Load::new(request, self.rate, Duration::from_secs(self.seconds.into()));
        load.most_errors = self.errors_percent.min(100);
        load.p95 = self.p95_ms.map(Duration::from_millis);
        Ok(load)
    }
}

fn request(
    method: String,
    scheme: Scheme,
    host: Option<String>,
    path: String,
    headers: BTreeMap<String, String>,
) -> Result<Request> {
    if !path.starts_with('/') {
        return Err(Error::invalid("a path begins with a slash").on(path));
    }
    let headers = headers.into_iter().collect();
    Ok(Request { scheme, host, headers, ..Request::new(method, path) })
}
