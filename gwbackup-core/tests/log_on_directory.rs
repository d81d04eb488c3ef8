//! The log keeps its contract on real files.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use gwbackup_core::catalog::{CopyEntry, CopyId, FileAnchor, Log, Trust, TrustDocument};
use gwbackup_core::context::Context;
use gwbackup_core::crypt::{DataKey, SeedSigner, Signer, SmallSeal, Suite};
use gwbackup_core::sink::{DirectorySink, Sink};

#[tokio::test(flavor = "multi_thread")]
async fn a_log_of_files_keeps_the_contract() {
    let root = tempfile::tempdir().unwrap();
    let runs = AtomicU32::new(0);
    gwbackup_core::testing::conformance::catalog(|| async {
        let at = root.path().join(runs.fetch_add(1, Ordering::Relaxed).to_string());
        let owner = SeedSigner::new(&DataKey::new([1; 32]));
        let signer: Arc<dyn Signer> = Arc::new(SeedSigner::new(&DataKey::new([2; 32])));
        let copies = vec![CopyEntry { id: CopyId::new([1; 16]), medium: None, site: None }];
        let (suite, public) = (Suite::XChaCha20Poly1305, signer.public());
        let first = TrustDocument::first(owner.public(), public, vec![], suite, copies).unwrap();
        let trust = Arc::new(Trust::create(&Context::new(), &first, &owner).await.unwrap());
        let id = *trust.repository().as_bytes();
        let seal = Arc::new(SmallSeal::new(id, suite, 1, DataKey::new([3; 32])));
        let mut sinks: Vec<Arc<dyn Sink>> = Vec::new();
        for name in ["home", "mirror"] {
            std::fs::create_dir_all(at.join(name)).unwrap();
            sinks.push(Arc::new(DirectorySink::open(at.join(name)).await.unwrap()));
        }
        let log = || {
            Log::new(Arc::clone(&trust), Arc::clone(&sinks[0]))
                .mirror(Arc::clone(&sinks[1]))
                .seal(Arc::clone(&seal))
                .signer(Arc::clone(&signer))
                .anchor(Arc::new(FileAnchor::new(at.join("state"))))
        };
        (Arc::new(log()) as _, Arc::new(log()) as _)
    })
    .await;
}
