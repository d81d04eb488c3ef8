use std::io::{Cursor, Write};

use proptest::prelude::*;

use super::*;
use crate::crypt::{DataKey, Suite};
use crate::error::ErrorKind;

/// A line with its secret tokens, as a test states it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    kind: String,
    id: String,
    json: String,
    secrets: Vec<String>,
}

fn line(kind: &str, id: &str, doc: &str, secrets: &[&str]) -> Line {
    let (k, i) = (serde_json::to_string(kind).unwrap(), serde_json::to_string(id).unwrap());
    Line {
        kind: kind.into(),
        id: id.into(),
        json: format!(r#"{{"kind":{k},"id":{i},"doc":"{doc}","n":{}}}"#, secrets.len()),
        secrets: secrets.iter().map(ToString::to_string).collect(),
    }
}

/// What the layer above does by marks.
fn count(line: &[u8]) -> Result<usize> {
    let number = || {
        let text = std::str::from_utf8(line).ok()?;
        text.get(text.rfind(':')? + 1..text.len() - 1)?.parse().ok()
    };
    number().ok_or_else(|| Error::corrupt("a line is malformed"))
}

fn ids() -> ArchiveIds {
    ArchiveIds {
        repository: [1; 32],
        backup: Uuid::from_bytes([2; 16]),
        archive: [3; 16],
        base: None,
        kind: ArchiveType::Full,
    }
}

fn dek() -> DataKey {
    DataKey::new([4; 32])
}

fn sdek() -> DataKey {
    DataKey::new([5; 32])
}

fn expected(size: usize) -> Expected {
    let ArchiveIds { repository, backup, archive, .. } = ids();
    Expected { size: size as u64, repository, archive, backup }
}

const DESCRIPTION: &[u8] = br#"{"product":"toy"}"#;

fn push<W: Write>(writer: &mut ArchiveWriter<W>, line: &Line) -> Result<()> {
    let mut secrets = Vec::new();
    let mut encoder = TokenEncoder::new(3)?;
    for secret in &line.secrets {
        encoder.encode(secret.as_bytes(), &mut secrets)?;
    }
    let (json, secrets) = (line.json.as_bytes(), secrets.as_slice());
    writer.push(Entry { kind: &line.kind, id: &line.id, line: json, secrets })
}

fn writer(options: ArchiveOptions) -> ArchiveWriter<Vec<u8>> {
    ArchiveWriter::new(Vec::new(), ids(), Suite::Aes256Gcm, &dek(), &sdek(), options).unwrap()
}

fn written(lines: &[Line], options: ArchiveOptions) -> (Vec<u8>, Sealed) {
    let mut writer = writer(options);
    for line in lines {
        push(&mut writer, line).unwrap();
    }
    writer.finish(DESCRIPTION).unwrap()
}

fn opened(bytes: &[u8], sdek: Option<&DataKey>) -> Result<Archive<Cursor<Vec<u8>>>> {
    let input = Cursor::new(bytes.to_vec());
    Archive::open(input, &expected(bytes.len()), &dek(), sdek, count)
}

fn to_line(entry: &EntryRef<'_>) -> Line {
    let mut decoder = TokenDecoder::new(entry.secrets.unwrap());
    let mut secrets = Vec::new();
    while let Some(token) = decoder.next_token().unwrap() {
        secrets.push(String::from_utf8(token.to_vec()).unwrap());
    }
    let json = String::from_utf8(entry.line.to_vec()).unwrap();
    Line { kind: entry.kind.to_string(), id: entry.id.to_string(), json, secrets }
}

/// Everything in an archive, or the first error.
fn read_all(bytes: &[u8]) -> Result<Vec<Line>> {
    let mut archive = opened(bytes, Some(&sdek()))?;
    if archive.description() != DESCRIPTION {
        return Err(Error::corrupt("another description"));
    }
    let mut lines = Vec::new();
    let mut entries = archive.entries();
    while let Some(entry) = entries.next()? {
        lines.push(to_line(&entry));
    }
    Ok(lines)
}

fn small_frames() -> ArchiveOptions {
    ArchiveOptions { frame: 100, ..ArchiveOptions::default() }
}

fn sample() -> Vec<Line> {
    vec![
        line("consumer", "a", "first", &["\"hunter2\"", "\"k\""]),
        line("consumer", "b", &"long ".repeat(60), &[]),
        line("consumer", "c\"\n\\", "escapes", &["12"]),
        line("route", "a", "x", &[]),
        line("route", "a/b", "y", &[&format!("\"{}\"", "p".repeat(4000))]),
        line("route", "z", "last", &[]),
    ]
}

#[test]
fn what_was_written_comes_back() {
    for options in [
        ArchiveOptions::default(),
        small_frames(),
        ArchiveOptions { frame: 1, ..ArchiveOptions::default() },
        ArchiveOptions { padding: false, ..small_frames() },
        ArchiveOptions { uncompressed: ["route".to_owned()].into(), ..small_frames() },
    ] {
        for suite in [Suite::Aes256Gcm, Suite::XChaCha20Poly1305] {
            let mut writer =
                ArchiveWriter::new(Vec::new(), ids(), suite, &dek(), &sdek(), options.clone())
                    .unwrap();
            for line in &sample() {
                push(&mut writer, line).unwrap();
            }
            let (bytes, sealed) = writer.finish(DESCRIPTION).unwrap();
            assert_eq!(read_all(&bytes).unwrap(), sample());
            assert_eq!((sealed.size, sealed.lines), (bytes.len() as u64, 6));
            assert!(sealed.has_secrets);
            let archive = opened(&bytes, None).unwrap();
            assert_eq!(archive.header().commitment, sealed.commitment);
            assert_eq!(archive.header().suite, suite);
            assert_eq!(archive.lines(), 6);
        }
    }
}

/// A whole archive that another program made from the format's description, without compression.
#[test]
fn an_archive_of_another_writer_is_read() {
    let text = include_str!("tests/vector.hex").replace('\n', "");
    let bytes = crate::crypt::hex::decode::<495>(&text).unwrap();
    let names = |line: &Line| (line.kind.clone(), line.id.clone(), line.secrets.clone());
    let found: Vec<_> = read_all(&bytes).unwrap().iter().map(names).collect();
    let expect = |kind: &str, id: &str, secrets: &[&str]| {
        (kind.to_owned(), id.to_owned(), secrets.iter().map(ToString::to_string).collect())
    };
    let expected = [
        expect("consumer", "a", &["\"s1\""]),
        expect("consumer", "b", &[]),
        expect("route", "a", &["12"]),
    ];
    assert_eq!(found, expected);
}

#[test]
fn an_archive_may_hold_nothing() {
    let (bytes, sealed) = written(&[], ArchiveOptions::default());
    assert_eq!(read_all(&bytes).unwrap(), []);
    assert!(!sealed.has_secrets);
    let mut archive = opened(&bytes, None).unwrap();
    assert!(archive.find("route", "a", |_| Ok(())).unwrap().is_none());
    assert_eq!(archive.verify().unwrap(), 0);
}

#[test]
fn one_line_is_found_through_the_index() {
    for frame in [1, 100, 300, 100_000] {
        let options = ArchiveOptions { frame, ..ArchiveOptions::default() };
        let (bytes, _) = written(&sample(), options);
        let mut archive = opened(&bytes, Some(&sdek())).unwrap();
        for line in sample() {
            let mut find = |id: &str| archive.find(&line.kind, id, |entry| Ok(to_line(&entry)));
            let found = find(&line.id).unwrap();
            // What is not there, between this line and the next, takes neither away.
            assert_eq!(find(&format!("{}\0", line.id)).unwrap(), None);
            assert_eq!(find(&line.id).unwrap(), found);
            assert_eq!(found, Some(line));
        }
        for (kind, id) in [("a", "a"), ("consumer", ""), ("consumer", "bb"), ("route", "zz")] {
            assert!(archive.find(kind, id, |_| Ok(())).unwrap().is_none());
        }
    }
}

#[test]
fn without_the_secrets_key_all_but_the_secrets_is_read() {
    let (bytes, _) = written(&sample(), small_frames());
    let mut archive = opened(&bytes, None).unwrap();
    let mut entries = archive.entries();
    let (mut lines, mut sealed) = (Vec::new(), 0);
    while let Some(entry) = entries.next().unwrap() {
        lines.push(String::from_utf8(entry.line.to_vec()).unwrap());
        sealed += usize::from(entry.secrets.is_none());
    }
    assert_eq!(lines, sample().into_iter().map(|line| line.json).collect::<Vec<_>>());
    assert!(sealed >= 3);
    assert_eq!(archive.verify().unwrap(), 6);
}

#[test]
fn a_wrong_secrets_key_opens_no_secret() {
    let (bytes, _) = written(&sample(), small_frames());
    let mut archive = opened(&bytes, Some(&dek())).unwrap();
    assert_eq!(archive.verify().unwrap_err().kind(), ErrorKind::Corrupt);
    let mut entries = archive.entries();
    assert!(entries.next().is_err());
    assert!(entries.next().unwrap().is_none(), "after an error nothing more is given");
}

#[test]
fn another_archive_is_not_taken_for_this_one() {
    let (bytes, _) = written(&sample(), small_frames());
    let good = expected(bytes.len());
    for wrong in [
        Expected { size: good.size + 1, ..good },
        Expected { repository: [9; 32], ..good },
        Expected { archive: [9; 16], ..good },
        Expected { backup: Uuid::nil(), ..good },
    ] {
        let error = Archive::open(Cursor::new(&bytes), &wrong, &dek(), None, count).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
    }
    let error = Archive::open(Cursor::new(&bytes), &good, &sdek(), None, count).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::KeyUnavailable);
    let longer = [bytes.as_slice(), b"more"].concat();
    assert!(Archive::open(Cursor::new(&longer), &good, &dek(), None, count).is_err());
}

