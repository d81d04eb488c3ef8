//! The quotas of the management API: per account and region, fixed, shared with every other tool.

use std::time::Duration;

use gwbackup_core::pace::Pace;
use gwbackup_core::{Context, Result};
use reqwest::Method;

/// Calls that go at once after a pause: a fourth of what the service allows.
const BURST: u32 = 10;

/// Milliseconds between two calls of one sort, by verb and path; `*` stands for one segment. Edge
/// APIs are told apart by the caller ([`Sort::edge`]). Everything else is bound by the total alone.
const QUOTAS: &[(&str, &str, u32)] = &[
    ("GET", "restapis/*/resources", 400),
    ("POST", "restapis", 3_000),
    ("PUT", "restapis/*", 1_000),
    ("DELETE", "restapis/*", 30_000),
    ("POST", "restapis/*/deployments", 5_000),
    ("POST", "restapis/*/resources/*", 200),
    ("DELETE", "restapis/*/resources/*", 200),
    ("POST", "apikeys", 200),
    ("DELETE", "apikeys/*", 200),
    ("PATCH", "usageplans/*", 20_000),
    ("POST", "domainnames", 30_000),
    ("PATCH", "domainnames/*", 30_000),
    ("DELETE", "domainnames/*", 30_000),
    ("PATCH", "account", 20_000),
    ("PUT", "restapis/*/documentation/parts", 30_000),
    ("POST", "restapis/*/documentation/versions", 20_000),
    ("POST", "v2/vpclinks", 15_000),
    ("DELETE", "v2/vpclinks/*", 30_000),
    ("POST", "v2/portals", 3_000),
    ("PATCH", "v2/portals/*", 30_000),
    ("POST", "v2/portals/*/publish", 30_000),
];
/// All calls together.
const TOTAL: u32 = 100;
/// `POST restapis` of an edge-optimised API.
const EDGE: u32 = 30_000;

/// One budget for all calls to one region of one account.
#[derive(Debug)]
pub(crate) struct Quotas {
    total: Pace,
    sorts: Vec<Pace>,
    edge: Pace,
}

impl Quotas {
    /// At this percentage of what the service allows, at least 1.
    pub(crate) fn new(percent: u8) -> Self {
        let every = |milliseconds: u32| {
            Duration::from_millis(u64::from(milliseconds) * 100 / u64::from(percent.max(1)))
        };
        Self {
            total: Pace::new(every(TOTAL), BURST),
            sorts: QUOTAS.iter().map(|(_, _, time)| Pace::new(every(*time), 1)).collect(),
            edge: Pace::new(every(EDGE), 1),
        }
    }

    /// Waits until a call of this sort may be made. For the total first: a wait after that for the
    /// sort would bring two calls of one sort nearer to each other than their quota allows, while
    /// the total has a burst to spare.
    pub(crate) async fn turn(&self, cx: &Context, sort: Sort) -> Result<()> {
        self.total.turn(cx).await?;
        if sort.edge {
            self.edge.turn(cx).await
        } else if let Some(pace) = sort.row.and_then(|row| self.sorts.get(row)) {
            pace.turn(cx).await
        } else {
            Ok(())
        }
    }

    /// The service asked for a pause.
    pub(crate) fn hold(&self, cx: &Context, sort: Sort, pause: Duration) {
        match sort.row.and_then(|row| self.sorts.get(row)) {
            Some(pace) => pace.hold(cx, pause),
            None => self.total.hold(cx, pause),
        }
    }
}

/// Which quota a call counts against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sort {
    row: Option<usize>,
    edge: bool,
}

impl Sort {
    pub(crate) fn of(method: &Method, path: &[&str]) -> Self {
        let fits = |pattern: &str| {
            let mut parts = pattern.split('/');
            path.iter().all(|own| parts.next().is_some_and(|part| part == "*" || part == *own))
                && parts.next().is_none()
        };
        let row = QUOTAS.iter().position(|(verb, at, _)| method.as_str() == *verb && fits(at));
        Self { row, edge: false }
    }

    /// The same for an edge-optimised API.
    #[must_use]
    pub(crate) fn edge(self, edge: bool) -> Self {
        Self { edge, ..self }
    }

    /// What a call of this sort takes at least.
    #[cfg(test)]
    fn time(self) -> Duration {
        let own = self.row.and_then(|row| QUOTAS.get(row)).map_or(TOTAL, |(_, _, time)| *time);
        Duration::from_millis(u64::from(if self.edge { EDGE } else { own }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_counts_against_its_own_quota() {
        let time = |method, path: &[&str]| Sort::of(&method, path).time().as_millis();
        assert_eq!(time(Method::GET, &["restapis", "a", "resources"]), 400);
        assert_eq!(time(Method::GET, &["restapis", "a", "resources", "r"]), 100);
        assert_eq!(time(Method::DELETE, &["restapis", "a"]), 30_000);
        assert_eq!(Sort::of(&Method::POST, &["restapis"]).edge(true).time().as_secs(), 30);
    }
}
