use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::crypt::{DataKey, SeedSigner};

fn signer(first: u8) -> SeedSigner {
    SeedSigner::new(&DataKey::new(std::array::from_fn(|i| first + i as u8)))
}

fn repository() -> RepositoryId {
    RepositoryId::new(std::array::from_fn(|i| i as u8))
}

fn stored(line: &str, signers: &[&SeedSigner]) -> Bytes {
    let cx = Context::new();
    let message = [b"gwbackup/v1/copy\0", line.as_bytes()].concat();
    let entries: Vec<_> = signers
        .iter()
        .map(|s| {
            let sig = futures_util::FutureExt::now_or_never(s.sign(&cx, &message)).unwrap();
            SignatureEntry { key: s.public().id(), sig: sig.unwrap() }
        })
        .collect();
    let last = signature_line(entries).unwrap();
    [line.as_bytes(), b"\n", &last, b"\n"].concat().into()
}

fn open(stored: Bytes) -> Result<Value> {
    let keys = [signer(0xa0).public()];
    let verified = SignedFile::parse(FileKind::Copy, stored)?.verify(&keys[..])?;
    verified.read(Some(&repository()))
}

const LINE: &str = concat!(
    r#"{"schema":"gwbackup.copy/1","format":1,"requires":[],"repository":"000102030405060708090a"#,
    r#"0b0c0d0e0f101112131415161718191a1b1c1d1e1f","copy":"00000000000000000000000000000001"}"#
);

#[tokio::test]
async fn written_vector() {
    let body = json!({"copy": "00000000000000000000000000000001"});
    let file = SignedFile::sign(
        &Context::new(),
        FileKind::Copy,
        Some(&repository()),
        &body,
        &[&signer(0xa0)],
    )
    .await
    .unwrap();
    assert_eq!(std::str::from_utf8(file.body()).unwrap(), LINE);
    assert_eq!(signer(0xa0).public().id().to_string(), "a18112b0b7b4225ff30527e0f7cf7a1e");
    assert_eq!(file.digest(), "4bfe2dc953249a471e3e6b04351c562b8aafc8d8feaa0e3bf1190de570dfc8c1");
    assert_eq!(
        hex::encode(file.signatures[0].sig.as_bytes()),
        "a1f50f9040fa4c8aba50a289c0ea2393f63bc806f52e2cb16e7122a130f76223\
         8ce491b12c06d3a46740eaeb92dc2577201d7f26e26e6402a1991328ed713106"
    );
    assert_eq!(open(file.stored().clone()).unwrap()["copy"], body["copy"]);
}

#[test]
fn unknown_members_pass_and_newer_versions_do_not() {
    let with = |from: &str, to: &str| {
        assert!(LINE.contains(from));
        open(stored(&LINE.replace(from, to), &[&signer(0xa0)]))
    };
    assert!(with("\"copy\":", "\"later\":{\"x\":[1]},\"copy\":").is_ok());
    for (from, to) in
        [("copy/1", "copy/2"), ("\"format\":1", "\"format\":2"), ("[]", "[\"sealed-names\"]")]
    {
        assert_eq!(with(from, to).unwrap_err().message(), "written by a newer version", "{to}");
    }
    for (from, to) in [
        ("copy/1", "event/1"),
        ("copy/1", "copy/0"),
        ("000102", "ff0102"),
        ("\"requires\":[],", "\"requires\":[],\"requires\":[],"),
        ("\"copy\":", "\"a\":{\"b\":1,\"b\":1},\"copy\":"),
    ] {
        let error = with(from, to).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Corrupt, "{to}");
        assert!(!error.message().contains("newer"), "{to}");
    }
}

#[test]
fn lines_have_one_form() {
    let good = stored(LINE, &[&signer(0xa0)]);
    let text = std::str::from_utf8(&good).unwrap().to_owned();
    for bad in [
        text.trim_end().to_owned(),
        format!("{text}\n"),
        format!("\n{text}"),
        format!(" {text}"),
        text.replace('\n', "\r\n"),
        text.replace("\"key\"", " \"key\""),
        text.replace("{\"signatures\"", "{\"x\":1,\"signatures\""),
        format!("{LINE}\n{{\"signatures\":[]}}\n"),
        String::new(),
        format!("{}{text}", " ".repeat(FileKind::Copy.limit())),
    ] {
        assert!(open(bad.into()).is_err());
    }
}

#[test]
fn signatures_are_counted_once_and_few() {
    let (known, other) = (signer(0xa0), signer(0));
    assert!(open(stored(LINE, &[&other, &known])).is_ok());
    assert!(open(stored(LINE, &[&other])).is_err());
    assert!(open(stored(LINE, &[&known, &known])).is_err());
    let others: Vec<_> = (1..9).map(signer).collect();
    let mut all: Vec<_> = others.iter().collect();
    all.push(&known);
    assert!(open(stored(LINE, &all)).is_err());
    assert!(open(stored(LINE, &all[1..])).is_ok());
}

#[test]
fn a_signature_names_its_kind() {
    let bytes = stored(&LINE.replace("copy/1", "event/1"), &[&signer(0xa0)]);
    let keys = [signer(0xa0).public()];
    assert!(SignedFile::parse(FileKind::Event, bytes).unwrap().verify(&keys[..]).is_err());
}

#[tokio::test]
async fn nothing_is_written_that_would_be_refused() {
    let cx = Context::new();
    let signer = signer(0xa0);
    let long = json!({"text": "x".repeat(64 * KIB)});
    for body in [json!({"a": 0.5}), json!({"a": u64::MAX}), json!({"format": 1}), json!([1]), long]
    {
        let signed = SignedFile::sign(&cx, FileKind::Copy, None, &body, &[&signer]).await;
        assert!(signed.is_err());
    }
}

proptest! {
    #[test]
    fn any_change_is_refused(at in any::<prop::sample::Index>(), bit in 0..8u32) {
        let mut bytes = stored(LINE, &[&signer(0xa0)]).to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert!(open(bytes.clone().into()).is_err());
        bytes.truncate(at);
        prop_assert!(open(bytes.into()).is_err());
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(open(bytes.into()).is_err());
    }
}
