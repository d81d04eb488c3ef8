use futures_util::TryStreamExt;

use super::*;
use crate::catalog::fixture;
use crate::catalog::{EventKind, MemoryAnchor};
use crate::sink::MemorySink;

struct Rig {
    trust: Arc<Trust>,
    seal: Arc<SmallSeal>,
    home: MemorySink,
    mirror: MemorySink,
}

impl Rig {
    async fn new() -> Self {
        let trust = fixture::trust().await;
        let seal = fixture::seal(&trust);
        Self { trust, seal, home: MemorySink::new(), mirror: MemorySink::new() }
    }

    fn log(&self) -> Log {
        self.on(Arc::new(self.home.clone()))
    }

    fn on(&self, home: Arc<dyn Sink>) -> Log {
        Log::new(Arc::clone(&self.trust), home)
            .seal(Arc::clone(&self.seal))
            .signer(fixture::writer())
    }

    fn mirrored(&self) -> Log {
        self.log().mirror(Arc::new(self.mirror.clone()))
    }
}

async fn fill(log: &Log, events: usize) -> Vec<Event> {
    let mut filled = Vec::new();
    for _ in 0..events {
        filled.push(log.append(&Context::new(), fixture::draft("x")).await.unwrap());
    }
    filled
}

async fn read(log: &Log) -> Result<Vec<Event>> {
    log.events(&Context::new(), 0).try_collect().await
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_the_contract() {
    crate::testing::conformance::catalog(|| async {
        let rig = Rig::new().await;
        (Arc::new(rig.log()) as _, Arc::new(rig.mirrored()) as _)
    })
    .await;
    crate::testing::conformance::catalog(|| async {
        let rig = Rig::new().await;
        let anchor = Arc::new(MemoryAnchor::new());
        let log = || Arc::new(rig.mirrored().anchor(Arc::clone(&anchor) as _)) as _;
        (log(), log())
    })
    .await;
}
