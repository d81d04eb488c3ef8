//! Payloads of a key holder who means harm: well sealed, wrongly made.

use std::io::Cursor;

use super::super::chunks::{ChunkReader, ChunkWriter, read_header};
use super::super::header::Header;
use super::super::record::{Content, Footer, Head, Packer};
use super::*;

/// What is sealed in an archive.
pub(super) fn payload(bytes: &[u8]) -> Vec<u8> {
    let mut input = Cursor::new(bytes);
    let header = read_header(&mut input).unwrap();
    let mut chunks = ChunkReader::open(input, bytes.len() as u64, &header, &dek()).unwrap();
    let mut payload = Vec::new();
    let length = usize::try_from(chunks.payload()).unwrap();
    chunks.read(0, length, &mut payload).unwrap();
    payload
}

/// An archive of any payload.
pub(super) fn sealed(payload: &[u8]) -> Vec<u8> {
    let header = Header::new(Suite::Aes256Gcm, ids(), &dek()).unwrap();
    let mut writer = ChunkWriter::new(Vec::new(), &header, &dek()).unwrap();
    writer.write(payload).unwrap();
    writer.finish().unwrap().0
}

/// A payload, record by record.
#[derive(Default)]
struct Forge {
    payload: Vec<u8>,
    index: String,
}

impl Forge {
    fn record(&mut self, code: u8, content: &[u8]) -> &mut Self {
        let mut head = Head::stored(Content::Resources, content.len()).unwrap().to_bytes();
        head[0] = code;
        self.payload.extend_from_slice(&head);
        self.payload.extend_from_slice(content);
        self
    }

    fn frame(&mut self, text: &str, lines: u32, kind: &str, first: &str) -> &mut Self {
        use std::fmt::Write as _;
        let (at, n) = (self.payload.len(), text.len());
        writeln!(self.index, "[{at},{n},{n},{lines},\"{kind}\",\"{first}\"]").unwrap();
        self.record(1, text.as_bytes())
    }

    fn raw_index(&mut self, text: &str) -> &mut Self {
        self.index = text.to_owned();
        self
    }

    fn end(&mut self, order: &[u8], padding: &[u8]) -> Vec<u8> {
        let mut footer = Footer { index: 0, length: 0 };
        for code in order {
            let at = self.payload.len() as u64;
            match code {
                2 => {
                    let index = std::mem::take(&mut self.index);
                    self.record(2, index.as_bytes());
                    footer = Footer { index: at, length: self.payload.len() as u64 - at };
                }
                3 => drop(self.record(3, DESCRIPTION)),
                4 => drop(self.record(4, padding)),
                code => drop(self.record(*code, b"later")),
            }
        }
        self.payload.extend_from_slice(&footer.to_bytes());
        sealed(&self.payload)
    }
}

const A: &str = "{\"kind\":\"r\",\"id\":\"a\",\"n\":0}\n";
const B: &str = "{\"kind\":\"r\",\"id\":\"b\",\"n\":0}\n";

