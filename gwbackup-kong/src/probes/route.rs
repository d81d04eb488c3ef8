//! A request that one route takes, and no other: Kong's rules about which is asked first.

use gwbackup_core::probe::{Ask, Request, Scheme};

use super::sample::sample;
use super::site::{Route, Site};

/// A request at a route.
#[derive(Debug)]
pub(super) struct Aim {
    pub(super) request: Request,
    /// Its method may change what lies behind the gateway.
    pub(super) writes: bool,
}

/// A request that this route takes, or why there is none.
pub(super) fn aim(site: &Site, route: &Route, ask: &Ask) -> Result<Aim, String> {
    if route.expression {
        return Err("it matches by an expression".to_owned());
    }
    let speaks = |scheme: &str| route.protocols.iter().any(|protocol| protocol == scheme);
    let scheme = if ask.http && speaks("http") && route.snis.is_empty() {
        Scheme::Http
    } else if ask.https && speaks("https") {
        Scheme::Https
    } else if speaks("http") || speaks("https") {
        return Err("no address of the proxy is given for its protocols".to_owned());
    } else {
        return Err(format!("it speaks {}", route.protocols.join(", ")));
    };
    let safe = ["GET", "HEAD", "OPTIONS"].into_iter();
    let allowed =
        |method: &str| route.methods.is_empty() || route.methods.iter().any(|m| m == method);
    let method = safe.into_iter().find(|method| allowed(method));
    let writes = method.is_none();
    let method =
        method.map_or_else(|| route.methods.first().cloned().unwrap_or_default(), str::to_owned);
    let path = match route.paths.first() {
        None => "/".to_owned(),
        Some(_) => route
            .paths
            .iter()
            .find_map(|path| match path.strip_prefix('~') {
                None => Some(path.clone()),
                Some(pattern) => sample(pattern),
            })
            .ok_or("no path is known that fits its regular expressions")?,
    };
    let mut request = Request::new(method, path);
    request.scheme = scheme;
    request.host = route.hosts.first().map(|host| of_host(host));
    if let (None, Some(sni)) = (&request.host, route.snis.first()) {
        request.host = Some(sni.trim_start_matches("*.").to_owned());
    }
    for (name, values) in &route.headers {
        match values.iter().find(|value| !value.starts_with("~*")) {
            Some(value) => request.headers.push((name.clone(), value.clone())),
            None => return Err(format!("its header {name} is a regular expression")),
        }
    }
    taken_by(site, route, &request)?;
    Ok(Aim { request, writes })
}

/// A host that a pattern fits.
fn of_host(pattern: &str) -> String {
    if let Some(rest) = pattern.strip_prefix("*.") {
        return format!("probe.{rest}");
    }
    match pattern.strip_suffix(".*") {
        Some(rest) => format!("{rest}.example"),
        None => pattern.to_owned(),
    }
}

/// Whether the route is the first of all that take the request.
fn taken_by(site: &Site, route: &Route, request: &Request) -> Result<(), String> {
    let own = weight(route, request).ok_or("no request is known that it takes")?;
    for other in site.routes.iter().filter(|other| other.id != route.id) {
        if weight(other, request).is_some_and(|weight| weight > own) {
            return Err(format!("route {} is asked first about such requests", other.label()));
        }
    }
    Ok(())
}

/// How early a route is asked about a request; nothing if it does not take it. More conditions come
/// first, then exact hosts, more headers, regular expressions, longer paths, older routes.
type Weight = (usize, bool, usize, Option<i64>, usize, std::cmp::Reverse<i64>);

fn weight(route: &Route, request: &Request) -> Option<Weight> {
    if route.expression {
        return None;
    }
    let scheme = match request.scheme {
        Scheme::Http => "http",
        Scheme::Https => "https",
    };
    let mut conditions = 0;
    let mut exact = false;
    if !route.protocols.iter().any(|protocol| protocol == scheme || protocol == "http") {
        return None;
    }
    if !route.hosts.is_empty() {
        let host = request.host.as_deref()?;
        let fits = |pattern: &&String| host_fits(pattern, host);
        let best = route.hosts.iter().filter(fits).max_by_key(|pattern| !pattern.contains('*'))?;
        exact = !best.contains('*');
        conditions += 1;
    }
    if !route.methods.is_empty() {
        route.methods.iter().find(|method| **method == request.method)?;
        conditions += 1;
    }
    if !route.snis.is_empty() {
        let host = request.host.as_deref()?;
        route.snis.iter().find(|sni| host_fits(sni, host))?;
        conditions += 1;
    }
    if !route.headers.is_empty() {
        let sent = |name: &String, values: &Vec<String>| {
            request.headers.iter().any(|(n, v)| n.eq_ignore_ascii_case(name) && values.contains(v))
        };
        if !route.headers.iter().all(|(name, values)| sent(name, values)) {
            return None;
        }
        conditions += 1;
    }
    let (mut regex, mut length) = (None, 0);
    if !route.paths.is_empty() {
        let fits = |path: &&String| match path.strip_prefix('~') {
            // What may fit is taken to fit: a probe must not rest on a guess.
            Some(pattern) => request.path.starts_with(literal(pattern)),
            None => request.path.starts_with(path.as_str()),
        };
        let rank = |path: &&String| (path.starts_with('~'), path.len());
        let best = route.paths.iter().filter(fits).max_by_key(rank)?;
        regex = best.starts_with('~').then_some(route.regex_priority);
        length = best.len();
        conditions += 1;
    }
    let age = std::cmp::Reverse(route.created_at);
    Some((conditions, exact, route.headers.len(), regex, length, age))
}

fn host_fits(pattern: &str, host: &str) -> bool {
    if let Some(rest) = pattern.strip_prefix('*') {
        return host.ends_with(rest);
    }
    match pattern.strip_suffix('*') {
        Some(start) => host.starts_with(start),
        None => host == pattern || host.split(':').next() == Some(pattern),
    }
}

/// The beginning of a regular expression that stands for itself.
fn literal(pattern: &str) -> &str {
    let pattern = pattern.trim_start_matches('^');
    let special = |c: char| "\\[](){}.*+?|$^".contains(c);
    let end = pattern.find(special).unwrap_or(pattern.len());
    // The last character may be repeated, or not be there at all.
    if pattern[end..].starts_with(['*', '?', '{']) {
        pattern[..end].char_indices().next_back().map_or("", |(at, _)| &pattern[..at])
    } else {
        &pattern[..end]
    }
}
