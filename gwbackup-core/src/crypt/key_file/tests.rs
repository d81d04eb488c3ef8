use std::fs;

use super::*;
use crate::crypt::KeyPurpose;
use crate::testing::conformance;

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// Writes `text` as a key file with this mode and opens it.
fn opened(text: &[u8], mode: u32) -> Result<KeyFile> {
    let directory = directory();
    let path = directory.path().join("key");
    fs::write(&path, text).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
    KeyFile::open(path)
}

fn line(version: u32, byte: u8) -> String {
    format!("key: {version} {}\n", BASE64.encode([byte; 32]))
}

#[tokio::test]
async fn conforms() {
    let directory = directory();
    let mut number = 0;
    conformance::key_provider(&mut || {
        number += 1;
        Box::new(KeyFile::generate(directory.path().join(number.to_string()), None).unwrap())
    })
    .await;
}

#[tokio::test]
async fn generated_once_bound_once_and_private() {
    let directory = directory();
    let path = directory.path().join("key");
    let cx = Context::new();
    let file = KeyFile::generate(&path, None).unwrap();
    assert_eq!(file.proves(&cx).await.unwrap(), None);
    let before = file.recipient(&cx).await.unwrap();

    file.bind([0xab; 32]).unwrap();
    file.bind([0xab; 32]).unwrap();
    assert_eq!(file.bind([0xcd; 32]).unwrap_err().kind(), ErrorKind::Conflict);
    let again = KeyFile::open(&path).unwrap();
    assert_eq!(again.proves(&cx).await.unwrap(), Some("ab".repeat(32)));
    assert_eq!(again.recipient(&cx).await.unwrap(), before);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no temporary file is left");

    let error = KeyFile::generate(&path, None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[tokio::test]
async fn the_newest_wraps_and_the_older_still_opens() {
    let cx = Context::new();
    let context = KeyContext { repository: [1; 32], purpose: KeyPurpose::Archive, object: [2; 16] };
    let old = opened(format!("{MAGIC}\n{}", line(1, 1)).as_bytes(), 0o600).unwrap();
    let text = format!("# kept in the safe\n{MAGIC}\n\n{}{} # old", line(2, 2), line(1, 1).trim());
    let both = opened(text.as_bytes(), 0o400).unwrap();

    let key = DataKey::new([9; 32]);
    let body = old.wrap(&cx, &key, &context).await.unwrap();
    let recipient = old.recipient(&cx).await.unwrap();
    let opened = both.unwrap(&cx, &recipient, &body, &context).await.unwrap();
    assert_eq!(opened.expose(), key.expose());
    let newest = both.recipient(&cx).await.unwrap();
    assert_eq!(newest.version, 2);
    let error = old.unwrap(&cx, &newest, &body, &context).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::KeyUnavailable);
}

#[test]
fn binding_keeps_the_text() {
    let directory = directory();
    let path = directory.path().join("key");
    let text = format!("# mine\n{MAGIC} # format\n{}# end", line(1, 7));
    secret_file::create(&path, text.as_bytes()).unwrap();
    KeyFile::open(&path).unwrap().bind([0; 32]).unwrap();
    let added = format!("repository: {}\n", "0".repeat(64));
    assert_eq!(fs::read_to_string(&path).unwrap().replace(&added, ""), text);
    assert_eq!(KeyFile::open(&path).unwrap().repository(), Some([0; 32]));
}

#[test]
fn malformed_files_are_refused_and_not_quoted() {
    let secret = BASE64.encode([0x55; 32]);
    for text in [
        String::new(),
        "# nothing\n".into(),
        "gwbackup-key-v2\n".into(),
        format!("{MAGIC}\n"),
        format!("{secret}\n"),
        format!("{MAGIC}\n{secret}\n"),
        format!("{MAGIC}\nkey: {secret}\n"),
        format!("{MAGIC}\nkey: 0 {secret}\n"),
        format!("{MAGIC}\nkey: 1 {secret}A\n"),
        format!("{MAGIC}\nkey: 1 {}\n", BASE64.encode([0x55; 31])),
        format!("{MAGIC}\nkey: 1 {secret}\nkey: 2 {secret}\n"),
        format!("{MAGIC}\nkey: 1 {secret}\nkey: 1 {secret}\n"),
        format!("{MAGIC}\nrepository: 12\nkey: 1 {secret}\n"),
        format!("{MAGIC}\nkey: 1 {secret}\n{}", "#".repeat(70_000)),
    ] {
        let error = opened(text.as_bytes(), 0o600).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::KeyUnavailable, "{error:?}");
        assert!(!format!("{error:?}").contains(&secret[..8]), "{error:?}");
    }
    assert!(opened(b"\xff\xfe", 0o600).is_err());
    let missing = KeyFile::open(directory().path().join("none")).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::KeyUnavailable);
    assert!(missing.advice().is_some());
}

#[cfg(unix)]
#[test]
fn files_open_to_others_are_refused_with_the_remedy() {
    let text = format!("{MAGIC}\n{}", line(1, 1));
    for mode in [0o604, 0o640, 0o620, 0o601] {
        let error = opened(text.as_bytes(), mode).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::KeyUnavailable);
        assert!(error.advice().is_some_and(|help| help.contains("chmod 600")), "{error:?}");
    }
}

#[test]
fn debug_shows_no_key() {
    let file = opened(format!("{MAGIC}\n{}", line(1, 0x55)).as_bytes(), 0o600).unwrap();
    let text = format!("{file:?}");
    assert!(!text.contains("85, 85") && !text.contains("VVVV"), "{text}");
}
