//! Credentials of a configuration as a caller shows them.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use gwbackup_core::probe::{Ask, Request};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::{Sha256, Sha384, Sha512};

use super::site::{Plugin, Site, text};

/// Plugins that ask who calls, and of which a configuration may hold what opens.
const KNOWN: [(&str, &str); 4] = [
    ("key-auth", "keyauth_credential"),
    ("basic-auth", "basicauth_credential"),
    ("jwt", "jwt_secret"),
    ("hmac-auth", "hmacauth_credential"),
];
/// Others that ask who calls: nothing in a configuration satisfies them.
const BEYOND: [&str; 8] = [
    "oauth2",
    "oauth2-introspection",
    "ldap-auth",
    "ldap-auth-advanced",
    "openid-connect",
    "mtls-auth",
    "session",
    "saml",
];
/// How long a token is good, in seconds.
const GOOD_FOR: i64 = 300;

/// What a caller adds to a request to be let in. Secret.
#[derive(Clone, Default)]
pub(super) struct Access {
    headers: Vec<(String, String)>,
    query: Vec<(String, String)>,
}

impl Access {
    pub(super) fn onto(self, mut request: Request) -> Request {
        request.headers.extend(self.headers);
        for (name, value) in self.query {
            let sign = if request.path.contains('?') { '&' } else { '?' };
            request.path = format!("{}{sign}{name}={value}", request.path);
        }
        request
    }

    fn add(&mut self, more: Self) -> Result<(), String> {
        for (name, value) in more.headers {
            if self.headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(&name)) {
                return Err(format!("two plugins want the header {name}"));
            }
            self.headers.push((name, value));
        }
        self.query.extend(more.query);
        Ok(())
    }
}

/// Whom access control lets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whom {
    Allowed,
    Denied,
}

/// What lets a caller in past all of these plugins but `without`; why there is none.
pub(super) fn access(
    site: &Site,
    over: &[&Plugin],
    without: Option<&Plugin>,
    ask: &Ask,
    request: &Request,
) -> Result<Access, String> {
    access_of(site, over, without, ask, request, Whom::Allowed)
}

/// The same for somebody whom access control lets in, or not.
pub(super) fn access_of(
    site: &Site,
    over: &[&Plugin],
    without: Option<&Plugin>,
    ask: &Ask,
    request: &Request,
    whom: Whom,
) -> Result<Access, String> {
    let others = || {
        over.iter()
            .copied()
            .filter(|plugin| without.is_none_or(|without| without.key != plugin.key))
    };
    if let Some(beyond) = others().find(|plugin| BEYOND.contains(&plugin.name.as_str())) {
        return Err(format!("no backup holds what {} asks for", beyond.name));
    }
    let asking: Vec<(&Plugin, &str)> = others()
        .filter_map(|plugin| {
            let known = KNOWN.iter().find(|(name, _)| *name == plugin.name)?;
            Some((plugin, known.1))
        })
        .collect();
    let acl = over.iter().copied().find(|plugin| plugin.name == "acl");
    let Some((first, kind)) = asking.first() else {
        return match (acl, whom, without) {
            (Some(_), Whom::Allowed, None) => Err("nothing says who calls".to_owned()),
            _ => Ok(Access::default()),
        };
    };
    let mut why = format!("no {kind} is in the backup");
    let none = Vec::new();
    for credential in site.credentials.get(kind).unwrap_or(&none) {
        let Some(consumer) = text(&credential["consumer"]["id"]) else { continue };
        if let Some(acl) = acl
            && is_allowed(site, acl, &consumer) != (whom == Whom::Allowed)
        {
            let word = if whom == Whom::Allowed { "allows" } else { "does not allow" };
            why = format!("no credential is in the backup of a consumer whom acl {word}");
            continue;
        }
        let made = shown(first, credential, ask, request).and_then(|mut access| {
            for (plugin, kind) in &asking[1..] {
                let own =
                    |other: &&Value| text(&other["consumer"]["id"]).as_ref() == Some(&consumer);
                let all = site.credentials.get(kind).unwrap_or(&none);
                let none = || format!("no consumer has a credential for {} as well", plugin.name);
                let credential = all.iter().find(own).ok_or_else(none)?;
                access.add(shown(plugin, credential, ask, request)?)?;
            }
            Ok(access)
        });
        match made {
            Ok(access) => return Ok(access),
            Err(e) => why = e,
        }
    }
    Err(why)
}

fn is_allowed(site: &Site, acl: &Plugin, consumer: &str) -> bool {
    let none = BTreeSet::new();
    let groups = site.groups.get(consumer).unwrap_or(&none);
    let among = |name: &str| acl.list(name).iter().any(|group| groups.contains(group));
    if acl.list("allow").is_empty() { !among("deny") } else { among("allow") }
}

/// One credential, as this plugin wants it shown.
fn shown(
    plugin: &Plugin,
    credential: &Value,
    ask: &Ask,
    request: &Request,
) -> Result<Access, String> {
    let absent =
        |what: &str| format!("the {what} is not in the backup, or this key may not read it");
    let of = |member: &str| text(&credential[member]).ok_or_else(|| absent(member));
    match plugin.name.as_str() {
        "key-auth" => {
            if !credential["ttl"].is_null() {
                return Err("the key ends by itself".to_owned());
            }
            key(plugin, &of("key")?)
        }
        "basic-auth" => {
            let (user, password) = (of("username")?, of("password")?);
            // Kong keeps nothing but the hash, 40 hexadecimal digits.
            if password.len() == 40 && password.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err("of the password the backup holds nothing but the hash".to_owned());
            }
            Ok(basic(&user, &password))
        }
        "jwt" => jwt(plugin, credential, &of("key")?, &of("secret")?, ask),
        _ => hmac(plugin, &of("username")?, &of("secret")?, ask, request),
    }
}

