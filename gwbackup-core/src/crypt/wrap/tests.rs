use super::*;
use crate::crypt::{KeyFile, RecipientKind, RecipientState};

fn bytes<const N: usize>(first: u8) -> [u8; N] {
    std::array::from_fn(|i| first + u8::try_from(i).unwrap())
}

fn context() -> KeyContext {
    KeyContext { repository: bytes(0x00), purpose: KeyPurpose::Archive, object: bytes(0x30) }
}

/// The vector of the format's description.
#[test]
fn vector_of_the_secret_construction() {
    let secret = DataKey::new(bytes(0x60));
    let salt = bytes(0x80);
    let key = DataKey::new(bytes(0x40));
    assert_eq!(key_id(&secret).unwrap(), "6035a8900fc2e1dd");
    assert_eq!(
        hex::encode(wrap_key(&secret, &salt, &context()).unwrap().expose()),
        "e8c3c9339129227aefcce22afd784c46834ed98db88e3a5380f0d33f6be516c3"
    );
    let body = wrap_salted(&secret, &key, &context(), &salt).unwrap();
    assert_eq!(
        hex::encode(body.body()),
        "09e61be471c80eb36c377aefa03ddd2fe0c95512763e14c8bc76a501ac1622e1\
         a0f6c7bdc532a5adcdca2c17a52cb22d"
    );
    assert_eq!(unwrap_with(&secret, &body, &context()).unwrap().expose(), key.expose());
}

#[test]
fn a_wrap_opens_only_as_what_it_was_made_for() {
    let (secret, key) = (DataKey::new(bytes(0x60)), DataKey::new(bytes(0x40)));
    let good = wrap_with(&secret, &key, &context()).unwrap();
    let refuse = |secret: &DataKey, body: &WrapBody, cx: &KeyContext| {
        assert_eq!(unwrap_with(secret, body, cx).unwrap_err().kind(), ErrorKind::KeyUnavailable);
    };
    refuse(&secret, &good, &KeyContext { object: [0; 16], ..context() });
    refuse(&secret, &good, &KeyContext { repository: [0; 32], ..context() });
    refuse(&secret, &good, &KeyContext { purpose: KeyPurpose::Secrets, ..context() });
    refuse(&DataKey::new([1; 32]), &good, &context());
    let longer = [good.body(), &[0]].concat();
    let salt = good.salt().unwrap();
    refuse(&secret, &WrapBody::new("secret", longer).with_salt(salt), &context());
    refuse(&secret, &WrapBody::new("secret", good.body()), &context());
    refuse(&secret, &WrapBody::new("age", good.body()).with_salt(salt), &context());
}

fn recipient(id: &str, version: u32) -> Recipient {
    Recipient {
        id: id.into(),
        version,
        rights: Vec::new(),
        state: RecipientState::Active,
        kind: RecipientKind::Secret { argon2: None },
    }
}

fn sample() -> Wrap {
    let key = DataKey::new(bytes(0x40));
    let cx = KeyContext { purpose: KeyPurpose::Secrets, ..context() };
    let commitment = commitment(cx.purpose, &cx.repository, &key).unwrap();
    let mut wrap = Wrap::new(cx, 2, commitment, Timestamp::UNIX_EPOCH);
    let body = wrap_with(&DataKey::new(bytes(0x60)), &key, &cx).unwrap();
    wrap.add(&recipient("6035a8900fc2e1dd", 1), body).unwrap();
    wrap.add(&recipient("other", 3), WrapBody::new("kms", [1, 2, 3]).with_key("k/1")).unwrap();
    wrap
}

#[test]
fn a_file_comes_back_and_unknown_members_are_ignored() {
    let wrap = sample();
    let line = wrap.to_line().unwrap();
    assert!(!line.contains(&b'\n'));
    assert_eq!(Wrap::from_line(&line).unwrap(), wrap);

    let mut value: serde_json::Value = serde_json::from_slice(&line).unwrap();
    value["later"] = serde_json::json!({"any": [1]});
    value["wraps"][0]["later"] = serde_json::json!(true);
    assert_eq!(Wrap::from_line(value.to_string().as_bytes()).unwrap(), wrap);
}

