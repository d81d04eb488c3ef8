//! The core's suites.

use std::sync::Arc;

use gwbackup_core::testing::conformance::{self, SourceFixture};

use crate::bench::{Bench, aws};
use crate::rich;

#[tokio::test]
async fn it_is_a_source() {
    let bench = Bench::new().await;
    let double = bench.account().await;
    rich::fill(&bench, &double);
    conformance::source(|| async { SourceFixture { source: Arc::new(aws(&double)), touch: None } }).await;
}