#[test]
fn the_writer_refuses_what_could_not_be_read() {
    let mut writer = writer(ArchiveOptions::default());
    push(&mut writer, &line("route", "b", "x", &[])).unwrap();
    let plain = line("route", "c", "x", &[]);
    let entry = |kind, id, line, secrets| Entry { kind, id, line, secrets };
    let good = plain.json.as_bytes();
    for bad in [
        entry("route", "b", br#"{"kind":"route","id":"b"}"#, &[]),
        entry("route", "a", br#"{"kind":"route","id":"a"}"#, &[]),
        entry("queue", "z", br#"{"kind":"queue","id":"z"}"#, &[]),
        entry("route", "d", good, &[]),
        entry("routes", "c", good, &[]),
        entry("route", "c", b"{\"kind\":\"route\",\"id\":\"c\",\n\"doc\":1}", &[]),
        entry("route", "c", b"not an object", &[]),
        entry("route", "c", good, b"\x09abc"),
    ] {
        assert_eq!(writer.push(bad).unwrap_err().kind(), ErrorKind::Invalid, "{bad:?}");
    }
    push(&mut writer, &plain).unwrap();
    let (bytes, _) = writer.finish(DESCRIPTION).unwrap();
    assert_eq!(read_all(&bytes).unwrap().len(), 2, "what was refused has left no trace");
}

/// Fails once at a given write, then goes on.
struct Hiccup(usize);

impl Write for Hiccup {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 = self.0.wrapping_sub(1);
        if self.0 == 0 { Err(std::io::ErrorKind::StorageFull.into()) } else { Ok(bytes.len()) }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn after_a_failed_write_nothing_is_sealed() {
    let options = ArchiveOptions { frame: 1, ..ArchiveOptions::default() };
    let mut writer =
        ArchiveWriter::new(Hiccup(3), ids(), Suite::Aes256Gcm, &dek(), &sdek(), options).unwrap();
    let mut noise = 1_u64;
    let mut failed = false;
    for number in 0..40 {
        let doc: String = std::iter::repeat_with(|| {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            char::from(b'a' + u8::try_from(noise >> 60).unwrap())
        })
        .take(20_000)
        .collect();
        failed |= push(&mut writer, &line("route", &format!("{number:02}"), &doc, &[])).is_err();
    }
    assert!(failed);
    assert!(writer.finish(DESCRIPTION).is_err());
}

#[test]
fn kinds_that_must_not_be_compressed_are_not() {
    let lines =
        ["consumer", "route", "upstream"].map(|kind| line(kind, "a", &"x".repeat(4000), &[]));
    let uncompressed = ["route".to_owned()].into();
    let (bytes, _) = written(&lines, ArchiveOptions { uncompressed, ..ArchiveOptions::default() });
    let archive = opened(&bytes, None).unwrap();
    let stored = |line: &IndexLine| (line.kind.clone(), line.stored == line.plain);
    let found: Vec<_> = archive.index().iter().map(stored).collect();
    let expected = [("consumer", false), ("route", true), ("upstream", false)];
    assert_eq!(found, expected.map(|(kind, raw)| (kind.to_owned(), raw)));
}

#[test]
fn padding_hides_the_exact_size() {
    let sizes = |padding| {
        let mut sizes: Vec<_> = (0..40)
            .map(|n| {
                let lines = [line("route", "a", "x", &[&"7".repeat(1000 + n)])];
                // Not compressible tokens would be the same: only the length differs.
                written(&lines, ArchiveOptions { padding, level: 1, ..ArchiveOptions::default() }).0
            })
            .map(|bytes| bytes.len())
            .collect();
        sizes.dedup();
        sizes.len()
    };
    assert!(sizes(true) <= sizes(false));
    let (bytes, _) = written(&sample(), ArchiveOptions::default());
    let payload = (bytes.len() - 128 - 16) as u64;
    assert_eq!(record::padded(payload), payload);
}

#[test]
fn every_truncation_is_found() {
    let (bytes, _) = written(&sample(), ArchiveOptions { padding: false, ..small_frames() });
    for end in 0..bytes.len() {
        let error = read_all(&bytes[..end]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "cut at {end}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_changed_bit_goes_unseen(at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let (mut bytes, _) = written(&sample(), small_frames());
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let kind = read_all(&bytes).map_err(|e| e.kind());
        prop_assert!(matches!(kind, Err(ErrorKind::Corrupt | ErrorKind::KeyUnavailable)));
    }

    #[test]
    fn no_added_byte_goes_unseen(more in prop::collection::vec(any::<u8>(), 1..100)) {
        let (mut bytes, _) = written(&sample(), small_frames());
        bytes.extend_from_slice(&more);
        prop_assert!(read_all(&bytes).is_err());
    }

    /// Whatever stands behind good seals: an error or a sound answer, never a panic.
    #[test]
    fn hostile_payloads_never_panic(
        at in any::<prop::sample::Index>(),
        new in prop::collection::vec(any::<u8>(), 1..12),
        cut in any::<bool>(),
    ) {
        let (bytes, _) = written(&sample(), ArchiveOptions { padding: false, ..small_frames() });
        let mut payload = hostile::payload(&bytes);
        let at = at.index(payload.len());
        if cut { payload.drain(at..(at + new.len()).min(payload.len())); }
        else { payload.splice(at..(at + new.len()).min(payload.len()), new); }
        let bytes = hostile::sealed(&payload);
        if let Ok(mut archive) = opened(&bytes, Some(&sdek())) {
            let _ = archive.verify();
            let _ = archive.find("route", "a", |_| Ok(()));
        }
    }

    #[test]
    fn any_lines_come_back(
        keys in prop::collection::btree_set(("[a-z]{1,4}", "\\PC{1,12}"), 0..40),
        frame in 1..2000_usize,
        secrets in prop::collection::vec(0..4_usize, 40),
    ) {
        let lines: Vec<Line> = keys
            .iter()
            .zip(secrets)
            .map(|((kind, id), n)| line(kind, id, &"d".repeat(n * 40), &["\"s\"", "1", "[]"][..n.min(3)]))
            .collect();
        let options = ArchiveOptions { frame, ..ArchiveOptions::default() };
        let (bytes, _) = written(&lines, options);
        prop_assert_eq!(read_all(&bytes).unwrap(), lines.clone());
        let mut archive = opened(&bytes, Some(&sdek())).unwrap();
        for line in lines {
            let found = archive.find(&line.kind, &line.id, |entry| Ok(to_line(&entry))).unwrap();
            prop_assert_eq!(found, Some(line));
        }
    }
}

mod hostile;
