//! What every [`KeyProvider`] keeps.

use crate::context::Context;
use crate::crypt::{DataKey, KeyContext, KeyProvider, KeyPurpose, WrapBody};
use crate::error::ErrorKind;

/// Checks that wraps open again, made anew as well, that no two are alike, that nothing of the key shows, that a
/// provider describes its key the same way each time, and that another provider's key does not open
/// them. `make` gives a provider with a key of its own at each call.
///
/// # Panics
/// On the first breach.
#[expect(clippy::expect_used, reason = "a suite panics on a breach")]
pub async fn key_provider(make: &mut (dyn FnMut() -> Box<dyn KeyProvider> + Send)) {
    let cx = Context::new();
    let (own, other) = (make(), make());
    let recipient = own.recipient(&cx).await.expect("a provider must describe its key");
    assert_eq!(
        own.recipient(&cx).await.ok().as_ref(),
        Some(&recipient),
        "a provider must describe its key the same way each time"
    );
    assert!(!recipient.id.is_empty(), "a recipient needs an id");
    assert!(!own.address().is_empty(), "a provider needs an address");
    own.proves(&cx).await.expect("a provider must say whether it names a repository");

    let stranger = other.recipient(&cx).await.expect("a provider must describe its key");
    assert_ne!(stranger.id, recipient.id, "two keys must have two ids");

    let purposes = [
        KeyPurpose::Archive,
        KeyPurpose::Secrets,
        KeyPurpose::Repository,
        KeyPurpose::Digest,
        KeyPurpose::Signer,
    ];
    for purpose in purposes {
        let context = KeyContext { repository: [3; 32], purpose, object: [4; 16] };
        let key = DataKey::new([0xa5; 32]);
        let first = own.wrap(&cx, &key, &context).await.expect("a key must be wrapped");
        let second = own.wrap(&cx, &key, &context).await.expect("a key must be wrapped");
        assert_ne!(first, second, "every wrap must give other bytes");
        assert!(
            !first.body().windows(32).any(|window| window == key.expose()),
            "a wrap must not show the key"
        );
        for body in [&first, &second] {
            let opened = own.unwrap(&cx, &recipient, body, &context).await;
            let opened = opened.expect("a provider must open its own wraps");
            assert_eq!(opened.expose(), key.expose(), "unwrapping must give back the key");
        }

        let anew = own.rewrap(&cx, &recipient, &first, &context).await;
        let anew = anew.expect("a wrap must be made anew");
        assert_ne!(anew, first, "every wrap must give other bytes");
        let opened = own.unwrap(&cx, &recipient, &anew, &context).await;
        let opened = opened.expect("a wrap that was made anew must open");
        assert_eq!(opened.expose(), key.expose(), "a wrap made anew must hold the same key");

        for (provider, named, what) in [
            (&other, &recipient, "a provider must not open another's wrap"),
            (&own, &stranger, "a provider must not open for a recipient that it is not"),
        ] {
            let kind = provider.unwrap(&cx, named, &first, &context).await.map_err(|e| e.kind());
            assert_eq!(kind.err(), Some(ErrorKind::KeyUnavailable), "{what}");
            let kind = provider.rewrap(&cx, named, &first, &context).await.map_err(|e| e.kind());
            assert_eq!(kind.err(), Some(ErrorKind::KeyUnavailable), "{what}");
        }

        let mut changed = first.body().to_vec();
        changed[0] ^= 1;
        for body in [changed, Vec::new(), vec![0; 4096]] {
            let body = rebuilt(&first, body);
            let opened = own.unwrap(&cx, &recipient, &body, &context).await;
            assert!(opened.is_err(), "a changed wrap must not open");
            let anew = own.rewrap(&cx, &recipient, &body, &context).await;
            assert!(anew.is_err(), "a changed wrap must not be made anew");
        }
    }
}

fn rebuilt(like: &WrapBody, bytes: Vec<u8>) -> WrapBody {
    let mut body = WrapBody::new(like.kind(), bytes);
    if let Some(salt) = like.salt() {
        body = body.with_salt(salt);
    }
    if let Some(key) = like.key() {
        body = body.with_key(key);
    }
    body
}
