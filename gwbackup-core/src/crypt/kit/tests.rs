use super::*;
use crate::context::Context;
use crate::crypt::{KeyProvider as _, SeedSigner, Signer as _};

fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

fn kit() -> RecoveryKit {
    let copies = [url("file:///mnt/one"), url("s3://bucket/two%20words?region=x#y")];
    let created = "2026-01-02T03:04:05.678Z".parse().unwrap();
    let identity = AgeIdentity::generate().unwrap();
    RecoveryKit::new([0xab; 32], DataKey::new([0x55; 32]), identity, copies, created).unwrap()
}

#[test]
fn comes_back_from_its_text() {
    let kit = kit();
    let read = RecoveryKit::parse(&kit.to_text().unwrap()).unwrap();
    assert_eq!(read.repository(), kit.repository());
    assert_eq!(read.root().expose(), kit.root().expose());
    assert_eq!(read.identity().public(), kit.identity().public());
    assert_eq!(read.copies(), kit.copies());
    assert_eq!(read.created(), kit.created());
    assert_eq!(*read.to_text().unwrap(), *kit.to_text().unwrap());
    let root = |kit: &RecoveryKit| SeedSigner::new(kit.root()).public();
    assert_eq!(root(&read), root(&kit));
}

#[test]
fn the_text_is_for_people_and_for_age() {
    let text = kit().to_text().unwrap();
    // Room was reserved for all of it.
    assert!(text.capacity() >= ROOM && text.len() < ROOM);
    let bare: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(bare.len(), 1, "all but the identity are comments");
    assert!(bare[0].starts_with("AGE-SECRET-KEY-1"));
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{}", *text);
    for words in ["gwbackup --key age-file:///", "offline", "chmod 600"] {
        assert!(text.contains(words), "{words}");
    }
    for name in ["repository", "root", "date", "copy"] {
        let found = text.lines().filter(|line| field(line, name).is_some()).count();
        assert_eq!(found, if name == "copy" { 2 } else { 1 }, "{name}");
    }
}

#[tokio::test]
async fn its_file_is_an_identity_that_proves_the_repository() {
    let cx = Context::new();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("kit.txt");
    let kit = kit();
    kit.write(&path).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let before = std::fs::read(&path).unwrap();
    assert_eq!(self::kit().write(&path).unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(std::fs::read(&path).unwrap(), before);

    let provider = AgeIdentity::open(&path).unwrap();
    assert_eq!(provider.proves(&cx).await.unwrap(), Some("ab".repeat(32)));
    let recipient = provider.recipient(&cx).await.unwrap();
    assert_eq!(recipient, kit.identity().recipient(&cx).await.unwrap());
    assert_eq!(RecoveryKit::open(&path).unwrap().copies(), kit.copies());
}

#[test]
fn what_it_cannot_hold_is_refused() {
    let made = |identity: AgeIdentity, copies: Vec<Url>| {
        RecoveryKit::new([1; 32], DataKey::new([2; 32]), identity, copies, Timestamp::UNIX_EPOCH)
            .map_err(|e| e.kind())
            .err()
    };
    let fresh = || AgeIdentity::generate().unwrap();
    let other = kit().identity().to_text().unwrap();
    let other = format!("# repository: {}\n{}", "ab".repeat(32), *other);
    let other = AgeIdentity::from_text(&other).unwrap();
    assert_eq!(made(other, Vec::new()), Some(ErrorKind::Conflict));
    let long = url(&format!("file:///{}", "x".repeat(URL)));
    for copies in [vec![url("s3://user:word@host/")], vec![long], vec![url("file:///a"); 65]] {
        assert_eq!(made(fresh(), copies), Some(ErrorKind::Invalid));
    }
    assert_eq!(made(fresh(), vec![url("file:///a"); 64]), None);
}

#[test]
fn malformed_kits_are_refused_and_not_quoted() {
    let text = kit().to_text().unwrap();
    let without = |name: &str| {
        let kept = text.lines().filter(|line| !line.starts_with(name));
        kept.collect::<Vec<_>>().join("\n")
    };
    let seed = BASE64.encode([0x55; 32]);
    for bad in [
        String::new(),
        without("# repository:"),
        without("# root:"),
        without("# date:"),
        without("AGE-SECRET-KEY-1"),
        format!("{}# root: {seed}\n", *text),
        format!("{}# date: 2026-01-02T03:04:05Z\n", *text),
        format!("{}# copy: not a url\n", *text),
        format!("{}# copy: s3://user:word@host/\n", *text),
        text.replace(&seed, &seed[..40]),
        text.replace("# date: 2026", "# date: last year"),
    ] {
        let error = RecoveryKit::parse(&bad).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::KeyUnavailable, "{bad}");
        let shown = format!("{error:?} {error}");
        assert!(!shown.contains("VVVV") && !shown.contains("word"), "{shown}");
    }
}

#[test]
fn debug_shows_the_id_alone() {
    assert_eq!(format!("{:?}", kit()), format!("RecoveryKit({})", "ab".repeat(32)));
}
