//! The right to write metrics: what its policy allows is what the calls need.

use gwbackup_aws::testing::CloudWatchDouble;
use gwbackup_aws::{CloudWatch, Config, Policy};
use gwbackup_core::Context;
use gwbackup_core::error::ErrorKind;
use gwbackup_core::metrics::{Metric, MetricsRecorder as _, Sample};
use url::Url;

use crate::iam::{assert_exact, grants};

#[tokio::test]
async fn metrics_go_into_their_namespace_alone() {
    let (double, cx) = (CloudWatchDouble::start().await.unwrap(), Context::new());
    let policy = Policy::metrics("Shop/Backups").unwrap();
    let allowed = grants(&policy);
    double.guard(move |need| allowed.iter().any(|grant| grant.allows(need)));
    let of = |namespace: &str| {
        let credentials = Config::fixed("AKIATEST", "secret");
        let own = CloudWatch::new(namespace, CloudWatchDouble::REGION, credentials).unwrap();
        own.with_endpoint(Url::parse(&double.url()).unwrap())
    };
    let batch = [Sample::new(Metric::AuditChainOk, 1.0)];
    of("Shop/Backups").record(&cx, cx.now(), &batch).await.unwrap();
    assert_exact(&policy, &double.needs());
    let error = of("Shop").record(&cx, cx.now(), &batch).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    let help = error.advice().unwrap();
    assert!(help.contains("cloudwatch:PutMetricData") && help.contains("Shop"), "{help}");
    assert_eq!(double.data().len(), 1);
    assert!(Policy::metrics("AWS/ApiGateway").is_err());
}
