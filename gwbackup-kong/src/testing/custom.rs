//! Rules that Kong has in code, so that its schemas do not show them.

use std::net::Ipv6Addr;

use serde_json::{Map, Value};

use super::kinds::Kind;
use super::pem::{self, BAD_CERTIFICATE, BAD_KEY};
use super::validate::Errors;
use super::validate::entity;

type Data = Map<String, Value>;

/// Checks a filled entity.
pub(super) fn check(kind: &Kind, data: &Data, errors: &mut Errors) {
    let text = |name: &str| data.get(name).and_then(Value::as_str);
    let name = |errors: &mut Errors, member: &str| {
        if let Some(why) = text(member).and_then(bad_name) {
            errors.insert(member.into(), why.into());
        }
    };
    match kind.schema {
        "services" => {
            name(errors, "name");
            if let Some(host) = text("host").filter(|host| !is_host(host)) {
                let why = format!("invalid value: {host}");
                errors.insert("host".into(), why.into());
            }
        }
        "routes" => {
            name(errors, "name");
            route(data, errors);
        }
        "key_sets" | "keys" => name(errors, "name"),
        "plugins" => name(errors, "instance_name"),
        "upstreams" => {
            if let Some(host) = text("name").filter(|name| !is_host(name)) {
                let why = format!("Invalid name ('{host}'); must be a valid hostname");
                errors.insert("name".into(), why.into());
            }
        }
        "targets" if text("target").is_some_and(|target| normal_target(target).is_none()) => {
            let why = "Invalid target; not a valid hostname or ip address";
            errors.insert("target".into(), why.into());
        }
        "certificates" => certificate(data, errors),
        "ca_certificates" => {
            let Some(cert) = text("cert") else { return };
            match pem::certificate(cert) {
                None => {
                    errors.insert("cert".into(), BAD_CERTIFICATE.into());
                }
                Some(der) if !pem::is_authority(&der) => {
                    let why = "certificate does not appear to be a CA because it is missing the \
                               \"CA\" basic constraint";
                    entity(errors, vec![why.into()]);
                }
                Some(_) => {}
            }
        }
        _ => {}
    }
}

/// What is wrong with a name that stands in paths.
pub(super) fn bad_name(name: &str) -> Option<String> {
    let bad = name
        .chars()
        .any(|c| c.is_ascii() && !c.is_ascii_alphanumeric() && !matches!(c, '.' | '-' | '_' | '~'));
    bad.then(|| {
        format!(
            "invalid value '{name}': the only accepted ascii characters are alphanumerics or \
             ., -, _, and ~"
        )
    })
}

fn is_host(host: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    (!host.is_empty() && host.chars().all(plain)) || ipv6(host).is_some()
}

fn ipv6(host: &str) -> Option<Ipv6Addr> {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).parse().ok()
}

/// A target with its port, and an address written out, as Kong stores it.
pub(super) fn normal_target(target: &str) -> Option<String> {
    if let Some(address) = ipv6(target) {
        return Some(format!("{}:8000", long(address)));
    }
    let (host, port) = match target.rsplit_once(':') {
        Some((host, port)) => (host, port.parse::<u16>().ok()?),
        None => (target, 8000),
    };
    match host.strip_prefix('[') {
        Some(_) => Some(format!("{}:{port}", long(ipv6(host)?))),
        None => is_host(host).then(|| format!("{host}:{port}")),
    }
}

fn long(address: Ipv6Addr) -> String {
    let parts: Vec<String> = address.segments().iter().map(|part| format!("{part:04x}")).collect();
    format!("[{}]", parts.join(":"))
}

/// Which members of a route can match requests of a protocol.
fn matchers(protocol: &str) -> &'static [&'static str] {
    match protocol {
        "https" => &["methods", "hosts", "headers", "paths", "snis"],
        "http" => &["methods", "hosts", "headers", "paths"],
        "grpcs" => &["hosts", "headers", "paths", "snis"],
        "grpc" => &["hosts", "headers", "paths"],
        "tls" => &["sources", "destinations", "snis"],
        "tcp" | "udp" => &["sources", "destinations"],
        _ => &["snis"],
    }
}

