use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use chacha20poly1305::ChaCha20Poly1305;
use chacha20poly1305::aead::{Aead, KeyInit as _};
use hkdf::Hkdf;
use hmac::Mac as _;
use proptest::prelude::*;

use super::*;
use crate::clock::Timestamp;
use crate::crypt::{KeyPurpose, Wrap, commitment};
use crate::testing::conformance;

/// The identity of the age project's test vectors (C2SP/CCTV, age/testdata).
const IDENTITY: &str = "AGE-SECRET-KEY-1EGTZVFFV20835NWYV6270LXYVK2VKNX2MMDKWYKLMGR48UAWX40Q2P2LM0";
/// The stanza that most of those vectors share.
const STANZA: &str = "-> X25519 TEiF0ypqr+bpvcqXNyCVJpL7OuwPdVwPL7KQEbFDOCc\n\
    hjabGXwSLQ9c3S6Lw2i+S2Tu2fiwQHHslbBN6B41FLE\n";
/// Their header's code, and their payload.
const CODE: &str = "WyJp9F/9FOZh7gJdheq2WIJcwHgYc8NIVh3ddwhrcNg";
const PAYLOAD: &str = "7s9ix86RtDMnTmjU8vkTTLdMW/73vqpSyPC8DpksHoMx+2Y=";
const CONTEXT: KeyContext =
    KeyContext { repository: [1; 32], purpose: KeyPurpose::Secrets, object: [2; 16] };

fn secret(text: &str) -> [u8; 32] {
    *text::decode(Half::Secret, text).unwrap()
}

fn file_of(stanzas: &str, code: &str, payload: &str) -> Vec<u8> {
    let mut file = format!("age-encryption.org/v1\n{stanzas}--- {code}\n").into_bytes();
    file.extend(STANDARD.decode(payload).unwrap());
    file
}

/// The payload of a vector, which is as long as the file lets it be.
fn opened(file: &[u8], length: usize) -> Option<Vec<u8>> {
    format::open(&secret(IDENTITY), file, length).unwrap().map(|bytes| bytes.to_vec())
}

#[tokio::test]
async fn conforms() {
    conformance::key_provider(&mut || Box::new(AgeIdentity::generate().unwrap())).await;
}

/// Vectors `x25519`, `x25519_grease` (stanzas of unknown kinds) and `x25519_multiple_recipients`:
/// the payload of all three by the SHA-256 that they state.
#[test]
fn published_files_open() {
    let grease = format!("-> grease\n\n{STANZA}-> grease\n\n");
    let several = "-> X25519 ajtqAvDEkVNr2B7zUOtq2mAQXDSBlNrVAuM/dKb5sT4\n\
        0evrK/HQXVsQ4YaDe+659l5OQzvAzD2ytLGHQLQiqxg\n\
        -> X25519 0qC7u6AbLxuwnM8tPFOWVtWZn/ZZe7z7gcsP5kgA0FI\n\
        Y3OzevLm23Vx7PN9k33F9y+ercWe/bcZJLqhqA3h408\n";
    for (stanzas, code, payload) in [
        (STANZA, CODE, PAYLOAD),
        (&grease, "QIfAOEMt1fGOf2FP2m3+TwFQtfy2H3sX3YqUAQRApkM", PAYLOAD),
        (
            several,
            "855pKblQzZ3oabDowxRDQvSj/xo47ZSh5WTjkmK0I0U",
            "8LgYvg81VEI5mSCtgISWS2+Vw22zXk9Z2PiePPJvLR+lQhM=",
        ),
    ] {
        let file = file_of(stanzas, code, payload);
        let length = STANDARD.decode(payload).unwrap().len() - 32;
        let digest: [u8; 32] = Sha256::digest(opened(&file, length).unwrap()).into();
        assert_eq!(
            hex::encode(&digest),
            "013f54400c82da08037759ada907a8b864e97de81c088a182062c4b5622fd2ab"
        );
        // A payload of another length is not even tried.
        assert_eq!(opened(&file, length + 1), None);
    }
}

