use std::io::Cursor;

use sha2::{Digest as _, Sha256};

use super::*;
use crate::archive::{ArchiveIds, ArchiveType};
use crate::crypt::{Suite, hex};
use crate::error::ErrorKind;

fn bytes<const N: usize>(first: u8) -> [u8; N] {
    std::array::from_fn(|i| first + u8::try_from(i).unwrap())
}

fn ids() -> ArchiveIds {
    ArchiveIds {
        repository: bytes(0x00),
        backup: uuid::Uuid::from_bytes(bytes(0x20)),
        archive: bytes(0x30),
        base: None,
        kind: ArchiveType::Full,
    }
}

fn dek() -> DataKey {
    DataKey::new(bytes(0x40))
}

fn sealed(suite: Suite, payload: &[u8]) -> (Vec<u8>, Written) {
    let header = Header::new(suite, ids(), &dek()).unwrap();
    let mut writer = ChunkWriter::new(Vec::new(), &header, &dek()).unwrap();
    // Pieces that fit no chunk.
    for piece in payload.chunks(40_000) {
        writer.write(piece).unwrap();
    }
    writer.finish().unwrap()
}

fn reader(archive: &[u8]) -> Result<ChunkReader<Cursor<&[u8]>>> {
    let mut input = Cursor::new(archive);
    let header = read_header(&mut input)?;
    ChunkReader::open(input, archive.len() as u64, &header, &dek())
}

fn refused(archive: &[u8]) -> Error {
    reader(archive).err().unwrap()
}

fn payload(length: usize) -> Vec<u8> {
    (0..length).map(|i| u8::try_from(i % 251).unwrap()).collect()
}

/// The vectors of the format's description: keys, and digests of whole archives.
#[test]
fn vectors_of_both_suites() {
    for (suite, chunk_key, commitment, digests) in [
        (
            Suite::Aes256Gcm,
            "6a54e2f61f036df98091d49d446e5f4f38f8abfbf8769dc58911fb82c7fef377",
            "0163f8cee7e841b431b25dc184c266a4dffa729c0e89fa055f77fa5db9c7fddf",
            [
                "60521a9f1b0b331f10c1454bbf08c7f5705cc1bef9ea1a6fa4b92e43e33e7d93",
                "a5ec361deca1efcd927f7dc232ed2b7e8906f64f92ee4c4332e99371f739e564",
                "5fee0b44ae7e165d49d348a8255df2e85b4ceb318e1b6c85dab524708d9f7747",
                "fb8edc4b3e9d31a63a2c270391d2d1e7f1cb6b5fbd7408c14094af952c6d7371",
            ],
        ),
        (
            Suite::XChaCha20Poly1305,
            "42b466d8c3086b717ac86ba0723a8b511e88f133386cf98fddcd9200953294e3",
            "f6c22e7b828abb6d6f853eec12a4b9ddea35b73731008015996d0d2124734674",
            [
                "0d8c33cbe324b66cee993914b1771cf3a23010186508bba3c83913aa5283ad8f",
                "5258be0cf7a68964722e01484905fef800b1ef909473e663ca431659d59f928a",
                "6a8c5de565b64f2e00796b6c2689e934d07211f9512d28cc3a904ebc89ae74fa",
                "166022f735060188cf90ed50c30509b3f36b2b1161fe31a5ee818f82c668efaa",
            ],
        ),
    ] {
        let header = Header::new(suite, ids(), &dek()).unwrap();
        assert_eq!(hex::encode(header.chunk_key(&dek()).unwrap().expose()), chunk_key);
        assert_eq!(hex::encode(&header.commitment), commitment);
        for (length, digest) in [0, 5, 65_536, 65_537].into_iter().zip(digests) {
            let (archive, written) = sealed(suite, &vec![b'a'; length]);
            assert_eq!(hex::encode(&Sha256::digest(&archive)), digest, "{suite}, {length}");
            assert_eq!(hex::encode(&written.sha256), digest);
            assert_eq!(written.size, archive.len() as u64);
        }
    }
}