#[test]
fn a_wrap_knows_its_key() {
    let wrap = sample();
    wrap.check(&DataKey::new(bytes(0x40))).unwrap();
    let wrong = wrap.check(&DataKey::new(bytes(0x41))).unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::KeyUnavailable);
}

#[tokio::test]
async fn a_wrap_is_opened_by_the_recipient_that_it_names() {
    let directory = tempfile::tempdir().unwrap();
    let file = KeyFile::generate(directory.path().join("key"), None).unwrap();
    let cx = Context::new();
    let own = file.recipient(&cx).await.unwrap();
    let context = KeyContext { purpose: KeyPurpose::Repository, ..context() };
    let key = DataKey::new(bytes(0x40));
    let made = |commitment| {
        let (cx, own, file, key) = (&cx, &own, &file, &key);
        async move {
            let mut wrap = Wrap::new(context, 1, commitment, Timestamp::UNIX_EPOCH);
            wrap.add(own, file.wrap(cx, key, &context).await.unwrap()).unwrap();
            wrap
        }
    };
    let wrap = made(commitment(context.purpose, &context.repository, &key).unwrap()).await;
    assert_eq!(wrap.open(&cx, &file, &own).await.unwrap().expose(), key.expose());
    for stranger in [recipient("other", 1), Recipient { version: 2, ..own.clone() }] {
        let error = wrap.open(&cx, &file, &stranger).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::KeyUnavailable);
    }
    let other = made([7; 32]).await;
    let error = other.open(&cx, &file, &own).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::KeyUnavailable, "it is not the key that the wrap names");
}

#[test]
fn a_wrap_holds_so_many_recipients_and_each_once() {
    let mut wrap = sample();
    assert!(wrap.add(&recipient("other", 3), WrapBody::new("kms", [1])).is_err());
    assert!(wrap.add(&recipient("long", 1), WrapBody::new("kms", [0; BODY + 1])).is_err());
    for number in 3..=32 {
        wrap.add(&recipient("many", number), WrapBody::new("kms", [0; BODY])).unwrap();
    }
    assert!(wrap.add(&recipient("many", 33), WrapBody::new("kms", [1])).is_err());
    assert_eq!(wrap.to_line().unwrap_err().kind(), ErrorKind::Invalid, "larger than a file may be");
}

#[test]
fn hostile_files_are_refused_and_not_quoted() {
    let line = sample().to_line().unwrap();
    let change = |edit: &dyn Fn(&mut serde_json::Value)| {
        let mut value: serde_json::Value = serde_json::from_slice(&line).unwrap();
        edit(&mut value);
        Wrap::from_line(value.to_string().as_bytes()).map_err(|e| {
            assert_eq!(e.kind(), ErrorKind::Corrupt);
            e.to_string()
        })
    };
    for (edit, says) in [
        (&(|v: &mut serde_json::Value| v["format"] = 2.into()) as &dyn Fn(&mut _), "newer"),
        (&|v: &mut serde_json::Value| v["requires"] = serde_json::json!(["x"]), "newer"),
        (&|v: &mut serde_json::Value| v["schema"] = "gwbackup.wrap/2".into(), "newer"),
        (&|v: &mut serde_json::Value| v["commitment"] = "hunter2".into(), "malformed"),
        (&|v: &mut serde_json::Value| v["purpose"] = "hunter2".into(), "malformed"),
        (&|v: &mut serde_json::Value| v["generation"] = 0.into(), "zero"),
        (&|v: &mut serde_json::Value| v["wraps"][1]["body"] = "!".into(), "base64"),
        (&|v: &mut serde_json::Value| v["wraps"][1]["body"] = "A".repeat(6000).into(), "4 KiB"),
        (&|v: &mut serde_json::Value| v["wraps"][1] = v["wraps"][0].clone(), "twice"),
        (
            &|v: &mut serde_json::Value| {
                let entry = v["wraps"][0].clone();
                v["wraps"] = vec![entry; 33].into();
            },
            "more than 32",
        ),
    ] {
        let text = change(edit).unwrap_err();
        assert!(text.contains(says), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
    assert!(Wrap::from_line(&vec![b' '; FILE + 1]).is_err());
    for end in 0..line.len() {
        assert!(Wrap::from_line(&line[..end]).is_err());
    }
}