/// Vectors `hmac_bad` and `x25519_low_order`, and changes that the format forbids.
#[test]
fn published_bad_files_are_refused() {
    let length = STANDARD.decode(PAYLOAD).unwrap().len() - 32;
    let low_order = "-> X25519 X5yVvKNQjCSx0LFVnIPvWwREXMRYHI6G2CJO3dCfEdc\n\
        3E0NpFans/m0WLWF7+54ZBdNj3iqQqpraGDFiaRkvBA\n";
    for (stanzas, code) in [
        (STANZA.to_owned(), "8McE3ix9R34E/vLrQv3yepsHjo/LXhfs22Ab3UyInmg"),
        (low_order.into(), "sXw327YMT1/ULXe+ZyRMbMY0Z2jnWHGgI9j1we6yQ8A"),
        (STANZA.replace('\n', "\r\n"), CODE),
        (STANZA.replace("X25519 ", "x25519 "), CODE),
        (STANZA.replace("X25519 ", "X25519  "), CODE),
        (STANZA.replace("DOCc\n", "DOCc x\n"), CODE),
        // The same bytes with stray bits at the end.
        (STANZA.replace("FLE\n", "FLF\n"), CODE),
        (STANZA.replace("FLE\n", "FLE=\n"), CODE),
        (STANZA.replace("-> ", "->"), CODE),
        (String::new(), CODE),
    ] {
        assert_eq!(opened(&file_of(&stanzas, code, PAYLOAD), length), None, "{stanzas}");
    }
    assert_eq!(opened(&file_of(STANZA, &format!("{CODE}="), PAYLOAD), length), None);
}

/// The recipient that belongs to a published identity (documentation of other implementations).
#[test]
fn published_pair_of_keys() {
    let identity = AgeIdentity::from_text(
        "# public key: age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa\n\
         AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33\n",
    )
    .unwrap();
    assert_eq!(identity.public(), "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa");
    assert_eq!(
        *identity.to_text().unwrap(),
        "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33"
    );
}

/// Takes a wrap apart with primitives alone, as the specification states the construction.
#[test]
fn a_wrap_is_what_the_specification_says() {
    fn hkdf(salt: &[u8], secret: &[u8], info: &str) -> [u8; 32] {
        let mut key = [0; 32];
        Hkdf::<Sha256>::new(Some(salt), secret).expand(info.as_bytes(), &mut key).unwrap();
        key
    }
    let identity = AgeIdentity::from_text(IDENTITY).unwrap();
    let key = DataKey::new([0xa5; 32]);
    let wrapped = wrap(identity.public(), &key).unwrap();
    let bytes = wrapped.body();
    assert_eq!(wrapped.kind(), "age");
    assert!(bytes.len() <= 4096 && wrapped.salt().is_none() && wrapped.key().is_none());

    let split = bytes.len() - (16 + 32 + 16);
    let (header, payload) = bytes.split_at(split);
    let header = std::str::from_utf8(header).unwrap();
    let lines: Vec<_> = header.strip_suffix('\n').unwrap().split('\n').collect();
    let [version, arguments, body, end] = lines[..] else { panic!("{lines:?}") };
    assert_eq!(version, "age-encryption.org/v1");
    let share: [u8; 32] = STANDARD_NO_PAD
        .decode(arguments.strip_prefix("-> X25519 ").unwrap())
        .unwrap()
        .try_into()
        .unwrap();

    let secret = secret(IDENTITY);
    let agreed = x25519_dalek::x25519(secret, share);
    let own = x25519_dalek::x25519(secret, x25519_dalek::X25519_BASEPOINT_BYTES);
    let stanza_key = hkdf(&[share, own].concat(), &agreed, "age-encryption.org/v1/X25519");
    let open = |key: [u8; 32], nonce: [u8; 12], sealed: &[u8]| {
        ChaCha20Poly1305::new(&key.into()).decrypt(&nonce.into(), sealed).unwrap()
    };
    let file_key = open(stanza_key, [0; 12], &STANDARD_NO_PAD.decode(body).unwrap());
    assert_eq!(file_key.len(), 16);

    let code_key = hkdf(&[], &file_key, "header");
    let mut code = hmac::Hmac::<Sha256>::new_from_slice(&code_key).unwrap();
    code.update(format!("{version}\n{arguments}\n{body}\n---").as_bytes());
    let code = STANDARD_NO_PAD.encode(code.finalize().into_bytes());
    assert_eq!(end, format!("--- {code}"));

    let mut nonce = [0; 12];
    nonce[11] = 1;
    let chunk_key = hkdf(&payload[..16], &file_key, "payload");
    assert_eq!(open(chunk_key, nonce, &payload[16..]), key.expose());
}

