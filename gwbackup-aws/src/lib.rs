//! AWS API Gateway for gwbackup: REST, HTTP and WebSocket APIs of one region of one account; S3 as a
//! place for backups, KMS as a holder of keys.
//!
//! A document is what the service sent, member by member, whether or not this library knows the
//! member. What a stage of a REST API serves is kept beside the working copy: each deployment in use
//! has its export.
//!
//! # Features
//!
//! | Feature | Brings |
//! |---|---|
//! | `testing` | a double of the service (`testing`); the core's doubles as well |
//!
//! # Where to read on
//!
//! [`Aws`] is the gateway, [`schema()`] the table of kinds; [`S3Sink`] keeps backups in a bucket,
//! [`KmsKey`] wraps their keys; [`ConfigHistory`] links them with AWS Config; [`CloudWatch`] and
//! [`EmfLines`] take metrics; [`Policy`] says what each of them needs of IAM; [`connectors`] opens
//! each by its URL. Programs reach this crate through the feature `aws` of the facade `gwbackup`.

mod answer;
mod client;
mod config;
mod config_history;
mod credentials;
mod gateway;
mod json_service;
mod kms;
mod metrics;
mod names;
mod policy;
mod preflight;
mod quota;
mod read;
mod s3;
mod schema;
mod signed;
mod source;
mod table;
mod target;
#[cfg(feature = "testing")]
pub mod testing;
mod write;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use gwbackup_core::connect::Connectors;
use gwbackup_core::crypt::KeyProvider;
use gwbackup_core::history::HistoryLink;
use gwbackup_core::metrics::MetricsRecorder;
use gwbackup_core::sink::Sink;
use gwbackup_core::target::Target;

pub use config::Config;
pub use config_history::ConfigHistory;
pub use gateway::Aws;
pub use kms::KmsKey;
pub use metrics::{CloudWatch, EmfLines};
pub use policy::{Policy, Region, Statement};
pub use s3::{LockMode, Retention, S3Config, S3Sink};
pub use schema::schema;

/// What this crate answers to, with credentials as the SDKs find them: `aws://REGION?budget=PERCENT`
/// ([`Config::from_url`]), `s3://BUCKET/PREFIX` ([`S3Config::from_url`]), `awskms://KEY`
/// ([`KmsKey::from_url`]), `awsconfig://REGION` ([`ConfigHistory::from_url`]),
/// `cloudwatch://NAMESPACE` ([`CloudWatch::from_url`]) and `emf:///PATH`
/// ([`EmfLines::from_url`]). All gateways of one region and endpoint that one such value (or its
/// clones) opens share their part of the quotas.
pub fn connectors() -> Connectors {
    type Shared = Mutex<BTreeMap<String, Arc<quota::Quotas>>>;
    let shared: Arc<Shared> = Arc::default();
    let connectors = Connectors::empty()
        .add_sink("s3", |url, settings| async move {
            Ok(Arc::new(S3Sink::new(S3Config::from_url(&url, &settings).await?)?) as Arc<dyn Sink>)
        })
        .add_key_provider("awskms", |url, _| async move {
            Ok(Arc::new(KmsKey::from_url(&url).await?) as Arc<dyn KeyProvider>)
        })
        .add_history("awsconfig", |url, _| async move {
            Ok(Arc::new(ConfigHistory::from_url(&url).await?) as Arc<dyn HistoryLink>)
        })
        .add_metrics("cloudwatch", |url, _| async move {
            Ok(Arc::new(CloudWatch::from_url(&url).await?) as Arc<dyn MetricsRecorder>)
        })
        .add_metrics("emf", |url, _| async move {
            Ok(Arc::new(EmfLines::from_url(&url)?) as Arc<dyn MetricsRecorder>)
        });
    connectors.add_target("aws", move |url, settings| {
        let shared = Arc::clone(&shared);
        async move {
            let config = Config::from_url(&url, &settings).await?;
            let quotas = {
                let mut all = shared.lock().unwrap_or_else(PoisonError::into_inner);
                let own = all.entry(format!("{} {}", config.endpoint, config.budget));
                Arc::clone(own.or_insert_with(|| Arc::new(quota::Quotas::new(config.budget))))
            };
            Ok(Arc::new(Aws::sharing(config, quotas)?) as Arc<dyn Target>)
        }
    })
}
