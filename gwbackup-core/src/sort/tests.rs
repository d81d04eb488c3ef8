use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::error::ErrorKind;

type Plain = (String, String, Vec<u8>);

fn through(directory: &Path, budget: usize, records: &[Plain]) -> Vec<Plain> {
    let mut sorter = Sorter::new(directory.to_owned(), budget);
    for (kind, id, payload) in records {
        sorter.push(kind, id, &[payload]).unwrap();
    }
    sorter
        .finish()
        .unwrap()
        .map(|record| {
            let record = record.unwrap();
            (record.kind().to_owned(), record.id().to_owned(), record.payload().to_vec())
        })
        .collect()
}

/// What the standard library's stable sort makes of it.
fn expected(mut records: Vec<Plain>) -> Vec<Plain> {
    records.sort_by(|a, b| (a.0.as_bytes(), a.1.as_bytes()).cmp(&(b.0.as_bytes(), b.1.as_bytes())));
    records
}

fn record() -> impl Strategy<Value = Plain> {
    // Few kinds and ids, so that keys repeat; one kind is a prefix of another.
    ("a|ab|route|ö", "[a-c]{0,3}", prop::collection::vec(any::<u8>(), 0..300))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn sorts_like_a_stable_sort(
        records in prop::collection::vec(record(), 0..200),
        budget in prop_oneof![Just(0), 1..2_000_usize, Just(1 << 20)],
    ) {
        let scratch = tempfile::tempdir().unwrap();
        prop_assert_eq!(through(scratch.path(), budget, &records), expected(records));
    }
}

#[test]
fn memory_alone_touches_no_file() {
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path().join("absent");
    let records =
        vec![("b".to_owned(), "1".to_owned(), vec![1]), ("a".to_owned(), "2".to_owned(), vec![2])];
    assert_eq!(through(&directory, 1 << 20, &records), expected(records));
    assert!(!directory.exists());
}

#[test]
fn many_runs_are_merged_in_order() {
    let scratch = tempfile::tempdir().unwrap();
    // Every record is a run of its own: several merges of all runs.
    let records: Vec<Plain> = (0..MAX_RUNS * 3 + 7)
        .map(|n| ("k".to_owned(), format!("{}", n % 10), n.to_string().into_bytes()))
        .collect();
    assert_eq!(through(scratch.path(), 1, &records), expected(records));
}

#[test]
fn records_larger_than_blocks_and_budget() {
    let scratch = tempfile::tempdir().unwrap();
    let large = |byte: u8, len: usize| vec![byte; len];
    let records = vec![
        ("k".to_owned(), "b".to_owned(), large(1, 64 << 20)),
        ("k".to_owned(), "a".to_owned(), large(2, (64 << 10) - 14)),
        ("k".to_owned(), "c".to_owned(), large(3, 1 << 20)),
        ("k".to_owned(), "a".to_owned(), Vec::new()),
    ];
    assert!(through(scratch.path(), 1 << 20, &records) == expected(records));
}

#[test]
fn plain_text_never_reaches_the_disk_and_an_altered_run_is_noticed() {
    let scratch = tempfile::tempdir().unwrap();
    let mut seal = RunSeal::new().unwrap();
    let mut writer = seal.start(scratch.path()).unwrap();
    let payload = b"a very secret payload".repeat(10_000);
    let head = Head::of("k", "i", payload.len()).unwrap();
    writer.push(head, &[b"ki", payload.as_slice()].concat()).unwrap();
    let run = writer.finish().unwrap();

    let mut cursor = Cursor::new(&run);
    assert!(cursor.advance(&seal).unwrap());
    assert_eq!(cursor.take(&seal).unwrap().1[2..], payload);
    assert!(!cursor.advance(&seal).unwrap());

    let stored = run.sealed();
    assert!(!stored.windows(11).any(|window| window == b"very secret"));
    for place in [0, stored.len() / 2, stored.len() - 1] {
        let mut altered = stored.clone();
        altered[place] ^= 1;
        let mut cursor = Cursor::new(&run.with_sealed(scratch.path(), &altered));
        let read = cursor.advance(&seal).and_then(|_| cursor.take(&seal));
        assert_eq!(read.unwrap_err().kind(), ErrorKind::Corrupt, "byte {place}");
    }
    let other = RunSeal::new().unwrap();
    assert_eq!(Cursor::new(&run).advance(&other).unwrap_err().kind(), ErrorKind::Corrupt);
}
