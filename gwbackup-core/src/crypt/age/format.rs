//! Files of the age v1 format, as far as a wrapped key needs them: X25519 recipients, and a payload
//! of one chunk. Every other implementation of the format opens what is written here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use super::super::cipher::{self, TAG};
use super::super::derive::{Derivation, same};
use super::super::random;
use crate::error::Result;

const VERSION: &str = "age-encryption.org/v1";
const X25519: &str = "X25519";
const X25519_INFO: &[u8] = b"age-encryption.org/v1/X25519";
/// What begins the last line of a header; the code covers it, and what stands before.
const END: &[u8] = b"---";
/// Characters of a full line of a stanza's body.
const COLUMNS: usize = 64;
/// Bytes of the secret that a header carries.
const FILE_KEY: usize = 16;
/// Bytes of the salt before the payload's only chunk.
const SALT: usize = 16;
/// The nonce of a key that seals once.
const ONCE: [u8; 12] = [0; 12];
/// The nonce of chunk 0 when it is the last one.
const ONLY_CHUNK: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

type FileKey = Zeroizing<[u8; FILE_KEY]>;

/// The public half of a secret one.
pub(super) fn public_of(secret: &[u8; 32]) -> [u8; 32] {
    PublicKey::from(&StaticSecret::from(*secret)).to_bytes()
}

/// A file that holds `payload`, at most 64 KiB, for one recipient. `None` when the recipient is a
/// point that gives every sender the same secret.
pub(super) fn seal(recipient: &[u8; 32], payload: &[u8]) -> Result<Option<Vec<u8>>> {
    let file_key = FileKey::new(random()?);
    let sender = StaticSecret::from(*Zeroizing::new(random()?));
    let share = PublicKey::from(&sender).to_bytes();
    let Some(cipher) = stanza_cipher(&sender, recipient, &share, recipient)? else {
        return Ok(None);
    };
    let mut body = Vec::with_capacity(FILE_KEY + TAG);
    body.extend_from_slice(&*file_key);
    cipher::seal(&cipher, (&ONCE).into(), &mut body)?;
    let mut file =
        format!("{VERSION}\n-> {X25519} {}\n{}\n", BASE64.encode(share), BASE64.encode(body))
            .into_bytes();
    file.extend_from_slice(END);
    let code = BASE64.encode(header_code(&file_key, &file)?);
    file.push(b' ');
    file.extend_from_slice(code.as_bytes());
    file.push(b'\n');

    let salt = random::<SALT>()?;
    let mut chunk = Vec::with_capacity(payload.len() + TAG);
    chunk.extend_from_slice(payload);
    cipher::seal(&payload_cipher(&file_key, &salt)?, (&ONLY_CHUNK).into(), &mut chunk)?;
    file.extend_from_slice(&salt);
    file.extend_from_slice(&chunk);
    Ok(Some(file))
}

/// The payload of a file, which must have exactly `length` bytes, at most 64 KiB. `None` when the
/// file is not one, is damaged, or is not for this secret.
///
/// The length is checked first: an answer to chosen bytes then tells about one key at most.
pub(super) fn open(
    secret: &[u8; 32],
    file: &[u8],
    length: usize,
) -> Result<Option<Zeroizing<Vec<u8>>>> {
    let Some(parsed) = parse(file) else { return Ok(None) };
    let Some((salt, chunk)) = parsed.payload.split_first_chunk::<SALT>() else { return Ok(None) };
    if chunk.len() != length.saturating_add(TAG) {
        return Ok(None);
    }
    let Some(file_key) = file_key(secret, &parsed.stanzas)? else { return Ok(None) };
    if !same(&header_code(&file_key, parsed.covered)?, &parsed.code) {
        return Ok(None);
    }
    let mut payload = Zeroizing::new(chunk.to_vec());
    let cipher = payload_cipher(&file_key, salt)?;
    Ok(cipher::open(&cipher, (&ONLY_CHUNK).into(), &mut payload).is_ok().then_some(payload))
}

