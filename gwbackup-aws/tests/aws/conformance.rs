//! The core's suites.

use std::sync::Arc;

use gwbackup_core::testing::conformance::{self, SourceFixture};

use crate::bench::{Bench, config};
use crate::rich;
use gwbackup_aws::Aws;

#[tokio::test]
async fn it_is_a_source() {
    let bench = Bench::new().await;
    let double = bench.account().await;
    rich::fill_with(&bench, &double, 1);
    conformance::source(|| async {
        SourceFixture {
            source: Arc::new(Aws::new(config(&double).unpaced()).unwrap()),
            touch: None,
        }
    })
    .await;
}