fn header(name: &str, value: String) -> Access {
    Access { headers: vec![(name.to_owned(), value)], query: Vec::new() }
}

/// A key where the plugin looks for it.
pub(super) fn key(plugin: &Plugin, key: &str) -> Result<Access, String> {
    let name = plugin.list("key_names").into_iter().next().unwrap_or_else(|| "apikey".to_owned());
    if plugin.flag("key_in_header", true) {
        return Ok(header(&name, key.to_owned()));
    }
    if !plugin.flag("key_in_query", true) {
        return Err("the key is looked for in the body".to_owned());
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    let escape = |b: u8| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") };
    let value = key.bytes().map(escape).collect();
    Ok(Access { headers: Vec::new(), query: vec![(name, value)] })
}

pub(super) fn basic(user: &str, password: &str) -> Access {
    header(
        "authorization",
        format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}"))),
    )
}

fn jwt(plugin: &Plugin, of: &Value, key: &str, secret: &str, ask: &Ask) -> Result<Access, String> {
    let algorithm = text(&of["algorithm"]).unwrap_or_else(|| "HS256".to_owned());
    let decoded;
    let secret = if plugin.flag("secret_is_base64", false) {
        decoded =
            BASE64_STANDARD.decode(secret).map_err(|_| "the secret is no base64".to_owned())?;
        decoded.as_slice()
    } else {
        secret.as_bytes()
    };
    let claim = plugin.text("key_claim_name").unwrap_or_else(|| "iss".to_owned());
    let now = ask.at.as_second();
    let longest = plugin.number("maximum_expiration").filter(|n| *n > 0);
    let good = longest.and_then(|n| i64::try_from(n).ok()).map_or(GOOD_FOR, |n| n.min(GOOD_FOR));
    let claims = json!({ claim: key, "exp": now + good, "nbf": now - 60 });
    let head = json!({ "alg": algorithm, "typ": "JWT" });
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&head), part(&claims));
    let signature = match algorithm.as_str() {
        "HS256" => sign(Algorithm::Sha256, secret, &signed),
        "HS384" => sign(Algorithm::Sha384, secret, &signed),
        "HS512" => sign(Algorithm::Sha512, secret, &signed),
        other => return Err(format!("a private key for {other} is in no backup")),
    };
    let token = format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature));
    let name = plugin.list("header_names").into_iter().next();
    Ok(header(name.as_deref().unwrap_or("authorization"), format!("Bearer {token}")))
}

fn hmac(
    plugin: &Plugin,
    user: &str,
    secret: &str,
    ask: &Ask,
    request: &Request,
) -> Result<Access, String> {
    if plugin.flag("validate_request_body", false) {
        return Err("the signature covers the body".to_owned());
    }
    let allowed = plugin.list("algorithms");
    let known = [
        ("hmac-sha256", Algorithm::Sha256),
        ("hmac-sha512", Algorithm::Sha512),
        ("hmac-sha384", Algorithm::Sha384),
    ];
    let (name, algorithm) = known
        .into_iter()
        .find(|(name, _)| allowed.is_empty() || allowed.iter().any(|a| a == name))
        .ok_or("only hmac-sha1 is allowed")?;
    let date = ask.at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let mut covered = vec![("date", format!("date: {date}"))];
    for name in plugin.list("enforce_headers") {
        match name.as_str() {
            "date" => {}
            "request-line" => {
                let line = format!("{} {} HTTP/1.1", request.method, request.path);
                covered.push(("request-line", line));
            }
            "@request-target" => {
                let method = request.method.to_lowercase();
                let line = format!("@request-target: {method} {}", request.path);
                covered.push(("@request-target", line));
            }
            other => return Err(format!("the signature covers the header {other}")),
        }
    }
    let names: Vec<&str> = covered.iter().map(|(name, _)| *name).collect();
    let lines: Vec<String> = covered.iter().map(|(_, line)| line.clone()).collect();
    let signature = BASE64_STANDARD.encode(sign(algorithm, secret.as_bytes(), &lines.join("\n")));
    let value = format!(
        "hmac username=\"{user}\", algorithm=\"{name}\", headers=\"{}\", signature=\"{signature}\"",
        names.join(" ")
    );
    let mut access = header("authorization", value);
    access.headers.push(("date".to_owned(), date));
    Ok(access)
}

#[derive(Debug, Clone, Copy)]
enum Algorithm {
    Sha256,
    Sha384,
    Sha512,
}

fn sign(algorithm: Algorithm, secret: &[u8], text: &str) -> Vec<u8> {
    macro_rules! mac {
        ($digest:ty) => {
            // A key of any length fits.
            Hmac::<$digest>::new_from_slice(secret)
                .map(|mac| mac.chain_update(text).finalize().into_bytes().to_vec())
                .unwrap_or_default()
        };
    }
    match algorithm {
        Algorithm::Sha256 => mac!(Sha256),
        Algorithm::Sha384 => mac!(Sha384),
        Algorithm::Sha512 => mac!(Sha512),
    }
}
