//! A whole account: backed up, lost, restored.

use crate::bench::{Bench, aws};
use crate::rich;
use crate::still::{assert_same, still};

#[tokio::test]
async fn an_account_that_was_lost_comes_back() {
    let bench = Bench::new().await;
    let double = bench.account().await;
    rich::fill(&bench, &double);
    let before = still(&double);
    assert!(before.len() > 150, "{}", before.len());
    let backup = bench.backup(&double).await;
    double.clear();
    let outcome = bench.succeed(bench.restore(&backup, aws(&double))).await;
    assert!(outcome.report.applied > 150, "{}", outcome.report.applied);
    assert_same(&still(&double), &before, "restored");
    let again = bench.plan(bench.restore(&backup, aws(&double))).await;
    assert!(again.plan().is_empty(), "{}", again.plan());
}