#[test]
fn any_part_can_be_read() {
    for length in [1, 2, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 77] {
        let payload = payload(length);
        let (archive, _) = sealed(Suite::Aes256Gcm, &payload);
        let mut reader = reader(&archive).unwrap();
        assert_eq!(reader.payload(), length as u64);
        let mut part = Vec::new();
        for from in [0, 1, length / 2, CHUNK - 1, CHUNK, length - 1, length] {
            for to in [from, from + 1, from + CHUNK + 5, length] {
                let read = reader.read(from as u64, to.saturating_sub(from), &mut part);
                if from <= length && to.max(from) <= length {
                    read.unwrap();
                    assert_eq!(part, payload[from..to.max(from)]);
                } else {
                    assert_eq!(read.unwrap_err().kind(), ErrorKind::Corrupt);
                }
            }
        }
        assert!(reader.read(u64::MAX, 2, &mut part).is_err());
        assert!(reader.read(0, usize::MAX, &mut part).is_err());
    }
}

#[test]
fn an_archive_without_payload_is_refused() {
    let (archive, _) = sealed(Suite::Aes256Gcm, &[]);
    assert_eq!(refused(&archive).kind(), ErrorKind::Corrupt);
    assert!(reader(&archive[..HEADER]).is_err());
}

const HEADER: usize = 128;

#[test]
fn every_cut_and_every_addition_is_found_at_opening() {
    let (archive, _) = sealed(Suite::Aes256Gcm, &payload(2 * CHUNK + 3));
    let chunk = CHUNK + TAG;
    let edges = [0, 8, 127, 128, 128 + 16, 128 + 17, 128 + chunk, 128 + chunk + 17];
    for cut in edges.into_iter().chain([128 + 2 * chunk, archive.len() - 16, archive.len() - 1]) {
        assert_eq!(refused(&archive[..cut]).kind(), ErrorKind::Corrupt, "{cut}");
    }
    for more in [1, 16, 17, chunk] {
        let longer = [archive.as_slice(), &vec![0; more]].concat();
        assert_eq!(refused(&longer).kind(), ErrorKind::Corrupt, "{more}");
    }
}

#[test]
fn chunks_cannot_be_moved_or_left_out() {
    let (archive, _) = sealed(Suite::Aes256Gcm, &payload(3 * CHUNK + 3));
    let chunk = CHUNK + TAG;
    let at = |n: usize| 128 + n * chunk..128 + (n + 1) * chunk;
    let mut swapped = archive.clone();
    swapped[at(0)].copy_from_slice(&archive[at(1)]);
    swapped[at(1)].copy_from_slice(&archive[at(0)]);
    let mut part = Vec::new();
    assert!(reader(&swapped).unwrap().read(0, 1, &mut part).is_err());
    let without = [&archive[..at(1).start], &archive[at(1).end..]].concat();
    assert!(reader(&without).is_err());
}

#[test]
fn the_wrong_key_is_known_before_anything_is_opened() {
    let (archive, _) = sealed(Suite::Aes256Gcm, b"payload");
    let header = read_header(&mut Cursor::new(&archive)).unwrap();
    let wrong = DataKey::new([9; 32]);
    // Even where nothing sealed is left.
    let opened = ChunkReader::open(Cursor::new(&archive[..128]), 128, &header, &wrong);
    assert_eq!(opened.map(|_| ()).unwrap_err().kind(), ErrorKind::KeyUnavailable);
}

#[test]
fn headers_come_back_and_changed_ones_do_not() {
    let header = Header::new(Suite::Aes256Gcm, ids(), &dek()).unwrap();
    assert_eq!(Header::parse(&header.to_bytes()).unwrap(), header);
    for bit in 0..128 * 8 {
        let mut changed = header.to_bytes();
        changed[bit / 8] ^= 1 << (bit % 8);
        let kind = Header::parse(&changed).and_then(|h| h.chunk_key(&dek())).map_err(|e| e.kind());
        let refused = matches!(kind, Err(ErrorKind::Corrupt | ErrorKind::KeyUnavailable));
        assert!(refused, "bit {bit}");
    }
    let mut newer = header.to_bytes();
    newer[9] = 2;
    assert!(Header::parse(&newer).unwrap_err().to_string().contains("newer version"));
    let based = ArchiveIds { base: Some(ids().backup), ..ids() };
    assert!(Header::new(Suite::Aes256Gcm, based, &dek()).is_err());
    let incremental = ArchiveIds { kind: ArchiveType::Incremental, ..based };
    let header = Header::new(Suite::Aes256Gcm, incremental, &dek()).unwrap();
    assert_eq!(Header::parse(&header.to_bytes()).unwrap().ids, incremental);
    let baseless = ArchiveIds { base: None, ..incremental };
    assert!(Header::new(Suite::Aes256Gcm, baseless, &dek()).is_err());
}