#[tokio::test]
async fn wraps_without_the_secret_and_opens_with_it() {
    let (cx, key) = (Context::new(), DataKey::new([9; 32]));
    let identity = AgeIdentity::generate().unwrap().with_rights([Right::Content]);
    let recipient = identity.recipient(&cx).await.unwrap();
    assert_eq!(recipient.rights, [Right::Content]);
    let stored = serde_json::to_value(&recipient).unwrap();
    assert_eq!(stored["type"], "age");
    assert_eq!(stored["public"], identity.public());
    let recipient: Recipient = serde_json::from_value(stored).unwrap();

    let body = wrap_public(&recipient, &key).unwrap().unwrap();
    let opened = identity.unwrap(&cx, &recipient, &body, &CONTEXT).await.unwrap();
    assert_eq!(opened.expose(), key.expose());
    assert_eq!(identity.local_path(), None);

    let passphrase = RecipientKind::Secret { argon2: None };
    assert!(wrap_public(&Recipient { kind: passphrase, ..recipient }, &key).unwrap().is_none());
}

#[tokio::test]
async fn malformed_recipients_are_refused() {
    let cx = Context::new();
    let good = AgeIdentity::generate().unwrap().recipient(&cx).await.unwrap();
    let RecipientKind::Age { public } = &good.kind else { panic!("{good:?}") };
    // All zero bytes are a point of small order: every sender would agree on the same secret.
    let zero = text::encode(Half::Public, &[0; 32]).unwrap();
    for bad in
        ["", "age1", &public[..61], &format!("{public}q"), &public.to_uppercase(), &zero, IDENTITY]
    {
        let kind = RecipientKind::Age { public: bad.into() };
        let named = Recipient { id: id_of(bad), kind: kind.clone(), ..good.clone() };
        let error = wrap_public(&named, &DataKey::new([1; 32])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::KeyUnavailable, "{bad}");
    }
    let renamed = Recipient { id: "00".repeat(8), ..good };
    let error = wrap_public(&renamed, &DataKey::new([1; 32])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::KeyUnavailable);
}

/// A body for this identity under another construction's name, and one for another identity under
/// this one's name.
#[tokio::test]
async fn what_is_not_its_own_does_not_open() {
    let (cx, key) = (Context::new(), DataKey::new([9; 32]));
    let (own, other) = (AgeIdentity::generate().unwrap(), AgeIdentity::generate().unwrap());
    let recipient = own.recipient(&cx).await.unwrap();
    let named = WrapBody::new(WrapBody::SECRET, wrap(own.public(), &key).unwrap().body());
    let foreign = wrap(other.public(), &key).unwrap();
    let short = format::seal(&format::public_of(own.secret.expose()), &[1; 31]).unwrap().unwrap();
    for body in [named, foreign, WrapBody::new(WrapBody::AGE, short)] {
        let error = own.unwrap(&cx, &recipient, &body, &CONTEXT).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::KeyUnavailable);
    }
}

/// Anyone can seal another key to the recipient: the commitment is what finds it out.
#[tokio::test]
async fn a_planted_key_fails_the_commitment() {
    let (cx, key) = (Context::new(), DataKey::new([9; 32]));
    let identity = AgeIdentity::generate().unwrap();
    let recipient = identity.recipient(&cx).await.unwrap();
    let promise = commitment(CONTEXT.purpose, &CONTEXT.repository, &key).unwrap();
    for (held, opens) in [([9; 32], true), ([8; 32], false)] {
        let mut file = Wrap::new(CONTEXT, 1, promise, Timestamp::UNIX_EPOCH);
        let body = wrap_public(&recipient, &DataKey::new(held)).unwrap().unwrap();
        file.add(&recipient, body).unwrap();
        let file = Wrap::from_stored(CONTEXT.repository, file.to_stored()).unwrap();
        let opened = file.open(&cx, &identity, &recipient).await;
        assert_eq!(
            opened.map_err(|e| e.kind()).err(),
            (!opens).then_some(ErrorKind::KeyUnavailable)
        );
    }
}

