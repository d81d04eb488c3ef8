use serde_json::json;

use super::*;
use crate::crypt::{DataKey, SeedSigner, Suite};
use crate::sink::{Body, MemorySink};

fn signer(byte: u8) -> SeedSigner {
    SeedSigner::new(&DataKey::new([byte; 32]))
}

fn copy(byte: u8) -> CopyEntry {
    CopyEntry { id: CopyId::new([byte; 16]), medium: None, site: None }
}

fn document() -> TrustDocument {
    let (root, writer) = (signer(1).public(), signer(2).public());
    TrustDocument::first(root, writer, vec![], Suite::Aes256Gcm, vec![copy(1), copy(2)]).unwrap()
}

async fn first() -> Trust {
    Trust::create(&Context::new(), &document(), &signer(1)).await.unwrap()
}

fn stored(trust: &Trust) -> Bytes {
    trust.files.last().unwrap().stored().clone()
}

async fn put(sink: &MemorySink, trust: &Trust) {
    for (name, file) in trust.files().unwrap() {
        let body = Body::Bytes(file.stored().clone());
        let _ = sink.put(&Context::new(), &name, &body).await;
    }
}

#[tokio::test]
async fn the_id_is_the_digest_of_the_first_document() {
    let trust = first().await;
    let bytes = stored(&trust);
    let line = bytes.split(|b| *b == b'\n').next().unwrap();
    let by_hand = Sha256::digest([b"gwbackup/v1/repository-id\0", line].concat());
    assert_eq!(trust.repository().as_bytes()[..], by_hand[..]);
    Trust::first(bytes.clone(), Some(trust.repository())).unwrap();
    assert!(Trust::first(bytes, Some(&RepositoryId::new([0; 32]))).is_err());
    assert_ne!(first().await.repository(), trust.repository(), "the nonce makes each unique");
}

#[tokio::test]
async fn the_first_document_needs_its_own_roots() {
    let cx = Context::new();
    assert!(Trust::create(&cx, &document(), &signer(9)).await.is_err());
    let mut two = document();
    two.roots.keys.push(signer(3).public());
    two.roots.threshold = 2;
    assert!(Trust::create(&cx, &two, &signer(1)).await.is_err());
    let signed = SignedFile::sign(&cx, FileKind::Repository, None, &two, &[&signer(1), &signer(3)])
        .await
        .unwrap();
    Trust::first(signed.stored().clone(), None).unwrap();
}

#[tokio::test]
async fn contradictions_are_refused() {
    let cx = Context::new();
    let changes: [fn(&mut TrustDocument); 9] = [
        |d| d.roots.threshold = 0,
        |d| d.roots.threshold = 2,
        |d| d.roots.keys.push(d.roots.keys[0]),
        |d| d.signers.push(d.signers[0].clone()),
        |d| d.signers[0].public = signer(8).public(),
        |d| d.copies.push(d.copies[0].clone()),
        |d| d.home.copy = CopyId::new([9; 16]),
        |d| d.nonce = None,
        |d| d.number = 2,
    ];
    for (at, change) in changes.iter().enumerate() {
        let mut document = document();
        change(&mut document);
        assert!(Trust::create(&cx, &document, &signer(1)).await.is_err(), "change {at}");
    }
}

#[tokio::test]
async fn who_may_write_the_next_document() {
    let cx = Context::new();
    let trust = first().await;
    let (root, admin, stranger) = (signer(1), signer(2), signer(3));
    let same = trust.current().clone();

    let mut recipients = same.clone();
    recipients.padding = false;
    trust.extend(&cx, recipients.clone(), &[&root]).await.unwrap();
    trust.extend(&cx, recipients.clone(), &[&admin]).await.unwrap();
    assert!(trust.extend(&cx, recipients.clone(), &[&stranger]).await.is_err());

    let mut signers = same.clone();
    signers.signers[0].state = SignerState::Retired;
    assert!(trust.extend(&cx, signers.clone(), &[&admin]).await.is_err());
    let retired = trust.extend(&cx, signers, &[&root]).await.unwrap();
    recipients.signers = retired.current().signers.clone();
    assert!(retired.extend(&cx, recipients, &[&admin]).await.is_err());

    let mut roots = same;
    roots.roots.keys = vec![stranger.public()];
    assert!(trust.extend(&cx, roots.clone(), &[&root]).await.is_err());
    assert!(trust.extend(&cx, roots.clone(), &[&stranger]).await.is_err());
    let moved = trust.extend(&cx, roots, &[&root, &stranger]).await.unwrap();
    assert_eq!(moved.number(), 2);
    assert_eq!(moved.repository(), trust.repository());
}

