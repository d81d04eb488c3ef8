//! Who calls: the plugins that ask for credentials, with Kong's own words for a refusal.

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Map, Value};
use sha2::{Sha256, Sha384, Sha512};
use uuid::Uuid;

use super::{Passed, Passing, texts};
use crate::testing::kinds::Kind;
use crate::testing::node::Node;
use crate::testing::store::parent;

/// The consumer of a caller, or a refusal.
pub(super) fn key_auth(node: &Node, c: &Map<String, Value>, r: &Passing) -> Result<Uuid, Passed> {
    let on = |name: &str, default| c.get(name).and_then(Value::as_bool).unwrap_or(default);
    let in_query =
        |name: &str| r.query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    let mut names = texts(c.get("key_names"));
    if names.is_empty() {
        names.push("apikey".to_owned());
    }
    let key = names.iter().find_map(|name| {
        let header = on("key_in_header", true).then(|| r.header(&name.to_lowercase())).flatten();
        header.or_else(|| on("key_in_query", true).then(|| in_query(name)).flatten())
    });
    let Some(key) = key else {
        let mut refused = Passed::refused(401, "No API key found in request");
        refused.headers.push(("www-authenticate".into(), "Key".into()));
        return Err(refused);
    };
    owner(node, "keyauth_credentials", "key", key).map(|(consumer, _)| consumer).ok_or_else(unknown)
}

pub(super) fn basic_auth(node: &Node, r: &Passing) -> Result<Uuid, Passed> {
    let shown = || {
        let encoded = r.header("authorization")?.strip_prefix("Basic ")?;
        let decoded = String::from_utf8(BASE64_STANDARD.decode(encoded).ok()?).ok()?;
        let (user, password) = decoded.split_once(':')?;
        let (consumer, _) = owner(node, "basicauth_credentials", "username", user)?;
        node.lets_in(user, password).then_some(consumer)
    };
    shown().ok_or_else(|| {
        let mut refused = unknown();
        refused.headers.push(("www-authenticate".into(), "Basic realm=\"service\"".into()));
        refused
    })
}

pub(super) fn jwt(
    node: &Node,
    c: &Map<String, Value>,
    r: &Passing,
    now: i64,
) -> Result<Uuid, Passed> {
    let decode = |part: &str| -> Option<Value> {
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).ok()?).ok()
    };
    let shown = || {
        let token = r.header("authorization")?.strip_prefix("Bearer ")?;
        let (signed, signature) = token.rsplit_once('.')?;
        let (head, claims) = signed.split_once('.')?;
        let (head, claims) = (decode(head)?, decode(claims)?);
        let claim = c.get("key_claim_name").and_then(Value::as_str).unwrap_or("iss");
        let (consumer, credential) = owner(node, "jwt_secrets", "key", claims[claim].as_str()?)?;
        let algorithm = credential.get("algorithm")?.as_str()?;
        let secret = credential.get("secret")?.as_str()?.as_bytes();
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?;
        let good = head["alg"] == algorithm && verifies(algorithm, secret, signed, &signature);
        let wanted = texts(c.get("claims_to_verify"));
        let late = wanted.iter().any(|w| w == "exp") && claims["exp"].as_i64()? * 1000 <= now;
        let early = wanted.iter().any(|w| w == "nbf") && claims["nbf"].as_i64()? * 1000 > now;
        (good && !late && !early).then_some(consumer)
    };
    shown().ok_or_else(unknown)
}

pub(super) fn hmac_auth(
    node: &Node,
    c: &Map<String, Value>,
    r: &Passing,
    now: i64,
) -> Result<Uuid, Passed> {
    let shown = || {
        let fields = r.header("authorization")?.strip_prefix("hmac ")?;
        let field = |name: &str| {
            let rest =
                fields.split(", ").find_map(|f| f.strip_prefix(name)?.strip_prefix("=\""))?;
            rest.strip_suffix('"')
        };
        let names: Vec<&str> = field("headers")?.split(' ').collect();
        if texts(c.get("enforce_headers")).iter().any(|name| !names.contains(&name.as_str())) {
            return None;
        }
        let target =
            if r.query.is_empty() { r.path.clone() } else { format!("{}?{}", r.path, r.query) };
        let mut lines = Vec::new();
        for name in &names {
            lines.push(match *name {
                "request-line" => format!("{} {target} HTTP/1.1", r.method),
                "@request-target" => {
                    format!("@request-target: {} {target}", r.method.to_lowercase())
                }
                name => format!("{name}: {}", r.header(name)?),
            });
        }
        let (consumer, credential) =
            owner(node, "hmacauth_credentials", "username", field("username")?)?;
        let secret = credential.get("secret")?.as_str()?.as_bytes();
        let date = jiff_seconds(r.header("date")?)?;
        let skew = c.get("clock_skew").and_then(Value::as_i64).unwrap_or(300);
        let signature = BASE64_STANDARD.decode(field("signature")?).ok()?;
        let algorithm = match field("algorithm")? {
            "hmac-sha256" => "HS256",
            "hmac-sha384" => "HS384",
            "hmac-sha512" => "HS512",
            _ => return None,
        };
        let good = (date - now / 1000).abs() <= skew;
        (good && verifies(algorithm, secret, &lines.join("\n"), &signature)).then_some(consumer)
    };
    shown().ok_or_else(unknown)
}

fn unknown() -> Passed {
    Passed::refused(401, "Unauthorized")
}

/// The consumer of the credential with this value of a unique member, and the credential.
fn owner(
    node: &Node,
    schema: &str,
    member: &str,
    value: &str,
) -> Option<(Uuid, Map<String, Value>)> {
    let kind = Kind::of_schema(schema)?;
    let data = node.store.get(kind, node.store.find(kind, member, value)?)?.data();
    Some((parent(&data, "consumer")?, data))
}

fn verifies(algorithm: &str, secret: &[u8], text: &str, signature: &[u8]) -> bool {
    macro_rules! check {
        ($digest:ty) => {
            Hmac::<$digest>::new_from_slice(secret)
                .is_ok_and(|mac| mac.chain_update(text).verify_slice(signature).is_ok())
        };
    }
    match algorithm {
        "HS256" => check!(Sha256),
        "HS384" => check!(Sha384),
        "HS512" => check!(Sha512),
        _ => false,
    }
}

/// Seconds since the epoch of `Sat, 21 Nov 2026 12:00:00 GMT`.
fn jiff_seconds(date: &str) -> Option<i64> {
    let zone = date.strip_suffix(" GMT")?;
    let (_, rest) = zone.split_once(", ")?;
    let parts: Vec<&str> = rest.split([' ', ':']).collect();
    let [day, month, year, hour, minute, second] = parts.as_slice() else { return None };
    let months =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = months.iter().position(|name| name == month)? + 1;
    let text = format!("{year}-{month:02}-{day:0>2}T{hour}:{minute}:{second}Z");
    let time: gwbackup_core::clock::Timestamp = text.parse().ok()?;
    Some(time.as_second())
}
