//! `PutMetricData`.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use aws_credential_types::provider::SharedCredentialsProvider;
use gwbackup_core::clock::Timestamp;
use gwbackup_core::connect::masked;
use gwbackup_core::error::{ErrorKind, Retry};
use gwbackup_core::metrics::{MetricsRecorder, Sample};
use gwbackup_core::{Context, Error, Result};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use url::Url;

use super::series::{NAMESPACE, checked, dimensions, namespace, unit};
use crate::config::Identity;
use crate::json_service::JsonService;
use crate::signed::Told;

/// Values of one request.
const MOST: usize = 1000;
/// Bytes of one request: a megabyte, however that is counted.
const BYTES: usize = 1_000_000;
const PREFIX: &str = "GraniteServiceVersion20100801";
const FORM: &str = "write cloudwatch://NAMESPACE?region=REGION, and as needed endpoint=URL";

/// Sends metrics to CloudWatch, one series for each set of labels, at the resolution of a minute.
///
/// What asks for patience, and what may pass, is sent again after a pause, six times at most; an answer
/// that was lost may so count a counter twice, and a batch of more than 1,000 values, which takes
/// several requests, may arrive in part. Values of labels beyond ASCII become `\u{..}`.
///
/// It needs `cloudwatch:PutMetricData` ([`Policy::metrics`](crate::Policy::metrics)): `Denied` without.
/// `Unavailable` when CloudWatch does not answer, or asks for pauses for half a minute.
#[derive(Clone)]
pub struct CloudWatch(Arc<Inner>);

struct Inner {
    service: JsonService,
    namespace: String,
}

impl CloudWatch {
    /// This namespace in this region. No I/O. `Invalid` when either cannot be one.
    pub fn new(
        name_space: &str,
        region: &str,
        credentials: SharedCredentialsProvider,
    ) -> Result<Self> {
        let namespace = namespace(name_space)?.to_owned();
        let service = JsonService::new("monitoring", PREFIX, region, credentials)?;
        Ok(Self(Arc::new(Inner { service: service.by_first_version(), namespace })))
    }

    /// The same at another endpoint: a private one, or an emulator.
    #[must_use]
    pub fn with_endpoint(mut self, endpoint: Url) -> Self {
        // While it is made, nobody else has it.
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.service.endpoint = endpoint;
        }
        self
    }

    /// Of `cloudwatch://NAMESPACE?region=REGION&endpoint=URL`, of which all but the scheme may be left
    /// out (the namespace is then `gwbackup`). Credentials, and what the URL does not say, as the SDKs
    /// find them. `Invalid` when something in it cannot be. Reads files and may ask the instance it
    /// runs on.
    pub async fn from_url(url: &Url) -> Result<Self> {
        let wrong = |what: String| Error::invalid(what).on(masked(url)).help(FORM);
        let named = format!("{}{}", url.host_str().unwrap_or_default(), url.path());
        let named = match named.trim_matches('/') {
            "" => NAMESPACE,
            named => named,
        };
        let (mut region, mut endpoint) = (None, None);
        for (query, value) in url.query_pairs() {
            match &*query {
                "region" => region = Some(value.into_owned()),
                "endpoint" => {
                    let bad = |_| wrong("the endpoint is no URL".to_owned());
                    endpoint = Some(Url::parse(&value).map_err(bad)?);
                }
                _ => return Err(wrong(format!("a CloudWatch url knows no `{query}`"))),
            }
        }
        namespace(named)?;
        let identity = Identity::find(region).await?;
        let own = Self::new(named, &identity.region, identity.credentials)?;
        Ok(match endpoint.or(identity.endpoint) {
            Some(endpoint) => own.with_endpoint(endpoint),
            None => own,
        })
    }

    /// The requests of a batch, each as large as one may be.
    fn bodies(&self, at: Timestamp, samples: &[Sample]) -> Result<Vec<Box<RawValue>>> {
        let seconds = at.as_duration().as_secs_f64();
        let around = |data: &str| {
            let namespace = Value::from(self.0.namespace.as_str());
            format!("{{\"Namespace\":{namespace},\"MetricData\":[{data}]}}")
        };
        let whole = |data: &str| {
            let odd = |_| Error::invalid("these metrics cannot be written");
            RawValue::from_string(around(data)).map_err(odd)
        };
        let room = BYTES - around("").len();
        let (mut bodies, mut data, mut count) = (Vec::new(), String::new(), 0);
        for sample in samples {
            let datum = datum(seconds, sample).to_string();
            if count == MOST || data.len() + 1 + datum.len() > room {
                bodies.push(whole(&std::mem::take(&mut data))?);
                count = 0;
            }
            if count > 0 {
                data.push(',');
            }
            data.push_str(&datum);
            count += 1;
        }
        bodies.push(whole(&data)?);
        Ok(bodies)
    }

    /// Sends one request until it is answered for good.
    async fn put(&self, cx: &Context, body: &RawValue) -> Result<()> {
        let refused = |told: &Told| Some(refusal(told));
        let told = self.0.service.call(cx, "PutMetricData", body, refused).await;
        let named = |error: Error| match error.kind() {
            ErrorKind::Denied => error.help(format!(
                "cloudwatch:PutMetricData on *, with cloudwatch:namespace {}",
                self.0.namespace
            )),
            _ => error,
        };
        told.map(drop).map_err(|error| named(error).on(self))
    }
}

/// What the service says, by its code.
fn refusal(told: &Told) -> Error {
    let code = told.code();
    match (told.status.as_u16(), code.as_str()) {
        (_, "Throttling" | "ThrottlingException") | (429, _) => {
            Error::new(ErrorKind::Unavailable, "CloudWatch asks for pauses without end")
                .with_retry(Retry::Later)
        }
        (500.., _) => Error::new(ErrorKind::Unavailable, "CloudWatch failed"),
        (_, "AccessDenied" | "AccessDeniedException") => {
            Error::new(ErrorKind::Denied, "the right to write metrics is missing")
        }
        (
            _,
            "InvalidClientTokenId"
            | "InvalidSignatureException"
            | "SignatureDoesNotMatch"
            | "UnrecognizedClientException",
        ) => Error::new(ErrorKind::Unauthenticated, "CloudWatch does not accept the credentials"),
        (status, "") => Error::invalid(format!("CloudWatch refuses the metrics ({status})")),
        (_, code) => Error::invalid(format!("CloudWatch refuses the metrics ({code})")),
    }
}

fn datum(seconds: f64, sample: &Sample) -> Value {
    let dimension = |(name, value)| json!({ "Name": name, "Value": value });
    json!({
        "MetricName": sample.metric().name(),
        "Dimensions": dimensions(sample).map(dimension).collect::<Vec<_>>(),
        "Timestamp": seconds,
        "Unit": unit(sample.metric()),
        "Value": sample.value(),
    })
}

#[async_trait]
impl MetricsRecorder for CloudWatch {
    async fn record(&self, cx: &Context, at: Timestamp, samples: &[Sample]) -> Result<()> {
        cx.check()?;
        checked(samples)?;
        if samples.is_empty() {
            return Ok(());
        }
        for body in self.bodies(at, samples)? {
            self.put(cx, &body).await?;
        }
        Ok(())
    }
}

impl fmt::Display for CloudWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cloudwatch://{}", self.0.namespace)
    }
}

impl fmt::Debug for CloudWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("CloudWatch");
        shown.field("namespace", &self.0.namespace).finish_non_exhaustive()
    }
}