#[tokio::test]
async fn a_document_follows_exactly_one() {
    let cx = Context::new();
    let trust = first().await;
    let second = trust.extend(&cx, trust.current().clone(), &[&signer(1)]).await.unwrap();
    let third = second.extend(&cx, second.current().clone(), &[&signer(1)]).await.unwrap();
    assert!(trust.next(stored(&third)).is_err());
    assert!(second.next(stored(&second)).is_err());
    assert!(first().await.next(stored(&second)).is_err());
}

#[tokio::test]
async fn the_highest_chain_on_any_copy_counts() {
    let cx = Context::new();
    let (a, b) = (MemorySink::new(), MemorySink::new());
    let sinks: [Arc<dyn Sink>; 2] = [Arc::new(a.clone()), Arc::new(b.clone())];
    let read = |expected| Trust::read(&cx, &sinks, expected);
    assert_eq!(read(None).await.unwrap_err().kind(), ErrorKind::NotFound);

    let trust = first().await;
    put(&a, &trust).await;
    assert_eq!(read(None).await.unwrap().number(), 1);
    let second = trust.extend(&cx, trust.current().clone(), &[&signer(1)]).await.unwrap();
    put(&b, &second).await;
    assert_eq!(read(Some(trust.repository())).await.unwrap().number(), 2);

    let mut other = trust.current().clone();
    other.padding = false;
    let fork = trust.extend(&cx, other, &[&signer(1)]).await.unwrap();
    put(&a, &fork).await;
    assert_eq!(read(None).await.unwrap_err().kind(), ErrorKind::Corrupt);
}

#[tokio::test]
async fn foreign_bytes_end_the_chain_and_do_not_break_it() {
    let cx = Context::new();
    let sink = MemorySink::new();
    put(&sink, &first().await).await;
    sink.put(&cx, &name(2).unwrap(), &Body::from(b"junk".to_vec())).await.unwrap();
    let sinks: [Arc<dyn Sink>; 1] = [Arc::new(sink)];
    assert_eq!(Trust::read(&cx, &sinks, None).await.unwrap().number(), 1);
}

#[tokio::test]
async fn a_copy_mark_belongs_to_its_repository() {
    let cx = Context::new();
    let trust = first().await;
    let id = CopyId::new([1; 16]);
    let file = CopyMark::sign(&cx, &trust, id, &signer(2)).await.unwrap();
    assert_eq!(CopyMark::open(file.stored().clone(), &trust).unwrap().copy, id);
    assert!(CopyMark::open(file.stored().clone(), &first().await).is_err());
    let root = CopyMark::sign(&cx, &trust, id, &signer(1)).await.unwrap();
    assert!(CopyMark::open(root.stored().clone(), &trust).is_err());
}

#[tokio::test]
async fn a_revoked_signer_counts_up_to_its_last_event() {
    let trust = first().await;
    let id = signer(2).public().id();
    let mut change = trust.current().clone();
    change.signers[0].state = SignerState::Revoked;
    change.signers[0].until = Some(Until { seq: 7, digest: String::new() });
    let revoked = trust.extend(&Context::new(), change, &[&signer(1)]).await.unwrap();
    assert!(trust.allows(&id, &[Role::Write], 8));
    assert!(revoked.allows(&id, &[Role::Write], 7));
    assert!(!revoked.allows(&id, &[Role::Write], 8));
    assert!(!revoked.allows(&signer(1).public().id(), &[Role::Write], 1));
}

#[test]
fn stored_members() {
    let document = serde_json::to_value(document()).unwrap();
    assert_eq!(document["previous"], json!(null));
    assert_eq!(document["signers"][0]["roles"], json!(["admin", "write", "delete"]));
    assert_eq!(document["home"]["from_seq"], json!(1));
}