fn refused(bytes: &[u8]) {
    assert_eq!(read_all(bytes).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn a_well_made_payload_is_read() {
    let both = [A, B].concat();
    let bytes = Forge::default().frame(&both, 2, "r", "a").end(&[3, 2, 4], &[0; 5]);
    assert_eq!(read_all(&bytes).unwrap().len(), 2);
}

#[test]
fn records_that_may_be_skipped_are_skipped() {
    let bytes = Forge::default()
        .record(0x80, b"later")
        .frame(A, 1, "r", "a")
        .record(0xff, b"later")
        .frame(B, 1, "r", "b")
        .end(&[0x81, 3, 0x82, 2, 0x83, 4, 0x84], &[]);
    assert_eq!(read_all(&bytes).unwrap().len(), 2);
    let mut archive = opened(&bytes, Some(&sdek())).unwrap();
    assert!(archive.find("r", "b", |_| Ok(())).unwrap().is_some());
}

#[test]
fn damage_in_records_that_may_be_skipped_is_found() {
    let mut bytes = Forge::default()
        .frame(A, 1, "r", "a")
        .record(0x80, &vec![7; 300_000])
        .frame(B, 1, "r", "b")
        .end(&[3, 2, 4], &[]);
    assert_eq!(read_all(&bytes).unwrap().len(), 2);
    bytes[150_000] ^= 1;
    refused(&bytes);
}

#[test]
fn lines_out_of_order_doubled_or_miscounted_are_refused() {
    let (ab, ba, aa) = ([A, B].concat(), [B, A].concat(), [A, A].concat());
    let end = |forge: &mut Forge| refused(&forge.end(&[3, 2, 4], &[]));
    end(Forge::default().frame(&ba, 2, "r", "b"));
    end(Forge::default().frame(&aa, 2, "r", "a"));
    end(Forge::default().frame(&ab, 1, "r", "a"));
    end(Forge::default().frame(&ab, 3, "r", "a"));
    end(Forge::default().frame(&ab, 2, "r", "aa"));
    end(Forge::default().frame(A.trim_end(), 1, "r", "a"));
    end(Forge::default().frame(&[A, "\n"].concat(), 2, "r", "a"));
    end(Forge::default().frame(&ab, 2, "r", "a").frame(B, 1, "r", "b"));
    end(Forge::default()
        .frame(&[B, "{\"kind\":\"r\",\"id\":\"d\",\"n\":0}\n"].concat(), 2, "r", "b")
        .frame("{\"kind\":\"r\",\"id\":\"c\",\"n\":0}\n", 1, "r", "c"));
}

#[test]
fn records_at_the_wrong_place_are_refused() {
    for order in [
        &[2, 3, 4][..],
        &[3, 2],
        &[2, 4],
        &[3, 3, 2, 4],
        &[3, 2, 4, 4],
        &[3, 2, 4, 3],
        &[1, 3, 2, 4],
        &[6, 3, 2, 4],
        &[3, 2, 5, 4],
        &[3, 4],
        &[],
    ] {
        refused(&Forge::default().frame(A, 1, "r", "a").end(order, &[]));
        refused(&Forge::default().end(order, &[]));
    }
    let hidden =
        Forge::default().frame(A, 1, "r", "a").record(1, B.as_bytes()).end(&[3, 2, 4], &[]);
    refused(&hidden);
    let hidden =
        Forge::default().record(1, A.as_bytes()).frame(B, 1, "r", "b").end(&[3, 2, 4], &[]);
    refused(&hidden);
    let mut forge = Forge::default();
    forge.frame(A, 1, "r", "a").record(5, b"x").record(5, b"x");
    refused(&forge.end(&[3, 2, 4], &[]));
}

#[test]
fn padding_that_is_not_empty_is_refused() {
    refused(&Forge::default().frame(A, 1, "r", "a").end(&[3, 2, 4], &[0, 0, 1]));
}

#[test]
fn an_index_that_lies_is_refused() {
    for index in [
        "[0,1,1,1,\"r\",\"a\"]\n",
        "[1,29,29,1,\"r\",\"a\"]\n",
        "[0,4294967295,29,1,\"r\",\"a\"]\n",
        "[18446744073709551615,29,29,1,\"r\",\"a\"]\n",
        "[0,29,4294967295,1,\"r\",\"a\"]\n",
        "",
        "nonsense",
    ] {
        refused(&Forge::default().frame(A, 1, "r", "a").raw_index(index).end(&[3, 2, 4], &[]));
    }
}

/// A frame whose declared size is small and whose content is not.
#[test]
fn decompression_stops_at_the_declared_size() {
    let text =
        format!("{{\"kind\":\"r\",\"id\":\"a\",\"x\":\"{}\",\"n\":0}}\n", "y".repeat(1 << 20));
    let mut packer = Packer::new(3).unwrap();
    let (head, stored) = packer.pack(Content::Resources, text.as_bytes(), true).unwrap();
    assert!(head.compressed);
    for plain in [29, head.plain - 1, head.plain + 1, 65 << 20] {
        let mut forge = Forge::default();
        forge.payload.extend_from_slice(&Head { plain, ..head }.to_bytes());
        forge.payload.extend_from_slice(stored);
        forge.raw_index(&format!("[0,{},{plain},1,\"r\",\"a\"]\n", head.stored));
        refused(&forge.end(&[3, 2, 4], &[]));
    }
}

/// Cut before sealing, so that every chunk is in order.
#[test]
fn a_payload_that_ends_early_is_refused() {
    let options = ArchiveOptions { padding: false, ..small_frames() };
    let whole = payload(&written(&sample(), options).0);
    for end in 1..whole.len() {
        refused(&sealed(&whole[..end]));
    }
    refused(&sealed(&[whole.as_slice(), &[0]].concat()));
}

/// Tokens as the content of the archive's `ordinal`-th record of secrets.
fn sealed_tokens(ordinal: u64, tokens: &[&[u8]]) -> Vec<u8> {
    let header = Header::new(Suite::Aes256Gcm, ids(), &dek()).unwrap();
    let mut secrets = Vec::new();
    let mut encoder = TokenEncoder::new(3).unwrap();
    for token in tokens {
        encoder.encode(token, &mut secrets).unwrap();
    }
    let key = header.secrets_key(&sdek()).unwrap();
    let nonce = super::super::chunks::nonce(ordinal, false);
    crate::crypt::cipher(Suite::Aes256Gcm).seal(&key, &nonce, &mut secrets).unwrap();
    secrets
}

fn with_secrets(id: &str, count: usize) -> String {
    format!("{{\"kind\":\"r\",\"id\":\"{id}\",\"n\":{count}}}\n")
}

/// Tokens that are not as many as the lines name.
#[test]
fn secrets_and_lines_must_agree() {
    let with = |count: usize, ordinal: u64| {
        let mut forge = Forge::default();
        forge.frame(&with_secrets("a", count), 1, "r", "a");
        read_all(&forge.record(5, &sealed_tokens(ordinal, &[b"1", b"2"])).end(&[3, 2, 4], &[]))
    };
    assert_eq!(with(2, 0).unwrap()[0].secrets, ["1", "2"]);
    for (count, ordinal) in [(3, 0), (1, 0), (0, 0), (2, 1)] {
        assert_eq!(with(count, ordinal).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}

#[test]
fn secrets_are_found_behind_records_that_may_be_skipped() {
    let mut forge = Forge::default();
    forge.frame(A, 1, "r", "a").record(0x80, b"later");
    forge.frame(&with_secrets("b", 1), 1, "r", "b").record(5, &sealed_tokens(0, &[b"1"]));
    forge.record(0x80, b"later").frame(&with_secrets("c", 1), 1, "r", "c");
    let bytes = forge.record(5, &sealed_tokens(1, &[b"2"])).end(&[3, 2, 4], &[]);
    let mut archive = opened(&bytes, Some(&sdek())).unwrap();
    for (id, secrets) in [("a", vec![]), ("b", vec!["1"]), ("c", vec!["2"])] {
        let found = archive.find("r", id, |entry| Ok(to_line(&entry).secrets)).unwrap();
        assert_eq!(found.unwrap(), secrets);
    }
    assert_eq!(read_all(&bytes).unwrap().len(), 3);
}
