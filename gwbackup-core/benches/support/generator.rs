//! Synthetic content: kinds in the shares, and documents of the shapes and sizes, of a real gateway
//! of Kong's manner. The same seed gives the same content everywhere.

use gwbackup_core::model::Resource;

/// All kinds.
pub const KINDS: [&str; 6] = ["certificate", "service", "route", "target", "consumer", "plugin"];

/// Members that are secret.
pub const SECRETS: [&str; 3] = ["/body/key", "/body/secret", "/body/config/client_secret"];

/// What a set differs in from the one of the same seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// Nothing.
    Same,
    /// One resource in a hundred has another weight.
    OneInAHundred,
    /// Every id is another one.
    OtherIds,
}

/// A set of `count` resources, about 525 bytes each.
pub fn set(count: u64, seed: u64, variant: Variant) -> Vec<Resource> {
    lines(count, seed, variant)
        .map(|(kind, id, document)| super::resource(kind, &id, &document))
        .collect()
}

/// The same as kind, id and document, with members in no order.
pub fn lines(
    count: u64,
    seed: u64,
    variant: Variant,
) -> impl Iterator<Item = (&'static str, String, String)> {
    (0..count).map(move |n| {
        let mut random = Random(seed ^ n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let kind = match n % 100 {
            0 => "certificate",
            1..=12 => "service",
            13..=42 => "route",
            43..=62 => "target",
            63..=84 => "consumer",
            _ => "plugin",
        };
        let salt = u64::from(variant == Variant::OtherIds);
        let id = uuid(seed, n, salt);
        let parent = uuid(seed, n - n % 100 + 1, salt);
        let changed = variant == Variant::OneInAHundred && n % 100 == 50;
        let body = body(kind, n, changed, &mut random);
        let refs = match kind {
            "route" | "plugin" => format!(r#"{{"service":"{parent}"}}"#),
            _ => "{}".to_owned(),
        };
        let document = format!(
            r#"{{"refs":{refs},"tags":["env:prod","owner:team-{}","app:{}"],"body":{body}}}"#,
            random.word(),
            random.word()
        );
        (kind, id, document)
    })
}

fn body(kind: &str, n: u64, changed: bool, random: &mut Random) -> String {
    let time = 1_735_689_600 + random.below(40_000_000);
    let times = format!(r#""created_at":{time},"updated_at":{}"#, time + random.below(8_000_000));
    let (a, b) = (random.word(), random.word());
    match kind {
        "certificate" => format!(
            r#"{{"cert":"{}{}","key":"{}","cert_alt":null,"key_alt":null,{times}}}"#,
            random.pem("CERTIFICATE", 1700),
            random.pem("CERTIFICATE", 1600),
            random.pem("PRIVATE KEY", 1624)
        ),
        "service" => format!(
            r#"{{"name":"{a}-{b}-{n}","protocol":"https","host":"{a}-{n}.eu-central-1.svc.internal","port":8443,"path":"/api/{b}","retries":5,"connect_timeout":5000,"read_timeout":60000,"write_timeout":60000,"enabled":true,"tls_verify":null,"tls_verify_depth":null,"ca_certificates":null,{times}}}"#
        ),
        "route" => format!(
            r#"{{"name":"{a}-{b}-list-{n}","protocols":["http","https"],"methods":["GET","POST","PUT","DELETE"],"hosts":["api.example.com","{a}.example.net"],"paths":["/{a}/v1/{b}","/{a}/v2/{b}/(?<id>[0-9a-f-]+)"],"headers":{{"x-tenant":["t{:03}"]}},"snis":null,"sources":null,"destinations":null,"https_redirect_status_code":426,"regex_priority":{},"strip_path":true,"preserve_host":false,"path_handling":"v0","request_buffering":true,"response_buffering":true,{times}}}"#,
            random.below(200),
            random.below(4) * 10
        ),
        "target" => format!(
            r#"{{"target":"10.{}.{}.7:8080","weight":{},{times}}}"#,
            random.below(256),
            random.below(256),
            if changed { 7 } else { 100 }
        ),
        "consumer" => format!(
            r#"{{"username":"{a}-mobile-{n}","custom_id":"C{:010}","secret":"{}",{times}}}"#,
            random.below(10_000_000_000),
            random.base64(32)
        ),
        _ => format!(
            r#"{{"name":"openid-connect","instance_name":null,"enabled":true,"protocols":["grpc","grpcs","http","https"],"ordering":null,"config":{{"issuer":"https://login.example.com/realms/{a}","client_id":["gw-{a}"],"client_secret":["{}"],"auth_methods":["bearer","introspection"],"scopes":["openid","{a}.read","{a}.write"],"issuers_allowed":null,"cache_ttl":3600,"leeway":{},"verify_signature":true,"ssl_verify":true,"timeout":10000,"http_version":1.1,"keepalive":true,"upstream_headers_claims":["sub","email","tenant"],"upstream_headers_names":["x-sub","x-email","x-tenant"]}},{times}}}"#,
            random.base64(43),
            random.below(30)
        ),
    }
}

fn uuid(seed: u64, n: u64, salt: u64) -> String {
    let mut random = Random(seed ^ (n << 8) ^ (salt << 60));
    let (a, b) = (random.next(), random.next());
    format!(
        "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
        a >> 32,
        (a >> 16) & 0xffff,
        a & 0xfff,
        b >> 52,
        b & 0xffff_ffff_ffff
    )
}

const WORDS: [&str; 16] = [
    "payments",
    "orders",
    "catalog",
    "search",
    "identity",
    "billing",
    "shipping",
    "fraud",
    "ledger",
    "loyalty",
    "pricing",
    "inventory",
    "partner",
    "accounts",
    "mortgage",
    "weather",
];

/// The generator `splitmix64`.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.below(from.len() as u64)).unwrap()]
    }

    fn word(&mut self) -> &'static str {
        self.pick(&WORDS)
    }

    fn base64(&mut self, length: usize) -> String {
        const DIGITS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        (0..length).map(|_| char::from(self.pick(DIGITS))).collect()
    }

    /// A block of text as it stands in a JSON string.
    fn pem(&mut self, label: &str, length: usize) -> String {
        let text = self.base64(length);
        let mut out = format!("-----BEGIN {label}-----\\n");
        for at in (0..length).step_by(64) {
            out.push_str(&text[at..length.min(at + 64)]);
            out.push_str("\\n");
        }
        out + &format!("-----END {label}-----\\n")
    }
}
