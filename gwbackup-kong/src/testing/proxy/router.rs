//! Which route takes a request, as Kong's traditional router decides: of those that match, the one
//! with the most conditions; then hosts without wildcards, more headers, expressions before
//! prefixes, longer paths, older routes.

use serde_json::Value;

use super::regex::starts;
use super::{Entity, Passing, texts};

pub(super) fn find<'a>(routes: &'a [Entity], request: &Passing) -> Option<&'a Entity> {
    let mut best: Option<(Rank, &Entity)> = None;
    for route in routes {
        let Some(rank) = rank(route, request) else { continue };
        if best.as_ref().is_none_or(|(other, _)| rank > *other) {
            best = Some((rank, route));
        }
    }
    best.map(|(_, route)| route)
}

/// Higher is asked first.
#[derive(Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    conditions: usize,
    plain_host: bool,
    headers: usize,
    expression: bool,
    priority: i64,
    path: usize,
    age: i64,
}

fn rank((_, data): &Entity, request: &Passing) -> Option<Rank> {
    let mut rank = Rank {
        age: -data.get("created_at").and_then(Value::as_i64).unwrap_or_default(),
        ..Rank::default()
    };
    let of = |name: &str| texts(data.get(name));
    if !texts(data.get("snis")).is_empty() {
        return None;
    }
    let (hosts, methods, paths) = (of("hosts"), of("methods"), of("paths"));
    if !hosts.is_empty() {
        let host = request.header("host")?;
        let bare = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let matched: Vec<&String> = hosts
            .iter()
            .filter(|pattern| match (pattern.strip_prefix("*."), pattern.strip_suffix(".*")) {
                (Some(end), _) => bare.strip_suffix(end).is_some_and(|rest| rest.ends_with('.')),
                (_, Some(start)) => {
                    bare.strip_prefix(start).is_some_and(|rest| rest.starts_with('.'))
                }
                _ => **pattern == host || **pattern == bare,
            })
            .collect();
        rank.plain_host = matched.iter().any(|host| !host.contains('*'));
        rank.conditions += usize::from(!matched.is_empty());
        if matched.is_empty() {
            return None;
        }
    }
    if !methods.is_empty() {
        if !methods.contains(&request.method) {
            return None;
        }
        rank.conditions += 1;
    }
    if let Some(wanted) = data.get("headers").and_then(Value::as_object).filter(|h| !h.is_empty()) {
        for (name, values) in wanted {
            let sent = request.header(&name.to_lowercase())?;
            if !texts(Some(values)).iter().any(|value| value.eq_ignore_ascii_case(sent)) {
                return None;
            }
        }
        rank.headers = wanted.len();
        rank.conditions += 1;
    }
    if !paths.is_empty() {
        let fits = |path: &&String| match path.strip_prefix('~') {
            Some(pattern) => starts(pattern, &request.path),
            None => request.path.starts_with(path.as_str()),
        };
        let path = paths.iter().filter(fits).max_by_key(|p| (p.starts_with('~'), p.len()))?;
        rank.expression = path.starts_with('~');
        if rank.expression {
            rank.priority = data.get("regex_priority").and_then(Value::as_i64).unwrap_or_default();
        }
        rank.path = path.len();
        rank.conditions += 1;
    }
    (rank.conditions > 0).then_some(rank)
}