/// What the stanzas for this secret give, if one of them is for it.
fn file_key(secret: &[u8; 32], stanzas: &[Stanza]) -> Result<Option<FileKey>> {
    let secret = StaticSecret::from(*secret);
    let own = PublicKey::from(&secret).to_bytes();
    for Stanza { share, body } in stanzas {
        let Some(cipher) = stanza_cipher(&secret, share, share, &own)? else { return Ok(None) };
        let mut opened = Zeroizing::new(body.to_vec());
        if cipher::open(&cipher, (&ONCE).into(), &mut opened).is_ok() {
            return Ok(opened.as_slice().try_into().map(FileKey::new).ok());
        }
    }
    Ok(None)
}

/// The cipher that both sides agree on. `None` when the other side's point has a small order: the
/// agreed secret would then be known to all.
fn stanza_cipher(
    own: &StaticSecret,
    other: &[u8; 32],
    share: &[u8; 32],
    recipient: &[u8; 32],
) -> Result<Option<ChaCha20Poly1305>> {
    let agreed = own.diffie_hellman(&PublicKey::from(*other));
    if !agreed.was_contributory() {
        return Ok(None);
    }
    let key = Derivation::of(&[*share, *recipient].concat(), agreed.as_bytes());
    Ok(Some(ChaCha20Poly1305::new(key.key(&[X25519_INFO])?.expose().into())))
}

fn header_code(file_key: &FileKey, covered: &[u8]) -> Result<[u8; 32]> {
    let key = Derivation::of(&[], &**file_key).key(&[b"header"])?;
    let code = <Hmac<Sha256> as KeyInit>::new_from_slice(key.expose())
        .map_err(|_| crate::error::Error::corrupt("the header's key has no usable length"))?;
    Ok(code.chain_update(covered).finalize().into_bytes().into())
}

fn payload_cipher(file_key: &FileKey, salt: &[u8; SALT]) -> Result<ChaCha20Poly1305> {
    let key = Derivation::of(salt, &**file_key).key(&[b"payload"])?;
    Ok(ChaCha20Poly1305::new(key.expose().into()))
}

/// A file taken apart, nothing in it believed yet.
struct Parsed<'a> {
    stanzas: Vec<Stanza>,
    /// The bytes that the header's code covers.
    covered: &'a [u8],
    code: [u8; 32],
    payload: &'a [u8],
}

/// A recipient of the kind that is understood here.
struct Stanza {
    share: [u8; 32],
    body: [u8; FILE_KEY + TAG],
}

/// `None` for what is not a header of this version, or states an X25519 stanza of another shape.
/// Stanzas of other kinds are passed over, as the format asks.
fn parse(file: &[u8]) -> Option<Parsed<'_>> {
    let (first, mut rest) = line(file)?;
    if first != VERSION {
        return None;
    }
    let mut stanzas = Vec::new();
    loop {
        let at = file.len() - rest.len();
        let (text, after) = line(rest)?;
        rest = after;
        if let Some(code) = text.strip_prefix("--- ") {
            let (covered, code) = (file.get(..at + END.len())?, exact(code)?);
            return Some(Parsed { stanzas, covered, code, payload: rest });
        }
        let mut words = words(text.strip_prefix("-> ")?)?;
        let (body, after) = body(rest)?;
        rest = after;
        if words.next()? == X25519 {
            let (share, None) = (exact(words.next()?)?, words.next()) else { return None };
            stanzas.push(Stanza { share, body: body.try_into().ok()? });
        }
    }
}

/// The words of a stanza's first line, each of which has a visible character or more.
fn words(text: &str) -> Option<std::str::Split<'_, char>> {
    let words = text.split(' ');
    let visible = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_graphic());
    words.clone().all(visible).then_some(words)
}

/// The body of a stanza: full lines, then one that is not full, and may be empty.
fn body(mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut bytes = Vec::new();
    loop {
        let (text, after) = line(rest)?;
        rest = after;
        if text.len() > COLUMNS {
            return None;
        }
        bytes.extend(BASE64.decode(text).ok()?);
        if text.len() < COLUMNS {
            return Some((bytes, rest));
        }
    }
}

/// Splits off one line of text without its line feed.
fn line(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let (line, rest) = (bytes.get(..end)?, bytes.get(end + 1..)?);
    Some((std::str::from_utf8(line).ok()?, rest))
}

/// 32 bytes in canonical base64 without padding.
fn exact(text: &str) -> Option<[u8; 32]> {
    BASE64.decode(text).ok()?.try_into().ok()
}
