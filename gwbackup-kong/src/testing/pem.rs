//! What the node sees in certificates and keys: enough to refuse what Kong refuses.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
const TRUE: &[u8] = &[0x01, 0x01, 0xff];

pub(super) const BAD_CERTIFICATE: &str = "invalid certificate: x509.new: error:680008E:asn1 \
    encoding routines:asn1_d2i_read_bio:not enough data:crypto/asn1/a_d2i_fp.c:283:";
pub(super) const BAD_KEY: &str = "invalid key: pkey.new:load_key: error:1E08010C:DECODER \
    routines:OSSL_DECODER_from_bio:unsupported:crypto/encode_decode/decoder_lib.c:103:";

/// The algorithm of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    Rsa,
    Ec,
    Ed25519,
}

/// The bytes of the first block, as far as they are base64.
fn der(pem: &str) -> Option<(&str, Vec<u8>)> {
    let rest = pem.trim_start().strip_prefix("-----BEGIN ")?;
    let (label, rest) = rest.split_once("-----")?;
    let (body, _) = rest.split_once("-----END ")?;
    let base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    let text: Vec<u8> =
        body.bytes().filter(|byte| !byte.is_ascii_whitespace()).take_while(base64).collect();
    // A cut piece may end in the middle of a byte.
    let whole = text.len() - usize::from(text.len() % 4 == 1);
    let bytes = STANDARD_NO_PAD.decode(&text[..whole]);
    let bytes = bytes.or_else(|_| STANDARD_NO_PAD.decode(&text[..whole - whole % 4]));
    bytes.ok().filter(|bytes| bytes.first() == Some(&0x30)).map(|bytes| (label, bytes))
}

fn has(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn algorithm(bytes: &[u8]) -> Option<Algorithm> {
    [(EC, Algorithm::Ec), (RSA, Algorithm::Rsa), (ED25519, Algorithm::Ed25519)]
        .into_iter()
        .find_map(|(oid, algorithm)| has(bytes, oid).then_some(algorithm))
}

/// The bytes of a certificate.
pub(super) fn certificate(pem: &str) -> Option<Vec<u8>> {
    der(pem).filter(|(label, _)| *label == "CERTIFICATE").map(|(_, bytes)| bytes)
}

/// The algorithm of the key in a certificate.
pub(super) fn certificate_algorithm(pem: &str) -> Option<Algorithm> {
    algorithm(&certificate(pem)?)
}

/// The algorithm of a private key.
pub(super) fn key_algorithm(pem: &str) -> Option<Algorithm> {
    let (label, bytes) = der(pem)?;
    match label {
        "RSA PRIVATE KEY" => Some(Algorithm::Rsa),
        "EC PRIVATE KEY" => Some(Algorithm::Ec),
        "PRIVATE KEY" => algorithm(&bytes),
        _ => None,
    }
}

/// Whether a certificate may sign others.
pub(super) fn is_authority(certificate: &[u8]) -> bool {
    let at = certificate.windows(3).position(|window| window == BASIC_CONSTRAINTS);
    // The extension's value follows within a few bytes: whether it is critical, then its own true.
    at.is_some_and(|at| {
        let value = &certificate[at + 3..certificate.len().min(at + 16)];
        let value = value.strip_prefix(TRUE).unwrap_or(value);
        has(value, TRUE)
    })
}
