use super::*;
use crate::crypt::KeyPurpose;
use crate::testing::conformance;

const WORDS: &str = "correct horse battery";

/// The cheapest that readers accept.
fn cheap(salt: u8) -> Argon2Params {
    Argon2Params { m_kib: 19 * 1024, t: 1, p: 1, salt: [salt; 16] }
}

fn provider(words: &str, salt: u8) -> Passphrase {
    Passphrase::new(words).unwrap().with_params(cheap(salt)).unwrap()
}

fn context() -> KeyContext {
    KeyContext { repository: [1; 32], purpose: KeyPurpose::Archive, object: [2; 16] }
}

#[tokio::test]
async fn conforms() {
    let mut salt = 0;
    conformance::key_provider(&mut || {
        salt += 1;
        Box::new(provider(&format!("{WORDS} {salt}"), salt))
    })
    .await;
}

#[tokio::test]
async fn the_trust_documents_parameters_decide() {
    let cx = Context::new();
    let first = provider(WORDS, 1);
    let recipient = first.recipient(&cx).await.unwrap();
    let key = DataKey::new([9; 32]);
    let body = first.wrap(&cx, &key, &context()).await.unwrap();

    let later = Passphrase::new(format!("{WORDS}\n")).unwrap();
    let opened = later.unwrap(&cx, &recipient, &body, &context()).await.unwrap();
    assert_eq!(opened.expose(), key.expose());
    assert_eq!(later.recipient(&cx).await.unwrap(), recipient, "it is that recipient now");

    let wrong = Passphrase::new("correct horse batterx").unwrap();
    let error = wrong.unwrap(&cx, &recipient, &body, &context()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::KeyUnavailable);
    assert_eq!(error.message(), "wrong passphrase");
}

#[tokio::test]
async fn parameters_out_of_bounds_are_refused_before_any_work() {
    let cx = Context::new();
    let mut recipient = provider(WORDS, 1).recipient(&cx).await.unwrap();
    let body = WrapBody::new(WrapBody::SECRET, [0; 48]).with_salt([0; 32]);
    for params in [
        Argon2Params { m_kib: 19 * 1024 - 1, ..cheap(1) },
        Argon2Params { m_kib: 256 * 1024 + 1, ..cheap(1) },
        Argon2Params { m_kib: u32::MAX, ..cheap(1) },
        Argon2Params { t: 0, ..cheap(1) },
        Argon2Params { t: 17, ..cheap(1) },
        Argon2Params { p: 0, ..cheap(1) },
        Argon2Params { p: 17, ..cheap(1) },
    ] {
        assert!(Passphrase::new(WORDS).unwrap().with_params(params.clone()).is_err());
        recipient.kind = RecipientKind::Secret { argon2: Some(params) };
        let reader = Passphrase::new(WORDS).unwrap();
        let error = reader.unwrap(&cx, &recipient, &body, &context()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
    }
}

#[test]
fn twelve_characters_of_text() {
    for good in ["123456789012", "123456789012\n", "äöüäöüäöüäöü", "1234567890 \n\n"] {
        assert!(Passphrase::new(good).is_ok(), "{good:?}");
    }
    for bad in ["", "12345678901", "12345678901\n", "äöüäöü"] {
        assert_eq!(Passphrase::new(bad).unwrap_err().kind(), ErrorKind::KeyUnavailable, "{bad:?}");
    }
    assert!(Passphrase::new(vec![0xff; 20]).is_err());
}

#[test]
fn fresh_parameters_are_the_recommended_ones_with_another_salt_each_time() {
    let (one, two) = (Argon2Params::fresh().unwrap(), Argon2Params::fresh().unwrap());
    assert_eq!((one.m_kib, one.t, one.p), (65_536, 3, 4));
    assert_ne!(one.salt, two.salt);
    one.check().unwrap();
}

#[test]
fn parameters_come_back() {
    let json = serde_json::to_string(&cheap(0)).unwrap();
    assert_eq!(json, r#"{"m_kib":19456,"t":1,"p":1,"salt":"AAAAAAAAAAAAAAAAAAAAAA=="}"#);
    assert_eq!(serde_json::from_str::<Argon2Params>(&json).unwrap(), cheap(0));
    assert!(serde_json::from_str::<Argon2Params>(&json.replace("AA==", "==")).is_err());
}

/// Computed with another implementation of Argon2id.
#[test]
fn vector_of_the_derivation() {
    let params = Argon2Params { m_kib: 20 * 1024, t: 2, p: 4, salt: [1; 16] };
    let derived = derive(WORDS.as_bytes(), params).unwrap();
    assert_eq!(
        crate::crypt::hex::encode(derived.key.expose()),
        "5b7a3f4a216a39a645fbe1e02ff6e3132305e766b4ef903274062ef6688e077c"
    );
}

#[test]
fn debug_shows_no_word() {
    assert!(!format!("{:?}", provider(WORDS, 1)).contains("horse"));
}