#[tokio::test]
async fn files_are_private_and_prove_what_they_name() {
    let cx = Context::new();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("identity");
    let id = "ab".repeat(32);
    let text = format!("# created: today\r\n\r\n#repository:  {id}\r\n {IDENTITY}\r\n");
    secret_file::create(&path, text.as_bytes()).unwrap();
    let identity = AgeIdentity::open(&path).unwrap();
    assert_eq!(identity.proves(&cx).await.unwrap(), Some(id));
    assert_eq!(identity.local_path().as_ref(), Some(&path));
    assert_eq!(identity.address(), format!("age-file:{}", path.display()));
    let bare = AgeIdentity::from_text(IDENTITY).unwrap();
    assert_eq!(bare.proves(&cx).await.unwrap(), None);
    assert_eq!(bare.recipient(&cx).await.unwrap(), identity.recipient(&cx).await.unwrap());

    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = AgeIdentity::open(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::KeyUnavailable);
        assert!(error.advice().is_some_and(|help| help.contains("chmod 600")), "{error:?}");
    }
}

#[test]
fn the_first_identity_counts() {
    let second = AgeIdentity::generate().unwrap();
    let text = format!("{IDENTITY}\n{}\n", *second.to_text().unwrap());
    let read = AgeIdentity::from_text(&text).unwrap();
    assert_eq!(read.public(), AgeIdentity::from_text(IDENTITY).unwrap().public());
}

#[test]
fn malformed_files_are_refused_and_not_quoted() {
    let zero = "0".repeat(64);
    for text in [
        String::new(),
        "# nothing\n".into(),
        IDENTITY.to_lowercase(),
        IDENTITY[..73].into(),
        format!("{IDENTITY}0"),
        IDENTITY.replace("P2LM0", "P2LM2"),
        format!("key: {IDENTITY}"),
        format!("# repository: 12\n{IDENTITY}"),
        format!("# repository: {zero}\n# repository: {zero}\n{IDENTITY}"),
    ] {
        let error = AgeIdentity::from_text(&text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::KeyUnavailable, "{text}");
        assert!(!format!("{error:?} {error}").contains("EGTZVFFV"), "{error:?}");
    }
}

#[test]
fn debug_shows_no_secret() {
    let identity = AgeIdentity::from_text(IDENTITY).unwrap();
    let shown = format!("{identity:?} {identity:#?}");
    let bytes = format!("{:?}", &secret(IDENTITY)[..4]);
    assert!(!shown.contains("EGTZVFFV") && !shown.contains(bytes.trim_matches(['[', ']'])));
    assert!(shown.contains(identity.public()));
}

proptest! {
    #[test]
    fn keys_come_back_from_text(bytes: [u8; 32]) {
        for half in [Half::Public, Half::Secret] {
            let text = text::encode(half, &bytes).unwrap();
            prop_assert_eq!(*text::decode(half, &text).unwrap(), bytes);
        }
    }

    #[test]
    fn any_payload_comes_back(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let secret = secret(IDENTITY);
        let file = format::seal(&format::public_of(&secret), &bytes).unwrap().unwrap();
        prop_assert_eq!(opened(&file, bytes.len()), Some(bytes));
    }

    #[test]
    fn any_flipped_bit_is_refused(at: proptest::sample::Index, bit in 0..8_u8) {
        let identity = AgeIdentity::from_text(IDENTITY).unwrap();
        let mut file = wrap(identity.public(), &DataKey::new([7; 32])).unwrap().body().to_vec();
        let at = at.index(file.len());
        file[at] ^= 1 << bit;
        prop_assert_eq!(opened(&file, 32), None);
    }

    #[test]
    fn any_cut_is_refused(at: proptest::sample::Index) {
        let identity = AgeIdentity::from_text(IDENTITY).unwrap();
        let file = wrap(identity.public(), &DataKey::new([7; 32])).unwrap();
        prop_assert_eq!(opened(&file.body()[..at.index(file.body().len())], 32), None);
    }

    #[test]
    fn no_bytes_make_it_panic(lines in "(age-encryption.org/v1\n)?(-> [ -~]{0,70}\n|[A-Za-z0-9+/]{0,66}\n|--- ?[A-Za-z0-9+/]{0,44}\n|[^a]{0,9}){0,8}") {
        prop_assert_eq!(opened(lines.as_bytes(), 32), None);
        // A random text is no identity; that it is answered at all is the point.
        prop_assert!(AgeIdentity::from_text(&lines).is_err());
    }
}
