//! Each right removed in turn: a preflight names exactly it.

use gwbackup_aws::testing::{AwsDouble, Need};
use gwbackup_aws::{Policy, Region};
use gwbackup_core::model::{Finding, Scope, Verdict};
use gwbackup_core::source::{Purpose, Source as _};

use crate::bench::{Bench, aws};
use crate::iam::{Grant, grants, is_read};
use crate::policy::fill;
use crate::rich;

const SELF: &str = "arn:aws:iam::123456789012:role/backup";

async fn findings(bench: &Bench, double: &AwsDouble, purpose: Purpose) -> Vec<Finding> {
    aws(double).preflight(&bench.cx, purpose, &Scope::everything()).await.unwrap()
}

fn subjects(findings: &[Finding], verdict: Verdict) -> Vec<&str> {
    let mine = findings.iter().filter(|found| found.verdict == verdict);
    mine.map(|found| found.subject.as_str()).collect()
}

fn name(grant: &Grant) -> String {
    format!("{} on {}", grant.action, grant.resource)
}

fn enforce(double: &AwsDouble, grants: Vec<Grant>) {
    double.guard(move |need: &Need| grants.iter().any(|grant| grant.allows(need)));
}

fn without(grants: &[Grant], missing: &Grant) -> Vec<Grant> {
    grants.iter().filter(|grant| *grant != missing).cloned().collect()
}

fn policy(purpose: Purpose) -> Policy {
    let region = Region::new(rich::HOME.0, rich::HOME.1).unwrap();
    match purpose {
        Purpose::Backup => Policy::backup(&region, &Scope::everything()),
        _ => Policy::restore(&region, []),
    }
}

#[tokio::test]
async fn each_right_that_is_missing_is_named_alone() {
    let bench = Bench::new().await;
    let double = bench.account().await;
    fill(&bench, &double);
    for purpose in [Purpose::Backup, Purpose::Restore] {
        let all = grants(&policy(purpose));
        assert!(all.len() > 20);
        let asking = grants(&Policy::preflight(SELF));
        enforce(&double, [all.clone(), asking.clone()].concat());
        let whole = findings(&bench, &double, purpose).await;
        assert!(subjects(&whole, Verdict::Failed).is_empty(), "{whole:#?}");
        let open = subjects(&whole, Verdict::Unknown);
        let told: &[&str] = if purpose == Purpose::Backup { &[] } else { &["iam:PassRole"] };
        assert_eq!(open, told);
        for missing in &all {
            enforce(&double, [without(&all, missing), asking.clone()].concat());
            let found = findings(&bench, &double, purpose).await;
            assert_eq!(subjects(&found, Verdict::Failed), [name(missing)], "{purpose:?}");
        }
    }
}

/// Without the right to ask IAM, reads are tried and writes stay open.
#[tokio::test]
async fn what_iam_does_not_say_is_tried_or_stays_open() {
    let bench = Bench::new().await;
    let double = bench.account().await;
    fill(&bench, &double);
    let (reads, all) = (grants(&policy(Purpose::Backup)), grants(&policy(Purpose::Restore)));
    for missing in &reads {
        enforce(&double, without(&reads, missing));
        let found = findings(&bench, &double, Purpose::Backup).await;
        assert_eq!(subjects(&found, Verdict::Failed), [name(missing)]);
    }
    enforce(&double, all.clone());
    let found = findings(&bench, &double, Purpose::Restore).await;
    assert!(subjects(&found, Verdict::Failed).is_empty());
    let mut writes: Vec<String> = all.iter().filter(|grant| !is_read(grant)).map(name).collect();
    writes.push("iam:PassRole".to_owned());
    assert_eq!(subjects(&found, Verdict::Unknown), writes);
    let post = found.iter().find(|f| f.subject.starts_with("apigateway:POST on")).unwrap();
    let statement = post.detail.split_once("allow it with ").unwrap().1;
    let statement: serde_json::Value = serde_json::from_str(statement).unwrap();
    assert_eq!(statement["Action"][0], "apigateway:POST");
}