fn route(data: &Data, errors: &mut Errors) {
    let protocols: Vec<&str> = data
        .get("protocols")
        .and_then(Value::as_array)
        .map(|all| all.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    let full = |name: &&str| match data.get(*name) {
        Some(Value::Array(items)) => !items.is_empty(),
        Some(Value::Object(members)) => !members.is_empty(),
        _ => false,
    };
    let order = ["https", "http", "grpcs", "grpc", "tls", "tcp", "udp", "tls_passthrough"];
    let first = order.into_iter().find(|known| protocols.contains(known));
    if let Some(protocol) = first
        && errors.is_empty()
        && !matchers(protocol).iter().any(full)
    {
        let names: Vec<String> =
            matchers(protocol).iter().map(|name| format!("'{name}'")).collect();
        let one = if names.len() > 1 { "one of " } else { "" };
        let names = names.join(", ");
        let why = format!("must set {one}{names} when 'protocols' is '{protocol}'");
        entity(errors, vec![why.into()]);
    }
    let Some(paths) = data.get("paths").and_then(Value::as_array) else { return };
    if errors.contains_key("paths") {
        return;
    }
    let why = |path: &Value| path.as_str().and_then(bad_regex).map_or(Value::Null, Value::from);
    let why: Vec<Value> = paths.iter().map(why).collect();
    if why.iter().any(|why| !why.is_null()) {
        errors.insert("paths".into(), Value::Array(why));
    }
}

/// The one fault of a regular expression that is looked for here: a group that is never closed.
fn bad_regex(path: &str) -> Option<String> {
    let regex = path.strip_prefix('~')?;
    let (mut depth, mut class, mut escaped) = (0_i32, false, false);
    for c in regex.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ']' => class = false,
            _ if class => {}
            '[' => class = true,
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
    }
    (depth > 0).then(|| {
        format!(
            "invalid regex: '{regex}' (PCRE returned: pcre2_compile() failed: missing closing \
             parenthesis in \"{regex}\")"
        )
    })
}

fn certificate(data: &Data, errors: &mut Errors) {
    let text = |name: &str| {
        let text = data.get(name).and_then(Value::as_str);
        text.filter(|text| !text.starts_with("{vault://"))
    };
    let mut said = Vec::new();
    for (cert, key) in [("cert", "key"), ("cert_alt", "key_alt")] {
        let certificate = text(cert).map(pem::certificate_algorithm);
        let private = text(key).map(pem::key_algorithm);
        if certificate == Some(None) {
            errors.insert(cert.into(), BAD_CERTIFICATE.into());
        }
        if private == Some(None) {
            errors.insert(key.into(), BAD_KEY.into());
        }
        // Of a pair only the algorithms are compared: there is no cryptography here.
        if let (Some(Some(one)), Some(Some(other))) = (certificate, private)
            && one != other
        {
            said.push(Value::from("certificate does not match key"));
        }
    }
    if !said.is_empty() {
        entity(errors, said);
    }
}

/// Takes the shorthand `url` of a service apart.
pub(super) fn split_url(body: &mut Data) {
    let Some(Value::String(url)) = body.remove("url") else { return };
    let Some((protocol, rest)) = url.split_once("://") else {
        body.insert("path".into(), url.into());
        return;
    };
    let (authority, path) = match rest.find('/') {
        Some(at) => (&rest[..at], Value::from(&rest[at..])),
        None => (rest, Value::Null),
    };
    let (host, port) = match authority.rsplit_once(':').map(|(host, port)| (host, port.parse())) {
        Some((host, Ok(port))) => (host, port),
        _ => (authority, if protocol == "https" { 443_u16 } else { 80 }),
    };
    body.insert("protocol".into(), protocol.into());
    body.insert("host".into(), host.into());
    body.insert("port".into(), port.into());
    body.insert("path".into(), path);
}
